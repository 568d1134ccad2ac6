"""Timestamps: parsed, and known by their shape. ``timestamp.h`` is the same in C."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from trackparse.records.kernel.codes import Buffer

TIMESTAMP_SIZE: Final = 19  # bytes, without a fraction of a second

_TIMESTAMP: Final = re.compile(rb"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?", re.ASCII)
RECORD_START: Final = re.compile(rb'"?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d', re.ASCII)
_SHAPE: Final = "0000-00-00 00:00:00"  # 0 stands for any digit, the space for a T, too
_EPOCH: Final = datetime(1970, 1, 1)
_MICROSECOND: Final = timedelta(microseconds=1)


def parse_timestamp(text: Buffer) -> int | None:
    """Microseconds since 1970 of ``2021-04-20 13:01:01.123456``; None if it is not valid or has a zone."""
    match = _TIMESTAMP.fullmatch(bytes(text))
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    microsecond = int((match[7] or b"").ljust(6, b"0"))
    try:
        moment = datetime(year, month, day, hour, minute, second, microsecond)
    except ValueError:
        return None
    return (moment - _EPOCH) // _MICROSECOND


def time_parts(microseconds: int) -> tuple[int, ...]:
    """Year, month, day, hour, minute, second and microsecond of what ``parse_timestamp`` gave."""
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return (*moment.timetuple()[:6], moment.microsecond)


def timestamp_shape(data: bytes, at: int, end: int) -> int:
    """How many bytes from ``at`` on have the shape of a timestamp: all TIMESTAMP_SIZE, or fewer."""
    for size, shape in enumerate(_SHAPE):
        if at + size == end:
            return size
        byte = data[at + size]
        if shape == "0":
            fits = 0x30 <= byte <= 0x39
        elif shape == " ":
            fits = byte in b" T"
        else:
            fits = byte == ord(shape)
        if not fits:
            return size
    return TIMESTAMP_SIZE


def record_start(line: bytes) -> int:
    """Where the first timestamp of a line begins, or its opening quote; the line's end if it has no timestamp."""
    found = RECORD_START.search(line)
    if found is None:
        return len(line)
    start = found.start()
    # Behind an odd number of quotes, another one closes a name of the header that the record is run into.
    return start + (line.startswith(b'"', start) and line.count(b'"', 0, start) % 2)
