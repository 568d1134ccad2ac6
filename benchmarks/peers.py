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

# What each is swept over; the first of each is where the sweep starts. The zstd level is each one's own default.
SWEPT: dict[str, dict[str, tuple[Any, ...]]] = {
    "pyarrow-parquet": {
        "dictionary": ("messages", "devices", "all"),
        "row_group": (1 << 17, 1 << 16, 1 << 18, 1 << 20),
        "block": (1 << 22, 1 << 20, 1 << 23),
        "statistics": ("filters", "all"),
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
        "statistics": ("filters", "all"),
    },
}
# What `python -m benchmarks --sweep --full` found. The figures are the least CPU seconds of two or three turns: other
# work kept the machine so busy that wall times of the same settings differed by half.
_PYARROW = {"dictionary": "messages", "row_group": 1 << 17, "block": 1 << 20, "statistics": "filters", "threads": True}
_POLARS = {"row_group": 1 << 18, "statistics": False, "low_memory": False}
_DUCKDB = {"row_group": 61_440, "threads": None, "dictionary_limit": 1 << 10, "folder": None}
_PANDAS = {"dictionary": "messages", "row_group": 1 << 20, "statistics": "filters"}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "pyarrow-parquet": {
        # 1,000,000 rows. Dictionaries for messages 1.739, devices 1.778, all 1.784; row groups of 131,072 rows 1.686,
        # 65,536 1.688, 262,144 1.953, 1,048,576 2.542. 300,000 rows: blocks of 1 MiB 0.534, 4 MiB 0.633, 8 MiB 0.663.
        "today": _PYARROW,
        # 300,000 rows. Messages 0.334, all 0.370, devices 0.425; 262,144 rows 0.314, 131,072 0.322, 65,536 0.373.
        "old": _PYARROW,
        # 1,000,000 rows. All 1.694, devices 1.761, messages 1.790.
        "few": {**_PYARROW, "dictionary": "all"},
    },
    # 300,000 rows of today's log. Row groups 0.691 to 0.707; without statistics 0.669, with 0.720; low_memory 0.699.
    "polars-parquet": {"today": _POLARS, "old": _POLARS, "few": _POLARS},
    # 300,000 rows of today's log. Row groups of 61,440 1.008, 983,040 1.028, 122,880 1.039; a thread 0.969, but longer,
    # two 1.020, four 1.081; dictionaries of 1,024 values 0.961, as it likes 1.052, 131,072 1.130; /dev/shm no faster.
    "duckdb-parquet": {"today": _DUCKDB, "old": _DUCKDB, "few": _DUCKDB},
    # Not swept: at its start it takes twice pyarrow's CPU.
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


def pyarrow_parquet(log: Log, *, dictionary: str, row_group: int, block: int, statistics: str, threads: bool) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = output()
    reader = read_pyarrow(log, block=block, threads=threads)
    encoded, bounds = _chosen(log, dictionary), _chosen(log, statistics)
    options = {"compression": "zstd", "use_dictionary": encoded, "write_statistics": bounds}
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

    given: dict[str, Any] = (
        {"dtype_backend": "pyarrow"} if engine == "pyarrow" else {"dtype": str, "keep_default_na": False}
    )
    names = list(_columns(log))
    return pd.read_csv(
        log.path, sep=";", header=None, names=names, skiprows=1, engine=engine, encoding="utf-8", **(given | options)
    )


def read_pandas(log: Log, **options: Any) -> Iterator[Any]:
    yield _pandas_frame(log, **options)


def pandas_parquet(log: Log, *, dictionary: str, row_group: int, statistics: str) -> Path:
    path = output()
    encoded, bounds = _chosen(log, dictionary), _chosen(log, statistics)
    options = {"row_group_size": row_group, "use_dictionary": encoded, "write_statistics": bounds}
    _pandas_frame(log).to_parquet(path, compression="zstd", index=False, **options)
    return path
