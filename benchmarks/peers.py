"""What reads a ZIP of CSV without us, each in the fastest way found for it. They are run on the RFC 4180 log."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.archives import READ, open_member, output
from trackparse.testing.sample import COLUMNS

_PYARROW_BLOCK = 1 << 22  # bytes; the fastest of 256 KiB to 16 MiB
_ROW_GROUP = 1 << 17  # rows; one a batch takes as long and makes a file a third larger


def _lines(log: Path) -> Any:
    import io

    text = io.TextIOWrapper(io.BufferedReader(open_member(log), READ), encoding="utf-8", newline="")
    next(text)
    return text


def csv_reader(log: Path, **options: Any) -> Iterator[list[str]]:
    import csv

    return csv.reader(_lines(log), delimiter=";", **options)


def csv_dict_reader(log: Path, **options: Any) -> Iterator[dict[str, str]]:
    import csv

    return csv.DictReader(_lines(log), COLUMNS, delimiter=";", **options)


def read_pyarrow(log: Path, *, text: bool = False, **parse: Any) -> Any:
    import io

    import pyarrow as pa
    from pyarrow import csv

    types = {name: pa.timestamp("us") if name == "timestamp" and not text else pa.string() for name in COLUMNS}
    return csv.open_csv(
        io.BufferedReader(open_member(log), 1 << 20),
        csv.ReadOptions(column_names=list(COLUMNS), skip_rows=1, block_size=_PYARROW_BLOCK),
        csv.ParseOptions(delimiter=";", newlines_in_values=True, **parse),
        csv.ConvertOptions(column_types=types),
    )


def pyarrow_parquet(log: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = output()
    reader = read_pyarrow(log)
    with pq.ParquetWriter(path, reader.schema, compression="zstd") as writer:
        held: list[Any] = []
        for batch in reader:
            held.append(batch)
            if sum(map(len, held)) >= _ROW_GROUP:
                writer.write_table(pa.Table.from_batches(held))
                held.clear()
        if held:
            writer.write_table(pa.Table.from_batches(held))
    return path


def _polars_query(log: Path, *, text: bool = False, **options: Any) -> Any:
    import polars as pl

    query = pl.scan_csv(
        open_member(log).read(),
        separator=";",
        quote_char='"',
        has_header=False,
        skip_rows=1,
        schema=dict.fromkeys(COLUMNS, pl.String),
        **options,
    )
    # Faster than a Datetime in the schema.
    return query if text else query.with_columns(pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S"))


def read_polars(log: Path, **options: Any) -> Iterator[Any]:
    yield _polars_query(log, **options).collect()


def polars_parquet(log: Path) -> Path:
    path = output()
    # Polars' own level is 3, the others' is 1.
    _polars_query(log).sink_parquet(path, compression="zstd", compression_level=1)
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
    with open_member(log) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return str(path)


def read_duckdb(log: Path, **options: Any) -> Iterator[Any]:
    import duckdb

    with tempfile.TemporaryDirectory(prefix="trackparse-bench-") as folder, duckdb.connect() as connection:
        yield from connection.sql(_duckdb_query(_unpack(log, folder), **options)).to_arrow_reader(_ROW_GROUP)


def duckdb_parquet(log: Path) -> Path:
    import duckdb

    path = output()
    settings = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
    with tempfile.TemporaryDirectory(prefix="trackparse-bench-") as folder, duckdb.connect() as connection:
        connection.execute(f"COPY ({_duckdb_query(_unpack(log, folder))}) TO '{path}' ({settings})")
    return path


def _pandas_frame(log: Path, *, engine: Any = "pyarrow", **options: Any) -> Any:
    import pandas as pd

    given: dict[str, Any] = (
        {"dtype_backend": "pyarrow"} if engine == "pyarrow" else {"dtype": str, "keep_default_na": False}
    )
    return pd.read_csv(
        log, sep=";", header=None, names=list(COLUMNS), skiprows=1, engine=engine, encoding="utf-8", **(given | options)
    )


def read_pandas(log: Path, **options: Any) -> Iterator[Any]:
    yield _pandas_frame(log, **options)


def pandas_parquet(log: Path) -> Path:
    path = output()
    _pandas_frame(log).to_parquet(path, compression="zstd")
    return path
