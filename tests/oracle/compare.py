"""Compares what trackparse and the oracle make of the same logs, and says where they differ.

    PYTHONPATH=tests python -m oracle.compare --logs 50000 --seed 1

Each log is read by every kernel, from chunks of 1, 7 and 4,096 bytes, in blocks from a few bytes to 1 MiB; then once
each in a dialect that is given, with a few of the columns, and with an error at the first bad record.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from unittest import mock

import trackparse
from oracle import grammar, logs
from support.kernels import KERNELS, kernel_named
from trackparse import events
from trackparse.columns import builder
from trackparse.records import indexer

CHUNKS = (1, 7, 4096)
BLOCKS = (1, 2, 3, 5, 8, 13, 31, 64, 65, 100, 333, 1000, 4096, 1 << 16, 1 << 20)
DIALECTS = ("auto", "php", "rfc4180")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to have a log read."""

    kernel: str
    chunk: int
    block: int
    dialect: str = "auto"
    columns: tuple[str, ...] = ()
    raises: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    rejects: tuple[tuple[object, ...], ...]
    blank_lines: int
    error: str | None

    def differences(self, other: Outcome) -> tuple[str, ...]:
        return tuple(field for field in self.__slots__ if getattr(self, field) != getattr(other, field))


@dataclass(frozen=True, slots=True)
class Difference:
    kinds: tuple[str, ...]
    way: Way
    data: bytes


def expected(log: grammar.Log, raises: bool) -> Outcome:
    rejects = [(it.record, it.line, it.byte_offset, it.reason, it.raw, it.header) for it in log.rejects]
    if raises and rejects:
        # What comes behind the first one is not read, and the error has no header.
        first = log.rejects[0]
        return Outcome(log.columns, tuple(log.rows[: first.record]), ((*rejects[0][:-1], None),), 0, "RecordError")
    return Outcome(log.columns, tuple(log.rows), tuple(rejects), 0 if raises else log.blank_lines, log.error)


def by_trackparse(data: bytes, way: Way) -> tuple[Outcome, int]:
    """What trackparse makes of it, and how many records it left unresolved."""
    chunks = (data[at : at + way.chunk] for at in range(0, len(data), way.chunk))
    names: tuple[str, ...] = ()
    rows: list[tuple[object, ...]] = []
    rejects: list[tuple[object, ...]] = []
    error, blank_lines, unresolved = None, 0, 0
    try:
        with trackparse.open_log(
            chunks,
            columns=way.columns or None,
            dialect=way.dialect,  # type: ignore[arg-type]
            on_error="raise" if way.raises else "quarantine",
            block_size=way.block,
        ) as log:
            names = tuple(log.schema.names)
            try:
                for batch in log:
                    rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
            finally:
                for it in log.rejects.to_pylist():
                    rejects.append(
                        tuple(it[name] for name in ("record", "line", "byte_offset", "reason", "raw", "header"))
                    )
                unresolved, blank_lines = log.stats.unresolved, log.stats.blank_lines
            stats = log.stats
            placed = (
                stats.bytes_in_records + stats.bytes_in_rejects + stats.bytes_in_blank_lines + stats.bytes_in_headers
            )
            if placed != len(data):
                error = f"{placed} of {len(data)} bytes are accounted for"
    except trackparse.RecordError as fault:
        error = type(fault).__name__
        at = fault.position
        rejects = [(at.record, at.line, at.byte_offset, fault.reason, fault.raw, None)]
    except trackparse.TrackparseError as fault:
        error = type(fault).__name__
    return Outcome(names, tuple(rows), tuple(rejects), 0 if way.raises else blank_lines, error), unresolved


def ways(seed: int, columns: tuple[str, ...]) -> Iterator[Way]:
    """All kernels with all chunks; and one way more for each of the options."""
    random = Random(seed)
    for chunk in CHUNKS:
        block = random.choice(BLOCKS)
        yield from (Way(kernel, chunk, block) for kernel in KERNELS)
    other = Way(random.choice(KERNELS), random.choice(CHUNKS), random.choice(BLOCKS))
    yield replace(other, dialect=random.choice(DIALECTS[1:]))
    yield replace(other, raises=True)
    if columns:
        yield replace(other, columns=tuple(random.sample(columns, random.randint(1, len(columns)))))


class Campaign:
    """Compares log after log, and counts what it did."""

    def __init__(self, most_ways: int | None = None) -> None:
        self.most_ways = most_ways  # of one log; all of them unless told
        self.counts: Counter[str] = Counter()
        self.differences: list[Difference] = []

    def log(self, seed: int) -> None:
        data = logs.log(seed)
        log = grammar.read(data)
        self.counts["logs"] += 1
        self.counts["of them with rejects"] += bool(log.rejects)
        self.counts["of them with a record of more than one reading"] += log.most_readings > 1
        self.counts["of them without a header that can be used"] += not log.columns
        all_ways = list(ways(seed, log.columns))
        if self.most_ways:
            all_ways = Random(seed).sample(all_ways, self.most_ways)
        self.compare(data, all_ways)

    def compare(self, data: bytes, all_ways: list[Way]) -> None:
        read: dict[tuple[str, tuple[str, ...]], grammar.Log] = {}
        for way in all_ways:
            key = way.dialect, way.columns
            log = read[key] if key in read else read.setdefault(key, grammar.read(data, *key))
            kinds, unresolved = compare(data, way, log)
            self.counts["times read"] += 1
            if log.most_readings > grammar.MOST_READINGS:
                self.counts["times read with more than 64 readings of a record, not compared"] += 1
            elif unresolved:
                self.counts["times read with a record unresolved for want of means, not compared"] += 1
            elif kinds:
                self.differences.append(Difference(kinds, way, data))
                return  # one for each log is enough


def compare(data: bytes, way: Way, log: grammar.Log) -> tuple[tuple[str, ...], int]:
    """The fields in which the outcomes differ, and how many records trackparse left unresolved."""
    with kernel(way.kernel):
        outcome, unresolved = by_trackparse(data, way)
    return outcome.differences(expected(log, way.raises)), unresolved


@contextmanager
def kernel(name: str) -> Iterator[None]:
    module = kernel_named(name)
    with (
        mock.patch.object(indexer, "kernel", module),
        mock.patch.object(builder, "kernel", module),
        mock.patch.object(events, "kernel", module),
    ):
        yield


def minimised(it: Difference) -> bytes:
    """The shortest log found that differs in the same way, by leaving out bytes."""

    def differs(data: bytes) -> bool:
        log = grammar.read(data, it.way.dialect, it.way.columns)
        kinds, unresolved = compare(data, it.way, log)
        return kinds == it.kinds and not unresolved and log.most_readings <= grammar.MOST_READINGS

    return shortened(it.data, differs)


def shortened(data: bytes, differs: Callable[[bytes], bool]) -> bytes:
    size = len(data)
    while size := size // 2:
        at = 0
        while at < len(data):
            shorter = data[:at] + data[at + size :]
            if differs(shorter):
                data = shorter
            else:
                at += size
    return data


def described(it: Difference) -> str:
    data = minimised(it)
    with kernel(it.way.kernel):
        outcome, _ = by_trackparse(data, it.way)
    wanted = expected(grammar.read(data, it.way.dialect, it.way.columns), it.way.raises)
    lines = [f"{', '.join(it.kinds)}: {it.way}", f"  log         {data!r}"]
    for kind in outcome.differences(wanted):
        lines += [f"  {kind}", f"    trackparse  {getattr(outcome, kind)}", f"    oracle      {getattr(wanted, kind)}"]
    return "\n".join(lines)


def campaign(seeds: range) -> Campaign:
    made = Campaign()
    for seed in seeds:
        made.log(seed)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare trackparse with the oracle, on logs made at random.")
    parser.add_argument("--logs", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--show", type=int, default=20, help="differences to shorten and print")
    options = parser.parse_args()

    start = time.monotonic()
    first = options.seed * 1_000_000
    step = 500
    parts = [range(at, min(at + step, first + options.logs)) for at in range(first, first + options.logs, step)]
    counts: Counter[str] = Counter()
    found: list[Difference] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for part in pool.map(campaign, parts):
            counts += part.counts
            found += part.differences
    print(f"kernels: {', '.join(KERNELS)}; {time.monotonic() - start:.0f} s")
    for name, count in counts.items():
        print(f"{count:>10,}  {name}")
    print(f"{len(found):>10,}  of the logs read in another way")
    for it in found[: options.show]:
        print(described(it))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
