"""How many cores this process may use. Imports nothing of trackparse."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final

_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUP: Final = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """The cores that this process may run on, or fewer where a container (cgroup version 2) gives it less time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return cores if quota is None else min(cores, quota)


@cache
def _quota() -> int | None:
    """How many cores the time would keep busy that the control group and those around it may use; None: no limit."""
    found: list[int] = []
    with suppress(OSError):
        for line in _OWN_GROUP.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            if line.startswith("0::/"):
                group = PurePosixPath(line[len("0::/") :])
                found += [cores for one in (group, *group.parents) if (cores := _quota_of(_GROUPS / one)) is not None]
    return min(found, default=None)


def _quota_of(group: Path) -> int | None:
    with suppress(OSError, ValueError, ZeroDivisionError):
        allowed, period = map(int, (group / "cpu.max").read_text(encoding="ascii").split())
        return max(1, -(-allowed // period))  # half a core is one
    return None  # "max", or no such file
