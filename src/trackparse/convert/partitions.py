"""Hive partitions: the records of a log by the values of some columns, a Parquet file for each combination.

Records are copied as they stand in the log, sorted by partition, and kept until the log has been read; what does not
fit into memory goes to a temporary file. Then one file is written after the other, so that each has as few row groups
as it can have, whatever the order of the log. A list beside the partitions says which files a log made, and whether all
of them are there.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import accumulate, chain, groupby, repeat
from pathlib import PurePosixPath
from typing import IO, Any, Final

from trackparse.atomic import all_or_none, name_errors_after
from trackparse.columns.builder import ColumnBuilder, runs_of
from trackparse.convert.conversion import PARTIAL
from trackparse.convert.outputs import DATE, NULL_VALUE, OWN_FOLDER
from trackparse.convert.parquet import ParquetSink
from trackparse.convert.places import Folder, Place
from trackparse.errors import LimitError, OptionError, TrackparseError
from trackparse.limits import Limits
from trackparse.options import ConvertOptions
from trackparse.records.kernel.chooser import kernel
from trackparse.records.kernel.codes import Buffer, Run
from trackparse.records.segments import Rejects, Segment
from trackparse.schema import EPOCH

# What Hive escapes in the name of a folder. No path can hold the first one.
_ESCAPED: Final = {ord(char): f"%{ord(char):02X}" for char in (*map(chr, range(0x20)), "\x7f", *"\"#%'*/:=?\\{[]^")}
_LONGEST_NAME: Final = 255  # bytes, of a folder
# Bytes of records in memory, with their tables. Days of ordinary size fit: they need no temporary file.
HELD_BYTES: Final = 96 << 20
_CHUNK_BYTES: Final = 1 << 10  # the objects of a chunk
# Files that get their names together. Each holds up to two open files, and some systems allow 256.
_TOGETHER: Final = 96


def folder_name(column: str, value: str | None) -> str:
    """The name of a folder, as Hive writes it: null and empty text have a name of their own.

    TrackparseError for a value that is too long.
    """
    name = f"{column}={value.translate(_ESCAPED) if value else NULL_VALUE}"
    if len(name.encode()) > _LONGEST_NAME:
        raise TrackparseError(
            f"partition_by: the {column} {(value or '')[:40]!r}... is too long for the name of a folder, which has at "
            f"most {_LONGEST_NAME} bytes",
            advice="partition by other columns",
            option="partition_by",
        )
    return name


# ---- the files of a log -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileList:
    """The files that a log made.

    made_of: what the log and the options were, as the metadata of its files say it.
    files: for each file its rows and its bytes; both are -1 where they are not known.
    whole: whether all of them are there.
    partial: the damage of the log, empty for a sound one.
    """

    made_of: Mapping[str, Any]
    files: Mapping[str, tuple[int, int]]
    whole: bool
    partial: str = ""

    @property
    def rows(self) -> int:
        return sum(rows for rows, _ in self.files.values())

    @property
    def size(self) -> int:
        return sum(size for _, size in self.files.values())

    def to_json(self) -> bytes:
        """What ``file_list_of`` reads."""
        told = {"made_of": self.made_of, "whole": self.whole, "partial": self.partial, "files": self.files}
        return json.dumps(told, indent=1).encode() + b"\n"


def file_list_of(data: bytes, file_name: str) -> FileList | None:
    """The list of the files of a log, all called ``file_name``; None if the bytes hold something else.

    Files of the list may be removed, so a name that leads out of the partitions makes it something else, too.
    """
    is_ours = re.compile(rf"(?:[^/\\\0-\x1f]+=[^/\\\0-\x1f]+/)+{re.escape(file_name)}").fullmatch
    try:
        told = json.loads(data)
        files = {name: (int(rows), int(size)) for name, (rows, size) in told["files"].items()}
        if not all(is_ours(name) and name.encode() for name in files):
            return None
        return FileList(dict(told["made_of"]), files, bool(told["whole"]), str(told["partial"]))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


class Lake:
    """The partitions that one log is written to, in a folder that it shares with other logs.

    folder: the folder. name: that of the files of this log. by: the columns.
    """

    def __init__(self, folder: Folder, name: str, by: tuple[str, ...]) -> None:
        self.folder = folder
        self.name = name
        self.by = by
        self.list_name = f"{OWN_FOLDER}/{PurePosixPath(name).with_suffix('.json')}"

    def old_list(self) -> FileList | None:
        """The list of the files that this log, or another one of this name, made before. TrackparseError if the file
        in its place is no such list.
        """
        place = self.folder.place(self.list_name)
        file = place.open_old()
        if file is None:
            return None
        with file:
            found = file_list_of(file.read(), self.name)
        if found is None:
            raise TrackparseError(f"{place.name}: not a list of the files of a log", advice="move it away")
        return found

    def lost_or_changed(self, found: FileList) -> tuple[list[str], list[str]]:
        """The files of the list that are not there, and those that have another size than they had."""
        sizes = self.folder.sizes(found.files)
        pairs = [*zip(found.files.items(), sizes, strict=True)]
        lost = [name for (name, _), size in pairs if size is None]
        return lost, [name for (name, (_, before)), size in pairs if size is not None and size != before]

    def file_name(self, values: Iterable[str | None]) -> str:
        """The file of the partition with these values, from the folder on."""
        return "/".join([*map(folder_name, self.by, values), self.name])


# ---- records by partition -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Records in the order of their partitions. ``starts`` says where the records of each begin, and where all end."""

    columns: tuple[str, ...]
    data: bytes
    fields: bytes
    timestamps: bytes
    starts: array[int]

    @property
    def parts(self) -> int:
        return len(self.starts) - 1

    @property
    def size(self) -> int:
        tables = len(self.fields) + len(self.timestamps) + self.starts.itemsize * len(self.starts)
        return len(self.data) + tables + _CHUNK_BYTES

    def records_of(self, part: int) -> int:
        return self.starts[part + 1] - self.starts[part] if part < self.parts else 0

    def segment(self, part: int) -> Segment:
        """The records of a partition."""
        start, stop = self.starts[part], self.starts[part + 1]
        row = 4 * (len(self.columns) + 1)
        fields = memoryview(self.fields)[start * row : stop * row]
        return _segment(self.columns, self.data, fields, memoryview(self.timestamps)[start * 8 : stop * 8])


def _segment(columns: tuple[str, ...], data: Buffer, fields: Buffer, timestamps: Buffer) -> Segment:
    """A segment to build columns from. All that the stream counts is 0."""
    return Segment("", data, columns, len(timestamps) // 8, fields, timestamps, 0, 0, Rejects(), 0, 0, 0, 0, 0)


def _sorted_by(segments: Sequence[Segment], codes: Buffer, parts: int) -> _Chunk:
    """The records of segments that have the same columns. ``codes`` are the numbers of their partitions."""
    columns = segments[0].columns
    runs = [Run(one.data, one.fields, one.records, len(columns), 0) for one in segments]
    times = b"".join(memoryview(one.timestamps)[: one.records * 8] for one in segments)
    data, fields, timestamps, counts = kernel.parted(runs, times, codes, parts)
    return _Chunk(columns, data, fields, timestamps, array("I", accumulate(array("I", counts), initial=0)))


class _Partitioner:
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
        runs = runs_of(segments)
        records = sum(segment.records for segment in segments)
        words = array("i", bytes(self._row * records))
        for number, name in enumerate(self._by):
            if name == DATE:
                times = b"".join(memoryview(one.timestamps)[: one.records * 8] for one in segments)
                codes = kernel.days(times)
            else:
                # Empty text and null are one partition.
                codes = self._values[name].encode(runs(name), True)
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


class _Spilled:
    """Records in a temporary file, which has no name and is gone when the process ends."""

    def __init__(self, folder: str | None) -> None:
        """``folder`` is where there is room. None: the folder for temporary files."""
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by ``close``
        self._places: dict[int, list[tuple[int, tuple[int, ...], tuple[str, ...]]]] = {}

    def add(self, part: int, chunk: _Chunk) -> None:
        """Append the records of a chunk, which has one partition."""
        at = self._file.seek(0, os.SEEK_END)
        tables = (chunk.data, chunk.fields, chunk.timestamps)
        self._file.writelines(tables)
        self._places.setdefault(part, []).append((at, tuple(map(len, tables)), chunk.columns))

    def segments(self, part: int) -> Iterator[Segment]:
        """The records of a partition that were added since it was asked for last."""
        for at, lengths, columns in self._places.pop(part, ()):
            self._file.seek(at)
            data, fields, timestamps = (self._file.read(length) for length in lengths)
            yield _segment(columns, data, fields, timestamps)

    def close(self) -> None:
        self._file.close()


class _File:
    """One Parquet file that is written."""

    def __init__(
        self, place: Place, builder: ColumnBuilder, options: ConvertOptions, metadata: Mapping[str, str]
    ) -> None:
        self.place = place
        self.rows = 0
        self._sink = ParquetSink(builder, place, options, metadata)

    def write(self, segments: list[Segment]) -> None:
        self.rows += sum(segment.records for segment in segments)
        self._sink.write(segments)

    def close(self, metadata: Mapping[str, str]) -> None:
        self._sink.close(metadata)

    def abort(self) -> None:
        self.place.abandon()
        self._sink.abort()


class PartitionSink:
    """The Parquet files of a log, one for each partition; and ``output``, which becomes the list of them.

    files: the list, when all is written.
    """

    files: FileList

    def __init__(
        self,
        builder: ColumnBuilder,
        output: Place,
        options: ConvertOptions,
        metadata: Mapping[str, str],
        *,
        lake: Lake,
        made_of: Mapping[str, Any],
        replace: bool,
    ) -> None:
        """``replace``: whether files that nobody knows of may be written over."""
        self._new_file = partial(_File, builder=_without(builder, lake.by), options=options, metadata=metadata)
        self._most = options["limits"].max_partitions
        self._output = output
        self._lake = lake
        self._made_of = made_of
        self._replace = replace
        self._partitioner = _Partitioner(lake.by)
        self._held: list[_Chunk] = []
        self._held_bytes = 0
        self._opened = ExitStack()
        self._spilled: _Spilled | None = None
        # More than memory holds is often one partition for the most part, the day of the log say: that is written
        # while the log is read.
        self._main_part = -1
        self._main: _File | None = None
        self._main_pending = ExitStack()

    def write(self, segments: list[Segment]) -> None:
        """Collect the records of these."""
        for _, group in groupby((one for one in segments if one.records), lambda one: one.columns):
            alike = [*group]
            codes = self._partitioner.codes(alike)
            parts = len(self._partitioner)
            if self._most is not None and parts > self._most:
                raise LimitError(
                    f"the log has more than {self._most} partitions by {', '.join(self._lake.by)}",
                    advice="partition by columns with fewer values, or raise Limits.max_partitions",
                    option="partition_by",
                )
            self._hold(_sorted_by(alike, codes, parts))
        if self._held_bytes > HELD_BYTES:
            self._relieve()

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the files, each with these metadata, too, and then their list."""
        if self._spilled is not None:
            self._relieve()
        parts = self._parts_by_file()
        old = self._lake.old_list()
        before: Mapping[str, object] = {} if old is None else old.files
        self._check_others([name for name in parts if name not in before])
        # From here on a run that is killed leaves no file that is not in the list.
        known = dict.fromkeys((*before, *parts), (-1, -1))
        with all_or_none([self._lake.folder.place(self._lake.list_name)]) as [place]:
            _write(place, FileList(self._made_of, known, whole=False))
        stale = [name for name in before if name not in parts]
        main = {name for name, numbers in parts.items() if self._main_part in numbers}
        others = sorted(parts.keys() - main)
        made: dict[str, tuple[int, Place]] = {}  # rows; not the file itself, which has memory for its columns
        for start in range(0, len(others) or 1, _TOGETHER):
            names = others[start : start + _TOGETHER]
            for name in names:
                self._lake.folder.make_folder_of(name)
            with all_or_none([self._lake.folder.place(name) for name in names]) as places:
                for name, place in zip(names, places, strict=True):
                    made[name] = self._write_file(self._new_file(place), parts[name], metadata)
                if self._main is not None and not main <= made.keys():
                    [name] = main
                    made[name] = self._write_file(self._main, parts[name], metadata)
                # Before the new files have their names: no row is ever there twice.
                for name in stale:
                    self._remove(name)
                stale = []
            self._main_pending.close()
        self._opened.close()
        files = {name: (made[name][0], made[name][1].size) for name in sorted(made)}
        self.files = FileList(self._made_of, files, whole=True, partial=metadata.get(PARTIAL, ""))
        _write(self._output, self.files)

    def abort(self) -> None:
        """Forget all records, after an error."""
        error = sys.exc_info()
        if self._main is not None:
            self._main.abort()
        for opened in (self._main_pending, self._opened):
            with suppress(Exception):
                opened.__exit__(*error)

    # ---- what happens inside ----------------------------------------------------------------------------

    def _hold(self, chunk: _Chunk) -> None:
        if self._main is not None and chunk.records_of(self._main_part):
            self._main.write([chunk.segment(self._main_part)])
            # The others are copied: what is written must not stay in memory.
            rest = [part for part in range(chunk.parts) if part != self._main_part and chunk.records_of(part)]
            if not rest:
                return
            codes = array("i", chain.from_iterable(repeat(part, chunk.records_of(part)) for part in rest))
            chunk = _sorted_by([chunk.segment(part) for part in rest], codes.tobytes(), chunk.parts)
        self._held.append(chunk)
        self._held_bytes += chunk.size

    def _relieve(self) -> None:
        """Free the memory of all records that are held: write them, or put them into a temporary file."""
        parts = range(len(self._partitioner))
        if self._main is None:
            counts = [sum(chunk.records_of(part) for chunk in self._held) for part in parts]
            if 2 * max(counts) > sum(counts):
                self._begin_main(counts.index(max(counts)))
        for part in parts:
            if part == self._main_part and self._main is not None:
                for segments in self._segments(part):
                    self._main.write(segments)
            else:
                self._spill(part)
        self._held, self._held_bytes = [], 0

    def _begin_main(self, part: int) -> None:
        name = self._lake.file_name(self._partitioner.values()[part])
        self._lake.folder.make_folder_of(name)
        [place] = self._main_pending.enter_context(all_or_none([self._lake.folder.place(name)]))
        self._main_part, self._main = part, self._new_file(place)

    def _spill(self, part: int) -> None:
        chunks = [chunk for chunk in self._held if chunk.records_of(part)]
        if not chunks:
            return
        if self._spilled is None:
            self._spilled = _Spilled(self._lake.folder.local_path)
            self._opened.callback(self._spilled.close)
        for _, group in groupby(chunks, lambda chunk: chunk.columns):
            segments = [chunk.segment(part) for chunk in group]
            records = sum(segment.records for segment in segments)
            with name_errors_after(self._output.name):
                self._spilled.add(part, _sorted_by(segments, bytes(4 * records), 1))

    def _segments(self, part: int) -> Iterator[list[Segment]]:
        """The records of a partition."""
        if self._spilled is not None:
            for segment in self._spilled.segments(part):
                yield [segment]
        yield [chunk.segment(part) for chunk in self._held if chunk.records_of(part)]

    def _parts_by_file(self) -> dict[str, list[int]]:
        """The partitions of each file. They are several where a text is what stands for null."""
        found: dict[str, list[int]] = {}
        for part, values in enumerate(self._partitioner.values()):
            found.setdefault(self._lake.file_name(values), []).append(part)
        return found

    def _check_others(self, names: Sequence[str]) -> None:
        """TrackparseError if one of the files is there already."""
        for name, size in zip(names, [] if self._replace else self._lake.folder.sizes(names), strict=False):
            if size is not None:
                raise TrackparseError(
                    f"{self._lake.folder.shown(name)}: the file exists, and no conversion of this log made it",
                    advice="write to another folder, or write over it with existing='replace'",
                    option="existing",
                )

    def _write_file(self, file: _File, parts: Sequence[int], metadata: Mapping[str, str]) -> tuple[int, Place]:
        """Write what is left of partitions, and end their file. Its rows and its place."""
        try:
            for part in parts:
                for segments in self._segments(part):
                    file.write(segments)
            file.close(metadata)
        except BaseException:
            file.abort()
            raise
        return file.rows, file.place

    def _remove(self, name: str) -> None:
        with all_or_none([self._lake.folder.place(name)]) as [place]:
            place.stays_empty = True


def _without(builder: ColumnBuilder, by: Sequence[str]) -> ColumnBuilder:
    """A builder of the columns that stand in the files. OptionError if a partition would have the name of another."""
    for name in by:
        own = name == DATE and name in builder.names
        if own or name in (field.name for field in builder.payload.fields):
            raise OptionError(
                f"partition_by: the log has a column {name!r} of its own",
                advice=f"leave {name!r} out of columns=, or rename the column",
                option="partition_by",
            )
    names = [name for name in builder.names if name not in by]
    if not (names or builder.payload.fields):
        raise OptionError("partition_by: no column is left for the files", option="partition_by")
    return ColumnBuilder(builder.names, names, "string", (), Limits(), builder.payload)


def _write(place: Place, files: FileList) -> None:
    with name_errors_after(place.name), place.open() as sink:
        sink.write(files.to_json())
