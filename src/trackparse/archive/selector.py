"""Which members of an archive are logs, by their names; and which of the others look like one. Opens nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from trackparse.errors import ArchiveError

LISTED = 20  # names in a message
_SHOWN_CHARACTERS = 200  # of a name in a message
BLANK = b"\xef\xbb\xbf \t\r\n"  # what may stand before a log; the first three are a byte order mark
_LINE = 2000  # bytes of a first line that are looked at
# Blanks, and the line that Excel writes before a header.
_BEFORE = re.compile(rb'(?:[\xef\xbb\xbf \t\r\n]+|"?sep=.?"?[ \t\r]*\n)*', re.IGNORECASE)
_TIMESTAMP = re.compile(rb'"?\d{4}-\d\d-\d\d[ T]\d\d:\d\d')


class MemberSelector:
    """Which members of an archive are logs.

    Every ``*.csv``; if there is none, the only member there is. Hidden files, directories and what macOS adds
    do not count. Or those the caller named, by name or by pattern.
    """

    def __init__(self, wanted: Iterable[str] | None, source: str) -> None:
        self.wanted = None if wanted is None else list(wanted)
        self.source = source

    def picks(self, name: str) -> bool:
        """Whether it is taken whatever else there is."""
        if self.wanted is not None:
            return any(matches(name, wanted) for wanted in self.wanted)
        return _is_candidate(name) and name.lower().endswith(".csv")

    def may_be_only(self, name: str) -> bool:
        """Whether it is taken if there is nothing else."""
        return self.wanted is None and _is_candidate(name)

    def choose(self, names: Iterable[str]) -> list[int]:
        """Indices of the members taken."""
        ranks = [(self.picks(name), self.may_be_only(name)) for name in names]
        picked = [index for index, (picks, _) in enumerate(ranks) if picks]
        return picked or [index for index, (_, only) in enumerate(ranks) if only]

    def check(self, names: Iterable[str]) -> None:
        """ArchiveError as ``Names.check``."""
        seen = Names(self)
        for name in names:
            seen.add(name)
        seen.check()


class Names:
    """The names of an archive's members, one after the other. It keeps a few of them, and those shortened."""

    def __init__(self, choice: MemberSelector) -> None:
        self._choice = choice
        self._count = 0
        self._shown: list[str] = []
        self._missing = list(choice.wanted or ())  # what the caller named and was not met
        self._picked = 0
        self.candidates = 0  # that are taken if there is nothing else

    def add(self, name: str) -> None:
        """The next one."""
        self._count += 1
        if len(self._shown) < LISTED:
            self._shown.append(shown(name))
        self._missing = [wanted for wanted in self._missing if not matches(name, wanted)]
        self._picked += self._choice.picks(name)
        self.candidates += self._choice.may_be_only(name)

    def check(self) -> None:
        """ArchiveError if they leave nothing to read or too much choice, or lack a member that the caller named."""
        source = self._choice.source
        for wanted in self._missing:
            raise ArchiveError(f"{source}: no member {wanted!r}; there {self._listing()}")
        if self._choice.wanted is not None or self._picked:
            return
        if self.candidates == 0 and self._count:
            raise ArchiveError(f"{source}: no log in this archive; there {self._listing()}")
        if self.candidates != 1:
            raise ArchiveError(
                f"{source}: no member is named *.csv and there {self._listing()}",
                advice="say which with members=[...]",
            )

    def _listing(self) -> str:
        return ("is " if self._count == 1 else "are ") + (listing(self._shown, self._count) or "no members")


def starts_like_a_log(head: bytes) -> bool:
    """Whether content that begins so looks like a log at a glance. No grammar: that is known further on only."""
    start = _BEFORE.match(head)
    line = head[start.end() if start else 0 :][:_LINE].partition(b"\n")[0]
    return (b"timestamp" in line and b"tracking_code" in line) or _TIMESTAMP.match(line) is not None


def is_joined_log(head: bytes) -> bool:
    """Whether bytes that begin so before or behind an archive are a log, or a gzip file, that was joined to it."""
    return head.startswith(b"\x1f\x8b\x08") or (b";" in head and starts_like_a_log(head))


def matches(name: str, wanted: str) -> bool:
    """Whether the caller's name or pattern means this member."""
    return name == wanted or fnmatchcase(name, wanted)


def shown(name: str) -> str:
    """The name as a message has it."""
    return name if len(name) <= _SHOWN_CHARACTERS else name[:_SHOWN_CHARACTERS] + "…"


def listing(names: list[str], count: int) -> str:
    """The first names of so many, in a message."""
    more = f" and {count - LISTED} more" if count > LISTED else ""
    return ", ".join(map(repr, names[:LISTED])) + more


def _is_candidate(name: str) -> bool:
    base = name.rpartition("/")[2]
    return bool(base) and not base.startswith(".") and not name.startswith("__MACOSX/")
