"""As many worker processes as ``jobs=`` allows, however small the logs are and however few the cores."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def all_allowed(jobs: Sequence[object], most: int) -> int:
    """In place of ``running.useful_processes``."""
    return min(most, len(jobs))


# What a program begins with that is to do so. It fails where the function has moved.
START_ALL_ALLOWED = (
    "from trackparse.convert import running; assert running.useful_processes; "
    "running.useful_processes = lambda jobs, most: min(most, len(jobs)); "
)
# The command line.
PROGRAM_WITH_WORKERS = [sys.executable, "-c", f"{START_ALL_ALLOWED}from trackparse.cli import main; main()"]
