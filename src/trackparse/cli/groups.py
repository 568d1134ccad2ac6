"""Counts records by message, app, day or status, and the devices of each. Memory has a limit. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from trackparse.cli.devices import Devices
from trackparse.cli.tally import FAILED, FUNNEL, of_sent

By = Literal["message", "app", "day", "status"]
COLUMNS: Final[dict[By, str]] = {
    "message": "tracking_code",
    "app": "appCode",
    "day": "timestamp",
    "status": "status",
}
COUNTED: Final = (*FUNNEL, FAILED)  # statuses that each group counts by themselves

# Groups that are always kept; there may be twice as many before the smallest ones are dropped.
_GROUPS_MOST: Final = 20_000
_SLOTS: Final = {status: slot for slot, status in enumerate(COUNTED)}
_OTHER: Final = len(COUNTED)


@dataclass(frozen=True, slots=True)
class Group:
    """What was counted of one value.

    value: a tracking code, an application, a day or a status.
    counts: records by status: those of ``COUNTED``, and all others together.
    devices: distinct devices.
    """

    value: str
    counts: tuple[int, ...]
    devices: int

    @property
    def records(self) -> int:
        """Records in all."""
        return sum(self.counts)

    @property
    def statuses(self) -> dict[str, int]:
        """Records by status; those of other statuses as ``(others)``, if there are any."""
        found = dict(zip(COUNTED, self.counts, strict=False))
        return found | ({"(others)": self.counts[_OTHER]} if self.counts[_OTHER] else {})

    @property
    def of_sent(self) -> dict[str, float | None]:
        """What became of all that were sent."""
        return of_sent(self.statuses)


class Groups:
    """Counts of each value. With more than 40,000 values the smaller half is counted together.

    Its sums are right then, but a value that comes again after it was dropped begins with 0: so the count of a value
    may be short, by ``short_by`` at most, and no value that is missing has more records than that.
    """

    def __init__(self, most: int = _GROUPS_MOST) -> None:
        self.most = most
        self._rows: dict[str, list[int]] = {}  # the counts, and the number of the group
        self._next = 1
        self.others = [0] * (len(COUNTED) + 1)
        self.short_by = 0

    def add(self, counts: Iterable[tuple[str, str, int]]) -> None:
        """Count records: a value, a status, and how many."""
        for value, status, count in counts:
            self._row(value)[_SLOTS.get(status, _OTHER)] += count
        if len(self._rows) > 2 * self.most:
            self._drop()

    def __len__(self) -> int:
        return len(self._rows)

    def number_of(self, value: str) -> int:
        """The number of the group of a value; 0 if the value was dropped."""
        row = self._rows.get(value)
        return row[-1] if row else 0

    def _row(self, value: str) -> list[int]:
        row = self._rows.get(value)
        if row is None:
            row = self._rows[value] = [0] * (len(COUNTED) + 1) + [self._next]
            self._next += 1
        return row

    def _drop(self) -> None:
        ranked = sorted(self._rows.items(), key=lambda item: -sum(item[1][:-1]))
        for _, row in ranked[self.most :]:
            for slot in range(len(self.others)):
                self.others[slot] += row[slot]
        self.short_by += sum(ranked[self.most][1][:-1])
        self._rows = dict(ranked[: self.most])

    def ranked(self, devices: Devices) -> list[Group]:
        """What was counted, the most records first."""
        counts = devices.by_group()
        groups = [Group(value, tuple(row[:-1]), counts[row[-1]]) for value, row in self._rows.items()]
        return sorted(groups, key=lambda group: (-group.records, group.value))
