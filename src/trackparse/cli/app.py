"""The group of all commands, and how each of them ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

# Most of the library is imported inside the commands: --help need not wait for pyarrow.
from trackparse import __version__
from trackparse.cli.cat import cat
from trackparse.cli.check import check
from trackparse.cli.convert import convert
from trackparse.cli.exits import Exit, exit_for
from trackparse.cli.fetch import fetch
from trackparse.cli.head import head
from trackparse.cli.mend import mend
from trackparse.cli.output import OutputError, abandon_output, expected, flush, line_of, warn, warnings_printed, writing
from trackparse.cli.sample import sample
from trackparse.cli.schema import schema
from trackparse.cli.stats import stats
from trackparse.cli.sync import sync


class _Commands(click.Group):
    """Turns the result of a command into its exit code, and an expected error into one line and an exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        with _errors_told(), writing():  # help and the version are printed before a command is invoked
            return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _errors_told():
            with warnings_printed():
                code = super().invoke(ctx) or Exit.DONE
            # A closed pipe or a full disk is met here, and not when the interpreter exits.
            try:
                flush()
            except BrokenPipeError:
                abandon_output()  # what the command found out is its exit code all the same
            ctx.exit(code)


@contextmanager
def _errors_told() -> Iterator[None]:
    """Ends the process with one line and an exit code at an expected error in the block."""
    try:
        yield
    except BrokenPipeError:
        abandon_output()
        sys.exit(Exit.DONE)
    except Exception as error:
        # click tells wrong usage itself, with the usage of the command.
        if not expected(error) or isinstance(error, click.UsageError):
            raise
        warn(line_of(error))
        if isinstance(error, OutputError):
            abandon_output()
        sys.exit(exit_for(error))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Read push-tracking logs: a CSV in a ZIP, a CSV, or a gzipped CSV.

    A LOG is a file, a URL, - for standard input, or, where a command takes several, a folder or a glob in quotes.

    \b
    Examples:
      trackparse fetch --date YYYY-MM-DD
      trackparse convert tracking_log.zip
      trackparse stats tracking_log.zip
      trackparse COMMAND --help

    Exit codes: 0 done; 1 a log cannot be read or a file not written; 2 wrong usage; 3 bad records under --strict, or
    check found something; 4 a damaged log was kept in part; 5 the service does not accept the token; 6 it had no log in
    time; 7 it failed; 130 interrupted; 143 terminated. TRACKPARSE_DEBUG=1 in the environment shows the traceback of
    every error.
    """


for command in (fetch, sync, convert, mend, stats, head, cat, check, schema, sample):
    cli.add_command(command)


def run() -> None:
    """Run the command line. The process listens to signals already."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the process was started with the stream closed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        # A character that the terminal cannot show must not end the run.
        getattr(sys, name).reconfigure(errors="backslashreplace")
    cli(prog_name="trackparse")
