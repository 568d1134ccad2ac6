"""The list of all that is measured: what it reads, what it gives out, which options it may try. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from benchmarks import own, peers
from benchmarks.corpus import SMALL, Form, Log

# What a contender gives out: sizes of bytes, numbers of records, batches (Arrow tables, data frames), rows one by
# one, the path of a Parquet file, or nothing: a command was run.
Gives = Literal["bytes", "records", "batches", "rows", "file", "nothing"]
Group = Literal["scope", "rows", "batches", "parquet", "small", "columns", "members", "memory", "start"]
Attempts = tuple[dict[str, Any], ...]

MAIN = ("today", "old", "few")  # the logs that are reported beside each other
_TODAY = ("today",)


@dataclass(frozen=True, slots=True)
class Contender:
    """One thing to measure.

    ``setup`` is given the log and holds what ``run`` reads; its clock stands still.
    """

    name: str
    label: str
    group: Group
    gives: Gives
    run: Callable[..., Any]
    form: Form = "php"
    kinds: tuple[str, ...] = MAIN  # the logs it is run on
    ours: bool = False
    columns: tuple[str, ...] = ()  # that it gives out; empty: all of the log
    attempts: Attempts = ()  # options to try on the log of the dialect that it does not know
    setup: Callable[[Log], AbstractContextManager[Any]] = nullcontext
    share: int = 1  # it reads a log of one in so many rows
    repeats: int = 1  # in one process; the clock's median counts
    small: bool = False  # it reads the log of 1,000 rows
    once: bool = False  # it takes long and hardly differs: one turn is enough
    only_full: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""  # an option of ``open_log`` without which it is not built yet

    @property
    def compared(self) -> bool:
        """Whether its rows are counted that come out right in either dialect."""
        return bool(self.attempts)

    def rows(self, rows: int) -> int:
        """How many rows its log has where a whole one has ``rows``."""
        return SMALL if self.small else max(1, rows // self.share)


# glibc gives freed memory back and takes it again by page faults; these keep it.
_KEEP_FREED = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 30)}
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


def _inflate(name: str, piece: int) -> Contender:
    run = partial(own.inflate, piece=piece)
    label = f"inflate (isal), {piece >> 10} KiB pieces"
    return Contender(name, label, "scope", "bytes", run, environment=_KEEP_FREED)


def _own(name: str, label: str, group: Group, gives: Gives, run: Callable[..., Any], **more: Any) -> Contender:
    return Contender(name, label, group, gives, run, ours=True, **more)


def _peer(name: str, label: str, group: Group, gives: Gives, run: Callable[..., Any], **more: Any) -> Contender:
    return Contender(name, label, group, gives, run, form="rfc4180", **more)


def _start(name: str, label: str, *arguments: str, ours: bool) -> Contender:
    run = partial(_run_python, arguments)
    return Contender(name, label, "start", "nothing", run, kinds=_TODAY, small=True, repeats=5, ours=ours)


def _run_python(arguments: tuple[str, ...], log: Log) -> None:
    own.python(log, *arguments)


def _narrow(log: Log, **options: Any) -> Any:
    return own.batches(log, columns=own.NARROW, **options)


_QUARANTINE = partial(own.batches, on_error="quarantine")
_AS_DICTIONARY = partial(own.targets, dictionary=["target_id"])
_TO_PANDAS = 9  # a single call takes half as long again now and then, whoever made the table
_DISTINCT: dict[str, Any] = {"kinds": ("distinct",)}
_QUOTES: dict[str, Any] = {"kinds": ("quotes",)}

CONTENDERS = (
    _inflate("inflate-16k", 1 << 14),
    _inflate("inflate-256k", 1 << 18),
    _inflate("inflate-1m", 1 << 20),
    _own("scan", "+scan", "scope", "records", own.scan),
    _own("view", "+batches, string_view", "scope", "batches", partial(own.batches, string_type="string_view")),
    _own("batches", "+batches, string", "scope", "batches", own.batches, attempts=_AS_IT_IS),
    _own("narrow", "+batches, 2 of 8 columns", "scope", "batches", _narrow, kinds=_TODAY, columns=own.NARROW),
    _own("php", '+batches, nine in ten with a \\", PHP', "scope", "batches", own.batches, **_QUOTES),
    _own("rfc", "+batches, the same in RFC 4180", "scope", "batches", own.batches, form="rfc4180", **_QUOTES),
    _own("clean", "+batches, quarantine", "scope", "batches", _QUARANTINE, kinds=_TODAY),
    _own("bad", "+batches, quarantine, 1 % bad", "scope", "batches", _QUARANTINE, form="bad", kinds=_TODAY),
    _own("events", "+events", "rows", "rows", own.events, attempts=_AS_IT_IS),
    _peer("csv", "csv.reader", "rows", "rows", peers.csv_reader, attempts=_BY_CSV),
    _peer("dict", "csv.DictReader", "rows", "rows", peers.csv_dict_reader, kinds=_TODAY),
    _peer("pyarrow", "pyarrow open_csv", "batches", "batches", peers.read_pyarrow, attempts=_BY_PYARROW),
    _peer("polars", "Polars scan_csv", "batches", "batches", peers.read_polars, kinds=_TODAY, attempts=_BY_POLARS),
    _peer("duckdb", "DuckDB read_csv", "batches", "batches", peers.read_duckdb, kinds=_TODAY, attempts=_BY_DUCKDB),
    _peer("pandas", "pandas read_csv", "batches", "batches", peers.read_pandas, kinds=_TODAY, attempts=_BY_PANDAS),
    _own("parquet", "+parquet: convert_log", "parquet", "file", own.convert),
    _own("client", "+parquet: from the server", "parquet", "file", own.convert_url, setup=own.served, kinds=_TODAY),
    _peer("pyarrow-parquet", "pyarrow open_csv, ParquetWriter", "parquet", "file", peers.pyarrow_parquet),
    _peer("polars-parquet", "Polars scan_csv, sink_parquet", "parquet", "file", peers.polars_parquet),
    _peer("duckdb-parquet", "DuckDB read_csv, COPY", "parquet", "file", peers.duckdb_parquet),
    _peer("pandas-parquet", "pandas read_csv, to_parquet", "parquet", "file", peers.pandas_parquet),
    _own("small", "convert_log", "small", "file", own.convert, kinds=_TODAY, small=True, repeats=100),
    Contender(
        "small-least",
        "zipfile.read, ParquetWriter, fsync, rename",
        "small",
        "file",
        own.least_conversion,
        kinds=_TODAY,
        setup=own.with_its_table,
        small=True,
        repeats=100,
    ),
    _own("distinct", "target_id, all distinct, string", "columns", "records", own.targets, **_DISTINCT),
    _own("dictionary", "target_id, all distinct, dictionary=", "columns", "records", _AS_DICTIONARY, **_DISTINCT),
    _own("dictionary-4th", "the same, a quarter", "columns", "records", _AS_DICTIONARY, share=4, **_DISTINCT),
    _own(
        "to-pandas",
        "its to_pandas()",
        "columns",
        "records",
        own.to_pandas,
        setup=own.dictionary_of_ours,
        repeats=_TO_PANDAS,
        **_DISTINCT,
    ),
    Contender(
        "to-pandas-pyarrow",
        "pyarrow's dictionary_encode()d, to_pandas()",
        "columns",
        "records",
        own.to_pandas,
        setup=own.dictionary_of_pyarrow,
        repeats=_TO_PANDAS,
        **_DISTINCT,
    ),
    _own(
        "payload-columns",
        "+batches, 2 columns and 2 of the payload",
        "columns",
        "batches",
        own.payload_columns,
        kinds=_TODAY,
        columns=(*own.NARROW, *own.POINTERS),
        needs="payload_columns",
    ),
    Contender(
        "payload-loop",
        "loop of orjson.loads, from memory",
        "columns",
        "records",
        own.loads_loop,
        kinds=_TODAY,
        setup=own.payloads,
    ),
    _own("members", "+batches, 16 members", "members", "batches", own.batches, form="members", kinds=_TODAY),
    _own(
        "members-in-turn",
        "+batches, 16 members one by one",
        "members",
        "batches",
        own.members_in_turn,
        form="members",
        kinds=_TODAY,
    ),
    _own(
        "first-batch",
        "+batches, 8 times the rows",
        "memory",
        "batches",
        own.batches,
        form="times8",
        kinds=_TODAY,
        only_full=True,
    ),
    _own("memory", "convert_log, 8 times the rows", "memory", "file", own.convert, form="times8", only_full=True),
    _own(
        "hundredth",
        f"convert_log, {own.CONVERSIONS} times in a process",
        "memory",
        "file",
        own.convert_often,
        kinds=_TODAY,
        once=True,
        only_full=True,
    ),
    _start("start-python", "python -c pass", "-c", "pass", ours=False),
    _start("start-pyarrow", "import pyarrow", "-c", "import pyarrow", ours=False),
    _start("start-trackparse", "import trackparse", "-c", "import trackparse", ours=True),
    _start("start-reader", "import trackparse.reader", "-c", "import trackparse.reader", ours=True),
    _start("start-help", "trackparse --help", "-m", "trackparse.cli", "--help", ours=True),
)
BY_NAME = {contender.name: contender for contender in CONTENDERS}
