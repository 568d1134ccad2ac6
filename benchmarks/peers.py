"""What reads a ZIP of CSV without us, each at the best settings found for it. They are run on the RFC 4180 log."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.archives import READ, open_member, output
from benchmarks.corpus import Log
from benchmarks.generator import KINDS

# Columns that get a dictionary in Parquet, by a word. Payloads differ in each row; devices repeat in some logs.
MESSAGES = ("tracking_code", "status", "description", "appCode")
DICTIONARIES = {"all": None, "messages": MESSAGES, "devices": (*MESSAGES, "target_id", "hwid")}

# What each is swept over; the first of each is where the sweep starts. The zstd level is each one's own default.
SWEPT: dict[str, dict[str, tuple[Any, ...]]] = {
    "pyarrow-parquet": {
        "dictionary": ("messages", "devices", "all"),
        "row_group": (1 << 17, 1 << 16, 1 << 18, 1 << 20),
        "block": (1 << 22, 1 << 20, 1 << 23),
        "statistics": (True, False),
        "threads": (True, False),
    },
    "polars-parquet": {
        "row_group": (None, 1 << 16, 1 << 17, 1 << 18, 1 << 20),
        "statistics": (True, False),
        "low_memory": (False, True),
    },
    "duckdb-parquet": {
        "row_group": (122_880, 61_440, 245_760, 983_040),
        "threads": (None, 1, 4),
        "dictionary_limit": (None, 1 << 10, 1 << 17),
        "folder": (None, "/dev/shm"),  # noqa: S108 - where the CSV is unpacked
    },
    "pandas-parquet": {
        "dictionary": ("messages", "devices", "all"),
        "row_group": (1 << 20, 1 << 18, 1 << 17),
        "statistics": (True, False),
    },
}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    name: {kind: {setting: values[0] for setting, values in axes.items()} for kind in KINDS}
    for name, axes in SWEPT.items()
}


def _columns(log: Log) -> tuple[str, ...]:
    return KINDS[log.kind].columns


def _dictionary(log: Log, word: str) -> bool | list[str]:
    """What the writer of pyarrow takes."""
    names = DICTIONARIES[word]
    return True if names is None else [name for name in names if name in _columns(log)]


# ---- csv --------------------------------------------------------------------------------------------------


def _lines(log: Log) -> Any:
    import io

    text = io.TextIOWrapper(io.BufferedReader(open_member(log.path), READ), encoding="utf-8", newline="")
    next(text)
    return text


def csv_reader(log: Log, **options: Any) -> Iterator[list[str]]:
    import csv

    return csv.reader(_lines(log), delimiter=";", **options)


def csv_dict_reader(log: Log, **options: Any) -> Iterator[dict[str, str]]:
    import csv

    return csv.DictReader(_lines(log), _columns(log), delimiter=";", **options)


# ---- pyarrow ----------------------------------------------------------------------------------------------


def read_pyarrow(log: Log, *, text: bool = False, block: int = 1 << 22, threads: bool = True, **parse: Any) -> Any:
    """``zipfile`` into ``open_csv``; 4 MiB are the fastest block of 256 KiB to 16 MiB."""
    import io

    import pyarrow as pa
    from pyarrow import csv

    names = list(_columns(log))
    types = {name: pa.timestamp("us") if name == "timestamp" and not text else pa.string() for name in names}
    return csv.open_csv(
        io.BufferedReader(open_member(log.path), 1 << 20),
        csv.ReadOptions(column_names=names, skip_rows=1, block_size=block, use_threads=threads),
        csv.ParseOptions(delimiter=";", newlines_in_values=True, **parse),
        csv.ConvertOptions(column_types=types),
    )


def pyarrow_parquet(log: Log, *, dictionary: str, row_group: int, block: int, statistics: bool, threads: bool) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = output()
    reader = read_pyarrow(log, block=block, threads=threads)
    encoded = _dictionary(log, dictionary)
    options = {"compression": "zstd", "use_dictionary": encoded, "write_statistics": statistics}
    with pq.ParquetWriter(path, reader.schema, **options) as writer:
        held: list[Any] = []
        rows = 0
        for batch in reader:
            held.append(batch)
            rows += len(batch)
            if rows >= row_group:
                writer.write_table(pa.Table.from_batches(held))
                held.clear()
                rows = 0
        if held:
            writer.write_table(pa.Table.from_batches(held))
    return path


# ---- Polars -----------------------------------------------------------------------------------------------


def _polars_query(log: Log, *, text: bool = False, **options: Any) -> Any:
    import polars as pl

    query = pl.scan_csv(
        open_member(log.path).read(),
        separator=";",
        quote_char='"',
        has_header=False,
        skip_rows=1,
        schema=dict.fromkeys(_columns(log), pl.String),
        **options,
    )
    form = "%Y-%m-%dT%H:%M:%S%.f" if len(_columns(log)) == 6 else "%Y-%m-%d %H:%M:%S"
    # Faster than a Datetime in the schema.
    return query if text else query.with_columns(pl.col("timestamp").str.to_datetime(form, time_unit="us"))


def read_polars(log: Log, **options: Any) -> Iterator[Any]:
    yield _polars_query(log, **options).collect()


def polars_parquet(log: Log, *, row_group: int | None, statistics: bool, low_memory: bool) -> Path:
    path = output()
    query = _polars_query(log, low_memory=low_memory)
    query.sink_parquet(path, compression="zstd", row_group_size=row_group, statistics=statistics)
    return path


# ---- DuckDB -----------------------------------------------------------------------------------------------


def _duckdb_query(log: Log, csv: str, *, text: bool = False, **options: str) -> str:
    """It reads no ZIP by itself: ``csv`` is the member, unpacked."""
    types = {name: "TIMESTAMP" if name == "timestamp" and not text else "VARCHAR" for name in _columns(log)}
    given = {"delim": "';'", "quote": "'\"'", "escape": "'\"'", "header": "false", "skip": "1", **options}
    settings = ", ".join(f"{name} = {value}" for name, value in given.items())
    return f"SELECT * FROM read_csv('{csv}', auto_detect = false, columns = {types}, {settings})"  # noqa: S608


def _unpack(log: Log, folder: str) -> str:
    import shutil

    path = Path(folder) / "log.csv"
    with open_member(log.path) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return str(path)


def read_duckdb(log: Log, **options: Any) -> Iterator[Any]:
    import duckdb

    with tempfile.TemporaryDirectory(prefix="trackparse-bench-") as folder, duckdb.connect() as connection:
        query = _duckdb_query(log, _unpack(log, folder), **options)
        yield from connection.sql(query).to_arrow_reader(1 << 17)


def duckdb_parquet(
    log: Log, *, row_group: int, threads: int | None, dictionary_limit: int | None, folder: str | None
) -> Path:
    import duckdb

    path = output()
    settings = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {row_group}"
    if dictionary_limit is not None:
        settings += f", DICTIONARY_SIZE_LIMIT {dictionary_limit}"
    with (
        tempfile.TemporaryDirectory(prefix="trackparse-bench-", dir=folder) as unpacked,
        duckdb.connect(config={} if threads is None else {"threads": threads}) as connection,
    ):
        connection.execute(f"COPY ({_duckdb_query(log, _unpack(log, unpacked))}) TO '{path}' ({settings})")
    return path


# ---- pandas -----------------------------------------------------------------------------------------------


def _pandas_frame(log: Log, *, engine: Any = "pyarrow", **options: Any) -> Any:
    import pandas as pd

    given = {"dtype_backend": "pyarrow"} if engine == "pyarrow" else {"dtype": str, "keep_default_na": False}
    names = list(_columns(log))
    return pd.read_csv(
        log.path, sep=";", header=None, names=names, skiprows=1, engine=engine, encoding="utf-8", **(given | options)
    )


def read_pandas(log: Log, **options: Any) -> Iterator[Any]:
    yield _pandas_frame(log, **options)


def pandas_parquet(log: Log, *, dictionary: str, row_group: int, statistics: bool) -> Path:
    path = output()
    encoded = _dictionary(log, dictionary)
    options = {"row_group_size": row_group, "use_dictionary": encoded, "write_statistics": statistics}
    _pandas_frame(log).to_parquet(path, compression="zstd", index=False, **options)
    return path
