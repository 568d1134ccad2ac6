"""Logs of written rows, and the truth: pure, alternating between the dialects, changing in runs, damaged."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final, NamedTuple

from .readings import EIGHT, PHP, RFC4180, SIX, Columns
from .soup import KINDS, REAL, SOUP, Row, rows
from .writers import WRITERS, Writer, header

ALTERNATING: Final = "alternating"
RUNS: Final = "in runs"
# How many logs of each mix a round has, by kind: the rest are pure, one of each writer.
_MIXES: Final = ((ALTERNATING, SOUP, 4), (ALTERNATING, REAL, 2), (RUNS, SOUP, 4), (RUNS, REAL, 2))
LOGS_A_ROUND: Final = len(WRITERS) * len(KINDS) + sum(count for *_, count in _MIXES)


class Log(NamedTuple):
    """What was written, and where. ``rows`` and ``starts`` tell of good records only."""

    name: str
    mix: str  # a writer's name, or how writers were mixed
    kind: str
    columns: Columns
    real_php: bool
    data: bytes
    rows: list[Row]
    starts: list[int]


class Plan(NamedTuple):
    """A log that is to be written."""

    number: int
    mix: str
    kind: str
    width: int
    writers: tuple[Writer, ...]

    @property
    def name(self) -> str:
        return f"{self.number}: {self.mix}, {self.kind}, {self.width} columns"

    @property
    def real_php(self) -> bool:
        """Whether ``php`` is needed."""
        return any(writer.real_php for writer in self.writers)


def plans(first_round: int = 0, rounds: int = 1) -> Iterator[Plan]:
    """The logs of each round: every writer with every kind, and the mixes. One log in five has 6 columns."""
    for turn in range(first_round, first_round + rounds):
        makings: list[tuple[str, str, tuple[Writer, ...]]] = [
            (writer.name, kind, (writer,)) for writer in WRITERS for kind in KINDS
        ]
        for mix, kind, count in _MIXES:
            makings += [(mix, kind, _two_of_each(f"{turn} {mix} {kind} {i}")) for i in range(count)]
        for i, (mix, kind, writers) in enumerate(makings):
            yield Plan(turn * LOGS_A_ROUND + i, mix, kind, 6 if (i + turn) % 5 == 0 else 8, writers)


def _two_of_each(seed: str) -> tuple[Writer, ...]:
    """Two writers of each dialect."""
    dice = random.Random(seed)
    by_dialect = ([one for one in WRITERS if one.dialect == dialect] for dialect in (PHP, RFC4180))
    return tuple(one for writers in by_dialect for one in dice.sample(writers, 2))


def write(plan: Plan, count: int, *, damaged: bool = False) -> Log:
    """The log of a plan, of about ``count`` rows; ``damaged``: one record in ten is spoilt, and not in ``rows``."""
    dice = random.Random(f"{plan.name} {damaged}")
    by = _who_writes_what(plan, count, dice)
    content = [
        (writer, row)
        for writer, row in zip(by, rows(plan.kind, count, plan.width, plan.number), strict=True)
        if writer.can_write(row)
    ]
    pieces: dict[int, bytes] = {}
    headers: dict[str, bytes] = {}
    for writer in {writer.name: writer for writer, _ in content}.values():
        own = [i for i, (other, _) in enumerate(content) if other is writer]
        headers[writer.name], *records = writer.write([header(plan.width), *(content[i][1] for i in own)])
        pieces.update(zip(own, records, strict=True))
    data = bytearray(headers[content[0][0].name])
    good: list[Row] = []
    starts: list[int] = []
    before = content[0][0]
    for i, (writer, row) in enumerate(content):
        if plan.mix == RUNS and writer is not before and dice.random() < 0.3:
            data += headers[writer.name]  # two logs joined with cat
        before = writer
        # In a record that is broken, a whole header would be one.
        if damaged and b"//timestamp;" not in pieces[i] and dice.random() < 0.1:
            data += spoilt(pieces[i], dice)
            continue
        good.append(row)
        starts.append(len(data))
        data += pieces[i]
    return Log(
        plan.name, plan.mix, plan.kind, EIGHT if plan.width == 8 else SIX, plan.real_php, bytes(data), good, starts
    )


def _who_writes_what(plan: Plan, count: int, dice: random.Random) -> list[Writer]:
    by_dialect = {name: [one for one in plan.writers if one.dialect == name] for name in (PHP, RFC4180)}
    if plan.mix == ALTERNATING:
        first = dice.randrange(2)
        return [dice.choice(by_dialect[(PHP, RFC4180)[(first + i) % 2]]) for i in range(count)]
    if plan.mix == RUNS:
        found: list[Writer] = []
        while len(found) < count:
            found += [dice.choice(by_dialect[dice.choice((PHP, RFC4180))])] * dice.randint(1, 60)
        return found[:count]
    return [plan.writers[0]] * count


def spoilt(record: bytes, dice: random.Random) -> bytes:
    """The record with one damage: a stray quote, its end cut off, a date in another format, text that is not UTF-8."""
    size = len(record.rstrip(b"\r\n"))
    at = dice.randrange(25, size)
    damage = dice.randrange(4)
    if damage == 0:
        return record[:at] + b'"' + record[at:]
    if damage == 1:
        return record[:at] + b"\n"
    if damage == 2:
        return b'"20.04.2021 13:01:01"' + record[record.index(b";") :]
    return record[:at] + b"\xe9" + record[at:]
