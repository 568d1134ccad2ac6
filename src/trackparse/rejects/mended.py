"""Makes a log of rejects (bad records) that somebody has mended. Reads no file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from trackparse.errors import HeaderError, Reason
from trackparse.records.header import header_line, is_damaged, names_a_log, parse_header
from trackparse.schema import COLUMNS, GENERATIONS


def mended_log(rejects: pa.Table | Iterable[Mapping[str, Any]]) -> bytes:
    """The bytes of a log that holds the ``raw`` bytes of each reject under its ``header``.

    Hand them to ``open_log``, ``read_log``, ``iter_events`` or ``convert_log``.

    ``rejects`` is a table as ``LogReader.rejects`` and ``read_rejects`` give it, or its rows (``table.to_pylist()``).
    A record that was not mended is bad again. A row whose ``raw`` is None is left out. A row whose ``header`` is None
    has that of the row above: a header of more than 1 KiB is written once for many rejects.

    If the header itself was damaged (``bad_header``), mend it once, in the ``raw`` of its own row, or in the ``header``
    of each row below it. Raises HeaderError if neither was done, because the values would come into wrong columns,
    and TypeError for what is no rejects, such as the path of a file.

    >>> rows = trackparse.read_rejects("tracking_log.rejects.jsonl").to_pylist()
    >>> rows[0]["raw"] = rows[0]["raw"].replace(b'"user', b"user")
    >>> table = trackparse.read_log(trackparse.mended_log(rows))
    """
    given: Any = rejects
    if isinstance(given, pa.Table):
        given = given.to_pylist()
    elif isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise TypeError(f"rejects is {type(given).__name__}: expected a table as read_rejects gives it, or its rows")
    given = [*given]
    if not all(isinstance(row, Mapping) and "raw" in row for row in given):
        raise TypeError("rejects: expected a table as read_rejects gives it, or its rows, each a dict with 'raw'")
    rows = [*map(_under_its_header, mended_rows(row for row in given if row["raw"] is not None))]
    headers = [*dict.fromkeys(header for header, _ in rows if header)]
    # The schema is that of the first header, so the first header has to name all columns.
    current = headers[0] if len(headers) == 1 else _header_of_all(headers)
    parts = [current.encode(), b"\n"]
    for header, raw in rows:
        if header and header != current:
            current = header
            parts += header.encode(), b"\n"
        parts += raw, b"" if raw.endswith(b"\n") else b"\n"
    return b"".join(parts)


class MendedRow(NamedTuple):
    """A reject that somebody may have mended.

    row: all its values. header: the header line under which to read it; None where no row above has a header, either.
    raw: its bytes. is_lost: that header was damaged and nobody mended it, so it is not known which columns these are.
    """

    row: Mapping[str, Any]
    header: str | None
    raw: bytes
    is_lost: bool


def mended_rows(rejects: Iterable[Mapping[str, Any]]) -> Iterator[MendedRow]:
    """The rejects with what they are read under. A header that was mended in its own row counts for the rows below."""
    header: str | None = None
    mended: str | None = None
    damaged: str | None = None  # the header of the last rows that were below a damaged one
    sound: tuple[str, ...] = ()  # the columns in force where that stood
    names = frozenset(COLUMNS)  # of headers that were no damaged ones
    for row in rejects:
        header = row.get("header") or header
        raw = row["raw"].encode() if isinstance(row["raw"], str) else bytes(row["raw"])
        above = parse_header(header.encode()) if header else None
        below_bad_header = row.get("reason") == Reason.BAD_HEADER or header == damaged  # or the header itself
        own = parse_header(raw.rstrip(b"\r\n")) if row.get("reason") == Reason.BAD_HEADER else None
        if own and len(set(own.columns).intersection(COLUMNS)) >= 2:
            sound = above.columns if above else ()
            names |= set(sound)
            mended = None if is_damaged(own, [names], (sound, *GENERATIONS)) else header_line(own.columns)
            if not mended:
                yield MendedRow(row, header, raw, is_lost=False)
            continue
        seems_damaged = above is not None and is_damaged(above, [names], (sound, *GENERATIONS))
        if above is None or not (below_bad_header or seems_damaged):
            names |= set(above.columns) if above else set()
            yield MendedRow(row, header, raw, is_lost=False)
            continue
        # Of the two lines somebody has mended one: its names are those of other headers. Else nobody knows which it is.
        lines = [line for line in (mended, None if seems_damaged else header) if line]
        sure = [line for line in lines if names.issuperset(parse_header(line.encode()).columns)]
        if seems_damaged:
            sure = lines
        if below_bad_header and sure[:1] != [header]:
            damaged = header
        lost = not sure and (below_bad_header or bool(above.problem))
        yield MendedRow(row, sure[0] if sure else header, raw, is_lost=lost)


def _under_its_header(one: MendedRow) -> tuple[str | None, bytes]:
    if one.is_lost:
        raise HeaderError(
            f"the header {str(one.header)[:80]!r} was damaged",
            advice="mend it in 'raw' of its own row, or in 'header' of each row below it",
        )
    return one.header, one.raw


def _header_of_all(headers: Iterable[str]) -> str:
    """A header with the columns of all of these."""
    columns = dict.fromkeys(COLUMNS)
    for header in headers:
        parsed = parse_header(header.encode())
        if not names_a_log(parsed):
            raise HeaderError(f"header {header[:80]!r}: not the header of a tracking log")
        columns.update(dict.fromkeys(parsed.columns))
    return header_line(tuple(columns))
