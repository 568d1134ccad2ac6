"""Files of rejects (bad records), Parquet or JSON Lines: written batch by batch, read, and recognized."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa

from trackparse.atomic import name_errors_after
from trackparse.errors import LimitError, OptionError, TrackparseError
from trackparse.limits import Limits
from trackparse.rejects.kept import BATCH_BYTES, BATCH_ROWS, SCHEMA, Write, array_of, batch_of

_LONGEST_REPEATED_IN_FILES: Final = 128  # characters of a header: the headers of both generations are shorter


@contextmanager
def _write_parquet(path: Path, metadata: Mapping[str, str]) -> Iterator[Write]:
    import pyarrow.parquet as pq  # imported late: most who read a log write no rejects

    with ExitStack() as opened:
        writer = None

        def write(batch: pa.RecordBatch) -> None:
            nonlocal writer
            if writer is None:
                schema = SCHEMA.with_metadata(dict(metadata))
                # As bytes: pyarrow refuses a text that is not UTF-8.
                sink = opened.enter_context(pa.OSFile(os.fsencode(path), "wb"))
                writer = opened.enter_context(pq.ParquetWriter(sink, schema, compression="zstd"))
            writer.write_batch(batch)

        yield write


@contextmanager
def _write_json_lines(path: Path, _: Mapping[str, str]) -> Iterator[Write]:
    with path.open("wb") as file:
        yield lambda batch: file.writelines(map(_json_line, batch.to_pylist()))


def _json_line(row: dict[str, Any]) -> bytes:
    raw = row["raw"]
    try:
        row["raw"] = raw.decode()
    except UnicodeDecodeError:
        # JSON is text: bytes that are not UTF-8 are written as base64, under another name.
        row = {("raw_base64" if name == "raw" else name): value for name, value in row.items()}
        row["raw_base64"] = base64.b64encode(raw).decode()
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as opened, pq.ParquetFile(opened) as file:
            found = file.read()
        columns = [
            found[field.name].cast(field.type)
            if field.name in found.column_names
            else pa.nulls(found.num_rows, field.type)
            for field in SCHEMA
        ]
    except pa.ArrowException as error:
        raise TrackparseError(f"{path}: not a file of rejects: {error}") from None
    if "raw" not in found.column_names:
        raise TrackparseError(f"{path}: not a file of rejects: it has no column 'raw', only {found.column_names}")
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _read_json_lines(path: Path) -> pa.Table:
    batches: list[pa.RecordBatch] = []
    rows: list[tuple[Any, ...]] = []
    size = number = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):  # noqa: B007 - the error names it
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
        raise TrackparseError(f"{path}: line {number}: not a reject: {error}") from None
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


def _format(path: Path) -> Any:
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise OptionError(f"{path}: a file of rejects is named *.parquet or *.jsonl") from None


@contextmanager
def rejects_writer(name: Path, path: Path, metadata: Mapping[str, str], limits: Limits) -> Iterator[Write]:
    """A function that writes batches of rejects to ``path``, in the format that the suffix of ``name`` says.

    With no rejects the file stays empty. An OSError, and the LimitError of a file that becomes too large, are about
    ``name``.
    """
    most = limits.max_rejects_file_bytes
    header = ""  # the last one that was written

    with ExitStack() as opened:
        write: Write = opened.enter_context(_format(name)[0](path, metadata))

        def named(batch: pa.RecordBatch) -> None:
            nonlocal header
            batch, header = _with_headers_once(batch, header)
            with name_errors_after(name):
                write(batch)
                size = path.stat().st_size
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


def check_rejects_name(path: Path) -> None:
    """OptionError if the suffix is neither ``.parquet`` nor ``.jsonl``."""
    _format(path)


def check_old_rejects(path: Path) -> None:
    """TrackparseError if a file stands there that ``rejects_writer`` did not write: it would be lost."""
    if path.is_file() and path.stat().st_size and not holds_rejects(path):
        raise TrackparseError(
            f"{path}: not a file of rejects, and it would be replaced by one",
            advice="name another file for the rejects, or move this one away",
        )


def holds_rejects(path: Path) -> bool:
    """Whether ``rejects_writer`` wrote the file. OSError, with its path, if it cannot be read."""
    if path.suffix.lower() not in _FORMATS or not path.is_file():
        return False
    try:
        return bool(_format(path)[2](path))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _are_rejects_in_parquet(path: Path) -> bool:
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            schema = pq.read_schema(file)
    except pa.ArrowException:
        return False
    return schema.names == SCHEMA.names and b"trackparse.version" in (schema.metadata or {})


def _are_rejects_in_json_lines(path: Path) -> bool:
    with path.open("rb") as file:
        return _FIRST_JSON.match(file.read(_FIRST_BYTES)) is not None


_FORMATS: Final = {
    ".parquet": (_write_parquet, _read_parquet, _are_rejects_in_parquet),
    ".jsonl": (_write_json_lines, _read_json_lines, _are_rejects_in_json_lines),
}


def read_rejects(path: str | os.PathLike[str]) -> pa.Table:
    """The bad records in a file that ``convert_log`` wrote, as a table with the columns of ``LogReader.rejects``.

    ``path`` is that of a ``.parquet`` or ``.jsonl`` file. In JSON Lines the bytes of a row are text, in ``"raw"``,
    which you may mend with an editor; bytes that are not UTF-8 are base64, in ``"raw_base64"``.

    Raises TrackparseError if the file holds something else, OptionError for another suffix, OSError if the file cannot
    be read.

    >>> rows = trackparse.read_rejects("tracking_log.rejects.jsonl").to_pylist()
    """
    path = Path(path)
    table: pa.Table = _format(path)[1](path)
    return table
