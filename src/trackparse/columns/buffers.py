"""Recycles the buffers that columns are built in: fresh ones each time cost as much in page faults as filling them."""

from __future__ import annotations

import sys
from typing import Final

_GRAIN: Final = 1 << 16  # bytes: sizes are rounded up to it, so that a buffer fits its successor
_KEPT: Final = 24  # two batches of all columns
_KEPT_BYTES: Final = 32 << 20  # of all of them, but for the newest: one value may be as long as a record
# Below this the allocator recycles well by itself.
_SMALL: Final = 1 << 16


def _idle_count() -> int:
    """What getrefcount says of a buffer that only the pool and its loop know: interpreters differ."""
    for buffer in [bytearray()]:
        count = sys.getrefcount(buffer)
    return count


_IDLE: Final = _idle_count()


class BufferPool:
    """Hands out writable buffers; one that nobody refers to any more is handed out again."""

    def __init__(self) -> None:
        self._buffers: list[bytearray] = []

    def allocate(self, size: int) -> bytearray:
        """At least ``size`` bytes, with whatever stands in them."""
        if size < _SMALL:
            return bytearray(size)
        for buffer in self._buffers:
            if size <= len(buffer) <= 4 * size and sys.getrefcount(buffer) == _IDLE:
                return buffer
        fresh = bytearray(-(-size // _GRAIN) * _GRAIN)
        self._buffers.append(fresh)
        # Whoever keeps all batches keeps their buffers, too: the pool lets go of the oldest.
        while len(self._buffers) > _KEPT or sum(map(len, self._buffers[:-1])) > _KEPT_BYTES:
            del self._buffers[0]
        return fresh
