"""``trackparse fetch``: from the service to Parquet, a file for each day."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trackparse.atomic import identity
from trackparse.cli.exits import Exit, exit_for
from trackparse.cli.options import (
    columns_option,
    filter_options,
    keep_partial_option,
    options_of,
    payload_option,
    quiet_option,
    strict_option,
)
from trackparse.cli.outcomes import Outcome, convert, failure, tell
from trackparse.cli.output import Command, expected
from trackparse.cli.places import PlaceType
from trackparse.cli.progress import Bar, progress_bar
from trackparse.client import days as days_between
from trackparse.convert.outputs import Output, in_folder, make_folder, rejects_beside, shown
from trackparse.signals import signals_held

if TYPE_CHECKING:
    from trackparse import Progress
    from trackparse.client import TrackingLogClient

Day = datetime.date


class _Seconds(click.FloatRange):
    """A number of seconds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds


class _Date(click.ParamType):  # type: ignore[type-arg] # generic in newer versions only
    """A day whose log the service keeps."""

    name = "DATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Day:
        try:
            return days_between(value, value)[0]
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(cls=Command)
@click.option("--date", type=_Date(), help="Day of the log: one of the last 14. [default: what the service gives]")
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
@click.option(
    "--token-file",
    type=click.File("r", encoding="utf-8"),
    metavar="FILE",
    help="File that holds the API token. [default: the token is in the environment variable TRACKPARSE_TOKEN]",
)
@click.option(
    "--wait",
    type=_Seconds(min=0),
    default=900,
    show_default=True,
    metavar="SECONDS",
    help="How long the service may take to make a log, and how long the download may stand still.",
)
@columns_option
@payload_option
@filter_options
@strict_option
@keep_partial_option
@click.option(
    "--base-url",
    envvar="TRACKPARSE_BASE_URL",
    metavar="URL",
    help="URL of another service. [env: TRACKPARSE_BASE_URL]",
)
@click.option("--allow-http", is_flag=True, help="Send the token without encryption: for tests on this machine.")
@click.option(
    "--allow-http-download",
    is_flag=True,
    help="If the service gives an http:// link, download by http. [default: try the same link by https]",
)
@quiet_option
def fetch(
    date: Day | None,
    until_date: Day | None,
    days: int | None,
    output: Output | None,
    directory: Output,
    token_file: Any,
    wait: float,
    strict: bool,
    keep_partial: bool,
    base_url: str | None,
    allow_http: bool,
    allow_http_download: bool,
    quiet: bool,
    **options: Any,
) -> Exit:
    """Ask the service for the log of a day, wait until it is made, and write it as Parquet while it arrives.

    Nothing else is stored. A download that breaks goes on where it stopped. Bad records and damage are treated as by
    convert. The token is read from the environment or a file, never from the command line, which others can see.

    Each of several days becomes a file. The service is asked for all of them first. A day that fails does not stop the
    others.

    \b
    Examples:
      export TRACKPARSE_TOKEN=...
      trackparse fetch --date 2021-04-20
      trackparse fetch --date 2021-04-18 --until-date 2021-04-20 --to logs/
      trackparse fetch --days 3 --to logs/ --token-file /run/secrets/push-token --quiet
    """
    wanted = _wanted(date, until_date, days)
    if output is not None and len(wanted) > 1:
        raise click.UsageError(f"-o {shown(output)} takes one day, not {len(wanted)}: name a directory with --to")
    if isinstance(output, Path) and (output.is_dir() or not output.parent.is_dir()):
        # Checked now, and not after minutes of waiting.
        raise click.UsageError(f"-o {output}: expected a file in a directory that exists")
    outputs = _outputs(wanted, output, directory, strict)
    for path in (path for _, *paths in outputs.values() for path in paths):
        if isinstance(path, Path) and token_file is not None and identity(path) == identity(token_file) is not None:
            raise click.UsageError(f"{shown(path)} is the file with the token: name another file to write")
    token = _token(token_file)
    # An empty URL is a mistake, and no reason to send the token to the real service. click ignores an empty variable.
    url = os.environ.get("TRACKPARSE_BASE_URL") if base_url is None else base_url
    client = _client(token, url, allow_http=allow_http, allow_http_download=allow_http_download)

    if output is None:
        make_folder(directory)
    _check_store(next(dest for _, dest, _ in outputs.values()))
    with (
        client,
        progress_bar("asking for the log", None, shown=not quiet) as bar,
    ):
        run = _Run(client, bar, wait, options_of(strict, keep_partial, options))
        return tell(run.outcomes(outputs), bar, quiet=quiet)


def _outputs(
    days: list[Day | None], output: Output | None, directory: Output, strict: bool
) -> dict[Day | None, tuple[str, Output, Output | None]]:
    """For each day its name, its Parquet file, and the file for its bad records, None with ``--strict``."""
    found = {}
    for day in days:
        name = str(day or "tracking_log")
        dest = output or in_folder(directory, f"{name}.parquet")
        found[day] = name, dest, None if strict else rejects_beside(dest)
    return found


def _check_store(dest: Output) -> None:
    """OSError if nothing can be written to the object store: now, and not after minutes of waiting."""
    if isinstance(dest, str):
        with signals_held():  # imports modules, some of which turn the exception of a signal into another error
            from trackparse.convert.places import check_place, place_of
        check_place(place_of(dest))


def _wanted(date: Day | None, until: Day | None, number: int | None) -> list[Day | None]:
    """The days to ask for. None stands for the day that the service chooses."""
    if until is not None and number is not None:
        raise click.UsageError("--until-date and --days exclude each other: give one of them")
    if until is not None and date is None:
        raise click.UsageError("--until-date needs --date, the first of the days")
    try:
        if until is not None:
            return [*days_between(date or until, until)]
        if number is not None:
            last = date or datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
            return [*days_between(last - datetime.timedelta(days=number - 1), last)]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except OverflowError:
        raise click.UsageError(f"--days {number}: there is no calendar that far back") from None
    return [date]


def _token(file: Any) -> str:
    named = getattr(file, "name", "")
    try:
        token: str = file.read() if file is not None else os.environ.get("TRACKPARSE_TOKEN", "")
    except UnicodeDecodeError:
        raise click.UsageError(f"{named} is not text: expected a file that holds the API token") from None
    if not token.strip():
        source = f"{named} is empty" if file is not None else "TRACKPARSE_TOKEN is not set"
        raise click.UsageError(f"there is no token: {source}; set it, or name a file with --token-file")
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        source = file.name if file is not None else "TRACKPARSE_TOKEN"
        raise click.UsageError(f"{source} does not hold a token: a token has no blanks, line breaks or special letters")
    return token


def _client(token: str, url: str | None, *, allow_http: bool, allow_http_download: bool) -> TrackingLogClient:
    """The client. UsageError if the URL of the service cannot be used."""
    with signals_held():  # imports modules, some of which turn the exception of a signal into another error
        from trackparse.client import BASE_URL, TrackingLogClient
    try:
        return TrackingLogClient(
            token,
            base_url=BASE_URL if url is None else url,
            allow_http=allow_http,
            allow_http_download=allow_http_download,
        )
    except ValueError:
        if url and url.startswith("http://") and not allow_http:
            problem = "the token would be sent without encryption: use https, or --allow-http for tests on this machine"
        else:
            problem = "expected an https:// URL without user, query or fragment, such as https://example.com/json/1.3"
        raise click.UsageError(f"--base-url {url!r} (or TRACKPARSE_BASE_URL): {problem}") from None


class _Run:
    """Fetches the logs of all days with one client."""

    def __init__(self, client: TrackingLogClient, bar: Bar, wait: float, options: dict[str, Any]) -> None:
        self._client = client
        self._bar = bar
        self._wait = wait
        self._options = options

    def outcomes(self, outputs: dict[Day | None, tuple[str, Output, Output | None]]) -> Iterator[Outcome]:
        """The outcome of each day. If the token is not accepted, no other day is tried."""
        asked: list[tuple[Day | None, str]] = []
        for day in outputs:
            # All are asked for first: the service makes one log while another is read.
            try:
                asked.append((day, self._client.request_log(day, deadline=self._wait)))
            except Exception as error:
                if not expected(error):
                    raise
                yield failure(error, str(day or ""))
                if exit_for(error) is Exit.DENIED:
                    return
        for number, (day, request_id) in enumerate(asked, 1):
            title = outputs[day][0] + (f", {number} of {len(asked)}" if len(asked) > 1 else "")
            try:
                yield self._fetch(*outputs[day], request_id, title)
            except Exception as error:
                if not expected(error):
                    raise
                yield failure(error, str(day or ""))

    def _fetch(self, name: str, dest: Output, rejects: Output | None, request_id: str, title: str) -> Outcome:
        def show_waiting(progress: Progress) -> None:
            self._bar.rename(f"{title}: waiting, {progress.elapsed:.0f} s")

        self._bar.begin(f"{title}: waiting")
        link = self._client.poll(request_id, deadline=self._wait, progress=show_waiting)
        self._bar.rename(title)
        with closing(self._client.open_link(link, stall=self._wait)) as source:
            return convert(
                source,
                name,
                dest,
                rejects,
                progress=lambda progress: self._bar.update(progress.bytes_read, progress.bytes_total),
                **self._options,
            )
