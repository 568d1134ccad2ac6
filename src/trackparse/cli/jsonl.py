"""Record batches as JSON lines. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
import pyarrow as pa

from trackparse.events import LARGE_PAYLOAD, is_large_object

_AT_ONCE: Final = 1 << 20  # bytes
_VALUES_AT_ONCE = 1 << 16  # as objects of Python each costs some 60 bytes and more
_BREAKS = str.maketrans("\r\n", "  ")


def lines_of(batch: pa.RecordBatch) -> Iterator[bytes]:
    """The rows as JSON objects, one a line, in pieces of about 1 MiB. Each row repeats the names of the columns.

    A payload that is a JSON object is written as it stands in the log; any other payload is text.
    """
    names = batch.schema.names
    lines: list[bytes] = []
    size = 0
    cells = [_written(column) for column in batch.columns]
    rows = max(1, _VALUES_AT_ONCE // len(names))
    for start in range(0, batch.num_rows, rows):
        columns = [_values(name, column.slice(start, rows)) for name, column in zip(names, cells, strict=True)]
        for row in zip(*columns, strict=True):
            lines.append(orjson.dumps(dict(zip(names, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE))
            size += len(lines[-1])
            if size >= _AT_ONCE:
                yield b"".join(lines)
                lines, size = [], 0
    yield b"".join(lines)


def _written(column: pa.Array) -> pa.Array:
    """The column as it is written: numbers and truth values as they are, all else as text."""
    is_json = pa.types.is_primitive(column.type) and not pa.types.is_temporal(column.type)
    return column if is_json else column.cast(pa.string())


def _values(name: str, column: pa.Array) -> list[Any]:
    values: list[Any] = column.to_pylist()
    return [_payload(text) for text in values] if name == "payload" else values


def _payload(text: str | None) -> Any:
    if text is None:
        return None
    if not _is_object(text):
        return text
    if "\n" in text or "\r" in text:
        # In valid JSON a line break only stands between tokens, where a blank means the same.
        text = text.translate(_BREAKS)
    # As it stands: decoded and encoded again, numbers would lose digits.
    return orjson.Fragment(text)


def _is_object(text: str) -> bool:
    if len(text) > LARGE_PAYLOAD:
        return is_large_object(text.encode())
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        # It refuses some JSON, too: half of a surrogate pair, and numbers beyond the range of a float.
        return is_large_object(text.encode())
