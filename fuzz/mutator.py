"""Damages bytes at random, the same way for the same dice: what the seeds are, and what is done to them."""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import IO, Any, Literal

from trackparse.sample import encode_row, sample_rows

BOM = b"\xef\xbb\xbf"
H8 = b"//timestamp;tracking_code;target_id;hwid;status;description;appCode;payload\n"
H6 = b"//timestamp;tracking_code;target_id;hwid;status;description\n"
TOKENS = (
    *(b'"', b'""', b'\\"', b'\\""', b'"";', b'";', b';"', b"\\", b"\\\\", b";", b"//", b"timestamp;"),
    *(b"\n", b"\r\n", b"\r", b"\n\n", b'"\n', b'\\"\n', b'\\";', b"\x00", b"\xff", b"\xe2\x82", BOM),
    *("é".encode(), "🎁".encode(), b"{", b"}", b'"{""a"":""b""}"', b'"{""a"":""\\"b\\"""}"'),
    *(b"2021-04-20 13:01:01", b'"2021-04-20 13:01:01";', b"\n2011-01-01T15:03:01.012345;", b"2021-02-30 00:00:00"),
    *(H8, H6, H8[:-1], H8[2:], b"//tracking_code;timestamp\n", b"x" * 70, b'""' * 40),
)
ARCHIVE_TOKENS = (
    *(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08", b"\x1f\x8b\x08"),
    *(bytes(1), bytes(4), bytes(8), b"\xff" * 2, b"\xff" * 4, b"\xff" * 8, b"\x01\x00", b"\x00\x01", b".csv", b"/"),
    *(b"\x08\x00", b"\x0c\x00", b"\x0e\x00", b"\x5d\x00", b"\x01\x00\x10\x00", b"\x01\x99", b"\x7f\xff\xff\xff"),
)


@cache
def logs() -> tuple[bytes, ...]:
    """Logs to start from: those of the table of cases, and samples in both dialects."""
    sys.path.append(str(Path(__file__).parent.parent / "tests"))
    from cases import CASES

    seeds = [case.data for case in CASES if case.data]
    for rows in (1, 12):
        dialect: Literal["php", "rfc4180"]
        for dialect in ("php", "rfc4180"):
            seeds.append(H8 + b"".join(encode_row(row, dialect) for row in sample_rows(rows, rows)))
            seeds.append(H6 + b"".join(encode_row(row, dialect) for row in sample_rows(rows, rows, columns=6)))
    return tuple(seeds)


def mutated(dice: Random, seeds: tuple[bytes, ...], tokens: tuple[bytes, ...]) -> bytes:
    """A seed that went through bad hands."""
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.choice((0, 1, 1, 2, 3, 5, 8, 16))):
        at = _place(dice, data)
        end = at + dice.choice((1, 1, 2, 3, 8, 30, 100, 400))
        match dice.randrange(7):
            case 0:  # splice
                other = dice.choice(seeds)
                data[at:] = other[_place(dice, other) :]
            case 1 if at < len(data):  # flip
                data[at] ^= 1 << dice.randrange(8)
            case 2:  # overwrite
                data[at : at + 1] = bytes((dice.randrange(256),))
            case 3:  # duplicate
                data[at:at] = data[at:end] * dice.choice((1, 1, 2, 9))
            case 4:  # cut
                del data[at:end]
            case 5:  # insert, in place of something or not
                token = dice.choice(tokens)
                data[at : at + dice.choice((0, 0, 1, len(token)))] = token
            case _:  # a whole other one
                data[at:at] = dice.choice(seeds)[:2000]
    return bytes(data)


def _place(dice: Random, data: bytes | bytearray) -> int:
    """Anywhere, or where a line starts."""
    at = dice.randrange(len(data) + 1)
    return data.find(b"\n", at) + 1 if dice.random() < 0.4 else at


def pieces(dice: Random, data: bytes) -> list[bytes]:
    """The data in pieces: of one size, or of many, some of them empty."""
    if dice.random() < 0.3:
        size = dice.choice((1, 2, 7, 64))
        return [data[at : at + size] for at in range(0, len(data), size)]
    found, at = [], 0
    while at < len(data):
        size = dice.choice((0, 1, 2, 5, 17, 64, 300, len(data)))
        found.append(data[at : at + size])
        at += size
    return found


class _Pipe(io.RawIOBase):
    """Where zipfile cannot seek and writes sizes behind the data."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)


@cache
def archives() -> dict[bytes, tuple[bytes, ...]]:
    """Archives to start from, each with the content of its logs, in their order."""
    rows = [encode_row(row) for row in sample_rows(40, 3)]
    first, second, last = H8 + b"".join(rows[:30]), H8 + b"".join(rows[30:]), H6 + rows[0]
    found: dict[bytes, tuple[bytes, ...]] = {
        _zip({"a.csv": first}): (first,),
        _zip({"a.csv": first}, streamed=True): (first,),
        _zip({"log": second}, streamed=True): (second,),
        _zip({"a.csv": second}, zip64=True): (second,),
        gzip.compress(first, mtime=0): (first,),
        gzip.compress(first, mtime=0) + gzip.compress(second, mtime=0): (first + second,),
    }
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        names = {"readme.txt": b"nothing", "a.csv": first, "b/": b"", "b/b.csv": second, "c.csv": last}
        found[_zip(names, method)] = (first, second, last)
    return found


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, *, streamed: bool = False,
         zip64: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(_Pipe(out) if streamed else out, "w", method) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(content)
    return out.getvalue()
