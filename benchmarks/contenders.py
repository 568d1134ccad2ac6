"""What is measured: one function each, run in a process of its own. Prints one line of JSON, judges nothing.

    python -m benchmarks.contenders NAME time|check|compare LOG [DIALECT]
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal

from trackparse.sample import COLUMNS

# What a contender gives out: sizes of bytes, numbers of records, batches (Arrow tables, data frames), rows one by
# one, or the path of a Parquet file.
Kind = Literal["bytes", "records", "batches", "rows", "file"]

_NARROW = ("timestamp", "status")  # the columns of the narrow read
_READ = 1 << 18  # bytes of one read
_PYARROW_BLOCK = 1 << 22  # bytes; the fastest of 256 KiB to 16 MiB


@dataclass(frozen=True, slots=True)
class Contender:
    """One thing to measure. ``attempts`` are the options it may try on the log of the dialect that it does not know."""

    name: str
    label: str
    group: Literal["scope", "rows", "batches", "parquet", "start", "memory"]
    log: Literal["php", "rfc4180", "bad", "long", "times8"]
    kind: Kind
    run: Callable[..., Any]
    imports: tuple[str, ...] = ()
    ours: bool = False
    attempts: tuple[dict[str, Any], ...] = ()

    @property
    def compared(self) -> bool:
        """Whether its rows are held against the right ones."""
        return bool(self.attempts)


# ---- trackparse, and what lies below it -------------------------------------------------------------------


def _inflate(log: Path) -> Iterator[int]:
    """The baseline: the member's bytes, thrown away. 256 KiB of output stay in the cache: no size was faster."""
    from isal import igzip_lib

    offset, _ = _member(log)
    decompressor = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
    with log.open("rb", buffering=0) as file:
        file.seek(offset)
        while not decompressor.eof:
            data = file.read(_READ) if decompressor.needs_input else b""
            yield len(decompressor.decompress(data, _READ))


def _member(log: Path) -> tuple[int, str]:
    """Where the packed bytes of the only member start, and its name."""
    with zipfile.ZipFile(log) as archive, log.open("rb") as file:
        info = archive.infolist()[0]
        file.seek(info.header_offset + 26)
        lengths = file.read(4)
    name, extra = int.from_bytes(lengths[:2], "little"), int.from_bytes(lengths[2:], "little")
    return info.header_offset + 30 + name + extra, info.filename


def _scan(log: Path) -> Iterator[int]:
    from trackparse.archive import open_archive
    from trackparse.index import Indexer
    from trackparse.limits import Limits
    from trackparse.readahead import MemberEnd, MemberStart, ReadAhead
    from trackparse.reader import BLOCK_SIZE
    from trackparse.sources import open_source

    indexer = Indexer("auto", Limits(), BLOCK_SIZE)
    with ReadAhead(open_archive(open_source(log), Limits()), BLOCK_SIZE) as ahead:
        for item in ahead:
            if isinstance(item, MemberStart):
                indexer.start(item.name)
                continue
            segments = indexer.finish() if isinstance(item, MemberEnd) else indexer.feed(item)
            yield sum(segment.records for segment in segments)


def _batches(log: Path, **options: Any) -> Iterator[Any]:
    import trackparse

    with trackparse.open_log(log, **options) as reader:
        yield from reader


def _events(log: Path) -> Iterator[Any]:
    import trackparse

    return trackparse.iter_events(log)


def _convert(log: Path) -> Path:
    import trackparse

    return trackparse.convert_log(log, _output()).path


def _output() -> Path:
    return Path(tempfile.mkdtemp(prefix="trackparse-bench-")) / "log.parquet"


# ---- peers ------------------------------------------------------------------------------------------------


def _opened(log: Path) -> Any:
    return zipfile.ZipFile(log).open(_member(log)[1])


def _lines(log: Path) -> Any:
    import io

    text = io.TextIOWrapper(io.BufferedReader(_opened(log), _READ), encoding="utf-8", newline="")
    text._CHUNK_SIZE = _READ  # type: ignore[attr-defined]
    next(text)
    return text


def _csv_reader(log: Path, **options: Any) -> Iterator[list[str]]:
    import csv

    return csv.reader(_lines(log), delimiter=";", **options)


def _csv_dict_reader(log: Path, **options: Any) -> Iterator[dict[str, str]]:
    import csv

    return csv.DictReader(_lines(log), COLUMNS, delimiter=";", **options)


def _pyarrow(log: Path, *, text: bool = False, **parse: Any) -> Any:
    import io

    import pyarrow as pa
    from pyarrow import csv

    types = {name: pa.timestamp("us") if name == "timestamp" and not text else pa.string() for name in COLUMNS}
    return csv.open_csv(
        io.BufferedReader(_opened(log), 1 << 20),
        csv.ReadOptions(column_names=list(COLUMNS), skip_rows=1, block_size=_PYARROW_BLOCK),
        csv.ParseOptions(delimiter=";", newlines_in_values=True, **parse),
        csv.ConvertOptions(column_types=types),
    )


def _pyarrow_parquet(log: Path) -> Path:
    import pyarrow.parquet as pq

    path = _output()
    reader = _pyarrow(log)
    with pq.ParquetWriter(path, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
    return path


def _polars_frame(log: Path, *, text: bool = False, **options: Any) -> Any:
    import polars as pl

    frame = pl.read_csv(
        _opened(log).read(),
        separator=";",
        quote_char='"',
        has_header=False,
        skip_rows=1,
        schema=dict.fromkeys(COLUMNS, pl.String),
        **options,
    )
    # Twice as fast as a Datetime in the schema.
    return frame if text else frame.with_columns(pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S"))


def _polars(log: Path, **options: Any) -> Iterator[Any]:
    yield _polars_frame(log, **options)


def _polars_parquet(log: Path) -> Path:
    path = _output()
    _polars_frame(log).write_parquet(path, compression="zstd")
    return path


def _duckdb_query(csv: str, *, text: bool = False, **options: str) -> str:
    """It reads no ZIP by itself: ``csv`` is the member, unpacked."""
    types = {name: "TIMESTAMP" if name == "timestamp" and not text else "VARCHAR" for name in COLUMNS}
    given = {"delim": "';'", "quote": "'\"'", "escape": "'\"'", "header": "false", "skip": "1", **options}
    settings = ", ".join(f"{name} = {value}" for name, value in given.items())
    return f"SELECT * FROM read_csv('{csv}', auto_detect = false, columns = {types}, {settings})"  # noqa: S608


def _unpack(log: Path, folder: str) -> str:
    import shutil

    path = Path(folder) / "log.csv"
    with _opened(log) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return str(path)


def _duckdb(log: Path, **options: Any) -> Iterator[Any]:
    import duckdb

    with tempfile.TemporaryDirectory(prefix="trackparse-bench-") as folder, duckdb.connect() as connection:
        yield connection.sql(_duckdb_query(_unpack(log, folder), **options)).to_arrow_table()


def _duckdb_parquet(log: Path) -> Path:
    import duckdb

    path = _output()
    with tempfile.TemporaryDirectory(prefix="trackparse-bench-") as folder, duckdb.connect() as connection:
        connection.sql(_duckdb_query(_unpack(log, folder))).write_parquet(str(path), compression="zstd")
    return path


def _pandas_frame(log: Path, *, engine: Any = "pyarrow", **options: Any) -> Any:
    import pandas as pd

    given = {"dtype_backend": "pyarrow"} if engine == "pyarrow" else {"dtype": str, "keep_default_na": False}
    return pd.read_csv(
        log, sep=";", header=None, names=list(COLUMNS), skiprows=1, engine=engine, encoding="utf-8", **(given | options)
    )


def _pandas(log: Path, **options: Any) -> Iterator[Any]:
    yield _pandas_frame(log, **options)


def _pandas_parquet(log: Path) -> Path:
    path = _output()
    _pandas_frame(log).to_parquet(path, compression="zstd")
    return path


def _default_file(log: Path) -> Path:
    """Not a rival: the size of what pyarrow writes by itself, of the same rows."""
    import pyarrow.parquet as pq

    import trackparse

    path = _output()
    pq.write_table(trackparse.read_log(log), path, compression="zstd")
    return path


_ARROW = ("pyarrow", "pyarrow.compute")
_OURS = (*_ARROW, "trackparse.reader", "trackparse.events", "trackparse.parquet")
_AS_IT_IS: tuple[dict[str, Any], ...] = ({},)
_BY_CSV = ({}, {"escapechar": "\\"}, {"escapechar": "\\", "doublequote": False})
_BY_PYARROW = ({}, {"text": True, "invalid_row_handler": lambda _: "skip"}, {"text": True, "escape_char": "\\"})
_BY_POLARS = ({}, {"text": True, "truncate_ragged_lines": True, "ignore_errors": True})
_BY_DUCKDB = (
    {},
    {"text": True, "strict_mode": "false", "ignore_errors": "true"},
    {"text": True, "strict_mode": "false", "ignore_errors": "true", "escape": "'\\'"},
)
_BY_PANDAS = (
    {},
    {"engine": "c", "on_bad_lines": "skip"},
    {"engine": "c", "on_bad_lines": "skip", "escapechar": "\\"},
)


def _own(name: str, label: str, group: Any, log: Any, kind: Kind, run: Callable[..., Any], **more: Any) -> Contender:
    return Contender(name, label, group, log, kind, run, _OURS, ours=True, **more)


CONTENDERS = (
    Contender("inflate", "inflate (isal), thrown away", "scope", "php", "bytes", _inflate, ("isal.igzip_lib",)),
    _own("scan", "+scan", "scope", "php", "records", _scan),
    _own("view", "+batches, string_view", "scope", "php", "batches", partial(_batches, string_type="string_view")),
    _own("string", "+batches, string", "scope", "php", "batches", _batches, attempts=_AS_IT_IS),
    _own("rfc4180", "+batches, string, RFC 4180 log", "scope", "rfc4180", "batches", _batches),
    _own("narrow", "+batches, 2 of 8 columns", "scope", "php", "batches", partial(_batches, columns=_NARROW)),
    _own("clean", "+batches, quarantine", "scope", "php", "batches", partial(_batches, on_error="quarantine")),
    _own("bad", "+batches, quarantine, 1 % bad", "scope", "bad", "batches", partial(_batches, on_error="quarantine")),
    _own("events", "+events", "rows", "php", "rows", _events, attempts=_AS_IT_IS),
    Contender("csv", "csv.reader", "rows", "rfc4180", "rows", _csv_reader, ("csv",), attempts=_BY_CSV),
    Contender("dict", "csv.DictReader", "rows", "rfc4180", "rows", _csv_dict_reader, ("csv",), attempts=_BY_CSV),
    Contender(
        "pyarrow", "pyarrow open_csv", "batches", "rfc4180", "batches", _pyarrow, (*_ARROW, "pyarrow.csv"),
        attempts=_BY_PYARROW,
    ),
    Contender(
        "polars", "Polars read_csv", "batches", "rfc4180", "batches", _polars, (*_ARROW, "polars"),
        attempts=_BY_POLARS,
    ),
    Contender(
        "duckdb", "DuckDB read_csv", "batches", "rfc4180", "batches", _duckdb, (*_ARROW, "duckdb"),
        attempts=_BY_DUCKDB,
    ),
    Contender(
        "pandas", "pandas read_csv", "batches", "rfc4180", "batches", _pandas, (*_ARROW, "pyarrow.csv", "pandas"),
        attempts=_BY_PANDAS,
    ),
    _own("parquet", "+parquet: convert_log", "parquet", "php", "file", _convert),
    Contender(
        "pyarrow-parquet", "pyarrow open_csv, ParquetWriter", "parquet", "rfc4180", "file", _pyarrow_parquet,
        (*_ARROW, "pyarrow.csv", "pyarrow.parquet"),
    ),
    Contender(
        "polars-parquet", "Polars read_csv, write_parquet", "parquet", "rfc4180", "file", _polars_parquet,
        (*_ARROW, "polars"),
    ),
    Contender(
        "duckdb-parquet", "DuckDB read_csv, write_parquet", "parquet", "rfc4180", "file", _duckdb_parquet,
        (*_ARROW, "duckdb"),
    ),
    Contender(
        "pandas-parquet", "pandas read_csv, to_parquet", "parquet", "rfc4180", "file", _pandas_parquet,
        (*_ARROW, "pyarrow.csv", "pyarrow.parquet", "pandas"),
    ),
    _own("default-file", "read_log, pyarrow write_table", "parquet", "php", "file", _default_file),
    _own("first-batch", "+batches, string, long log", "start", "long", "batches", _batches),
    _own("memory", "convert_log, 8 times the rows", "memory", "times8", "file", _convert),
)
BY_NAME = {contender.name: contender for contender in CONTENDERS}


# ---- the process of one contender -------------------------------------------------------------------------


def _timed(contender: Contender, log: Path) -> dict[str, Any]:
    """One run: the clock stands still while modules are imported and the result is counted."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    first, amount, path = _consume(contender, contender.run(log))
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "wall": wall,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "rss": after.ru_maxrss * (1 if sys.platform == "darwin" else 1024),  # bytes
        "first": None if first is None else first - start,
        "amount": amount,
    }
    if path is not None:
        found["size"] = path.stat().st_size
        found["amount"] = _parquet_rows(path)
        _remove(path)
    return found


def _consume(contender: Contender, result: Any) -> tuple[float | None, int, Path | None]:
    """Take all there is and keep none of it: when the first came, how much there was, the file if it is one."""
    if contender.kind == "file":
        return None, 0, result
    if contender.kind == "rows":
        numbers = count()
        deque(zip(result, numbers), maxlen=0)  # noqa: B905 - the numbers never end
        return None, next(numbers), None
    first = None
    amount = 0
    for item in result:
        if first is None:
            first = time.perf_counter()
        amount += item if isinstance(item, int) else len(item)
    return first, amount, None


def _parquet_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _remove(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


def _checked(contender: Contender, log: Path) -> dict[str, Any]:
    """What it makes of the log, to be held against the truth."""
    result = contender.run(log)
    if contender.kind in ("bytes", "records"):
        return {"inflated" if contender.kind == "bytes" else "rows": sum(result)}
    found: Counter[str] = Counter()
    if contender.kind == "rows":
        for row in result:
            status, payload = _status_and_payload(row)
            found.update(rows=1, opened=status == "opened", payload_bytes=len(payload.encode()))
        return dict(found)
    for table in _parquet_batches(result) if contender.kind == "file" else map(_table, result):
        found.update(_sums(table))
    if contender.kind == "file":
        _remove(result)
    return dict(found)


def _status_and_payload(row: Any) -> tuple[str, str]:
    if isinstance(row, dict):
        return row["status"], row["payload"]
    payload = row[7]
    return row[4], payload if isinstance(payload, str) else payload.text if payload is not None else ""


def _table(batch: Any) -> Any:
    """An Arrow table of an Arrow batch or a data frame."""
    import pyarrow as pa

    if hasattr(batch, "to_arrow"):
        return batch.to_arrow()
    if isinstance(batch, pa.RecordBatch):
        return pa.Table.from_batches([batch])
    return batch if isinstance(batch, pa.Table) else pa.Table.from_pandas(batch, preserve_index=False)


def _parquet_batches(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    yield from map(_table, pq.ParquetFile(path).iter_batches(columns=["status", "payload"]))


def _sums(table: Any) -> dict[str, int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    sums = {
        "rows": table.num_rows,
        "opened": pc.sum(pc.equal(table["status"].cast(pa.large_string()), "opened")).as_py() or 0,
    }
    if "payload" in table.column_names:
        sums["payload_bytes"] = pc.sum(pc.binary_length(table["payload"].cast(pa.large_string()))).as_py() or 0
    return sums


def _right(contender: Contender, log: Path, *, own_dialect: bool) -> dict[str, Any]:
    """How many rows of the compared log come out as they went in, in any order; the best of its attempts."""
    from benchmarks.corpus import compared_rows

    truth = Counter(compared_rows())
    attempts = contender.attempts[:1] if own_dialect else contender.attempts
    return {"right": max(_right_once(contender, log, options, truth) for options in attempts)}


def _right_once(contender: Contender, log: Path, options: dict[str, Any], truth: Counter[tuple[str, ...]]) -> int:
    found: Counter[tuple[str, ...]] = Counter()
    try:
        result = contender.run(log, **options)
        for rows in [result] if contender.kind == "rows" else map(_columns_as_rows, map(_table, result)):
            for row in rows:
                found[_texts(row)] += 1
    except Exception as fault:
        # What came before counts.
        print(f"{contender.name}: {type(fault).__name__}: {str(fault)[:200]}", file=sys.stderr)
    return (found & truth).total()


def _columns_as_rows(table: Any) -> Iterable[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _texts(row: Any) -> tuple[str, ...]:
    values = row.values() if isinstance(row, dict) else row
    return tuple("" if value is None else getattr(value, "text", None) or str(value) for value in values)


def main() -> None:
    """Run one contender in this process."""
    name, mode, log, *dialect = sys.argv[1:]
    contender = BY_NAME[name]
    for module in contender.imports:
        __import__(module)
    if mode == "time":
        found = _timed(contender, Path(log))
    elif mode == "check":
        found = _checked(contender, Path(log))
    else:
        found = _right(contender, Path(log), own_dialect=contender.ours or contender.log == dialect[0])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
