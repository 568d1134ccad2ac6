"""``trackparse stats``: how many notifications were sent, delivered and opened, and why others failed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

from trackparse.cli.exits import Exit
from trackparse.cli.inputs import Input
from trackparse.cli.options import Dialect, dialect_option, filter_options, json_option, logs_argument, quiet_option
from trackparse.cli.output import Command, put_json, warn
from trackparse.cli.progress import Bar
from trackparse.cli.runner import for_each, open_log
from trackparse.cli.tables import Overlaps, counted_twice, files_of, is_table, open_table

if TYPE_CHECKING:
    from trackparse import Filter, LogReader
    from trackparse.cli.findings import Findings
    from trackparse.cli.groups import By, Group
    from trackparse.cli.tally import Totals

_NUMBERS = (
    "records",
    "filtered",
    "rejected",
    "blank_lines",
    "bytes_read",
    "bytes_inflated",
    "members",
    "members_left_out",
)
_OF_TABLES = ("records", "filtered", "bytes_read")  # what a Parquet file tells of these
_BY = ("message", "app", "day", "status")


@click.command(cls=Command)
@logs_argument
@click.option(
    "--by", type=click.Choice(_BY), help="A table: records, rates and devices of each message, app, day or status."
)
@json_option
@click.option(
    "--top", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="Lines of each list."
)
@filter_options
@dialect_option
@quiet_option
def stats(
    logs: tuple[str, ...],
    by: By | None,
    as_json: bool,
    top: int,
    where: Filter | None,
    dialect: Dialect,
    quiet: bool,
) -> Exit:
    """Count what is in the LOGs, all of them together. A LOG may also be a Parquet file that convert wrote.

    The funnel shows how many notifications were created, sent, delivered and opened, each as a share of the step
    before. The lists show why notifications failed, and how many there are by application and by day; with --by there
    is one table instead. What was sent before midnight may be delivered after it, so the shares of a single day are not
    exact. A device is a hardware id, counted once.

    Memory has an upper limit: the first 50 statuses, 1,000 applications, 1,000 days and 10,000 descriptions are counted
    one by one, and all others together, as (others). --by counts up to 40,000 values one by one; of more, it keeps the
    largest, and says by how much a number may be short. Up to 2 million devices are counted exactly; of more, a sample
    is counted, and the number is marked with "about". Values with the same first 200 bytes count as one. In a damaged
    log the records before the damage are counted.

    \b
    Examples:
      trackparse stats tracking_log.zip
      trackparse stats '2021-04-*.zip' --app C90C0-0E786 --json
      trackparse stats days/ --by message --top 20
      trackparse stats 'lake/*.parquet' --by day
    """
    from trackparse.cli.findings import Findings
    from trackparse.cli.groups import COLUMNS, Groups
    from trackparse.cli.tally import Totals

    grouped = COLUMNS[by] if by else ""
    totals, findings = Totals(Groups() if by else None, grouped), Findings()
    inputs = files_of(logs)
    tables = set(filter(is_table, inputs))
    if twice := counted_twice([log for log in inputs if log not in tables], [log for log in inputs if log in tables]):
        log, table = twice
        warn(f"{log.name} and {table.name}: perhaps the same records, which are counted twice: name one of them")
    numbers: dict[str, int] = dict.fromkeys(_OF_TABLES if len(tables) == len(inputs) else _NUMBERS, 0)
    overlaps = Overlaps()
    columns = [*Totals.columns]
    if by and grouped not in columns:
        columns.append(grouped)

    def opened(log: Input, **options: Any) -> AbstractContextManager[Any]:
        if log not in tables:
            return open_log(log, dialect=dialect, columns=columns, where=where, **options)
        return open_table(log, columns, [grouped] if by else [], where, options["progress"])

    def count(log: Input, reader: LogReader, bar: Bar) -> Exit:
        overlaps.add(log, reader)
        try:
            for batch in reader:
                totals.add(batch)
        finally:
            for name in numbers:
                numbers[name] += getattr(reader.stats, name)
        return Exit.DONE

    code = for_each("counting", inputs, count, shown=not quiet, findings=lambda _: findings, opened=opened)
    if overlaps.found:
        first, second, name = overlaps.found
        warn(
            f"{first.name} and {second.name}: both were made of {name}, whose records are perhaps counted twice: name "
            "one of them"
        )
    if numbers["bytes_read"]:
        _show(numbers, totals, findings, by, as_json, top)
    return code


def _show(numbers: dict[str, int], totals: Totals, findings: Findings, by: By | None, as_json: bool, top: int) -> None:
    if as_json:
        put_json(_facts(numbers, totals, findings, by))
        return
    from trackparse.cli.funnel import print_report

    print_report(numbers, totals, findings, by, top)


def _facts(numbers: dict[str, int], totals: Totals, findings: Findings, by: By | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        **numbers,
        "reasons": findings.ranked(),
        "first": None if totals.first is None else totals.first.isoformat(" "),
        "last": None if totals.last is None else totals.last.isoformat(" "),
        "devices": totals.devices.count(),
        "devices_exact": totals.devices.share == 1,
        "statuses": totals.statuses.ranked(),
        "rates": totals.rates(),
        "of_sent": totals.of_sent(),
        "failures": totals.failures.ranked(),
        "apps": totals.apps.by_value(),
        "days": totals.days.by_value(),
        "others": {name: getattr(totals, name).others for name in ("statuses", "failures", "apps", "days")},
    }
    groups = totals.groups
    if by is not None and groups is not None:
        facts["others"]["groups"] = sum(groups.others)
        facts |= {
            "by": by,
            "short_by": groups.short_by,
            "groups": [_group(group, by) for group in groups.ranked(totals.devices)],
        }
    return facts


def _group(group: Group, by: By) -> dict[str, Any]:
    facts: dict[str, Any] = {"value": group.value, "records": group.records, "devices": group.devices}
    if by != "status":
        facts["statuses"] = {status: count for status, count in group.statuses.items() if count}
        facts["of_sent"] = group.of_sent
    return facts
