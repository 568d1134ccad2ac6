"""Bad records, kept: as a table, in a file, and on their way back into a log. Reads no log."""

from __future__ import annotations

import base64
import os
import re
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson
import pyarrow as pa

from trackparse.dispatch import kernel
from trackparse.errors import HeaderError, LimitError, Reason, TrackparseError
from trackparse.files import naming
from trackparse.header import header_line, is_damaged, names_a_log, parse_header
from trackparse.index import Rejects
from trackparse.limits import Limits
from trackparse.schema import COLUMNS

SCHEMA: Final = pa.schema(
    [
        ("member", pa.string()),
        ("record", pa.int64()),
        ("line", pa.int64()),
        ("byte_offset", pa.int64()),
        ("reason", pa.string()),
        ("raw", pa.binary()),
        ("header", pa.string()),
    ]
)
# What is packed into a batch: enough for a row group, little enough to be held beside the log.
_BATCH_ROWS: Final = 1 << 14
_BATCH_BYTES: Final = 4 << 20
_ROW_BYTES: Final = 40  # of three numbers and four offsets
# Repeated for each reject of twenty bytes, a name or a header of 64 KiB would cost three thousand times the log.
_LONGEST_NAME: Final = 255  # characters
_LONGEST_REPEATED: Final = 1 << 10  # of a header
_LONGEST_REPEATED_IN_FILES: Final = 128  # of a header: those of both generations are shorter

Write: TypeAlias = Callable[[pa.RecordBatch], object]


class Quarantine:
    """Packs rejects into batches as they come, and keeps those, or hands them to ``write``."""

    def __init__(self, limits: Limits) -> None:
        self.write: Write | None = None
        self._limits = limits
        self._kept = 0  # bytes
        self._lock = threading.RLock()  # one thread may read the log and another one look at its rejects
        self._batches: list[pa.RecordBatch] = []
        self._columns: list[list[Any]] = [[] for _ in SCHEMA]  # of what is not packed yet
        self._bytes = 0  # of what is not packed yet
        self._last_header: str | None = None  # of the row above

    def add(self, rejects: Rejects, columns: tuple[str, ...]) -> None:
        """Take the rejects that came under one header, no more at a time than are packed into a batch."""
        member = printable(rejects.member)[:_LONGEST_NAME]
        header = header_line(columns) if columns else None
        repeated = header if header is None or len(header) <= _LONGEST_REPEATED else None
        first = header if header != self._last_header else repeated
        self._last_header = header
        each = len(member) + len(repeated or "") + _ROW_BYTES
        more: tuple[Sequence[Any], ...] = (
            [member] * len(rejects),
            rejects.records,
            rejects.lines,
            rejects.byte_offsets,
            rejects.reasons,
            rejects.raws,
            [first, *[repeated] * (len(rejects) - 1)],
        )
        with self._lock:
            self._bytes += len(first or "")
            start, count = 0, len(rejects)
            last = _BATCH_ROWS - len(self._columns[0])  # that has room in the batch
            for stop, raw in enumerate(rejects.raws, 1):
                self._bytes += len(raw) + each
                full = self._bytes >= _BATCH_BYTES or stop >= last
                if full or stop == count:
                    for column, values in zip(self._columns, more, strict=True):
                        column.extend(values[start:stop])
                    start = stop
                if full:
                    self.pack()
                    last = stop + _BATCH_ROWS

    def pack(self) -> None:
        """Make a batch of what came since the last one."""
        with self._lock:
            if not self._columns[0]:
                return
            arrays = [_array(values, field.type) for values, field in zip(self._columns, SCHEMA, strict=True)]
            batch = pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
            self._columns, self._bytes = [[] for _ in SCHEMA], 0
            (self.write or self._keep)(batch)

    def _keep(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._kept += batch.nbytes

    def check(self) -> None:
        """LimitError if more is kept than may be."""
        most = self._limits.max_rejects_bytes
        if most is not None and self._kept + (0 if self.write else self._bytes) > most:
            raise LimitError(
                f"the bad records fill more than {most} bytes: skip them (on_error='skip'), have convert_log write "
                "them (rejects=), or raise Limits.max_rejects_bytes"
            )

    def table(self) -> pa.Table:
        """All that is kept."""
        self.pack()
        return pa.Table.from_batches(self._batches, schema=SCHEMA)


def printable(name: str) -> str:
    """The name as text: that of a file need not be."""
    return name.encode(errors="backslashreplace").decode()


def _batch(columns: Iterable[Any]) -> pa.RecordBatch:
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Made from buffers: pa.array would import pandas, where there is one, for longer than it takes to read the log."""
    if kind == pa.int64():
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(array("q", values))])
    validity, nulls = None, 0
    if None in values:
        validity, nulls = kernel.validity_of(array("i", (-(value is None) for value in values)).tobytes())
        values = ["" if value is None else value for value in values]
    # All of one kind, and without a step of Python for each: a log may be nothing but rejects of three bytes.
    texts = [*map(str.encode, values)] if kind == pa.string() else values
    offsets = array("i", accumulate(map(len, texts), initial=0))
    buffers = [None if validity is None else pa.py_buffer(validity), *map(pa.py_buffer, (offsets, b"".join(texts)))]
    return pa.Array.from_buffers(kind, len(values), buffers, nulls)


# ---- files --------------------------------------------------------------------------------------------------


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
            found[field.name].cast(field.type) if field.name in found.column_names
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
                if len(rows) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                    batches.append(_batch(zip(*rows, strict=True)))
                    rows, size = [], 0
        if rows:
            batches.append(_batch(zip(*rows, strict=True)))
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
            with naming(name):
                write(batch)
                size = path.stat().st_size
            if most is not None and size > most:
                raise LimitError(
                    f"{name}: the file of rejects has more than {most} bytes: look at what is wrong with the log, skip "
                    "bad records (on_error='skip'), or raise Limits.max_rejects_file_bytes"
                )

        yield named
        with naming(name):
            opened.close()


def _with_headers_once(batch: pa.RecordBatch, last: str) -> tuple[pa.RecordBatch, str]:
    """A batch whose long headers are null where a row above has them, and its last header.

    ``last`` is the one before it.
    """
    headers: list[str | None] = batch["header"].to_pylist()
    for at, header in enumerate(headers):
        if header == last and len(header) > _LONGEST_REPEATED_IN_FILES:
            headers[at] = None
        last = header or last
    at = SCHEMA.get_field_index("header")
    return batch.set_column(at, SCHEMA.field(at), _array(headers, pa.string())), last


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


# ---- the way back -------------------------------------------------------------------------------------------


def mended_log(rejects: pa.Table | Iterable[Mapping[str, Any]]) -> bytes:
    """A log of the rejects' ``raw`` bytes, each under its ``header``: a source for ``open_log`` and its kin.

    ``rejects`` is a table as ``LogReader.rejects`` and ``read_rejects`` give it, or its rows (``table.to_pylist()``).
    What was not mended is bad again; a row whose ``raw`` is None is left out. One without a header is under that of
    the row above: a header of more than 1 KiB stands once for the rejects of a block.

    Below a damaged header (``bad_header``) mend it once, in the ``raw`` of its own row, or in the ``header`` of each
    row below it. HeaderError if neither was done: the values would come into the wrong columns.
    """
    if isinstance(rejects, pa.Table):
        rejects = rejects.to_pylist()
    rows = [*_under_good_headers(row for row in rejects if row["raw"] is not None)]
    headers = [*dict.fromkeys(header for header, _ in rows if header)]
    # The first header makes the schema: it has to name all columns.
    current = headers[0] if len(headers) == 1 else _header_of_all(headers)
    parts = [current.encode(), b"\n"]
    for header, raw in rows:
        if header and header != current:
            current = header
            parts += header.encode(), b"\n"
        parts += raw, b"" if raw.endswith(b"\n") else b"\n"
    return b"".join(parts)


def _under_good_headers(rejects: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str | None, bytes]]:
    """Header and raw bytes of each reject. A damaged header that was mended in its own row is that of those below."""
    header: str | None = None
    mended: str | None = None
    for row in rejects:
        header = row.get("header") or header
        raw = row["raw"].encode() if isinstance(row["raw"], str) else bytes(row["raw"])
        refused = row.get("reason") == Reason.BAD_HEADER
        own = parse_header(raw.rstrip(b"\r\n")) if refused else None
        above = parse_header(header.encode()) if header else None
        if own and len(set(own.columns).intersection(COLUMNS)) >= 2:
            mended = None if is_damaged(own) else header_line(own.columns)
            if not mended:
                yield header, raw
        elif above is None or not is_damaged(above):
            yield header, raw
        elif mended:
            yield mended, raw
        elif refused or above.fault:
            raise HeaderError(
                f"the header {str(header)[:80]!r} was damaged: mend it in 'raw' of its own row, or in 'header' of each "
                "row below it"
            )
        else:
            yield header, raw


def _header_of_all(headers: Iterable[str]) -> str:
    columns = dict.fromkeys(COLUMNS)
    for header in headers:
        parsed = parse_header(header.encode())
        if not names_a_log(parsed):
            raise ValueError(f"header {header!r}: it does not name the columns of a log")
        columns.update(dict.fromkeys(parsed.columns))
    return header_line(tuple(columns))
