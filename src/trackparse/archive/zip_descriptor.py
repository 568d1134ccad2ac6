"""Data descriptors: the CRC and the sizes that a ZIP may have behind a member's data instead of in front of it.

A descriptor comes with and without a signature, with sizes of 32 and of 64 bits (APPNOTE 4.3.9). Nothing says which of
the four forms it has but its values, and what follows it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from trackparse.archive.inflate import FETCH_AGAIN, PackedBytes, Stored, crc32
from trackparse.archive.zip_headers import CENTRAL, DESCRIPTOR, LOCAL, MAX32, ended_early
from trackparse.errors import ArchiveError, TruncatedError
from trackparse.sources.source import Buffer, Source

LONGEST: Final = 28  # bytes: the longest descriptor, and the signature behind it
_LONGEST_UNSIGNED: Final = 20  # bytes of a descriptor without a signature
# Each form: its bytes, where its packed size stands, the bytes of that, whether it has a signature.
_FORMS: Final = ((16, 8, 4, True), (24, 8, 8, True), (12, 4, 4, False), (20, 4, 8, False))
# From a signature on: where a descriptor may begin, and where its packed size stands. It is the descriptor's own
# signature, or that of the next header, in front of which a descriptor without one stands.
_BY_OWN_SIGNATURE, _BY_NEXT_SIGNATURE = ((0, 8),), ((-12, -8), (-_LONGEST_UNSIGNED, -16))


def match_descriptor(head: bytes, crc: int, packed: int, size: int) -> int:
    """Length of the data descriptor with these values at the start of head; 0 if there is none."""
    fits = [len(form) for form in _descriptors(crc, packed, size) if head.startswith(form)]
    for length in fits:
        if head[length : length + 2] == b"PK":
            return length
    return fits[0] if fits else 0


def skip_descriptor(source: Source, crc: int | None, packed: int, size: int, label: str) -> int:
    """Read the descriptor with these values, where the source stands; its CRC.

    ``crc`` None: the content was not read, so any CRC is taken. ArchiveError if there is no such descriptor.
    """
    head = source.peek(LONGEST)
    # Behind a signature, or at once.
    said = (int.from_bytes(head[4:8], "little"), int.from_bytes(head[:4], "little"))
    for candidate in said if crc is None else (crc,):
        if length := match_descriptor(head, candidate, packed, size):
            source.read_exactly(length)
            return candidate
    if len(head) < 16:
        raise ended_early(source, label)
    content = f"{packed} packed bytes" if crc is None else f"{size} bytes with checksum (CRC-32) {crc:08x}"
    raise ArchiveError(f"{label}: no matching data descriptor behind its data, {content}", advice=FETCH_AGAIN)


def skip_any_descriptor(source: Source, packed: int) -> bool:
    """Whether a descriptor with this packed size comes next, and a header behind it; it is read then."""
    head = source.peek(LONGEST)
    for length, at, size, signed in _FORMS:
        fits = int.from_bytes(head[at : at + size], "little") == packed & ((1 << 8 * size) - 1)
        if fits and (not signed or head.startswith(DESCRIPTOR)) and head[length:].startswith((LOCAL, CENTRAL)):
            source.read_exactly(length)
            return True
    return False


def _descriptors(crc: int, packed: int, size: int) -> tuple[bytes, ...]:
    """The four forms; first those with a signature."""
    short = struct.pack("<LLL", crc, packed & MAX32, size & MAX32)
    long = struct.pack("<LQQ", crc, packed, size)
    return DESCRIPTOR + short, DESCRIPTOR + long, short, long


class StoredUnsized(Stored):
    """Stored content of unknown size: it ends where a descriptor stands that fits all bytes before it.

    The buffer is content up to ``_content_end``, of which ``_given`` bytes were given out. Behind that, it is not known
    yet whether a descriptor begins.
    """

    _SIGNATURES = re.compile(b"|".join(map(re.escape, (DESCRIPTOR, LOCAL, CENTRAL))))

    def __init__(self, packed: PackedBytes) -> None:
        super().__init__(packed)
        self._buffer = b""
        self._given = 0  # bytes of the buffer
        self._content_end = 0  # bytes of the buffer
        self._size = 0  # bytes of the content up to there
        self._crc = 0  # of the same
        self._ended = False  # the content ends there
        self._truncated: TruncatedError | None = None

    def read(self, n: int) -> Buffer:
        while self._given == self._content_end and not self._ended:
            self._fill()
            self._look()
        data = self._buffer[self._given : min(self._given + n, self._content_end)]
        if not data and self._truncated:
            raise self._truncated
        self._given += len(data)
        return data

    def finish(self) -> None:
        """Give back what was read from behind the content."""
        self.packed.unread(self._buffer[self._given :])
        self._buffer = b""

    def _fill(self) -> None:
        try:
            more = self.packed.read(min(64 << 10, max(4 << 10, self.packed.taken)))
        except TruncatedError:
            self._truncated = TruncatedError(
                f"{self.packed.label}: the source ends before a data descriptor that says where the member ends",
                advice=f"{FETCH_AGAIN}, or read it from a file, where its directory has the size",
            )
            more = b""
        self._buffer = b"".join((self._buffer[self._given :], more))
        self._given = self._content_end = 0

    def _look(self) -> None:
        """Find out how much of the buffer is content: all of it up to a descriptor, or up to where one may begin."""
        end = len(self._buffer) if self._truncated else max(0, len(self._buffer) - LONGEST)
        for stop in self._candidates(end):
            self._accept(stop)
            if self._descriptor_here():
                self._ended, self._truncated = True, None
                return
        if self._truncated:
            end = self._truncated_descriptor(end)
            # Nothing more will come.
            self._ended = True
        self._accept(end)

    def _candidates(self, end: int) -> Iterator[int]:
        """Where, before ``end``, a descriptor may stand, in order: its packed size is that of the content up to it.

        Comparing sizes first costs a tenth of a CRC at each signature. Places are given out as soon as they are in
        order, and the rest of the buffer is not searched yet: most buffers hold more than one small member.
        """
        buffer, base = self._buffer, self._size
        found: set[int] = set()  # two signatures may point to the same place
        for match in self._SIGNATURES.finditer(buffer):
            at = match.start()
            if found:
                near = sorted(stop for stop in found if stop <= at - _LONGEST_UNSIGNED)
                yield from near
                found.difference_update(near)
            for stop, size_at in _BY_OWN_SIGNATURE if match[0] == DESCRIPTOR else _BY_NEXT_SIGNATURE:
                if 0 <= at + stop < end:
                    said = int.from_bytes(buffer[at + size_at : at + size_at + 4], "little")
                    if said == (base + at + stop) & MAX32:
                        found.add(at + stop)
        yield from sorted(found)

    def _accept(self, stop: int) -> None:
        """What comes before ``stop`` is content."""
        data = self._buffer[self._content_end : stop]
        self._crc = crc32(data, self._crc)
        self._size += len(data)
        self._content_end = max(self._content_end, stop)

    def _descriptor_here(self) -> bool:
        rest = self._buffer[self._content_end : self._content_end + LONGEST]
        length = match_descriptor(rest, self._crc, self._size, self._size)
        # The descriptor of an empty member is all zeros, and content may begin with zeros.
        return bool(length) and (self._size > 0 or b"PK".startswith(rest[length : length + 2]))

    def _truncated_descriptor(self, end: int) -> int:
        """Where a descriptor with a signature begins that the source's end may have cut off; else ``end``."""
        size, crc = self._size, self._crc
        at = max(self._content_end, end - LONGEST)
        while (at := self._buffer.find(DESCRIPTOR[:1], at)) >= 0:
            here = self._buffer[self._content_end : at]
            forms = _descriptors(crc32(here, crc), size + len(here), size + len(here))[:2]
            if any(form.startswith(self._buffer[at:]) for form in forms):
                return at
            at += 1
        return end
