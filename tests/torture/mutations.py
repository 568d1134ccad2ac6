"""Archives of several logs, damaged at random and bit by bit: no log is ever lost without a word.

    python tests/torture/mutations.py [--mutations 100000] [--seed 1]

Without an error every log must have come, whole; or the program's log names the member that was left out. It prints
what was tried and every loss in silence; the exit code is 1 if there is one.
"""

from __future__ import annotations

import argparse
import io
import logging
import random
import struct
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent.parent)

import trackparse
from support.zips import CENTRAL, DESCRIPTOR, END, LOCAL, Member, archive
from trackparse.archive.opening import open_archive
from trackparse.errors import HeaderError, TrackparseError
from trackparse.limits import Limits
from trackparse.sources.source import open_source

HEADER = b"//timestamp;tracking_code\n"
LOGS = [HEADER + b"2021-04-2%d 13:01:01;T-%d\n" % (day, day) for day in range(3)]
WAYS: dict[str, Callable[[bytes], Any]] = {"file": bytes, "stream": lambda data: [data]}
SIGNATURES = (LOCAL, CENTRAL, END, DESCRIPTOR, b"PK\x06\x06", b"PK\x06\x07")


class Form(NamedTuple):
    """A sound archive, and the logs in it."""

    data: bytes
    logs: list[bytes]


def with_zip64_end(data: bytes) -> bytes:
    """The archive with zip64 records, to which its end record leaves all numbers."""
    at = data.rindex(END)
    entries, size, offset = struct.unpack("<HLL", data[at + 10 : at + 20])
    record = b"PK\x06\x06" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, entries, entries, size, offset)
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, at, 1)
    return data[:at] + record + locator + END + bytes(4) + b"\xff" * 12 + data[at + 20 :]


def with_signature(data: bytes) -> bytes:
    """The archive with a digital signature behind its directory."""
    at = data.rindex(END)
    return data[:at] + b"PK\x05\x05\x06\x00signed" + data[at:]


class Pipe(io.RawIOBase):
    """Where zipfile cannot seek and writes descriptors."""

    def __init__(self, file: io.BytesIO) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)


def by_zipfile(*, streamed: bool, zip64: bool, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Three logs as Python writes them."""
    out = io.BytesIO()
    file: Any = Pipe(out) if streamed else out
    with zipfile.ZipFile(file, "w", method) as written:
        for day, log in enumerate(LOGS):
            with written.open(f"{day}.csv", "w", force_zip64=zip64) as member:
                member.write(log)
    return out.getvalue()


def forms() -> dict[str, Form]:
    """Archives of two and three logs, in each form that writers use."""
    members = [Member(log, b"%d.csv" % day) for day, log in enumerate(LOGS)]
    described = {
        form: archive(*(Member(log, b"%d.csv" % day, descriptor=form) for day, log in enumerate(LOGS)))
        for form in ("32", "64", "signed 32", "signed 64")
    }
    extra = struct.pack("<HH4s", 0xCAFE, 4, b"abcd")
    odd = [Member(log, b"d/%d.csv" % day, extra=extra, central_extra=extra) for day, log in enumerate(LOGS)]
    others = [
        Member(b"", b"d/", method=0),
        odd[0],
        Member(b"made by a service\n", b"README.txt"),
        odd[1],
        Member(b"\0\5\x16\7" + bytes(20), b"__MACOSX/._0.csv"),
    ]
    made = {
        "two logs": (archive(*members[:2]), LOGS[:2]),
        "three logs": (archive(*members), LOGS),
        "zip64 and descriptors": (with_zip64_end(by_zipfile(streamed=True, zip64=True)), LOGS),
        "zip64 in the headers": (by_zipfile(streamed=False, zip64=True), LOGS),
        "stored": (by_zipfile(streamed=False, zip64=False, method=zipfile.ZIP_STORED), LOGS),
        "stored with descriptors": (by_zipfile(streamed=True, zip64=False, method=zipfile.ZIP_STORED), LOGS),
        "zip64 records at the end": (with_zip64_end(by_zipfile(streamed=False, zip64=True)), LOGS),
        **{f"descriptors: {form}": (data, LOGS) for form, data in described.items()},
        "among other files": (archive(*others), LOGS[:2]),
        "a comment": (archive(*members, comment=b"made on Monday PK\5\6 and sound"), LOGS),
        "a program before it": (archive(*members, prefix=b"#!/bin/sh\nexit\n"), LOGS),
        "a program before it, counted": (archive(*members, prefix=b"#!/bin/sh\n", shift=10), LOGS),
        "a byte order mark before it": (archive(*members, prefix=b"\xef\xbb\xbf"), LOGS),
        "the mark of a spanned archive": (archive(*members, prefix=DESCRIPTOR, shift=4), LOGS),
        "bytes before and behind it": (archive(*members, prefix=b"\r\n", suffix=b"\r\n"), LOGS),
        "a signature": (with_signature(archive(*members)), LOGS),
        "names in Unicode": (unicode_names(), LOGS),
        "two equal logs": (archive(*members[:2], Member(LOGS[0], b"again.csv")), [*LOGS[:2], LOGS[0]]),
    }
    return {name: Form(data, logs) for name, (data, logs) in made.items()}


def unicode_names() -> bytes:
    """An archive of three logs with names in an encoding of their writer's, and those in Unicode beside them."""
    members = []
    for log, name in zip(LOGS, ("журнал.csv", "b.csv", "в.csv"), strict=True):
        raw = name.encode("cp866")
        field = b"\1" + struct.pack("<L", zlib.crc32(raw)) + name.encode()
        extra = struct.pack("<HH", 0x7075, len(field)) + field
        members.append(Member(log, raw, extra=extra, central_extra=extra))
    return archive(*members)


def joined_archives() -> dict[str, Form]:
    """Archives of one log each, one behind the other: never sound, as a reader can give the logs of one at most."""
    one, other, third = (archive(Member(log, b"%d.csv" % day)) for day, log in enumerate(LOGS))
    return {
        "two archives": Form(one + other, LOGS[:2]),
        "three archives": Form(one + other + third, LOGS),
        "two archives behind a line end": Form(b"\n" + one + other, LOGS[:2]),
        "two archives behind a byte order mark": Form(b"\xef\xbb\xbf" + one + other, LOGS[:2]),
        "two archives behind a program": Form(b"MZ" + bytes(50) + one + other, LOGS[:2]),
    }


# The ones of which every bit is flipped in the suite: all forms would take too long.
FLIPPED = ("two logs", "zip64 and descriptors", "names in Unicode")


def flips(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The archive with one bit flipped, for each bit of it."""
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit % 8} of byte {bit // 8}", bytes(changed)


def mutation(data: bytes, dice: random.Random) -> tuple[str, bytes]:
    """The archive changed in one to three places, headers first of all."""
    said = []
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        how, data = _change(bytearray(data), dice)
        said.append(how)
    return ", ".join(said), data


def _change(data: bytearray, dice: random.Random) -> tuple[str, bytes]:
    heads = [at for mark in SIGNATURES for at in _places(data, mark)]
    at = dice.choice(heads) + dice.randrange(56) if heads and dice.random() < 0.7 else dice.randrange(len(data) + 1)
    at = min(at, len(data) - 1)
    length = dice.choice((1, 2, 4, 8, 30, 46, 60))
    match dice.randrange(8):
        case 0:
            data[at] ^= 1 << dice.randrange(8)
            return f"bit at {at}", bytes(data)
        case 1:
            data[at] = dice.randrange(256)
            return f"byte at {at}", bytes(data)
        case 2:
            some = dice.choice((b"\0\0", b"\xff\xff", b"\xff" * 4, bytes(4), dice.randbytes(4), dice.randbytes(2)))
            data[at : at + len(some)] = some
            return f"{some!r} at {at}", bytes(data)
        case 3:
            del data[at : at + length]
            return f"{length} bytes gone at {at}", bytes(data) or b"P"
        case 4:
            data[at:at] = dice.choice((bytes(length), dice.randbytes(length), data[at : at + length]))
            return f"{length} bytes put in at {at}", bytes(data)
        case 5:
            there = dice.choice(heads) if heads else 0
            data[at : at + length] = data[there : there + length]
            return f"{length} bytes of {there} over {at}", bytes(data)
        case 6 if len(heads) > 1:
            one, other = sorted(dice.sample(heads, 2))
            size = min(length, other - one)
            data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]
            return f"{size} bytes of {one} and {other} changed over", bytes(data)
        case _:
            return f"cut at {at}", bytes(data[: at or 1])


def _places(data: bytearray, mark: bytes) -> list[int]:
    places = []
    at = -1
    while (at := data.find(mark, at + 1)) >= 0:
        places.append(at)
    return places


class Said(logging.Handler):
    """What the program's log says of members left out."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def lost(
    data: bytes, logs: list[bytes], way: str, read: Callable[[Any], Counter[bytes]], *, warned: bool = True
) -> str:
    """What was lost without a word; empty if nothing was. Whether a warning that names it is a word enough."""
    said, logger = Said(), logging.getLogger("trackparse")
    logger.addHandler(said)
    logger.propagate = False
    try:
        found = read(WAYS[way](data))
    except TrackparseError:
        return ""
    finally:
        logger.removeHandler(said)
        logger.propagate = True
    missing = Counter(logs) - found
    return "" if not missing or (warned and said.lines) else f"{sum(missing.values())} of {len(logs)} logs"


def by_archive(source: Any) -> Counter[bytes]:
    """The contents of all members, each of which begins as a log does."""
    found: Counter[bytes] = Counter()
    with closing(open_archive(open_source(source), Limits())) as opened:
        for member in opened:
            content = b"".join(map(bytes, member.blocks(1 << 16)))
            if not content.startswith(HEADER[:11]):
                raise HeaderError("not a log")
            found[content] += 1
    return found


def by_rows(source: Any) -> Counter[bytes]:
    """The logs whose rows come out of ``open_log``."""
    found: Counter[bytes] = Counter()
    with trackparse.open_log(source) as log:
        for batch in log:
            for when, code in zip(batch["timestamp"], batch["tracking_code"], strict=True):
                found[HEADER + f"{when};{code}\n".encode()] += 1
    return found


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--mutations", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    reads, losses = 0, []
    flipped = forms() | joined_archives()
    for name, form in flipped.items():
        for what, data in flips(form.data):
            for way in WAYS:
                reads += 1
                if loss := lost(data, form.logs, way, by_archive, warned=False):
                    losses.append(f"{name}, {what}, {way}: {loss}")
    print(f"every bit of {len(flipped)} archives flipped: {reads:,} reads, {len(losses)} silent losses", flush=True)
    dice = random.Random(given.seed)
    made = list(forms().items())
    for number in range(given.mutations):
        name, form = made[number % len(made)]
        what, data = mutation(form.data, dice)
        for way in WAYS:
            if loss := lost(data, form.logs, way, by_rows):
                losses.append(f"{name}, {what}, {way}: {loss}")
    print(f"{given.mutations:,} mutations, each read both ways: {len(losses)} silent losses in all", flush=True)
    for loss in losses[:50]:
        print(loss)
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
