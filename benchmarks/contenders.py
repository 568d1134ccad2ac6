"""The list of all that is measured: where it reads, what it gives out, which options it may try. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from benchmarks import own, peers

# What a contender gives out: sizes of bytes, numbers of records, batches (Arrow tables, data frames), rows one by
# one, or the path of a Parquet file.
Kind = Literal["bytes", "records", "batches", "rows", "file"]
Attempts = tuple[dict[str, Any], ...]

_QUARANTINE = partial(own.batches, on_error="quarantine")
_NARROW = ("timestamp", "status")  # the columns of the narrow read


@dataclass(frozen=True, slots=True)
class Contender:
    """One thing to measure. ``attempts`` are the options it may try on the log of the dialect that it does not know.

    ``setup`` is given the log and holds what ``run`` reads; its clock stands still.
    """

    name: str
    label: str
    group: Literal["scope", "rows", "batches", "parquet", "start", "memory"]
    log: Literal["php", "rfc4180", "bad", "long", "times8"]
    kind: Kind
    run: Callable[..., Any]
    imports: tuple[str, ...] = ()
    ours: bool = False
    attempts: Attempts = ()
    setup: Callable[[Path], AbstractContextManager[Any]] = nullcontext

    @property
    def compared(self) -> bool:
        """Whether its rows are held against the right ones."""
        return bool(self.attempts)


_ARROW = ("pyarrow", "pyarrow.compute")
_OURS = (*_ARROW, "trackparse.reader", "trackparse.events", "trackparse.convert.parquet")
_AS_IT_IS: Attempts = ({},)
_BY_CSV: Attempts = ({}, {"escapechar": "\\"}, {"escapechar": "\\", "doublequote": False})
_BY_PYARROW: Attempts = (
    {},
    {"text": True, "invalid_row_handler": lambda _: "skip"},
    {"text": True, "invalid_row_handler": lambda _: "skip", "escape_char": "\\"},
)
_BY_POLARS: Attempts = ({}, {"text": True, "truncate_ragged_lines": True, "ignore_errors": True})
_BY_DUCKDB: Attempts = (
    {},
    {"text": True, "strict_mode": "false", "ignore_errors": "true"},
    {"text": True, "strict_mode": "false", "ignore_errors": "true", "escape": "'\\'"},
)
_BY_PANDAS: Attempts = (
    {},
    {"engine": "c", "on_bad_lines": "skip"},
    {"engine": "c", "on_bad_lines": "skip", "escapechar": "\\"},
)


def _own(name: str, label: str, group: Any, log: Any, kind: Kind, run: Callable[..., Any], **more: Any) -> Contender:
    return Contender(name, label, group, log, kind, run, _OURS, ours=True, **more)


CONTENDERS = (
    Contender("inflate", "inflate (isal), thrown away", "scope", "php", "bytes", own.inflate, ("isal.igzip_lib",)),
    _own("scan", "+scan", "scope", "php", "records", own.scan),
    _own("view", "+batches, string_view", "scope", "php", "batches", partial(own.batches, string_type="string_view")),
    _own("string", "+batches, string", "scope", "php", "batches", own.batches, attempts=_AS_IT_IS),
    _own("rfc4180", "+batches, string, RFC 4180 log", "scope", "rfc4180", "batches", own.batches),
    _own("narrow", "+batches, 2 of 8 columns", "scope", "php", "batches", partial(own.batches, columns=_NARROW)),
    _own("clean", "+batches, quarantine", "scope", "php", "batches", _QUARANTINE),
    _own("bad", "+batches, quarantine, 1 % bad", "scope", "bad", "batches", _QUARANTINE),
    _own("events", "+events", "rows", "php", "rows", own.events, attempts=_AS_IT_IS),
    Contender("csv", "csv.reader", "rows", "rfc4180", "rows", peers.csv_reader, ("csv",), attempts=_BY_CSV),
    Contender("dict", "csv.DictReader", "rows", "rfc4180", "rows", peers.csv_dict_reader, ("csv",), attempts=_BY_CSV),
    Contender(
        "pyarrow",
        "pyarrow open_csv",
        "batches",
        "rfc4180",
        "batches",
        peers.read_pyarrow,
        (*_ARROW, "pyarrow.csv"),
        attempts=_BY_PYARROW,
    ),
    Contender(
        "polars",
        "Polars scan_csv",
        "batches",
        "rfc4180",
        "batches",
        peers.read_polars,
        (*_ARROW, "polars"),
        attempts=_BY_POLARS,
    ),
    Contender(
        "duckdb",
        "DuckDB read_csv",
        "batches",
        "rfc4180",
        "batches",
        peers.read_duckdb,
        (*_ARROW, "duckdb"),
        attempts=_BY_DUCKDB,
    ),
    Contender(
        "pandas",
        "pandas read_csv",
        "batches",
        "rfc4180",
        "batches",
        peers.read_pandas,
        (*_ARROW, "pyarrow.csv", "pandas"),
        attempts=_BY_PANDAS,
    ),
    _own("parquet", "+parquet: convert_log", "parquet", "php", "file", own.convert),
    replace(
        _own("client", "+parquet: from the server", "parquet", "php", "file", own.convert_url, setup=own.served),
        imports=(*_OURS, "trackparse.client"),
    ),
    Contender(
        "pyarrow-parquet",
        "pyarrow open_csv, ParquetWriter",
        "parquet",
        "rfc4180",
        "file",
        peers.pyarrow_parquet,
        (*_ARROW, "pyarrow.csv", "pyarrow.parquet"),
    ),
    Contender(
        "polars-parquet",
        "Polars scan_csv, sink_parquet",
        "parquet",
        "rfc4180",
        "file",
        peers.polars_parquet,
        (*_ARROW, "polars"),
    ),
    Contender(
        "duckdb-parquet",
        "DuckDB read_csv, COPY",
        "parquet",
        "rfc4180",
        "file",
        peers.duckdb_parquet,
        (*_ARROW, "duckdb"),
    ),
    Contender(
        "pandas-parquet",
        "pandas read_csv, to_parquet",
        "parquet",
        "rfc4180",
        "file",
        peers.pandas_parquet,
        (*_ARROW, "pyarrow.csv", "pyarrow.parquet", "pandas"),
    ),
    _own("default-file", "read_log, pyarrow write_table", "parquet", "php", "file", own.default_file),
    _own("first-batch", "+batches, string, long log", "start", "long", "batches", own.batches),
    _own("memory", "convert_log, 8 times the rows", "memory", "times8", "file", own.convert),
)
BY_NAME = {contender.name: contender for contender in CONTENDERS}
