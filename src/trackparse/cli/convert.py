"""``trackparse convert``: logs to Parquet, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path, PurePath
from typing import Any

import click

from trackparse import OptionError
from trackparse.cli.exits import Exit
from trackparse.cli.inputs import Input, inputs_of, total_size
from trackparse.cli.options import (
    columns_option,
    dialect_option,
    filter_options,
    keep_partial_option,
    logs_argument,
    options_of,
    payload_option,
    quiet_option,
    strict_option,
)
from trackparse.cli.outcomes import outcome_of, tell
from trackparse.cli.output import Command, check_is_no_output, expected
from trackparse.cli.places import PlaceType
from trackparse.cli.progress import progress_bar
from trackparse.convert.outputs import (
    Output,
    check_partition_by,
    check_places,
    make_folder,
    name_in,
    named_after,
    rejects_beside,
    shown,
)
from trackparse.signals import signals_held


def _rejects_name(ctx: click.Context, param: click.Parameter, value: Output | None) -> Output | None:
    if value is not None and PurePath(shown(value)).suffix.lower() not in (".jsonl", ".parquet"):
        raise click.BadParameter(f"{shown(value)}: expected a name that ends in .jsonl or .parquet")
    return value


def _partition_names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    try:
        return check_partition_by([name.strip() for name in value.split(",")]) if value else ()
    except OptionError as error:
        raise click.BadParameter(str(error)) from None


@click.command(cls=Command)
@logs_argument
@click.option("-o", "--output", type=PlaceType(), help="Parquet file to write, of one LOG: a path or a URL.")
@click.option(
    "--to",
    "directory",
    type=PlaceType(file_okay=False),
    metavar="DIR",
    help="Directory to write to, or its URL; it is made if missing. [default: that of the log; for a URL, this one]",
)
@click.option(
    "--partition-by",
    callback=_partition_names,
    metavar="NAMES",
    help="Columns whose values become folders in DIR, as Hive has them, with commas between: date, or date,appCode.",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Logs read at a time, at most: where all are larger than 4 MiB, one for two cores.",
)
@click.option(
    "--existing",
    type=click.Choice(["skip", "replace", "error"]),
    default="replace",
    show_default=True,
    help="What to do if the Parquet file exists. skip: leave out what was converted before, with the same options.",
)
@columns_option
@payload_option
@filter_options
@strict_option
@click.option(
    "--rejects",
    type=PlaceType(dir_okay=False),
    callback=_rejects_name,
    metavar="FILE",
    help="File for bad records, *.jsonl or *.parquet, of one LOG. [default: beside the Parquet file, *.rejects.jsonl]",
)
@keep_partial_option
@dialect_option
@click.option("--compression", default="zstd", show_default=True, help="Codec of the Parquet file.")
@click.option("--row-group-size", type=click.IntRange(min=1), metavar="ROWS", help="Rows of one row group.")
@quiet_option
def convert(
    logs: tuple[str, ...],
    output: Output | None,
    directory: Output | None,
    rejects: Output | None,
    partition_by: tuple[str, ...],
    jobs: int,
    existing: Any,
    strict: bool,
    keep_partial: bool,
    quiet: bool,
    **options: Any,
) -> Exit:
    """Write each LOG as a Parquet file, and print one line about it.

    The file has the name of the log with .parquet in place of .zip, .csv or .csv.gz. It appears when it is complete. A
    log that cannot be read does not stop the others, but the exit code is not 0 then.

    With --partition-by the records of a LOG go to a file of its name for each partition, such as
    DIR/date=2021-04-20/appCode=C90C0-0E786/log.parquet, when it has been read to its end.

    Bad records are written to a file beside the Parquet file, log.rejects.jsonl for log.parquet, each with its place,
    the reason and its bytes. Their number is printed on standard error. The exit code is 0 all the same; with --strict
    a bad record is an error. A damaged archive is an error; with --keep-partial the records that can be read are kept,
    and the exit code is 4.

    \b
    Examples:
      trackparse convert tracking_log.zip
      trackparse convert '2021-04-*.zip' --to parquet/ --jobs 4
      trackparse convert days/ --to lake/ --existing skip
      trackparse convert days/ --to lake/ --partition-by date,appCode --jobs 2
      trackparse convert tracking_log.zip -o opened.parquet --status opened --columns timestamp,hwid
      curl -sL "$LINK" | trackparse convert - -o tracking_log.parquet
      trackparse convert s3://push-logs/2021-04-20.zip --to s3://lake/push
    """
    inputs = inputs_of(logs)
    if rejects is not None and (strict or len(inputs) > 1):
        raise click.UsageError("--rejects is for one log, and not for --strict, which writes no rejects")
    with signals_held():  # imports modules, some of which turn the exception of a signal into another error
        from trackparse.convert.jobs import Job, run_jobs
        from trackparse.options import convert_options
    if partition_by and directory is None:
        raise click.UsageError("--partition-by makes many files: name their directory with --to")
    lake = directory if partition_by else None
    outputs = _destinations(inputs, output, directory, rejects, strict, lake)
    asked = convert_options(options_of(strict, keep_partial, options))  # type: ignore[arg-type]
    todo = [
        Job(log.name, log.size, log.time, log.source, dest, rejects, asked, existing, expected, partition_by, lake)
        for log, (dest, rejects) in zip(inputs, outputs, strict=True)
    ]
    try:
        check_places(
            [
                (
                    log.name,
                    log.text if log.is_url else log.file,
                    {"name another file with -o": dest, "name another file with --rejects": rejects},
                )
                for log, (dest, rejects) in zip(inputs, outputs, strict=True)
            ]
        )
    except OptionError as error:
        raise click.UsageError(str(error)) from None
    if directory is not None:
        make_folder(directory)
    with (
        progress_bar("converting", total_size(inputs), shown=not quiet) as bar,
        closing(run_jobs(todo, jobs, bar.update)) as reports,
    ):
        return tell((outcome_of(report, report.source) for _, report in reports), bar, quiet=quiet)


def _destinations(
    inputs: Sequence[Input],
    output: Output | None,
    directory: Output | None,
    rejects: Output | None,
    strict: bool,
    lake: Output | None,
) -> list[tuple[Output, Output | None]]:
    """The Parquet file and the file of rejects of each log."""
    if output is not None and directory is not None:
        raise click.UsageError("-o and --to exclude each other: give one of them")
    if output is not None and len(inputs) > 1:
        raise click.UsageError(f"-o {shown(output)} takes one log, not {len(inputs)}: name a directory with --to")
    outputs = []
    for log in inputs:
        check_is_no_output(log.file, log.name)
        dest = output or _named_after(log, directory)
        if not name_in(dest):
            raise click.UsageError(f"{shown(dest)!r} is no file: name the file to write with -o")
        outputs.append((dest, None if strict else rejects or rejects_beside(dest, lake)))
    return outputs


def _named_after(log: Input, directory: Output | None) -> Output:
    if log.is_stdin:
        raise click.UsageError("standard input has no name: name the file to write with -o")
    try:
        return named_after(log.path or Path(name_in(log.text) or "tracking_log"), directory)
    except ValueError:
        raise click.UsageError(f"{log.name!r} is neither a file nor a URL: name a log") from None
