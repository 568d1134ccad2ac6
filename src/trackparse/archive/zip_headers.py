"""The headers of a ZIP: local ones, those of the directory, and the record at its end. No content, no seeking."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from trackparse.archive.inflate import FETCH_AGAIN, STORED, crc32
from trackparse.errors import ArchiveError, LimitError, TruncatedError
from trackparse.limits import Limits
from trackparse.sources.source import Source

# Signatures: the first four bytes of a header.
LOCAL: Final = b"PK\x03\x04"
CENTRAL: Final = b"PK\x01\x02"
END: Final = b"PK\x05\x06"
DESCRIPTOR: Final = b"PK\x07\x08"
SPANNED: Final = (DESCRIPTOR, b"PK00")  # in front of the first header of an archive that was meant to span disks
END64: Final = b"PK\x06\x06"
LOCATOR64: Final = b"PK\x06\x07"
_SIGNED: Final = b"PK\x05\x05"
_EXTRA_DATA: Final = b"PK\x06\x08"
BEHIND_MEMBERS: Final = (CENTRAL, END, END64, LOCATOR64, _SIGNED, _EXTRA_DATA)

# What follows the signature.
_LOCAL_REST: Final = struct.Struct("<3H4x3L2H")  # version, flags, method, crc, packed, size, name, extra
LOCAL_SIZE: Final = 4 + _LOCAL_REST.size
# Versions, flags, method, crc, packed, size, lengths of name, extra and comment, disk and attributes, offset.
_CENTRAL_REST: Final = struct.Struct("<4x2H4x3L3H8xL")
_END_REST: Final = struct.Struct("<6xH2LH")  # disks, entries, bytes of the directory, its offset, length of the comment
END_SIZE: Final = 4 + _END_REST.size
# Its own size, versions and disks, entries, bytes of the directory, its offset.
END64_REST: Final = struct.Struct("<Q20x3Q")

# Bits of the flags.
_ENCRYPTED, DESCRIBED, _STRONG, _UTF8, _MASKED = 1, 1 << 3, 1 << 6, 1 << 11, 1 << 13
ENCRYPTED: Final = _ENCRYPTED | _STRONG | _MASKED
_AES: Final = 99  # the method of an encrypted member
MAX32: Final = 0xFFFFFFFF  # in a field of 32 bits: the value stands in the zip64 field; and the mask of such a field
_MAX16: Final = 0xFFFF
_UNICODE_NAME: Final = 0x7075  # the extra field of a name in UTF-8


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in a ZIP, as far as its content is concerned.

    packed: bytes of its data; None where only a data descriptor behind the data says it.
    size: bytes of its content; None as for ``packed``.
    described: a data descriptor follows the data.
    """

    name: str
    flags: int
    method: int
    crc: int
    packed: int | None
    size: int | None
    described: bool = False

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & ENCRYPTED) or self.method == _AES


class LocalHeader(NamedTuple):
    """The fields of a local header, as they stand there."""

    version: int
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    name_length: int
    extra_length: int

    @classmethod
    def of(cls, data: bytes) -> LocalHeader:
        """The fields in a header's bytes, which begin with its signature."""
        return cls(*_LOCAL_REST.unpack_from(data, 4))


class Listed(NamedTuple):
    """What the directory says of one member. Sizes and the offset are modulo 2^32 if the writer knew no zip64."""

    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


class End(NamedTuple):
    """The end record, with the numbers of the zip64 record where there is one.

    entries: members; modulo 2^16 without a zip64 record.
    size: bytes of the directory.
    offset: byte where the directory begins; modulo 2^32 without a zip64 record.
    comment: bytes of the comment behind the record.
    wide: whether there is a zip64 record.
    """

    entries: int
    size: int
    offset: int
    comment: int
    wide: bool

    @classmethod
    def of(cls, rest: bytes, wide: tuple[int, int, int] | None) -> End:
        """The record, from its bytes behind the signature, and the numbers of the zip64 record."""
        entries, size, offset, comment = _END_REST.unpack(rest)
        if wide is None:
            return cls(entries, size, offset, comment, False)
        return cls(*wide, comment, True)


# ---- names ------------------------------------------------------------------------------------------------


def decode_name(raw: bytes, flags: int, extra: bytes = b"") -> str:
    """A member's name as the standard library's zipfile reads it, but without errors."""
    given = "" if raw.isascii() else unicode_name(raw, extra)
    name = given or raw.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
    return name.partition("\0")[0]


def unicode_name(raw: bytes, extra: bytes) -> str:
    """The name in the extra field for Unicode; empty if there is no such field for this name."""
    given = _extra_field(extra, _UNICODE_NAME)
    # Version, and the CRC of the name that it replaces.
    fits = given[:1] == b"\1" and given[1:5] == crc32(raw, 0).to_bytes(4, "little")
    return given[5:].decode("utf-8", "replace").partition("\0")[0] if fits else ""


def other_name(raw: bytes, flags: int) -> str:
    """The name in the encoding that the flag for UTF-8 does not say: some writers set that flag wrongly."""
    return decode_name(raw, flags ^ _UTF8)


def same_name(raw: bytes, other: bytes) -> bool:
    """Whether two spellings of a name are equal, or differ in their encoding only."""
    if raw == other:
        return True
    return not {decode_name(raw, 0), decode_name(raw, _UTF8)}.isdisjoint(
        (decode_name(other, 0), decode_name(other, _UTF8))
    )


def member_label(source: str, member: str) -> str:
    """How messages name a member."""
    return f"{source}: member {member!r}"


# ---- reading headers --------------------------------------------------------------------------------------


def read_entry(source: Source, label: str) -> Entry:
    """The local header, whose signature was read already. The source stands at the member's data afterwards."""
    head = read_fully(source, _LOCAL_REST.size, label)
    _, flags, method, crc, packed, size, name_length, extra_length = _LOCAL_REST.unpack(head)
    raw = read_fully(source, name_length, label)
    extra = read_fully(source, extra_length, label)
    name = decode_name(raw, flags, extra)
    packed, size, _ = _sizes64(extra, packed, size)
    described = bool(flags & DESCRIBED)
    if described and not (packed and method == STORED):
        return Entry(name, flags, method, crc, None, None, described)
    return Entry(name, flags, method, crc, packed, size, described)


def read_listed(source: Source, label: str) -> Listed:
    """A header of the directory, whose signature was read already. The source stands behind it afterwards."""
    head = read_fully(source, _CENTRAL_REST.size, label)
    flags, method, crc, packed, size, name_length, extra_length, comment_length, offset = _CENTRAL_REST.unpack(head)
    raw = read_fully(source, name_length, label)
    extra = read_fully(source, extra_length, label)
    _skip(source, comment_length, label)
    packed, size, offset = _sizes64(extra, packed, size, offset)
    return Listed(raw, decode_name(raw, flags, extra), flags, method, crc, packed, size, offset)


def read_directory(
    source: Source, signature: bytes, label: str, listed: Callable[[Listed], object], origin: int = 0
) -> tuple[int, End]:
    """Read the directory and its end record; the number of members that it lists, and the end record.

    ``signature`` is the first one behind the members, which was read already. ``listed`` is called with each member.
    ``origin`` is the archive's byte where the source begins. ArchiveError if anything else stands in between, or if the
    end record's numbers are not those of the directory. The source stands behind the end record afterwards.
    """
    count = 0
    wide = None
    start = stop = source.position - 4  # of the headers
    signed = 0  # bytes of a digital signature behind them
    while signature != END:
        if signature == CENTRAL:
            listed(read_listed(source, label))
            count += 1
            stop = source.position
            length = 0
        elif signature == END64:
            size, *numbers = END64_REST.unpack(read_fully(source, END64_REST.size, label))
            wide = (numbers[0], numbers[1], numbers[2])
            length = max(0, size + 8 - END64_REST.size)
        elif signature == LOCATOR64:
            length = 16
        elif signature == _SIGNED:
            length = int.from_bytes(read_fully(source, 2, label), "little")
            signed = length + 6
        elif signature == _EXTRA_DATA:
            length = int.from_bytes(read_fully(source, 4, label), "little")
        else:
            raise ArchiveError(
                f"{label}: expected a ZIP header at byte {origin + source.position - 4}, found {signature!r}",
                advice=FETCH_AGAIN,
            )
        _skip(source, length, label)
        signature = read_fully(source, 4, label)
    end = End.of(read_fully(source, _END_REST.size, label), wide)
    if end.entries != (count if end.wide else count & _MAX16):
        raise ArchiveError(
            f"{label}: the directory lists {count} members, the record at its end counts {end.entries}",
            advice=FETCH_AGAIN,
        )
    # Writers differ in whether the digital signature counts.
    if (end.size - (stop - start)) & MAX32 not in (0, signed):
        raise ArchiveError(
            f"{label}: the directory has {stop - start} bytes, the record at its end says {end.size}",
            advice=FETCH_AGAIN,
        )
    return count, end


def read_fully(source: Source, n: int, label: str) -> bytes:
    """Exactly n bytes; TruncatedError if the source has fewer."""
    data = source.read_exactly(n)
    if len(data) < n:
        raise ended_early(source, label)
    return data


def ended_early(source: Source, label: str) -> TruncatedError:
    """The error of an archive that stops where more has to follow."""
    return TruncatedError(
        f"{label}: the archive ends early, at byte {source.position}", advice=f"{FETCH_AGAIN}: it is not complete"
    )


def too_many_members(name: str, count: int, limits: Limits) -> LimitError:
    """The error of an archive with more members than ``Limits.max_members``."""
    return LimitError(
        f"{name}: {count} members or more: {limits.max_members} are allowed",
        advice="raise Limits.max_members if that is right",
        option="limits",
    )


def _skip(source: Source, n: int, label: str) -> None:
    while n:
        data = source.read(min(n, 64 << 10))
        if not data:
            raise ended_early(source, label)
        n -= len(data)


def _extra_field(extra: bytes, wanted: int) -> bytes:
    """The first extra field (APPNOTE 4.5) of this kind; empty if there is no such field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == wanted:
            return extra[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def _sizes64(extra: bytes, packed: int, size: int, offset: int = 0) -> tuple[int, int, int]:
    """The sizes and the offset; from the zip64 field (APPNOTE 4.5.3) where 32 bits do not hold them."""
    if MAX32 not in (packed, size, offset):
        return packed, size, offset
    values = _extra_field(extra, 1)
    found = []
    # The zip64 field has only the values that the header cannot hold, in this order.
    for value in (size, packed, offset):
        if value == MAX32 and len(values) >= 8:
            value = int.from_bytes(values[:8], "little")
            values = values[8:]
        found.append(value)
    return found[1], found[0], found[2]
