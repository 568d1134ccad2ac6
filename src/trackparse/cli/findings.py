"""What is wrong with logs: how often, by reason, and where it stands for the first time. Prints nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from trackparse import Position
from trackparse.rejects.kept import names_log

if TYPE_CHECKING:
    import pyarrow as pa

_PLACES: Final = 3  # of each reason


class Findings:
    """Counts findings by reason, and keeps the places of the first three of each, so that memory does not grow."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.places: dict[str, list[str]] = {}

    def add(self, reason: str, place: str) -> None:
        """Count one finding; ``place`` says where it is."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        places = self.places.setdefault(reason, [])
        if len(places) < _PLACES:
            places.append(place)

    def add_rejects(self, log: str, rejects: pa.RecordBatch) -> None:
        """Count the bad records of the log with this name."""
        # Counted together, and few are looked at one by one: a log may hold nothing but rejects of three bytes.
        reasons = rejects["reason"].to_pylist()
        for reason, count in Counter(reasons).items():
            self.counts[reason] = self.counts.get(reason, 0) + count
            places = self.places.setdefault(reason, [])
            at = -1
            for _ in range(min(count, _PLACES - len(places))):
                at = reasons.index(reason, at + 1)
                member, *place = (rejects[name][at].as_py() for name in ("member", "record", "line", "byte_offset"))
                text = str(Position(member, *place))
                places.append(text if names_log(member, log) else f"{log}: {text}")

    def ranked(self) -> dict[str, int]:
        """The count of each reason, the largest first."""
        return dict(sorted(self.counts.items(), key=lambda item: (-item[1], item[0])))
