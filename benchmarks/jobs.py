"""Many logs, by one process and by several: what ``jobs=`` and ``threads=`` of ``convert_logs`` save. Makes its logs.

    python -m benchmarks.jobs --runs 3 --check

Each run is a process of its own; they take turns. Processor time is that of the process and of the workers that it
starts. Wall times need a machine with nothing else at work. Where two jobs are converted by one process, as one job is,
there is nothing to compare. With ``--check`` the exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from benchmarks import corpus
from benchmarks.partitions import cpu_seconds

# Logs, and rows of each.
CASES: Final = {
    "8 logs of 1,000,000 rows": (8, 1_000_000),
    "16 logs of 1,000,000 rows": (16, 1_000_000),
    "4 logs of 1,000,000 rows": (4, 1_000_000),
    "3 logs of 1,000,000 rows": (3, 1_000_000),
    "1,000 logs of 1,000 rows": (1_000, 1_000),
}
# Jobs and threads.
CONTENDERS: Final[dict[str, tuple[int, int | None]]] = {
    "1 job": (1, None),
    "1 job, 1 thread": (1, 1),
    "2 jobs": (2, None),
    "2 jobs, 1 thread": (2, 1),
}
_WALL: Final = 1.15  # of the processor's time, shared out to all cores
_SPEEDUP: Final = 1.8  # of two jobs, where each log has one thread
_MANY: Final = 16  # logs for these two bars: to start processes takes a part of the time of fewer


def copied(folder: Path, count: int, rows: int) -> Path:
    """A folder with the logs: one log under many names."""
    log = corpus.log("today", "php", rows)
    days = folder / "days"
    days.mkdir()
    for number in range(count):
        shutil.copyfile(log.path, days / f"{number:04}.zip")
    return days


def run(name: str, days: Path, lake: Path) -> dict[str, Any]:
    """Convert, in this process, and say what it took."""
    import trackparse
    import trackparse.convert.logs

    jobs, threads = CONTENDERS[name]
    workers = []
    sys.addaudithook(lambda event, _: workers.append(event) if event == "subprocess.Popen" else None)
    before, start = cpu_seconds(), time.perf_counter()
    for report in trackparse.convert_logs(days, lake, jobs=jobs, threads=threads):
        if report.error:
            raise report.error
    wall = time.perf_counter() - start
    cpu = cpu_seconds() - before
    content = sha256()
    files = sorted(lake.glob("*.parquet"))
    for file in files:
        content.update(file.read_bytes())
    return {
        "wall": wall,
        "cpu": cpu,
        "processes": max(1, len(workers)),
        "files": len(files),
        "content": content.hexdigest(),
    }


def measured(name: str, days: Path, folder: Path) -> dict[str, Any]:
    """``run`` in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="lake-", dir=folder) as lake:
        words = [sys.executable, "-m", "benchmarks.jobs", "--run", name, str(days), f"{lake}/lake"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: exit code {done.returncode}\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def bars(middle: dict[str, dict[str, float]], many: bool) -> list[tuple[str, bool]]:
    """What was asked of the medians, and whether it is so."""
    cores = len(os.sched_getaffinity(0))
    one, two = middle["1 job"], middle["2 jobs"]
    share = two["wall"] / (two["cpu"] / min(cores, 2))
    if two["processes"] == 1:
        told = [("2 jobs are one process, as 1 job is", True)]
    else:
        ratio = two["wall"] / one["wall"]
        told = [(f"2 jobs take {ratio:.2f} of the time of 1 (bar: 1)", ratio <= 1)]
    if many:
        speedup = middle["1 job, 1 thread"]["wall"] / middle["2 jobs, 1 thread"]["wall"]
        told += [
            (f"wall of 2 jobs is {share:.2f} of their processor time by core (bar: {_WALL})", share <= _WALL),
            (f"with 1 thread 2 jobs are {speedup:.2f} times as fast as 1 (bar: {_SPEEDUP})", speedup >= _SPEEDUP),
        ]
    return told


def main() -> int:
    """Measure all by turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--check", action="store_true", help="exit code 1 if a bar is missed")
    parser.add_argument("--run", nargs=3, metavar=("NAME", "DAYS", "LAKE"), help="one run, in this process")
    args = parser.parse_args()
    if args.run:
        print(json.dumps(run(args.run[0], Path(args.run[1]), Path(args.run[2]))))
        return 0
    missed = False
    for case in args.case or CASES:
        count, rows = CASES[case]
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
        with tempfile.TemporaryDirectory(prefix="trackparse-bench-") as folder:
            days = copied(Path(folder), count, rows)
            for _ in range(args.runs):
                for name in CONTENDERS:
                    found[name].append(measured(name, days, Path(folder)))
        assert {one["files"] for runs in found.values() for one in runs} == {count}
        assert len({one["content"] for runs in found.values() for one in runs}) == 1
        print(f"\n{case}; medians of {args.runs} turns")
        print(f"{'':20}{'processes':>10}{'wall s':>8}{'CPU s':>8}")
        middle = {
            name: {key: statistics.median(one[key] for one in runs) for key in ("processes", "wall", "cpu")}
            for name, runs in found.items()
        }
        for name, one in middle.items():
            print(f"{name:20}{one['processes']:10.0f}{one['wall']:8.2f}{one['cpu']:8.2f}")
        for told, fine in bars(middle, many=count >= _MANY and rows > corpus.SMALL):
            missed = missed or not fine
            print(f"  {told}{'' if fine else ': MISSED'}", flush=True)
    return int(args.check and missed)


if __name__ == "__main__":
    sys.exit(main())
