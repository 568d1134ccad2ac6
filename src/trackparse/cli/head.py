"""``trackparse head``: the first events of a log, for people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from trackparse.cli.exits import Exit
from trackparse.cli.inputs import Input
from trackparse.cli.options import Dialect, dialect_option, filter_options, log_argument
from trackparse.cli.output import (
    Command,
    aligned,
    counted,
    escaped,
    is_terminal,
    put,
    say,
    shortened,
    terminal_width,
    warn,
)
from trackparse.cli.progress import Bar
from trackparse.cli.runner import for_each

if TYPE_CHECKING:
    from trackparse import Event, Filter, LogReader

_ALIGNED_AT_ONCE = 100  # rows; more at once would take memory that grows with N
_WIDEST = 24  # characters of one column; push tokens are far longer
_WIDEST_PAYLOAD = 80
_BLOCK_SIZE = 1 << 16  # bytes: a few rows do not need more


@click.command(cls=Command)
@log_argument
@click.option("-n", "--rows", type=click.IntRange(min=0), default=10, show_default=True, metavar="N")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each row; nothing is shortened.")
@filter_options
@dialect_option
def head(log: str, rows: int, as_json: bool, where: Filter | None, dialect: Dialect) -> Exit:
    """Print the first events of LOG.

    With a filter, the first events that meet it. Long values are shortened, but not with --json. In a terminal lines
    fit its width; where it is too narrow for columns, each field has a line.

    \b
    Examples:
      trackparse head tracking_log.zip
      trackparse head tracking_log.zip -n 3 --status failed --json
      curl -sL "$LINK" | trackparse head -
    """

    lines: Callable[[Sequence[str], Iterator[Event]], Iterator[str]] = _lines
    if is_terminal(sys.stdout):
        from trackparse.cli.screen import lines_that_fit  # imported late: rich is needed on a terminal only

        lines = partial(lines_that_fit, width=terminal_width())

    def show(_log: Input, reader: LogReader, _bar: Bar) -> Exit:
        if as_json:
            _print_json(reader, rows)
        else:
            for line in lines(reader.schema.names, islice(reader.events(), min(rows, sys.maxsize))):
                say(line)
        if reader.stats.rejected:
            # A block is read whole, so some of them may stand behind the last row that was printed.
            warn(f"{counted(reader.stats.rejected, 'bad record')} found and left out")
        return Exit.DONE

    options: dict[str, Any] = {"where": where, "dialect": dialect, "block_size": _BLOCK_SIZE, "on_error": "skip"}
    return for_each("reading", [Input(log)], show, shown=False, **options)


def _print_json(reader: LogReader, rows: int) -> None:
    from trackparse.cli.jsonl import lines_of

    while rows > 0 and (batch := next(reader, None)) is not None:
        for lines in lines_of(batch.slice(0, min(rows, batch.num_rows))):
            put(lines)
        rows -= min(rows, batch.num_rows)


def _lines(columns: Sequence[str], events: Iterator[Event]) -> Iterator[str]:
    """A header line, and a line for each event. A column becomes wider where it must, and never narrower.

    The first of ``columns`` are those of an event, in the same order.
    """
    widths: list[int] = []
    # Each event is shortened as it comes: a description may have 16 MiB.
    cells = (tuple(map(_cell, event)) for event in events)
    while rows := list(islice(cells, _ALIGNED_AT_ONCE)):
        yield from aligned(rows if widths else [columns[: len(rows[0])], *rows], widths)


def _cell(value: object) -> str:
    if not isinstance(value, Mapping):
        return shortened(escaped(str(value or "")), _WIDEST)
    text = escaped(str(getattr(value, "text", "")))
    return text if len(text) <= _WIDEST_PAYLOAD else f"{text[: _WIDEST_PAYLOAD - 1]}…"
