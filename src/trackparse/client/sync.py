"""Fetches the logs of several days to a folder: which of them, in which order, and what is noted about them.

Of the service it knows only how to ask for a log, wait for it, and open it.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from trackparse.client.calendar import Stage, stage_of
from trackparse.client.made import Made, metadata_of, read_made
from trackparse.client.manifest import Fetched, Manifest
from trackparse.convert.conversion import ConversionReport, convert, empty_report
from trackparse.convert.existing import options_digest
from trackparse.convert.jobs import is_expected
from trackparse.convert.outputs import PathOrUrl, in_folder, rejects_beside, shown
from trackparse.convert.places import Folder, check_place, folder_made, make_folder, place_of
from trackparse.errors import AuthError, CancelledError, TrackparseError
from trackparse.options import ConvertOptions, function
from trackparse.progress import Reporter, reporting
from trackparse.sources.download import Download

OnReport: TypeAlias = Callable[[datetime.date, ConversionReport], object]


class Service(Protocol):
    """What this module needs of the service: the client has it, with the deadlines of one call."""

    source: str  # what the metadata of files name as their source

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def ask(self, day: datetime.date) -> str:
        """Ask for the log of a day; the id of the request."""
        ...

    def open(self, request_id: str, report: Reporter | None) -> Download:
        """Wait until the log is made, and open it. ``report`` is called while it waits."""
        ...


@dataclass(frozen=True, slots=True)
class PlannedDay:
    """A day that ``sync`` would fetch, or cannot fetch because of the file that is there.

    day: the day.
    why: why it would be fetched, in words; empty if it would not.
    error: what keeps it from being fetched; None if nothing does.

    Example::

        for planned in client.days_to_sync("push/"):
            print(planned.day, planned.why or planned.error)
    """

    day: datetime.date
    why: str
    error: Exception | None = None


class DayFolder:
    """A folder with a Parquet file for each day, by its path or its URL, or a path in a file system.

    noted: what the manifest says of each day, since ``plan``.
    """

    def __init__(self, place: str | os.PathLike[str], options: ConvertOptions) -> None:
        self._filesystem = options["filesystem"]
        place_of(place, self._filesystem)  # an error if nothing can be written there
        self._folder = Folder(place, self._filesystem)
        self._place = self._folder.dest
        self._has_rejects = options["on_error"] == "quarantine"
        self.manifest = Manifest(self._place, self._filesystem)
        self.noted: dict[datetime.date, Fetched] = {}

    def dest(self, day: datetime.date) -> PathOrUrl:
        """The Parquet file of a day."""
        return in_folder(self._place, f"{day}.parquet")

    def rejects(self, day: datetime.date) -> PathOrUrl | None:
        """The file for its bad records; None if they are errors, or are skipped."""
        return rejects_beside(self.dest(day)) if self._has_rejects else None

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """The folder, made if it is missing, and removed in the end if it was made and nothing is in it.

        OSError if no file can be written there.
        """
        with folder_made(self._place, self._filesystem):
            check_place(self._folder.place("day.parquet"))
            yield

    def make_again(self) -> None:
        """Make the folder if another process, which had made it, has removed it meanwhile."""
        if isinstance(self._place, Path):  # in a store nothing removes it
            make_folder(self._place)

    def plan(self, days: Sequence[datetime.date], options: str, now: float, grace: float) -> list[PlannedDay]:
        """Those of the days that have to be fetched. ``options`` is what ``options_digest`` gives."""
        self.noted = self.manifest.read()
        planned = []
        for day in days:
            try:
                if why := self._why(day, self.noted.get(day), options, now, grace):
                    planned.append(PlannedDay(day, why))
            except Exception as error:
                if not is_expected(error):
                    raise
                planned.append(PlannedDay(day, "", error))
        return planned

    def made(self, day: datetime.date) -> Made | None:
        """What the file of a day says about itself; None if there is no file."""
        return read_made(self.dest(day), self._filesystem)

    def _why(self, day: datetime.date, noted: Fetched | None, options: str, now: float, grace: float) -> str:
        """Why the day has to be fetched; empty if it need not be. TrackparseError if its file is not one of ours."""
        made = self.made(day)
        if made is None:
            return "missing"
        if made.day != day:
            raise TrackparseError(
                f"{shown(self.dest(day))}: the file does not say that it is the log of this day",
                advice="move it away, or have it replaced: trackparse fetch --date, or convert_days",
            )
        if made.options != options:
            return "fetched with other options"
        if made.partial:
            return "the log was damaged"
        if made.final:
            return ""
        before = None if noted is None or noted.moment > now else stage_of(day, noted.moment, grace)
        if before is None or before is Stage.FINAL:  # FINAL denies what the file says: another run wrote it
            return "not final, and it is not known when it was fetched"
        if before is stage_of(day, now, grace):
            return ""
        return "fetched before the day was over" if before is Stage.GROWING else "fetched before it was final"


class Run:
    """Fetches days to a folder, reports each of them, and notes it in the manifest, if there is one."""

    def __init__(
        self,
        service: Service,
        folder: DayFolder,
        manifest: Manifest | None,
        options: ConvertOptions,
        grace: float,
        on_report: OnReport | None,
    ) -> None:
        self._service = service
        self._folder = folder
        self._manifest = manifest
        self._options = options
        self._digest = options_digest(options)
        self._grace = grace
        if on_report is not None:
            function("a day and its ConversionReport")("on_report", on_report)
        self._on_report = on_report or (lambda day, report: None)

    def fetch(self, planned: Sequence[PlannedDay]) -> dict[datetime.date, ConversionReport]:
        """The report of each day, in this order. AuthError and CancelledError end it."""
        # All are asked for first: the service makes one log while another is read.
        asked = [(one.day, one.error or self._asked(one.day)) for one in planned]
        reports = {}
        for number, (day, request) in enumerate(asked, 1):
            with reporting(self._options["progress"], str(day), number, len(asked)) as reporter:
                reports[day] = self._fetched(day, request, reporter)
            self._on_report(day, reports[day])
        return reports

    def _asked(self, day: datetime.date) -> tuple[str, float] | Exception:
        """The id of the request and when it was made; or why there is none."""
        now = self._service.now()
        try:
            return self._service.ask(day), now
        except Exception as error:
            return _told_later(error)

    def _fetched(
        self, day: datetime.date, request: tuple[str, float] | Exception, reporter: Reporter | None
    ) -> ConversionReport:
        dest = self._folder.dest(day)
        if isinstance(request, Exception):
            return empty_report(str(day), dest, error=request)
        request_id, moment = request
        options: ConvertOptions = {**self._options, "rejects": self._folder.rejects(day), "progress": reporter}
        metadata = metadata_of(self._service.source, day, moment, self._grace, self._digest)
        noted = self._folder.noted.get(day)
        try:
            with self._service.open(request_id, reporter) as download:
                known = {noted.rejects} if noted else set()
                more: dict[str, Any] = {"noted_rejects": known, "make_folder": self._folder.make_again}
                report = convert(download, dest, options, metadata, **more)
            if self._manifest:
                made = self._folder.made(day)
                self._manifest.note(day, Fetched(moment, made.rejects if made else ""))
        except Exception as error:
            return self._fetched(day, _told_later(error), reporter)
        return dataclasses.replace(report, source=str(day))


def _told_later(error: Exception) -> Exception:
    """The error, for the report of its day. A bug is raised at once, and so is an error that would end every day."""
    if not is_expected(error) or isinstance(error, AuthError | CancelledError):
        raise error
    # The traceback of a MemoryError holds all that filled the memory.
    return error.with_traceback(None) if isinstance(error, MemoryError) else error
