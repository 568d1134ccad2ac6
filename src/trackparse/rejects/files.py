"""Files of bad records, Parquet or JSON Lines: written batch by batch, read, and told from other files."""

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
from trackparse.errors import LimitError, TrackparseError
from trackparse.limits import Limits
from trackparse.rejects.kept import BATCH_BYTES, BATCH_ROWS, SCHEMA, Write, array_of, batch_of

_LONGEST_REPEATED_IN_FILES: Final = 128  # of a header: those of both generations are shorter


@contextmanager
def _write_parquet(path: Path, metadata: Mapping[str, str]) -> Iterator[Write]:
    import pyarrow.parquet as pq  # every reader imports this module, and few write rejects

    with ExitStack() as opened:
        writer = None

        def write(batch: pa.RecordBatch) -> None:
            nonlocal writer
            if writer is None:
                schema = SCHEMA.with_metadata(dict(metadata))
                # As bytes: a name that is not UTF-8 is none for pyarrow as text.
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
        # JSON is text: bytes that are none stand under a name of their own.
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
    except pa.ArrowException as fault:
        raise TrackparseError(f"{path}: not a file of rejects: {fault}") from None
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
    except (ValueError, TypeError, pa.ArrowException) as fault:
        raise TrackparseError(f"{path}: line {number}: not a reject: {fault}") from None
    return pa.Table.from_batches(batches, schema=SCHEMA)


def _row(row: Any) -> tuple[Any, ...]:
    """The values of ``SCHEMA`` in one object of JSON."""
    if not isinstance(row, dict):
        raise TypeError("a JSON object was expected")
    text, packed = row.get("raw"), row.get("raw_base64")
    if isinstance(text, str):
        raw = text.encode()
    elif isinstance(packed, str):
        raw = base64.b64decode(packed, validate=True)
    else:
        raise TypeError("it has neither 'raw' nor 'raw_base64'")
    return tuple(raw if name == "raw" else row.get(name) for name in SCHEMA.names)


# How a file starts that _write_json_lines wrote; nobody writes this by accident.
_FIRST_JSON: Final = re.compile(
    rb'\{"member":(?:null|"(?:[^"\\]|\\.)*"),"record":\d+,"line":\d+,"byte_offset":\d+,"reason":"[a-z0-9_]+",'
)
_FIRST_BYTES: Final = 4 << 10


def _format(path: Path) -> Any:
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise ValueError(f"{path}: rejects are kept in a file named *.parquet or *.jsonl") from None


@contextmanager
def rejects_writer(name: Path, path: Path, metadata: Mapping[str, str], limits: Limits) -> Iterator[Write]:
    """Write rejects to ``path`` in the format of ``name``, batch by batch; without any the file stays empty.

    An OSError names ``name``, and so does the LimitError of a file that becomes too large.
    """
    most = limits.max_rejects_file_bytes
    header = ""  # that was written last

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
                    f"{name}: the file of rejects has more than {most} bytes: look at what is wrong with the log, skip "
                    "bad records (on_error='skip'), or raise Limits.max_rejects_file_bytes"
                )

        try:
            yield named
        except BaseException:
            # What it ends for is told, and not what becomes of a file that nobody wants.
            with suppress(OSError):
                opened.close()
            raise
        with name_errors_after(name):
            opened.close()


def _with_headers_once(batch: pa.RecordBatch, last: str) -> tuple[pa.RecordBatch, str]:
    """A batch whose long headers are null where a row above has them, and its last header.

    ``last`` is the one before it.
    """
    headers: list[str | None] = batch["header"].to_pylist()
    for at, header in enumerate(headers):
        if header and header == last and len(header) > _LONGEST_REPEATED_IN_FILES:
            headers[at] = None
        last = header or last
    at = SCHEMA.get_field_index("header")
    return batch.set_column(at, SCHEMA.field(at), array_of(headers, pa.string())), last


def check_rejects_name(path: Path) -> None:
    """ValueError if the suffix is that of no format."""
    _format(path)


def check_old_rejects(path: Path) -> None:
    """ValueError if there is a file that rejects_writer did not write: it would be lost."""
    try:
        ours = not path.is_file() or not path.stat().st_size or _FORMATS[path.suffix.lower()][2](path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    if not ours:
        raise ValueError(
            f"{path}: this is no file of rejects, and would be replaced by one: "
            "name another file for the rejects, or move this one away"
        )


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
    """The rejects that ``convert_log`` wrote to a ``.parquet`` or ``.jsonl`` file, as ``LogReader.rejects`` has them.

    In JSON Lines a row mended by hand has its text as ``"raw"``; ``"raw_base64"`` is for bytes that are not UTF-8.
    Raises TrackparseError if the file holds something else, OSError if it cannot be read.
    """
    path = Path(path)
    table: pa.Table = _format(path)[1](path)
    return table
