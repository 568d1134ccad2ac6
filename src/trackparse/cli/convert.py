"""``trackparse convert``: logs to Parquet, several at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import click

from trackparse.atomic import identity
from trackparse.cli.exits import Exit
from trackparse.cli.inputs import Input, inputs_of, total_size
from trackparse.cli.jobs import Job, run_jobs
from trackparse.cli.options import (
    columns_option,
    dialect_option,
    filter_options,
    keep_partial_option,
    logs_argument,
    options_of,
    quiet_option,
    strict_option,
)
from trackparse.cli.outcomes import rejects_beside, tell
from trackparse.cli.output import Command, check_is_no_output
from trackparse.cli.progress import progress_bar


def _rejects_name(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and value.suffix.lower() not in (".jsonl", ".parquet"):
        raise click.BadParameter(f"{value}: expected a name that ends in .jsonl or .parquet")
    return value


@click.command(cls=Command)
@logs_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Parquet file to write, of one LOG.")
@click.option(
    "--to",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Directory to write to; it is made if missing. [default: that of the log; for a URL, this one]",
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
@columns_option
@filter_options
@strict_option
@click.option(
    "--rejects",
    type=click.Path(path_type=Path, dir_okay=False),
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
    output: Path | None,
    directory: Path | None,
    rejects: Path | None,
    jobs: int,
    strict: bool,
    keep_partial: bool,
    quiet: bool,
    **options: Any,
) -> Exit:
    """Write each LOG as a Parquet file, and print one line about it.

    The file has the name of the log with .parquet in place of .zip, .csv or .csv.gz. It appears when it is complete. A
    log that cannot be read does not stop the others, but the exit code is not 0 then.

    Bad records are written to a file beside the Parquet file, log.rejects.jsonl for log.parquet, each with its place,
    the reason and its bytes. Their number is printed on standard error. The exit code is 0 all the same; with --strict
    a bad record is an error. A damaged archive is an error; with --keep-partial the records that can be read are kept,
    and the exit code is 4.

    \b
    Examples:
      trackparse convert tracking_log.zip
      trackparse convert '2021-04-*.zip' --to parquet/ --jobs 4
      trackparse convert tracking_log.zip -o opened.parquet --status opened --columns timestamp,hwid
      curl -sL "$LINK" | trackparse convert - -o tracking_log.parquet
    """
    inputs = inputs_of(logs)
    if rejects is not None and (strict or len(inputs) > 1):
        raise click.UsageError("--rejects is for one log, and not for --strict, which writes no rejects")
    outputs = _destinations(inputs, output, directory, rejects, strict)
    options = options_of(strict, keep_partial, options)
    todo = [Job(log, dest, rejects, options) for log, (dest, rejects) in zip(inputs, outputs, strict=True)]
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    with (
        progress_bar("converting", total_size(inputs), shown=not quiet) as bar,
        closing(run_jobs(todo, jobs, bar)) as outcomes,
    ):
        return tell(outcomes, bar, quiet=quiet)


def _destinations(
    inputs: Sequence[Input], output: Path | None, directory: Path | None, rejects: Path | None, strict: bool
) -> list[tuple[Path, Path | None]]:
    """The Parquet file and the file of rejects of each log.

    UsageError if two logs would be written to one file, or a log would be written over.
    """
    if output is not None and directory is not None:
        raise click.UsageError("-o and --to exclude each other: give one of them")
    if output is not None and len(inputs) > 1:
        raise click.UsageError(f"-o {output} takes one log, not {len(inputs)}: name a directory with --to")
    logs = {found: log for log in inputs if (found := identity(log.file))}
    taken: dict[Any, Input] = {}
    outputs = []
    for log in inputs:
        check_is_no_output(log.file, log.name)
        dest = output or _named_after(log, directory)
        if not dest.name:
            raise click.UsageError(f"{str(dest)!r} is no file: name the file to write with -o")
        outputs.append((dest, None if strict else rejects or rejects_beside(dest)))
        for path, option in zip(outputs[-1], ("-o", "--rejects"), strict=True):
            if path is None:
                continue
            found = identity(path)
            if found in logs:
                of = "itself" if logs[found] is log else logs[found].name
                raise click.UsageError(f"{path} is the log {of}: name another file with {option}")
            first = taken.setdefault(found or os.path.realpath(path), log)
            if first is not log:
                raise click.UsageError(f"{first.name} and {log.name} would both become {path}: convert them one by one")
    return outputs


def _named_after(log: Input, directory: Path | None) -> Path:
    if log.is_stdin:
        raise click.UsageError("standard input has no name: name the file to write with -o")
    try:
        path = log.path or Path(PurePosixPath(unquote(urlsplit(log.text).path)).name or "tracking_log")
        stem = path.with_suffix("") if path.suffix == ".gz" else path
        dest = stem.with_suffix(".parquet")
    except ValueError:
        raise click.UsageError(f"{log.name!r} is neither a file nor a URL: name a log") from None
    return dest if directory is None else directory / dest.name
