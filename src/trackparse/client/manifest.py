"""The file in which ``sync`` notes when it fetched each day. It may be lost: then some days are fetched once more.

The time is not in the Parquet file of the day, because the same log is to give the same bytes.
"""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from trackparse.atomic import all_or_none
from trackparse.convert.outputs import PathOrUrl, in_folder, shown
from trackparse.convert.places import IS_LINK, is_link, place_of
from trackparse.errors import TrackparseError, one_line

# Readers of a folder of Parquet files pass over what begins with an underscore.
MANIFEST: Final = "_trackparse.json"
_MOST: Final = 16 << 20  # bytes of a manifest that are read
logger: Final = logging.getLogger("trackparse")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is noted of a day.

    moment: when the service was asked for its log, in seconds since 1970.
    rejects: the SHA-256 of the file of rejects that was written then; empty if there was none.
    """

    moment: float
    rejects: str


class Manifest:
    """The manifest of a folder, which is a path, a URL or a path in ``filesystem``."""

    def __init__(self, folder: PathOrUrl, filesystem: Any) -> None:
        self._file = in_folder(folder, MANIFEST)
        self._filesystem = filesystem
        self._told = False  # that it is damaged

    def read(self) -> dict[datetime.date, Fetched]:
        """What is noted of each day: nothing, with a warning, if it is damaged. OSError if it cannot be read."""
        opened = place_of(self._file, self._filesystem).open_old()
        if opened is None:
            return {}
        with opened:
            data = opened.read(_MOST)
        try:
            return {
                datetime.date.fromisoformat(day): Fetched(
                    datetime.datetime.fromisoformat(noted["fetched"]).timestamp(), str(noted["rejects_sha256"])
                )
                for day, noted in json.loads(data)["days"].items()
            }
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            if not self._told:
                self._told = True
                logger.warning(
                    "%s: the manifest is damaged (%s): the next sync writes it anew, and fetches days that are not "
                    "final again; no file of a day depends on it",
                    shown(self._file),
                    one_line(str(error)),
                )
            return {}

    def note(self, day: datetime.date, fetched: Fetched) -> None:
        """Add a day. If the manifest cannot be written, that is only a warning: no file of a day depends on it.

        It is read again first: another run may have added other days.
        """
        try:
            days = {**self.read(), day: fetched}
            place = place_of(self._file, self._filesystem)
            if is_link(place):
                raise TrackparseError(IS_LINK, advice="remove the link")
            with all_or_none([place]), place.open() as stream:
                stream.write(_text(days))
        except (TrackparseError, OSError) as error:
            logger.warning("%s: the manifest cannot be written: %s", shown(self._file), one_line(str(error)))


def _text(days: Mapping[datetime.date, Fetched]) -> bytes:
    noted = {
        day.isoformat(): {
            "fetched": datetime.datetime.fromtimestamp(fetched.moment, datetime.UTC).isoformat(timespec="seconds"),
            "rejects_sha256": fetched.rejects,
        }
        for day, fetched in sorted(days.items())
    }
    return json.dumps({"days": noted}, indent=1).encode() + b"\n"
