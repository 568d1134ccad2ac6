"""Compressed ("packed") bytes of one member in, its content out. Knows compression methods, no archive format.

What the content is compared with, sizes and CRC, is in ``crc``.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol, TypeAlias, cast

from trackparse.errors import ArchiveError, TruncatedError
from trackparse.sources.source import Buffer, Source

_ISAL_FROM: Final = (1, 9)  # older versions report damage in sound data where blocks are small


def _is_new_enough(version: str) -> bool:
    """Whether ISA-L of this version inflates correctly."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) >= _ISAL_FROM


try:
    import isal
    from isal import igzip_lib, isal_zlib

    if not _is_new_enough(isal.__version__):
        raise ImportError("isal is too old")
except ImportError:  # no wheel for this machine, or an old version: zlib does the same, slower
    igzip_lib = None  # type: ignore[assignment,unused-ignore]
    crc32: Callable[[Buffer, int], int] = zlib.crc32
    _ISAL_ERRORS: tuple[type[Exception], ...] = ()
else:
    crc32 = isal_zlib.crc32
    _ISAL_ERRORS = (cast("type[Exception]", igzip_lib.IsalError),)

FETCH_AGAIN: Final = "fetch the archive again"  # the advice of most errors about damage

# Sizes of one read, in packed bytes.
READ_SIZE: Final = 256 << 10  # smaller reads cost time
# A gzip file may have a million members, and bytes that are read beyond the end of a member are read a second time.
_FIRST_READ: Final = 4 << 10
_LARGEST_READ: Final = 1 << 20  # for large blocks: one read should fill more than a block, because parts are joined
# Where a decoder meets damage; see Inflater.
_REPLAY_MOST: Final = 4 << 20  # packed bytes that are kept of a source that cannot seek, to inflate them again
# Inflated bytes of one call where no replay is possible. Fewer cost time: 2 % at this size.
_OUTPUT_MOST: Final = 128 << 10
_SMALL_PIECE: Final = 512  # packed bytes of one call in the first replay; the second one goes byte by byte
# Packed bytes that are inflated again for the last byte or two of a truncated member.
_TAIL_REPLAY_MOST: Final = 64 << 20

_BEGINNING_MOST: Final = 4 << 10  # inflated bytes that ``beginning_of`` gives
_LZMA_DICTIONARY_MOST: Final = 512 << 20  # bytes; 7-Zip by itself writes 256 MiB at most

# What decoders raise on damage; bz2 raises OSError.
_DAMAGE: tuple[type[Exception], ...] = (*_ISAL_ERRORS, zlib.error, lzma.LZMAError, OSError, ValueError, EOFError)

STORED, DEFLATED, BZIP2, LZMA, ZSTD = 0, 8, 12, 14, 93
_METHOD_NAMES: Final = {
    1: "Shrink",
    6: "Implode",
    DEFLATED: "deflate",
    9: "Deflate64",
    BZIP2: "bzip2",
    LZMA: "LZMA",
    20: "Zstandard",
    ZSTD: "Zstandard",
    95: "XZ",
    96: "JPEG",
    98: "PPMd",
}


Tee: TypeAlias = Callable[[Buffer], object]


class Decoder(Protocol):
    """What the decompressors of bz2, lzma, zstd and isal have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Any, max_length: int) -> bytes: ...


class ZlibDecoder:
    """zlib's raw deflate with the interface of the other decoders."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
        self._full = False  # the last call stopped at max_length, so there may be more

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not (self._full or self._zlib.unconsumed_tail or self._zlib.eof)

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: Any, max_length: int) -> bytes:
        out = self._zlib.decompress(self._zlib.unconsumed_tail or data, max_length)
        self._full = len(out) == max_length
        return out


class PackedBytes:
    """The packed bytes of one member, from where the source stands.

    ``length`` is how many there are; None where only the content itself says where it ends. ``taken`` counts the bytes
    read so far. ``tee`` is called with each piece that is read.
    """

    def __init__(self, source: Source, length: int | None, label: str, tee: Tee | None = None) -> None:
        self.source = source
        self.length = length
        self.label = label
        self.taken = 0
        self._tee = tee
        self._start = source.position
        # The bytes so far of a source that cannot seek; None when there are too many of them.
        self._kept: list[Buffer] | None = None if source.seekable else []

    def read(self, n: int) -> Buffer:
        """At most n bytes; empty only at the end of a known length. TruncatedError if the source ends."""
        if self.length is not None:
            n = min(n, self.length - self.taken)
            if n == 0:
                return b""
        data = self.source.read(n)
        if not data:
            raise TruncatedError(
                f"{self.label}: the source ends at byte {self.source.position}, inside this member's data",
                advice=f"{FETCH_AGAIN}: it is not complete",
            )
        self.taken += len(data)
        if self._tee:
            self._tee(data)
        if self._kept is not None:
            self._kept.append(data)
            if self.taken > _REPLAY_MOST:
                self._kept = None
        return data

    def unread(self, data: Buffer) -> None:
        """Give back bytes that belong to whatever follows."""
        self.source.unread(data)
        self.taken -= len(data)

    @property
    def can_rewind(self) -> bool:
        """Whether the first bytes can be read again."""
        return self.source.seekable or self._kept is not None

    def rewind(self) -> bool:
        """Go back to the first byte; False if that is not possible."""
        if not self.can_rewind:
            return False
        if self.source.seekable:
            self.source.seek(self._start)
        else:
            kept, self._kept = b"".join(self._kept or ()), []
            self.source.unread(kept)
        self.taken = 0
        self._tee = None  # it was called with all of them
        return True


class Stored:
    """Content that is not compressed."""

    def __init__(self, packed: PackedBytes) -> None:
        self.packed = packed

    def read(self, n: int) -> Buffer:
        return self.packed.read(n)

    def finish(self) -> None:
        """Do nothing: no byte behind the content was read."""


class Inflater:
    """Content decompressed by a decoder.

    A decoder that meets damage raises an error, and what it inflated before the damage in the same call is lost. To
    give out those bytes, too, a second decoder decompresses everything up to the damage (a replay). It gets the last
    input in small pieces; in a further replay, it gets the last piece byte by byte. The pieces save time: each call of
    a decoder costs as much as inflating a few hundred bytes. If the packed bytes of a stream were not kept, no replay
    is possible; then the output of each call is bounded instead.

    A truncated deflate stream is replayed with zlib: isal decodes two or three literals at once, or none of them.
    """

    def __init__(self, packed: PackedBytes, method: int, *, has_end_mark: bool = True) -> None:
        self.packed = packed
        self._method = method
        self._decoder = _decoder(method, packed)
        self._has_end_mark = has_end_mark
        self._size = 0  # inflated bytes given out
        self._read_size = READ_SIZE
        self._last_input = 0  # packed byte where the decoder's latest input begins
        self._small_from: int | None = None  # packed byte from which input is given in small pieces; None: no replay
        self._piece = 0  # bytes of a small piece
        self._truncated: TruncatedError | None = None

    def read(self, n: int) -> Buffer:
        """At most n bytes, empty only at the end. An error comes after all bytes before it."""
        self._read_size = max(self._read_size, min(n, _LARGEST_READ))
        while not self._decoder.eof:
            try:
                data = self._input() if self._decoder.needs_input else b""
            except TruncatedError as error:
                if not self._recover_tail(error):
                    raise
                continue
            if data is None:
                return b""
            most = n if self.packed.can_rewind else min(n, _OUTPUT_MOST)
            try:
                out = self._decoder.decompress(data, most)
            except _DAMAGE as damage:
                if self._piece == 1 or not self._replay(self._method, piece=1 if self._piece else _SMALL_PIECE):
                    raise self._damaged(damage) from damage
                continue
            if out:
                self._size += len(out)
                return out
        return b""

    def finish(self) -> None:
        """Give back what the decoder took from behind the content."""
        if self._decoder.eof:
            self.packed.unread(self._decoder.unused_data)

    def _input(self) -> Buffer | None:
        """The next packed bytes; None at the end of content that has no end mark."""
        want = min(self._read_size, max(_FIRST_READ, self.packed.taken))
        if self._small_from is not None:
            want = max(self._piece, min(want, self._small_from - self.packed.taken))
        self._last_input = self.packed.taken
        if data := self.packed.read(want):
            return data
        if not self._has_end_mark:
            return None
        raise self._damaged(f"it does not end within its {self.packed.taken} packed bytes")

    def _recover_tail(self, error: TruncatedError) -> bool:
        """Start a replay for the last bytes of a truncated member; False if there was one, or it costs too much."""
        first_time = self._truncated is None and self._small_from is None
        self._truncated = error
        if self._method != DEFLATED or not first_time or self.packed.taken > _TAIL_REPLAY_MOST:
            return False
        return self._replay(DEFLATED, piece=0)

    def _replay(self, method: int, *, piece: int) -> bool:
        """Decompress again up to the last byte given out; False if the packed bytes are gone.

        From the latest input on ``piece`` bytes go in at once. With 0, zlib decompresses all.
        """
        last_input, size = self._last_input, self._size
        if not self.packed.rewind():
            return False
        self._decoder = _decoder(method, self.packed) if piece else ZlibDecoder()
        self._small_from = last_input if piece else None
        self._piece = piece
        self._size = 0
        while self._size < size and self.read(min(READ_SIZE, size - self._size)):
            pass
        return True

    def _damaged(self, why: object) -> ArchiveError:
        return ArchiveError(
            f"{self.packed.label}: {_METHOD_NAMES[self._method]} data is damaged at inflated byte {self._size} ({why})",
            advice=FETCH_AGAIN,
        )


def rechunk(read: Callable[[int], Buffer], block_size: int) -> Iterator[Buffer]:
    """Blocks of exactly block_size bytes, only the last one shorter; an error comes after the bytes before it."""
    error: Exception | None = None
    missing = 0
    while not missing:
        parts: list[Buffer] = []
        missing = block_size
        try:
            while missing and (part := read(missing)):
                parts.append(part)
                missing -= len(part)
        except Exception as caught:
            error = caught
        if parts:
            yield parts[0] if len(parts) == 1 else b"".join(parts)
    if error:
        try:
            raise error
        finally:
            # The error's traceback refers to this frame: without this line they keep each other alive.
            del error


def beginning_of(packed: bytes, method: int) -> bytes:
    """The first bytes of content, from its first packed bytes; empty for a method that gives whole blocks only."""
    if method == STORED:
        return packed
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, _BEGINNING_MOST) if method == DEFLATED else b""
    except zlib.error:
        return b""


def check_method(method: int, label: str) -> None:
    """ArchiveError if there is no decoder for the method."""
    if method in (STORED, DEFLATED, BZIP2, LZMA) or (method in (20, ZSTD) and _zstd() is not None):
        return
    name = _METHOD_NAMES.get(method, "unknown")
    raise ArchiveError(
        f"{label}: packed by method {method} ({name}), which cannot be read", advice="pack it again with deflate"
    )


def _decoder(method: int, packed: PackedBytes) -> Decoder:
    if method == DEFLATED:
        if igzip_lib is None:
            return ZlibDecoder()
        return cast("Decoder", igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE))
    if method == BZIP2:
        return bz2.BZ2Decompressor()
    if method == LZMA:
        return _lzma_decoder(packed)
    return cast("Decoder", _zstd().ZstdDecompressor())


def _lzma_decoder(packed: PackedBytes) -> Decoder:
    """The decoder that the header in front of the data asks for.

    APPNOTE 5.8.8: version, size of the properties, properties; then LZMA without a header.
    """
    head = b""
    while len(head) < 9 and (part := packed.read(9 - len(head))):
        head += part
    size, properties, dictionary = struct.unpack_from("<2xHBL", head.ljust(9, b"\xff"))
    if size != 5 or properties >= 9 * 5 * 5 or properties % 9 + properties // 9 % 5 > 4:
        raise ArchiveError(f"{packed.label}: the LZMA header is damaged", advice=FETCH_AGAIN)
    if dictionary > _LZMA_DICTIONARY_MOST:
        raise ArchiveError(
            f"{packed.label}: LZMA with a dictionary of {dictionary} bytes: expected at most {_LZMA_DICTIONARY_MOST}",
            advice="pack it again with deflate",
        )
    filters = {
        "id": lzma.FILTER_LZMA1,
        "lc": properties % 9,
        "lp": properties // 9 % 5,
        "pb": properties // 45,
        "dict_size": max(dictionary, 4096),
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[filters])


def _zstd() -> Any:
    """The zstd module of the standard library, which Python 3.14 and later have; else None."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None
    return zstd
