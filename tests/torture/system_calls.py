"""Converts a log once for each fault of the system, and prints what became of it. faults.c is preloaded."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pyarrow.parquet as pq
from click.testing import CliRunner

import trackparse
from trackparse.cli import cli

OUT = "out.parquet"


def main() -> None:
    """In the working directory there are a log of so many rows and one bad record, and old files."""
    rejects, rows, faults = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    old = content()
    for number, (call, path, error, first, last) in enumerate(faults, 1):
        for name in (OUT, rejects):
            Path(name).write_bytes(old[name])
        fault = {"CALL": call, "PATH": path, "ERRNO": error, "FROM": first, "TO": last, "ID": number}
        os.environ.update({f"FAULT_{name}": str(value) for name, value in fault.items()})
        result = CliRunner().invoke(cli, ["convert", "log.csv", "-o", OUT, "--rejects", rejects, "--quiet"])
        del os.environ["FAULT_CALL"]
        print(json.dumps([result.exit_code, result.stderr, state(old, rejects, rows)]), flush=True)
    # At the interpreter's end Arrow's threads are not always done: once "terminate called" was the last word.
    os._exit(0)


def content() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir()}


def state(old: dict[str, bytes], rejects: str, rows: int) -> str:
    """``old`` or ``new``, or what is there."""
    now = content()
    if now == old:
        return "old"
    whole = pq.read_table(OUT).num_rows == rows and trackparse.read_rejects(rejects).num_rows == 1
    return "new" if whole and now.keys() == old.keys() else f"{sorted(now)}"


if __name__ == "__main__":
    main()
