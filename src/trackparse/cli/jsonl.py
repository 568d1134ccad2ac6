"""Record batches as JSON lines. Nothing is printed here."""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow as pa

_BREAKS = str.maketrans("\r\n", "  ")


def lines_of(batch: pa.RecordBatch) -> bytes:
    """One JSON object a row. A payload that is a JSON object stands in it as it stands in the log, others are text."""
    names = batch.schema.names
    columns = [_values(name, batch.column(number)) for number, name in enumerate(names)]
    rows = zip(*columns, strict=True)
    return b"".join(orjson.dumps(dict(zip(names, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _values(name: str, column: pa.Array) -> list[Any]:
    values: list[Any] = column.cast(pa.string()).to_pylist()
    return [_payload(text) for text in values] if name == "payload" else values


def _payload(text: str | None) -> Any:
    if text is None:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    if not isinstance(value, dict):
        return text
    if "\n" in text or "\r" in text:
        # In JSON a bare line break can only stand between tokens.
        text = text.translate(_BREAKS)
    # Decoded and encoded again, numbers would lose digits.
    return orjson.Fragment(text)
