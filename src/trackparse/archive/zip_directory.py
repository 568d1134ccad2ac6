"""A ZIP read by its directory: where that is, and where each member's data begins. No content, no choice of members.

``_Locator`` pairs each member that the directory lists with a header in front of data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from trackparse.archive.header_search import find_header
from trackparse.archive.inflate import STORED
from trackparse.archive.zip_headers import (
    CENTRAL,
    DESCRIBED,
    ENCRYPTED,
    END,
    END64,
    END64_REST,
    END_SIZE,
    LOCAL,
    LOCAL_SIZE,
    LOCATOR64,
    MAX32,
    End,
    Entry,
    Listed,
    LocalHeader,
    decode_name,
    read_directory,
    same_name,
    too_many_members,
    unicode_name,
)
from trackparse.errors import ArchiveError, LimitError
from trackparse.limits import Limits
from trackparse.sources.source import Source, open_source

_TAIL: Final = 22 + (128 << 10)  # bytes: the end record, a comment, and what is behind it: unzip looks about as far
# Bytes of a directory that are read although they may be too many for Limits.max_members.
_DIRECTORY_BASE, _DIRECTORY_PER_MEMBER = 64 << 10, 256
_OFFSET_MOST: Final = 1 << 44  # bytes: how far offsets modulo 2^32 are followed
_SEARCHED: Final = 64 << 20  # bytes at either end of a gap that are searched for headers
_PIECE: Final = 1 << 20  # bytes that are searched at a time
_DESCRIPTOR_SIZES: Final = (0, 16, 24, 12, 20)  # bytes that may stand between a member's data and the next header


@dataclass(frozen=True, slots=True)
class Span:
    """Where the directory is, and what its end record says.

    start: the first byte of the directory.
    stop: the first byte behind the end record.
    """

    start: int
    stop: int
    end: End

    @property
    def shift(self) -> int:
        """Bytes in front of the archive, which its offsets do not count."""
        shift = self.start - self.end.offset
        return shift if self.end.wide else shift & MAX32


@dataclass(frozen=True, slots=True)
class Located:
    """A member that the directory lists, and what stands where its header should be.

    listed: what the directory says.
    start: byte where its data begins.
    available: bytes from there to whatever follows.
    local_name: the name in the member's own header.
    head: byte where that header begins.
    problem: how the header and the directory disagree; empty if they agree.
    lost: no header of it was found, so its data cannot be read.
    """

    listed: Listed
    start: int
    available: int
    entry: Entry
    local_name: str
    head: int
    problem: str = ""
    lost: bool = False


def find_directory(source: Source) -> Span | None:
    """The directory of a ZIP that ends near the end of a seekable source; None if there is no such ZIP.

    A comment may look like an end record: of all end records, the last one with a directory in front of it is taken.
    """
    size = source.size or 0
    first = max(0, size - _TAIL)
    tail = source.look(first, _TAIL)
    at = len(tail)
    while (at := tail.rfind(END, 0, at)) >= 0:
        if at + END_SIZE <= len(tail) and (span := _span(source, first + at, tail[at + 4 : at + END_SIZE])):
            return span
    return None


def ends_as_zip(source: Source) -> bool:
    """Whether an end record stands at the very end, even without a directory in front of it.

    Its last two bytes say that no comment follows. Without them it may be text that ends a bare log.
    """
    record = source.look(max(0, (source.size or 0) - END_SIZE), END_SIZE)
    return record.startswith(END) and record.endswith(b"\0\0")


def read_members(source: Source, span: Span, limits: Limits) -> list[Located]:
    """The members in the order of the directory. ArchiveError if it is damaged, or leads to no member at all."""
    length = span.stop - span.start
    if length > _DIRECTORY_BASE + _DIRECTORY_PER_MEMBER * limits.max_members:
        raise LimitError(
            f"{source.name}: {length} bytes of directory are too many for {limits.max_members} members",
            advice="raise Limits.max_members if that is right",
            option="limits",
        )
    if span.shift < 0:
        raise ArchiveError(f"{source.name}: the directory is said to begin behind its end")
    members: list[Listed] = []

    def listed(member: Listed) -> None:
        if len(members) == limits.max_members:
            raise too_many_members(source.name, len(members) + 1, limits)
        members.append(member)

    directory = open_source(source.look(span.start, length))
    read_directory(directory, directory.read_exactly(4), source.name, listed, span.start)
    if directory.position != length:
        raise ArchiveError(f"{source.name}: the directory does not end where its end record begins")
    return list(_Locator(source, span, members))


def find_unlisted(source: Source, span: Span, members: list[Located]) -> int | None:
    """Byte of the first header outside of the members, the directory and the end record; None if there is none.

    Another archive may be joined to this one, or the directory has lost a member. Other bytes there do no harm.
    """
    for start, stop in _gaps(source, span, members):
        # Only near both ends of the gap: a sparse file may have a hole of terabytes.
        ends = ((start, start + _SEARCHED), (stop - _SEARCHED, stop))
        for first, last in ends if stop - start > 2 * _SEARCHED else ((start, stop),):
            pieces = (source.look(at, min(_PIECE, last - at)) for at in range(first, last, _PIECE))
            found = find_header(pieces, whole=last != source.size)
            if found is not None:
                return first + found
    return None


def _gaps(source: Source, span: Span, members: list[Located]) -> Iterator[tuple[int, int]]:
    """From where to where the directory lists nothing. Gaps too short for a header are left out."""
    behind = 0
    for one in sorted((one for one in members if not one.lost), key=lambda one: one.head):
        if one.head - behind >= LOCAL_SIZE:
            yield behind, one.head
        packed = one.entry.packed or 0
        # Modulo 2^32, as macOS writes it.
        behind = max(behind, one.start + packed + (max(0, one.available - packed) >> 32 << 32))
    if span.start - behind >= LOCAL_SIZE:
        yield behind, span.start
    yield span.stop, source.size or 0


def _span(source: Source, at: int, rest: bytes) -> Span | None:
    """The directory that the end record at this byte belongs to, if there is one."""
    wide, stop = _zip64(source, at)
    end = End.of(rest, wide)
    # By its size first, since anything may stand in front of the archive; a signature may follow the directory.
    for start in (stop - end.size, end.offset):
        if 0 <= start < stop and source.look(start, 4) == CENTRAL:
            return Span(start, at + END_SIZE, end)
    return None


def _zip64(source: Source, at: int) -> tuple[tuple[int, int, int] | None, int]:
    """The numbers of the zip64 record in front of the end record at this byte, if any; and the directory's end."""
    size = 4 + END64_REST.size
    near = source.look(max(0, at - 20 - size), size + 20)
    locator = near[-20:]
    if not locator.startswith(LOCATOR64) or len(near) < size + 20:
        return None, at
    stop = at - 20 - size
    if not near.startswith(END64):
        # A newer writer may have made the record longer.
        stop = int.from_bytes(locator[8:16], "little")
        near = source.look(stop, size)
        if not near.startswith(END64) or len(near) < size:
            return None, at
    _, entries, length, offset = END64_REST.unpack_from(near, 4)
    return (entries, length, offset), stop


class _Locator:
    """Finds the local header of each member that a directory lists.

    Any header may be damaged, so no single number in it is trusted. There are three steps: members whose offset leads
    to a header with their own name get that header; then members whose offset leads to a header with another name, or
    with a damaged signature, get that (both in ``_claim``); the headers of the other members are searched for behind
    the data of those that have one (``_find_lost``).
    """

    def __init__(self, source: Source, span: Span, members: list[Listed]) -> None:
        self._source = source
        self._span = span
        self._members = members
        self._heads: dict[int, tuple[int, bytes]] = {}  # by member: where its header is, and its bytes
        self._names: dict[int, str] = {}  # by member: the name in its own header, where that is another one
        self._claim()
        if len(self._heads) < len(members):
            self._find_lost()
        if members and not self._heads:
            raise ArchiveError(f"{source.name}: the directory points to no member")
        places = sorted(offset for offset, _ in self._heads.values())
        self._ends = dict(zip(places, [*places[1:], span.start], strict=False))

    def __iter__(self) -> Iterator[Located]:
        return (self._located(index, member) for index, member in enumerate(self._members))

    def _claim(self) -> None:
        """Give each member the header to which its offset leads; those whose name is right there come first."""
        claimed: set[int] = set()
        doubtful: list[tuple[int, int, bytes]] = []
        above = 0  # a multiple of 2^32 that the offsets have exceeded
        for index, member in enumerate(self._members):
            offset, head = self._follow(member, above)
            above = max(above, offset - member.offset - self._span.shift)
            if self._is_its(head, member) and offset not in claimed:
                claimed.add(offset)
                self._heads[index] = offset, head
            else:
                doubtful.append((index, offset, head))
        for index, offset, head in doubtful:
            if offset not in claimed and self._may_be_its(index, offset, head):
                claimed.add(offset)
                self._heads[index] = offset, head

    def _follow(self, member: Listed, above: int) -> tuple[int, bytes]:
        """The byte to which the member's offset leads, and the header there. macOS writes offsets modulo 2^32."""
        first = member.offset + self._span.shift
        for offset in range(first + above, min(self._span.start, _OFFSET_MOST), 1 << 32):
            head = self._head(offset, member)
            if self._is_its(head, member):
                return offset, head
        return first, self._head(first, member)

    def _head(self, offset: int, member: Listed) -> bytes:
        if not 0 <= offset < self._span.start:
            return b""
        return self._source.look(offset, LOCAL_SIZE + len(member.raw_name))

    @staticmethod
    def _is_its(head: bytes, member: Listed) -> bool:
        return head.startswith(LOCAL) and head[LOCAL_SIZE:] == member.raw_name

    def _may_be_its(self, index: int, offset: int, head: bytes) -> bool:
        """Whether it is the member's header although its signature is damaged, or its name is another one."""
        member = self._members[index]
        if len(head) < LOCAL_SIZE:
            return False
        if head[LOCAL_SIZE:] == member.raw_name:
            return True
        local = LocalHeader.of(head)
        sized = local.crc == member.crc or local.flags & DESCRIBED
        if not head.startswith(LOCAL) or local.method != member.method or not sized:
            return False
        raw = self._source.look(offset + LOCAL_SIZE, local.name_length)
        if not same_name(raw, member.raw_name):
            self._names[index] = decode_name(raw, local.flags)
        return True

    def _find_lost(self) -> None:
        """Look behind the data of other members for those to which no offset leads."""
        lost: dict[bytes, list[int]] = {}
        for index in reversed(range(len(self._members))):
            if index not in self._heads:
                lost.setdefault(self._members[index].raw_name, []).append(index)
        taken = {offset for offset, _ in self._heads.values()}
        places = [self._span.shift, self._span.shift + 4]
        places += [at for index in list(self._heads) for at in self._behind(index, taken)]
        while places and lost:
            offset = places.pop()
            if offset in taken or not 0 <= offset < self._span.start:
                continue
            head = self._source.look(offset, LOCAL_SIZE)
            if len(head) < LOCAL_SIZE or not head.startswith(LOCAL):
                continue
            raw = self._source.look(offset + LOCAL_SIZE, LocalHeader.of(head).name_length)
            if indices := lost.get(raw):
                index = indices.pop()
                taken.add(offset)
                self._heads[index] = offset, head + raw
                places += self._behind(index, taken)

    def _behind(self, index: int, taken: set[int]) -> list[int]:
        """Bytes where the next header may begin, behind this member's data; empty if one of them is taken already."""
        (offset, head), member = self._heads[index], self._members[index]
        local = LocalHeader.of(head)
        end = offset + LOCAL_SIZE + local.name_length + local.extra_length + member.packed
        places = [end + size for size in _DESCRIPTOR_SIZES]
        return [] if any(place in taken or place == self._span.start for place in places) else places

    def _located(self, index: int, member: Listed) -> Located:
        """Where the member's data begins, and how many bytes there are.

        If the header and the directory do not agree, either may be damaged. What the data itself suggests is taken; the
        CRC of the content decides whether that was right.
        """
        flags, method, packed = member.flags, member.method, member.packed
        if index not in self._heads:
            entry = Entry(member.name, flags, method, member.crc, packed, member.size)
            place = member.offset + self._span.shift
            return Located(member, 0, 0, entry, member.name, 0, f"its header is not at byte {place}", lost=True)
        offset, head = self._heads[index]
        local = LocalHeader.of(head)
        named = head[LOCAL_SIZE:] == member.raw_name
        length = len(member.raw_name) if named else local.name_length
        behind = offset + LOCAL_SIZE + length  # the name
        start, end = behind + local.extra_length, self._ends[offset]
        fits = start + packed <= end
        agrees = (
            head.startswith(LOCAL)
            and local.method == method
            and not (local.flags ^ flags) & ENCRYPTED
            and local.name_length == length
            and offset & MAX32 == (member.offset + self._span.shift) & MAX32
        )
        if not fits and local.packed == packed and end - packed >= behind:
            # The length of the extra field is wrong.
            start = end - packed
        elif method == STORED and packed != member.size == local.packed and start + local.packed <= end:
            # Stored data has one size, so the directory's packed size is wrong.
            packed, fits = local.packed, False
        elif method == STORED and local.flags & DESCRIBED:
            # Modulo 2^32, as macOS writes it.
            packed += max(0, end - start - packed) >> 32 << 32
        flags &= local.flags | ~ENCRYPTED
        if local.method != method:
            method = STORED if packed == member.size else (method or local.method)
        entry = Entry(member.name, flags, method, member.crc, packed, member.size)
        local_name = self._names.get(index, member.name)
        if named and not member.raw_name.isascii():
            extra = self._source.look(behind, local.extra_length)
            local_name = unicode_name(member.raw_name, extra) or local_name
        # ``named`` compares bytes: names whose bytes differ may both decode to an empty name, and are a problem, too.
        sound = agrees and fits and (named or local_name)
        problem = "" if sound else "its header does not agree with the directory"
        return Located(member, start, max(0, end - start), entry, local_name, offset, problem)
