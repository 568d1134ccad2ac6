"""Writes ZIP archives, and every field of them as wrong as it is wanted."""

from __future__ import annotations

import bz2
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

LOCAL, CENTRAL, END, DESCRIPTOR = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x07\x08"


def deflate(data: bytes, level: int = 6) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def inflate_prefix(packed: bytes) -> bytes:
    """All that zlib makes of the beginning of deflate data."""
    return zlib.decompressobj(-15).decompress(packed)


@dataclass(frozen=True)
class Member:
    """One file. ``local`` and ``central`` override the fields of its headers, by name."""

    data: bytes
    name: bytes = b"log.csv"
    method: int = 8
    flags: int = 0
    descriptor: str = ""  # "32", "64", "signed 32", "signed 64"; none
    local: Mapping[str, int] = field(default_factory=dict)
    central: Mapping[str, int] = field(default_factory=dict)
    extra: bytes = b""
    central_extra: bytes = b""
    signature: bytes = LOCAL
    packed: bytes | None = None  # instead of the packed data

    def content(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return {8: deflate, 12: bz2.compress}.get(self.method, bytes)(self.data)


_ORDER = ("version", "flags", "method", "time", "date", "crc", "packed", "size", "name", "extra")


def _values(member: Member, packed: bytes, changed: Mapping[str, int], extra: bytes, *, local: bool) -> list[int]:
    known = local and member.descriptor
    flags = member.flags | (8 if member.descriptor else 0)
    values = {
        "version": 20,
        "flags": flags,
        "method": member.method,
        "time": 0,
        "date": 0x52A4,
        "crc": 0 if known else zlib.crc32(member.data),
        "packed": 0 if known else len(packed),
        "size": 0 if known else len(member.data),
        "name": len(member.name),
        "extra": len(extra),
    }
    values.update({name: value for name, value in changed.items() if name in _ORDER})
    return [values[name] for name in _ORDER]


def _descriptor(member: Member, packed: bytes) -> bytes:
    if not member.descriptor:
        return b""
    form = "<LQQ" if "64" in member.descriptor else "<LLL"
    sums = struct.pack(form, zlib.crc32(member.data), len(packed), len(member.data))
    return (DESCRIPTOR if "signed" in member.descriptor else b"") + sums


def local_part(member: Member) -> bytes:
    """A member with its local header and its descriptor."""
    packed = member.content()
    head = struct.pack("<5H3L2H", *_values(member, packed, member.local, member.extra, local=True))
    return member.signature + head + member.name + member.extra + packed + _descriptor(member, packed)


def archive(
    *members: Member,
    prefix: bytes = b"",
    gap: bytes = b"",
    comment: bytes = b"",
    suffix: bytes = b"",
    end: Mapping[str, int] | None = None,
    shift: int = 0,
) -> bytes:
    """An archive of them. ``gap`` stands between members, ``shift`` is added to all offsets."""
    body, directory = prefix, b""
    for member in members:
        packed = member.content()
        offset = member.central.get("offset", len(body) - len(prefix) + shift)
        head = struct.pack("<5H3L2H", *_values(member, packed, member.central, member.central_extra, local=False))
        directory += CENTRAL + struct.pack("<H", 20) + head + struct.pack("<3H2L", 0, 0, 0, 0, offset)
        directory += member.name + member.central_extra
        body += local_part(member) + gap
    values = {"entries": len(members), "size": len(directory), "offset": len(body) - len(prefix) + shift}
    values.update(end or {})
    tail = struct.pack(
        "<4H2LH",
        0,
        0,
        values["entries"],
        values["entries"],
        values["size"],
        values["offset"],
        values.get("comment", len(comment)),
    )
    return body + directory + END + tail + comment + suffix
