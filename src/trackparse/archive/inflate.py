"""Packed bytes of one member in, its content in blocks out. Knows methods and checks, no archive format."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias, cast

from trackparse.errors import ArchiveError, LimitError, TruncatedError
from trackparse.limits import Limits
from trackparse.sources.source import Buffer, Source

_ISAL_FROM = (1, 9)  # older ones call sound data damaged where blocks are small


def _is_new_enough(version: str) -> bool:
    """Whether ISA-L of this version inflates right."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) >= _ISAL_FROM


try:
    import isal
    from isal import igzip_lib, isal_zlib

    if not _is_new_enough(isal.__version__):
        raise ImportError("isal is too old")
except ImportError:  # no wheel for this machine, or one that zlib has to stand in for
    igzip_lib = None  # type: ignore[assignment,unused-ignore]
    crc32: Callable[[Buffer, int], int] = zlib.crc32
    _ISAL_ERRORS: tuple[type[Exception], ...] = ()
else:
    crc32 = isal_zlib.crc32
    _ISAL_ERRORS = (cast("type[Exception]", igzip_lib.IsalError),)

_READ = 256 << 10  # bytes of one read; smaller ones cost time
_READ_FIRST = 4 << 10  # the first one: a gzip file may be a million members, and what is read too far is read again
_READ_MOST = 1 << 20  # the same for large blocks: one read should fill more than one, parts have to be joined
_KEPT = 4 << 20  # packed bytes of a stream that are kept to look twice at a fault
_AT_STAKE = 128 << 10  # inflated bytes of one call where they are not; smaller ones cost time, 2 % here
_CAREFUL = 512  # packed bytes of one call behind which a fault is, before it is looked for byte by byte
_CHEAP = 64 << 20  # packed bytes that are inflated again for the last byte or two of a cut member
_GLANCE = 4 << 10  # inflated bytes of a member left out that are looked at
_RATIO_FROM = 1 << 20  # inflated bytes before a ratio means anything
_LZMA_DICTIONARY = 512 << 20  # bytes; what 7-Zip writes at most by itself is 256 MiB

# What the decoders raise on damage: bz2 raises OSError.
_DAMAGE: tuple[type[Exception], ...] = (*_ISAL_ERRORS, zlib.error, lzma.LZMAError, OSError, ValueError, EOFError)

FETCH_AGAIN = "fetch the archive again"

STORED, DEFLATED, BZIP2, LZMA, ZSTD = 0, 8, 12, 14, 93
_NAMES = {
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
    """What bz2, lzma and isal have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Any, max_length: int) -> bytes: ...


class ZlibDecoder:
    """zlib's raw deflate with the face of the others."""

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

    ``length`` None: the content says itself where it ends. ``taken`` counts packed bytes read, ``tee`` is called
    with them.
    """

    def __init__(self, source: Source, length: int | None, label: str, tee: Tee | None = None) -> None:
        self.source = source
        self.length = length
        self.label = label
        self.taken = 0
        self._tee = tee
        self._start = source.position
        self._kept: list[Buffer] | None = None if source.seekable else []

    def read(self, n: int) -> Buffer:
        """At most n bytes; none only at the end of a known length. TruncatedError if the source ends."""
        if self.length is not None:
            n = min(n, self.length - self.taken)
            if n == 0:
                return b""
        data = self.source.read(n)
        if not data:
            raise TruncatedError(
                f"{self.label}: the source ends at byte {self.source.position}, inside this member's data",
                advice="fetch the archive again, it is not complete",
            )
        self.taken += len(data)
        if self._tee:
            self._tee(data)
        if self._kept is not None:
            self._kept.append(data)
            if self.taken > _KEPT:
                self._kept = None
        return data

    def unread(self, data: Buffer) -> None:
        """Give back what belongs to whatever follows."""
        self.source.unread(data)
        self.taken -= len(data)

    @property
    def gone(self) -> bool:
        """Whether the first bytes cannot be read again."""
        return self._kept is None and not self.source.seekable

    def rewind(self) -> bool:
        """Stand at the start again; False if those bytes are gone."""
        if self.source.seekable:
            self.source.seek(self._start)
        elif self.gone:
            return False
        else:
            kept, self._kept = b"".join(self._kept or ()), []
            self.source.unread(kept)
        self.taken = 0
        self._tee = None  # it has them
        return True


class Stored:
    """Content that is not packed."""

    def __init__(self, raw: PackedBytes) -> None:
        self.raw = raw

    def read(self, n: int) -> Buffer:
        return self.raw.read(n)

    def finish(self) -> None:
        """Nothing was read too far."""


class Inflater:
    """Content unpacked by a decoder."""

    def __init__(self, raw: PackedBytes, method: int, *, ends_itself: bool = True) -> None:
        self.raw = raw
        self._method = method
        self._decoder = _decoder(method, raw)
        self._ends_itself = ends_itself
        self._size = 0  # inflated bytes given out
        self._step = _READ
        self._last = 0  # packed byte where the decoder's newest input begins
        self._careful_from: int | None = None  # packed byte from which input goes in small pieces
        self._piece = 0  # bytes of those
        self._cut: TruncatedError | None = None

    def read(self, n: int) -> Buffer:
        """At most n bytes, none only at the end. An error comes after all bytes before it."""
        self._step = max(self._step, min(n, _READ_MOST))
        while not self._decoder.eof:
            try:
                data = self._input() if self._decoder.needs_input else b""
            except TruncatedError as cut:
                if not self._recover_tail(cut):
                    raise
                continue
            if data is None:
                return b""
            # What a fault takes with it, where it cannot be looked at twice.
            most = min(n, _AT_STAKE) if self.raw.gone else n
            try:
                out = self._decoder.decompress(data, most)
            except _DAMAGE as damage:
                # The decoder kept what this call inflated before the fault to itself.
                if self._piece == 1 or not self._replay(self._method, piece=1 if self._piece else _CAREFUL):
                    raise self._damaged(damage) from damage
                continue
            if out:
                self._size += len(out)
                return out
        return b""

    def finish(self) -> None:
        """Give back what the decoder took and does not need."""
        if self._decoder.eof:
            self.raw.unread(self._decoder.unused_data)

    def _input(self) -> Buffer | None:
        """The next packed bytes, None at the end of a content that has no end mark."""
        want = min(self._step, max(_READ_FIRST, self.raw.taken))
        if self._careful_from is not None:
            want = max(self._piece, min(want, self._careful_from - self.raw.taken))
        self._last = self.raw.taken
        if data := self.raw.read(want):
            return data
        if not self._ends_itself:
            return None
        raise self._damaged("it goes on after its last byte")

    def _recover_tail(self, cut: TruncatedError) -> bool:
        """Read a cut member's last bytes with zlib: isal takes two or three literals at once, or none."""
        worth_it = self._method == DEFLATED and self._cut is None and self._careful_from is None
        self._cut = cut
        return worth_it and self.raw.taken <= _CHEAP and self._replay(DEFLATED, piece=0)

    def _replay(self, method: int, *, piece: int) -> bool:
        """Come back to the last byte given out, to go on in pieces of so many bytes from the newest input on; False if
        the packed bytes are gone. Without pieces zlib reads all of it, which gives every byte.

        Byte by byte at once would cost as much as inflating a few hundred bytes, for each.
        """
        last, size = self._last, self._size
        if not self.raw.rewind():
            return False
        self._decoder = _decoder(method, self.raw) if piece else ZlibDecoder()
        self._careful_from = last if piece else None
        self._piece = piece
        self._size = 0
        while self._size < size and self.read(min(_READ, size - self._size)):
            pass
        return True

    def _damaged(self, why: object) -> ArchiveError:
        return ArchiveError(
            f"{self.raw.label}: {_NAMES[self._method]} data is damaged at inflated byte {self._size} ({why})",
            advice=FETCH_AGAIN,
        )


class InflateBudget:
    """Inflated bytes of all members together, against the limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.inflated = 0

    def left(self) -> int | None:
        most = self.limits.max_inflated_bytes
        return None if most is None else most - self.inflated


class Content:
    """A member's content, counted, checksummed and held to the limits.

    ``at_end`` is called once, after the last byte, and raises if the content is not what was promised.
    """

    def __init__(self, inner: Stored | Inflater, meter: InflateBudget, at_end: Callable[[Content], None]) -> None:
        self.inner = inner
        self.raw = inner.raw
        self.crc = 0
        self.size = 0
        self._meter = meter
        self._at_end: Callable[[Content], None] | None = at_end
        self._ratio_fault: LimitError | None = None

    def read(self, n: int) -> Buffer:
        """At most n bytes, none only at the end, which is then known to be the right one."""
        if self._ratio_fault:
            raise self._ratio_fault
        if self._at_end is None:
            return b""
        left = self._meter.left()
        data = self.inner.read(n if left is None else max(1, min(n, left)))
        if not data:
            self._end()
            return b""
        if left == 0:
            most = self._meter.limits.max_inflated_bytes
            raise LimitError(
                f"{self.raw.label}: there are more than {most} inflated bytes",
                advice="raise Limits.max_inflated_bytes if they are wanted",
            )
        self.crc = crc32(data, self.crc)
        self.size += len(data)
        self._meter.inflated += len(data)
        self._check_ratio()
        return data

    @property
    def ended(self) -> bool:
        """Whether its last byte was read, right or wrong."""
        return self._at_end is None

    def drain(self) -> None:
        """Read what is left and throw it away."""
        while self.read(_READ):
            pass

    def _end(self) -> None:
        at_end, self._at_end = cast("Callable[[Content], None]", self._at_end), None
        self.inner.finish()
        at_end(self)

    def _check_ratio(self) -> None:
        most = self._meter.limits.max_ratio
        if most is not None and self.size > _RATIO_FROM and self.size > most * self.raw.taken:
            self._ratio_fault = LimitError(
                f"{self.raw.label}: {self.size} bytes out of {self.raw.taken} packed ones is more than {most} times",
                advice="raise Limits.max_ratio if that is right",
            )


def rechunk(read: Callable[[int], Buffer], block_size: int) -> Iterator[Buffer]:
    """Blocks of exactly block_size bytes, only the last shorter; a fault comes after the bytes before it."""
    fault: Exception | None = None
    missing = 0
    while not missing:
        parts: list[Buffer] = []
        missing = block_size
        try:
            while missing and (part := read(missing)):
                parts.append(part)
                missing -= len(part)
        except Exception as exc:
            fault = exc
        if parts:
            yield parts[0] if len(parts) == 1 else b"".join(parts)
    if fault:
        try:
            raise fault
        finally:
            # The fault holds this frame.
            del fault


def beginning_of(packed: bytes, method: int) -> bytes:
    """What content begins with whose packed data begins so; nothing where its method gives whole blocks only."""
    if method == STORED:
        return packed
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, _GLANCE) if method == DEFLATED else b""
    except zlib.error:
        return b""


def check_method(method: int, label: str) -> None:
    """ArchiveError if there is no decoder for the method."""
    if method in (STORED, DEFLATED, BZIP2, LZMA) or (method in (20, ZSTD) and _zstd() is not None):
        return
    name = _NAMES.get(method, "unknown")
    raise ArchiveError(
        f"{label}: packed by method {method} ({name}), which cannot be read", advice="pack it again with deflate"
    )


def _decoder(method: int, raw: PackedBytes) -> Decoder:
    if method == DEFLATED:
        if igzip_lib is None:
            return ZlibDecoder()
        return cast("Decoder", igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE))
    if method == BZIP2:
        return bz2.BZ2Decompressor()
    if method == LZMA:
        return _lzma_decoder(raw)
    return cast("Decoder", _zstd().ZstdDecompressor())


def _lzma_decoder(raw: PackedBytes) -> Decoder:
    """APPNOTE 5.8.8: version, size of the properties, properties; then LZMA without a header."""
    head = b""
    while len(head) < 9 and (part := raw.read(9 - len(head))):
        head += part
    size, packed, dictionary = struct.unpack_from("<2xHBL", head.ljust(9, b"\xff"))
    if size != 5 or packed >= 9 * 5 * 5 or packed % 9 + packed // 9 % 5 > 4:
        raise ArchiveError(f"{raw.label}: the LZMA header is damaged", advice=FETCH_AGAIN)
    if dictionary > _LZMA_DICTIONARY:
        raise ArchiveError(
            f"{raw.label}: LZMA with a dictionary of {dictionary} bytes, {_LZMA_DICTIONARY} is the most",
            advice="pack it again with deflate",
        )
    filters = {
        "id": lzma.FILTER_LZMA1,
        "lc": packed % 9,
        "lp": packed // 9 % 5,
        "pb": packed // 45,
        "dict_size": max(dictionary, 4096),
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[filters])


def _zstd() -> Any:
    """The standard library's zstd, from Python 3.14 on, or None."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None
    return zstd
