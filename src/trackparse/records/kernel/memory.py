"""Memory that the process has freed. ``native_memory.h`` is the same in C."""

from __future__ import annotations


def release_unused() -> None:
    """Give memory that was freed back to the system. Here nothing is done: that is for the C library alone."""
