"""Records in the order of the parts that they belong to, by their day say. ``parts.h`` is the same in C.

Each record is copied, so that nothing of the block is kept for the sake of a few of its records.
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import Final

from trackparse.records.kernel.codes import NO_COLUMN, START_MASK, Buffer, Run

_DAY: Final = 86_400_000_000  # microseconds


def days(timestamps: Buffer) -> bytes:
    """The days of timestamps, int32, counted from 1970-01-01."""
    return array("i", (time // _DAY for time in memoryview(timestamps).cast("B").cast("q"))).tobytes()


def parted(runs: list[Run], timestamps: Buffer, codes: Buffer, parts: int) -> tuple[bytes, bytes, bytes, bytes]:
    """The records of the runs, in the order of their int32 ``codes``, which are less than ``parts``.

    Returns their bytes, each record with a line feed behind it; their field table, for these bytes; their timestamps;
    and how many records each part has, uint32. Records of a part stay in their order. Their widths may differ.
    """
    numbers = memoryview(codes).cast("B").cast("i")
    times = memoryview(timestamps).cast("B").cast("q")
    if parts < 1 or not len(numbers) == len(times) == sum(run.records for run in runs):
        raise ValueError("parted: arguments out of range")
    if any(run.field == NO_COLUMN for run in runs):
        raise ValueError("parted: arguments out of range")
    found: list[list[tuple[bytes, list[int], int]]] = [[] for _ in range(parts)]
    place = 0
    for run in runs:
        data, table = bytes(run.data), memoryview(run.fields).cast("B").cast("I")
        for at in range(0, run.records * (run.width + 1), run.width + 1):
            row = table[at : at + run.width + 1].tolist()
            start, end, code = row[0] & START_MASK, row[-1], numbers[place]
            if not (start <= end <= len(data) and 0 <= code < parts):
                raise ValueError("parted: a record does not lie in its block, or has no part")
            found[code].append((data[start:end], row, times[place]))
            place += 1
    ordered = [record for part in found for record in part]
    starts = accumulate((len(record) + 1 for record, _, _ in ordered), initial=0)
    fields = array("I")
    for start, (_, row, _) in zip(starts, ordered, strict=False):
        moved = (row[0] & START_MASK) - start
        fields.extend(word - moved for word in row)
    return (
        b"".join(record + b"\n" for record, _, _ in ordered),
        fields.tobytes(),
        array("q", (time for _, _, time in ordered)).tobytes(),
        array("I", map(len, found)).tobytes(),
    )
