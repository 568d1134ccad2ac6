"""A log is read with no hint and compared with what was written; the enumerator of readings judges each wrong row.

A wrong row is excused only where the reading that was taken is as good as the right one by the criteria 1 to 4, or
better: then nobody could have told from the bytes. So is a row that an excused reading swallowed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

import trackparse

from .logs import Log
from .readings import Reading, readings
from .soup import NAMES

# What a row comes back as: eight values, null where the log has no such column.
Found = tuple[Any, ...]
OUTPUTS: Final = ("string", "events", "parquet")
BLOCK_SIZES: Final = (333, 4 << 10, 1 << 20)

# Excused rows in 100,000.
EXCUSED_IN_100_000: Final = 6
# Rejects and rows that one wrong reading may leave behind.
_LEFT_OVER: Final = 4
_CODE: Final = re.compile(r"T-[0-9A-F]{8}")


@dataclass
class Verdict:
    """How many rows came back exactly; ``faults`` tell of those that did not and have no excuse."""

    rows: int = 0
    exact: int = 0
    excused: int = 0
    rejected: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        return self.rows - self.exact

    def add(self, other: Verdict) -> None:
        """Sum up."""
        self.rows += other.rows
        self.exact += other.exact
        self.excused += other.excused
        self.rejected += other.rejected
        self.faults += other.faults


def read(data: bytes, output: str, block_size: int) -> tuple[list[Found], int]:
    """The rows of a log and how many were rejected."""
    options: Any = {"on_error": "quarantine", "block_size": block_size}
    if output == "parquet":
        with tempfile.TemporaryDirectory(prefix="trackparse-writers-") as folder:
            path = Path(folder, "log.parquet")
            report = trackparse.convert_log(data, path, **options)
            return _rows(pq.read_table(path)), report.rejected
    with trackparse.open_log(data, **options) as log:
        if output == "events":
            found = [(*event[:7], None if event.payload is None else event.payload.text) for event in log.events()]
        else:
            found = _rows(log.read_all())
        return found, log.stats.rejected


def _rows(table: Any) -> list[Found]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def expected(log: Log) -> list[Found]:
    """What the rows have to come back as."""
    names = NAMES[: log.columns.width]
    return [as_read(dict(zip(names, row, strict=True))) for row in log.rows]


def as_read(row: dict[str, str]) -> Found:
    """A row by its columns' names, as it has to come back."""
    texts = [row[name] for name in NAMES[1:6]]
    return datetime.fromisoformat(row["timestamp"]), *texts, row.get("appCode"), row.get("payload") or None


def judge(log: Log, found: Sequence[Found], rejected: int) -> Verdict:
    """Compare; rows are found again by their tracking code."""
    truth = expected(log)
    verdict = Verdict(len(truth), rejected=rejected)
    if found == truth:
        verdict.exact = len(truth)
        if rejected:
            verdict.faults.append(f"{log.name}: {rejected} rejects beside rows that all came back")
        return verdict
    by_code: dict[str, list[Found]] = {}
    for row in found:
        by_code.setdefault(_code(row), []).append(row)
    swallowed = -1  # up to here an excused reading went
    for right, start in zip(truth, log.starts, strict=True):
        taken = by_code.pop(_code(right), [])
        if taken == [right]:
            verdict.exact += 1
        elif start < swallowed:
            verdict.excused += 1
        elif (end := _excuse(log, start, right, taken)) > 0:
            verdict.excused += 1
            swallowed = end
        else:
            verdict.faults.append(_tell(log, start, right, taken))
    # Rejects, and rows that nobody wrote, can only be what an excused reading left over of its record.
    left_over = rejected + sum(map(len, by_code.values()))
    if left_over > _LEFT_OVER * verdict.excused:
        verdict.faults.append(f"{log.name}: {rejected} rejects, and rows that nobody wrote: {by_code}")
    order = [_code(row) for row in found]
    known = [code for code in order if code not in by_code]
    if known != sorted(known):
        verdict.faults.append(f"{log.name}: rows in another order than they were written in")
    return verdict


def survivors(log: Log, found: Sequence[Found]) -> int:
    """How many good rows of a damaged log came back exactly, and once."""
    by_code: dict[str, list[Found]] = {}
    for row in found:
        by_code.setdefault(_code(row), []).append(row)
    return sum(by_code.get(_code(right)) == [right] for right in expected(log))


def _code(row: Found) -> str:
    code = _CODE.match(row[1])
    return code[0] if code else ""


def _excuse(log: Log, start: int, right: Found, taken: Sequence[Found]) -> int:
    """Where the wrong reading that was taken ends; 0 if there was a way to tell that it is wrong."""
    if len(taken) != 1:
        return 0
    found = readings(log.data, start, log.columns)
    ranks = [reading.rank for reading in found if _row_of(reading) == right]
    ends = [reading.end for reading in found if _row_of(reading) == taken[0] and ranks and reading.rank >= min(ranks)]
    return max(ends, default=0)


def _row_of(reading: Reading) -> Found:
    """What a reading comes back as: in every value, so that a timestamp or a null that is wrong has no excuse."""
    return as_read(dict(zip(NAMES, (value.decode() for value in reading.fields), strict=False)))


def _tell(log: Log, start: int, right: Found, taken: Sequence[Found]) -> str:
    found = readings(log.data, start, log.columns)
    end = max((reading.end for reading in found), default=start + 200)
    told = "\n".join(f"    {reading.rank} {sorted(reading.dialects)} {reading.fields}" for reading in found[:8])
    return (
        f"{log.name}: the record at byte {start}\n  written  {right}\n  came as  {taken}\n"
        f"  bytes    {log.data[start : end + 40]!r}\n  readings\n{told}"
    )


def allowed(rows: int) -> int:
    """How many of so many rows may be wrong with an excuse: of few rows, one."""
    return max(1, rows * EXCUSED_IN_100_000 // 100_000)
