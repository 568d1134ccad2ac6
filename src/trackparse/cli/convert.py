"""``trackparse convert``: logs to Parquet, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from trackparse import OptionError
from trackparse.cli.exits import Exit
from trackparse.cli.inputs import Input, inputs_of, total_size
from trackparse.cli.options import (
    bloom_filter_option,
    columns_option,
    dialect_option,
    filter_options,
    keep_partial_option,
    list_completed,
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
    PARTITION_COLUMNS,
    PathOrUrl,
    check_is_parquet,
    check_partition_by,
    check_places,
    flat_name,
    in_folder,
    name_in,
    named_after,
    rejects_beside,
    shown,
)
from trackparse.signals import signals_held

if TYPE_CHECKING:
    from trackparse.convert.jobs import Job


def _rejects_name(ctx: click.Context, param: click.Parameter, value: PathOrUrl | None) -> PathOrUrl | None:
    if value is not None and PurePath(shown(value)).suffix.lower() not in (".jsonl", ".parquet"):
        raise click.BadParameter(f"{shown(value)}: expected a name that ends in .jsonl or .parquet")
    return value


def _partition_names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    try:
        return () if value is None else check_partition_by([name.strip() for name in value.split(",")])
    except OptionError as error:
        raise click.BadParameter(str(error)) from None


def _partition_columns(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return list_completed(PARTITION_COLUMNS, incomplete)


@click.command(cls=Command)
@logs_argument
@click.option("-o", "--output", type=PlaceType(), help="Parquet file to write, of all LOGs: a path or a URL.")
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
    shell_complete=_partition_columns,
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
    help="Logs read at a time, at most, each by a process: as many as take the least time, perhaps one.",
)
@click.option(
    "--existing",
    type=click.Choice(["skip", "replace", "error"]),
    default="replace",
    show_default=True,
    help="What to do if the Parquet file exists. skip: leave out what was converted before, with the same options.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads that work for one log at once, at most, 1 to 4. [default: as many as help; fewer with --jobs]",
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
    help="File for bad records, *.jsonl or *.parquet, of one output. [default: *.rejects.jsonl beside the output]",
)
@keep_partial_option
@dialect_option
@click.option("--compression", default="zstd", show_default=True, help="Codec of the Parquet file.")
@click.option("--row-group-size", type=click.IntRange(min=1), metavar="ROWS", help="Rows of one row group.")
@bloom_filter_option
@quiet_option
def convert(
    logs: tuple[str, ...],
    output: PathOrUrl | None,
    directory: PathOrUrl | None,
    rejects: PathOrUrl | None,
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

    With --to, a log that is found in a folder, or by a quoted glob, is called by its path from there:
    2021-04-20-app.parquet for days/2021-04-20/app.zip of days/.

    With -o and several LOGs all records go into one file, in the order of the names of the logs, and all bad ones into
    one file of rejects, which says of each in which log it stands.

    With --partition-by the records of a LOG go to a file of its name for each partition, such as
    DIR/date=2021-04-20/appCode=C90C0-0E786/log.parquet, when it has been read to its end.

    Bad records are written to a file beside the Parquet file, log.rejects.jsonl for log.parquet, each with its place,
    the reason and its bytes. Their number is printed on standard error. The exit code is 0 all the same; with --strict
    a bad record is an error. If somebody may have changed log.rejects.jsonl since it was written with log.parquet, it
    is kept, and the new one is log.rejects.new.jsonl. A damaged archive is an error; with --keep-partial the records
    that can be read are kept, and the exit code is 4.

    \b
    Examples:
      trackparse convert tracking_log.zip
      trackparse convert '2021-04-*.zip' --to parquet/ --jobs 4
      trackparse convert days/ --to lake/ --existing skip
      trackparse convert days/ --to lake/ --partition-by date,appCode --jobs 2
      trackparse convert days/ -o all.parquet
      trackparse convert tracking_log.zip -o opened.parquet --status opened --columns timestamp,hwid
      curl -sL "$LINK" | trackparse convert - -o tracking_log.parquet
      trackparse convert s3://push-logs/2021-04-20.zip --to s3://lake/push
    """
    inputs = inputs_of(logs, sized=True)
    if rejects is not None and (strict or (len(inputs) > 1 and output is None)):
        raise click.UsageError("--rejects is for one file, and not for --strict, which writes no rejects")
    if output is not None and directory is not None:
        raise click.UsageError("-o and --to exclude each other: give one of them")
    if partition_by and directory is None:
        raise click.UsageError("--partition-by makes many files: name their directory with --to")
    if output is not None and not name_in(output):
        raise click.UsageError(f"{str(shown(output))!r} is no file: name the file to write with -o")
    with signals_held():  # imports modules, some of which turn the exception of a signal into another error
        from trackparse.convert.jobs import Job, joined_job, tell_of_hidden_names, with_faults
        from trackparse.convert.running import run_jobs
        from trackparse.options import convert_options
    asked = convert_options(options_of(strict, keep_partial, options))  # type: ignore[arg-type]
    for log in inputs:
        check_is_no_output(log.file, log.name)
    try:
        # A directory with one log may have two the next day.
        if output is not None and [log.text for log in inputs] != [*logs[:1]]:
            todo = [joined_job(_names(inputs), output, _rejects(rejects, output, strict), asked, existing, expected)]
        else:
            lake = directory if partition_by else None
            todo = []
            for log in inputs:
                dest = output or _named_after(log, directory)
                bad = _rejects(rejects, dest, strict, lake)
                job = Job(log.name, log.size, log.time, log.source, dest, bad, asked, existing, expected)
                todo.append(replace(job, partition_by=partition_by, lake=lake, folder=None if output else directory))
            todo = with_faults(todo, [log.below for log in inputs])
            _check_places(inputs, todo)
            if output is None:
                tell_of_hidden_names(todo)
        check_is_parquet(output)  # before a store is asked for it
    except OptionError as error:
        raise click.UsageError(str(error)) from None
    with (
        progress_bar("converting", total_size(inputs), shown=not quiet) as bar,
        closing(run_jobs(todo, jobs, bar.update)) as reports,
    ):
        return tell((outcome_of(report, report.source) for _, report in reports), bar, quiet=quiet)


def _names(inputs: Sequence[Input]) -> list[str]:
    """What the logs for one file are called."""
    if any(log.is_stdin for log in inputs):
        raise click.UsageError("standard input cannot be one of several logs for one file: name files")
    return [log.text for log in inputs]


def _rejects(given: PathOrUrl | None, dest: PathOrUrl, strict: bool, lake: PathOrUrl | None = None) -> PathOrUrl | None:
    return None if strict else given or rejects_beside(dest, lake)


def _check_places(inputs: Sequence[Input], jobs: Sequence[Job]) -> None:
    """OptionError if two logs would be written to one file, or a log would be written over."""
    from trackparse.convert.jobs import outputs_of

    advice = ("name another file with -o", "name another file with --rejects")
    check_places(
        [
            (log.name, log.text if log.is_url else log.file, dict(zip(advice, outputs_of(job), strict=True)))
            for log, job in zip(inputs, jobs, strict=True)
        ]
    )


def _named_after(log: Input, directory: PathOrUrl | None) -> PathOrUrl:
    if log.is_stdin:
        raise click.UsageError("standard input has no name: name the file to write with -o")
    try:
        if directory is not None:
            return in_folder(directory, flat_name(log.below or name_in(log.path or log.text) or "tracking_log"))
        return named_after(log.path or Path(name_in(log.text) or "tracking_log"))
    except ValueError:
        raise click.UsageError(f"{log.name!r} is neither a file nor a URL: name a log") from None
