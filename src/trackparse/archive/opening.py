"""Finds the members of a ZIP, a gzip file or a bare CSV and hands out their content. No CSV rules.

Members come in the order of the directory where the source can seek, in the order they stand where it cannot;
every writer in use makes these the same. Names are only compared and shown, never used as paths.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from pathlib import PurePath
from typing import Protocol, TypeVar

from trackparse.archive.bare import GZIP, LOOKED_FOR, Bare, Gzip
from trackparse.archive.inflate import Content, InflateBudget, beginning_of, rechunk
from trackparse.archive.selector import (
    BLANK,
    LISTED,
    MemberSelector,
    Names,
    is_joined_log,
    listing,
    shown,
    starts_like_a_log,
)
from trackparse.archive.zip_directory import Located, Span, ends_as_zip, find_directory, find_unlisted, read_members
from trackparse.archive.zip_forward import (
    BEHIND,
    END,
    LOCAL,
    SPANNED,
    Entry,
    ForwardZip,
    Listed,
    SpooledMember,
    member_label,
    open_content,
    other_name,
)
from trackparse.archive.zip_signatures import LOCAL_HEADER
from trackparse.errors import ArchiveError, TruncatedError
from trackparse.limits import Limits
from trackparse.sources.source import Buffer, Source

_BLANK_MOST = 64 << 10  # blank bytes that are passed over in front of an archive
_BEGINNING = 4 << 10  # packed bytes of a member left out that are looked at

_T = TypeVar("_T")

logger = logging.getLogger("trackparse")


class Readable(Protocol):
    """Content: ``read`` gives at most n bytes, none only at the end."""

    def read(self, n: int) -> Buffer: ...


class Member:
    """One log: its ``name``, and its content, once.

    ``passed`` is called with a fault of its content and raises, unless the archive can be read on behind this member.
    ``others`` says that it can, whatever the fault, and that another member follows.
    """

    def __init__(
        self,
        name: str,
        content: Callable[[], Readable],
        passed: Callable[[ArchiveError], None] | None = None,
        *,
        others: bool = False,
    ) -> None:
        self.name = name
        self.others = others
        self.damaged = False  # its blocks ended with a fault, which the archive raises in the end
        self._content = content
        self._passed = passed

    def blocks(self, block_size: int) -> Iterator[Buffer]:
        """Inflated bytes in blocks of exactly block_size bytes, only the last one shorter, none empty.

        ArchiveError, TruncatedError or LimitError come after all the bytes before the fault; but where other members
        can be read all the same, an ArchiveError just ends the blocks, and ``damaged`` is set. How the source cuts its
        bytes changes nothing.
        """
        try:
            yield from rechunk(self._content().read, block_size)
        except ArchiveError as fault:
            if self._passed is None:
                raise
            self._passed(fault)
            self.damaged = True


class Archive:
    """The members chosen, one after the other: read each before the next. Damage of some is raised behind the last."""

    def __init__(self, source: Source, limits: Limits, members: Iterable[str] | None) -> None:
        self.source = source
        self._limits = limits
        self._choice = MemberSelector([members] if isinstance(members, str) else members, source.name)
        self._meter = InflateBudget(limits)
        self._faults = _Faults()
        self._left_out = _LeftOut(self._choice)
        self._members = self._walk()

    @property
    def left_out(self) -> int:
        """The files met in it that are not read because of their names."""
        return self._left_out.count

    def __iter__(self) -> Iterator[Member]:
        return self._members

    def close(self) -> None:
        """Close what was opened; twice does no harm."""
        self._members.close()
        self.source.close()

    def _walk(self) -> Generator[Member]:
        source = self.source
        head = source.peek(4)
        blank = _blank_before_zip(source)
        span = find_directory(source) if source.seekable else None
        if span or blank or _starts_as(head, LOCAL, END, *SPANNED) or (source.seekable and ends_as_zip(source)):
            try:
                yield from self._walk_zip(head, span, blank)
            except Exception:
                self._left_out.tell()
                raise
            self._left_out.tell()
        elif _starts_as(head, GZIP):
            name = PurePath(source.name).name
            name = name[:-3] if name.lower().endswith(".gz") else name
            self._choice.check([name])
            yield Member(name, lambda: Gzip(source, member_label(source.name, name), self._meter))
        else:
            name = PurePath(source.name).name or source.name
            self._choice.check([name])
            yield Member(name, lambda: Bare(source, source.name, self._meter))
        source.finish()

    def _walk_zip(self, head: bytes, span: Span | None, blank: int) -> Iterator[Member]:
        source = self.source
        if head == END:
            raise ArchiveError(f"{source.name}: a ZIP with no members; ask for the log again")
        if not source.seekable:
            source.read_exactly(blank)
            yield from self._walk_forward()
            return
        try:
            span, located = self._read_directory(head, span)
        except ArchiveError as exc:
            reason = str(exc).removeprefix(f"{source.name}: ")
        else:
            yield from self._walk_directory(span, located)
            return
        # The members may be good nevertheless, up to where a download was cut.
        first = None if head == LOCAL or head in SPANNED else LOCAL_HEADER.search(source.look(0, LOOKED_FOR))
        source.seek(first.start() if first else 0)
        yield from self._walk_forward()
        raise ArchiveError(
            f"{source.name}: the directory of the ZIP is missing or damaged ({reason}); "
            "its members were read without it; fetch the archive again"
        )

    # ---- by the directory -------------------------------------------------------------------------------

    def _read_directory(self, head: bytes, span: Span | None) -> tuple[Span, list[Located]]:
        """Where it is, and all members; ArchiveError if the directory is damaged, or another archive's."""
        if span is None:
            raise ArchiveError("there is none where the archive ends")
        located = read_members(self.source, span, self._limits)
        first = min((one.listed.offset for one in located), default=0) + span.shift
        if (head == LOCAL and first != 0) or (head in SPANNED and first != 4):
            # The directory of an archive inside a cut one, or of the last of some joined ones.
            raise ArchiveError("it does not list the first member")
        return span, located

    def _walk_directory(self, span: Span, located: list[Located]) -> Iterator[Member]:
        names = [one.listed.name for one in located]
        self._choice.check(names)
        # What either of its two names makes a log is read: a damaged name must not cost its member.
        chosen, also = ({*self._choice.choose(each)} for each in (names, [one.local_name for one in located]))
        either = chosen | also
        taken = sorted(either)
        self._look_at_left_out([one for index, one in enumerate(located) if index not in either])
        for index in taken:
            entry = located[index].entry
            passed = self._passer(entry) if len(taken) > 1 else None
            yield Member(entry.name, self._opener(located[index]), passed, others=index != taken[-1])
        self._faults.check()
        # Of the others, too: one whose header is damaged may be a log by another name.
        for one in located:
            if one.lost:
                raise self._lost(one)
            if one.fault:
                raise ArchiveError(
                    f"{self._label(one.entry)}: {one.fault}; the logs fit their checksums; fetch the archive again"
                )
        differ = [
            one.local_name
            for index, one in enumerate(located)
            # What has two names, neither of them a log's, may have a third one.
            if (index in chosen) != (index in also) or (index not in either and one.local_name != one.listed.name)
        ]
        if differ:
            raise _names_differ(self.source.name, differ)
        unlisted = find_unlisted(self.source, span, located)
        if unlisted is not None:
            raise ArchiveError(
                f"{self.source.name}: a header of a ZIP at byte {unlisted} that the directory does not list: another "
                "archive, or a lost member; split joined archives and read them one by one, or fetch the archive again"
            )
        first = min((one.head for one in located if not one.lost), default=0)
        behind = span.stop + span.end.comment
        for at, size in ((0, min(first, BEHIND)), (behind, BEHIND)):
            if is_joined_log(self.source.look(at, size)):
                raise _log_joined(self.source.name, at)

    def _opener(self, one: Located) -> Callable[[], Content]:
        def content() -> Content:
            if one.lost:
                raise self._lost(one)
            self.source.seek(one.start)
            return open_content(self.source, one.entry, self._meter, self._label(one.entry), room=one.room)

        return content

    def _lost(self, one: Located) -> ArchiveError:
        return ArchiveError(f"{self._label(one.entry)}: {one.fault}; fetch the archive again")

    def _look_at_left_out(self, members: Iterable[Located]) -> None:
        for one in members:
            if self._left_out.add(one.entry) and not one.lost:
                self._left_out.look(one.entry, self.source.look(one.start, min(one.room, _BEGINNING)))

    def _passer(self, entry: Entry, recover: Callable[[Entry], bool] | None = None) -> Callable[[ArchiveError], None]:
        """What notes a fault of the entry, and raises all that there were if the archive cannot be read on."""

        def passed(fault: ArchiveError) -> None:
            self._faults.add(fault, entry.name)
            if recover and not recover(entry):
                self._faults.check()

        return passed

    # ---- forward ----------------------------------------------------------------------------------------

    def _walk_forward(self) -> Iterator[Member]:
        """Members as they come. One that may turn out to be the only one is set aside until that is known."""
        names, listed = Names(self._choice), _ListedLogs(self._choice)
        forward = ForwardZip(self.source, self._meter, listed.add)
        aside: SpooledMember | None = None
        inflated = 0  # bytes, before it was set aside
        alone = 0  # its number
        fault: Exception | None = None
        taken: list[int] = []  # by number
        try:
            entries = enumerate(forward)
            while not fault and (numbered := next(entries, None)):
                number, entry = numbered
                names.add(entry.name)
                passed = self._passer(entry, forward.recover)
                if self._choice.picks(entry.name):
                    taken.append(number)
                    if aside:
                        self._put_back(aside)
                        aside = None
                    yield (member := Member(entry.name, self._forward_opener(forward, entry), passed))
                    if not member.damaged:
                        _attempt(forward.drain, passed)
                elif taken or aside or not self._choice.may_be_only(entry.name):
                    self._skip(forward, entry, passed)
                else:
                    aside, inflated, alone = SpooledMember(entry), self._meter.inflated, number
                    aside.complete(_attempt(partial(forward.skip, entry, aside.write), passed))
        except Exception as exc:
            fault = exc
        try:
            if aside and not taken and names.candidates == 1:
                # It is inflated a second time.
                self._meter.inflated = inflated
                taken.append(alone)
                yield Member(aside.entry.name, self._aside_opener(aside, fault))
            if fault and not isinstance(fault, ArchiveError):
                raise fault
            self._faults.check()
            if fault:
                raise fault
            names.check()
            if not listed.agree([forward.sums[number] for number in taken]):
                raise _names_differ(self.source.name, listed.logs)
            if is_joined_log(forward.behind):
                raise _log_joined(self.source.name, forward.end)
        finally:
            fault = None
            if aside:
                aside.close()

    def _forward_opener(self, forward: ForwardZip, entry: Entry) -> Callable[[], Content]:
        return lambda: forward.content(entry, self._label(entry))

    def _aside_opener(self, aside: SpooledMember, fault: Exception | None) -> Callable[[], _Aside]:
        return lambda: _Aside(aside.open(self._meter, self._label(aside.entry)), fault)

    def _skip(self, forward: ForwardZip, entry: Entry, passed: Callable[[ArchiveError], None]) -> None:
        """Pass over a member that is left out; damage of it is told in the end."""
        beginning = _Beginning()
        looked_at = self._left_out.add(entry)
        content = _attempt(partial(forward.skip, entry, beginning.add), passed)
        if looked_at:
            # What was read too far is not its own.
            self._left_out.look(entry, beginning.data[: content.raw.taken] if content else beginning.data)

    def _put_back(self, aside: SpooledMember) -> None:
        """Leave out the member set aside: there are others."""
        if self._left_out.add(aside.entry):
            self._left_out.look(aside.entry, aside.beginning(min(_BEGINNING, aside.entry.packed or 0)))
        aside.close()

    def _label(self, entry: Entry) -> str:
        return member_label(self.source.name, entry.name)


class _Faults:
    """The damage of members behind which the archive was read on."""

    def __init__(self) -> None:
        self._first: ArchiveError | None = None
        self._more: list[str] = []  # names of the others, as many as are shown
        self._count = 0

    def add(self, fault: ArchiveError, name: str) -> None:
        self._count += 1
        if self._first is None:
            # Its traceback would hold blocks.
            self._first = fault.with_traceback(None)
        else:
            self._more = [*self._more, shown(name)][:LISTED]

    def check(self) -> None:
        """Raise the damage, if there is any: all of it in one error."""
        if self._first and not self._more:
            raise self._first
        if self._first:
            raise ArchiveError(
                f"{self._first}; damaged as well: {listing(self._more, self._count - 1)}"
            ) from self._first


class _LeftOut:
    """The files of an archive that are not read because of their names.

    One that starts like a log may be one that somebody misses. That is said in a line of the program's log and is no
    error: the archive is sound, a log may well have a copy or an excerpt beside it, and who wants it can name it.
    """

    def __init__(self, choice: MemberSelector) -> None:
        self.count = 0
        self._choice = choice
        self._like_logs: list[str] = []  # as many names as are shown
        self._like_logs_count = 0

    def add(self, entry: Entry) -> bool:
        """Count it; whether to look at its beginning: what the caller chose needs no second thought."""
        if entry.name.endswith("/"):
            return False
        self.count += 1
        return self._choice.wanted is None and not entry.encrypted

    def look(self, entry: Entry, packed: bytes) -> None:
        """Note it if it starts like a log; ``packed`` is the beginning of its data."""
        if starts_like_a_log(beginning_of(packed, entry.method)):
            self._like_logs_count += 1
            self._like_logs = [*self._like_logs, shown(entry.name)][:LISTED]

    def tell(self) -> None:
        """Say in the program's log which of them start like a log."""
        if self._like_logs:
            logger.warning(
                "%s: not read because of the name, but it starts like a log: %s; members=[...] reads what it names",
                self._choice.source,
                listing(self._like_logs, self._like_logs_count),
            )


class _ListedLogs:
    """Which members are logs by their names in the directory, to be compared with what was read without it.

    A checksum stands for the member: logs that are equal may change places. Names are read in both encodings: writers
    disagree about their mark.
    """

    def __init__(self, choice: MemberSelector) -> None:
        self._choice = choice
        self._picked: tuple[list[int], list[int]] = ([], [])
        self._candidates: tuple[list[int], list[int]] = ([], [])
        self.logs: list[str] = []  # the names, as many as are shown

    def add(self, member: Listed) -> None:
        names = (member.name, other_name(member.raw_name, member.flags))
        for name, picked, candidates in zip(names, self._picked, self._candidates, strict=True):
            if self._choice.picks(name):
                picked.append(member.crc)
            elif self._choice.may_be_only(name):
                candidates.append(member.crc)
        if self._choice.picks(member.name) and len(self.logs) < LISTED:
            self.logs.append(shown(member.name))

    def agree(self, sums: list[int]) -> bool:
        """Whether the members with these checksums are the logs."""
        found = Counter(sums)
        return any(
            Counter(picked or candidates) == found
            for picked, candidates in zip(self._picked, self._candidates, strict=True)
        )


class _Beginning:
    """The first packed bytes of a member that is passed over."""

    def __init__(self) -> None:
        self.data = b""

    def add(self, data: Buffer) -> None:
        if len(self.data) < _BEGINNING:
            self.data += data[: _BEGINNING - len(self.data)]


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


def open_archive(source: Source, limits: Limits, members: Iterable[str] | None = None) -> Archive:
    """The logs in a source: of a ZIP those that ``MemberSelector`` picks, of anything else the one it is."""
    return Archive(source, limits, members)


def _attempt(action: Callable[[], _T], passed: Callable[[ArchiveError], None]) -> _T | None:
    """What the action gives; None after damage behind which the archive can be read on."""
    try:
        return action()
    except ArchiveError as damage:
        passed(damage)
        return None


def _names_differ(source: str, names: list[str]) -> ArchiveError:
    return ArchiveError(
        f"{source}: the directory and the headers of the members differ in names, and so in which are logs: "
        f"{listing(names, len(names)) or 'none'}; fetch the archive again"
    )


def _log_joined(source: str, at: int) -> ArchiveError:
    return ArchiveError(
        f"{source}: a log that is not in the archive begins at byte {at}; split joined files and read them one by one"
    )


def _blank_before_zip(source: Source) -> int:
    """Bytes of a byte order mark and blanks before a ZIP; 0 if there are none, or no ZIP."""
    looked_at = 4
    while looked_at <= _BLANK_MOST:
        head = source.peek(looked_at)
        rest = head.lstrip(BLANK)
        if len(rest) >= 4 or len(head) < looked_at:
            return len(head) - len(rest) if rest.startswith(LOCAL) else 0
        looked_at *= 2
    return 0


def _starts_as(head: bytes, *marks: bytes) -> bool:
    """Whether a source with these first bytes is of that kind, or was cut inside them."""
    return any(head.startswith(mark) or (head and mark.startswith(head)) for mark in marks)
