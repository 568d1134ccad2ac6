"""Searches bytes for headers of a ZIP that no directory lists. Bytes only: no source, no members."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# Fields of headers, with the values that some writer may have written.
_VERSION, _METHOD, _LENGTH = (
    rb"[\x00-\x3f][\x00-\x03]",
    rb"[\x00\x08\x09\x0c\x0e\x5d\x5f\x62\x63]\x00",
    rb".[\x00-\x03]",
)
# Headers from their third byte on: of a member, in the directory, and the record at the end. The record at the end must
# be that of an archive on a single disk, with at least one member.
_LOCAL: Final = rb"\x03\x04" + _VERSION + rb".." + _METHOD + rb".{16}" + _LENGTH
_LISTED: Final = rb"\x01\x02.." + _VERSION + rb".." + _METHOD + rb".{16}" + _LENGTH + rb".{16}"
_END: Final = rb"\x05\x06\x00{4}(?!\x00\x00)(..)\1.{10}"
LOCAL_HEADER: Final = re.compile(rb"PK" + _LOCAL, re.DOTALL)
# Lookahead only: a header may begin inside something that looked like a header.
_HEADER: Final = re.compile(rb"PK(?:(?=" + _LOCAL + rb"..)|(?=" + _LISTED + rb")|(?=" + _END + rb"))", re.DOTALL)
_TRUNCATED_HEADER: Final = re.compile(rb"PK\x03\x04.{0,25}\Z", re.DOTALL)
_SIZES: Final = {b"\x03": 30, b"\x01": 46}  # by third byte: bytes before the name
_CONTROLS: Final = bytes([*range(32), 127])
_LONGEST: Final = 46 + 1023  # bytes of a header with its name


def find_header(pieces: Iterable[bytes], *, whole: bool) -> int | None:
    """Byte where the first header begins: a member's own one, one in a directory, or the record at an archive's end.

    It must have values that some writer may have written, and a name: a signature alone may stand anywhere by chance.
    ``whole``: a header that the end of the bytes cuts off does not count.
    """
    held, start = b"", 0
    for piece in pieces:
        held += piece
        # A header that begins before this byte is held as a whole.
        stop = len(held) - _LONGEST
        if stop > 0:
            if (found := _find(held, stop)) is not None:
                return start + found
            held = held[stop:]
            start += stop
    found = _find(held, len(held))
    if found is None and not whole and (truncated := _TRUNCATED_HEADER.search(held)):
        found = truncated.start()
    return None if found is None else start + found


def _find(data: bytes, stop: int) -> int | None:
    """Where the first header begins before ``stop``."""
    for match in _HEADER.finditer(data):
        at = match.start()
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
