"""Finds headers of a ZIP among bytes that no directory tells of. Bytes only: no source, no members."""

from __future__ import annotations

import re
from collections.abc import Iterable

_VERSION, _METHOD, _LENGTH = (
    rb"[\x00-\x3f][\x00-\x03]",
    rb"[\x00\x08\x09\x0c\x0e\x5d\x5f\x62\x63]\x00",
    rb".[\x00-\x03]",
)
_LOCAL = rb"\x03\x04" + _VERSION + rb".." + _METHOD + rb".{16}" + _LENGTH
# A local header with a version, a method and a length of the name that somebody may have written.
LOCAL_HEADER = re.compile(rb"PK" + _LOCAL, re.DOTALL)
_LISTED = rb"\x01\x02.." + _VERSION + rb".." + _METHOD + rb".{16}" + _LENGTH + rb".{16}"
# On one disk, with as many members on it as there are, and not none.
_END = rb"\x05\x06\x00{4}(?!\x00\x00)(..)\1.{10}"
# They look ahead only: a header may begin inside of what looked like one.
_HEADER = re.compile(rb"PK(?:(?=" + _LOCAL + rb"..)|(?=" + _LISTED + rb")|(?=" + _END + rb"))", re.DOTALL)
_CUT = re.compile(rb"PK\x03\x04.{0,25}\Z", re.DOTALL)
_SIZES = {b"\x03": 30, b"\x01": 46}  # bytes before the name
_CONTROLS = bytes([*range(32), 127])
_LONGEST = 46 + 1023  # bytes of a header with its name


def find_header(pieces: Iterable[bytes], *, whole: bool) -> int | None:
    """Where the first header begins of a member, in its place or in a directory, or the record at an archive's end.

    It has to have values that somebody may have written, and a name: its signature alone may be anywhere by chance.
    ``whole`` says that it does not count where the bytes end inside it.
    """
    held, start = b"", 0
    for piece in pieces:
        held += piece
        sure = len(held) - _LONGEST
        if sure > 0:
            if (found := _find(held, sure)) is not None:
                return start + found
            held = held[sure:]
            start += sure
    found = _find(held, len(held))
    if found is None and not whole and (cut := _CUT.search(held)):
        found = cut.start()
    return None if found is None else start + found


def _find(data: bytes, stop: int) -> int | None:
    """Where the first one begins before ``stop``."""
    for mark in _HEADER.finditer(data):
        at = mark.start()
        if at >= stop:
            break
        if _is_plausible(data, at):
            return at
    return None


def _is_plausible(data: bytes, at: int) -> bool:
    size = _SIZES.get(data[at + 2 : at + 3])
    if size is None:
        entries, length = (int.from_bytes(data[at + a : at + b], "little") for a, b in ((10, 12), (12, 16)))
        return length >= 46 * entries
    length = int.from_bytes(data[at + size - (4 if size == 30 else 18) :][:2], "little")
    name = data[at + size : at + size + length]
    return length > 0 and name == name.translate(None, _CONTROLS)
