"""Which programs are here, with which of their parts; and Python, run in a process of its own."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# A part of a program by name, and the command that fails without it.
_PARTS = {
    "php's class ZipArchive": ("php", "-r", "exit(method_exists('ZipArchive', 'open') ? 0 : 1);"),
    "zip's bzip2": ("sh", "-c", "zip -v | grep -q BZIP2_SUPPORT"),
}


@functools.cache
def here(tool: str) -> bool:
    """Whether the program is installed, or this part of it."""
    if tool not in _PARTS:
        return shutil.which(tool) is not None
    command = _PARTS[tool]
    program = tool.partition("'")[0]
    return here(program) and subprocess.run(command, check=False, capture_output=True).returncode == 0


def need(*tools: str) -> None:
    """Skip the test that runs where one of them is missing."""
    for tool in tools:
        if not here(tool):
            pytest.skip(f"{tool} is not installed")


def printed_by_python(*arguments: str | Path, timeout: float = 100) -> str:
    """What Python prints in a process of its own, which ends well; warnings are errors, and nothing goes to stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout
