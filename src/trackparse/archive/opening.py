"""Finds the members of a ZIP, a gzip file or a bare CSV and hands out their content. No CSV rules.

Members come in the order of the directory if the source can seek, else in the order in which they stand; every writer
in use makes these the same. Names are only compared and shown, never used as paths.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from operator import itemgetter
from pathlib import PurePath
from threading import Lock
from typing import Final, Protocol, TypeVar

from trackparse.archive.bare import PREFIX_MOST, Bare
from trackparse.archive.crc import CheckedContent, InflateBudget
from trackparse.archive.gzip_members import GZIP, Gzip
from trackparse.archive.header_search import LOCAL_HEADER
from trackparse.archive.inflate import FETCH_AGAIN, beginning_of, rechunk
from trackparse.archive.selector import (
    BLANK,
    LISTED,
    MemberNames,
    MemberSelector,
    is_joined_log,
    listing,
    short_name,
    starts_like_a_log,
)
from trackparse.archive.zip_directory import Located, Span, ends_as_zip, find_directory, find_unlisted, read_members
from trackparse.archive.zip_forward import BEHIND, DeferredMember, ForwardZip, open_content
from trackparse.archive.zip_headers import END, LOCAL, SPANNED, Entry, Listed, member_label, other_name
from trackparse.errors import ArchiveError, TruncatedError
from trackparse.limits import Limits
from trackparse.sources.source import Buffer, PartSource, Source

_BLANK_MOST: Final = 64 << 10  # blank bytes in front of an archive that are skipped
# Packed bytes of a member that is left out: enough to see whether it starts like a log.
_BEGINNING: Final = 4 << 10

_T = TypeVar("_T")

logger = logging.getLogger("trackparse")


class Readable(Protocol):
    """Content: ``read`` gives at most n bytes, and no bytes only at the end."""

    def read(self, n: int) -> Buffer: ...


class Member:
    """One log: its ``name``, and its content, once.

    ``note_damage`` is called with an error about its content. It returns if the members behind this one can be read,
    and raises otherwise. None: they cannot be read. ``others``: another member follows, and can be read whatever the
    error is. ``independent``: it may be read while other members are, in another thread.
    """

    def __init__(
        self,
        name: str,
        content: Callable[[], Readable],
        note_damage: Callable[[ArchiveError], None] | None = None,
        *,
        others: bool = False,
        independent: bool = False,
    ) -> None:
        self.name = name
        self.others = others
        self.independent = independent
        self.damaged = False  # its blocks ended with damage, which the archive raises in the end
        self._content = content
        self._note_damage = note_damage

    def blocks(self, block_size: int) -> Iterator[Buffer]:
        """Inflated bytes in blocks of exactly block_size bytes, only the last one shorter, none of them empty.

        How the source cuts its bytes into pieces changes nothing. ArchiveError, TruncatedError or LimitError come after
        all the bytes before the damage. But if other members can be read all the same, the blocks just end after an
        ArchiveError, and ``damaged`` is set.
        """
        try:
            yield from rechunk(self._content().read, block_size)
        except ArchiveError as damage:
            if self._note_damage is None:
                raise
            self._note_damage(damage)
            self.damaged = True


class Archive:
    """The logs in a source, one after the other: each is read before the next one, unless they are independent.

    Damage of some members is raised behind the last one.
    """

    def __init__(self, source: Source, limits: Limits, members: Iterable[str] | None) -> None:
        self.source = source
        self._limits = limits
        self._selector = MemberSelector([members] if isinstance(members, str) else members, source.name)
        self._budget = InflateBudget(limits)
        self._damage = _Damage()
        self._left_out = _LeftOut(self._selector)
        self._members = self._walk()

    @property
    def left_out(self) -> int:
        """How many of the files met so far are not read because of their names."""
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
                self._left_out.warn()
                raise
            self._left_out.warn()
        elif _starts_as(head, GZIP):
            name = PurePath(source.name).name
            name = name[:-3] if name.lower().endswith(".gz") else name
            self._selector.check_whole(name)
            yield Member(name, lambda: Gzip(source, member_label(source.name, name), self._budget))
        else:
            name = PurePath(source.name).name or source.name
            self._selector.check_whole(name)
            yield Member(name, lambda: Bare(source, source.name, self._budget))
        source.finish()

    def _walk_zip(self, head: bytes, span: Span | None, blank: int) -> Iterator[Member]:
        source = self.source
        if head == END:
            raise ArchiveError(f"{source.name}: a ZIP with no members", advice="ask for the log again")
        if not source.seekable:
            source.read_exactly(blank)
            yield from self._walk_forward()
            return
        try:
            span, located = self._read_directory(head, span)
        except ArchiveError as error:
            problem = error.message
        else:
            yield from self._walk_directory(span, located)
            return
        # The members may be good nevertheless, up to where a download broke off.
        first = None if head == LOCAL or head in SPANNED else LOCAL_HEADER.search(source.look(0, PREFIX_MOST))
        source.seek(first.start() if first else 0)
        yield from self._walk_forward()
        raise ArchiveError(
            f"{problem}; the directory of the ZIP is missing or damaged, so the members were read without it",
            advice=FETCH_AGAIN,
        )

    # ---- by the directory -------------------------------------------------------------------------------

    def _read_directory(self, head: bytes, span: Span | None) -> tuple[Span, list[Located]]:
        """Where it is, and all members; ArchiveError if it is damaged, or belongs to another archive."""
        if span is None:
            raise ArchiveError(f"{self.source.name}: the archive does not end with a directory")
        located = read_members(self.source, span, self._limits)
        first = min((one.listed.offset for one in located), default=0) + span.shift
        if (head == LOCAL and first != 0) or (head in SPANNED and first != 4):
            # The directory of an archive inside a truncated one, or of the last one of several joined archives.
            raise ArchiveError(f"{self.source.name}: the directory does not list the first member")
        return span, located

    def _walk_directory(self, span: Span, located: list[Located]) -> Iterator[Member]:
        names = [one.listed.name for one in located]
        self._selector.check(names)
        # A member has two names, in the directory and in its own header. It is read if either is that of a log: a
        # damaged name must not cost its member.
        by_listed = {*self._selector.choose(names)}
        by_local = {*self._selector.choose(one.local_name for one in located)}
        either = by_listed | by_local
        chosen = sorted(either)
        self._look_at_left_out([one for index, one in enumerate(located) if index not in either])
        lock = Lock()
        for index in chosen:
            entry = located[index].entry
            note_damage = self._damage_noter(index, entry) if len(chosen) > 1 else None
            yield Member(
                entry.name,
                self._opener(located[index], PartSource(self.source, lock)),
                note_damage,
                others=index != chosen[-1],
                # Where all members together have a limit, it must not matter which one is faster.
                independent=self._limits.max_inflated_bytes is None,
            )
        self._damage.check()
        self._check_headers(located)
        differ = [
            one.local_name
            for index, one in enumerate(located)
            # If the two names of a member differ, and neither is the name of a log, its true name may be a third one.
            if (index in by_listed) != (index in by_local)
            or (index not in either and one.local_name != one.listed.name)
        ]
        if differ:
            raise _names_differ(self.source.name, differ)
        self._check_between(span, located)

    def _check_headers(self, located: list[Located]) -> None:
        """ArchiveError if a header is lost or damaged, even that of a member that is left out: it may be a log."""
        for one in located:
            if one.lost:
                raise self._lost(one)
            if one.problem:
                raise ArchiveError(
                    f"{self._label(one.entry)}: {one.problem}; the checksums of the logs are right", advice=FETCH_AGAIN
                )

    def _check_between(self, span: Span, located: list[Located]) -> None:
        """ArchiveError if a header, or a log, stands where the directory lists nothing."""
        unlisted = find_unlisted(self.source, span, located)
        if unlisted is not None:
            raise ArchiveError(
                f"{self.source.name}: a header of a ZIP at byte {unlisted} that the directory does not list: another "
                "archive, or a lost member",
                advice="split joined archives and read them one by one, or " + FETCH_AGAIN,
            )
        first = min((one.head for one in located if not one.lost), default=0)
        behind = span.stop + span.end.comment
        for at, size in ((0, min(first, BEHIND)), (behind, BEHIND)):
            if is_joined_log(self.source.look(at, size)):
                raise _log_joined(self.source.name, at)

    def _opener(self, one: Located, source: Source) -> Callable[[], CheckedContent]:
        def content() -> CheckedContent:
            if one.lost:
                raise self._lost(one)
            source.seek(one.start)
            return open_content(source, one.entry, self._budget, self._label(one.entry), available=one.available)

        return content

    def _lost(self, one: Located) -> ArchiveError:
        return ArchiveError(f"{self._label(one.entry)}: {one.problem}", advice=FETCH_AGAIN)

    def _look_at_left_out(self, members: Iterable[Located]) -> None:
        for one in members:
            if self._left_out.add(one.entry) and not one.lost:
                self._left_out.look(one.entry, self.source.look(one.start, min(one.available, _BEGINNING)))

    def _damage_noter(
        self, number: int, entry: Entry, recover: Callable[[Entry], bool] | None = None
    ) -> Callable[[ArchiveError], None]:
        """A function that notes damage of the entry, and raises all damage so far if the archive cannot be read on."""

        def note_damage(damage: ArchiveError) -> None:
            self._damage.add(number, damage, entry.name)
            if recover and not recover(entry):
                self._damage.check()

        return note_damage

    # ---- forward ----------------------------------------------------------------------------------------

    def _walk_forward(self) -> Iterator[Member]:
        """Members as they come. One that is read only if there is no other is deferred until that is known."""
        names, listed = MemberNames(self._selector), _ListedLogs(self._selector)
        forward = ForwardZip(self.source, self._budget, listed.add)
        deferred: DeferredMember | None = None
        inflated = 0  # bytes of it, to find its end
        alone = 0  # its number
        error: Exception | None = None
        chosen: list[int] = []  # numbers of the members that are read
        try:
            entries = enumerate(forward)
            while not error and (numbered := next(entries, None)):
                number, entry = numbered
                names.add(entry.name)
                note_damage = self._damage_noter(number, entry, forward.recover)
                if self._selector.picks(entry.name):
                    chosen.append(number)
                    if deferred:
                        self._leave_out_deferred(deferred)
                        deferred = None
                    yield (member := Member(entry.name, self._forward_opener(forward, entry), note_damage))
                    if not member.damaged:
                        _attempt(forward.drain, note_damage)
                elif chosen or deferred or not self._selector.picks_if_alone(entry.name):
                    self._skip(forward, entry, note_damage)
                else:
                    deferred, alone, before = DeferredMember(entry), number, self._budget.inflated
                    try:
                        deferred.complete(_attempt(partial(forward.skip, entry, deferred.write), note_damage))
                    finally:
                        inflated = self._budget.inflated - before
        except Exception as caught:
            error = caught
        try:
            if deferred and not chosen and names.candidates == 1:
                # It is inflated a second time, and counts once.
                self._budget.inflated -= inflated
                chosen.append(alone)
                yield Member(deferred.entry.name, self._deferred_opener(deferred, error))
            if error and not isinstance(error, ArchiveError):
                raise error
            self._damage.check()
            if error:
                raise error
            names.check()
            if not listed.agree([forward.crcs[number] for number in chosen]):
                raise _names_differ(self.source.name, listed.logs)
            if is_joined_log(forward.behind):
                raise _log_joined(self.source.name, forward.end)
        finally:
            # Its traceback refers to this frame.
            error = None
            if deferred:
                deferred.close()

    def _forward_opener(self, forward: ForwardZip, entry: Entry) -> Callable[[], CheckedContent]:
        return lambda: forward.content(entry, self._label(entry))

    def _deferred_opener(self, deferred: DeferredMember, error: Exception | None) -> Callable[[], _DeferredContent]:
        return lambda: _DeferredContent(deferred.open(self._budget, self._label(deferred.entry)), error)

    def _skip(self, forward: ForwardZip, entry: Entry, note_damage: Callable[[ArchiveError], None]) -> None:
        """Go to the end of a member that is left out. Damage of it is raised in the end, too."""
        beginning = _Beginning()
        is_looked_at = self._left_out.add(entry)
        content = _attempt(partial(forward.skip, entry, beginning.add), note_damage)
        if is_looked_at:
            # If its end was not known, more was read than belongs to it.
            self._left_out.look(entry, beginning.data[: content.packed.taken] if content else beginning.data)

    def _leave_out_deferred(self, deferred: DeferredMember) -> None:
        if self._left_out.add(deferred.entry):
            packed = deferred.entry.packed or 0
            self._left_out.look(deferred.entry, deferred.beginning(min(_BEGINNING, packed)))
        deferred.close()

    def _label(self, entry: Entry) -> str:
        return member_label(self.source.name, entry.name)


class _Damage:
    """The damage of members behind which the archive was read on."""

    def __init__(self) -> None:
        # Numbers of the first damaged members, their damage and names: as many as a message shows.
        self._noted: list[tuple[int, ArchiveError, str]] = []
        self._count = 0
        self._lock = Lock()  # members may be read by several threads

    def add(self, number: int, damage: ArchiveError, name: str) -> None:
        """Note the damage of a member; its number is its place among all members."""
        with self._lock:
            self._count += 1
            # Its traceback would keep blocks in memory.
            noted = [*self._noted, (number, damage.with_traceback(None), short_name(name))]
            self._noted = sorted(noted, key=itemgetter(0))[: LISTED + 1]

    def check(self) -> None:
        """Raise the damage, if there is any: all of it in one error."""
        if not self._noted:
            return
        (_, first, _), *others = self._noted
        if not others:
            raise first
        raise ArchiveError(
            f"{first.message}; damaged as well: {listing([name for *_, name in others], self._count - 1)}",
            advice=first.advice,
            option=first.option,
        ) from first


class _LeftOut:
    """The files of an archive that are not read because of their names.

    If a file starts like a log, somebody may miss it: a warning of the logger names it. It is not an error, because the
    archive is good: such a file is often a copy or an excerpt of a log beside it. The caller can name it to read it.
    """

    def __init__(self, selector: MemberSelector) -> None:
        self.count = 0
        self._selector = selector
        self._like_logs: list[str] = []  # names, as many as a message shows
        self._like_logs_count = 0

    def add(self, entry: Entry) -> bool:
        """Count it. Returns whether to look at its beginning: not if the caller named the members to read."""
        is_folder = entry.name.endswith("/")
        if is_folder and entry.size == 0:
            return False
        # What is named like a folder and does not say its size is counted where it turns out to have content.
        self.count += not (is_folder and entry.size is None)
        return self._selector.wanted is None and not entry.encrypted

    def look(self, entry: Entry, packed: bytes) -> None:
        """Note it if it starts like a log; ``packed`` is the beginning of its data."""
        beginning = beginning_of(packed, entry.method)
        self.count += bool(beginning) and entry.name.endswith("/") and entry.size is None
        if starts_like_a_log(beginning):
            self._like_logs_count += 1
            self._like_logs = [*self._like_logs, short_name(entry.name)][:LISTED]

    def warn(self) -> None:
        """Log which of them start like a log."""
        if self._like_logs:
            names = listing(self._like_logs, self._like_logs_count)
            # An error that is not raised: whoever handles the warning has its advice apart.
            logger.warning(
                ArchiveError(
                    f"{self._selector.source}: not read because of the name, but it starts like a log: {names}",
                    advice="members=[...] reads the members that it names",
                    option="members",
                )
            )


class _ListedLogs:
    """Which members are logs by their names in the directory, to be compared with what was read before it.

    A member is known by its CRC: logs with equal content may change places. Each name is read in both encodings,
    because some writers set the flag for UTF-8 wrongly.
    """

    def __init__(self, selector: MemberSelector) -> None:
        self._selector = selector
        # CRCs, by encoding of the names.
        self._picked: tuple[list[int], list[int]] = ([], [])
        self._candidates: tuple[list[int], list[int]] = ([], [])
        self.logs: list[str] = []  # names, as many as a message shows

    def add(self, member: Listed) -> None:
        """The next member of the directory."""
        names = (member.name, other_name(member.raw_name, member.flags))
        for name, picked, candidates in zip(names, self._picked, self._candidates, strict=True):
            if self._selector.picks(name):
                picked.append(member.crc)
            elif self._selector.picks_if_alone(name):
                candidates.append(member.crc)
        if self._selector.picks(member.name) and len(self.logs) < LISTED:
            self.logs.append(short_name(member.name))

    def agree(self, crcs: list[int]) -> bool:
        """Whether the members with these CRCs are the logs, by the names in the directory."""
        found = Counter(crcs)
        return any(
            Counter(picked or candidates) == found
            for picked, candidates in zip(self._picked, self._candidates, strict=True)
        )


class _Beginning:
    """The first packed bytes of a member that is skipped."""

    def __init__(self) -> None:
        self.data = b""

    def add(self, data: Buffer) -> None:
        if len(self.data) < _BEGINNING:
            self.data += data[: _BEGINNING - len(self.data)]


class _DeferredContent:
    """The content of a deferred member. If that ends early because reading the archive failed, it raises that error."""

    def __init__(self, content: CheckedContent, error: Exception | None) -> None:
        self._content = content
        self._error = error

    def read(self, n: int) -> Buffer:
        try:
            return self._content.read(n)
        except TruncatedError:
            if self._error:
                raise self._error from None
            raise


def open_archive(source: Source, limits: Limits, members: Iterable[str] | None = None) -> Archive:
    """The logs in a source: of a ZIP those that ``MemberSelector`` picks, else the source's only content."""
    return Archive(source, limits, members)


def _attempt(action: Callable[[], _T], note_damage: Callable[[ArchiveError], None]) -> _T | None:
    """What the action returns; None after damage behind which the archive can be read on."""
    try:
        return action()
    except ArchiveError as damage:
        note_damage(damage)
        return None


def _names_differ(source: str, names: list[str]) -> ArchiveError:
    return ArchiveError(
        f"{source}: the directory and the headers of the members differ in names, and so in which are logs: "
        f"{listing(names, len(names)) or 'none'}",
        advice=FETCH_AGAIN,
    )


def _log_joined(source: str, at: int) -> ArchiveError:
    return ArchiveError(
        f"{source}: a log that is not in the archive begins at byte {at}",
        advice="split joined files and read them one by one",
    )


def _blank_before_zip(source: Source) -> int:
    """Bytes of byte order marks and blanks in front of a ZIP; 0 if there are none, or there is no ZIP."""
    looked_at = 4
    while looked_at <= _BLANK_MOST:
        head = source.peek(looked_at)
        rest = head.lstrip(BLANK)
        if len(rest) >= 4 or len(head) < looked_at:
            return len(head) - len(rest) if rest.startswith(LOCAL) else 0
        looked_at *= 2
    return 0


def _starts_as(head: bytes, *signatures: bytes) -> bool:
    """Whether a source with these first bytes starts with a signature, or ends inside one."""
    return any(head.startswith(mark) or (head and mark.startswith(head)) for mark in signatures)
