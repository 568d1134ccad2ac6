"""The content of a gzip file: all its members (RFC 1952), one after the other."""

from __future__ import annotations

import re
import struct
import zlib
from typing import Final

from trackparse.archive.crc import CheckedContent, InflateBudget, check_gzip_trailer
from trackparse.archive.inflate import DEFLATED, FETCH_AGAIN, Inflater, PackedBytes
from trackparse.errors import ArchiveError, TruncatedError
from trackparse.sources.source import Buffer, Source

GZIP: Final = b"\x1f\x8b"
_TEXT_MOST: Final = 64 << 10  # bytes of a name or a comment in a header
# Small members are inflated many at a time.
_SMALL: Final = 256  # packed bytes of a small member, at most
_SMALL_READ_MOST: Final = 64 << 10  # bytes of one read of those
_ZEROS: Final = re.compile(rb"\0*")  # between members, as tapes leave them


class Gzip:
    """The content of a gzip file."""

    def __init__(self, source: Source, label: str, budget: InflateBudget) -> None:
        self._source = source
        self._label = label
        self._budget = budget
        self._content: CheckedContent | None = self._next()  # None: the source stands behind a member
        self._ended = False

    def read(self, n: int) -> Buffer:
        """At most n bytes; empty only at the end."""
        while not self._ended:
            if self._content is None:
                if small := self._small_members(n):
                    return small
                if not self._another_follows():
                    self._ended = True
                    break
                self._content = self._next()
            if data := self._content.read(n):
                return data
            self._content = None
        return b""

    def _small_members(self, n: int) -> bytes:
        """At most n bytes: the content of the small members that come next, as long as they are complete and good.

        A file may consist of small members only, and this way each costs a third. zlib checks their trailers. Whatever
        is unusual is left to ``_next``.
        """
        left = self._budget.left()
        most = n if left is None else min(n, left)
        parts = []
        size, read_size = 0, _SMALL
        while size < most and (data := self._source.read(read_size)):
            at = 0
            while size < most:
                at = _ZEROS.match(data, at).end()  # type: ignore[union-attr]
                decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
                packed = data[at : at + _SMALL]
                try:
                    part = decoder.decompress(packed, most - size)
                except zlib.error:
                    break
                if not decoder.eof:
                    break
                at += len(packed) - len(decoder.unused_data)
                if part:
                    parts.append(part)
                    size += len(part)
            self._source.unread(data[at:])
            # The next read doubles only after nearly all of this one was used.
            if at < len(data) - _SMALL or not at:
                break
            read_size = min(2 * read_size, _SMALL_READ_MOST)
        self._budget.inflated += size
        return b"".join(parts)

    def _another_follows(self) -> bool:
        """Whether another gzip member comes next. Zeros may stand at the end, as tapes leave them."""
        source = self._source
        if source.peek(2) == GZIP:
            return True
        while data := source.read(64 << 10):
            if bytes(data).strip(b"\0"):
                source.unread(bytes(data).lstrip(b"\0"))
                break
        else:
            return False
        if source.peek(2) == GZIP:
            return True
        raise ArchiveError(
            f"{self._label}: the gzip data ends at byte {source.position}, but more follows",
            advice=f"{FETCH_AGAIN}, or cut the rest off",
        )

    def _next(self) -> CheckedContent:
        """Read the header of a member; its content, at which the source stands then."""
        magic, method, flags = struct.unpack("<2sBB6x", self._read_fully(10))
        if magic != GZIP or method != DEFLATED or flags & 0xE0:
            raise ArchiveError(f"{self._label}: the gzip header is damaged", advice=FETCH_AGAIN)
        if flags & 4:
            self._read_fully(int.from_bytes(self._read_fully(2), "little"))
        for _ in range(bool(flags & 8) + bool(flags & 16)):
            self._skip_text()
        if flags & 2:
            self._read_fully(2)
        unchecked = Inflater(PackedBytes(self._source, None, self._label), DEFLATED)
        return CheckedContent(unchecked, self._budget, lambda content: check_gzip_trailer(content, self._read_fully(8)))

    def _skip_text(self) -> None:
        left = _TEXT_MOST
        while left > 0:
            data = bytes(self._source.read(min(left, 4 << 10))) or self._read_fully(1)
            text, end, rest = data.partition(b"\0")
            if end:
                self._source.unread(rest)
                return
            left -= len(text)
        raise ArchiveError(
            f"{self._label}: a name of more than {_TEXT_MOST} bytes in the gzip header", advice=FETCH_AGAIN
        )

    def _read_fully(self, n: int) -> bytes:
        data = self._source.read_exactly(n)
        if len(data) < n:
            raise TruncatedError(
                f"{self._label}: the gzip data ends early, at byte {self._source.position}", advice=FETCH_AGAIN
            )
        return data
