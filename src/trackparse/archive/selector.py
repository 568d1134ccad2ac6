"""Which members of an archive are logs, by their names; and which of the others look like one. Opens nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from trackparse.errors import ArchiveError

LISTED: Final = 20  # names in a message
_NAME_MOST: Final = 200  # characters of a name in a message
BLANK: Final = b"\xef\xbb\xbf \t\r\n"  # what may stand before a log; the first three are a byte order mark
_LINE: Final = 2000  # bytes of a first line that are looked at
# Blanks, and the line that Excel writes before a header.
_BEFORE_HEADER: Final = re.compile(rb'(?:[\xef\xbb\xbf \t\r\n]+|"?sep=.?"?[ \t\r]*\n)*', re.IGNORECASE)
_TIMESTAMP: Final = re.compile(rb'"?\d{4}-\d\d-\d\d[ T]\d\d:\d\d')
_OFFICE: Final = "[Content_Types].xml"  # a member of every .xlsx and .docx


class MemberSelector:
    """Which members of an archive are logs.

    Those that the caller named, by name or by pattern. If the caller named none: every ``*.csv``, or if there is no
    such member, the only member that there is. Hidden files, folders and what macOS adds do not count.
    """

    def __init__(self, wanted: Iterable[str] | None, source: str) -> None:
        self.wanted = None if wanted is None else list(wanted)
        self.source = source

    def picks(self, name: str) -> bool:
        """Whether it is a log, whatever other members there are."""
        if self.wanted is not None:
            return any(matches(name, wanted) for wanted in self.wanted)
        return _is_candidate(name) and name.lower().endswith(".csv")

    def picks_if_alone(self, name: str) -> bool:
        """Whether it is a log if there is no other candidate."""
        return self.wanted is None and _is_candidate(name)

    def choose(self, names: Iterable[str]) -> list[int]:
        """Indices of the members that are logs."""
        ranks = [(self.picks(name), self.picks_if_alone(name)) for name in names]
        picked = [index for index, (picks, _) in enumerate(ranks) if picks]
        return picked or [index for index, (_, alone) in enumerate(ranks) if alone]

    def check_whole(self, name: str) -> None:
        """ArchiveError if the caller named another member than the source itself, which is a log and no archive.

        A hidden file is a log there: somebody handed it over.
        """
        if self.wanted is not None:
            self.check([name])

    def check(self, names: Iterable[str]) -> None:
        """ArchiveError as from ``MemberNames.check``."""
        met = MemberNames(self)
        for name in names:
            met.add(name)
        met.check()


class MemberNames:
    """The names of an archive's members, added one after the other. Keeps a few of them, shortened, for messages."""

    def __init__(self, selector: MemberSelector) -> None:
        self._selector = selector
        self._count = 0
        self._listed: list[str] = []
        self._missing = list(selector.wanted or ())  # what the caller named and was not met yet
        self._picked = 0
        self._is_office = False
        self.candidates = 0  # members that are read if there is no other

    def add(self, name: str) -> None:
        """The next name."""
        self._count += 1
        if len(self._listed) < LISTED:
            self._listed.append(short_name(name))
        self._missing = [wanted for wanted in self._missing if not matches(name, wanted)]
        self._picked += self._selector.picks(name)
        self._is_office = self._is_office or name == _OFFICE
        self.candidates += self._selector.picks_if_alone(name)

    def check(self) -> None:
        """ArchiveError if no member is a log, if it is unclear which is, or if one that the caller named is missing."""
        source = self._selector.source
        for wanted in self._missing:
            raise ArchiveError(f"{source}: no member {wanted!r}{self._listing()}")
        if self._selector.wanted is not None or self._picked:
            return
        if self._is_office:
            raise ArchiveError(
                f"{source}: an Excel workbook or another Office document, not a log",
                advice="export it as CSV, with ';' between the fields",
            )
        if self.candidates == 0 and self._count:
            raise ArchiveError(f"{source}: no log in this archive{self._listing()}")
        if self.candidates != 1:
            raise ArchiveError(
                f"{source}: no member is named *.csv{self._listing()}",
                advice="say which member is the log with members=[...], or unpack it and read it by itself",
                option="members",
            )

    def _listing(self) -> str:
        if not self._count:
            return ": the archive has no members"
        return f": the archive has {'only ' if self._count == 1 else ''}{listing(self._listed, self._count)}"


def starts_like_a_log(head: bytes) -> bool:
    """Whether content with this beginning looks like a log. A hint only: the records decide."""
    start = _BEFORE_HEADER.match(head)
    line = head[start.end() if start else 0 :][:_LINE].partition(b"\n")[0]
    return (b"timestamp" in line and b"tracking_code" in line) or _TIMESTAMP.match(line) is not None


def is_joined_log(head: bytes) -> bool:
    """Whether bytes before or behind an archive, which begin like this, are a log or a gzip file joined to it."""
    return head.startswith(b"\x1f\x8b\x08") or (b";" in head and starts_like_a_log(head))


def matches(name: str, wanted: str) -> bool:
    """Whether the caller's name or pattern means this member."""
    return name == wanted or fnmatchcase(name, wanted)


def short_name(name: str) -> str:
    """The name as it stands in a message."""
    return name if len(name) <= _NAME_MOST else name[:_NAME_MOST] + "…"


def listing(names: list[str], count: int) -> str:
    """The first ``names`` of ``count``, as they stand in a message."""
    more = f" and {count - LISTED} more" if count > LISTED else ""
    return ", ".join(map(repr, names[:LISTED])) + more


def _is_candidate(name: str) -> bool:
    base = name.rpartition("/")[2]
    return bool(base) and not base.startswith(".") and not name.startswith("__MACOSX/")
