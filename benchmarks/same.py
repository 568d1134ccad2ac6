"""Holds what a contender gives out against what is in the log, field by field. Says what is wrong, or nothing: ""."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, zip_longest
from typing import Any

from benchmarks.own import POINTERS


def tables(found: Iterable[Any], truth: Iterable[Any], columns: Sequence[str], *, nulls: bool) -> str:
    """Compare Arrow tables with those of the truth, in order. They must have ``columns``.

    With ``nulls`` an empty payload must be null and nothing else may be; without, null and empty text are the same:
    CSV readers differ there. A column that the log does not have must be null.
    """
    rest = iter(truth)
    right = next(rest, None)
    place = 0
    for table in found:
        if missing := [name for name in columns if name not in table.column_names]:
            return f"without the columns {missing}"
        while len(table):
            while right is not None and not len(right):
                right = next(rest, None)
            if right is None:
                return f"more rows than the log has: {place + len(table)} or more"
            size = min(len(table), len(right))
            if wrong := _difference(table.slice(0, size), right.slice(0, size), place, nulls=nulls):
                return wrong
            table, right, place = table.slice(size), right.slice(size), place + size
    left = sum(map(len, rest)) + (0 if right is None else len(right))
    return f"{left} rows are missing after {place}" if left else ""


def rows(found: Iterable[Any], truth: Iterable[Any], width: int) -> str:
    """Compare rows (sequences, or dicts) with those of the truth, in order; the timestamp as a moment."""
    right = chain.from_iterable(zip(*(column.to_pylist() for column in table.columns), strict=True) for table in truth)
    for number, (row, wanted) in enumerate(zip_longest(found, right)):
        if row is None or wanted is None:
            return f"{'more' if wanted is None else 'fewer'} rows than the log has: {number}"
        stamp, *texts = row.values() if isinstance(row, dict) else row
        moment = stamp if isinstance(stamp, datetime) else datetime.fromisoformat(stamp)
        texts, surplus = texts[: width - 1], texts[width - 1 :]
        if (moment, *map(_text, texts)) != wanted or any(value is not None for value in surplus):
            return f"row {number}: {row}, and not {wanted}"
    return ""


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else value.text


def _difference(found: Any, right: Any, place: int, *, nulls: bool) -> str:
    """Where two tables of the same number of rows differ first; ``place`` is the number of their first row."""
    for name in found.column_names:
        values = _plain(found[name])
        wanted = _wanted(right, name, nulls=nulls)
        if not nulls and name != "timestamp":
            values = values.fill_null("")
        if not values.equals(wanted):
            pairs = zip(values.to_pylist(), wanted.to_pylist(), strict=True)
            number, (value, truth) = next((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1])
            return f"row {place + number}, {name!r}: {value!r}, and not {truth!r}"
    return ""


def _plain(column: Any) -> Any:
    """The values without what differs between engines: dictionaries, views, large strings, units, and chunks."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us"))
    elif not pa.types.is_integer(kind):
        column = column.cast(pa.string())
    return column.combine_chunks()


def _wanted(right: Any, name: str, *, nulls: bool) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if name in POINTERS:
        kind = pa.int64() if name == "uid" else pa.string()
        return pa.array([_at(POINTERS[name], text) for text in right["payload"].to_pylist()], kind)
    if name not in right.column_names:
        return pa.nulls(len(right), pa.string())
    column = right[name].combine_chunks()
    if nulls and name == "payload":
        return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    return column


def _at(pointer: str, payload: str) -> Any:
    """What a payload has there; None if it has nothing there."""
    value = json.loads(payload or "{}")
    for key in pointer.split("/")[1:]:
        value = value.get(key) if isinstance(value, dict) else None
    return value
