"""Counts how many rows of a log that PHP wrote each reader gets right. Prints a table; needs php and the readers.

The rows are those of ``trackparse sample``; PHP's ``fputcsv`` writes them, so that no code of ours has a part in the
log. A row is right if all eight fields are what PHP was given. Each reader is told the delimiter and the columns, and
that all of them are text; what else it is told stands beside its name.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trackparse.testing.sample import COLUMNS, sample_rows

ROWS = 20_000
Row = tuple[str, ...]
Reader = Callable[[Path], Iterable[Sequence[Any]]]

_SCRIPT = Path(__file__).with_suffix(".php")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, metavar="N", help=f"rows of the log ({ROWS})")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another number gives another log (0)")
    args = parser.parse_args()
    print(table(args.rows, args.seed))


def table(rows: int, seed: int = 0) -> str:
    """What each reader makes of a log, as a table in Markdown."""
    truth = list(sample_rows(rows, seed))
    alike: dict[tuple[int, int, str], list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="trackparse-compare-") as folder:
        log = Path(folder) / "log.csv"
        write_log(log, truth)
        for name, read in READERS.items():
            alike.setdefault(count_right(read, log, truth), []).append(name)
    lines = [f"| of {rows:,} rows that PHP wrote | right | wrong | error |", "| --- | --: | --: | --- |"]
    for (right, given, error), names in alike.items():
        lines.append(f"| {', '.join(names)} | {right:,} | {given - right:,} | {error} |")
    return "\n".join(lines)


def write_log(log: Path, rows: Iterable[Row]) -> None:
    """The log as PHP writes it, and beside it in a ZIP."""
    given = "".join(f"{json.dumps(row)}\n" for row in rows)
    subprocess.run(["php", str(_SCRIPT), str(log)], input=given.encode(), check=True)
    with zipfile.ZipFile(log.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(log, "tracking_log.csv")


def count_right(read: Reader, log: Path, truth: Iterable[Row]) -> tuple[int, int, str]:
    """How many rows are those of the truth, wherever they come; how many rows come at all; and what was raised."""
    found: Counter[Row] = Counter()
    error = "none"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning is as good as an error: somebody is told
        try:
            found.update(tuple("" if value is None else str(value) for value in row) for row in read(log))
        except Exception as problem:  # whatever a reader raises is its answer
            error = type(problem).__name__
    return (found & Counter(truth)).total(), found.total(), error


# ---- the readers --------------------------------------------------------------------------------------------


def _trackparse(log: Path) -> Iterator[Sequence[Any]]:
    import trackparse

    for batch in trackparse.open_log(log.with_suffix(".zip")):
        yield from _rows(batch)


def _csv(log: Path, **options: Any) -> Iterator[Sequence[str]]:
    import csv

    with log.open(encoding="utf-8", newline="") as file:
        next(file)
        yield from csv.reader(file, delimiter=";", **options)


def _pyarrow(log: Path, **options: Any) -> Iterator[Sequence[Any]]:
    import pyarrow as pa
    from pyarrow import csv

    table = csv.read_csv(
        log,
        csv.ReadOptions(column_names=list(COLUMNS), skip_rows=1),
        csv.ParseOptions(delimiter=";", newlines_in_values=True, **options),
        csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string())),
    )
    return _rows(table)


def _polars(log: Path) -> Iterator[Sequence[Any]]:
    import polars as pl

    schema = dict.fromkeys(COLUMNS, pl.String)
    return pl.read_csv(log, separator=";", has_header=False, skip_rows=1, schema=schema).iter_rows()


def _duckdb(log: Path, **options: str) -> Iterator[Sequence[Any]]:
    import duckdb

    given = "".join(f", {name} = {value}" for name, value in options.items())
    columns = dict.fromkeys(COLUMNS, "VARCHAR")
    query = f"FROM read_csv('{log}', delim = ';', header = false, skip = 1, columns = {columns}{given})"
    with duckdb.connect() as connection:
        return iter(connection.execute(query).fetchall())


def _pandas(log: Path, **options: Any) -> Iterator[Sequence[Any]]:
    import pandas as pd

    given: dict[str, Any] = {"header": None, "names": list(COLUMNS), "skiprows": 1, "dtype": str}
    frame: Any = pd.read_csv(log, sep=";", keep_default_na=False, **given, **options)
    yield from frame.itertuples(index=False)


def _rows(table: Any) -> Iterator[Sequence[Any]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


_LENIENT = {"strict_mode": "false"}
READERS: dict[str, Reader] = {
    "**trackparse**": _trackparse,
    "pyarrow": _pyarrow,
    "Polars": _polars,
    "pandas": _pandas,
    "`csv`": _csv,
    "DuckDB": _duckdb,
    "DuckDB with `strict_mode` off": lambda log: _duckdb(log, **_LENIENT),
    "pyarrow with `escape_char`": lambda log: _pyarrow(log, escape_char="\\"),
    "pandas with `escapechar`": lambda log: _pandas(log, escapechar="\\"),
    "`csv` with `escapechar`": lambda log: _csv(log, escapechar="\\"),
    "DuckDB with `strict_mode` off and `escape`": lambda log: _duckdb(
        log, quote="'\"'", escape="'\\'", strict_mode="false"
    ),
}


if __name__ == "__main__":
    main()
