"""Faults by their reason, and where the first of each stand. Prints nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from trackparse.cli.output import of_log
from trackparse.errors import Position

if TYPE_CHECKING:
    import pyarrow as pa

    from trackparse import LogReader

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

    @contextmanager
    def of(self, log: str, reader: LogReader) -> Iterator[None]:
        """Count the rejects of a log that is read meanwhile, instead of keeping them."""
        reader.quarantine.write = lambda rejects: self._add(log, rejects)
        try:
            yield
        finally:
            reader.quarantine.pack()

    def _add(self, log: str, rejects: pa.RecordBatch) -> None:
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
