"""Memory of a dataset of many logs, and of an eighth of them, through each of its methods but to_table.

python tests/torture/flat.py --rows 8000000
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from trackparse.testing.sample import write_sample

_LOG_ROWS = 100_000
# MiB more. Where the thread of a log ends late, that of the next log gets an arena of the allocator to itself: 10 MiB.
_MOST = 16
# What is run over the dataset ``ds``; each gives the number of rows.
WAYS = {
    "to_batches": "sum(batch.num_rows for batch in ds.to_batches())",
    "to_batches, three columns": "sum(batch.num_rows for batch in ds.to_batches(columns=['hwid', 'payload', 'log']))",
    "to_reader": "sum(batch.num_rows for batch in ds.to_reader(dictionary=['status', 'appCode']))",
    "an Arrow stream": "sum(batch.num_rows for batch in pyarrow.RecordBatchReader.from_stream(ds))",
    "DuckDB": "duckdb.execute('SELECT count(DISTINCT status) * 0 + count(*) FROM ds').fetchone()[0]",
    "events": "sum(1 for _ in ds.events())",
    "count_rows": "ds.count_rows()",
    "open": "sum(batch.num_rows for batch in ds.open(on_error='quarantine'))",
    "get_fragments": "sum(batch.num_rows for one in ds.get_fragments() for batch in one.to_batches())",
    "filter": "ds.filter(trackparse.Filter(since=datetime(2000, 1, 1))).count_rows()",
    "payload columns": "sum(batch.num_rows for batch in ds.to_batches(payload_columns={'alert': '/aps/alert'}))",
    "a notebook": "len(ds._repr_html_()) * 0 + ds.count_rows()",
    "head": "ds.head(5).num_rows * ds.count_rows() // 5",
}
_PROGRAM = """
import sys, duckdb, pyarrow, trackparse
from datetime import datetime
duckdb.execute("SET threads = 1; SET enable_progress_bar = false")
ds = trackparse.dataset(sorted(sys.argv[2:]))
assert eval(sys.argv[1]) == len(ds.files) * {rows}
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak(way: str, logs: list[Path]) -> int:
    """KiB that a new process needs for it, all in all."""
    command = [sys.executable, "-c", _PROGRAM.format(rows=_LOG_ROWS), WAYS[way], *map(str, logs)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8_000_000)
    count = parser.parse_args().rows // _LOG_ROWS
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "0000.zip"
        write_sample(first, rows=_LOG_ROWS)
        logs = [first]
        for number in range(1, count):
            logs.append(Path(folder) / f"{number:04}.zip")
            logs[-1].hardlink_to(first)
        for way in WAYS:
            few, many = peak(way, logs[: max(1, count // 8)]), peak(way, logs)
            worst = max(worst, (many - few) >> 10)
            print(f"{way}: {few >> 10} MiB, {many >> 10} MiB", flush=True)
    print(f"{count * _LOG_ROWS:,} rows: at most {worst} MiB more (bar: {_MOST})")
    return int(worst > _MOST)


if __name__ == "__main__":
    sys.exit(main())
