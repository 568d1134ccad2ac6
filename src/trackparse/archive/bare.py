"""Content without an archive: the source is the log itself."""

from __future__ import annotations

from typing import Final

from trackparse.archive.crc import InflateBudget
from trackparse.archive.header_search import LOCAL_HEADER
from trackparse.archive.selector import starts_like_a_log
from trackparse.errors import HeaderError, LimitError, TruncatedError
from trackparse.sources.source import Buffer, Source

PREFIX_MOST: Final = 1 << 20  # bytes of something else in front of a ZIP that are searched for its first header
_LINE: Final = 4 << 10  # bytes that are enough to see whether a log begins


class Bare:
    """The bytes of a source that is the log itself, held to the limits."""

    def __init__(self, source: Source, label: str, budget: InflateBudget) -> None:
        self._source = source
        self._label = label
        self._budget = budget
        self._started = False

    def read(self, n: int) -> Buffer:
        """At most n bytes; empty only at the end."""
        if not self._started:
            self._started = True
            self._refuse_prefixed_zip()
        left = self._budget.left()
        data = self._source.read(n if left is None else max(1, min(n, left)))
        if not data:
            self._check_end()
        elif left == 0:
            raise LimitError(
                f"{self._label}: more than {self._budget.limits.max_inflated_bytes} bytes",
                advice="raise Limits.max_inflated_bytes if the log may be that large",
                option="limits",
            )
        self._budget.inflated += len(data)
        return data

    def _refuse_prefixed_zip(self) -> None:
        """HeaderError if this is not a log but a ZIP with something else in front of it."""
        if starts_like_a_log(self._source.peek(_LINE)):
            return
        found = LOCAL_HEADER.search(self._source.peek(PREFIX_MOST))
        if found:
            raise HeaderError(
                f"{self._label}: not a tracking log: a ZIP begins at byte {found.start()}, behind something else",
                advice="cut that off, or read it from a file, where a ZIP is found by its end",
            )

    def _check_end(self) -> None:
        size = self._source.size
        if size is not None and self._source.position < size:
            raise TruncatedError(
                f"{self._label}: it ends at byte {self._source.position} and had {size} bytes when it was opened: "
                "it was truncated while it was read",
                advice="read it again",
            )
