"""Where the rejects of a day are written, so that no file is replaced that a person has changed."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path, PurePosixPath
from typing import Any, Final

from trackparse.atomic import all_or_none
from trackparse.convert.conversion import ConversionReport
from trackparse.convert.outputs import PathOrUrl, shown, with_suffix
from trackparse.convert.places import place_of
from trackparse.errors import TrackparseError
from trackparse.sources.urls import scheme_of

_PIECE: Final = 1 << 20  # bytes
logger: Final = logging.getLogger("trackparse")


class SafeRejectsPlace:
    """Where the rejects of one conversion are written, so that no file is replaced that a person has changed.

    place: the file to write. It is the one that was asked for, if that does not exist, or is as it was written here:
        its SHA-256 is one of those that ``known`` returns. Otherwise it is a new name beside it.
    """

    def __init__(self, wanted: str | os.PathLike[str], filesystem: Any, known: Callable[[], AbstractSet[str]]) -> None:
        # A str is a URL, or a path in a file system.
        self._wanted = wanted if isinstance(wanted, str) and scheme_of(wanted) else Path(wanted)
        self._filesystem = filesystem
        found: dict[PathOrUrl, str] = {}
        for name in _names_beside(self._wanted):
            found[name] = self._sum_of(name)
            if len(found) > 1 and not found[name]:
                break
        self._in_the_way = found[self._wanted]
        self._known = known
        sums = known()
        ours = [name for name, digest in found.items() if digest in sums]
        free = [name for name, digest in found.items() if not digest]
        self.place = (ours or free)[0]
        self._before = found[self.place]

    def check(self, digest: str) -> None:
        """TrackparseError if the file to replace has changed since it was chosen. ``digest``: that of the new file."""
        now = self._sum_of(self.place)
        # Another run may have written it, too.
        if now not in (self._before, digest) and now not in self._known():
            raise TrackparseError(
                f"{shown(self.place)}: the file was changed while the log was fetched, so it is kept",
                advice="fetch the log again",
            )

    def settled(self, report: ConversionReport) -> ConversionReport:
        """The report, for when the rejects are written. A warning tells of the file that was asked for and was kept.

        If the new file is the same as that one, it is removed again: a run that was killed had written the first.
        """
        if self.place == self._wanted or not self._in_the_way:
            return report
        if report.rejected and self._sum_of(self.place) == self._in_the_way:
            second = place_of(self.place, self._filesystem)
            with all_or_none([second]):
                second.stays_empty = True
            return dataclasses.replace(report, rejects_path=place_of(self._wanted, self._filesystem).name)
        new = "there are no bad records now"
        if report.rejected:
            all_bad = "all bad records of the log, also those that you have mended"
            new = f"{shown(self.place)} has {all_bad}: mend one of the two"
        logger.warning("%s: the file is not as trackparse wrote it, so it is kept; %s", shown(self._wanted), new)
        return report

    def _sum_of(self, name: PathOrUrl) -> str:
        """The SHA-256 of the file; empty if there is no file, or nothing in it."""
        file = place_of(name, self._filesystem).open_old()
        if file is None:
            return ""
        found, size = hashlib.sha256(), 0
        with file:
            while piece := file.read(_PIECE):
                found.update(piece)
                size += len(piece)
        return found.hexdigest() if size else ""


def _names_beside(rejects: PathOrUrl) -> Iterator[PathOrUrl]:
    """``day.rejects.jsonl``, ``day.rejects.new.jsonl``, ``day.rejects.new-2.jsonl`` and so on."""
    yield rejects
    for number in itertools.count(1):
        mark = ".new" if number == 1 else f".new-{number}"
        yield with_suffix(rejects, f"{mark}{PurePosixPath(shown(rejects)).suffix}")
