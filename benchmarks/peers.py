"""What reads a ZIP of CSV without us, each at the best settings found for it. They are run on the RFC 4180 log."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.archives import READ, open_member, output
from benchmarks.corpus import Log
from benchmarks.generator import KINDS

# Columns of Parquet that get a dictionary, or statistics, by a word. Payloads differ in each row; devices repeat in
# some logs.
MESSAGES = ("tracking_code", "status", "description", "appCode")
COLUMNS = {
    "all": None,
    "messages": MESSAGES,
    "devices": (*MESSAGES, "target_id", "hwid"),
    "filters": ("timestamp", "tracking_code", "status", "appCode"),  # what ours has statistics of, too
}

# What each is swept over; the first of each is where the sweep starts. ``level`` is zstd's: None is each one's own, 1
# with pyarrow and 3 with the others.
SWEPT: dict[str, dict[str, tuple[Any, ...]]] = {
    "pyarrow-parquet": {
        "dictionary": ("messages", "devices", "all"),
        "row_group": (1 << 17, 1 << 16, 1 << 18, 1 << 20),
        "block": (1 << 22, 1 << 20, 1 << 23),
        "statistics": ("filters", "all"),
        "threads": (True, False),
        "level": (None, -1, 3),
    },
    "polars-parquet": {
        "row_group": (None, 1 << 16, 1 << 17, 1 << 18, 1 << 20),
        "statistics": (True, False),
        "low_memory": (False, True),
        "level": (None, 1),
    },
    "duckdb-parquet": {
        "row_group": (122_880, 61_440, 245_760, 983_040),
        "threads": (None, 1, 4),
        "dictionary_limit": (None, 1 << 10, 1 << 17),
        "folder": (None, "/dev/shm"),  # noqa: S108 - where the CSV is unpacked
        "level": (None, 1),
    },
    "pandas-parquet": {
        "dictionary": ("messages", "devices", "all"),
        "row_group": (1 << 20, 1 << 18, 1 << 17),
        "statistics": ("filters", "all"),
        "level": (None, -1, 3),
    },
}
# What `python -m benchmarks --sweep --full --rows 300000 --runs 3` found: the least seconds, of three turns.
# Where two values differ by less than runs of one do, the one stands that is faster on more logs, or the default.
_PYARROW = {
    "dictionary": "messages",
    "row_group": 1 << 16,
    "block": 1 << 20,
    "statistics": "filters",
    "threads": True,
    "level": None,
}
_POLARS = {"row_group": None, "statistics": False, "low_memory": False, "level": 1}
_DUCKDB = {"row_group": 61_440, "threads": None, "dictionary_limit": 1 << 10, "folder": None, "level": 1}
_PANDAS = {"dictionary": "all", "row_group": 1 << 17, "statistics": "filters", "level": None}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    # Four turns of 1,000,000 rows. Level -1 is not taken: it saves 0.04 s, of the log with few devices nothing, and the
    # files are 35 to 45 % larger, as with no other contender. Level 3 takes 0.02 to 0.05 s more of 300,000 rows.
    "pyarrow-parquet": {
        # Dictionaries for messages, row groups of 65,536 rows 0.865; for devices, too, 0.930; 131,072 rows 0.984.
        "today": _PYARROW,
        # Devices, 65,536 rows 0.546; messages, 131,072 rows 0.550, 65,536 0.569. The processor: 0.977, 0.932, 0.956.
        "old": {**_PYARROW, "row_group": 1 << 17},
        # All, 65,536 rows 0.849; 131,072 rows 0.953.
        "few": {**_PYARROW, "dictionary": "all"},
    },
    # Today's, old log, few devices. Level 3, its own: 0.394, 0.293, 0.423; level 1: 0.390, 0.284, 0.401. Row groups as
    # it likes 0.397, 0.301, 0.432; 262,144 rows 0.435, 0.300, 0.480. Statistics, low_memory: no difference.
    "polars-parquet": {"today": _POLARS, "old": _POLARS, "few": _POLARS},
    # Level 3, its own: 0.573, 0.374, 0.595; 1: 0.541, 0.339, 0.554. Row groups of 61,440 rows 0.628, 0.382, 0.607;
    # 122,880 0.700, 0.430, 0.658. Dictionaries of 1,024 values 0.563, 0.369, 0.612; its own 0.732, 0.371, 0.623. One
    # thread 0.794, 0.452, 0.774, two 0.757, 0.373, 0.617. /dev/shm is no faster.
    "duckdb-parquet": {"today": _DUCKDB, "old": _DUCKDB, "few": _DUCKDB},
    # Dictionaries for all 0.472, 0.318, 0.470; messages 0.574, 0.317, 0.523. Row groups of 131,072 rows 0.466, 0.312,
    # 0.464; 1,048,576 0.488, 0.306, 0.486. Level -1 0.487, 0.296, 0.498; its own, 1, 0.504, 0.302, 0.475.
    "pandas-parquet": {"today": _PANDAS, "old": _PANDAS, "few": _PANDAS},
}


def _columns(log: Log) -> tuple[str, ...]:
    return KINDS[log.kind].columns


def _chosen(log: Log, word: str) -> bool | list[str]:
    """What the writer of pyarrow takes."""
    names = COLUMNS[word]
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


def read_pyarrow(log: Log, *, text: bool = False, block: int = 1 << 20, threads: bool = True, **parse: Any) -> Any:
    """``zipfile`` into ``open_csv``; its figures by block are with ``SETTINGS``."""
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


def pyarrow_parquet(
    log: Log, *, dictionary: str, row_group: int, block: int, statistics: str, threads: bool, level: int | None
) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = output()
    reader = read_pyarrow(log, block=block, threads=threads)
    encoded, bounds = _chosen(log, dictionary), _chosen(log, statistics)
    options = {
        "compression": "zstd",
        "compression_level": level,
        "use_dictionary": encoded,
        "write_statistics": bounds,
    }
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


def polars_parquet(log: Log, *, row_group: int | None, statistics: bool, low_memory: bool, level: int | None) -> Path:
    path = output()
    query = _polars_query(log, low_memory=low_memory)
    options = {"compression_level": level, "row_group_size": row_group, "statistics": statistics}
    query.sink_parquet(path, compression="zstd", **options)
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
    log: Log,
    *,
    row_group: int,
    threads: int | None,
    dictionary_limit: int | None,
    folder: str | None,
    level: int | None,
) -> Path:
    import duckdb

    path = output()
    settings = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {row_group}"
    if dictionary_limit is not None:
        settings += f", DICTIONARY_SIZE_LIMIT {dictionary_limit}"
    if level is not None:
        settings += f", COMPRESSION_LEVEL {level}"
    with (
        tempfile.TemporaryDirectory(prefix="trackparse-bench-", dir=folder) as unpacked,
        duckdb.connect(config={} if threads is None else {"threads": threads}) as connection,
    ):
        connection.execute(f"COPY ({_duckdb_query(log, _unpack(log, unpacked))}) TO '{path}' ({settings})")
    return path


# ---- pandas -----------------------------------------------------------------------------------------------


def _pandas_frame(log: Log, *, engine: Any = "pyarrow", **options: Any) -> Any:
    import pandas as pd

    given: dict[str, Any] = (
        {"dtype_backend": "pyarrow"} if engine == "pyarrow" else {"dtype": str, "keep_default_na": False}
    )
    names = list(_columns(log))
    return pd.read_csv(
        log.path, sep=";", header=None, names=names, skiprows=1, engine=engine, encoding="utf-8", **(given | options)
    )


def read_pandas(log: Log, **options: Any) -> Iterator[Any]:
    yield _pandas_frame(log, **options)


def pandas_parquet(log: Log, *, dictionary: str, row_group: int, statistics: str, level: int | None) -> Path:
    path = output()
    encoded, bounds = _chosen(log, dictionary), _chosen(log, statistics)
    options = {
        "row_group_size": row_group,
        "use_dictionary": encoded,
        "write_statistics": bounds,
        "compression_level": level,
    }
    _pandas_frame(log).to_parquet(path, compression="zstd", index=False, **options)
    return path
