"""Prints the report of ``stats``: with bars and colours on a terminal, as plain lines elsewhere. Counts nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trackparse.cli.output import aligned, escaped, is_terminal, say, shortened, writing
from trackparse.cli.tally import FAILED, FUNNEL, Tally

if TYPE_CHECKING:
    from trackparse.cli.findings import Findings
    from trackparse.cli.tally import Totals

_WIDEST = 60  # characters of a value
_BAR = 30  # cells of the longest bar
_SHOWN_IF_ANY = ("filtered", "members_left_out")
_COLOURS = {"created": "blue", "sent": "cyan", "delivered": "green", "opened": "magenta", FAILED: "red"}

Row = tuple[str, str, str]  # what was counted, how many, and a remark


def print_report(numbers: Mapping[str, int], totals: Totals, findings: Findings, top: int) -> None:
    """Print all that was counted; at most ``top`` lines of each list."""
    _print("", _overview(numbers, totals))
    rejected = findings.ranked().items()
    _print("rejected", [(reason, f"{count:,}", escaped(findings.places[reason][0])) for reason, count in rejected])
    _print("funnel", _funnel(totals), bars=[totals.statuses.ranked().get(step, 0) for step in (*FUNNEL, FAILED)])
    _print("other statuses", _listed(_others(totals), totals.statuses.others, top))
    _print("failures", _listed(totals.failures.ranked(), totals.failures.others, top))
    _print("apps", _by_status(totals.apps, totals.apps.ranked(), top))
    # Of many days the last ones are the interesting ones.
    days = sorted(totals.days.ranked().items())
    _print("days", _by_status(totals.days, dict(days[-top:]), top, before=sum(count for _, count in days[:-top])))


def _overview(numbers: Mapping[str, int], totals: Totals) -> list[Row]:
    shown = ((name, number) for name, number in numbers.items() if number or name not in _SHOWN_IF_ANY)
    rows = [(name.replace("_", " "), f"{number:,}", "") for name, number in shown]
    span = [("first", totals.first), ("last", totals.last)]
    return rows + [(name, "-" if moment is None else moment.isoformat(" "), "") for name, moment in span]


def _funnel(totals: Totals) -> list[Row]:
    counts, rates = totals.statuses.ranked(), totals.rates()
    rows = []
    for step, before in zip((*FUNNEL, FAILED), ("", *FUNNEL[:-1], "sent"), strict=True):
        rate = rates.get(step)
        rows.append((step, f"{counts.get(step, 0):,}", "" if rate is None else f"{rate:.1%} of {before}"))
    return rows


def _others(totals: Totals) -> dict[str, int]:
    return {status: n for status, n in totals.statuses.ranked().items() if status not in (*FUNNEL, FAILED)}


def _listed(counts: Mapping[str, int], others: int, top: int) -> list[Row]:
    rows = [(_value(value), f"{count:,}", "") for value, count in list(counts.items())[:top]]
    rest = sum(list(counts.values())[top:]) + others
    return rows + ([("(others)", f"{rest:,}", "")] if rest else [])


def _by_status(tally: Tally, counts: Mapping[str, int], top: int, before: int = 0) -> list[Row]:
    by_value = tally.by_value()
    rows = []
    for value, count in list(counts.items())[:top]:
        statuses = ", ".join(f"{_value(status)} {n:,}" for status, n in by_value[value].items())
        rows.append((_value(value), f"{count:,}", statuses))
    rest = sum(list(counts.values())[top:]) + tally.others + before
    return rows + ([("(others)", f"{rest:,}", "")] if rest else [])


def _value(value: str) -> str:
    return shortened(escaped(value), _WIDEST) or "(empty)"


def _print(title: str, rows: Sequence[Row], bars: Sequence[int] = ()) -> None:
    """Print a list with its title, unless the list is empty."""
    if not rows:
        return
    if is_terminal(sys.stdout):
        _draw(title, rows, bars)
        return
    if title:
        say(f"\n{title}")
    for line in aligned([(f"  {what}" if title else what, *more) for what, *more in rows], []):
        say(line)


def _draw(title: str, rows: Sequence[Row], bars: Sequence[int]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    if bars:
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    cell = "█" if "utf" in console.encoding else "#"
    for number, (what, count, meaning) in enumerate(rows):
        bar = [Text(cell * _cells(bars, number), _COLOURS.get(what, ""))] if bars else []
        table.add_row(Text(f"  {what}" if title else what), Text(count), *bar, Text(meaning, "dim"))
    with writing():
        if title:
            console.print(Text(f"\n{title}", "bold"))
        console.print(table)


def _cells(bars: Sequence[int], number: int) -> int:
    """The length of a bar in cells: at least one, unless the number is 0."""
    return -(-bars[number] * _BAR // max(*bars, 1))
