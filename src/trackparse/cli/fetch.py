"""``trackparse fetch``: from the service to Parquet, a file for each day."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trackparse import AuthError
from trackparse.cli.exits import Exit
from trackparse.cli.options import options_of
from trackparse.cli.output import Command
from trackparse.cli.places import PlaceType
from trackparse.cli.progress import progress_bar
from trackparse.cli.service import Day, DaysTold, service_options
from trackparse.client import days as days_between
from trackparse.client.calendar import date_of
from trackparse.convert.outputs import PathOrUrl, in_folder, rejects_beside, shown

if TYPE_CHECKING:
    from trackparse.client import TrackingLogClient


class _Date(click.ParamType):  # type: ignore[type-arg] # generic in newer versions only
    """A day whose log the service keeps."""

    name = "DATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Day:
        try:
            return days_between(value, value)[0]
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(cls=Command)
@click.option("--date", type=_Date(), help="Day of the log: one of the last 14. [default: yesterday, in UTC]")
@click.option("--until-date", type=_Date(), help="Last day, for the logs of several days.")
@click.option("--days", type=click.IntRange(min=1), metavar="N", help="Number of days up to --date, or to yesterday.")
@click.option("-o", "--output", type=PlaceType(), help="Parquet file to write, of one day: a path or a URL.")
@click.option(
    "--to",
    "directory",
    type=PlaceType(file_okay=False),
    default=".",
    metavar="DIR",
    help="Directory for DATE.parquet, or its URL; it is made if need be. [default: this one]",
)
@service_options
def fetch(
    date: Day | None,
    until_date: Day | None,
    days: int | None,
    output: PathOrUrl | None,
    directory: PathOrUrl,
    client_of: Callable[[Iterable[PathOrUrl | None]], TrackingLogClient],
    wait: float,
    strict: bool,
    keep_partial: bool,
    quiet: bool,
    **options: Any,
) -> Exit:
    """Ask the service for the log of a day, wait until it is made, and write it as Parquet while it arrives.

    Nothing else is stored. A download that breaks goes on where it stopped. Bad records and damage are treated as by
    convert; a *.rejects.jsonl that was changed since it was written is kept, and the new one is written beside it. The
    token is read from the environment or a file, never from the command line, which others can see.

    Each of several days becomes a file. The service is asked for all of them first. A day that fails does not stop the
    others. A day that is not over, in UTC, is fetched as far as it goes, and a line says so. To fetch each night what
    is missing, use sync.

    \b
    Examples:
      export TRACKPARSE_TOKEN=...
      trackparse fetch --date YYYY-MM-DD
      trackparse fetch --date YYYY-MM-DD --until-date YYYY-MM-DD --to logs/
      trackparse fetch --days 3 --to logs/ --token-file /run/secrets/push-token --quiet
    """
    wanted = _wanted(date, until_date, days)
    if output is not None and len(wanted) > 1:
        raise click.UsageError(f"-o {shown(output)} takes one day, not {len(wanted)}: name a directory with --to")
    if isinstance(output, Path) and (output.is_dir() or not output.parent.is_dir()):
        # Checked now, and not after minutes of waiting.
        raise click.UsageError(f"-o {output}: expected a file in a directory that exists")
    outputs = [output] if output is not None else [in_folder(directory, f"{day}.parquet") for day in wanted]
    client = client_of([*outputs, *([] if strict else map(rejects_beside, outputs))])
    asked: dict[str, Any] = {"deadline": wait, **options_of(strict, keep_partial, options)}
    title = "asking for the log" if len(wanted) == 1 else "asking for the logs"
    with client, progress_bar(title, None, shown=not quiet) as bar:
        told = DaysTold(bar, quiet=quiet)
        try:
            if output is None:
                client.convert_days(wanted[0], wanted[-1], directory, **told.callbacks, **asked)
            else:
                asked["rejects"] = None if strict else rejects_beside(output)
                _fetch_one(client, wanted[0], output, told, asked)
        except AuthError as error:
            told.fail(error)
        return told.end()


def _fetch_one(client: TrackingLogClient, day: Day, output: PathOrUrl, told: DaysTold, asked: dict[str, Any]) -> None:
    try:
        report = client.convert(day, output, progress=told.show, **asked)
    except Exception as error:
        told.fail(error, str(day))
    else:
        told.report(day, report)


def _wanted(date: Day | None, until: Day | None, number: int | None) -> list[Day]:
    """The days to ask for."""
    if until is not None and number is not None:
        raise click.UsageError("--until-date and --days exclude each other: give one of them")
    if until is not None and date is None:
        raise click.UsageError("--until-date needs --date, the first of the days")
    last = date or date_of(time.time()) - datetime.timedelta(days=1)
    try:
        if until is not None:
            return [*days_between(last, until)]
        return [*days_between(last - datetime.timedelta(days=(number or 1) - 1), last)]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except OverflowError:
        raise click.UsageError(f"--days {number}: there is no calendar that far back") from None
