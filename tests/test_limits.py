"""What hostile logs may cost: memory by its peak, work by the bytes looked at, and by the clock of the CPU."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import trackparse
from support.archives import python_zip
from support.cli import run
from support.kernels import SLOW
from support.logs import H6, H8
from trackparse.convert import partitions
from trackparse.errors import TrackparseError
from trackparse.limits import Limits
from trackparse.records import indexer
from trackparse.records.indexer import Indexer
from trackparse.records.kernel import chooser, codes, reference
from trackparse.records.kernel import index as kernel_index
from trackparse.records.kernel.grammar import Window

QUOTED = b'"2021-04-20 13:01:01";T-1;u;h;sent;;A-1;{}\n'
BARE = b"2021-04-20 13:01:01;T-1;u;h;sent;;A-1;{}\n"
SIX = b"2021-04-20 13:01:01;T-1;u;h;sent;\n"


def test_the_limits_are_those_promised() -> None:
    assert Limits() == Limits(max_record_bytes=16 << 20, max_inflated_bytes=None, max_ratio=None, max_members=10_000)


_MAY_BE_NONE = {
    "max_record_bytes": False,
    "max_inflated_bytes": True,
    "max_ratio": True,
    "max_members": False,
    "max_dictionary_bytes": True,
    "max_rejects_bytes": True,
    "max_rejects_file_bytes": True,
    "max_partitions": True,
}


@pytest.mark.parametrize("name", _MAY_BE_NONE)
def test_a_limit_is_a_number_above_zero(name: str) -> None:
    assert getattr(Limits(**{name: 7}), name) == 7
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"^{name}={value}: expected more than zero$"):
            Limits(**{name: value})
    wanted = "a number" if name == "max_ratio" else "a whole number"
    if _MAY_BE_NONE[name]:
        wanted += ", or None for no bound"
        assert getattr(Limits(**{name: None}), name) is None  # type: ignore[arg-type]
    wrong: list[Any] = ["9", b"9", True, [], 1j]
    wrong += [] if name == "max_ratio" else [1.5, float("nan")]
    wrong += [] if _MAY_BE_NONE[name] else [None]
    for value in wrong:
        with pytest.raises(TypeError, match=f"^{re.escape(f'{name}={value!r}: expected {wanted}')}$"):
            Limits(**{name: value})


def test_only_the_ratio_may_have_a_fraction() -> None:
    assert [field.name for field in fields(Limits)] == [*_MAY_BE_NONE]
    assert Limits(max_ratio=1.5).max_ratio == 1.5
    with pytest.raises(ValueError, match=r"^max_ratio=nan: expected more than zero"):
        Limits(max_ratio=float("nan"))


def test_a_record_has_1_gib_at_most() -> None:
    assert Limits(max_record_bytes=1 << 30).max_record_bytes == 1 << 30
    with pytest.raises(ValueError, match=r"^max_record_bytes=1073741825: expected at most 1 GiB$"):
        Limits(max_record_bytes=(1 << 30) + 1)


# Memory

_BOMB = """
import sys, zlib
import trackparse
kind, packing = sys.argv[1:]
head = b"//timestamp;tracking_code;target_id;hwid;status;description;appCode;payload\\n"
row = b'"2021-04-20 13:01:01";T-1;u;h;sent;;A-1;{}\\n'
unit = {"quoted": b"x", "bare": b"\\0", "escaped": b'\\\\"'}[kind]
unit *= (1 << 20) // len(unit)
def bomb():
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if packing == "gzip" else -15)
    if packing == "zip":
        yield b"PK\\3\\4" + bytes((20, 0, 8, 0, 8, 0)) + bytes(16) + b"\\x07\\0\\0\\0log.csv"
    yield packer.compress(head + row * 10)
    yield packer.compress(row[:-3] + (b'"' if kind in ("quoted", "escaped") else b""))
    for _ in range(200):
        yield packer.compress(unit)
    yield packer.flush()
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
trackparse.read_log([head + row])
start = peak()
rows, error = 0, None
try:
    with trackparse.open_log(bomb(), on_error="quarantine") as log:
        for batch in log:
            rows += batch.num_rows
except trackparse.TrackparseError as exc:
    error = exc
print(rows, type(error).__name__, (peak() - start) >> 10, error)
"""


@pytest.mark.skipif(SLOW > 1, reason="the reference copies what it looks at")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("kind", "packing"),
    [("quoted", "zip"), ("bare", "gzip"), ("escaped", "zip")],
)
def test_a_bomb_of_one_field_stops_behind_the_good_rows_in_little_memory(kind: str, packing: str) -> None:
    done = subprocess.run([sys.executable, "-c", _BOMB, kind, packing], check=True, capture_output=True, text=True)
    rows, error, mebibytes, said = done.stdout.split(" ", 3)
    assert (rows, error) == ("10", "LimitError")
    assert "line 12 " in said
    assert "Limits.max_record_bytes" in said
    assert int(mebibytes) < 256, "MiB above the start"


# Work


class Work:
    """How many bytes were looked at. An object: whenever an attribute of a class changes, its methods get slow."""

    def __init__(self) -> None:
        self.bytes = 0


WORK = Work()


class Counted(bytes):
    """Bytes that count in ``WORK`` how many of them are looked at."""

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        end = len(self) if end is None else end
        found = bytes.find(self, sub, start, end)
        WORK.bytes += (end if found < 0 else found + 1) - start
        return found

    def __getitem__(self, key: Any) -> Any:
        found = bytes.__getitem__(self, key)
        WORK.bytes += 1 if type(key) is int else len(found)
        return found


class CountedWindow(Window):
    """A window on counted bytes."""

    _last: tuple[bytes, Counted] = (b"", Counted())

    def __new__(cls, data: bytes, *rest: Any) -> Any:
        # Each record has a window, and all of them the same bytes.
        if cls._last[0] is not data:
            cls._last = (data, Counted(data))
        return super().__new__(cls, cls._last[1], *rest)


WIDE = b"//timestamp;tracking_code;" + b";".join(b"%x" % i for i in range(1022)) + b"\n"
ORDERS = b"".join(
    b"//timestamp;tracking_code;" + b";".join(b"%x" % (i ^ order) for i in range(1022) if i ^ order < 1022) + b"\n"
    for order in range(20)
)
WIDE64 = b"//timestamp;tracking_code;" + b";".join(b"%x" % i for i in range(62)) + b"\n"
WIDE_TIME_FIRST = b"//timestamp;tracking_code;" + b";".join(b"c%d" % i for i in range(58)) + b"\n"
WIDE_TIME_SECOND = WIDE_TIME_FIRST.replace(b"timestamp;tracking_code", b"tracking_code;timestamp")
TWO = b"//timestamp;tracking_code\n"
NOT_TRUSTED = TWO + b"//timestamp;tracking_code;name\xff\n"
LONG = H8[:-1] + b";" + b"x" * 900 + b"\n"
TIME_LAST = b"//tracking_code;target_id;hwid;status;description;appCode;payload;timestamp\n"
PAYLOAD_SECOND = b"//timestamp;payload;tracking_code;target_id;hwid;status;description;appCode\n"
_AMBIGUOUS = b'2021-04-20 13:01:01;T-1;u;h;sent;"' + b'a\\";' * 200 + b'x"y;A-1;{}\n'
THREE = b"".join(b"//timestamp;tracking_code;%x\n2021-04-20 13:01:01;;\n" % i for i in range(40))
# What is repeated, behind its header, and how often at least.
HOSTILE = {
    "stray quotes before quoted timestamps": (H8, QUOTED.replace(b";;", b';"oops;')),
    "stray quotes before bare timestamps": (H8, BARE.replace(b";;", b';"oops;')),
    "a stray quote, and no other": (H6 + SIX[:-1] + b'"oops\n', SIX),
    "a stray quote in front of doubled ones": (H8 + BARE.replace(b";;", b';"oops;'), BARE.replace(b";;", b';"";')),
    "stray quotes of two kinds": (H6, SIX[:-1] + b'"""\n' + SIX[:-1] + b'"\\"\n'),
    "lines that look like records in an open field": (H8 + BARE[:-3] + b'"', BARE),
    "lines that look like headers in an open field": (H8 + BARE[:-3] + b'"', b"//\n"),
    "quotes that may close": (H8, _AMBIGUOUS),
    "quotes that may close, in one record": (H8 + BARE[:-3] + b'"', b'a\\";'),
    "quotes that may close at line ends": (H6, SIX[:-1] + b'"\\"\n'),
    "escaped quotes in records without a time": (H8, b'0000;T-1;u;h;sent;;A-1;"{""a"":""\\""}"\n'),
    "both dialects by turns": (H8, BARE[:-3] + b'"\\""x"\n' + BARE[:-3] + b'"\\"x"\n'),
    "bytes that are not UTF-8": (H8, BARE.replace(b"u;", b"\xff;")),
    "a byte that is not UTF-8 between good records": (H8, BARE * 20 + BARE.replace(b"u;", b"\xff;")),
    "no timestamps": (H8, BARE.replace(b"04-20", b"02-30")),
    "quotes": (H8, b'"'),
    "quotes and delimiters": (H8, b'";'),
    "quotes and line ends": (H8, b'"\n'),
    "escaped quotes": (H8 + b'"', b'\\"'),
    "delimiters": (H8, b";"),
    "slashes": (H8, b"/"),
    "slashes and line ends": (H8, b"//\n"),
    "carriage returns": (H8, b"\r"),
    "blank lines": (H8, b"\r\n"),
    "NUL bytes": (H8, b"\0"),
    "byte order marks": (H8, b"\xef\xbb\xbf"),
    "byte order marks and line ends": (H8, b"\xef\xbb\xbf\n"),
    "headers": (H8, H6 + H8),
    "headers and records": (H6, H6 + SIX),
    "headers run into records": (H6, SIX[:-1] + H6 + H6[:-1] + SIX),
    "headers run into cut records": (H6, b"2021" + H6),
    "headers of three names on one line": (H8, b"//timestamp;tracking_code;status"),
    "headers of two names, and records, on one line": (TWO, b"//timestamp;tracking_code2021-04-20 13:01:01;T"),
    "good records with a line like a record's, and headers run into them": (
        H6,
        b'2021-04-20 13:01:01;T;u;h;s;"\n2021-04-20 13:01:01;"' + H6,
    ),
    "records with a bad time, and a header in each of their readings": (
        H6,
        b'x;"' + b'\\";y//timestamp;tracking_code;"' * 3 + b'\\";\n',
    ),
    "beginnings of headers": (H8, b"//timestamp;tracking_cod;"),
    "beginnings of headers in one record": (H8 + BARE[:-3] + b'"', b"//timestamp;tracking_code;"),
    "beginnings of headers in records without a time": (H8, b";;;;;;;" + b"//timestamp;tracking_code" * 20 + b"\n"),
    "a last field that looks like a header's": (H6, SIX[:-1] + b"description\n"),
    "beginnings of records": (H8, b"2021-04-20 13:01:0"),
    "beginnings of records on lines": (H8, b"2021-04-20 13:01:01\n"),
    "separator lines": (H8, b"sep=;\n"),
    "names of columns on each line": (H8, b"hwid;status\n"),
    "names of columns, and a header": (H8, b"hwid;status\n" + H8),
    "shortest headers": (H8, b"timestamp;tracking_code\n"),
    "headers by turns, a bad line below each": (
        b"//timestamp;tracking_code\n",
        b"x\n//tracking_code;timestamp\ny\n//timestamp;tracking_code\n",
    ),
    "byte order marks before bad lines": (H8, b"\xef\xbb\xbfx\n"),
    "64 columns, lines that open a quote": (WIDE64, b'//;x\\";"y\n'),
    "64 columns, quotes that may close": (WIDE64, b'"x\\";"y\\"\n'),
    "1,024 columns, lines that open a quote": (WIDE, b'//;x\\";"y\n'),
    "1,024 columns, quotes and delimiters": (WIDE, b'";"\n'),
    "1,024 columns, in more orders than are remembered": (WIDE, ORDERS),
    "1,024 columns, and headers of two with a record each": (WIDE, TWO + b"2021-04-20 13:01:01;\n"),
    "1,024 columns, and headers of three by turns with a record each": (WIDE, THREE),
    "the timestamp last, open quotes": (TIME_LAST, b'"a\n'),
    "the timestamp last, quotes that may close": (TIME_LAST, b'"a\\"";"b\\";"c";"\n'),
    "the payload second, quotes that may close": (
        PAYLOAD_SECOND,
        b'2021-04-20 13:01:01;"' + b'a\\";' * 60 + b'";b;c;d;e;f;g\n',
    ),
    "every field may close": (H6, b"2021-04-20 13:01:01;" + b'"\\";' * 4 + b'"\\"\n'),
    "every field may close or go on": (H6, b"2021-04-20 13:01:01;" + b'"\\"";' * 4 + b'"\\""\n'),
    "every field may close, and no record is good": (H6, b"2021-02-30 13:01:01;" + b'"\\";' * 4 + b'"\\"\n'),
    "good records that do not look like any, at which a header is looked for in each": (
        WIDE_TIME_SECOND,
        b'x"y;2021-04-20 13:01:01' + b";" * 58 + b'"\\"\n',
    ),
    "the same, and a header after each hundred": (
        WIDE_TIME_SECOND,
        (b'x"y;2021-04-20 13:01:01' + b";" * 58 + b'"\\"\n') * 100 + WIDE_TIME_SECOND,
    ),
    "readings that end before a line of many fields": (
        WIDE_TIME_FIRST,
        b"2021-04-20 13:01:01" + b";" * 50 + b'"\\";\\";' * 6 + b"x\n" + b";" * 60_000 + b"\n",
    ),
    "payloads that are nested deep": (
        H8,
        b'2021-04-20 13:01:01;T;u;h;s;"\\";A;"' + b"[" * 1000 + b"]" * 1000 + b'"\n',
    ),
    "payloads that are no JSON": (H8, b'2021-04-20 13:01:01;T;u;h;s;"\\";A;"{""a"":""' + b"x" * 3000 + b'\\"""\n'),
    "carriage returns before text": (H8, b"\r\r\r\rx\n"),
    "carriage returns behind quotes": (H8, b'"\r\r\r"\r'),
    "two columns, nothing in them": (TWO, b";\n"),
    "two columns, bytes that are not UTF-8": (TWO, b"\xff;\n"),
    "two columns, a good record among bad ones": (TWO, b"2021-04-20 13:01:01;\n" + b";\n" * 50),
    "two columns, bad for two reasons by turns": (TWO, b";\n\xff;\n"),
    "nothing, below a header that cannot be used": (NOT_TRUSTED, b";;\n"),
    "records, below a header that cannot be used": (NOT_TRUSTED, b"2021-04-20 13:01:01;;\n" + b";;\n" * 50),
    "slashes and line ends below a long header": (LONG, b"//\n"),
    "records that look like others": (H8, b'2021-04-20 13:01:01;T;u;h;s;"\\";A;"\\"\n2021-04-20 13:01:01;"\n'),
}


def index_all(data: bytes, block_size: int, max_record_bytes: int = 1 << 20) -> None:
    """Read a log to its end, or to its error."""
    indexer = Indexer("auto", Limits(max_record_bytes=max_record_bytes), block_size)
    try:
        indexer.start("log.csv")
        for at in range(0, len(data), block_size):
            for _ in indexer.feed(data[at : at + block_size]):
                pass
        for _ in indexer.finish():
            pass
    except TrackparseError:
        pass


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The reference, counting the bytes that it looks at, those for headers among them."""
    bytes_of_line = indexer._bytes_of_line

    def counted_bytes(data: Any, at: int) -> bytes:
        found = bytes_of_line(data, at)
        WORK.bytes += len(found)
        return found

    monkeypatch.setattr(indexer, "kernel", reference)
    monkeypatch.setattr(indexer, "_bytes_of_line", counted_bytes)
    monkeypatch.setattr(kernel_index, "Window", CountedWindow)
    yield
    CountedWindow._last = (b"", Counted())


@pytest.mark.parametrize("block_size", [500, 1 << 20])
@pytest.mark.parametrize("name", HOSTILE)
def test_the_bytes_looked_at_are_linear_in_those_there(name: str, block_size: int, counted: None) -> None:
    head, unit = HOSTILE[name]
    size = (4 << 10) // len(unit) + 1
    spent = []
    for count in (size, 4 * size):
        WORK.bytes = 0
        # A lower limit of a record is less credit to begin with, and its work is over sooner.
        index_all(head + unit * count, block_size, max_record_bytes=1 << 18)
        spent.append(WORK.bytes / (len(head) + len(unit) * count))
    few, many = spent
    # At most 64 readings of a record are weighed, until the credit is used up; each byte is looked at a few times.
    assert max(few, many) < 500, "bytes looked at for each byte"
    assert many < 1.5 * few + 2, "four times the log costs more than four times the work"


# Seconds; development mode makes every object dearer.
CPU_BAR = 1.0 if sys.flags.dev_mode else 0.5


def cpu_of_a_megabyte(size: int, read: Callable[[], object]) -> float:
    """Seconds of CPU for each megabyte of a log of so many bytes: the least of three, or the first below the bar."""
    best = math.inf
    for _ in range(3):
        start = time.process_time()
        with suppress(TrackparseError):
            read()
        best = min(best, (time.process_time() - start) / size * 1e6)
        if best < CPU_BAR:
            break
    return best


@pytest.mark.skipif(SLOW > 1, reason="the bar is that of the kernel in C")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_costs_half_a_second_at_most(name: str) -> None:
    """What comes for each reject, beside the bytes looked at, counts here."""
    head, unit = HOSTILE[name]
    data = head + unit * (200_000 // len(unit))

    def skipped() -> None:
        with trackparse.open_log(data, on_error="skip") as log:
            for _ in log:
                pass

    assert cpu_of_a_megabyte(len(data), skipped) < CPU_BAR


WITH_ALL = WIDE + b"2021-04-20 13:01:01;T" + b";" * 1022 + b"\n"
NARROW = b"//timestamp;tracking_code\n" + b"2021-04-20 13:01:01;T\n" * 1600
# Records of few columns below a header of very many, which they lack, and such records between others that have them.
MOSTLY_MISSING = {
    "few columns": NARROW,
    "few columns and many, by turns": NARROW + WITH_ALL,
    "few columns and many, more often": NARROW[: NARROW.index(b"\n", 3000) + 1] + WITH_ALL,
    "many columns": WITH_ALL[len(WIDE) :],
}


@pytest.mark.skipif(SLOW > 1, reason="the bar is that of the kernel in C")
@pytest.mark.parametrize("kind", MOSTLY_MISSING)
def test_a_megabyte_to_parquet_costs_half_a_second_at_most(kind: str, tmp_path: Path) -> None:
    """A column that none of the records has used to be made for each of them: 1.9 s, by turns 2.2 s."""
    data = WIDE + MOSTLY_MISSING[kind] * (3_000_000 // len(MOSTLY_MISSING[kind]))

    def convert() -> None:
        trackparse.convert_log(data, tmp_path / "log.parquet")

    assert cpu_of_a_megabyte(len(data), convert) < CPU_BAR


# A header of its own for each record: the columns by turns in another order.
BY_TURNS = b"//timestamp;tracking_code\n2021-04-20 13:01:01;T\n//tracking_code;timestamp\nT;2021-04-20 13:01:01\n"
SENT = b"//timestamp;tracking_code;status\n" + b"2021-04-20 13:01:01;T;sent\n2021-04-20 13:01:01;T;opened\n"
TURNED = b"//timestamp;status;tracking_code\n" + b"2021-04-20 13:01:01;sent;T\n2021-04-20 13:01:01;opened;T\n"
OFTEN_ANOTHER_HEADER = {
    "two columns": (BY_TURNS[: BY_TURNS.index(b"\n") + 1], BY_TURNS),
    "two columns below very many": (WIDE, BY_TURNS),
    "half of the records": (SENT, SENT + TURNED),
}


@pytest.mark.skipif(SLOW > 1, reason="the bar is that of the kernel in C")
@pytest.mark.parametrize("way", ["parquet", "batches", "events"])
@pytest.mark.parametrize(
    "where",
    [
        trackparse.Filter(since=datetime(2021, 1, 1)),
        trackparse.Filter(since=datetime(2031, 1, 1)),
        trackparse.Filter(statuses=["sent"]),
    ],
    ids=["all", "none", "sent"],
)
@pytest.mark.parametrize("kind", OFTEN_ANOTHER_HEADER)
def test_a_filter_of_short_segments_costs_half_a_second_a_megabyte_at_most(
    kind: str, where: trackparse.Filter, way: str, tmp_path: Path
) -> None:
    """Each of them was filtered by itself: 0.9 s, as events 1.2 s."""
    head, unit = OFTEN_ANOTHER_HEADER[kind]
    data = head + unit * (1_000_000 // len(unit))

    def read() -> None:
        if way == "parquet":
            trackparse.convert_log(data, tmp_path / "log.parquet", where=where, threads=1)
        elif way == "events":
            for _ in trackparse.iter_events(data, where=where):
                pass
        else:
            with trackparse.open_log(data, where=where, columns=["timestamp"]) as log:
                for _ in log:
                    pass

    assert cpu_of_a_megabyte(len(data), read) < CPU_BAR


@pytest.mark.skipif(SLOW > 1, reason="the bar is that of the kernel in C")
@pytest.mark.parametrize("held", [1 << 20, partitions.HELD_BYTES], ids=["spilled", "held"])
@pytest.mark.parametrize("by", ["date", "status"])
@pytest.mark.parametrize("where", [None, trackparse.Filter(since=datetime(2021, 1, 1))], ids=["", "all"])
@pytest.mark.parametrize("kind", OFTEN_ANOTHER_HEADER)
def test_partitions_of_short_segments_cost_half_a_second_a_megabyte_at_most(
    kind: str, where: trackparse.Filter | None, by: str, held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change of header had its records sorted by themselves: 0.7 s."""
    monkeypatch.setattr(partitions, "HELD_BYTES", held)
    head, unit = OFTEN_ANOTHER_HEADER[kind]
    path = tmp_path / "log.csv"
    path.write_bytes(head + unit * (1_000_000 // len(unit)))

    def convert() -> None:
        options: dict[str, Any] = {"partition_by": [by], "existing": "replace", "where": where, "threads": 1}
        (report,) = trackparse.convert_logs([path], tmp_path / "lake", **options)
        assert report.error is None

    assert cpu_of_a_megabyte(path.stat().st_size, convert) < CPU_BAR


@pytest.mark.skipif(SLOW > 1, reason="the bar is that of the kernel in C")
def test_small_row_groups_of_short_segments_cost_half_a_second_a_megabyte_at_most(tmp_path: Path) -> None:
    """Each row group looked at all segments of its block: 1.0 s."""
    data = BY_TURNS * (1_000_000 // len(BY_TURNS))

    def convert() -> None:
        trackparse.convert_log(data, tmp_path / "log.parquet", row_group_size=300, threads=1)

    assert cpu_of_a_megabyte(len(data), convert) < CPU_BAR


# Those that have the most rejects, with the longest lines in a file of them.
MANY_REJECTS = [
    "slashes and line ends",
    "slashes and line ends below a long header",
    "two columns, nothing in them",
    "two columns, bad for two reasons by turns",
    "records, below a header that cannot be used",
]


@pytest.mark.skipif(SLOW > 1, reason="the bar is that of the kernel in C")
@pytest.mark.parametrize("way", ["kept", "events", "check", "rejects.jsonl", "rejects.parquet"])
@pytest.mark.parametrize("name", MANY_REJECTS)
def test_a_megabyte_of_rejects_costs_no_more_however_they_are_read(name: str, way: str, tmp_path: Path) -> None:
    head, unit = HOSTILE[name]
    path = tmp_path / "log.csv"
    path.write_bytes(head + unit * (200_000 // len(unit)))

    def read() -> None:
        if way == "kept":
            with trackparse.open_log(path, on_error="quarantine") as log:
                assert log.read_all().num_rows + log.rejects.num_rows > 9999
        elif way == "events":
            for _ in trackparse.iter_events(path, on_error="quarantine"):
                pass
        elif way == "check":
            assert run("check", path).exit_code == 3
        else:
            dest, rejects = tmp_path / "log.parquet", tmp_path / way
            trackparse.convert_log(path, dest, on_error="quarantine", rejects=rejects)
            assert rejects.stat().st_size > 9999

    assert cpu_of_a_megabyte(path.stat().st_size, read) < CPU_BAR


class CallsCounted:
    """A kernel that counts the bytes that ``index`` is given and comes back from, or has to be given again."""

    def __init__(self) -> None:
        self.work = 0
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(chooser.kernel, name)

    def index(self, question: codes.Question) -> codes.Indexed:
        found = chooser.kernel.index(question)
        self.calls += 1
        self.work += (len(question.data) if found.status == codes.MORE else found.position) - question.start
        return found


@pytest.mark.parametrize("block_size", [100, 64 << 10])
@pytest.mark.parametrize("name", HOSTILE)
def test_the_kernel_is_given_each_byte_a_few_times(name: str, block_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = CallsCounted()
    monkeypatch.setattr(indexer, "kernel", kernel)
    head, unit = HOSTILE[name]
    data = head + unit * ((256 << 10) // (SLOW * len(unit)) + 1)
    index_all(data, block_size)
    # A record that may reach over 64 lines is looked at again with each block, if blocks are smaller than that.
    assert kernel.work < 8 * len(data)
    # Each call ends a block or a seam, finds a header, or is a look at twice as much.
    assert kernel.calls < 5 * len(data) // block_size + 2 * data.count(b"tracking_code") + 50


MANY = b"//timestamp;tracking_code;" + b";".join(b"%x" % number for number in range(500)) + b"\n"
TINY = b"//timestamp;tracking_code\n2021-04-20 13:01:01;T-1\n"


def tiny_members(first: bytes) -> bytes:
    return python_zip(
        {"first.csv": first} | {f"{number}.csv": TINY for number in range(300)}, method=zipfile.ZIP_STORED
    )


def test_tiny_members_below_very_many_columns_share_a_batch() -> None:
    """Each made a batch of all columns: 74 KB took 2.4 s."""
    with trackparse.open_log(tiny_members(MANY + TINY)) as log:
        rows = [batch.num_rows for batch in log]
    assert sum(rows) == 301
    assert len(rows) <= 3


@pytest.mark.parametrize("block_size", [1 << 12, 1 << 20])
def test_short_stretches_below_very_many_columns_share_a_batch(block_size: int) -> None:
    """From 2,048 records on each stretch made a batch of all columns: 116 KB took 12 s."""
    rows = 5000
    log = MANY + b"".join(b"//timestamp;tracking_code\n2021-04-20 13:01:01;T-%d\n" % number for number in range(rows))
    with trackparse.open_log(log, block_size=block_size) as opened:
        batches = list(opened)
    codes = [code for batch in batches for code in batch["tracking_code"].to_pylist()]
    assert codes == [f"T-{number}" for number in range(rows)]
    assert len(batches) <= len(log) // (32 * 500) + 2


@pytest.mark.parametrize("first", [TINY, MANY + TINY], ids=["few columns", "many columns"])
def test_what_came_before_the_damage_comes_from_tiny_members_too(first: bytes) -> None:
    source = tiny_members(first)
    cut = source[: source.rindex(b"T-1\n")]
    rows: list[int] = []
    with trackparse.open_log(cut) as log, pytest.raises(trackparse.ArchiveError):
        rows.extend(batch.num_rows for batch in log)
    assert sum(rows) == 300
