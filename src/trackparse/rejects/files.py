"""Files of rejects (bad records), Parquet or JSON Lines: written batch by batch, read, and recognized."""

from __future__ import annotations

import base64
import io
import os
import re
import sys
from array import array
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, groupby
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Final, Protocol

import orjson
import pyarrow as pa

from trackparse.atomic import name_errors_after
from trackparse.errors import LimitError, OptionError, TrackparseError, one_line
from trackparse.limits import Limits
from trackparse.records.kernel.chooser import kernel
from trackparse.records.kernel.codes import JsonColumn
from trackparse.records.kernel.lines import BOM
from trackparse.rejects.kept import BATCH_BYTES, BATCH_ROWS, SCHEMA, Write, batch_of, repeated
from trackparse.sources.opening import open_anywhere
from trackparse.sources.source import Source
from trackparse.sources.urls import name_of

_PARQUET: Final = b"PAR1"
_BUFFER: Final = 1 << 20  # bytes
_SHOWN: Final = 100  # characters of a wrong value in a message
_TEXTS: Final = [field.name for field in SCHEMA if field.type != pa.int64()]
_KINDS: Final = {pa.int64(): "q", pa.string(): "t", pa.binary(): "b"}  # of ``JsonColumn``
_MOST: Final = (1 << 63) - 1
_LONGEST_REPEATED_IN_FILES: Final = 128  # characters of a header: the headers of both generations are shorter


class RejectsOutput(Protocol):
    """Where a file of rejects is written; ``name`` is how messages call it."""

    name: Path | str

    def open(self) -> pa.NativeFile:
        """The stream to write to, once."""


@contextmanager
def _write_parquet(sink: pa.NativeFile, metadata: Mapping[str, str]) -> Iterator[Write]:
    import pyarrow.parquet as pq  # imported late: most who read a log write no rejects

    with pq.ParquetWriter(sink, SCHEMA.with_metadata(dict(metadata)), compression="zstd") as writer:
        yield writer.write_batch


@contextmanager
def _write_json_lines(sink: pa.NativeFile, _: Mapping[str, str]) -> Iterator[Write]:
    yield lambda batch: sink.write(_json_lines(batch))


def _json_lines(batch: pa.RecordBatch) -> bytes:
    """A line for each row. JSON is text: bytes that are not UTF-8 are base64, in ``"raw_base64"``."""
    columns = []
    for field, column in zip(SCHEMA, batch.columns, strict=True):
        validity, first, *data = column.buffers()
        columns.append(JsonColumn(field.name, _KINDS[field.type], validity, first, *(data or (b"",))))
    return kernel.json_lines(columns, batch.num_rows)


def _parquet_batches(name: str, opened: BinaryIO, _: int) -> Iterator[pa.RecordBatch]:
    from trackparse.columns.pieces import (  # imported late: it imports pyarrow.parquet
        named_twice,
        open_parquet,
        pieces_of,
    )

    try:
        with open_parquet(opened, _TEXTS) as file:
            names = file.schema_arrow.names
            if "raw" not in names:
                raise TrackparseError(f"{name}: not a file of rejects: it has no column 'raw', only {names}")
            if twice := named_twice(file.schema_arrow, SCHEMA.names):
                raise TrackparseError(f"{name}: not a file of rejects: it has two columns {twice!r}")
            wanted = [one for one in SCHEMA.names if one in names]
            # Group by group: a batch over several would hold the values of all of them.
            groups = (file.iter_batches(BATCH_ROWS, [group], wanted) for group in range(file.num_row_groups))
            for found in chain.from_iterable(pieces_of(one, BATCH_BYTES) for one in chain.from_iterable(groups)):
                columns = [
                    found[field.name].cast(field.type) if field.name in names else pa.nulls(found.num_rows, field.type)
                    for field in SCHEMA
                ]
                batch = pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
                batch.validate(full=True)  # text that is not UTF-8
                yield batch
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TrackparseError(f"{name}: not a file of rejects, or it was cut: {one_line(str(error))}") from None


def _json_batches(name: str, opened: BinaryIO, line_most: int) -> Iterator[pa.RecordBatch]:
    rows: list[tuple[Any, ...]] = []
    size = number = 0
    while line := opened.readline(line_most):
        number += 1
        line = line.removeprefix(BOM)
        if line.isspace() or not line:
            continue
        rows.append(_row(line, f"{name}: line {number}", line_most))
        size += len(line)
        del line  # it may be long, and so may the rows: whoever takes a batch takes all of them
        if len(rows) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield _taken(rows)
            size = 0
    if rows:
        yield _taken(rows)


def _taken(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    """A batch of the rows, of which none are left."""
    columns = [*zip(*rows, strict=True)]
    rows.clear()
    return batch_of(columns)


def _row(line: bytes, place: str, line_most: int) -> tuple[Any, ...]:
    """The values for the columns of ``SCHEMA``, from one line of JSON. ``place`` is where it stands, for errors."""
    try:
        row = orjson.loads(line)
    except ValueError as error:
        if len(line) >= line_most:
            raise TrackparseError(f"{place}: not a reject: longer than {line_most:,} bytes") from None
        if not line.endswith((b"\n", b"}")) and line.startswith(b"{"):
            raise TrackparseError(
                f"{place}: it breaks off: the file was cut", advice="get the whole file, or convert the log again"
            ) from None
        raise TrackparseError(
            f"{place}: not a reject: not JSON: {error}",
            advice='in JSON, a quote inside a text is written \\" and a backslash \\\\',
        ) from None
    if not isinstance(row, dict):
        raise TrackparseError(f"{place}: not a reject: expected a JSON object")
    text, packed = row.get("raw"), row.get("raw_base64")
    if not isinstance(text, str) and not isinstance(packed, str):
        names = ", ".join(map(repr, row)) or "nothing"
        raise TrackparseError(
            f"{place}: not a reject: neither 'raw' nor 'raw_base64' is a text; it has {names[:_SHOWN]}"
        )
    try:
        raw = (
            base64.b64decode(packed, validate=True) if text is None and isinstance(packed, str) else str(text).encode()
        )
    except ValueError as error:
        raise TrackparseError(f"{place}: not a reject: 'raw_base64' is not base64: {error}") from None
    for field in SCHEMA:
        value = row.get(field.name)
        number = field.type == pa.int64()
        fits = type(value) is int and 0 <= value <= _MOST if number else isinstance(value, str)
        if not (fits or value is None):
            wanted = "a whole number from 0 on" if number else "a text"
            raise TrackparseError(f"{place}: not a reject: {field.name!r} is {str(value)[:_SHOWN]!r}, not {wanted}")
    return tuple(raw if name == "raw" else row.get(name) for name in SCHEMA.names)


# How the files of _write_json_lines start.
_FIRST_JSON: Final = re.compile(
    rb'\{"member":(?:null|"(?:[^"\\]|\\.)*")(?:,"(?:record|line|byte_offset)":(?:null|\d+)){3},"reason":"[a-z0-9_]+",'
)
_FIRST_BYTES: Final = 4 << 10


def _format(name: Path | str) -> Any:
    try:
        return _FORMATS[PurePath(name).suffix.lower()]
    except KeyError:
        raise OptionError(f"{name}: a file of rejects is named *.parquet or *.jsonl") from None


@contextmanager
def rejects_writer(output: RejectsOutput, metadata: Mapping[str, str], limits: Limits) -> Iterator[Write]:
    """A function that writes batches of rejects to ``output``, in the format that the suffix of its name says.

    With no rejects nothing is opened. An OSError, and the LimitError of a file that becomes too large, are about the
    name.
    """
    most, name = limits.max_rejects_file_bytes, output.name
    header = ""  # the last one that was written
    sink: Any = None
    write: Write

    with ExitStack() as opened:

        def named(batch: pa.RecordBatch) -> None:
            nonlocal header, sink, write
            batch, header = _with_headers_once(batch, header)
            with name_errors_after(name):
                if sink is None:
                    sink = opened.enter_context(output.open())
                    write = opened.enter_context(_format(name)[0](sink, metadata))
                write(batch)
                size = sink.tell()
            if most is not None and size > most:
                raise LimitError(
                    f"{name}: the file of rejects has more than {most} bytes",
                    advice="look at what is wrong with the log, skip bad records (on_error='skip'), or raise "
                    "Limits.max_rejects_file_bytes",
                    option="limits",
                )

        try:
            yield named
        except BaseException:
            # The first error is the one to report; the file is thrown away.
            with suppress(OSError):
                opened.close()
            raise
        with name_errors_after(name):
            opened.close()


def _with_headers_once(batch: pa.RecordBatch, last: str) -> tuple[pa.RecordBatch, str]:
    """The batch with each long header written once, null in the rows that repeat it; and the last header in it.

    ``last`` is the header of the row above the batch.
    """
    texts: list[tuple[str | None, int]] = []
    for header, count in _runs(batch["header"]):
        once = header is not None and len(header) > _LONGEST_REPEATED_IN_FILES
        first = None if once and header == last else header
        texts += (first, 1), (None if once else header, count - 1)
        last = header or last
    at = SCHEMA.get_field_index("header")
    return batch.set_column(at, SCHEMA.field(at), repeated(texts)), last


def _runs(column: pa.StringArray) -> Iterator[tuple[str | None, int]]:
    """Each text of a column, and how often it stands there one behind the other.

    pyarrow's run_end_encode does that, too; but its module adds functions while it is imported, and a row group that is
    written by another thread at that moment does not find those that it needs.
    """
    count = len(column)
    first = (column[0].as_py() or "").encode()
    if first and not column.offset:
        # Nearly always one header stands above them all. To make text of each is slow.
        _, offsets, data = column.buffers()
        same = array("i", range(0, len(first) * count + 1, len(first))).tobytes()
        size = len(first)
        # Each is the one before it. They are compared where they are, as a copy of them may be many megabytes.
        if offsets[: len(same)].to_pybytes() == same and data[: size * count - size].equals(data[size : size * count]):
            yield first.decode(), count
            return
    elif column.null_count == count:
        yield None, count
        return
    for text, some in groupby(column.to_pylist()):
        yield text, sum(1 for _ in some)


def check_rejects_name(name: Path | str) -> None:
    """OptionError if the suffix is neither ``.parquet`` nor ``.jsonl``."""
    _format(name)


def check_old_rejects(name: Path | str, old: BinaryIO | None) -> None:
    """TrackparseError if ``rejects_writer`` did not write the old file: it would be lost. Closes it."""
    if old is None:
        return
    with old:
        if old.seek(0, os.SEEK_END) and not _are_rejects(name, old):
            raise TrackparseError(
                f"{name}: not a file of rejects, and it would be replaced by one",
                advice="name another file for the rejects, or move this one away",
            )


def holds_rejects(path: Path) -> bool:
    """Whether ``rejects_writer`` wrote the file. OSError, with its path, if it cannot be read."""
    if path.suffix.lower() not in _FORMATS or not path.is_file():
        return False
    with path.open("rb") as file:
        return _are_rejects(path, file)


def _are_rejects(name: Path | str, file: BinaryIO) -> bool:
    with name_errors_after(name):
        file.seek(0)
        return bool(_format(name)[2](file))


def _are_rejects_in_parquet(file: BinaryIO) -> bool:
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file)
    except pa.ArrowException:
        return False
    return schema.names == SCHEMA.names and b"trackparse.version" in (schema.metadata or {})


def _are_rejects_in_json_lines(file: BinaryIO) -> bool:
    return _FIRST_JSON.match(file.read(_FIRST_BYTES)) is not None


_FORMATS: Final = {
    ".parquet": (_write_parquet, _parquet_batches, _are_rejects_in_parquet),
    ".jsonl": (_write_json_lines, _json_batches, _are_rejects_in_json_lines),
}


def read_rejects(path: str | os.PathLike[str], *, filesystem: Any = None) -> pa.Table:
    """The bad records in a file that ``convert_log`` wrote, as a table with the columns of ``LogReader.rejects``.

    ``path`` is that of a ``.parquet`` or ``.jsonl`` file: a path, a URL or a path in ``filesystem``, as for
    ``open_log``. In JSON Lines the bytes of a row are text, in ``"raw"``, which you may mend with an editor; bytes that
    are not UTF-8 are base64, in ``"raw_base64"``.

    Raises TrackparseError if the file holds something else, OptionError for another suffix, OSError if the file cannot
    be read.

    >>> rows = trackparse.read_rejects("tracking_log.rejects.jsonl").to_pylist()
    """
    _format(name_of(path))
    with open_anywhere(path, filesystem) as source:
        return pa.Table.from_batches(RejectsFile(source, Limits(max_rejects_bytes=None)).batches(), schema=SCHEMA)


class RejectsFile:
    """A file of rejects that is open, to be read more than once. What has no name is told by its first bytes.

    A source that cannot seek is held in memory: LimitError if it has more than ``max_rejects_bytes``.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        self._name = source.name
        # JSON takes up to six bytes for one; there are other fields in the line, too.
        self._line_most = sys.maxsize if limits.max_rejects_bytes is None else 8 * limits.max_record_bytes
        if source.seekable:
            self._opened: BinaryIO = io.BufferedReader(_SourceFile(source), _BUFFER)
        else:
            self._opened = _held(source, limits.max_rejects_bytes)
        if source.name.startswith("<"):
            is_parquet = self._opened.read(len(_PARQUET)) == _PARQUET
            self._format = _FORMATS[".parquet" if is_parquet else ".jsonl"]
        else:
            self._format = _format(source.name)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rejects. TrackparseError if the file holds something else."""
        self._opened.seek(0)
        yield from self._format[1](self._name, self._opened, self._line_most)


def _held(source: Source, most: int | None) -> BinaryIO:
    held = io.BytesIO()
    while piece := source.read(_BUFFER):
        if most is not None and held.tell() + len(piece) > most:
            raise LimitError(
                f"{source.name}: more than {most} bytes of rejects, and they are held in memory",
                advice="save them as a file, and name that file",
            )
        held.write(piece)
    held.seek(0)
    return held


class _SourceFile(io.RawIOBase):
    """A source that can seek, as a file. The source stays open."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._source.position, os.SEEK_END: self._source.size or 0}[whence]
        self._source.seek(base + offset)
        return self._source.position

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
