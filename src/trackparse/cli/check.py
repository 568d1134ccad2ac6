"""``trackparse check``: reads everything and says what is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from trackparse.cli.exits import Exit, gravest
from trackparse.cli.inputs import Input, inputs_of
from trackparse.cli.options import Dialect, dialect_option, json_option, logs_argument, quiet_option
from trackparse.cli.output import Command, counted, one_line, printable, put_json, say
from trackparse.cli.progress import Bar
from trackparse.cli.runner import for_each

if TYPE_CHECKING:
    from trackparse import Event, LogReader
    from trackparse.cli.faults import Faults

_BAD_PAYLOAD = "bad_payload"
_DAMAGE = "damage"


@click.command(cls=Command)
@logs_argument
@json_option
@dialect_option
@quiet_option
def check(logs: tuple[str, ...], as_json: bool, dialect: Dialect, quiet: bool) -> Exit:
    """Read all of each LOG and say what is wrong with it.

    Bad records by their reason, payloads that are not JSON objects (bad_payload), and damage of the archive, each with
    the places where the first three stand. The exit code is 0 if there is nothing, 3 if there is, and 1 if a log cannot
    be read at all.

    \b
    Examples:
      trackparse check tracking_log.zip
      trackparse check --quiet '2021-04-*.zip' || echo "look at these logs"
      trackparse check tracking_log.zip --json | jq .reasons
    """
    from trackparse.cli.faults import Faults

    found = []
    faults_of: defaultdict[Input, Faults] = defaultdict(Faults)

    def examine(log: Input, reader: LogReader, bar: Bar) -> Exit:
        faults = faults_of.pop(log)
        _examine(log, reader, faults)
        found.append(Exit.REJECTED if faults.counts else Exit.DONE)
        if not quiet or faults.counts:
            with bar.aside():
                _print(log, reader, faults, as_json)
        return Exit.DONE

    faults = faults_of.__getitem__
    code = for_each("checking", inputs_of(logs), examine, shown=not quiet, faults=faults, dialect=dialect)
    return gravest((code, *found))


def _examine(log: Input, reader: LogReader, faults: Faults) -> None:
    from trackparse.errors import TrackparseError

    try:
        _look_into(log, reader.events(), faults)
    except TrackparseError as damage:
        faults.add(_DAMAGE, one_line(damage, log.name))


def _look_into(log: Input, events: Iterable[Event], faults: Faults) -> None:
    from trackparse.errors import PayloadError

    for event in events:
        if event.payload is not None:
            try:
                event.payload.check()
            except PayloadError as fault:
                faults.add(_BAD_PAYLOAD, one_line(fault, log.name))


def _print(log: Input, reader: LogReader, faults: Faults, as_json: bool) -> None:
    if as_json:
        put_json(_facts(log, reader, faults))
        return
    name = printable(log.name)
    if not faults.counts:
        say(f"{name}: {counted(reader.stats.records, 'record')}, all good")
        return
    say(f"{name}: {counted(reader.stats.records, 'good record')}, and")
    for reason, count in faults.ranked().items():
        say(f"  {reason}: {count:,}")
        for place in faults.places[reason]:
            say(f"    {printable(place)}")


def _facts(log: Input, reader: LogReader, faults: Faults) -> dict[str, Any]:
    stats = reader.stats
    return {
        "log": log.name,
        "records": stats.records,
        "rejected": stats.rejected,
        "blank_lines": stats.blank_lines,
        "bytes_inflated": stats.bytes_inflated,
        "members": stats.members,
        "reasons": faults.ranked(),
        "first": faults.places,
    }
