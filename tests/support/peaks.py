"""Memory that each engine needs at most, all in all, for logs of some sizes. Each figure is of a process of its own,
and of those that it has started: for Spark these are Java and the Python that reads.

python tests/support/peaks.py --rows 1000000 --rows 4000000 --engine DuckDB
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import trackparse
from support.engines import ENGINES, FORMS, Engine
from trackparse.testing.sample import write_sample


def peak(engine: str, log: Path, small: Path) -> tuple[int, int]:
    """KiB that a new process had at most, and KiB of these since it had worked on a small log."""
    command = [sys.executable, __file__, "--here", engine, str(log), str(small)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **_ENVIRONMENT})
    most, more = done.stdout.split()[-2:]
    return int(most), int(more)


# No counts of users while tests run.
_ENVIRONMENT = {"RUNTIME__DLTHUB_TELEMETRY": "false"}


def _here(name: str, log: Path, small: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = _named(name)(Path(folder))
        for one in (small, log):
            for process in _processes(os.getpid()):
                Path(f"/proc/{process}/clear_refs").write_text("5")
            before = _all("VmRSS")
            engine.work(_source(engine, one))
        most = _all("VmHWM")
        engine.close()
        print(most, most - before)


def _named(name: str) -> type[Engine]:
    return next(engine for engine in ENGINES if engine.name == name)


def _source(engine: Engine, log: Path) -> object:
    """The dataset, or what the engine takes in its place."""
    forms = {"Iceberg": "`.to_reader()`", "dlt": "`.to_reader()`", "Spark": "`.files`"}
    return FORMS[forms.get(engine.name, "as it is")](trackparse.dataset(log))


def _all(name: str) -> int:
    """The sum over all processes. Of what each had at most, this is what they may have had together."""
    total = 0
    for process in _processes(os.getpid()):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        total += next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
    return total


def _processes(process: int) -> list[int]:
    """The process, and all below it."""
    found = [process]
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _processes(int(child))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, action="append")
    parser.add_argument("--engine", choices=[engine.name for engine in ENGINES], action="append")
    parser.add_argument("--here", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        _here(asked.here[0], Path(asked.here[1]), Path(asked.here[2]))
        return
    sizes = asked.rows or [1_000_000, 4_000_000]
    print(f"{datetime.date.today()}: MiB at most with {', '.join(f'{rows:,}' for rows in sizes)} rows")
    with tempfile.TemporaryDirectory() as folder:
        small, *logs = (Path(folder) / f"{rows}.zip" for rows in (1_000, *sizes))
        for rows, log in zip((1_000, *sizes), (small, *logs), strict=True):
            write_sample(log, rows=rows)
        for name in asked.engine or [engine.name for engine in ENGINES]:
            peaks = [peak(name, log, small)[0] >> 10 for log in logs]
            print(f"| {name} |", " | ".join(f"{most} MiB" for most in peaks), "|", flush=True)


if __name__ == "__main__":
    main()
