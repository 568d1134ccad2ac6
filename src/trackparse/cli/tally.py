"""Counts what is in logs. Memory has an upper limit, whatever values a log holds. Prints nothing."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from trackparse.cli.devices import Devices

if TYPE_CHECKING:
    from trackparse.cli.groups import Groups

FUNNEL: Final = ("created", "sent", "delivered", "opened")
FAILED: Final = "failed"

_LONGEST: Final = 200  # bytes of a value; values that begin with the same 200 count as one
# Distinct values that are counted one by one.
_STATUSES_MOST: Final = 50
_DAYS_MOST: Final = 1_000
_APPS_MOST: Final = 1_000
_FAILURES_MOST: Final = 10_000


class Tally:
    """Counts by value and status. The first ``most`` distinct values are counted one by one, all others together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, Counter[str]] = {}
        self.others = 0  # records whose value is not among the first ``most``

    def add(self, value: str, status: str, count: int) -> None:
        """Count ``count`` records with this value."""
        value, status = sys.intern(value), sys.intern(status)  # held once, however often they are counted
        if value not in self._counts:
            if len(self._counts) == self._most:
                self.others += count
                return
            self._counts[value] = Counter()
        self._counts[value][status] += count

    def __len__(self) -> int:
        return len(self._counts)

    def by_value(self) -> dict[str, dict[str, int]]:
        """Counts by status for each value, in the order of values; statuses by their counts."""
        return {value: dict(counts.most_common()) for value, counts in sorted(self._counts.items())}

    def ranked(self) -> dict[str, int]:
        """The count of each value, the largest first."""
        totals = ((value, counts.total()) for value, counts in self._counts.items())
        return dict(sorted(totals, key=lambda item: (-item[1], item[0])))


class Totals:
    """The counts of ``stats``: records by status, by application and by day, failures by description, and devices.

    With ``groups`` it counts also in groups of the values of one column, ``by``.
    """

    columns: Final = ("timestamp", "status", "description", "appCode", "hwid")

    def __init__(self, groups: Groups | None = None, by: str = "") -> None:
        self.groups = groups
        self._by = by
        self.devices = Devices()
        self.statuses = Tally(_STATUSES_MOST)
        self.apps = Tally(_APPS_MOST)
        self.days = Tally(_DAYS_MOST)
        self.failures = Tally(_FAILURES_MOST)
        self.first: datetime | None = None
        self.last: datetime | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the records of a batch with ``columns``, and the column of the groups."""
        if not batch.num_rows:
            return
        span = pc.min_max(batch["timestamp"]).as_py()
        if span["min"] is not None:  # a Parquet file may have no timestamps, or some with a zone
            first, last = (span[name].replace(tzinfo=None) for name in ("min", "max"))
            self.first = min(self.first or first, first)
            self.last = max(self.last or last, last)
        day = _bytes(batch["timestamp"].cast(pa.date32()).cast(pa.string()))
        statuses, apps, descriptions = (_bytes(batch[name]) for name in ("status", "appCode", "description"))
        for day_, status, app, count in _counts(day, statuses, apps):
            known = self._known(status, count)
            self.days.add(day_, known, count)
            self.apps.add(app, known, count)
        hwids = _bytes(batch["hwid"])
        if self.groups is not None:
            values = day if self._by == "timestamp" else _bytes(batch[self._by])
            self.groups.add(_counts(values, statuses))
            pairs = _distinct(values, hwids)
        else:
            pairs = ((b"", hwid) for hwid in pc.unique(hwids).to_pylist())
        self.devices.add((self._group(value), hwid) for value, hwid in pairs if hwid)
        for description, count in _counts(descriptions.filter(pc.equal(statuses, FAILED.encode()))):
            self.failures.add(description, FAILED, count)

    def _known(self, status: str, count: int) -> str:
        """Count a status. Returns its name in the other lists: ``(others)`` if it is not counted by itself."""
        others = self.statuses.others
        self.statuses.add(status, "", count)
        return status if self.statuses.others == others else "(others)"

    def _group(self, value: bytes | None) -> int:
        return 0 if self.groups is None else self.groups.number_of(_text(value))

    def rates(self) -> dict[str, float | None]:
        """Each step of the funnel divided by the step before it; failed, by sent. None instead of a division by 0."""
        count = self.statuses.ranked()
        steps = [*zip(FUNNEL[1:], FUNNEL, strict=False), (FAILED, "sent")]
        return {step: count.get(step, 0) / count[before] if count.get(before) else None for step, before in steps}

    def of_sent(self) -> dict[str, float | None]:
        """What became of all that were sent."""
        return of_sent(self.statuses.ranked())


def of_sent(counts: Mapping[str, int]) -> dict[str, float | None]:
    """How many were delivered, opened or failed for each one that was sent. None instead of a division by 0."""
    sent = counts.get("sent")
    return {status: counts.get(status, 0) / sent if sent else None for status in ("delivered", "opened", FAILED)}


def _text(value: bytes | None) -> str:
    # A character that was cut is left out.
    return (value or b"").decode(errors="ignore")


def _bytes(column: pa.Array) -> pa.Array:
    """The first bytes of each value. No more of it is copied: a value may be as large as a record."""
    return pc.binary_slice(column.cast(pa.binary()), 0, _LONGEST)


def _counts(*columns: pa.Array) -> list[tuple[Any, ...]]:
    """Each combination of values that occurs, and how often it does.

    A column that the log lacks is null, and counts as an empty value.
    """
    counted = _grouped(columns, [([], "count_all")])
    values = [map(_text, counted[str(number)].to_pylist()) for number in range(len(columns))]
    return list(zip(*values, counted["count_all"].to_pylist(), strict=True))


def _distinct(*columns: pa.Array) -> Iterable[tuple[bytes | None, bytes | None]]:
    """Each combination of values that occurs."""
    found = _grouped(columns, [])
    return zip(*(found[str(number)].to_pylist() for number in range(len(columns))), strict=True)


def _grouped(columns: Sequence[pa.Array], aggregations: list[Any]) -> pa.Table:
    names = [str(number) for number in range(len(columns))]
    table = pa.Table.from_arrays(list(columns), names=names)
    return table.group_by(names, use_threads=False).aggregate(aggregations)
