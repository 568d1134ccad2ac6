"""Content that is no ZIP: a gzip file, or the log itself. No choice of members."""

from __future__ import annotations

import re
import struct
import zlib

from trackparse.archive.inflate import DEFLATED, Content, InflateBudget, Inflater, PackedBytes
from trackparse.archive.selector import starts_like_a_log
from trackparse.archive.zip_signatures import LOCAL_HEADER
from trackparse.errors import ArchiveError, HeaderError, LimitError, TruncatedError
from trackparse.sources.source import Buffer, Source

GZIP = b"\x1f\x8b"
_FETCH_AGAIN = "fetch it again"
_TEXT = 64 << 10  # bytes of a name or a comment in a gzip header
LOOKED_FOR = 64 << 10  # bytes in which an archive behind something else is looked for
_SMALL = 256  # packed bytes of a gzip member for which it is taken with others
_LOOK_MOST = 64 << 10  # bytes of one read for those
_ZEROS = re.compile(rb"\0*")  # between members, as tapes leave them
_LINE = 4 << 10  # bytes by which a log is known at a glance


class Bare:
    """A source that is the log itself."""

    def __init__(self, source: Source, label: str, meter: InflateBudget) -> None:
        self._source = source
        self._label = label
        self._meter = meter
        self._head: bytes | None = b""  # as long as nobody knows whether it is a log

    def read(self, n: int) -> Buffer:
        left = self._meter.left()
        data = self._source.read(n if left is None else max(1, min(n, left)))
        if not data:
            self._check_end()
        elif left == 0:
            raise LimitError(
                f"{self._label}: there are more than {self._meter.inflated} bytes",
                advice="raise Limits.max_inflated_bytes if they are wanted",
            )
        self._meter.inflated += len(data)
        if self._head is not None:
            self._look_at(data)
        return data

    def _look_at(self, data: Buffer) -> None:
        """HeaderError if this is an archive with something else in front of it, and no log."""
        known = self._head or b""
        head = known + bytes(data[:LOOKED_FOR])
        found = LOCAL_HEADER.search(head, max(0, len(known) - 30))
        if starts_like_a_log(head[:_LINE]):
            self._head = None
        elif found:
            raise HeaderError(
                f"{self._label}: not a tracking log: a ZIP begins at byte {found.start()}, behind something else",
                advice="cut that off, or read it from a file, where its end tells where it begins",
            )
        else:
            self._head = head if len(head) < LOOKED_FOR else None

    def _check_end(self) -> None:
        size = self._source.size
        if size is not None and self._source.position < size:
            raise TruncatedError(
                f"{self._label}: it ends at byte {self._source.position} and had {size} bytes when it was opened: "
                "it was cut while it was read",
                advice="read it again",
            )


class Gzip:
    """The content of a gzip file, of all its members (RFC 1952) one after the other."""

    def __init__(self, source: Source, label: str, meter: InflateBudget) -> None:
        self._source = source
        self._label = label
        self._meter = meter
        self._content: Content | None = self._next()  # None: the source stands behind a member
        self._ended = False

    def read(self, n: int) -> Buffer:
        while not self._ended:
            if self._content is None:
                if small := self._small_members(n):
                    return small
                if not self._follows():
                    self._ended = True
                    break
                self._content = self._next()
            if data := self._content.read(n):
                return data
            self._content = None
        return b""

    def _small_members(self, n: int) -> bytes:
        """At most n bytes: the content of the small members that come next, where they are whole and sound.

        A file may be nothing but those, and this way each costs a third. Whatever is odd is left for ``_next``.
        """
        left = self._meter.left()
        most = n if left is None else min(n, left)
        parts = []
        size, look = 0, _SMALL
        while size < most and (data := self._source.read(look)):
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
            # No more is read too far than was used before.
            if at < len(data) - _SMALL or not at:
                break
            look = min(2 * look, _LOOK_MOST)
        self._meter.inflated += size
        return b"".join(parts)

    def _follows(self) -> bool:
        """Whether another gzip member follows; zeros may stand at the end, as tapes leave them."""
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
            advice="fetch it again, or cut the rest off",
        )

    def _next(self) -> Content:
        """Read a header; the source stands at its data then."""
        magic, method, flags = struct.unpack("<2sBB6x", self._exactly(10))
        if magic != GZIP or method != DEFLATED or flags & 0xE0:
            raise ArchiveError(f"{self._label}: the gzip header is damaged", advice=_FETCH_AGAIN)
        if flags & 4:
            self._exactly(int.from_bytes(self._exactly(2), "little"))
        for _ in range(bool(flags & 8) + bool(flags & 16)):
            self._skip_text()
        if flags & 2:
            self._exactly(2)
        inner = Inflater(PackedBytes(self._source, None, self._label), DEFLATED)
        return Content(inner, self._meter, self._check)

    def _check(self, content: Content) -> None:
        crc, size = struct.unpack("<LL", self._exactly(8))
        if crc != content.crc or size != content.size & 0xFFFFFFFF:
            raise ArchiveError(
                f"{self._label}: {content.size} bytes with checksum (CRC-32) {content.crc:08x} came out, "
                f"the trailer says {size} and {crc:08x}",
                advice=_FETCH_AGAIN,
            )

    def _skip_text(self) -> None:
        left = _TEXT
        while left > 0:
            data = bytes(self._source.read(min(left, 4 << 10))) or self._exactly(1)
            text, end, rest = data.partition(b"\0")
            if end:
                self._source.unread(rest)
                return
            left -= len(text)
        raise ArchiveError(f"{self._label}: a name of more than {_TEXT} bytes in the gzip header", advice=_FETCH_AGAIN)

    def _exactly(self, n: int) -> bytes:
        data = self._source.read_exactly(n)
        if len(data) < n:
            raise TruncatedError(
                f"{self._label}: the gzip data ends early, at byte {self._source.position}",
                advice=_FETCH_AGAIN,
            )
        return data
