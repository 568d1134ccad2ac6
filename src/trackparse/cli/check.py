"""``trackparse check``: reads everything and says what is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from trackparse import PayloadError, TrackparseError
from trackparse.cli.exits import Exit, gravest
from trackparse.cli.inputs import Input, inputs_of
from trackparse.cli.options import Dialect, dialect_option, json_option, logs_argument, quiet_option
from trackparse.cli.output import Command, counted, escaped, line_of, put_json, say
from trackparse.cli.progress import Bar
from trackparse.cli.runner import for_each

if TYPE_CHECKING:
    from trackparse import Event, LogReader
    from trackparse.cli.findings import Findings

_BAD_PAYLOAD = "bad_payload"
_DAMAGE = "damage"


@click.command(cls=Command)
@logs_argument
@json_option
@dialect_option
@quiet_option
def check(logs: tuple[str, ...], as_json: bool, dialect: Dialect, quiet: bool) -> Exit:
    """Read all of each LOG and say what is wrong with it.

    It lists bad records by their reason, payloads that are not JSON objects (bad_payload), and damage of the archive,
    each with the first three places. It also says how many files of the archive were not read because of their names.
    The exit code is 0 if nothing is wrong, 3 if something is, and 1 if a log cannot be read at all.

    \b
    Examples:
      trackparse check tracking_log.zip
      trackparse check --quiet '2021-04-*.zip' || echo "look at these logs"
      trackparse check tracking_log.zip --json | jq .reasons
    """
    from trackparse.cli.findings import Findings

    found = []
    findings_of: defaultdict[Input, Findings] = defaultdict(Findings)

    def examine(log: Input, reader: LogReader, bar: Bar) -> Exit:
        findings = findings_of.pop(log)
        _examine(log, reader, findings)
        found.append(Exit.REJECTED if findings.counts else Exit.DONE)
        if not quiet or findings.counts:
            with bar.aside():
                _print(log, reader, findings, as_json)
        return Exit.DONE

    findings = findings_of.__getitem__
    code = for_each("checking", inputs_of(logs), examine, shown=not quiet, findings=findings, dialect=dialect)
    return gravest((code, *found))


def _examine(log: Input, reader: LogReader, findings: Findings) -> None:
    try:
        _look_into(log, reader.events(), findings)
    except TrackparseError as damage:
        findings.add(_DAMAGE, line_of(damage, log.name))


def _look_into(log: Input, events: Iterable[Event], findings: Findings) -> None:
    for event in events:
        if event.payload is not None:
            try:
                event.payload.check()
            except PayloadError as error:
                findings.add(_BAD_PAYLOAD, line_of(error, log.name))


def _print(log: Input, reader: LogReader, findings: Findings, as_json: bool) -> None:
    if as_json:
        put_json(_facts(log, reader, findings))
        return
    name = escaped(log.name)
    left_out = reader.stats.members_left_out
    beside = f"; {counted(left_out, 'other file')} in the archive not read" if left_out else ""
    if not findings.counts:
        say(f"{name}: {counted(reader.stats.records, 'record')}, all good{beside}")
        return
    say(f"{name}: {counted(reader.stats.records, 'good record')}{beside}, and")
    for reason, count in findings.ranked().items():
        say(f"  {reason}: {count:,}")
        for place in findings.places[reason]:
            say(f"    {escaped(place)}")


def _facts(log: Input, reader: LogReader, findings: Findings) -> dict[str, Any]:
    stats = reader.stats
    return {
        "log": log.name,
        "records": stats.records,
        "rejected": stats.rejected,
        "blank_lines": stats.blank_lines,
        "bytes_inflated": stats.bytes_inflated,
        "members": stats.members,
        "members_left_out": stats.members_left_out,
        "reasons": findings.ranked(),
        "first": findings.places,
    }
