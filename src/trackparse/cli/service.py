"""What the commands that ask the service have in common: token, URL, waiting, and the lines about each day."""

from __future__ import annotations

import datetime
import math
import os
import time
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trackparse.atomic import identity
from trackparse.cli.exits import Exit
from trackparse.cli.options import (
    columns_option,
    filter_options,
    keep_partial_option,
    payload_option,
    quiet_option,
    strict_option,
)
from trackparse.cli.outcomes import Outcome, Telling, failure, outcome_of
from trackparse.cli.output import expected
from trackparse.cli.progress import Bar
from trackparse.client.calendar import date_of
from trackparse.convert.outputs import PathOrUrl, shown
from trackparse.signals import signals_held

if TYPE_CHECKING:
    from trackparse import ConversionReport, Progress
    from trackparse.client import TrackingLogClient

Day = datetime.date
Command = TypeVar("Command", bound=Callable[..., Any])


class Amount(click.FloatRange):
    """A number of seconds, or of hours."""

    def __init__(self, unit: str) -> None:
        super().__init__(min=0)
        self._unit = unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number of {self._unit}", param, ctx)
        return number


def service_options(command: Command) -> Command:
    """Add the options of the service and of what is written.

    The command gets ``client_of``, which makes the client; it takes the files that will be written, none of which may
    be the file with the token.
    """

    @wraps(command)
    def with_client(
        *, token_file: Any, base_url: str | None, allow_http: bool, allow_http_download: bool, **others: Any
    ) -> Any:
        def client_of(outputs: Iterable[PathOrUrl | None]) -> TrackingLogClient:
            for path in outputs:
                if isinstance(path, Path) and token_file is not None and _are_same(path, token_file):
                    raise click.UsageError(f"{shown(path)} is the file with the token: name another file to write")
            # An empty URL is a mistake, and no reason to send the token to the real service. click ignores an empty
            # variable.
            url = os.environ.get("TRACKPARSE_BASE_URL") if base_url is None else base_url
            return _client(_token(token_file), url, allow_http, allow_http_download)

        return command(client_of=client_of, **others)

    for option in reversed(
        (
            click.option(
                "--token-file",
                type=click.File("r", encoding="utf-8"),
                metavar="FILE",
                help="File that holds the API token. [default: the token is in the environment variable "
                "TRACKPARSE_TOKEN]",
            ),
            click.option(
                "--wait",
                type=Amount("seconds"),
                default=900,
                show_default=True,
                metavar="SECONDS",
                help="How long the service may take to make a log, and how long the download may stand still.",
            ),
            columns_option,
            payload_option,
            filter_options,
            strict_option,
            keep_partial_option,
            click.option(
                "--base-url",
                envvar="TRACKPARSE_BASE_URL",
                metavar="URL",
                help="URL of another service. [env: TRACKPARSE_BASE_URL]",
            ),
            click.option(
                "--allow-http", is_flag=True, help="Send the token without encryption: for tests on this machine."
            ),
            click.option(
                "--allow-http-download",
                is_flag=True,
                help="If the service gives an http:// link, download by http. [default: try the same link by https]",
            ),
            quiet_option,
        )
    ):
        with_client = option(with_client)
    return with_client  # type: ignore[return-value]


def _are_same(path: Path, file: Any) -> bool:
    return identity(path) == identity(file) is not None


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


def _client(token: str, url: str | None, allow_http: bool, allow_http_download: bool) -> TrackingLogClient:
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


class DaysTold:
    """Tells of days that are fetched: on the bar what is done now, in lines how each day ended.

    ``callbacks`` are the arguments for the calls of the client.
    """

    def __init__(self, bar: Bar, *, quiet: bool) -> None:
        self._bar = bar
        self._telling = Telling(bar, quiet=quiet)

    @property
    def callbacks(self) -> dict[str, Any]:
        return {"on_report": self.report, "progress": self.show}

    def show(self, progress: Progress) -> None:
        """Say on the bar how far a day is."""
        from trackparse.progress import title_of  # imported late: --help does not need the library

        if progress.step == "waiting":
            self._bar.begin(title_of(progress))
        else:
            self._bar.rename(title_of(progress))
            self._bar.update(progress.bytes_read, progress.bytes_total)

    def report(self, day: Day, report: ConversionReport) -> None:
        """A day is done, or failed."""
        if report.error is not None:
            self.fail(report.error, str(day))
            return
        outcome = outcome_of(report, str(day))
        if day >= date_of(time.time()):
            line = f"{day}: the day is not over (in UTC): the file holds its beginning; fetch it again when it is over"
            outcome = Outcome(outcome.code, outcome.done, (*outcome.warnings, line))
        self._telling.add(outcome)

    def fail(self, error: Exception, name: str = "") -> None:
        """An expected error ended a day, or all of them. Any other is raised."""
        if not expected(error):
            raise error
        self._telling.add(failure(error, name))

    def end(self) -> Exit:
        """The exit code for all of them."""
        return self._telling.end()
