"""``trackparse cat``: the records of logs as CSV or JSON lines, for other programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import click

from trackparse.cli.exits import Exit
from trackparse.cli.inputs import Input, inputs_of
from trackparse.cli.options import (
    Dialect,
    columns_option,
    dialect_option,
    filter_options,
    logs_argument,
    payload_option,
    quiet_option,
    strict_option,
)
from trackparse.cli.output import Command, counted, is_terminal, misfits_line, put, warn
from trackparse.cli.progress import Bar
from trackparse.cli.runner import for_each

if TYPE_CHECKING:
    import pyarrow as pa

    from trackparse import Filter, LogReader


@click.command(cls=Command)
@logs_argument
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="JSON lines, or CSV as in RFC 4180, with commas and one header line.",
)
@columns_option
@payload_option
@filter_options
@strict_option
@dialect_option
@quiet_option
def cat(
    logs: tuple[str, ...],
    format_: Literal["jsonl", "csv"],
    columns: list[str] | None,
    payload_columns: dict[str, Any] | None,
    where: Filter | None,
    strict: bool,
    dialect: Dialect,
    quiet: bool,
) -> Exit:
    """Print all good records of each LOG, for other programs.

    Both formats are UTF-8 with LF at line ends, whatever the log and the locale use. In jsonl a payload is a JSON
    object, or text if it is not a JSON object in the log. In csv a payload is its JSON text. Every text in csv has
    quotes, and a missing value has none, so that both can be told apart; line breaks in values are kept. Bad records
    are left out, and their number is printed on standard error.

    \b
    Examples:
      trackparse cat tracking_log.zip | jq .payload.aps.alert
      trackparse cat 2021-04-*.zip --format csv --status failed > failed.csv
      trackparse cat - --columns timestamp,hwid --since '2021-04-20 12:00' < log.zip
    """
    writer = _Writer(format_)

    def copy(log: Input, reader: LogReader, bar: Bar) -> Exit:
        put(writer.start(reader.schema))
        for batch in reader:
            for text in writer.rows(batch):
                put(text)
        if reader.stats.rejected:
            with bar.aside():
                warn(f"{log.name}: {counted(reader.stats.rejected, 'bad record')} left out")
        if reader.stats.misfits:
            with bar.aside():
                warn(misfits_line(log.name, reader.stats.misfits))
        return Exit.DONE

    options: dict[str, Any] = {
        "columns": columns,
        "payload_columns": payload_columns,
        "where": where,
        "dialect": dialect,
    }
    # No bar where the records themselves appear on the terminal.
    shown = not quiet and not is_terminal(sys.stdout)
    return for_each("reading", inputs_of(logs), copy, shown=shown, on_error="raise" if strict else "skip", **options)


class _Writer:
    """Batches of several logs as one stream of text."""

    def __init__(self, format_: Literal["jsonl", "csv"]) -> None:
        self._csv = format_ == "csv"
        self._schema: pa.Schema | None = None  # of the header line, once that is printed

    def start(self, schema: pa.Schema) -> bytes:
        """What to print before the rows of a log: a header line before the first log, nothing before the others."""
        if not self._csv or schema == self._schema:
            return b""
        if self._schema is not None:
            names = ", ".join(self._schema.names)
            raise click.ClickException(
                f"its columns are not those of the first log ({names}): name the columns that you want with --columns"
            )
        self._schema = schema
        return _csv(schema.empty_table(), header=True)

    def rows(self, batch: pa.RecordBatch) -> Iterable[bytes]:
        """The rows of a batch, in pieces."""
        from trackparse.cli.jsonl import lines_of

        return [_csv(batch, header=False)] if self._csv else lines_of(batch)


def _csv(rows: pa.RecordBatch | pa.Table, *, header: bool) -> bytes:
    import pyarrow as pa
    from pyarrow import csv

    buffer = pa.BufferOutputStream()
    csv.write_csv(rows, buffer, csv.WriteOptions(include_header=header))
    text: bytes = buffer.getvalue().to_pybytes()
    return text
