"""``trackparse mend``: the records of a file of rejects that a person has mended, to Parquet."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from trackparse.cli.exits import Exit
from trackparse.cli.inputs import Input
from trackparse.cli.options import (
    bloom_filter_option,
    columns_option,
    dialect_option,
    filter_options,
    options_of,
    payload_option,
    quiet_option,
    strict_option,
)
from trackparse.cli.outcomes import outcome_of
from trackparse.cli.output import Command, check_is_no_output, counted, is_terminal, say, warn
from trackparse.cli.places import PlaceType
from trackparse.convert.outputs import OWN_FOLDER, PathOrUrl, name_in, rejects_beside, shown
from trackparse.signals import signals_held

_STDOUT = Path("-")


@click.command(cls=Command)
@click.argument("file", metavar="REJECTS", type=click.Path(readable=False))
@click.option(
    "-o",
    "--output",
    type=PlaceType(dir_okay=False, allow_dash=True),
    help="Parquet file to write: a path, a URL (s3://...), or - for standard output. [default: beside REJECTS, "
    "day.mended.parquet for day.rejects.jsonl; has to be named if REJECTS is a URL or -]",
)
@click.option(
    "--rejects",
    type=PlaceType(dir_okay=False),
    metavar="FILE",
    help="File for the records that are still bad, *.jsonl or *.parquet: a path or a URL. [default: beside the Parquet "
    "file, *.rejects.jsonl]",
)
@click.option(
    "--existing",
    type=click.Choice(["error", "replace"]),
    default="error",
    show_default=True,
    help="What to do if one of the files exists.",
)
@columns_option
@payload_option
@filter_options
@strict_option
@dialect_option
@click.option("--compression", default="zstd", show_default=True, help="Codec of the Parquet file.")
@click.option("--row-group-size", type=click.IntRange(min=1), metavar="ROWS", help="Rows of one row group.")
@bloom_filter_option
@quiet_option
def mend(
    file: str,
    output: PathOrUrl | None,
    rejects: PathOrUrl | None,
    existing: str,
    strict: bool,
    quiet: bool,
    **options: Any,
) -> Exit:
    """Write the records of REJECTS that a person has mended as a Parquet file.

    REJECTS is the file of bad records that convert or fetch wrote, *.rejects.jsonl, its URL, or - for standard input.
    Open it with an editor, correct "raw" where it is wrong, save it, and run this command. To drop a record, delete its
    line. In JSON a quote inside a text is written \\" and a backslash \\\\.

    Records that are still bad are written to a file of rejects again, each with the member, the record, the line and
    the byte offset that it has in its log. If none is good, nothing is written, and the exit code is 1.

    \b
    Examples:
      trackparse mend day.rejects.jsonl
      trackparse mend day.rejects.jsonl -o mended/day.parquet
      trackparse mend s3://lake/day.rejects.jsonl -o s3://lake/day.mended.parquet
      sed 's/\\\\"user;/user;/' day.rejects.jsonl | trackparse mend - -o day.mended.parquet
    """
    log = Input(file)
    dest, kept = _places(log, output, rejects, strict)
    check_is_no_output(log.file, log.name)
    with signals_held():  # imports modules, some of which turn the exception of a signal into another error
        import trackparse
        from trackparse.convert.places import place_of
    for place in () if existing == "replace" else (dest, kept):
        if place not in (None, _STDOUT) and place_of(place).exists():
            raise click.ClickException(f"{shown(place)}: the file exists: name another one, or add --existing replace")
    given = options_of(strict, keep_partial=False, others=options)
    del given["on_damage"]
    with log.source() as source:
        to_stdout = dest == _STDOUT
        report = trackparse.convert_rejects(source, sys.stdout.buffer if to_stdout else dest, rejects=kept, **given)
    outcome = replace(outcome_of(report, log.name), warnings=())
    if report.rejected:
        warn(f"{log.name}: {counted(report.rejected, 'record')} still bad, set aside in {report.rejects_path}")
    if report.blank_lines:
        warn(f"{log.name}: {counted(report.blank_lines, 'blank line')} in 'raw' left out")
    if not (quiet or to_stdout):
        say(outcome.done)
    return outcome.code


def _places(
    log: Input, output: PathOrUrl | None, rejects: PathOrUrl | None, strict: bool
) -> tuple[PathOrUrl, PathOrUrl | None]:
    """The Parquet file, and the file for what is still bad."""
    if rejects is not None and strict:
        raise click.UsageError("--rejects is not for --strict, which writes no rejects")
    if output is None:
        if log.is_stdin or log.path is None:
            raise click.UsageError(f"{log.name}: name the file to write with -o")
        if log.path.absolute().parent.name == OWN_FOLDER:
            raise click.UsageError(
                f"{log.name}: readers of the partitions pass over {OWN_FOLDER}: name a file in another folder with -o"
            )
        stem = Path(log.path.with_suffix("").name)
        stem = stem.with_suffix("") if stem.suffix == ".rejects" else stem
        output = log.path.with_name(f"{stem}.mended.parquet")
    if output == _STDOUT:
        if is_terminal(sys.stdout):
            raise click.UsageError("standard output is a terminal: send it to a file, or name one with -o")
        if rejects is None and not strict:
            raise click.UsageError("-o -: name the file for the records that are still bad with --rejects")
    elif not name_in(output):
        raise click.UsageError(f"{shown(output)!r} is no file: name the file to write with -o")
    return output, None if strict else rejects or rejects_beside(output)
