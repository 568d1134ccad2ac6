"""Kills conversions to partitions at random moments, on disk and on S3, and runs them again: every row once.

    python tests/torture/partitions.py --kills 20

The logs have other rows in each round, and other partitions, so that each run replaces files and removes some. After a
kill there is no half file, and no log whose list says that it is whole but that is not. After the next run each row is
there once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from support.ends import heed_signals
from support.s3 import Bucket, served
from support.workers import START_ALL_ALLOWED
from trackparse.testing.sample import COLUMNS, encode_row, sample_rows

NAMES = ("a", "b", "c")
BY = ("date", "appCode")
PROGRAM = (
    f"import sys, trackparse; {START_ALL_ALLOWED} print(0, flush=True); "
    f"reports = trackparse.convert_logs(sys.argv[1], sys.argv[2], partition_by={BY}, jobs=int(sys.argv[3])); "
    "sys.exit(str([report.error for report in reports if report.error] or '') or None)"
)
WAIT = 300.0  # seconds for a run


@dataclass
class Lake:
    """Where the logs go: what to call it, and how to see what is there."""

    name: str
    dest: str
    files: pafs.FileSystem
    path: str

    def parquet(self) -> dict[str, tuple[int, frozenset[str]]]:
        """Of each file its number of rows, and what identifies them. An error for a file that is not whole."""
        found = {}
        selector = pafs.FileSelector(self.path, recursive=True, allow_not_found=True)
        for info in self.files.get_file_info(selector):
            name = info.path.removeprefix(self.path).lstrip("/")
            if info.is_file and name.endswith(".parquet"):
                with self.files.open_input_file(info.path) as file:
                    table = pq.read_table(pa.BufferReader(file.read()))
                found[name] = (table.num_rows, frozenset(table["description"].to_pylist()))
        return found

    def lists(self) -> dict[str, Any]:
        """The list of the files of each log."""
        found = {}
        for name in NAMES:
            path = f"{self.path}/_trackparse/{name}.json"
            if self.files.get_file_info(path).is_file:
                with self.files.open_input_file(path) as file:
                    found[name] = json.loads(file.read())
        return found


@dataclass
class Findings:
    """What was seen; faults have to be none."""

    kills: Counter[str] = field(default_factory=Counter)
    ended_before: int = 0
    not_whole: int = 0  # logs whose list said that it was not whole
    faults: list[str] = field(default_factory=list)


def write_logs(folder: Path, turn: int, rows: int) -> dict[str, tuple[int, frozenset[str]]]:
    """Other rows in each turn. The files that they have to become: each with the number and the marks of its rows."""
    expected: dict[str, list[str]] = {}
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        lines = [f"//{';'.join(COLUMNS)}\n".encode()]
        for number, row in enumerate(sample_rows(rows, seed=turn)):
            date, app = f"2021-04-{20 + number % 2 + turn % 3}", f"A-{number * 7 % (5 + turn % 4)}"
            mark = f"{turn} {name} {number}"
            lines.append(encode_row((f"{date} 12:00:00", *row[1:5], mark, app, row[7])))
            expected.setdefault(f"date={date}/appCode={app}/{name}.parquet", []).append(mark)
        unfinished = folder / f".{name}.tmp"
        unfinished.write_bytes(b"".join(lines))
        os.utime(unfinished, (turn, turn))
        unfinished.rename(folder / f"{name}.csv")
    return {name: (len(marks), frozenset(marks)) for name, marks in expected.items()}


def run(logs: Path, lake: Lake, jobs: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(logs), lake.dest, str(jobs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for its end; what it says."""
    try:
        told = process.communicate(timeout=WAIT)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return "it does not end"
    return told.strip() or ("" if process.returncode == 0 else f"code {process.returncode}")


def torture(lake: Lake, logs: Path, kills: int, rows: int, rng: random.Random) -> Findings:
    """Kill so many runs that were at work."""
    findings = Findings()
    before: dict[str, tuple[int, frozenset[str]]] = {}
    turn, seconds = 0, 0.0
    while findings.kills.total() < kills:
        turn += 1
        jobs = 1 + turn % 2
        wanted = write_logs(logs, turn, rows)
        if turn > 1:
            number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
            process = run(logs, lake, jobs)
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 1.1) * seconds)
            early = process.poll() is None
            os.killpg(process.pid, number) if early else None
            told = ended(process)
            findings.kills[number.name] += early
            findings.ended_before += not early
            what = f"{lake.name}, turn {turn}, {number.name}"
            findings.faults += [f"{what}: {told}"] if told == "it does not end" else []
            look(lake, before, wanted, what, findings)
            told = f"{findings.kills.total()} kills, {len(findings.faults)} faults"
            print(f"{what}: {told}", file=sys.stderr, flush=True)
        process = run(logs, lake, jobs)
        assert process.stdout is not None
        process.stdout.readline()
        start = time.monotonic()
        told = ended(process)
        seconds = time.monotonic() - start
        found = lake.parquet()
        if told or found != wanted or not all(one["whole"] for one in lake.lists().values()):
            differ = {name for name in {*found, *wanted} if found.get(name) != wanted.get(name)}
            findings.faults.append(f"{lake.name}, turn {turn}, run again: {told} {sorted(differ)[:5]}")
        before = wanted
    return findings


def look(lake: Lake, before: Any, wanted: Any, what: str, findings: Findings) -> None:
    """What is left after a kill: old files and new ones, each whole; and a log that says that it is whole is whole."""
    try:
        found = lake.parquet()
    except (pa.ArrowInvalid, OSError) as error:
        findings.faults.append(f"{what}: a half file: {error}")
        return
    for name, rows in found.items():
        if rows not in (before.get(name), wanted.get(name)):
            findings.faults.append(f"{what}: {name} is neither the old nor the new file")
    for log, told in lake.lists().items():
        files = {name: rows for name, rows in found.items() if name.endswith(f"/{log}.parquet")}
        if told["whole"]:
            if files not in [{name: rows for name, rows in all_files.items() if name.endswith(f"/{log}.parquet")}
                             for all_files in (before, wanted)]:  # fmt: skip
                findings.faults.append(f"{what}: {log} says that it is whole, and is not")
        else:
            findings.not_whole += 1
            if not {*files} <= {*told["files"]}:
                findings.faults.append(f"{what}: {log} has files that its list does not have")


def main() -> None:
    """Print the figures; exit with 1 if anything was found."""
    heed_signals()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="on disk, and as many on S3")
    parser.add_argument("--rows", type=int, default=4_000, help="of a log")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["disk", "s3"])
    args = parser.parse_args()
    rng = random.Random(args.seed)
    faults = 0
    with tempfile.TemporaryDirectory() as root, ExitStack() as opened:
        places: list[Callable[[], Lake]] = []
        if args.only != "s3":
            places.append(lambda: Lake("disk", f"{root}/lake", pafs.LocalFileSystem(), f"{root}/lake"))
        if args.only != "disk":
            places.append(lambda: on_s3(opened.enter_context(served(Path(root)))))
        for place in places:
            lake = place()
            findings = torture(lake, Path(root) / "logs", args.kills, args.rows, rng)
            shutil.rmtree(Path(root) / "logs")
            print(f"{lake.name}: {findings.kills.total()} kills: {dict(findings.kills)}; ", end="")
            print(f"{findings.ended_before} runs had ended before; {findings.not_whole} logs were not whole")
            print(f"faults: {len(findings.faults)}", *findings.faults, sep="\n", flush=True)
            faults += len(findings.faults)
    sys.exit(bool(faults))


def on_s3(bucket: Bucket) -> Lake:
    return Lake("S3", bucket.url("lake"), bucket.pyarrow, "lake/lake")


if __name__ == "__main__":
    main()
