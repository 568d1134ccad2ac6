"""``trackparse stats``: how many notifications were sent, delivered and opened, and why others failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from trackparse.cli.exits import Exit
from trackparse.cli.inputs import Input, inputs_of
from trackparse.cli.options import Dialect, dialect_option, filter_options, json_option, logs_argument, quiet_option
from trackparse.cli.output import Command, put_json
from trackparse.cli.progress import Bar
from trackparse.cli.runner import for_each

if TYPE_CHECKING:
    from trackparse import Filter, LogReader
    from trackparse.cli.findings import Findings
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


@click.command(cls=Command)
@logs_argument
@json_option
@click.option(
    "--top", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="Lines of each list."
)
@filter_options
@dialect_option
@quiet_option
def stats(logs: tuple[str, ...], as_json: bool, top: int, where: Filter | None, dialect: Dialect, quiet: bool) -> Exit:
    """Count what is in the LOGs, all of them together.

    The funnel shows how many notifications were created, sent, delivered and opened, each as a share of the step
    before. The lists show why notifications failed, and how many there are by application and by day. What was sent
    before midnight may be delivered after it, so the shares of a single day are not exact.

    Memory has an upper limit: the first 50 statuses, 1,000 applications, 1,000 days and 10,000 descriptions are counted
    one by one, and all others together, as (others). Values with the same first 200 bytes count as one. In a
    damaged log the records before the damage are counted.

    \b
    Examples:
      trackparse stats tracking_log.zip
      trackparse stats '2021-04-*.zip' --app C90C0-0E786 --json
      trackparse stats tracking_log.zip --code T-D6C2-ABC2228F-C9C305A9 --top 3
    """
    from trackparse.cli.findings import Findings
    from trackparse.cli.tally import Totals

    totals, findings = Totals(), Findings()
    numbers: dict[str, int] = dict.fromkeys(_NUMBERS, 0)

    def count(log: Input, reader: LogReader, bar: Bar) -> Exit:
        try:
            for batch in reader:
                totals.add(batch)
        finally:
            for name in _NUMBERS:
                numbers[name] += getattr(reader.stats, name)
        return Exit.DONE

    options: dict[str, Any] = {"columns": Totals.columns, "where": where, "dialect": dialect}
    code = for_each("counting", inputs_of(logs), count, shown=not quiet, findings=lambda _: findings, **options)
    if numbers["bytes_read"]:
        _show(numbers, totals, findings, as_json, top)
    return code


def _show(numbers: dict[str, int], totals: Totals, findings: Findings, as_json: bool, top: int) -> None:
    if as_json:
        put_json(_facts(numbers, totals, findings))
        return
    from trackparse.cli.funnel import print_report

    print_report(numbers, totals, findings, top)


def _facts(numbers: dict[str, int], totals: Totals, findings: Findings) -> dict[str, Any]:
    return {
        **numbers,
        "reasons": findings.ranked(),
        "first": None if totals.first is None else totals.first.isoformat(" "),
        "last": None if totals.last is None else totals.last.isoformat(" "),
        "statuses": totals.statuses.ranked(),
        "rates": totals.rates(),
        "failures": totals.failures.ranked(),
        "apps": totals.apps.by_value(),
        "days": totals.days.by_value(),
        "others": {name: getattr(totals, name).others for name in ("statuses", "failures", "apps", "days")},
    }
