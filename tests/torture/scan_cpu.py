"""CPU of a filtered scan_log over that of read_log with the same filter, by turns: the median of the turns' ratios.

python tests/torture/scan_cpu.py --rows 300000 --turns 31
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

import trackparse
from trackparse.polars import scan_log
from trackparse.testing.sample import write_sample

_MOST = 1.15


def _cpu(work: Callable[[], int]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--turns", type=int, default=31)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.zip"
        write_sample(path, rows=asked.rows)
        where = trackparse.Filter(statuses=["opened"])

        def read() -> int:
            rows: int = trackparse.read_log(path, columns=["hwid", "timestamp"], where=where).num_rows
            return rows

        def scan() -> int:
            opened = scan_log(path).filter(pl.col("status") == "opened")
            return opened.select("hwid", "timestamp").collect().height

        assert scan() == read() > 0
        turns = [(_cpu(read), _cpu(scan)) for _ in range(asked.turns)]
    ratio = statistics.median(mine / plain for plain, mine in turns)
    least = min(mine for _, mine in turns) / min(plain for plain, _ in turns)
    print(f"scan_log over read_log, CPU: {ratio:.2f} (bar: {_MOST}); of the least of each: {least:.2f}")
    return int(ratio > _MOST)


if __name__ == "__main__":
    sys.exit(main())
