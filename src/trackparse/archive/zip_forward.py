"""A ZIP read forward: headers, data, descriptors, directory, end. No seeking, no choice of members."""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, NamedTuple

from trackparse.archive.inflate import (
    FETCH_AGAIN,
    LZMA,
    STORED,
    Content,
    InflateBudget,
    Inflater,
    PackedBytes,
    Stored,
    Tee,
    check_method,
    crc32,
)
from trackparse.archive.zip_signatures import find_header
from trackparse.errors import ArchiveError, LimitError, TruncatedError
from trackparse.limits import Limits
from trackparse.sources.source import Buffer, Source, open_source

LOCAL = b"PK\x03\x04"
CENTRAL = b"PK\x01\x02"
END = b"PK\x05\x06"
DESCRIPTOR = b"PK\x07\x08"
SPANNED = (DESCRIPTOR, b"PK00")  # what stands before the first header if the archive was meant to span disks
END64 = b"PK\x06\x06"
LOCATOR64 = b"PK\x06\x07"
_SIGNED = b"PK\x05\x05"
_EXTRA_DATA = b"PK\x06\x08"

_LOCAL_REST = struct.Struct("<3H4x3L2H")  # version, flags, method, crc, packed, size, name, extra
LOCAL_SIZE = 4 + _LOCAL_REST.size
# Versions, flags, method, crc, packed, size, lengths of name, extra and comment, disk and attributes, offset.
_CENTRAL_REST = struct.Struct("<4x2H4x3L3H8xL")
_END_REST = struct.Struct("<6xH2LH")  # disks, entries, bytes of the directory, its offset, length of the comment
END_SIZE = 4 + _END_REST.size
END64_REST = struct.Struct("<Q20x3Q")  # its own size, versions and disks, entries, bytes of the directory, its offset
_ENCRYPTED, DESCRIBED, _STRONG, _UTF8, _MASKED = 1, 1 << 3, 1 << 6, 1 << 11, 1 << 13
ENCRYPTED = _ENCRYPTED | _STRONG | _MASKED
_AES = 99
UNKNOWN32 = 0xFFFFFFFF
_UNKNOWN16 = 0xFFFF
_UNICODE_NAME = 0x7075  # the extra field of a name in UTF-8
_LONGEST_UNSIGNED = 20  # bytes of a descriptor
# From a signature on: where a descriptor begins, and where its packed size stands.
_SIGNED_PLACES, _UNSIGNED_PLACES = ((0, 8),), ((-12, -8), (-_LONGEST_UNSIGNED, -16))
BEHIND = 4 << 10  # bytes behind an archive by which it is known what they are
_BEHIND_MOST = 64 << 20  # bytes behind an archive in a stream, which are searched for another one
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


class Listed(NamedTuple):
    """What the directory says of one member. Sizes and the offset are modulo 2^32 where a writer knew no zip64."""

    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


class End(NamedTuple):
    """The end record, and what of it the zip64 record says better."""

    entries: int  # members, modulo 2^16 where there is no zip64 record
    size: int  # bytes of the directory
    offset: int  # of the directory, modulo 2^32 where there is no zip64 record
    comment: int  # bytes
    wide: bool  # a zip64 record says all this

    @classmethod
    def of(cls, rest: bytes, wide: tuple[int, int, int] | None) -> End:
        """Out of the record's bytes behind its signature, and the zip64 record's numbers."""
        entries, size, offset, comment = _END_REST.unpack(rest)
        if wide is None:
            return cls(entries, size, offset, comment, False)
        return cls(*wide, comment, True)


def decode_name(raw: bytes, flags: int, extra: bytes = b"") -> str:
    """A member's name as zipfile reads it, save that it never fails."""
    given = "" if raw.isascii() else unicode_name(raw, extra)
    name = given or raw.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
    return name.partition("\0")[0]


def unicode_name(raw: bytes, extra: bytes) -> str:
    """The name in the extra field for Unicode, empty if there is none for this name."""
    given = _extra_field(extra, _UNICODE_NAME)
    # Version, and the checksum of the name that it stands for.
    fits = given[:1] == b"\1" and given[1:5] == crc32(raw, 0).to_bytes(4, "little")
    return given[5:].decode("utf-8", "replace").partition("\0")[0] if fits else ""


def other_name(raw: bytes, flags: int) -> str:
    """The name as who overlooks the flag for UTF-8, or sets it without need, would read it."""
    return decode_name(raw, flags ^ _UTF8)


def same_name(raw: bytes, other: bytes) -> bool:
    """Whether two spellings of a name differ in their encoding at most."""
    if raw == other:
        return True
    return not {decode_name(raw, 0), decode_name(raw, _UTF8)}.isdisjoint(
        (decode_name(other, 0), decode_name(other, _UTF8))
    )


def read_entry(source: Source, where: str) -> Entry:
    """The local header after its signature; the source stands at the member's data then."""
    head = _exactly(source, _LOCAL_REST.size, where)
    _, flags, method, crc, packed, size, name_length, extra_length = _LOCAL_REST.unpack(head)
    raw = _exactly(source, name_length, where)
    extra = _exactly(source, extra_length, where)
    name = decode_name(raw, flags, extra)
    packed, size, _ = _sizes64(extra, packed, size)
    described = bool(flags & DESCRIBED)
    if described and not (packed and method == STORED):
        return Entry(name, flags, method, crc, None, None, described)
    return Entry(name, flags, method, crc, packed, size, described)


def read_listed(source: Source, where: str) -> Listed:
    """A header of the directory after its signature; the source stands behind it then."""
    head = _exactly(source, _CENTRAL_REST.size, where)
    flags, method, crc, packed, size, name_length, extra_length, comment_length, offset = _CENTRAL_REST.unpack(head)
    raw = _exactly(source, name_length, where)
    extra = _exactly(source, extra_length, where)
    _pass(source, comment_length, where)
    packed, size, offset = _sizes64(extra, packed, size, offset)
    return Listed(raw, decode_name(raw, flags, extra), flags, method, crc, packed, size, offset)


def _extra_field(extra: bytes, wanted: int) -> bytes:
    """The first extra field (APPNOTE 4.5) of this kind, empty if there is none."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == wanted:
            return extra[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def _sizes64(extra: bytes, packed: int, size: int, offset: int = 0) -> tuple[int, int, int]:
    """The sizes and the offset, out of the zip64 field (APPNOTE 4.5.3) where the header has no room for them."""
    if UNKNOWN32 not in (packed, size, offset):
        return packed, size, offset
    values = _extra_field(extra, 1)
    found = []
    # Only what the header has no room for stands there, in this order.
    for value in (size, packed, offset):
        if value == UNKNOWN32 and len(values) >= 8:
            value = int.from_bytes(values[:8], "little")
            values = values[8:]
        found.append(value)
    return found[1], found[0], found[2]


def read_directory(
    source: Source, signature: bytes, where: str, listed: Callable[[Listed], object], origin: int = 0
) -> tuple[int, End]:
    """Read on behind the first signature after the members: each header of the directory, then up to its end record.

    Gives how many headers there were, and the end record, behind which the source stands then. ArchiveError unless
    nothing else is in between and the end record counts as many. ``origin`` is the
    archive's byte where the source begins.
    """
    count = 0
    wide = None
    start = past = source.position - 4  # of the headers
    signed = 0  # bytes of a signature behind them
    while signature != END:
        if signature == CENTRAL:
            listed(read_listed(source, where))
            count += 1
            past = source.position
            length = 0
        elif signature == END64:
            size, *numbers = END64_REST.unpack(_exactly(source, END64_REST.size, where))
            wide = (numbers[0], numbers[1], numbers[2])
            length = max(0, size + 8 - END64_REST.size)
        elif signature == LOCATOR64:
            length = 16
        elif signature == _SIGNED:
            length = int.from_bytes(_exactly(source, 2, where), "little")
            signed = length + 6
        elif signature == _EXTRA_DATA:
            length = int.from_bytes(_exactly(source, 4, where), "little")
        else:
            raise ArchiveError(
                f"{where}: no header of a ZIP at byte {origin + source.position - 4}, but {signature!r}",
                advice=FETCH_AGAIN,
            )
        _pass(source, length, where)
        signature = _exactly(source, 4, where)
    end = End.of(_exactly(source, _END_REST.size, where), wide)
    if end.entries != (count if end.wide else count & _UNKNOWN16):
        raise ArchiveError(
            f"{where}: the directory lists {count} members, the record at its end counts {end.entries}",
            advice=FETCH_AGAIN,
        )
    # Writers differ in whether the signature counts.
    if (end.size - (past - start)) & UNKNOWN32 not in (0, signed):
        raise ArchiveError(
            f"{where}: the directory has {past - start} bytes, the record at its end says {end.size}",
            advice=FETCH_AGAIN,
        )
    return count, end


def open_content(
    source: Source, entry: Entry, meter: InflateBudget, label: str, tee: Tee | None = None, room: int | None = None
) -> Content:
    """The content of the entry whose data the source stands at.

    ``room`` is how many bytes there are up to whatever follows: data that says itself where it ends may take them all,
    and a wrong size costs none of it; other data takes no more.
    """
    if entry.encrypted:
        raise ArchiveError(f"{label}: encrypted", advice="decrypt the archive first, trackparse knows no passwords")
    check_method(entry.method, label)
    raw = PackedBytes(source, entry.packed, label, tee)
    # LZMA needs no end mark where the sizes are known; bit 1 says whether it has one.
    ends_itself = entry.method != STORED and (entry.method != LZMA or bool(entry.flags & 2))
    if room is not None:
        raw.length = room if ends_itself else min(room, entry.packed or 0)
    if entry.method == STORED:
        inner: Stored | Inflater = Stored(raw) if entry.packed is not None else StoredUnsized(raw)
        return Content(inner, meter, lambda content: _check(content, entry))
    if entry.packed is None and not ends_itself:
        raise ArchiveError(
            f"{label}: LZMA data with neither a size nor an end mark",
            advice="read the archive from a file, where its directory has the size",
        )
    inner = Inflater(raw, entry.method, ends_itself=ends_itself)
    return Content(inner, meter, lambda content: _check(content, entry))


class StoredUnsized(Stored):
    """Stored content of unknown size: it ends where a descriptor stands that fits all bytes before it."""

    _LOOK = 28  # bytes; the longest descriptor and the signature behind it
    _MARKS = re.compile(b"|".join(map(re.escape, (DESCRIPTOR, LOCAL, CENTRAL))))

    def __init__(self, raw: PackedBytes) -> None:
        super().__init__(raw)
        self._buffer = b""
        self._at = 0  # bytes of the buffer given out
        self._sure = 0  # bytes of the buffer that are content
        self._size = 0  # content up to there, in bytes
        self._crc = 0  # of the same
        self._ended = False  # the content ends there
        self._cut: TruncatedError | None = None

    def read(self, n: int) -> Buffer:
        while self._at == self._sure and not self._ended:
            self._fill()
            self._look()
        data = self._buffer[self._at : min(self._at + n, self._sure)]
        if not data and self._cut:
            raise self._cut
        self._at += len(data)
        return data

    def finish(self) -> None:
        self.raw.unread(self._buffer[self._at :])
        self._buffer = b""

    def _fill(self) -> None:
        try:
            more = self.raw.read(min(64 << 10, max(4 << 10, self.raw.taken)))
        except TruncatedError:
            self._cut = TruncatedError(
                f"{self.raw.label}: the source ends, and nothing said that this stored member does",
                advice="fetch the archive again, or read it from a file, where its directory has the size",
            )
            more = b""
        self._buffer = b"".join((self._buffer[self._at :], more))
        self._at = self._sure = 0

    def _look(self) -> None:
        """Find out how much of the buffer is content: all of it up to a descriptor, or up to where one may begin."""
        end = len(self._buffer) if self._cut else max(0, len(self._buffer) - self._LOOK)
        for stop in self._stops(end):
            self._pass(stop)
            if self._descriptor_here():
                self._ended, self._cut = True, None
                return
        if self._cut:
            end = self._cut_descriptor(end)
            # Nobody will say more.
            self._ended = True
        self._pass(end)

    def _stops(self, end: int) -> Iterator[int]:
        """Where, before ``end``, a descriptor may stand: one whose sizes are those of the content up to it.

        To compare them first costs a tenth of a checksum at each signature. The next place comes first, and what is
        behind it is not looked at yet: most buffers hold more than one small member.
        """
        buffer, base = self._buffer, self._size
        found: set[int] = set()  # some marks tell of two places before them
        for mark in self._MARKS.finditer(buffer):
            at = mark.start()
            if found:
                near = sorted(stop for stop in found if stop <= at - _LONGEST_UNSIGNED)
                yield from near
                found.difference_update(near)
            # Behind its signature, or so far before that of the next header.
            for stop, sizes in _SIGNED_PLACES if mark[0] == DESCRIPTOR else _UNSIGNED_PLACES:
                if 0 <= at + stop < end:
                    said = int.from_bytes(buffer[at + sizes : at + sizes + 4], "little")
                    if said == (base + at + stop) & UNKNOWN32:
                        found.add(at + stop)
        yield from sorted(found)

    def _pass(self, stop: int) -> None:
        """Take what comes before ``stop`` for content."""
        data = self._buffer[self._sure : stop]
        self._crc = crc32(data, self._crc)
        self._size += len(data)
        self._sure = max(self._sure, stop)

    def _descriptor_here(self) -> bool:
        rest = self._buffer[self._sure : self._sure + self._LOOK]
        length = match_descriptor(rest, self._crc, self._size, self._size)
        # The descriptor of an empty member is all zeros, and content may begin with such.
        return bool(length) and (self._size > 0 or b"PK".startswith(rest[length : length + 2]))

    def _cut_descriptor(self, end: int) -> int:
        """Where, before the source's end, a signed descriptor begins that was cut, or may have been."""
        size, crc = self._size, self._crc
        at = max(self._sure, end - self._LOOK)
        while (at := self._buffer.find(DESCRIPTOR[:1], at)) >= 0:
            here = self._buffer[self._sure : at]
            forms = _descriptors(crc32(here, crc), size + len(here), size + len(here))[:2]
            if any(form.startswith(self._buffer[at:]) for form in forms):
                return at
            at += 1
        return end


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
    short = struct.pack("<LLL", crc, packed & UNKNOWN32, size & UNKNOWN32)
    long = struct.pack("<LQQ", crc, packed, size)
    return DESCRIPTOR + short, DESCRIPTOR + long, short, long


def _check(content: Content, entry: Entry) -> None:
    """ArchiveError unless the content is what the headers promised."""
    label, packed = content.raw.label, content.raw.taken
    if entry.described:
        _check_descriptor(content)
        return
    # Modulo 2^32: macOS and others write no zip64, whatever the size. The checksum is for the rest.
    if (packed - (entry.packed or 0)) & UNKNOWN32:
        raise ArchiveError(
            f"{label}: its data takes {packed} packed bytes, the header says {entry.packed}", advice=FETCH_AGAIN
        )
    if (content.size - (entry.size or 0)) & UNKNOWN32:
        raise ArchiveError(f"{label}: {content.size} bytes came out, the header says {entry.size}", advice=FETCH_AGAIN)
    if content.crc != entry.crc:
        raise ArchiveError(
            f"{label}: the checksum (CRC-32) of its {content.size} bytes is {content.crc:08x}, "
            f"the header says {entry.crc:08x}",
            advice=FETCH_AGAIN,
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
            f"{label}: its {content.size} bytes (CRC-32 {content.crc:08x}) do not fit the data descriptor behind them",
            advice=FETCH_AGAIN,
        )


class ForwardZip:
    """The entries of a ZIP in the order they stand, each to be read, skipped or set aside before the next.

    ``meter`` counts all that is inflated, if only to find its end; ``listed`` is called with what the directory says of
    each.
    """

    def __init__(self, source: Source, meter: InflateBudget, listed: Callable[[Listed], object]) -> None:
        self._source = source
        self._meter = meter
        self._name = source.name
        self._listed = listed
        self._ready = False  # the data of the entry at hand has not been touched
        self._content: Content | None = None  # of the entry at hand
        self._start = 0  # where its data begins
        self.sums: list[int] = []  # CRC-32 of the entries passed, in order
        self._damaged = False  # one of them was, and has none
        self.end = 0  # the first byte behind the archive
        self.behind = b""  # what begins there

    def __iter__(self) -> Iterator[Entry]:
        """The entries, then the directory is checked to be theirs."""
        count = 0
        if self._source.peek(4) in SPANNED:
            self._source.read_exactly(4)
        while (signature := _exactly(self._source, 4, self._name)) == LOCAL:
            count += 1
            if count > self._meter.limits.max_members:
                raise too_many_members(self._name, count, self._meter.limits)
            entry = read_entry(self._source, self._name)
            self._start = self._source.position
            self._ready = True
            yield entry
            if self._ready:
                self.skip(entry)
            if self._content:
                self.sums.append(self._content.crc)
                self._content = None
        self._read_directory(signature, count)

    def content(self, entry: Entry, label: str) -> Content:
        self._ready = False
        self._content = open_content(self._source, entry, self._meter, label)
        return self._content

    def skip(self, entry: Entry, tee: Tee | None = None) -> Content | None:
        """Go to the end of the entry's data; its content's sums where it had to be inflated to find that."""
        self._ready = False
        label = member_label(self._name, entry.name)
        if entry.packed is None:
            self._content = open_content(self._source, entry, self._meter, label, tee)
            self._content.drain()
            return self._content
        raw = PackedBytes(self._source, entry.packed, label, tee)
        while raw.read(256 << 10):
            pass
        self.sums.append(_skip_descriptor(self._source, entry, label) if entry.described else entry.crc)
        return None

    def drain(self) -> None:
        """Read the rest of the content at hand."""
        if self._content:
            self._content.drain()

    def recover(self, entry: Entry) -> bool:
        """Whether the source stands behind the entry at hand, now that its content turned out damaged.

        That takes a size in its header, or a descriptor where its data ended, and then a header: who guesses may take
        what is in a member for the next one.
        """
        content, self._content = self._content, None
        self._ready = False
        self._damaged = True
        if content and content.ended and self._at_header(entry, content.raw.taken):
            return True
        if entry.packed is None:
            return False
        missing = self._start + entry.packed - self._source.position
        return missing >= 0 and self._skip_to(missing) and self._at_header(entry, entry.packed)

    def _at_header(self, entry: Entry, packed: int) -> bool:
        """Whether a header comes next, once a descriptor was passed that has the packed size."""
        head = self._source.peek(28)
        if not entry.described:
            return head.startswith((LOCAL, CENTRAL))
        for length, at, size in ((16, 8, 4), (24, 8, 8), (12, 4, 4), (20, 4, 8)):
            signed = at == 4 or head.startswith(DESCRIPTOR)
            fits = int.from_bytes(head[at : at + size], "little") == packed & ((1 << 8 * size) - 1)
            if signed and fits and head[length:].startswith((LOCAL, CENTRAL)):
                self._source.read_exactly(length)
                return True
        return False

    def _skip_to(self, missing: int) -> bool:
        while missing and (data := self._source.read(min(missing, 256 << 10))):
            missing -= len(data)
        return not missing

    def _read_directory(self, signature: bytes, count: int) -> None:
        sums = []

        def listed(member: Listed) -> None:
            sums.append(member.crc)
            if len(sums) > count:
                raise ArchiveError(
                    f"{self._name}: the directory lists more members than the {count} that were met",
                    advice="read the archive from a file",
                )
            self._listed(member)

        listed_count, end = read_directory(self._source, signature, self._name, listed)
        if listed_count != count:
            raise ArchiveError(
                f"{self._name}: the directory lists {listed_count} members, {count} were met",
                advice="read the archive from a file",
            )
        if not self._damaged and sorted(sums) != sorted(self.sums):
            raise ArchiveError(
                f"{self._name}: the checksums in the directory are not those of the members",
                advice=FETCH_AGAIN,
            )
        self._look_behind(end.comment)

    def _look_behind(self, comment: int) -> None:
        """ArchiveError if there is another archive behind the end record. Its comment is no place to hide one."""
        start = self._source.position
        self.end = start + comment
        found = find_header(self._rest(), whole=False)
        if found is not None:
            raise ArchiveError(
                f"{self._name}: another archive begins at byte {start + found}",
                advice="split joined archives and read them one by one",
            )
        if self._source.position < self.end:
            raise _ended(self._source, self._name)

    def _rest(self) -> Iterator[bytes]:
        """Pieces up to the end of the source; ``behind`` is noted."""
        while data := self._source.read_exactly(64 << 10):
            start = self._source.position - len(data)
            self.behind += data[max(0, self.end - start) :][: BEHIND - len(self.behind)]
            yield data
            if self._source.position - self.end > _BEHIND_MOST:
                raise ArchiveError(
                    f"{self._name}: more than {_BEHIND_MOST} bytes behind the end of the archive, at byte {self.end}",
                    advice="cut them off",
                )


class SpooledMember:
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

    def beginning(self, n: int) -> bytes:
        """Its first n packed bytes."""
        self._file.seek(0)
        return self._file.read(n)

    def open(self, meter: InflateBudget, label: str) -> Content:
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
        f"{name}: {count} members or more, {limits.max_members} are allowed",
        advice="raise Limits.max_members if that is right",
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
    raise ArchiveError(f"{label}: no data descriptor behind its data", advice=FETCH_AGAIN)


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
        f"{label}: the archive ends early, at byte {source.position}",
        advice="fetch it again, it is not complete",
    )
