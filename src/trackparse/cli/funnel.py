"""Prints the report of ``stats``: with bars and colours on a terminal, as plain lines elsewhere. Counts nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from trackparse.cli.groups import Group
from trackparse.cli.output import aligned, escaped, is_terminal, say, shortened, terminal_width, writing
from trackparse.cli.tally import FAILED, FUNNEL, Tally

if TYPE_CHECKING:
    from rich.console import Console

    from trackparse.cli.findings import Findings
    from trackparse.cli.groups import By, Groups
    from trackparse.cli.tally import Totals

_WIDEST = 60  # characters of a value
_BAR = 30  # cells of the longest bar
_SHORTEST_BAR = 5
_NARROWEST = 12  # cells of a value in a table
_SHOWN_IF_ANY = ("filtered", "members_left_out")
_COLOURS = {"created": "blue", "sent": "cyan", "delivered": "green", "opened": "magenta", FAILED: "red"}

Row = tuple[str, str, str]  # what was counted, how many, and a remark


def print_report(numbers: Mapping[str, int], totals: Totals, findings: Findings, by: By | None, top: int) -> None:
    """Print all that was counted; at most ``top`` lines of each list."""
    _print("", _overview(numbers, totals))
    rejected = findings.ranked().items()
    _print("rejected", [(reason, f"{count:,}", escaped(findings.places[reason][0])) for reason, count in rejected])
    _print("funnel", _funnel(totals), bars=[totals.statuses.ranked().get(step, 0) for step in (*FUNNEL, FAILED)])
    if by is not None:
        _print_groups(by, totals, top)
        return
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
    rows += [(name, "-" if moment is None else moment.isoformat(" "), "") for name, moment in span]
    return [*rows, ("devices", _about(totals.devices.count(), totals.devices.share), "")]


def _about(count: int, share: int) -> str:
    return f"{count:,}" if share == 1 else f"about {count:,}"


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


# Of a table by values, from the most important column on: those that do not fit a terminal are left out.
_BY_STATUS = ("value", "records", "share", "devices")
_BY_OTHERS = (
    *("value", "records", "opened/sent", "delivered/sent", "devices"),
    *("sent", "opened", "delivered", "failed", "created", "others"),
)
_IN_ORDER = (
    *("value", "records", "share", "created", "sent", "delivered", "opened", "failed", "others"),
    *("delivered/sent", "opened/sent", "devices"),
)


def _print_groups(by: By, totals: Totals, top: int) -> None:
    """Print the table of ``--by``: the largest groups, or the last days."""
    groups = totals.groups
    if groups is None or not len(groups):
        return
    found = groups.ranked(totals.devices)
    listed = sorted(found, key=lambda group: group.value)[-top:] if by == "day" else found[:top]
    rest = {group.value for group in found} - {group.value for group in listed}
    share = totals.devices.share
    records = sum(group.records for group in found) + sum(groups.others)
    cells = [_group_cells(group, records, _about(group.devices, share)) for group in listed]
    if rest or any(groups.others):
        counts = [sum(pair) for pair in zip(groups.others, *(g.counts for g in found if g.value in rest), strict=True)]
        others = Group("(others)", tuple(counts), 0)
        cells.append(_group_cells(others, records, ""))
    names: Sequence[str] = _BY_STATUS if by == "status" else _BY_OTHERS
    if not any(cell["others"] not in ("", "0") for cell in cells):
        names = [name for name in names if name != "others"]
    _table(f"by {by}", by, names, cells)
    for line in _notes(by, totals, groups):
        say(line)


def _group_cells(group: Group, records: int, devices: str) -> dict[str, str]:
    counts, of_sent = group.statuses, group.of_sent
    rates = {f"{status}/sent": "-" if rate is None else f"{rate:.1%}" for status, rate in of_sent.items()}
    numbers = {status: f"{count:,}" for status, count in counts.items() if status != "(others)"}
    others = f"{counts.get('(others)', 0):,}"
    share = f"{group.records / records:.1%}" if records else "-"
    value = {"value": group.value if group.value == "(others)" else _value(group.value)}
    return (
        value
        | numbers
        | rates
        | {"records": f"{group.records:,}", "others": others, "share": share, "devices": devices}
    )


def _notes(by: By, totals: Totals, groups: Groups) -> Iterator[str]:
    if groups.short_by:
        yield (
            f"\nMore than {2 * groups.most:,} values: the smallest are in (others), and each number of records may be "
            f"short by up to {groups.short_by:,}."
        )
    if totals.devices.share > 1:
        yield f"\nDevices are estimated from one in {totals.devices.share:,}: there are too many to count each of them."


def _table(title: str, by: str, names: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    """Print a table with its numbers on the right; on a terminal the columns that fit it."""
    rows = [{name: by if name == "value" else name for name in names}, *rows]
    if is_terminal(sys.stdout):
        _draw_table(title, names, rows)
        return
    say(f"\n{title}")
    widths = {name: max(len(row[name]) for row in rows) for name in names}
    for row in rows:
        numbers = (row[name].rjust(widths[name]) for name in _IN_ORDER[1:] if name in names)
        say(f"  {'  '.join([row['value'].ljust(widths['value']), *numbers])}".rstrip())


def _draw_table(title: str, names: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    from trackparse.bars import cut

    console = _console()
    widths = {name: max(cell_len(row[name]) for row in rows) for name in names}
    widths["value"] = min(widths["value"], max(console.width // 3, _NARROWEST))
    room = console.width - 2 - widths["value"]
    shown = {"value"}
    for name in names[1:]:
        room -= widths[name] + 2
        if room < 0:
            break
        shown.add(name)
    table = Table.grid(padding=(0, 2, 0, 0))
    order = [name for name in _IN_ORDER if name in shown]
    for name in order:
        table.add_column(justify="left" if name == "value" else "right", no_wrap=True)
    for number, row in enumerate(rows):
        cells = (f"  {cut(row[name], widths[name])}" if name == "value" else row[name] for name in order)
        table.add_row(*(Text(cell, "dim" if number == 0 else "") for cell in cells))
    with writing():
        console.print(Text(f"\n{title}", "bold"))
        console.print(table)


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
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    from trackparse.bars import cut

    console = _console()
    indent = "  " if title else ""
    names, counts, meanings = (max(map(cell_len, column)) for column in zip(*rows, strict=True))
    # Numbers are whole in any width: first goes the bar, then the remark, which may also fill several lines, and then a
    # name is cut.
    room = console.width - len(indent) - counts - 2
    remarked = meanings > 0 and room - min(names, _NARROWEST) - 2 >= min(meanings, _NARROWEST)
    names = max(min(names, room - (min(meanings, _NARROWEST) + 2 if remarked else 0)), 1)
    longest = min(_BAR, room - names - 2 - (meanings + 2 if remarked else 0)) if bars else 0
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    if longest >= _SHORTEST_BAR:
        table.add_column(no_wrap=True)
    if remarked:
        table.add_column(overflow="fold")
    cell = "█" if "utf" in console.encoding else "#"
    for number, (what, count, meaning) in enumerate(rows):
        bar = [Text(cell * _cells(bars, number, longest), _COLOURS.get(what, ""))] if longest >= _SHORTEST_BAR else []
        remark = [Text(_broken_at_commas(meaning, room - names - 2), "dim")] if remarked else []
        table.add_row(Text(f"{indent}{cut(what, names)}"), Text(count), *bar, *remark)
    with writing():
        if title:
            console.print(Text(f"\n{title}", "bold"))
        console.print(table)


def _broken_at_commas(remark: str, width: int) -> str:
    """In lines of so many cells, each of which ends at a comma: "sent 957" stays together."""
    from rich.cells import cell_len

    lines = [""]
    for part in re.split("(?<=, )", remark):
        if lines[-1] and cell_len(f"{lines[-1]}{part.rstrip()}") > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _console() -> Console:
    from rich.console import Console

    # A height as well, or rich takes a terminal that calls itself dumb for 80 cells wide.
    return Console(highlight=False, width=terminal_width(), height=25)


def _cells(bars: Sequence[int], number: int, longest: int) -> int:
    """The length of a bar in cells: at least one, unless the number is 0."""
    return -(-bars[number] * longest // max(*bars, 1))
