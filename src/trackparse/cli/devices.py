"""Counts distinct devices, in all and in each group. Memory has an upper limit, whatever a log holds.

A device is the 64-bit hash of its hardware id, so that millions fit. Up to a limit of pairs (group, device) the counts
are exact. Beyond it only the devices whose hash ends in a 0 bit are kept, then those that end in two, and so on: a
sample that does not depend on how often a device occurs. What is counted is then multiplied.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_MOST: Final = 1 << 21  # pairs; each takes 12 bytes
# Pairs are merged a part at a time, by bits of the hash: the hash table of a merge takes several times its pairs.
_PARTS: Final = 64
_PART_SHIFT: Final = 57
_MERGED_AT_LEAST: Final = 1 << 16  # new pairs
_SCHEMA: Final = pa.schema([("group", pa.int32()), ("device", pa.int64())])


class Devices:
    """Distinct devices of groups, which have numbers."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: list[pa.Table] = [_SCHEMA.empty_table()] * _PARTS
        self._new: list[tuple[array[int], array[int]]] = _nothing()
        self._waiting = 0  # pairs in ``_new``
        self._halvings = 0  # how often every second device was dropped

    def add(self, pairs: Iterable[tuple[int, bytes]]) -> None:
        """Count devices, each with the number of its group."""
        left_out = (1 << self._halvings) - 1
        for group, device in pairs:
            number = hash(device)  # with a key of this process, which a log cannot know
            if not number & left_out:
                groups, devices = self._new[number >> _PART_SHIFT & _PARTS - 1]
                groups.append(group)
                devices.append(number)
                self._waiting += 1
        if self._waiting >= max(_MERGED_AT_LEAST, sum(map(len, self._kept)) // 4):
            self._merge()

    def _merge(self) -> None:
        for part, (groups, devices) in enumerate(self._new):
            if groups:
                columns = [_array(pa.int32(), groups), _array(pa.int64(), devices)]
                both = pa.concat_tables([self._kept[part], pa.Table.from_arrays(columns, schema=_SCHEMA)])
                found = both.group_by(_SCHEMA.names, use_threads=False).aggregate([])
                self._kept[part] = found.select(_SCHEMA.names).combine_chunks()
        self._new, self._waiting = _nothing(), 0
        while sum(map(len, self._kept)) > self._most:
            self._halvings += 1
            left_out = pa.scalar((1 << self._halvings) - 1, pa.int64())
            for part, table in enumerate(self._kept):
                self._kept[part] = table.filter(pc.equal(pc.bit_wise_and(table["device"], left_out), 0))

    @property
    def share(self) -> int:
        """1 if the counts are exact; else they are reckoned from one device in so many."""
        return 1 << self._halvings

    def count(self) -> int:
        """How many distinct devices there are in all."""
        self._merge()
        return self.share * sum(len(pc.unique(table["device"])) for table in self._kept)

    def by_group(self) -> Counter[int]:
        """How many distinct devices each group has."""
        self._merge()
        counts: Counter[int] = Counter()
        for table in self._kept:
            found = table.group_by("group", use_threads=False).aggregate([([], "count_all")])
            for group, count in zip(found["group"].to_pylist(), found["count_all"].to_pylist(), strict=True):
                counts[group] += self.share * count
        return counts


def _nothing() -> list[tuple[array[int], array[int]]]:
    return [(array("i"), array("q")) for _ in range(_PARTS)]


def _array(kind: pa.DataType, numbers: array[int]) -> pa.Array:
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])
