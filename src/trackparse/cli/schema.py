"""``trackparse schema``: the columns of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trackparse.cli.exits import Exit
from trackparse.cli.inputs import Input
from trackparse.cli.options import Dialect, dialect_option, json_option, log_argument
from trackparse.cli.output import Command, aligned, escaped, put_json, say
from trackparse.cli.progress import Bar
from trackparse.cli.runner import for_each

if TYPE_CHECKING:
    from trackparse import LogReader


@click.command(cls=Command)
@log_argument
@json_option
@dialect_option
def schema(log: str, as_json: bool, dialect: Dialect) -> Exit:
    """Print the columns of LOG and their Arrow types.

    Only the beginning of the log is read. Columns behind the first eight are not known to trackparse; it keeps them as
    strings.

    \b
    Examples:
      trackparse schema tracking_log.zip
      trackparse schema tracking_log.zip --json
    """

    def show(_log: Input, reader: LogReader, _bar: Bar) -> Exit:
        columns = {field.name: str(field.type) for field in reader.schema}
        if as_json:
            put_json(columns)
        else:
            for line in aligned([(escaped(name), kind) for name, kind in columns.items()], []):
                say(line)
        return Exit.DONE

    return for_each("reading", [Input(log)], show, shown=False, dialect=dialect, on_error="skip")
