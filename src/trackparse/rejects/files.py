"""Files of rejects (bad records), Parquet or JSON Lines: written batch by batch, read, and recognized."""

from __future__ import annotations

import base64
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Final, Protocol

import orjson
import pyarrow as pa

from trackparse.atomic import name_errors_after
from trackparse.errors import LimitError, OptionError, TrackparseError
from trackparse.limits import Limits
from trackparse.rejects.kept import BATCH_BYTES, BATCH_ROWS, SCHEMA, Write, array_of, batch_of
from trackparse.sources.opening import open_anywhere
from trackparse.sources.urls import name_of, scheme_of

_LONGEST_REPEATED_IN_FILES: Final = 128  # characters of a header: the headers of both generations are shorter


class Output(Protocol):
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
    yield lambda batch: sink.write(b"".join(map(_json_line, batch.to_pylist())))


def _json_line(row: dict[str, Any]) -> bytes:
    raw = row["raw"]
    try:
        row["raw"] = raw.decode()
    except UnicodeDecodeError:
        # JSON is text: bytes that are not UTF-8 are written as base64, under another name.
        row = {("raw_base64" if name == "raw" else name): value for name, value in row.items()}
        row["raw_base64"] = base64.b64encode(raw).decode()
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _read_parquet(name: str, opened: BinaryIO) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(opened) as file:
            found = file.read()
        columns = [
            found[field.name].cast(field.type)
            if field.name in found.column_names
            else pa.nulls(found.num_rows, field.type)
            for field in SCHEMA
        ]
    except pa.ArrowException as error:
        raise TrackparseError(f"{name}: not a file of rejects: {error}") from None
    if "raw" not in found.column_names:
        raise TrackparseError(f"{name}: not a file of rejects: it has no column 'raw', only {found.column_names}")
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _read_json_lines(name: str, opened: BinaryIO) -> pa.Table:
    batches: list[pa.RecordBatch] = []
    rows: list[tuple[Any, ...]] = []
    size = number = 0
    try:
        for number, line in enumerate(opened, 1):  # noqa: B007 - the error names it
            if line.isspace():
                continue
            rows.append(_row(orjson.loads(line)))
            size += len(line)
            if len(rows) >= BATCH_ROWS or size >= BATCH_BYTES:
                batches.append(batch_of(zip(*rows, strict=True)))
                rows, size = [], 0
        if rows:
            batches.append(batch_of(zip(*rows, strict=True)))
    except (ValueError, TypeError, pa.ArrowException) as error:
        raise TrackparseError(f"{name}: line {number}: not a reject: {error}") from None
    return pa.Table.from_batches(batches, schema=SCHEMA)


def _row(row: Any) -> tuple[Any, ...]:
    """The values for the columns of ``SCHEMA``, from one JSON object."""
    if not isinstance(row, dict):
        raise TypeError("expected a JSON object")
    text, packed = row.get("raw"), row.get("raw_base64")
    if isinstance(text, str):
        raw = text.encode()
    elif isinstance(packed, str):
        raw = base64.b64decode(packed, validate=True)
    else:
        raise TypeError("neither 'raw' nor 'raw_base64' is a text")
    return tuple(raw if name == "raw" else row.get(name) for name in SCHEMA.names)


# How the files of _write_json_lines start.
_FIRST_JSON: Final = re.compile(
    rb'\{"member":(?:null|"(?:[^"\\]|\\.)*"),"record":\d+,"line":\d+,"byte_offset":\d+,"reason":"[a-z0-9_]+",'
)
_FIRST_BYTES: Final = 4 << 10


def _format(name: Path | str) -> Any:
    try:
        return _FORMATS[PurePath(name).suffix.lower()]
    except KeyError:
        raise OptionError(f"{name}: a file of rejects is named *.parquet or *.jsonl") from None


@contextmanager
def rejects_writer(output: Output, metadata: Mapping[str, str], limits: Limits) -> Iterator[Write]:
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
    headers: list[str | None] = batch["header"].to_pylist()
    for at, header in enumerate(headers):
        if header and header == last and len(header) > _LONGEST_REPEATED_IN_FILES:
            headers[at] = None
        last = header or last
    at = SCHEMA.get_field_index("header")
    return batch.set_column(at, SCHEMA.field(at), array_of(headers, pa.string())), last


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
    ".parquet": (_write_parquet, _read_parquet, _are_rejects_in_parquet),
    ".jsonl": (_write_json_lines, _read_json_lines, _are_rejects_in_json_lines),
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
    name = name_of(path)
    read: Callable[[str, BinaryIO], pa.Table] = _format(name)[1]
    if filesystem is None and not scheme_of(path):
        with Path(path).open("rb") as file:
            return read(name, file)
    with closing(open_anywhere(path, filesystem)) as source:
        return read(name, io.BytesIO(source.read_exactly(sys.maxsize)))
