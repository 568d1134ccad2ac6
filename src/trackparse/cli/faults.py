"""Faults by their reason, and where the first of each stand. Prints nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from trackparse.cli.output import of_log
from trackparse.errors import Position

if TYPE_CHECKING:
    import pyarrow as pa

_PLACES: Final = 3


class Faults:
    """Counts faults; memory does not grow with them."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.places: dict[str, list[str]] = {}

    def add(self, reason: str, place: str) -> None:
        """Count a fault that stands there."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        places = self.places.setdefault(reason, [])
        if len(places) < _PLACES:
            places.append(place)

    def add_rejects(self, log: str, rejects: pa.RecordBatch) -> None:
        """Count bad records of a log."""
        # A log may be nothing but rejects of three bytes: they are counted together, and few are looked at.
        reasons = rejects["reason"].to_pylist()
        for reason, count in Counter(reasons).items():
            self.counts[reason] = self.counts.get(reason, 0) + count
            places = self.places.setdefault(reason, [])
            at = -1
            for _ in range(min(count, _PLACES - len(places))):
                at = reasons.index(reason, at + 1)
                place = (rejects[name][at].as_py() for name in ("member", "record", "line", "byte_offset"))
                places.append(of_log(log, str(Position(*place))))

    def ranked(self) -> dict[str, int]:
        """The count of each reason, the largest first."""
        return dict(sorted(self.counts.items(), key=lambda item: (-item[1], item[0])))
