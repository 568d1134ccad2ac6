"""Calls of the system that fail, one after the other: no half file, no lost one, and the right name in the message."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.cli import good, with_bad

TORTURE = Path(__file__).parent / "torture"
ROWS = 8_000  # of more than two buffers of the file
ALWAYS = 1 << 30


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("cc is not installed")
    if not Path("/proc/self/fd").exists():
        pytest.skip("there is no /proc here")
    library = tmp_path_factory.mktemp("shim") / "faults.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, TORTURE / "faults.c", "-ldl"], check=True)
    return library


@dataclass(frozen=True)
class Fault:
    call: str
    number: int  # errno; 0 makes a write short
    first: int = 1
    last: int = ALWAYS


def outcomes(shim: Path, folder: Path, name: str, suffix: str, faults: list[Fault]) -> list[list[Any]]:
    """Of a conversion with each fault: exit code, message, and what is there afterwards."""
    log, rejects = folder / "log.csv", f"bad{suffix}"
    good("convert", with_bad(log, 3), "-o", folder / "out.parquet", "--rejects", folder / rejects)
    with_bad(log, ROWS)
    told: list[tuple[object, ...]] = [
        (fault.call, f".{name}.", fault.number, fault.first, fault.last) for fault in faults
    ]
    # Renames are told by the new name, which has no dot in front.
    told = [(call, f"/{name}" if call == "rename" else path, *more) for call, path, *more in told]
    done = subprocess.run(
        [sys.executable, TORTURE / "system_calls.py", rejects, str(ROWS), json.dumps(told)],
        cwd=folder,
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


FAILING = [
    *(Fault("write", number, nth) for number in (errno.ENOSPC, errno.EIO, errno.EDQUOT) for nth in (1, 2, 3)),
    *(Fault(call, number) for call in ("fsync", "rename") for number in (errno.ENOSPC, errno.EIO)),
]
files = pytest.mark.parametrize(
    ("name", "suffix"), [("out", ".jsonl"), ("out", ".parquet"), ("bad", ".jsonl"), ("bad", ".parquet")]
)


def file_of(name: str, suffix: str) -> str:
    return "out.parquet" if name == "out" else f"bad{suffix}"


@files
def test_a_call_that_fails_changes_nothing_and_names_its_file(
    name: str, suffix: str, shim: Path, tmp_path: Path
) -> None:
    # A few rejects are written at once.
    faults = [fault for fault in FAILING if fault.first == 1 or name == "out"]
    found = outcomes(shim, tmp_path, name, suffix, faults)
    for fault, outcome in zip(faults, found, strict=True):
        message = f"trackparse: {file_of(name, suffix)}: {os.strerror(fault.number)}\n"
        assert outcome == [1, message, "old"], fault


@files
def test_a_close_that_fails_is_one_error_or_none(name: str, suffix: str, shim: Path, tmp_path: Path) -> None:
    faults = [Fault("close", errno.EIO, nth, nth) for nth in range(1, 6)]
    found = outcomes(shim, tmp_path, name, suffix, faults)
    for fault, (code, told, state) in zip(faults, found, strict=True):
        if code:
            assert (code, state) == (1, "old"), fault
            assert told.startswith(f"trackparse: {file_of(name, suffix)}: "), fault
            assert told.count("\n") == 1
        else:
            # What was written is on the disk already: only a lock was let go of, or nothing failed at all.
            assert state == "new", fault
    assert {code for code, _, _ in found} == {0, 1}


@files
def test_writes_that_are_short_or_interrupted_go_on(name: str, suffix: str, shim: Path, tmp_path: Path) -> None:
    faults = [Fault("write", number, first, 20) for number in (0, errno.EINTR) for first in (1, 2)]
    found = outcomes(shim, tmp_path, name, suffix, faults)
    assert [(code, state) for code, _, state in found] == [(0, "new")] * len(faults)
