"""Finds the members of a ZIP, a gzip file or a bare CSV and hands out their content. No CSV rules.

Members come in the order of the directory where the source can seek, in the order they stand where it cannot;
every writer in use makes these the same. Names are only compared and shown, never used as paths.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Protocol

from trackparse.errors import ArchiveError, LimitError, TruncatedError
from trackparse.inflate import DEFLATED, STORED, Content, Inflater, Meter, Raw, cut
from trackparse.limits import Limits
from trackparse.sources import Buffer, Source
from trackparse.zipstream import (
    ENCRYPTED,
    END,
    LOCAL,
    LOCAL_SIZE,
    SPANNED,
    Entry,
    ForwardZip,
    LocalHeader,
    SetAside,
    member_label,
    open_content,
    too_many_members,
)

_GZIP = b"\x1f\x8b"
_TEXT = 64 << 10  # bytes of a name or a comment in a gzip header
_SHOWN = 20  # names in a message
# Directory bytes for which memory is spent before its members are counted.
_DIRECTORY_BASE, _DIRECTORY_PER_MEMBER = 64 << 10, 256
# What zipfile raises on a directory it cannot read; an OSError is the source's own.
_BAD_DIRECTORY = (
    zipfile.BadZipFile,
    NotImplementedError,
    struct.error,
    ValueError,
    RuntimeError,
    EOFError,
    LookupError,
    OverflowError,
)


class Readable(Protocol):
    """Content: ``read`` gives at most n bytes, none only at the end."""

    def read(self, n: int) -> Buffer: ...


class Member:
    """One log: its ``name``, and its content, once."""

    def __init__(self, name: str, content: Callable[[], Readable]) -> None:
        self.name = name
        self._content = content

    def blocks(self, block_size: int) -> Iterator[Buffer]:
        """Inflated bytes in blocks of exactly block_size bytes, only the last one shorter, none empty.

        ArchiveError, TruncatedError or LimitError come after all the bytes before the fault. How the
        source cuts its bytes changes nothing.
        """
        yield from cut(self._content().read, block_size)


class Archive:
    """The members chosen, one after the other: read each before the next."""

    def __init__(self, source: Source, limits: Limits, members: Iterable[str] | None) -> None:
        self.source = source
        self._limits = limits
        self._choice = Choice([members] if isinstance(members, str) else members, source.name)
        self._meter = Meter(limits)
        self._members = self._walk()
        self._disagreement = ""  # of a local header with the directory

    def __iter__(self) -> Iterator[Member]:
        return self._members

    def close(self) -> None:
        """Close what was opened; twice does no harm."""
        self._members.close()
        self.source.close()

    def _walk(self) -> Generator[Member]:
        source = self.source
        head = source.peek(4)
        if _starts_as(head, LOCAL, END, *SPANNED) or _ends_as_zip(source):
            yield from self._walk_zip(head)
        elif _starts_as(head, _GZIP):
            name = PurePath(source.name).name
            name = name[:-3] if name.lower().endswith(".gz") else name
            self._choice.check([name])
            yield Member(name, lambda: Gzip(source, member_label(source.name, name), self._meter))
        else:
            name = PurePath(source.name).name or source.name
            self._choice.check([name])
            yield Member(name, lambda: Bare(source, source.name, self._meter))
        source.finish()

    def _walk_zip(self, head: bytes) -> Iterator[Member]:
        if head == END:
            raise ArchiveError(f"{self.source.name}: a ZIP with no members; ask for the log again")
        if not self.source.seekable:
            yield from self._walk_forward()
            return
        try:
            entries = self._read_directory(head)
        except _BAD_DIRECTORY as exc:
            reason = f"{self.source.name}: the directory of the ZIP is missing or damaged ({exc})"
        else:
            yield from self._walk_directory(entries)
            return
        # The members may be good nevertheless, up to where a download was cut.
        self.source.seek(0)
        yield from self._walk_forward()
        raise ArchiveError(f"{reason}; its members were read without it; fetch the archive again")

    def _read_directory(self, head: bytes) -> list[tuple[int, int, Entry]]:
        """Where the data of each member chosen begins; _BAD_DIRECTORY, or ArchiveError if none is chosen."""
        with zipfile.ZipFile(_Guarded(self.source, self._limits)) as directory:
            infos, end = directory.infolist(), directory.start_dir
        if len(infos) > self._limits.max_members:
            raise too_many_members(self.source.name, len(infos), self._limits)
        first = min((info.header_offset for info in infos), default=0)
        if (head == LOCAL and first != 0) or (head in SPANNED and first != 4):
            # The directory of an archive inside a cut one, or of the last of some joined ones.
            raise zipfile.BadZipFile("it does not list the first member")
        starts = sorted({info.header_offset for info in infos})
        if len(starts) < len(infos):
            raise zipfile.BadZipFile("it lists the same data twice")
        chosen = self._choice.choose([info.filename for info in infos])
        ends = dict(zip(starts, [*starts[1:], end], strict=True))
        return [self._locate(infos[index], ends[infos[index].header_offset]) for index in chosen]

    def _locate(self, info: zipfile.ZipInfo, end: int) -> tuple[int, int, Entry]:
        """Where the entry's data begins, how many bytes there are, and the entry.

        A local header that does not agree with the directory is one or the other's damage. Where the name is right,
        the data is taken for what it says: its checksum decides, and the disagreement is told in the end.
        """
        offset, name = info.header_offset, info.orig_filename.encode("utf-8" if info.flag_bits & 1 << 11 else "cp437")
        if offset < 0:
            raise zipfile.BadZipFile("it points before the start")
        self.source.seek(offset)
        head = self.source.read_exactly(LOCAL_SIZE + len(name))
        if len(head) < LOCAL_SIZE:
            raise zipfile.BadZipFile(f"no member at byte {offset}")
        local = LocalHeader.of(head)
        named = head[LOCAL_SIZE:] == name
        length = len(name) if named else local.name_length
        start = offset + LOCAL_SIZE + length + local.extra_length
        fits = start + info.compress_size <= end
        agrees = (
            head.startswith(LOCAL)
            and local.method == info.compress_type
            and not (local.flags ^ info.flag_bits) & ENCRYPTED
            and local.name_length == length
        )
        if not (agrees and fits):
            if not named:
                raise zipfile.BadZipFile(f"no member {info.filename!r} at byte {offset}")
            self._disagreement = f"the header of member {info.filename!r} does not agree with the directory"
        if not fits:
            # The length of the extra field is wrong, if the sizes are right.
            start = end - info.compress_size
            if local.packed != info.compress_size or start < offset + LOCAL_SIZE + length:
                raise zipfile.BadZipFile(f"member {info.filename!r} runs into what follows it")
        flags = info.flag_bits & (local.flags | ~ENCRYPTED)
        method = info.compress_type
        if local.method != method:
            method = STORED if info.compress_size == info.file_size else (method or local.method)
        return start, end - start, Entry(info.filename, flags, method, info.CRC, info.compress_size, info.file_size)

    def _walk_directory(self, entries: list[tuple[int, int, Entry]]) -> Iterator[Member]:
        for start, room, entry in entries:

            def content(start: int = start, room: int = room, entry: Entry = entry) -> Content:
                self.source.seek(start)
                return open_content(self.source, entry, self._meter, self._label(entry), room=room)

            yield Member(entry.name, content)
        if self._disagreement:
            raise ArchiveError(
                f"{self.source.name}: {self._disagreement}; its data fits its checksum; fetch the archive again"
            )

    def _walk_forward(self) -> Iterator[Member]:
        """Members as they come. One that may turn out to be the only one is set aside until that is known."""
        forward = ForwardZip(self.source, self._limits)
        aside: SetAside | None = None
        names: list[str] = []
        fault: Exception | None = None
        served = False
        try:
            entries = iter(forward)
            while not fault and (entry := next(entries, None)):
                names.append(entry.name)
                if self._choice.picks(entry.name):
                    served = True
                    if aside:
                        aside.close()
                        aside = None
                    opened: list[Content] = []
                    yield Member(entry.name, self._opener(forward, entry, opened))
                    if opened:
                        opened[0].drain()
                elif served or aside or not self._choice.may_be_only(entry.name):
                    forward.skip(entry)
                else:
                    aside = SetAside(entry)
                    aside.complete(forward.skip(entry, aside.write))
        except Exception as exc:
            fault = exc
        try:
            if not served and aside and sum(map(self._choice.may_be_only, names)) == 1:
                yield Member(aside.entry.name, self._aside_opener(aside, fault))
                served = True
            if fault:
                raise fault
            self._choice.check(names)
        finally:
            fault = None
            if aside:
                aside.close()

    def _opener(self, forward: ForwardZip, entry: Entry, opened: list[Content]) -> Callable[[], Content]:
        def content() -> Content:
            opened.append(forward.content(entry, self._meter, self._label(entry)))
            return opened[0]

        return content

    def _aside_opener(self, aside: SetAside, fault: Exception | None) -> Callable[[], _Aside]:
        return lambda: _Aside(aside.open(self._meter, self._label(aside.entry)), fault)

    def _label(self, entry: Entry) -> str:
        return member_label(self.source.name, entry.name)


class Choice:
    """Which members of an archive are logs.

    Every ``*.csv``; if there is none, the only member there is. Hidden files, directories and what macOS adds
    do not count. Or those the caller named, by name or by pattern.
    """

    def __init__(self, wanted: Iterable[str] | None, source: str) -> None:
        self._wanted = None if wanted is None else list(wanted)
        self._source = source

    def picks(self, name: str) -> bool:
        """Whether it is taken whatever else there is."""
        if self._wanted is not None:
            return any(_matches(name, wanted) for wanted in self._wanted)
        return _is_candidate(name) and name.lower().endswith(".csv")

    def may_be_only(self, name: str) -> bool:
        """Whether it is taken if there is nothing else."""
        return self._wanted is None and _is_candidate(name)

    def choose(self, names: Sequence[str]) -> list[int]:
        """Indices of the members taken; ArchiveError as ``check``."""
        self.check(names)
        picked = [index for index, name in enumerate(names) if self.picks(name)]
        return picked or [index for index, name in enumerate(names) if self.may_be_only(name)]

    def check(self, names: Sequence[str]) -> None:
        """ArchiveError if these names leave nothing to read, too much choice, or a wish open."""
        for wanted in self._wanted or ():
            if not any(_matches(name, wanted) for name in names):
                raise ArchiveError(f"{self._source}: no member {wanted!r}; there {_listing(names)}")
        if self._wanted is not None or any(map(self.picks, names)):
            return
        candidates = sum(map(self.may_be_only, names))
        if candidates == 0 and len(names) != 0:
            raise ArchiveError(f"{self._source}: no log in this archive; there {_listing(names)}")
        if candidates != 1:
            raise ArchiveError(
                f"{self._source}: no member is named *.csv and there {_listing(names)}; say which with members=[...]"
            )


class Bare:
    """A source that is the log itself."""

    def __init__(self, source: Source, label: str, meter: Meter) -> None:
        self._source = source
        self._label = label
        self._meter = meter

    def read(self, n: int) -> Buffer:
        left = self._meter.left()
        data = self._source.read(n if left is None else max(1, min(n, left)))
        if not data:
            self._check_end()
        elif left == 0:
            raise LimitError(
                f"{self._label}: there are more than {self._meter.inflated} bytes; "
                "raise Limits.max_inflated_bytes if they are wanted"
            )
        self._meter.inflated += len(data)
        return data

    def _check_end(self) -> None:
        size = self._source.size
        if size is not None and self._source.position < size:
            raise TruncatedError(
                f"{self._label}: it ends at byte {self._source.position} and had {size} bytes when it was opened: "
                "it was cut while it was read; read it again"
            )


class Gzip:
    """The content of a gzip file, of all its members (RFC 1952) one after the other."""

    def __init__(self, source: Source, label: str, meter: Meter) -> None:
        self._source = source
        self._label = label
        self._meter = meter
        self._content: Content | None = self._next()

    def read(self, n: int) -> Buffer:
        while self._content:
            if data := self._content.read(n):
                return data
            self._content = self._next() if self._follows() else None
        return b""

    def _follows(self) -> bool:
        """Whether another gzip member follows; zeros may stand at the end, as tapes leave them."""
        source = self._source
        while data := source.read(64 << 10):
            if bytes(data).strip(b"\0"):
                source.unread(bytes(data).lstrip(b"\0"))
                break
        else:
            return False
        if source.peek(2) == _GZIP:
            return True
        raise ArchiveError(
            f"{self._label}: the gzip data ends at byte {source.position}, but more follows; "
            "fetch it again, or cut the rest off"
        )

    def _next(self) -> Content:
        """Read a header; the source stands at its data then."""
        magic, method, flags = struct.unpack("<2sBB6x", self._exactly(10))
        if magic != _GZIP or method != DEFLATED or flags & 0xE0:
            raise ArchiveError(f"{self._label}: the gzip header is damaged; fetch it again")
        if flags & 4:
            self._exactly(int.from_bytes(self._exactly(2), "little"))
        for _ in range(bool(flags & 8) + bool(flags & 16)):
            self._skip_text()
        if flags & 2:
            self._exactly(2)
        inner = Inflater(Raw(self._source, None, self._label), DEFLATED)
        return Content(inner, self._meter, self._check)

    def _check(self, content: Content) -> None:
        crc, size = struct.unpack("<LL", self._exactly(8))
        if crc != content.crc or size != content.size & 0xFFFFFFFF:
            raise ArchiveError(
                f"{self._label}: {content.size} bytes with checksum (CRC-32) {content.crc:08x} came out, "
                f"the trailer says {size} and {crc:08x}; fetch it again"
            )

    def _skip_text(self) -> None:
        for _ in range(_TEXT):
            if self._exactly(1) == b"\0":
                return
        raise ArchiveError(f"{self._label}: a name of more than {_TEXT} bytes in the gzip header; fetch it again")

    def _exactly(self, n: int) -> bytes:
        data = self._source.read_exactly(n)
        if len(data) < n:
            raise TruncatedError(
                f"{self._label}: the gzip data ends early, at byte {self._source.position}; fetch it again"
            )
        return data


class _Aside:
    """A member set aside. Where it is cut because reading stopped, it tells why that was."""

    def __init__(self, content: Content, fault: Exception | None) -> None:
        self._content = content
        self._fault = fault

    def read(self, n: int) -> Buffer:
        try:
            return self._content.read(n)
        except TruncatedError:
            if self._fault:
                raise self._fault from None
            raise


class _Guarded:
    """A source's file for zipfile, which reads a directory whole, whatever its size."""

    def __init__(self, source: Source, limits: Limits) -> None:
        file = source.file()
        self.seek, self.tell, self._file = file.seek, file.tell, file
        self._name = source.name
        self._limits = limits
        self._most = _DIRECTORY_BASE + _DIRECTORY_PER_MEMBER * limits.max_members

    def read(self, n: int = -1) -> bytes:
        if n > self._most:
            raise LimitError(
                f"{self._name}: {n} bytes of directory are too many for {self._limits.max_members} members; "
                "raise Limits.max_members if that is right"
            )
        return self._file.read(n)


def open_archive(source: Source, limits: Limits, members: Iterable[str] | None = None) -> Archive:
    """The logs in a source: of a ZIP those that ``Choice`` picks, of anything else the one it is."""
    return Archive(source, limits, members)


def _ends_as_zip(source: Source) -> bool:
    """Whether there is a ZIP behind something else, such as a program that unpacks it."""
    if not source.seekable or (source.size or 0) < 22:
        return False
    with source.file() as file:
        file.seek(-22, 2)
        return file.read(22).startswith(END)


def _starts_as(head: bytes, *marks: bytes) -> bool:
    """Whether a source with these first bytes is of that kind, or was cut inside them."""
    return any(head.startswith(mark) or (head and mark.startswith(head)) for mark in marks)


def _is_candidate(name: str) -> bool:
    base = name.rpartition("/")[2]
    return bool(base) and not base.startswith(".") and not name.startswith("__MACOSX/")


def _matches(name: str, wanted: str) -> bool:
    return name == wanted or fnmatchcase(name, wanted)


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name if len(name) <= 200 else name[:200] + "…") for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ("is " if len(names) == 1 else "are ") + (shown or "no members") + more
