"""Rows of every writer, read with no hint, in large numbers: ``PYTHONPATH=tests python -m writers --rows 1000000``.

Prints a table of writers and kinds of rows, and what damage between good rows costs them. Exit status 1: a bar is
missed. The bars: no row wrong that could have been told; at most 6 in 100,000 that could not, in all and
of each mix of dialects, and none of the real kind; of the good rows between damaged ones, 99.9 in 100 come back.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import time

import trackparse

from .logs import ALTERNATING, LOGS_A_ROUND, RUNS, plans, write
from .soup import REAL
from .verdict import BLOCK_SIZES, OUTPUTS, Verdict, allowed, judge, read, survivors

# Rows of a log at most: more rows are more logs.
LOG_ROWS = 2_500
SURVIVORS = 0.999


def main() -> int:
    """The exit status."""
    options = argparse.ArgumentParser(prog="writers", description=__doc__)
    options.add_argument("--rows", type=int, default=100_000, help="rows that are written; each is read three times")
    options.add_argument("--first-round", type=int, default=0, help="another number is another seed")
    chosen = options.parse_args()
    if shutil.which("php") is None:
        sys.exit("php is not installed")
    began = time.monotonic()
    count = min(LOG_ROWS, max(1, chosen.rows // LOGS_A_ROUND))
    rounds = max(1, round(chosen.rows / (LOGS_A_ROUND * count)))
    table, agree = _undamaged(chosen.first_round, rounds, count)
    total = Verdict()
    print(f"kernel: {trackparse.kernel}")
    print(f"\n{'writer':20}{'kind':6}{'rows':>10}{'exact':>10}{'wrong':>8}{'excused':>9}{'rejected':>10}")
    for (mix, kind), verdict in table.items():
        _line(mix, kind, verdict)
        total.add(verdict)
    _line("all", "", total)
    failed = _complaints(table, total, agree)
    good, back = _damaged(chosen.first_round, max(1, rounds // 10), count)
    print(f"\nbetween damaged records: {back:,} of {good:,} good rows came back exactly ({back / good:.3%})")
    if back < good * SURVIVORS:
        failed.append(f"fewer than {SURVIVORS:.1%} of the good rows between damaged ones came back")
    print(f"{time.monotonic() - began:.0f} s")
    for complaint in failed:
        print(f"MISSED: {complaint}")
    return 1 if failed else 0


def _undamaged(first: int, rounds: int, count: int) -> tuple[dict[tuple[str, str], Verdict], list[str]]:
    """A verdict for each writer and kind; and the logs of which the outputs do not agree."""
    table: dict[tuple[str, str], Verdict] = {}
    differ = []
    sizes = itertools.cycle(BLOCK_SIZES)
    for plan in plans(first, rounds):
        log = write(plan, count)
        next(sizes)  # so that each output meets each size
        verdict = table.setdefault((plan.mix, plan.kind), Verdict())
        try:
            reads = [read(log.data, output, next(sizes)) for output in OUTPUTS]
        except trackparse.TrackparseError as error:
            verdict.add(Verdict(len(log.rows), faults=[f"{log.name}: {error}"]))
            continue
        differ += [f"{log.name}: {other} differs" for other, it in zip(OUTPUTS, reads, strict=True) if it != reads[0]]
        verdict.add(judge(log, *reads[0]))
    return table, differ


def _damaged(first: int, rounds: int, count: int) -> tuple[int, int]:
    """Good rows in damaged logs, and how many of them came back."""
    good = back = 0
    for plan, output in zip(plans(first, rounds), itertools.cycle(OUTPUTS), strict=False):
        log = write(plan, count, damaged=True)
        good += len(log.rows)
        try:
            found, _ = read(log.data, output, BLOCK_SIZES[1])
        except trackparse.TrackparseError as error:
            print(f"{log.name}, damaged: {error}")
            continue
        back += survivors(log, found)
    return good, back


def _line(mix: str, kind: str, verdict: Verdict) -> None:
    numbers = (verdict.rows, verdict.exact, verdict.wrong, verdict.excused, verdict.rejected)
    widths = (10, 10, 8, 9, 10)
    print(f"{mix:20}{kind:6}" + "".join(f"{n:>{width},}" for n, width in zip(numbers, widths, strict=True)))


def _complaints(table: dict[tuple[str, str], Verdict], total: Verdict, differ: list[str]) -> list[str]:
    found = list(differ)
    found += total.faults[:20]
    if len(total.faults) > 20:
        found.append(f"{len(total.faults) - 20} more of these")
    mixes: dict[str, Verdict] = {"all": total}
    for (mix, _), verdict in table.items():
        if mix in (ALTERNATING, RUNS):
            mixes.setdefault(mix, Verdict()).add(verdict)
    found += [
        f"{mix}: {verdict.excused} rows could not be told, {allowed(verdict.rows)} are admitted"
        for mix, verdict in mixes.items()
        if verdict.excused > allowed(verdict.rows)
    ]
    found += [
        f"{mix}, real: {verdict.excused} rows could not be told"
        for (mix, kind), verdict in table.items()
        if kind == REAL and verdict.excused
    ]
    return found


if __name__ == "__main__":
    sys.exit(main())
