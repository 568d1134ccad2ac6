"""A ZIP read forward: headers, data, descriptors, directory. No seeking, no choice of members."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, NamedTuple

from trackparse.errors import ArchiveError, LimitError, TruncatedError
from trackparse.inflate import LZMA, STORED, Content, Inflater, Meter, Raw, Stored, Tee, check_method, crc32
from trackparse.limits import Limits
from trackparse.sources import Buffer, Source, open_source

LOCAL = b"PK\x03\x04"
CENTRAL = b"PK\x01\x02"
END = b"PK\x05\x06"
DESCRIPTOR = b"PK\x07\x08"
SPANNED = (DESCRIPTOR, b"PK00")  # what stands before the first header if the archive was meant to span disks
_END64 = b"PK\x06\x06"
_LOCATOR64 = b"PK\x06\x07"
_SIGNED = b"PK\x05\x05"
_EXTRA_DATA = b"PK\x06\x08"

_LOCAL_REST = struct.Struct("<3H4x3L2H")  # version, flags, method, crc, packed, size, name, extra
LOCAL_SIZE = 4 + _LOCAL_REST.size
_ENCRYPTED, _HAS_DESCRIPTOR, _STRONG, _UTF8, _MASKED = 1, 1 << 3, 1 << 6, 1 << 11, 1 << 13
ENCRYPTED = _ENCRYPTED | _STRONG | _MASKED
_AES = 99
_UNKNOWN32 = 0xFFFFFFFF
_SPOOL = 8 << 20  # bytes of a set-aside member held in memory before they go to a temporary file


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in a ZIP."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int | None  # bytes; None: a descriptor behind the data says it
    size: int | None  # inflated bytes; None as above
    described: bool = False  # a descriptor follows the data

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
        """Out of the header's bytes, from its signature on."""
        return cls(*_LOCAL_REST.unpack_from(data, 4))


def decode_name(raw: bytes, flags: int) -> str:
    """A member's name as zipfile reads it, save that it never fails."""
    name = raw.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
    return name.partition("\0")[0]


def read_entry(source: Source, where: str) -> Entry:
    """The local header after its signature; the source stands at the member's data then."""
    head = _exactly(source, _LOCAL_REST.size, where)
    _, flags, method, crc, packed, size, name_length, extra_length = _LOCAL_REST.unpack(head)
    name = decode_name(_exactly(source, name_length, where), flags)
    extra = _exactly(source, extra_length, where)
    packed, size = _sizes64(extra, packed, size)
    described = bool(flags & _HAS_DESCRIPTOR)
    if described and not (packed and method == STORED):
        return Entry(name, flags, method, crc, None, None, described)
    return Entry(name, flags, method, crc, packed, size, described)


def _sizes64(extra: bytes, packed: int, size: int) -> tuple[int, int]:
    """The sizes, out of the zip64 field (APPNOTE 4.5.3) where the header has no room for them."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        values = extra[at + 4 : at + 4 + length]
        at += 4 + length
        if kind != 1:
            continue
        if size == _UNKNOWN32 and len(values) >= 8:
            size = int.from_bytes(values[:8], "little")
            values = values[8:]
        if packed == _UNKNOWN32 and len(values) >= 8:
            packed = int.from_bytes(values[:8], "little")
        break
    return packed, size


def open_content(
    source: Source, entry: Entry, meter: Meter, label: str, tee: Tee | None = None, room: int | None = None
) -> Content:
    """The content of the entry whose data the source stands at.

    ``room`` is how many bytes there are up to whatever follows: data that says itself where it ends may take them all,
    and a wrong size costs none of it.
    """
    if entry.encrypted:
        raise ArchiveError(f"{label}: encrypted; decrypt the archive first, trackparse knows no passwords")
    check_method(entry.method, label)
    raw = Raw(source, entry.packed, label, tee)
    if entry.method == STORED:
        inner: Stored | Inflater = Stored(raw) if entry.packed is not None else StoredUnsized(raw)
        return Content(inner, meter, lambda content: _check(content, entry))
    # LZMA needs no end mark where the sizes are known; bit 1 says whether it has one.
    ends_itself = entry.method != LZMA or bool(entry.flags & 2)
    if room is not None and ends_itself:
        raw.length = room
    if entry.packed is None and not ends_itself:
        raise ArchiveError(
            f"{label}: LZMA data with neither a size nor an end mark; "
            "read the archive from a file, where its directory has the size"
        )
    inner = Inflater(raw, entry.method, ends_itself=ends_itself)
    return Content(inner, meter, lambda content: _check(content, entry))


class StoredUnsized(Stored):
    """Stored content of unknown size: it ends where a descriptor stands that fits all bytes before it."""

    _LOOK = 28  # bytes; the longest descriptor and the signature behind it

    def __init__(self, raw: Raw) -> None:
        super().__init__(raw)
        self._buffer = b""
        self._at = 0  # bytes of the buffer given out
        self._stop = 0  # where in the buffer the content may end, or nobody can tell yet
        self._size = 0
        self._crc = 0
        self._cut: TruncatedError | None = None

    def read(self, n: int) -> Buffer:
        self._fill()
        if self._at == self._stop:
            if self._ends():
                return b""
            self._stop = self._next_stop()
        data = self._buffer[self._at : min(self._at + n, self._stop)]
        if not data and self._cut:
            raise self._cut
        self._at += len(data)
        self._size += len(data)
        self._crc = crc32(data, self._crc)
        return data

    def _ends(self) -> bool:
        """Whether a descriptor stands here that fits."""
        rest = self._buffer[self._at : self._at + self._LOOK]
        length = match_descriptor(rest, self._crc, self._size, self._size)
        # That of nothing is all zeros, and content may begin with such.
        if length and (self._size or b"PK".startswith(rest[length : length + 2])):
            return True
        forms = _descriptors(self._crc, self._size, self._size)
        if self._cut and rest and any(form.startswith(rest) for form in forms):
            raise self._cut
        return False

    def _next_stop(self) -> int:
        """The next place where a descriptor may begin: at its signature, or so far before that of the next header."""
        after, buffer = self._at + 1, self._buffer
        stops = [buffer.find(DESCRIPTOR, after)]
        stops += [buffer.find(mark, after + size) - size for mark in (LOCAL, CENTRAL) for size in (12, 20)]
        if stops := [stop for stop in stops if stop >= after]:
            return min(stops)
        if not self._cut:
            return len(buffer) - self._LOOK
        # The end may be the beginning of a signature.
        held = len(DESCRIPTOR) - 1
        while not buffer.endswith(DESCRIPTOR[:held]):
            held -= 1
        return max(self._at, len(buffer) - held)

    def finish(self) -> None:
        self.raw.unread(self._buffer[self._at :])
        self._buffer = b""

    def _fill(self) -> None:
        while not self._cut and len(self._buffer) - self._at < 2 * self._LOOK:
            try:
                more = self.raw.read(64 << 10)
            except TruncatedError:
                self._cut = TruncatedError(
                    f"{self.raw.label}: the source ends, and nothing said that this stored member does; "
                    "fetch the archive again, or read it from a file, where its directory has the size"
                )
                more = b""
            self._buffer = b"".join((self._buffer[self._at :], more))
            self._at = self._stop = 0


def match_descriptor(head: bytes, crc: int, packed: int, size: int) -> int:
    """Length of the data descriptor at the start of head that says just this, or 0.

    It comes with and without a signature, with 32 and with 64 bits (APPNOTE 4.3.9): nothing tells which but
    the values and what follows.
    """
    fits = [len(form) for form in _descriptors(crc, packed, size) if head.startswith(form)]
    for length in fits:
        if head[length : length + 2] == b"PK":
            return length
    return fits[0] if fits else 0


def _descriptors(crc: int, packed: int, size: int) -> tuple[bytes, ...]:
    """Each form of it."""
    short = struct.pack("<LLL", crc, packed & _UNKNOWN32, size & _UNKNOWN32)
    long = struct.pack("<LQQ", crc, packed, size)
    return DESCRIPTOR + short, DESCRIPTOR + long, short, long


def _check(content: Content, entry: Entry) -> None:
    """ArchiveError unless the content is what the headers promised."""
    label, packed = content.raw.label, content.raw.taken
    if entry.described:
        _check_descriptor(content)
        return
    again = "fetch the archive again"
    if packed != entry.packed:
        raise ArchiveError(f"{label}: its data takes {packed} packed bytes, the header says {entry.packed}; {again}")
    if content.size != entry.size:
        raise ArchiveError(f"{label}: {content.size} bytes came out, the header says {entry.size}; {again}")
    if content.crc != entry.crc:
        raise ArchiveError(
            f"{label}: the checksum (CRC-32) of its {content.size} bytes is {content.crc:08x}, "
            f"the header says {entry.crc:08x}; {again}"
        )


def _check_descriptor(content: Content) -> None:
    source, label = content.raw.source, content.raw.label
    head = source.peek(28)
    length = match_descriptor(head, content.crc, content.raw.taken, content.size)
    if length:
        source.read_exactly(length)
    elif len(head) < 16:
        raise _ended(source, label)
    else:
        raise ArchiveError(
            f"{label}: its {content.size} bytes (CRC-32 {content.crc:08x}) do not fit the data descriptor "
            "behind them; fetch the archive again"
        )


class ForwardZip:
    """The entries of a ZIP in the order they stand, each to be read, skipped or set aside before the next."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._meter = Meter(limits)  # of what is inflated only to find its end
        self._name = source.name
        self._ready = False  # the data of the entry at hand has not been touched
        self._content: Content | None = None  # of the entry at hand
        self._sums: list[int] = []  # CRC-32 of the entries passed

    def __iter__(self) -> Iterator[Entry]:
        """The entries, then the directory is checked to be there."""
        count = 0
        if self._source.peek(4) in SPANNED:
            self._source.read_exactly(4)
        while (signature := self._signature()) == LOCAL:
            count += 1
            if count > self._limits.max_members:
                raise too_many_members(self._name, count, self._limits)
            entry = read_entry(self._source, self._name)
            self._ready = True
            yield entry
            if self._ready:
                self.skip(entry)
            if self._content:
                self._sums.append(self._content.crc)
                self._content = None
        self._read_directory(signature, count)

    def content(self, entry: Entry, meter: Meter, label: str) -> Content:
        self._ready = False
        self._content = open_content(self._source, entry, meter, label)
        return self._content

    def skip(self, entry: Entry, tee: Tee | None = None) -> Content | None:
        """Go to the end of the entry's data; its content's sums where it had to be inflated to find that."""
        self._ready = False
        label = member_label(self._name, entry.name)
        if entry.packed is None:
            meter = Meter(Limits(max_ratio=self._limits.max_ratio))
            content = open_content(self._source, entry, meter, label, tee)
            content.drain()
            self._sums.append(content.crc)
            return content
        raw = Raw(self._source, entry.packed, label, tee)
        while raw.read(256 << 10):
            pass
        self._sums.append(_skip_descriptor(self._source, entry, label) if entry.described else entry.crc)
        return None

    def _signature(self) -> bytes:
        return _exactly(self._source, 4, self._name)

    def _read_directory(self, signature: bytes, count: int) -> None:
        sums = []
        while signature != END:
            if signature == CENTRAL:
                head = _exactly(self._source, 42, self._name)
                sums.append(int.from_bytes(head[12:16], "little"))
                length = sum(struct.unpack_from("<3H", head, 24))
            elif signature == _END64:
                length = int.from_bytes(_exactly(self._source, 8, self._name), "little")
            elif signature == _LOCATOR64:
                length = 16
            elif signature == _SIGNED:
                length = int.from_bytes(_exactly(self._source, 2, self._name), "little")
            elif signature == _EXTRA_DATA:
                length = int.from_bytes(_exactly(self._source, 4, self._name), "little")
            else:
                raise ArchiveError(
                    f"{self._name}: no header of a ZIP at byte {self._source.position - 4}, "
                    f"but {signature!r}; fetch the archive again"
                )
            _pass(self._source, length, self._name)
            signature = self._signature()
        if len(sums) != count:
            raise ArchiveError(
                f"{self._name}: the directory lists {len(sums)} members, {count} were met; read the archive from a file"
            )
        if sorted(sums) != sorted(self._sums):
            raise ArchiveError(
                f"{self._name}: the checksums in the directory are not those of the members; fetch the archive again"
            )
        end = _exactly(self._source, 18, self._name)
        _pass(self._source, int.from_bytes(end[-2:], "little"), self._name)
        if self._source.peek(4) == LOCAL:
            raise ArchiveError(
                f"{self._name}: another archive begins at byte {self._source.position}; "
                "split joined archives and read them one by one"
            )


class SetAside:
    """One member kept packed until it is known whether anybody wants it."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOL)  # noqa: SIM115 - closed by close
        self.write = self._file.write

    def complete(self, content: Content | None) -> None:
        """Note what reading it once has shown."""
        if content:
            packed = content.raw.taken
            entry = self.entry
            self.entry = Entry(entry.name, entry.flags, entry.method, content.crc, packed, content.size)

    def open(self, meter: Meter, label: str) -> Content:
        self._file.seek(0)
        source = open_source(self._file)
        return open_content(source, self.entry, meter, label)

    def close(self) -> None:
        self._file.close()


def member_label(source: str, member: str) -> str:
    """How messages name a member."""
    return f"{source}: member {member!r}"


def too_many_members(name: str, count: int, limits: Limits) -> LimitError:
    return LimitError(
        f"{name}: {count} members or more, {limits.max_members} are allowed; raise Limits.max_members if that is right"
    )


def _skip_descriptor(source: Source, entry: Entry, label: str) -> int:
    """The checksum in it: nobody has read the content, so it is taken at its word."""
    head = source.peek(28)
    for crc in (int.from_bytes(head[4:8], "little"), int.from_bytes(head[:4], "little")):
        length = match_descriptor(head, crc, entry.packed or 0, entry.size or 0)
        if length:
            source.read_exactly(length)
            return crc
    if len(head) < 16:
        raise _ended(source, label)
    raise ArchiveError(f"{label}: no data descriptor behind its data; fetch the archive again")


def _pass(source: Source, n: int, name: str) -> None:
    while n:
        data = source.read(min(n, 64 << 10))
        if not data:
            raise _ended(source, name)
        n -= len(data)


def _exactly(source: Source, n: int, name: str) -> bytes:
    data = source.read_exactly(n)
    if len(data) < n:
        raise _ended(source, name)
    return data


def _ended(source: Source, label: str) -> TruncatedError:
    return TruncatedError(
        f"{label}: the archive ends early, at byte {source.position}; fetch it again, it is not complete"
    )
