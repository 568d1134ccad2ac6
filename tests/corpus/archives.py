"""Archives cut, flipped, forged and odd."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zlib
from dataclasses import replace

from support.logs import NAMES6
from support.zips import CENTRAL, END, Member, archive, deflate, inflate_prefix, local_part
from trackparse.errors import ArchiveError, HeaderError, LimitError, TruncatedError
from trackparse.limits import Limits

from .model import Fault, Log, Outcome, refused, row, row6, rows, with_error

LOG = Log().good(*rows(40))
DATA = LOG.data
FULL = LOG.outcome()
DAMAGED = with_error(FULL, ArchiveError)
CUT = with_error(FULL, TruncatedError)
PACKED = deflate(DATA)
HEAD = 37  # bytes of a local header with the name log.csv
NOTHING = Outcome(error=ArchiveError, blank_lines=None)
ONE = Member(DATA)
STORED = Member(DATA, method=0)
SMALL = Log(NAMES6).good(row6(1), row6(2))


def read(name: str, data: bytes, **more: object) -> Fault:
    """Good, and no false alarm."""
    return Fault(name, data, FULL, **more)  # type: ignore[arg-type]


def damaged(
    name: str, data: bytes, outcome: Outcome = DAMAGED, forward: Outcome | None = None, **more: object
) -> Fault:
    return Fault(name, data, outcome, forward, **more)  # type: ignore[arg-type]


def _good() -> list[Fault]:
    forms = ("32", "64", "signed 32", "signed 64")
    wide = struct.pack("<HHQQ", 1, 16, len(DATA), len(PACKED))
    zip64 = Member(DATA, local={"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF}, extra=wide)
    odd_extra = struct.pack("<HH4s", 0xCAFE, 4, b"abcd") + b"\x01"
    junk = Member(b"x" * 300, b"__MACOSX/._log.csv")
    folder = Member(b"", b"logs/", method=0)
    second = Member(SMALL.data, b"b.csv")
    both = Outcome((*FULL.rows, *SMALL.outcome().rows))
    return [
        read("a ZIP, deflated", archive(ONE)),
        read("a ZIP, stored", archive(STORED)),
        read("a ZIP, bzip2", archive(replace(ONE, method=12))),
        *(read(f"a descriptor: {form}", archive(replace(ONE, descriptor=form))) for form in forms),
        *(
            read(f"a descriptor behind stored data: {form}", archive(replace(STORED, descriptor=form)))
            for form in forms
        ),
        read("sizes of 64 bits", archive(zip64)),
        read("extra fields that nobody knows", archive(replace(ONE, extra=odd_extra, central_extra=odd_extra))),
        read("a comment", archive(ONE, comment=b"made on Monday")),
        read("bytes behind the archive", archive(ONE, suffix=b"\r\n")),
        read("NUL bytes behind the archive", archive(ONE, suffix=bytes(300))),
        read("the mark of a spanned archive", archive(ONE, prefix=b"PK\x07\x08", shift=4)),
        damaged(
            "a program before the archive",
            archive(ONE, prefix=b"#!/bin/sh\nexit\n"),
            FULL,
            Outcome(error=HeaderError, blank_lines=None),
        ),
        damaged(
            "a program before the archive, counted",
            archive(ONE, prefix=b"#!/bin/sh\n", shift=10),
            FULL,
            Outcome(error=HeaderError, blank_lines=None),
        ),
        read("a folder and what macOS adds", archive(folder, junk, ONE)),
        read("a name that is a path out", archive(replace(ONE, name=b"../../../etc/log.csv"))),
        read("a name that is a path from the root", archive(replace(ONE, name=b"/etc/cron.d/log.csv"))),
        read("a name with a drive", archive(replace(ONE, name=b"C:\\Windows\\log.csv"))),
        read("a name that is not UTF-8", archive(replace(ONE, name=b"l\xffg.csv"))),
        read("a name in capitals", archive(replace(ONE, name=b"LOG.CSV"))),
        read("a name without an ending", archive(replace(ONE, name=b"log"))),
        read("the only file is no *.csv, beside a folder", archive(folder, replace(ONE, name=b"log.txt"))),
        read("a member of no bytes beside it", archive(Member(b"", b"notes.txt", method=0), ONE)),
        Fault("two logs", archive(ONE, second), both),
        Fault("two logs, the generation changes", archive(second, ONE), Outcome((*SMALL.outcome().rows, *FULL.rows))),
        read("a directory in another order", _turned()),
        read("gzip", gzip.compress(DATA)),
        read("gzip of two parts", gzip.compress(DATA[:1000]) + gzip.compress(DATA[1000:])),
        read("gzip of a hundred parts", b"".join(gzip.compress(DATA[i : i + 40]) for i in range(0, len(DATA), 40))),
        read("gzip and NUL bytes", gzip.compress(DATA) + bytes(2000)),
        read(
            "gzip with a name, a comment and a checksum",
            b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x02\0ab" + b"log\0" + b"!\0" + b"zz" + gzip.compress(DATA)[10:],
        ),
    ]


def _turned() -> bytes:
    """The directory lists the second member first."""
    whole = archive(Member(DATA, b"a.csv"), Member(b"x", b"b.txt", method=0))
    start = whole.index(CENTRAL)
    middle = whole.index(CENTRAL, start + 1)
    end = whole.index(END)
    return whole[:start] + whole[middle:end] + whole[start:middle] + whole[end:]


def _cut() -> list[Fault]:
    faults = []
    for said, member in (("sized", ONE), ("streamed", replace(ONE, descriptor="signed 32"))):
        whole = archive(member)
        places = {
            "in its signature": 3,
            "in the first header": 20,
            "in the member's name": 33,
            "before its data": HEAD,
            **{f"at {percent} % of its data": HEAD + len(PACKED) * percent // 100 for percent in (5, 25, 50, 75, 95)},
            "before the last byte of its data": HEAD + len(PACKED) - 1,
        }
        for name, at in places.items():
            outcome = (
                LOG.cut(len(inflate_prefix(whole[HEAD:at])))
                if at > HEAD
                else Outcome(error=TruncatedError, blank_lines=None)
            )
            faults.append(Fault(f"a ZIP cut {name}, {said}", whole[:at], outcome))
        behind = {
            "behind its data": HEAD + len(PACKED),
            "before its directory": whole.index(CENTRAL),
            "in its directory": whole.index(CENTRAL) + 30,
            "before its end": whole.index(END),
            "in its end": len(whole) - 5,
            "before its last byte": len(whole) - 1,
        }
        faults += [Fault(f"a ZIP cut {name}, {said}", whole[:at], CUT) for name, at in behind.items()]
    stored = archive(STORED)
    for percent in (10, 60):
        at = len(DATA) * percent // 100
        faults.append(Fault(f"a stored ZIP cut at {percent} %", stored[: HEAD + at], LOG.cut(at)))
    packed = gzip.compress(DATA)
    for name, at in (
        ("in its header", 6),
        ("at 10 %", len(packed) // 10),
        ("at 50 %", len(packed) // 2),
        ("before its trailer", len(packed) - 8),
        ("in its trailer", len(packed) - 3),
    ):
        outcome = (
            LOG.cut(len(inflate_prefix(packed[10:at]))) if at > 10 else Outcome(error=TruncatedError, blank_lines=None)
        )
        faults.append(Fault(f"gzip cut {name}", packed[:at], outcome))
    second = gzip.compress(DATA[:1000])
    tail = gzip.compress(DATA[1000:])
    at = len(tail) // 2
    faults.append(
        Fault("gzip cut in its second part", second + tail[:at], LOG.cut(1000 + len(inflate_prefix(tail[10:at]))))
    )
    return faults


def _sums() -> list[Fault]:
    """Checksums and sizes that are not those of the data: all of it comes, and then the error."""
    crc = zlib.crc32(DATA) ^ 1
    faults = []
    for field, values in (
        ("crc", (crc,)),
        ("packed", (0, len(PACKED) - 1, len(PACKED) + 1, 1 << 31)),
        ("size", (0, len(DATA) - 1, len(DATA) + 1, 0xFFFFFFFE)),
    ):
        for value in values:
            changed = {field: value}
            # Read forward, nothing else says how much data there is.
            forward = NOTHING if (field, value) == ("packed", 0) else DAMAGED
            faults += [
                damaged(
                    f"{field} {value:#x} in both headers",
                    archive(replace(ONE, local=changed, central=changed)),
                    DAMAGED,
                    forward,
                ),
                damaged(
                    f"{field} {value:#x} in the directory",
                    archive(replace(ONE, central=changed)),
                    DAMAGED,
                    FULL if field != "crc" else DAMAGED,
                ),
                damaged(f"{field} {value:#x} in the local header", archive(replace(ONE, local=changed)), FULL, forward),
            ]
    told = struct.pack("<HHQQ", 1, 16, 5 << 30, 5 << 30)
    four = {"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF}
    faults += [
        damaged(
            "5 GiB are told, and not there",
            archive(Member(DATA, local=four, central=four, extra=told, central_extra=told)),
        ),
        damaged("the sizes of 64 bits are missing", archive(Member(DATA, local=four, central=four))),
        damaged(
            "the sizes of 64 bits are cut",
            archive(Member(DATA, local=four, central=four, extra=told[:9], central_extra=told[:9])),
        ),
        damaged("a checksum is wrong, stored", archive(replace(STORED, local={"crc": crc}, central={"crc": crc}))),
        damaged(
            "the descriptor is wrong",
            archive(replace(ONE, descriptor="signed 32")).replace(
                struct.pack("<L", len(DATA)) + CENTRAL, struct.pack("<L", 7) + CENTRAL
            ),
            FULL,
            DAMAGED,
        ),
        damaged(
            "the descriptor is missing",
            archive(replace(ONE, local={"flags": 8, "crc": 0, "packed": 0, "size": 0}, central={"flags": 8})),
            FULL,
            DAMAGED,
        ),
    ]
    trailer = gzip.compress(DATA)
    faults += [
        damaged("gzip: the checksum is wrong", trailer[:-8] + b"\0\0\0\0" + trailer[-4:]),
        damaged("gzip: the size is wrong", trailer[:-4] + b"\x01\0\0\0"),
        damaged("gzip: something behind it", trailer + b"more"),
        refused("gzip: a method that nobody knows", trailer[:2] + b"\x07" + trailer[3:], ArchiveError),
        refused("gzip: flags that nobody knows", trailer[:3] + b"\xe0" + trailer[4:], ArchiveError),
    ]
    return faults


def _flipped() -> list[Fault]:
    """One bit."""

    def flip(data: bytes, at: int, bit: int = 0) -> bytes:
        changed = bytearray(data)
        changed[at] ^= 1 << bit
        return bytes(changed)

    whole = archive(ONE)
    central = whole.index(CENTRAL)
    stored = archive(STORED)
    in_row = stored.index(b"C90C0", stored.index(row(20)[1].encode()))
    wrong = list(FULL.rows)
    wrong[20] = (*wrong[20][:6], "B90C0-0E786", wrong[20][7])
    bare = Outcome(error=HeaderError, blank_lines=None)
    return [
        damaged("a flipped bit in a stored row", flip(stored, in_row), Outcome(tuple(wrong), error=ArchiveError)),
        damaged("a flipped bit in the first signature", flip(whole, 2), DAMAGED, bare),
        damaged("a flipped bit makes the method stored", flip(whole, 8, 3), DAMAGED, bare),
        damaged("a flipped bit makes the method one that nobody knows", flip(whole, 8, 6), DAMAGED, NOTHING),
        damaged("a flipped bit says that it is encrypted", flip(whole, 6), DAMAGED, NOTHING),
        damaged("a flipped bit in the length of the name", flip(whole, 26, 3), DAMAGED, NOTHING),
        damaged("a flipped bit in the length of the extra field", flip(whole, 28, 3), DAMAGED, NOTHING),
        damaged("a flipped bit in the directory's signature", flip(whole, central + 2), DAMAGED),
        damaged("a flipped bit in the directory's method", flip(whole, central + 10, 3), DAMAGED, FULL),
        damaged("a flipped bit in the directory's flags", flip(whole, central + 8), DAMAGED, FULL),
        damaged("a flipped bit in the directory's offset", flip(whole, central + 42, 2), DAMAGED, FULL),
        damaged("a flipped bit in the end's signature", flip(whole, len(whole) - 20), DAMAGED),
        damaged("a flipped bit in the end's offset", flip(whole, len(whole) - 6, 1), DAMAGED, FULL),
    ]


def _refused() -> list[Fault]:
    inner = archive(ONE)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as file:
        info = tarfile.TarInfo("log.csv")
        info.size = len(DATA)
        file.addfile(info, io.BytesIO(DATA))
    both = {"flags": 1}
    second = Member(SMALL.data, b"b.csv")
    two = archive(ONE, second)
    overlap = two.index(CENTRAL, two.index(CENTRAL) + 1) + 42
    overlapped = two[:overlap] + bytes(4) + two[overlap + 4 :]
    with_second = Outcome((*FULL.rows, *SMALL.outcome().rows), error=ArchiveError)
    broken_first = archive(replace(ONE, local={"crc": 1}, central={"crc": 1}), second)
    return [
        refused("encrypted", archive(replace(ONE, local=both, central=both)), ArchiveError),
        refused("encrypted by AES", archive(replace(ONE, method=99, flags=1)), ArchiveError),
        refused("encrypted strongly", archive(replace(ONE, flags=0x41)), ArchiveError),
        *(
            refused(f"a method that cannot be read: {method}", archive(replace(ONE, method=method)), ArchiveError)
            for method in (1, 6, 9, 77, 96, 98)
        ),
        refused("an archive without members", archive(), ArchiveError),
        refused("an archive of folders", archive(Member(b"", b"logs/", method=0)), ArchiveError),
        refused(
            "two files, and neither is a *.csv", archive(replace(ONE, name=b"a"), replace(ONE, name=b"b")), ArchiveError
        ),
        refused("an archive in an archive", archive(Member(inner, b"inner.zip", method=0)), HeaderError),
        refused("an archive in an archive, named as a log", archive(Member(inner, b"log.csv")), HeaderError),
        refused("gzip in an archive", archive(Member(gzip.compress(DATA), b"log.csv")), HeaderError),
        refused("an archive in gzip", gzip.compress(inner), HeaderError),
        refused("a member of no bytes", archive(Member(b"", method=0)), HeaderError),
        refused("gzip of nothing", gzip.compress(b""), HeaderError),
        refused("a zlib stream", zlib.compress(DATA), HeaderError),
        refused("bzip2", bz2.compress(DATA), HeaderError),
        refused("xz", lzma.compress(DATA), HeaderError),
        refused("7z", b"7z\xbc\xaf\x27\x1c" + bytes(100), HeaderError),
        refused("tar", tar.getvalue(), HeaderError),
        refused("noise behind a signature", b"PK\x03\x04" + bytes(range(256)), TruncatedError),
        damaged("members that overlap", overlapped, with_second, with_error(with_second, None)),
        damaged("two archives joined", archive(ONE) + archive(second)),
        damaged("an archive joined to itself", archive(ONE) + archive(ONE)),
        damaged(
            "something between members",
            archive(ONE, second, gap=b"oops"),
            Outcome((*FULL.rows, *SMALL.outcome().rows)),
            DAMAGED,
        ),
        damaged("the first of two logs is damaged", broken_first, with_second),
        damaged("the directory is missing", local_part(ONE), CUT),
        damaged("the directory is NUL bytes", _without_directory()),
        damaged("an end that counts too few", archive(ONE, second, end={"entries": 1}), with_second),
        damaged(
            "a web page behind half an archive",
            archive(ONE)[: HEAD + 60] + b"<html>502</html>",
            Outcome(rejects=None, error=ArchiveError, blank_lines=None),
        ),
    ]


def _without_directory() -> bytes:
    whole = archive(ONE)
    return whole[: whole.index(CENTRAL)] + bytes(len(whole) - whole.index(CENTRAL))


def _limits() -> list[Fault]:
    good = Log().good(*rows(3))
    bomb = good.data + b'"2021-04-20 13:01:01";T;u;h;s;d;A;"' + b"x" * (4 << 20)
    first = good.outcome(LimitError)
    many = archive(*(Member(b"x", b"%d.txt" % i, method=0) for i in range(40)), ONE)
    wide = Log().good(*rows(2000))
    half = Limits(max_inflated_bytes=len(DATA) // 2)
    return [
        Fault(
            "a bomb of one field",
            archive(Member(bomb)),
            first,
            limits=Limits(max_record_bytes=1 << 20),
            block_size=1 << 16,
        ),
        Fault(
            "a bomb of one field, gzip",
            gzip.compress(bomb),
            first,
            limits=Limits(max_record_bytes=1 << 20),
            block_size=1 << 16,
        ),
        Fault("a bomb of one field, bare", bomb, first, limits=Limits(max_record_bytes=1 << 20), block_size=1 << 16),
        Fault(
            "a bomb by its ratio",
            archive(Member(good.data + b"\n" * (4 << 20))),
            Outcome(good.outcome().rows, error=LimitError, blank_lines=None),
            limits=Limits(max_ratio=200),
            block_size=1 << 16,
        ),
        Fault("too many members", many, Outcome(error=LimitError, blank_lines=None), limits=Limits(max_members=40)),
        Fault("as many members as may be", many, FULL, limits=Limits(max_members=41)),
        Fault("too many bytes", archive(ONE), LOG.cut(len(DATA) // 2, LimitError), limits=half),
        Fault("too many bytes, gzip", gzip.compress(DATA), LOG.cut(len(DATA) // 2, LimitError), limits=half),
        Fault("as many bytes as may be", archive(ONE), FULL, limits=Limits(max_inflated_bytes=len(DATA))),
        Fault(
            "a ratio as it may be",
            archive(Member(wide.data)),
            wide.outcome(),
            limits=Limits(max_ratio=100),
            block_size=1 << 16,
        ),
    ]


def faults() -> list[Fault]:
    return [*_good(), *_cut(), *_sums(), *_flipped(), *_refused(), *_limits()]
