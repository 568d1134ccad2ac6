"""Converts what somebody mended in a file of rejects. Each record is read by itself, and keeps its place in its log."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Unpack

from trackparse.columns.builder import ColumnBuilder
from trackparse.columns.payload import PayloadBuilder
from trackparse.convert.conversion import ConversionReport, convert
from trackparse.errors import ArchiveError, HeaderError, LimitError, OptionError, Position, TrackparseError
from trackparse.options import BinaryFile, ConvertOptions, Destination, ReadOptions, convert_options, read_options
from trackparse.progress import Progress, reporter
from trackparse.records.header import MAX_COLUMNS, header_line, parse_header
from trackparse.records.indexer import Indexer
from trackparse.records.kernel import codes
from trackparse.records.segments import Rejects, Segment, one_reject
from trackparse.records.stream import Stats, record_error
from trackparse.rejects.files import RejectsFile
from trackparse.rejects.kept import Quarantine
from trackparse.rejects.mended import MendedRow, mended_rows
from trackparse.schema import COLUMNS
from trackparse.sources.source import Source

# Options that mean nothing for a file of rejects.
_NOT_FOR_REJECTS: Final = {
    "members": "a file of rejects has no members",
    "on_damage": "a file of rejects that was cut is an error",
}


def convert_rejects(
    source: str | os.PathLike[str] | BinaryFile, dest: Destination, **options: Unpack[ConvertOptions]
) -> ConversionReport:
    """Write the records of a file of rejects that somebody has mended as a Parquet file, and report what was done.

    ``source`` is a file that ``convert_log`` wrote, ``*.jsonl`` or ``*.parquet``, whose ``raw`` you have changed where
    it was wrong: a path, a URL, or a binary file. ``dest`` and the options are those of ``convert_log``, but for
    ``members`` and ``on_damage``. Each record is read by itself, under its own header. ``raw`` may hold several
    records, and none if it is empty. A damaged header (``bad_header``) is mended once, in the ``raw`` of its own row.

    A record that is still bad is treated as ``on_error`` says. With ``on_error="quarantine"`` it goes to the file
    ``rejects``, or to ``report.rejects``, with the place that it has in its log: member, record, line, byte offset.

    Raises what ``convert_log`` raises; TrackparseError if the file holds something else than rejects, with the number
    of the line, or if none of the records is good. Nothing is written then.

    >>> options = {"on_error": "quarantine", "rejects": "day.mended.rejects.jsonl"}
    >>> report = trackparse.convert_rejects("day.rejects.jsonl", "day.mended.parquet", **options)
    >>> report.records, report.rejected
    (2, 0)
    """
    for name, why in _NOT_FOR_REJECTS.items():
        if name in options:
            raise OptionError(f"{name}: {why}")
    return convert(source, dest, convert_options(options), {}, open_reader=MendedRecords, what="file of rejects")


class MendedRecords:
    """Reads a file of rejects as ``LogReader`` reads a log: segments, stats, and what is still bad."""

    def __init__(self, source: Source, **options: Unpack[ReadOptions]) -> None:
        asked = read_options(options)
        self._source = source
        self._options = asked
        limits = asked["limits"]
        self._report = reporter(asked["progress"])
        self._start = time.monotonic()
        self._misfits = 0
        self._counts = dict.fromkeys(("records", "filtered", "rejected", "blank_lines", "unresolved"), 0)
        self._inflated = 0
        try:
            self._file = RejectsFile(source, limits)
            self._first = header_line(COLUMNS)  # for rows above the first header
            found = self._look()
            payload = PayloadBuilder(asked["payload_columns"] or {}, self._count_misfits)
            self.builder = ColumnBuilder(found, asked["columns"], "string", (), limits, payload)
            self._where = asked["where"] if asked["where"] and asked["where"].columns else None
            if self._where is not None:
                self._filter_columns = ColumnBuilder(found, self._where.columns, "string", (), limits)
        except BaseException:
            source.close()
            raise
        self._quarantine = Quarantine(limits, asked["on_rejects"])

    def _look(self) -> list[str]:
        """A first pass, for the headers: the schema has the columns of all of them. LimitError if they are too many."""
        columns = self._options["columns"]
        wanted = frozenset(columns or ())
        found = dict.fromkeys(COLUMNS)
        last = ""
        for one in self._rows():
            if one.header in (None, last) or one.is_lost:
                continue
            if not last:
                self._first = one.header
            last = one.header
            new = [name for name in _columns_of(last) if name not in found]
            if len(found) + len(new) > MAX_COLUMNS + len(COLUMNS):
                if columns is None:
                    raise LimitError(
                        f"{self._source.name}: its headers name more than {MAX_COLUMNS} columns together",
                        advice="name the columns that you want with columns=, or mend the file in parts",
                        option="columns",
                    )
                new = [name for name in new if name in wanted]
            found.update(dict.fromkeys(new))
        return [*found]

    @property
    def stats(self) -> Stats:
        """What was read so far. ``bytes_inflated`` counts the bytes of ``raw``."""
        return Stats(
            **self._counts,
            bytes_read=self._source.bytes_read,
            bytes_total=self._source.size,
            bytes_inflated=self._inflated,
            members=1,
            misfits=self._misfits,
        )

    @property
    def damage(self) -> list[ArchiveError | HeaderError]:
        """Empty: a file of rejects is read to its end, or not at all."""
        return []

    @property
    def rejects(self) -> Any:
        """What is still bad, if it is kept: a table as ``LogReader.rejects``."""
        return self._quarantine.table()

    def __enter__(self) -> MendedRecords:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()
        if self._report is not None:
            self._report.close()

    def segments(self) -> Iterator[list[Segment]]:
        """The segments of the good records. TrackparseError at the end if there was none."""
        indexer = Indexer(self._options["dialect"], self._options["limits"], self._options["block_size"])
        group: list[Segment] = []
        size = rows = 0
        for one in self._rows():
            rows += 1
            self._inflated += len(one.raw)
            for segment in [_lost(one)] if one.is_lost else self._read(indexer, one):
                size += segment.size
                self._take(segment, one)
                if segment.records:
                    group.append(segment)
                # Also within a row: a person may have put a whole log into one.
                if size >= self._options["block_size"] or len(group) >= codes.MOST_REJECTS:
                    yield self._wanted(group)
                    group, size = [], 0
        self._quarantine.flush()
        if not self._counts["records"]:
            name = self._source.name
            if not rows:
                raise TrackparseError(f"{name}: there are no rejects in it")
            raise TrackparseError(
                f"{name}: none of its {rows:,} records is good, so nothing was written",
                advice="mend them in 'raw', with an editor, and save the file",
            )
        yield self._wanted(group)

    def _rows(self) -> Iterator[MendedRow]:
        return mended_rows(row for row in _rows_of(self._file.batches()) if row["raw"] is not None)

    def _read(self, indexer: Indexer, one: MendedRow) -> Iterator[Segment]:
        """The segments of one row, read as a log of its own: a stray quote cannot swallow the next row."""
        indexer.start(str(one.row.get("member") or self._source.name))
        yield from indexer.feed(f"{one.header or self._first}\n".encode())
        yield from indexer.feed(one.raw)
        yield from indexer.finish()

    def _take(self, segment: Segment, one: MendedRow) -> None:
        """Count a segment. Its rejects get the place of the row that they come from."""
        self.builder.matching_schema([segment])
        counts = self._counts
        counts["records"] += segment.records
        counts["rejected"] += len(segment.rejects)
        counts["blank_lines"] += segment.blank_lines
        counts["unresolved"] += segment.unresolved
        if not segment.rejects or self._options["on_error"] == "skip":
            return
        if self._options["on_error"] == "raise":
            first = segment.rejects[0]
            place: list[Any] = [one.row.get(name) for name in ("record", "line", "byte_offset")]
            if None not in place[:2]:
                first = first._replace(position=Position(one.row.get("member") or "", *place))
            raise record_error(first)
        self._quarantine.add(_at_its_place(segment.rejects, one), segment.columns)
        self._quarantine.check()

    def _wanted(self, group: list[Segment]) -> list[Segment]:
        if self._report is not None:
            stats, elapsed = self.stats, time.monotonic() - self._start
            told = Progress(
                "reading", self._source.name, 1, 1, stats.bytes_read, stats.bytes_total, elapsed, stats=stats
            )
            self._report(told)
        if self._where is None or not group:
            return group
        wanted = self._where.select(group, self._filter_columns.build(group))
        self._counts["filtered"] += sum(one.records for one in group) - sum(one.records for one in wanted)
        return wanted

    def _count_misfits(self, values: int) -> None:
        self._misfits += values


def _rows_of(batches: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """The rows of batches. Neither a batch nor a row is held any longer when the next one is made: one may be long."""
    for batch in batches:
        rows = batch.to_pylist()
        del batch
        rows.reverse()
        while rows:
            yield rows.pop()


def _columns_of(header: str) -> tuple[str, ...]:
    return parse_header(header.encode()).columns


def _at_its_place(rejects: Rejects, one: MendedRow) -> Rejects:
    """The rejects of a row, all with the place that the row has in its log."""
    for word, name in ((codes.RECORD, "record"), (codes.LINE, "line"), (codes.BYTE_OFFSET, "byte_offset")):
        number = one.row.get(name)
        rejects = rejects.with_word(word, [codes.NO_PLACE if number is None else number] * len(rejects))
    return replace(rejects, member=one.row.get("member") or "")


def _lost(one: MendedRow) -> Segment:
    """The segment of a record whose columns are not known: a reject, as before."""
    rejects = one_reject(Position("", 0, 0, 0), codes.BAD_HEADER, one.raw)
    columns = _columns_of(one.header or "")
    return Segment("", b"", columns, 0, b"", b"", 0, 0, rejects, len(one.raw), 0, 0, 0, 0, trusted=False)
