"""Values that are odd or wrong."""

from __future__ import annotations

from datetime import datetime

from .model import Fault, Log, between, record, row, same

_NO_TIMES = {
    "a day that does not exist": b"2021-02-30 10:00:00",
    "a leap day in a common year": b"2100-02-29 10:00:00",
    "a month that does not exist": b"2021-13-01 10:00:00",
    "an hour 24": b"2021-04-20 24:00:00",
    "a leap second": b"2016-12-31 23:59:60",
    "a zone": b"2021-04-20T13:01:01Z",
    "an offset": b"2021-04-20 13:01:01+03:00",
    "no seconds": b"2021-04-20 13:01",
    "no time of day": b"2021-04-20",
    "seconds since 1970": b"1618923661",
    "day, month, year": b"20.04.2021 13:01:01",
    "month, day, year": b"04/20/2021 01:01:01 PM",
    "a zero date": b"0000-00-00 00:00:00",
    "seven digits of a second": b"2021-04-20 13:01:01.1234567",
    "a comma before the fraction": b"2021-04-20 13:01:01,5",
    "blanks around it": b" 2021-04-20 13:01:01 ",
    "NULL": b"NULL",
    "digits of another script": "２０２１-04-20 13:01:01".encode(),
}
_TIMES = {
    "a leap day": (b"2024-02-29 23:59:59", datetime(2024, 2, 29, 23, 59, 59)),
    "the first year": (b"0001-01-01 00:00:00", datetime(1, 1, 1)),
    "the last microsecond": (b"9999-12-31T23:59:59.999999", datetime.max),
    "before 1970": (b"1969-12-31 23:59:59.5", datetime(1969, 12, 31, 23, 59, 59, 500_000)),
}


def _timed(text: bytes) -> bytes:
    return record(row(9)).replace(b"2021-04-20 13:01:10", text)


def faults() -> list[Fault]:
    deep = "[" * 3000 + "]" * 3000
    long = "x" * 300_000
    odd = [
        same("a status that nobody knows", record(row(9, status="bounced")), row(9, status="bounced")),
        same("an empty status", record(row(9, status="")), row(9, status="")),
        same("an empty payload", record(row(9, payload=None)), row(9, payload=None)),
        same("a payload of two quotes", record(row(9, payload="@")).replace(b"@", b'""'), row(9, payload=None)),
        same("a payload that is not JSON", record(row(9, payload="not JSON")), row(9, payload="not JSON")),
        same("a payload cut by its writer", record(row(9, payload='{"a":"b')), row(9, payload='{"a":"b')),
        same("a payload nested 3,000 deep", record(row(9, payload=deep)), row(9, payload=deep)),
        same("a number of 5,000 digits", record(row(9, payload="9" * 5000)), row(9, payload="9" * 5000)),
        same("a formula", record(row(9, description="=cmd|'/c calc'!A1")), row(9, description="=cmd|'/c calc'!A1")),
        same("a terminal's escapes", record(row(9, description="\x1b[2J\x07")), row(9, description="\x1b[2J\x07")),
        same("NUL bytes in fields", record(row(9, target="a\0b")), row(9, target="a\0b")),
        same("a value of 300,000 bytes", record(row(9, description=long)), row(9, description=long)),
        same(
            "words of Python and SQL",
            record(row(9, target="None", description="NULL")),
            row(9, target="None", description="NULL"),
        ),
        same("a path out of the folder", record(row(9, target="../../etc/passwd")), row(9, target="../../etc/passwd")),
    ]
    times = [same(f"a timestamp: {name}", _timed(text), row(9, time=time)) for name, (text, time) in _TIMES.items()]
    none = [between(f"no timestamp: {name}", _timed(text), "bad_timestamp") for name, text in _NO_TIMES.items()]
    excel = Log()
    for i in range(4):
        excel.bad(
            record(row(i), end=b"").replace(b'"2021-04-20 13:01:0', b'"20.04.2021 13:0') + b"\r\n", "bad_timestamp"
        )
    return [*odd, *times, *none, excel.fault("saved again by a spreadsheet")]
