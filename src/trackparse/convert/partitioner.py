"""Records by partition: each gets the number of its partition, and is copied beside the others of that number."""

from __future__ import annotations

import os
import sys
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import accumulate, groupby
from typing import IO, Any, Final

import orjson

from trackparse.columns.builder import Runs
from trackparse.convert.outputs import DATE
from trackparse.records.kernel.chooser import kernel
from trackparse.records.kernel.codes import Buffer, Run
from trackparse.records.segments import Rejects, Segment
from trackparse.schema import EPOCH

# Of blocks that stay in memory for records that wait. Where most of a log is left out, or bad, each has few of these:
# then the records are copied out of them.
BLOCK_BYTES: Final = 8 << 20
_CHUNK_BYTES: Final = 1 << 10  # the objects of a chunk
_PART_BYTES: Final = 16  # a chunk in the list of those that a partition has


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records in the order of their partitions.

    numbers: of the partitions, in their order: all, or those that have records here.
    starts: where the records of each begin, and where all end.
    """

    columns: tuple[str, ...]
    data: bytes
    fields: bytes
    timestamps: bytes
    numbers: Sequence[int]
    starts: array[int]

    @property
    def parts(self) -> list[int]:
        """The partitions that have records here."""
        starts = self.starts
        return [number for at, number in enumerate(self.numbers) if starts[at] < starts[at + 1]]

    @property
    def size(self) -> int:
        tables = len(self.fields) + len(self.timestamps) + 2 * self.starts.itemsize * len(self.starts)
        objects = _CHUNK_BYTES + _PART_BYTES * len(self.numbers) + sum(map(sys.getsizeof, self.columns))
        return len(self.data) + tables + objects

    def records_of(self, part: int) -> int:
        start, stop = self._range_of(part)
        return stop - start

    def _range_of(self, part: int) -> tuple[int, int]:
        at = bisect_left(self.numbers, part)
        if at == len(self.numbers) or self.numbers[at] != part:
            return 0, 0
        return self.starts[at], self.starts[at + 1]

    def segment(self, part: int) -> Segment:
        """The records of a partition."""
        start, stop = self._range_of(part)
        row = 4 * (len(self.columns) + 1)
        fields = memoryview(self.fields)[start * row : stop * row]
        return _segment(self.columns, self.data, fields, memoryview(self.timestamps)[start * 8 : stop * 8])


def _segment(columns: tuple[str, ...], data: Buffer, fields: Buffer, timestamps: Buffer) -> Segment:
    """A segment to build columns from. All that the stream counts is 0."""
    return Segment("", data, columns, len(timestamps) // 8, fields, timestamps, 0, 0, Rejects(), 0, 0, 0, 0, 0)


def sorted_by(segments: Sequence[Segment], codes: bytes, parts: int) -> Chunk:
    """The records of segments that have the same columns. ``codes`` are the numbers of their partitions."""
    columns = segments[0].columns
    numbers: Sequence[int] = range(parts)
    if parts > len(codes) // 4:
        # Headers may follow each other record by record: a table of all partitions for each would be the square.
        found = array("i", codes)
        numbers = sorted({*found})
        places = {number: at for at, number in enumerate(numbers)}
        codes = array("i", map(places.__getitem__, found)).tobytes()
    runs = [Run(one.data, one.fields, one.records, len(columns), 0) for one in segments]
    times = b"".join(memoryview(one.timestamps)[: one.records * 8] for one in segments)
    data, fields, timestamps, counts = kernel.parted(runs, times, codes, len(numbers))
    return Chunk(columns, data, fields, timestamps, numbers, array("I", accumulate(array("I", counts), initial=0)))


def copied(segments: Sequence[Segment]) -> list[Segment]:
    """The records of the segments without the blocks that they stand in; neighbours that are alike become one."""
    found = []
    for (_, log), group in groupby(segments, lambda one: (one.columns, one.log)):
        alike = [*group]
        records = sum(one.records for one in alike)
        chunk = sorted_by(alike, bytes(4 * records), 1)
        found.append(replace(chunk.segment(0), member=alike[0].member, log=log))
    return found


class Partitioner:
    """Gives each record the number of its partition. Partitions are numbered as they are met."""

    def __init__(self, by: Sequence[str]) -> None:
        self._by = by
        self._values = {name: kernel.Dictionary() for name in by if name != DATE}
        self._parts = kernel.Dictionary()  # of partitions: the codes of their values, 4 bytes each
        self._row = 4 * len(by)
        self._offsets = array("i", [0])  # of these

    def __len__(self) -> int:
        return len(self._parts)

    def codes(self, segments: Sequence[Segment]) -> bytes:
        """The int32 numbers of the partitions of all records."""
        runs = Runs(segments)
        records = sum(segment.records for segment in segments)
        words = array("i", bytes(self._row * records))
        for number, name in enumerate(self._by):
            if name == DATE:
                times = b"".join(memoryview(one.timestamps)[: one.records * 8] for one in segments)
                codes = kernel.days(times)
            else:
                # Empty text and null are one partition.
                codes = self._values[name].encode(runs.of(name), True)
            words[number :: len(self._by)] = array("i", codes)
        if len(self._offsets) <= records:
            self._offsets = array("i", range(0, self._row * (records + 1), self._row))
        offsets = memoryview(self._offsets)[: records + 1]
        return self._parts.encode_strings(records, None, offsets, memoryview(words).cast("B"))

    def values(self) -> list[list[str | None]]:
        """The values of each partition, in the order of the columns."""
        texts = {name: _texts(dictionary) for name, dictionary in self._values.items()}
        codes = memoryview(self._parts.strings()[1]).cast("B").cast("i").tolist()
        count = len(self._by)
        return [
            [_value(texts.get(name), code) for name, code in zip(self._by, codes[at : at + count], strict=True)]
            for at in range(0, len(codes), count)
        ]


def _texts(dictionary: Any) -> list[str]:
    offsets, data = dictionary.strings()
    ends, text = memoryview(offsets).cast("B").cast("i"), memoryview(data)
    return [str(text[ends[i] : ends[i + 1]], "utf-8") for i in range(len(dictionary))]


def _value(texts: list[str] | None, code: int) -> str | None:
    if texts is None:
        return (EPOCH.date() + timedelta(days=code)).isoformat()
    return None if code < 0 else texts[code]


class Spilled:
    """Records in a temporary file, which has no name and is gone when the process ends."""

    def __init__(self, folder: str | None) -> None:
        """``folder`` is where there is room. None: the folder for temporary files."""
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by ``close``
        self._places: dict[int, array[int]] = {}  # where something of a partition begins

    def add(self, part: int, segments: Iterable[Segment]) -> None:
        """Append the records of these."""
        self._places.setdefault(part, array("q")).append(self._file.seek(0, os.SEEK_END))
        # All that is known of them goes to the file: headers may follow each other record by record.
        for one in segments:
            tables = (one.data, one.fields, one.timestamps)
            self._file.write(orjson.dumps([one.columns, [*map(len, tables)]]) + b"\n")
            self._file.writelines(tables)
        self._file.write(b"null\n")

    def segments(self, part: int) -> Iterator[Segment]:
        """The records of a partition that were added since it was asked for last."""
        for at in self._places.pop(part, ()):
            self._file.seek(at)
            while (found := orjson.loads(self._file.readline())) is not None:
                columns, lengths = found
                data, fields, timestamps = map(self._file.read, lengths)
                yield _segment(tuple(columns), data, fields, timestamps)

    def close(self) -> None:
        self._file.close()
