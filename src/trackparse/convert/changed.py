"""Where the rejects of a conversion are written, so that no file is replaced that a person has changed."""

from __future__ import annotations

import errno
import hashlib
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeAlias

from trackparse.convert.outputs import PathOrUrl, shown, with_suffix
from trackparse.convert.parquet import read_footer, source_in
from trackparse.convert.places import Place, place_of
from trackparse.errors import TrackparseError
from trackparse.rejects.files import check_old_rejects
from trackparse.sources.filesystem import PIECE
from trackparse.sources.urls import scheme_of

# The metadata of a Parquet file: the SHA-256 of the file of rejects that was written with it, in hexadecimal digits. It
# tells whether a person has changed that file since.
REJECTS_SUM: Final = "trackparse.rejects_sha256"
# The SHA-256 of the files of rejects that were written before; None if nobody knows.
Known: TypeAlias = Callable[[], AbstractSet[str] | None]
logger: Final = logging.getLogger("trackparse")


def rejects_sums(parquet: Place) -> AbstractSet[str] | None:
    """The SHA-256 of the file of rejects that was written with a Parquet file, or none if none was.

    None if there is no Parquet file, or others made it. OSError if it cannot be read.
    """
    file = parquet.open_old()
    if file is None:
        return None
    with file:
        footer = read_footer(file)
    if footer is None or source_in(footer) is None:
        return None
    digest = footer.metadata.get(REJECTS_SUM.encode(), b"").decode(errors="replace")
    return {digest} - {""}


class SafeRejectsPlace:
    """Where the rejects of one conversion are written, so that no file is replaced that a person has changed.

    place: the file to write. It is the one that was asked for, if that does not exist, or is known to be as it was
        written: its SHA-256 is one of those that ``known`` returns. Otherwise it is a new name beside it.
    """

    def __init__(self, wanted: str | os.PathLike[str], filesystem: Any, known: Known) -> None:
        """``known`` is called only if there is a file in the way. If it knows nothing, that has to look like rejects:
        TrackparseError if it does not.
        """
        is_path = filesystem is None and not scheme_of(wanted)
        self._wanted: PathOrUrl = Path(wanted) if is_path else os.fspath(wanted)
        self._filesystem = filesystem
        self._known = known
        found: dict[PathOrUrl, str] = {}
        for name in _names_beside(self._wanted):
            found[name] = self._sum_of(name)
            if len(found) > 1 and not found[name]:
                break
        self._in_the_way = found[self._wanted]
        sums = known() if any(found.values()) else set()
        if sums is None:
            old = place_of(self._wanted, filesystem)
            check_old_rejects(old.name, old.open_old())
        ours = [name for name, digest in found.items() if digest in (sums or ())]
        free = [name for name, digest in found.items() if not digest]
        self._chosen = (ours or free)[0]
        self._before = found[self._chosen]
        self.place = place_of(self._chosen, filesystem)
        # Whether the one that is in the way has the new rejects: a run that was killed had written it.
        self._is_written = False

    def check(self, digest: str, what: str) -> None:
        """TrackparseError if the file to replace has changed since it was chosen, while ``what`` was read.

        ``digest`` is that of the new file, empty if there are no rejects. To be called before any file has its name.
        """
        now = self._sum_of(self._chosen)
        # Another run may have written it, too.
        if now not in (self._before, digest) and now not in (self._known() or ()):
            raise TrackparseError(
                f"{self.place.name}: the file was changed while the {what} was read, so it is kept",
                advice="do the same again",
            )
        if digest and self._chosen != self._wanted:
            self._is_written = digest == self._sum_of(self._wanted)
        self.place.stays_empty = not digest or self._is_written

    def written(self, digest: str, what: str) -> Path | str | None:
        """The file with the rejects, as reports call it; None if there are none. To be called when it has its name.

        A warning tells of the file that was asked for and was kept.
        """
        if self._is_written:
            return place_of(self._wanted, self._filesystem).name
        if self._in_the_way and self._chosen != self._wanted:
            new = "there are no bad records now"
            if digest:
                all_bad = f"all bad records of the {what}, also those that may have been mended"
                new = f"{shown(self._chosen)} has {all_bad}: mend one of the two"
            logger.warning(
                "%s: nothing says that the file is as trackparse wrote it, so it is kept; %s", shown(self._wanted), new
            )
        return self.place.name if digest else None

    def _sum_of(self, name: PathOrUrl) -> str:
        """The SHA-256 of the file; empty if there is no file, or nothing in it."""
        try:
            file = place_of(name, self._filesystem).open_old()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG and name != self._wanted:
                return ""  # perhaps nobody needs it
            raise
        if file is None:
            return ""
        found, size = hashlib.sha256(), 0
        with file:
            while piece := file.read(PIECE):
                found.update(piece)
                size += len(piece)
        return found.hexdigest() if size else ""


def _names_beside(rejects: PathOrUrl) -> Iterator[PathOrUrl]:
    """``day.rejects.jsonl``, ``day.rejects.new.jsonl``, ``day.rejects.new-2.jsonl`` and so on."""
    yield rejects
    for number in itertools.count(1):
        mark = ".new" if number == 1 else f".new-{number}"
        yield with_suffix(rejects, f"{mark}{PurePosixPath(shown(rejects)).suffix}")
