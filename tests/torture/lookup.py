"""How much of a month of Parquet is read to find out what became of one message, with Bloom filters and without.

python tests/torture/lookup.py --rows 100000

Bytes are those that the process reads from files, as Linux counts them: the ends of the files, filters, columns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

import trackparse
from trackparse.testing.sample import write_sample

_DAYS = 30
_MOST = 0.05  # of the bytes of all files
_FUNNEL = "SELECT status, count(*) FROM read_parquet($1) WHERE tracking_code = $2 GROUP BY ALL ORDER BY ALL"
_ROWS = "SELECT * FROM read_parquet($1) WHERE tracking_code = $2"
_MAY_HAVE = (
    "SELECT file_name, list(row_group_id) FROM parquet_bloom_probe($1, 'tracking_code', $2) "
    "WHERE NOT bloom_filter_excludes GROUP BY ALL"
)


def make(folder: Path, rows: int, day: int) -> None:
    log = folder / f"{day:02}.zip"
    write_sample(log, rows=rows, seed=day)
    trackparse.convert_log(log, folder / "plain" / f"{day:02}.parquet")
    trackparse.convert_log(log, folder / "filters" / f"{day:02}.parquet", bloom_filters=("tracking_code", "hwid"))
    log.unlink()


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def in_duckdb(question: str, files: list[str], code: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(config={"threads": 1}) as database:
        return database.execute(question, [files, code]).fetchall()


def in_pyarrow(columns: list[str] | None, files: list[str], code: str) -> list[tuple[Any, ...]]:
    """pyarrow looks at no filter."""
    found = ds.dataset(files).to_table(columns=columns, filter=pc.field("tracking_code") == code)
    return by_status(found) if columns else [tuple(row.values()) for row in found.to_pylist()]


def in_pyarrow_by_filters(columns: list[str] | None, files: list[str], code: str) -> list[tuple[Any, ...]]:
    """DuckDB tells which row groups may have the code; pyarrow reads those."""
    wanted = None if columns is None else [*columns, "tracking_code"]
    parts = [
        pq.ParquetFile(file).read_row_groups(groups, wanted).filter(pc.field("tracking_code") == code)
        for file, groups in in_duckdb(_MAY_HAVE, files, code)
    ]
    found = pa.concat_tables(parts)
    return by_status(found) if columns else [tuple(row.values()) for row in found.to_pylist()]


def by_status(found: pa.Table) -> list[tuple[Any, ...]]:
    counts = found["status"].value_counts().to_pylist()
    return sorted((one["values"], one["counts"]) for one in counts)


# The last word says whether the bar is for it.
WAYS: list[tuple[str, str, Callable[[list[str], str], list[tuple[Any, ...]]], bool]] = [
    ("plain", "DuckDB, the funnel", partial(in_duckdb, _FUNNEL), False),
    ("filters", "DuckDB, the funnel", partial(in_duckdb, _FUNNEL), True),
    ("plain", "DuckDB, whole rows", partial(in_duckdb, _ROWS), False),
    ("filters", "DuckDB, whole rows", partial(in_duckdb, _ROWS), True),
    ("plain", "pyarrow, the funnel", partial(in_pyarrow, ["status"]), False),
    ("filters", "pyarrow, the funnel", partial(in_pyarrow, ["status"]), False),
    ("filters", "pyarrow told by DuckDB, the funnel", partial(in_pyarrow_by_filters, ["status"]), True),
    ("plain", "pyarrow, whole rows", partial(in_pyarrow, None), False),
    ("filters", "pyarrow, whole rows", partial(in_pyarrow, None), False),
    ("filters", "pyarrow told by DuckDB, whole rows", partial(in_pyarrow_by_filters, None), True),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="of a day")
    rows = parser.parse_args().rows
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("plain", "filters"):
            Path(folder, kind).mkdir()
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(make, repeat(Path(folder)), repeat(rows), range(_DAYS)))
        middle = pq.read_table(Path(folder, "plain", f"{_DAYS // 2:02}.parquet"), columns=["tracking_code"])
        code = middle["tracking_code"][rows // 2].as_py()
        sizes: dict[str, int] = {}
        answers: dict[bool, list[tuple[Any, ...]]] = {}
        for kind, name, ask, has_bar in WAYS:
            files = sorted(map(str, Path(folder, kind).iterdir()))
            sizes[kind] = sum(Path(file).stat().st_size for file in files)
            before = bytes_read()
            answer = sorted(ask(files, code), key=str)
            share = (bytes_read() - before) / sizes[kind]
            if answers.setdefault("rows" in name, answer) != answer:
                raise SystemExit(f"{kind}, {name}: another answer")
            missed += has_bar and share > _MOST
            bar = f" (bar: {_MOST:.0%})" if has_bar else ""
            print(f"{kind}, {name}: {share:.2%} of {sizes[kind]:,} bytes{bar}", flush=True)
        print(f"filters make the files {sizes['filters'] / sizes['plain'] - 1:.2%} larger; {answers[False]}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
