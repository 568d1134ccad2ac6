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
from itertools import accumulate, chain, groupby, repeat
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
_NO_REJECTS: Final = Rejects()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records in the order of their partitions.

    headers: the different columns that they have. header_of: which of these each record has; empty if all have one.
    numbers: of the partitions, in their order: all, or those that have records here.
    starts: where the records of each begin, and where all end.
    words: the same in the field table, if there are several headers.
    """

    headers: Sequence[tuple[str, ...]]
    header_of: array[int]
    data: bytes
    fields: bytes
    timestamps: bytes
    numbers: Sequence[int]
    starts: array[int]
    words: array[int]

    @property
    def parts(self) -> list[int]:
        """The partitions that have records here."""
        starts = self.starts
        return [number for at, number in enumerate(self.numbers) if starts[at] < starts[at + 1]]

    @property
    def size(self) -> int:
        arrays = (self.header_of, self.starts, self.starts, self.words)
        tables = len(self.fields) + len(self.timestamps) + sum(one.itemsize * len(one) for one in arrays)
        objects = _CHUNK_BYTES + _PART_BYTES * len(self.numbers) + sum(map(bytes_of_names, self.headers))
        return len(self.data) + tables + objects

    def records_of(self, part: int) -> int:
        _, start, stop = self._range_of(part)
        return stop - start

    def _range_of(self, part: int) -> tuple[int, int, int]:
        """Where the partition stands in ``numbers``, and where its records begin and end."""
        at = bisect_left(self.numbers, part)
        if at == len(self.numbers) or self.numbers[at] != part:
            return 0, 0, 0
        return at, self.starts[at], self.starts[at + 1]

    def segments(self, part: int) -> Iterator[Segment]:
        """The records of a partition: a segment, or one for each stretch of records with the same columns."""
        at, record, end = self._range_of(part)
        fields, timestamps = memoryview(self.fields), memoryview(self.timestamps)
        word = self.words[at] if self.words else record * (len(self.headers[0]) + 1)
        stretches: Iterable[tuple[int, int]] = [(0, end - record)]
        if self.header_of:
            stretches = ((number, len([*same])) for number, same in groupby(self.header_of[record:end]))
        for number, records in stretches:
            columns, stop = self.headers[number], record + records
            past = word + (stop - record) * (len(columns) + 1)
            yield _segment(columns, self.data, fields[4 * word : 4 * past], timestamps[8 * record : 8 * stop])
            record, word = stop, past


def bytes_of_names(columns: tuple[str, ...]) -> int:
    """What the names of columns take in memory."""
    return sys.getsizeof(columns) + sum(map(sys.getsizeof, columns))


def _segment(columns: tuple[str, ...], data: Buffer, fields: Buffer, timestamps: Buffer) -> Segment:
    """A segment to build columns from. All that the stream counts is 0."""
    return Segment("", data, columns, len(timestamps) // 8, fields, timestamps, 0, 0, _NO_REJECTS, 0, 0, 0, 0, 0)


def sorted_by(segments: Sequence[Segment], codes: bytes, parts: int) -> Chunk:
    """The records of segments. ``codes`` are the numbers of their partitions."""
    numbers: Sequence[int] = range(parts)
    if parts > len(codes) // 4:
        # There may be many chunks of few records: a table of all partitions for each would be the square.
        found = array("i", codes)
        numbers = array("i", sorted({*found}))
        places = {number: at for at, number in enumerate(numbers)}
        codes = array("i", map(places.__getitem__, found)).tobytes()
    runs = [Run(one.data, one.fields, one.records, len(one.columns), 0) for one in segments]
    times = _times_of(segments)
    data, fields, timestamps, counts = kernel.parted(runs, times, codes, len(numbers))
    starts = array("I", accumulate(array("I", counts), initial=0))
    headers, header_of = _headers_of(segments, codes)
    words = array("Q")
    if header_of:
        sizes = [len(columns) + 1 for columns in headers]
        ends = [*accumulate(map(sizes.__getitem__, header_of), initial=0)]
        words = array("Q", map(ends.__getitem__, starts))
    return Chunk(headers, header_of, data, fields, timestamps, numbers, starts, words)


def _times_of(segments: Sequence[Segment]) -> bytes:
    return b"".join([memoryview(one.timestamps)[: one.records * 8] for one in segments])


def _headers_of(segments: Sequence[Segment], codes: bytes) -> tuple[list[tuple[str, ...]], array[int]]:
    """The different columns of segments, and which of them each record has, in the order of ``codes``."""
    found: dict[tuple[str, ...], int] = {}
    numbers = [found.setdefault(one.columns, len(found)) for one in segments]
    if len(found) == 1:
        return [*found], array("I")
    before = [*chain.from_iterable(map(repeat, numbers, (one.records for one in segments)))]
    order = sorted(range(len(before)), key=array("i", codes).__getitem__)
    return [*found], array("I", map(before.__getitem__, order))


def copied(segments: Sequence[Segment]) -> list[Segment]:
    """The records of the segments without the blocks that they stand in; neighbours that are alike become one."""
    found = []
    for (_, log), group in groupby(segments, lambda one: (one.columns, one.log)):
        alike = [*group]
        [one] = together(alike).segments(0)
        found.append(replace(one, member=alike[0].member, log=log))
    return found


def together(segments: Sequence[Segment]) -> Chunk:
    """The records of the segments in their order, as those of the partition 0."""
    return sorted_by(segments, bytes(4 * sum(one.records for one in segments)), 1)


class Partitioner:
    """Gives each record the number of its partition. Partitions are numbered as they are met."""

    def __init__(self, by: Sequence[str]) -> None:
        self._by = by
        self._values = {name: kernel.Dictionary() for name in by if name != DATE}
        self._parts = kernel.Dictionary()  # of partitions: the codes of their values, 4 bytes each
        self._row = 4 * len(by)
        self._offsets = array("i", [0])  # of these
        self._measured = 0  # partitions
        self._name_bytes = 0  # of their values

    def __len__(self) -> int:
        return len(self._parts)

    def codes(self, segments: Sequence[Segment]) -> bytes:
        """The int32 numbers of the partitions of all records."""
        runs = Runs(segments if self._values else ())
        records = sum(segment.records for segment in segments)
        words = array("i", bytes(self._row * records))
        for number, name in enumerate(self._by):
            # Empty text and null are one partition.
            is_date = name == DATE
            codes = kernel.days(_times_of(segments)) if is_date else self._values[name].encode(runs.of(name), True)
            words[number :: len(self._by)] = array("i", codes)
        if len(self._offsets) <= records:
            self._offsets = array("i", range(0, self._row * (records + 1), self._row))
        offsets = memoryview(self._offsets)[: records + 1]
        return self._parts.encode_strings(records, None, offsets, memoryview(words).cast("B"))

    def name_bytes(self) -> int:
        """The bytes of the values of all partitions: those of the names of their folders, for the most part."""
        codes = memoryview(self._parts.strings()[1]).cast("B").cast("i")[self._measured * len(self._by) :]
        self._measured = len(self)
        for number, name in enumerate(self._by):
            if name in self._values:
                ends = memoryview(self._values[name].strings()[0]).cast("B").cast("i")
                self._name_bytes += sum(
                    ends[code + 1] - ends[code] for code in codes[number :: len(self._by)] if code >= 0
                )
        return self._name_bytes

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

    def add(self, part: int, chunks: Iterable[Chunk]) -> None:
        """Append the records of these, which are all of this one partition."""
        self._places.setdefault(part, array("q")).append(self._file.seek(0, os.SEEK_END))
        # All that is known of them goes to the file: there may be very many.
        for one in chunks:
            tables = (one.data, one.fields, one.timestamps, one.header_of.tobytes())
            self._file.write(orjson.dumps([one.headers, [*map(len, tables)]]) + b"\n")
            self._file.writelines(tables)
        self._file.write(b"null\n")

    def chunks(self, part: int) -> Iterator[Chunk]:
        """The records of a partition that were added since it was asked for last."""
        for at in self._places.pop(part, ()):
            self._file.seek(at)
            while (found := orjson.loads(self._file.readline())) is not None:
                headers, lengths = found
                data, fields, timestamps, header_of = map(self._file.read, lengths)
                starts = array("I", (0, len(timestamps) // 8))
                yield Chunk(
                    [*map(tuple, headers)],
                    array("I", header_of),
                    data,
                    fields,
                    timestamps,
                    (part,),
                    starts,
                    array("Q", (0, len(fields) // 4)),
                )

    def close(self) -> None:
        self._file.close()
