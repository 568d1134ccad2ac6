"""Headers and records as bytes, with the rows that they stand for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from trackparse import LogReader
from trackparse.records.stream import Stats

# The values of the known columns in the order of NAMES, then those of other columns.
Row = tuple[Any, ...]

NAMES: tuple[str, ...] = (
    *("timestamp", "tracking_code", "target_id", "hwid"),
    *("status", "description", "appCode", "payload"),
)
NAMES6 = NAMES[:6]
H8 = b"//" + ";".join(NAMES).encode() + b"\n"
H6 = b"//" + ";".join(NAMES6).encode() + b"\n"
BOM = b"\xef\xbb\xbf"
MOMENT = datetime(2021, 4, 20, 13, 1, 1)


def line(
    payload: bytes = b"{}",
    *,
    time: bytes = b'"2021-04-20 13:01:01"',
    description: bytes = b"",
    status: bytes = b"sent",
    target: bytes = b"u",
    hwid: bytes = b"h",
    app: bytes = b"A-1",
    end: bytes = b"\n",
) -> bytes:
    """One record of the newer generation."""
    return b";".join((time, b"T-1", target, hwid, status, description, app, payload)) + end


def row(
    payload: str | None = "{}",
    *extra: Any,
    time: datetime = MOMENT,
    description: str = "",
    status: str = "sent",
    target: str = "u",
    hwid: str = "h",
) -> Row:
    """What ``line`` stands for."""
    return time, "T-1", target, hwid, status, description, "A-1", payload, *extra


def line6(
    description: bytes = b"",
    *,
    time: bytes = b"2011-01-01T15:03:01",
    target: bytes = b"U6",
    hwid: bytes = b"H6",
    end: bytes = b"\n",
) -> bytes:
    """One record of the older generation."""
    return b";".join((time, b"T-6", target, hwid, b"created", description)) + end


def row6(
    description: str = "",
    *,
    time: datetime = datetime(2011, 1, 1, 15, 3, 1),
    target: str = "U6",
    hwid: str = "H6",
) -> Row:
    """What ``line6`` stands for."""
    return time, "T-6", target, hwid, "created", description, None, None


EXAMPLE_PAYLOAD = '{"aps":{"alert":"..."},"md":{"uid":11793546856}}'
EXAMPLE_RECORD = (
    b'"2021-04-20 13:01:01";T-D6C2-ABC2228F-C9C305A9;0991;0991;delivered;Success;C90C0-0E786;'
    b'"{""aps"":{""alert"":""...""},""md"":{""uid"":11793546856}}"\n'
)
EXAMPLE_ROW = (MOMENT, "T-D6C2-ABC2228F-C9C305A9", "0991", "0991", "delivered", "Success", "C90C0-0E786")
EXAMPLE = H8[:-1] + EXAMPLE_RECORD


def placed(stats: Stats) -> int:
    """How many bytes of a log are accounted for; all of them when it was read to its end."""
    return stats.bytes_in_records + stats.bytes_in_rejects + stats.bytes_in_blank_lines + stats.bytes_in_headers


def drain(log: LogReader, rows: list[Row]) -> None:
    """Add the rows of all batches to ``rows``; they stay there if reading ends in an error."""
    for batch in log:
        batch.validate(full=True)
        rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
