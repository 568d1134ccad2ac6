"""Hive partitions: the records of a log by the values of some columns, a Parquet file for each combination.

Records are copied as they stand in the log, sorted by partition, and kept until the log has been read; what does not
fit into memory goes to a temporary file. Then one file is written after the other, so that each has as few row groups
as it can have, whatever the order of the log. A list beside the partitions says which files a log made, and whether all
of them are there.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import chain, islice, repeat
from typing import Any, Final

from trackparse.atomic import all_or_none, name_errors_after, uninterrupted
from trackparse.columns.builder import ColumnBuilder
from trackparse.convert.changed import REJECTS_SUM
from trackparse.convert.conversion import ATTEMPTS, PARTIAL
from trackparse.convert.lake import FileList, Lake, tell_of_other_log
from trackparse.convert.outputs import DATE
from trackparse.convert.parquet import SOURCE, ParquetSink, read_footer, source_in
from trackparse.convert.partitioner import (
    BLOCK_BYTES,
    Chunk,
    Partitioner,
    Spilled,
    bytes_of_names,
    copied,
    sorted_by,
    together,
)
from trackparse.convert.places import Inputs, Place
from trackparse.errors import LimitError, OptionError, TrackparseError, printable
from trackparse.limits import Limits
from trackparse.options import ConvertOptions
from trackparse.records.kernel.chooser import kernel
from trackparse.records.segments import Segment

logger: Final = logging.getLogger("trackparse")

# Bytes of records in memory, with their tables. Days of ordinary size fit: they need no temporary file.
HELD_BYTES: Final = 80 << 20
# So many chunks fill that memory. Each costs objects for each partition and column; in larger ones the records of a
# partition lie too far from each other.
_CHUNKS: Final = 24
# So many records before a header are a chunk. Headers may follow each other record by record: fewer wait together with
# those behind it, as the columns of each record of such a chunk are told apart in Python.
_FEW_RECORDS: Final = 1024
# A place in the field table, and a time.
_OFFSET_BYTES: Final = 4
_TIME_BYTES: Final = 8
# A segment that waits: its object, and those that it refers to.
_SEGMENT_BYTES: Final = 600
# Segments that are handed on at once: of records with a header each there may be very many.
_SEGMENTS: Final = 1000
# Bytes that the values of a partition may have, for as many as there may be. The names of the files are in memory
# several times, some with four bytes for each character.
_NAME_BYTES: Final = 200
# Files that get their names together. Each holds up to two open files, and some systems allow 256.
_TOGETHER: Final = 96


class _AbortedError(Exception):
    """Tells what was opened that it ends with an error. Nobody sees it."""


class _PartitionFile:
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
        inputs: Inputs,
        replace: bool,
    ) -> None:
        """``inputs`` are never written over; files that are in no list only if ``replace`` says so."""
        self._new_file = partial(_PartitionFile, builder=_without(builder, lake.by), options=options, metadata=metadata)
        self._most = options["limits"].max_partitions
        self._output = output
        self._lake = lake
        self._made_of = made_of
        self._source = metadata[SOURCE]
        self._inputs = inputs
        self._replace = replace
        self._partitioner = Partitioner(lake.by)
        self._waiting: list[Segment] = []  # for a chunk
        self._waiting_columns: tuple[str, ...] = ()  # of the last of them
        self._waiting_records = self._waiting_bytes = self._block_bytes = 0
        self._held: dict[int, list[Chunk]] = {}  # those in which a partition has records
        self._held_bytes = 0
        # For ``abort``: the folders that were made, and all files, if there was no list of them before.
        self._new_folders: dict[str, None] = {}
        self._newly_listed: list[str] = []
        self._opened = ExitStack()
        self._spilled: Spilled | None = None
        # More than memory holds is often one partition for the most part, the day of the log say: that is written
        # while the log is read.
        self._main_part = -1
        self._main: _PartitionFile | None = None
        self._main_places: list[Place] = []
        self._main_pending = ExitStack()

    def write(self, segments: list[Segment]) -> None:
        """Collect the records of these."""
        for one in segments:
            if not one.records:
                continue
            if one.columns is not self._waiting_columns:
                if self._waiting_records >= _FEW_RECORDS and one.columns != self._waiting_columns:
                    self._make_chunk()
                self._waiting_columns = one.columns
                self._waiting_bytes += bytes_of_names(one.columns)
            if not self._waiting or self._waiting[-1].data is not one.data:
                self._block_bytes += len(one.data)
            self._waiting.append(one)
            self._waiting_records += one.records
            tables = one.records * (_OFFSET_BYTES * (len(one.columns) + 1) + _TIME_BYTES)
            self._waiting_bytes += one.record_bytes + tables + _SEGMENT_BYTES
            if self._waiting_bytes * _CHUNKS > HELD_BYTES:
                self._make_chunk()
            elif self._block_bytes > BLOCK_BYTES:
                self._waiting = copied(self._waiting)
                self._block_bytes = sum(len(one.data) for one in self._waiting)
                # Of a batch that was cut out of a block nobody has counted the bytes.
                self._waiting_bytes = max(self._waiting_bytes, self._block_bytes)
        if self._held_bytes > HELD_BYTES:
            self._relieve()

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the files, each with these metadata, too, and then their list."""
        self._make_chunk()
        if self._spilled is not None:
            self._relieve()
        parts = self._parts_by_file()
        old = self._lake.old_list(anew=self._replace)
        before = self._files_before(parts, old)
        stale = [name for name in before if name not in parts]
        self._check_is_no_log(parts)
        self._check_is_no_log(stale, follow=False)
        if (linked := self._lake.folder.linked((*parts, *stale))) is not None:
            raise TrackparseError(
                f"{self._lake.folder.shown(linked)}: the folder of a partition is a link: the files to which "
                "it leads may be those of others",
                advice="remove the link, or write to another folder",
            )
        # From here on a run that is killed leaves no file that is not in the list, and either file of rejects.
        rejects = (metadata[REJECTS_SUM],) if REJECTS_SUM in metadata else ()
        either = tuple(sorted({*rejects, *(old.rejects or () if old else ())}))
        known = dict.fromkeys((*before, *parts), (-1, -1))
        if old is None:
            self._newly_listed = [*known]
        with all_or_none([self._lake.folder.place(self._lake.list_name)]) as [place]:
            _write(place, FileList(self._made_of, known, whole=False, rejects=either))
        main = {name for name, numbers in parts.items() if self._main_part in numbers}
        others = sorted(parts.keys() - main)
        made: dict[str, tuple[int, Place]] = {}  # rows; not the file itself, which has memory for its columns
        for start in range(0, len(others) or 1, _TOGETHER):
            names = others[start : start + _TOGETHER]
            # When the new files are on the disk, and before they have their names: no row is ever there twice.
            with self._new_places(names, before_names=partial(self._remove, stale) if stale else None) as places:
                for name, place in zip(names, places, strict=True):
                    made[name] = self._write_file(self._new_file(place), parts[name], metadata)
                if self._main is not None and not main <= made.keys():
                    [name] = main
                    made[name] = self._write_file(self._main, parts[name], metadata)
                    # It gets its name together with these.
                    places += self._main_places
                    self._main_places.clear()
            stale = []
        self._main_pending.close()
        self._opened.close()
        files = {name: (made[name][0], made[name][1].size) for name in sorted(made)}
        self.files = FileList(self._made_of, files, whole=True, partial=metadata.get(PARTIAL, ""), rejects=rejects)
        _write(self._output, self.files)

    def abort(self) -> None:
        """Forget all records, after an error, and remove folders that were made for them, if nothing is in them."""
        error = _AbortedError()
        if self._main is not None:
            self._main.abort()
        for opened in (self._main_pending, self._opened):
            with suppress(Exception):
                opened.__exit__(_AbortedError, error, None)
        folder = self._lake.folder
        for name in reversed(self._new_folders):
            folder.remove_if_empty(name)
        # A list of files none of which is there is of no use. A store may not answer any more.
        if folder.local_path is not None and self._newly_listed and not any(folder.sizes(self._newly_listed)):
            with suppress(OSError):
                folder.remove(self._lake.list_name)

    # ---- what happens inside ----------------------------------------------------------------------------

    def _make_chunk(self) -> None:
        """Hold the records that wait."""
        if not self._waiting:
            return
        codes = self._partitioner.codes(self._waiting)
        parts = len(self._partitioner)
        if self._most is not None and parts > self._most:
            raise LimitError(
                f"the log has more than {self._most} partitions by {', '.join(self._lake.by)}",
                advice="partition by columns with fewer values, or raise Limits.max_partitions",
                option="partition_by",
            )
        most = None if self._most is None else self._most * _NAME_BYTES
        if most is not None and self._partitioner.name_bytes() > most:
            raise LimitError(
                f"the values of the partitions by {', '.join(self._lake.by)} have more than {most} bytes in all",
                advice="partition by columns with shorter values, or raise Limits.max_partitions",
                option="partition_by",
            )
        chunk = sorted_by(self._waiting, codes, parts)
        self._waiting = []
        self._waiting_columns = ()
        self._waiting_records = self._waiting_bytes = self._block_bytes = 0
        self._hold(chunk)

    def _hold(self, chunk: Chunk) -> None:
        if self._main is not None and chunk.records_of(self._main_part):
            for segments in _groups(chunk.segments(self._main_part)):
                self._main.write(segments)
            # The others are copied: what is written must not stay in memory.
            rest = [part for part in chunk.parts if part != self._main_part]
            if not rest:
                return
            codes = array("i", chain.from_iterable(repeat(part, chunk.records_of(part)) for part in rest))
            others = [segment for part in rest for segment in chunk.segments(part)]
            chunk = sorted_by(others, codes.tobytes(), rest[-1] + 1)
        for part in chunk.parts:
            self._held.setdefault(part, []).append(chunk)
        self._held_bytes += chunk.size

    def _relieve(self) -> None:
        """Free the memory of all records that are held: write them, or put them into a temporary file."""
        if self._main is None and self._held:
            counts = {part: sum(chunk.records_of(part) for chunk in chunks) for part, chunks in self._held.items()}
            most = max(counts, key=counts.__getitem__)
            if 2 * counts[most] > sum(counts.values()):
                self._begin_main(most)
        for part in self._held:
            if part == self._main_part and self._main is not None:
                self._write_part(self._main, part)
            else:
                self._spill(part)
        self._held, self._held_bytes = {}, 0
        kernel.release_unused()

    def _begin_main(self, part: int) -> None:
        name = self._lake.file_name(self._partitioner.values()[part])
        self._check_is_no_log([name])
        self._main_places = self._main_pending.enter_context(self._new_places([name]))
        self._main_part, self._main = part, self._new_file(self._main_places[0])

    @contextmanager
    def _new_places(
        self, names: Sequence[str], before_names: Callable[[], object] | None = None
    ) -> Iterator[list[Place]]:
        """The files to write, in folders that are made if they are missing. ``before_names`` as in ``all_or_none``."""
        folder = self._lake.folder
        with ExitStack() as opened:
            attempts_left = ATTEMPTS
            while True:
                attempts_left -= 1
                try:
                    for name in names:
                        # Noted first: a signal may come at any moment.
                        self._new_folders |= dict.fromkeys(folder.missing_folders(name))
                        folder.make_folder_of(name)
                    new = [folder.place(name) for name in names]
                    places = opened.enter_context(all_or_none(new, before_names=before_names))
                    break
                except FileNotFoundError:
                    if not attempts_left:
                        raise
            yield places

    def _remove(self, names: Iterable[str]) -> None:
        """Remove files, and the folders in which nothing is left."""
        folder = self._lake.folder
        for name in names:
            folder.remove(name)
            above = name
            while above := above.rpartition("/")[0]:
                folder.remove_if_empty(above)

    def _spill(self, part: int) -> None:
        if self._spilled is None:
            self._spilled = Spilled(self._lake.folder.local_path)
            self._opened.callback(self._spilled.close)
        with name_errors_after(self._output.name):
            self._spilled.add(part, map(together, self._held_segments(part)))

    def _segments(self, part: int) -> Iterator[list[Segment]]:
        """The records of a partition."""
        if self._spilled is not None:
            for chunk in self._spilled.chunks(part):
                yield from _groups(chunk.segments(part))
        yield from self._held_segments(part)

    def _held_segments(self, part: int) -> Iterator[list[Segment]]:
        return _groups(chain.from_iterable(chunk.segments(part) for chunk in self._held.get(part, ())))

    def _parts_by_file(self) -> dict[str, list[int]]:
        """The partitions of each file: one, or two where a value is the very text that stands for null."""
        found: dict[str, list[int]] = {}
        for part, values in enumerate(self._partitioner.values()):
            found.setdefault(self._lake.file_name(values), []).append(part)
        return found

    def _files_before(self, parts: Mapping[str, object], old: FileList | None) -> Collection[str]:
        """The files that the new ones replace, of the ``old`` list. TrackparseError for some that no list names."""
        before = self._lake.unlisted(parts) if old is None else [*old.files]
        names = [name for name in parts if name not in before]
        sizes = self._lake.folder.sizes(names)
        unlisted = [name for name, size in zip(names, sizes, strict=True) if size is not None]
        if old is None:
            unlisted += before
        if self._replace:
            if old is not None:
                source = None if "name" in old.made_of else self._source_before(old)
                tell_of_other_log(old.made_of, self._made_of, self._source, source)
            if unlisted:
                shown = map(printable, (self._source, str(self._lake.folder.shown(min(unlisted)))))
                logger.warning("%s: in place of files that no list of a conversion has, such as %s", *shown)
            return before
        if unlisted:
            raise TrackparseError(
                f"{self._lake.folder.shown(unlisted[0])}: the file exists, and no list of a conversion of this log "
                "has it",
                advice="write to another folder, or write over it with existing='replace'",
                option="existing",
            )
        return before

    def _write_part(self, file: _PartitionFile, part: int) -> None:
        for segments in self._segments(part):
            file.write(segments)

    def _source_before(self, old: FileList) -> str | None:
        """The log of which the files of a list were made, as the first of them says it; None if it does not."""
        for name in sorted(old.files)[:1]:
            with suppress(OSError, TrackparseError):
                if (file := self._lake.folder.place(name).open_old()) is not None:
                    with file:
                        footer = read_footer(file)
                    return None if footer is None else source_in(footer)
        return None

    def _write_file(self, file: _PartitionFile, parts: Sequence[int], metadata: Mapping[str, str]) -> tuple[int, Place]:
        """Write what is left of partitions, and end their file. Its rows and its place."""
        try:
            for part in parts:
                self._write_part(file, part)
            file.close(metadata)
        except BaseException:
            uninterrupted(file.abort)
            raise
        return file.rows, file.place

    def _check_is_no_log(self, names: Iterable[str], *, follow: bool = True) -> None:
        """OptionError if a file that is to be written, or removed, is a log of this run."""
        for name in names:
            place = self._lake.folder.place(name)
            log = self._inputs.at(place, follow=follow)
            if log is not None:
                raise OptionError(f"{place.name} is the log {printable(log)}: write to another folder")


def _groups(segments: Iterator[Segment]) -> Iterator[list[Segment]]:
    while group := [*islice(segments, _SEGMENTS)]:
        yield group


def _without(builder: ColumnBuilder, by: Sequence[str]) -> ColumnBuilder:
    """A builder of the columns that stand in the files. OptionError if a partition would have the name of another."""
    for name in by:
        if name in (field.name for field in builder.payload.fields):
            raise OptionError(
                f"partition_by: a payload column has the name {name!r}, too",
                advice="give it another name in payload_columns=",
                option="payload_columns",
            )
        if name == DATE and name in builder.names:
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
