"""``trackparse sync``: bring a folder of days up to date; for a job that runs every night."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from trackparse import AuthError
from trackparse.cli.exits import Exit
from trackparse.cli.options import options_of
from trackparse.cli.output import Command, counted, escaped, say, warn
from trackparse.cli.places import PlaceType
from trackparse.cli.progress import progress_bar
from trackparse.cli.service import Amount, DaysTold, service_options
from trackparse.client import GRACE, KEPT_DAYS
from trackparse.convert.outputs import PathOrUrl, in_folder, shown
from trackparse.signals import signals_held

if TYPE_CHECKING:
    from trackparse.client import TrackingLogClient

_HOUR = 3600.0  # seconds


@click.command(cls=Command)
@click.option(
    "--to",
    "directory",
    type=PlaceType(file_okay=False),
    required=True,
    metavar="DIR",
    help="Directory with a DATE.parquet for each day, or its URL; it is made if need be.",
)
@click.option(
    "--days",
    type=click.IntRange(1, KEPT_DAYS),
    default=KEPT_DAYS,
    show_default=True,
    metavar="N",
    help="Number of days to look at, up to yesterday in UTC.",
)
@click.option(
    "--grace",
    type=Amount("hours"),
    default=GRACE / _HOUR,
    show_default=True,
    metavar="HOURS",
    help="How long after its end, in UTC, the log of a day is taken for complete.",
)
@click.option("-n", "--dry-run", is_flag=True, help="List the days that would be fetched, and why; fetch nothing.")
@service_options
def sync(
    directory: PathOrUrl,
    days: int,
    grace: float,
    dry_run: bool,
    client_of: Callable[[Iterable[PathOrUrl | None]], TrackingLogClient],
    wait: float,
    strict: bool,
    keep_partial: bool,
    quiet: bool,
    **options: Any,
) -> Exit:
    """Fetch the days that are missing in a directory, or were fetched before they were complete.

    For a job that runs every night: it may fail, be killed, or run twice, and the next run makes up for it. A day is
    fetched again once when it is over, and once after the grace; then its file is left alone. _trackparse.json in the
    directory says when each day was fetched. A day that fails does not stop the others.

    Bad records and damage are treated as by convert; a *.rejects.jsonl that was changed since it was written is kept,
    and the new one is written beside it. The token is read from the environment or a file.

    \b
    Examples:
      export TRACKPARSE_TOKEN=...
      trackparse sync --to logs/
      trackparse sync --to s3://lake/push --token-file /run/secrets/push-token --quiet
      trackparse sync --to logs/ --dry-run
    """
    with signals_held():  # imports modules, some of which turn the exception of a signal into another error
        from trackparse.client import MANIFEST
    client = client_of([in_folder(directory, MANIFEST)])
    asked = {"days": days, "grace": grace * _HOUR, **options_of(strict, keep_partial, options)}
    with client, progress_bar("asking for the logs", None, shown=not quiet and not dry_run) as bar:
        told = DaysTold(bar, quiet=quiet)
        nothing = f"{shown(directory)}: nothing to fetch, of {counted(days, 'day')}"
        if dry_run:
            todo = client.days_to_sync(directory, **asked)
            if not todo and not quiet:
                warn(nothing)
            for planned in todo:
                if planned.error is not None:
                    told.fail(planned.error, str(planned.day))
                else:
                    say(f"{planned.day}: {planned.why}")
            return told.end()
        try:
            reports = client.sync(directory, deadline=wait, **told.callbacks, **asked)
        except AuthError as error:
            told.fail(error)
        else:
            if not reports and not quiet:
                say(escaped(nothing))
        return told.end()
