"""Bad records that somebody has mended, made a log again. Reads no file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from trackparse.errors import HeaderError, Reason
from trackparse.records.header import header_line, is_damaged, names_a_log, parse_header
from trackparse.schema import COLUMNS


def mended_log(rejects: pa.Table | Iterable[Mapping[str, Any]]) -> bytes:
    """A log of the rejects' ``raw`` bytes, each under its ``header``: a source for ``open_log`` and its kin.

    ``rejects`` is a table as ``LogReader.rejects`` and ``read_rejects`` give it, or its rows (``table.to_pylist()``).
    What was not mended is bad again; a row whose ``raw`` is None is left out. One without a header is under that of
    the row above: a header of more than 1 KiB stands once for the rejects of a block.

    Below a damaged header (``bad_header``) mend it once, in the ``raw`` of its own row, or in the ``header`` of each
    row below it. HeaderError if neither was done: the values would come into the wrong columns.
    """
    given: Any = rejects
    if isinstance(given, pa.Table):
        given = given.to_pylist()
    rows = [*_under_good_headers(row for row in given if row["raw"] is not None)]
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
