"""``Progress`` says how far waiting, downloading or reading is; a reporter tells the caller. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeAlias

from trackparse.records.stream import Stats

if TYPE_CHECKING:
    from trackparse.bars import BuiltInBar

Step: TypeAlias = Literal["waiting", "downloading", "reading"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step is. A function that is given as ``progress`` is called with it.

    step: ``"waiting"`` for the service to make a log, ``"downloading"`` it to a file, or ``"reading"`` it.
    name: the log: its path or URL; for logs of the client, the day.
    number: which of several logs it is: 1 for the first.
    count: how many logs there are.
    bytes_read: bytes read of the source; of a dataset, of all its logs. 0 while waiting.
    bytes_total: size of the source in bytes; of a dataset, of all its logs. None if it is not known.
    elapsed: seconds since this step began.
    attempts: how often the service was asked for the log. 0 in the other steps.
    pause: seconds until it is asked again. 0 in the other steps.
    stats: what was counted so far while reading. All zero in the other steps.

    >>> def show(progress):
    ...     print(progress.step, progress.name, progress.stats.records)
    >>> table = trackparse.read_log("tracking_log.zip", progress=show)
    reading tracking_log.zip 1000
    reading tracking_log.zip 1000
    """

    step: Step
    name: str
    number: int = 1
    count: int = 1
    bytes_read: int = 0
    bytes_total: int | None = None
    elapsed: float = 0.0
    attempts: int = 0
    pause: float = 0.0
    stats: Stats = field(default_factory=Stats)


# None, and False: nobody is told.
ProgressOption: TypeAlias = bool | Callable[[Progress], object] | None


class Reporter:
    """Tells the caller how far things are: by the function that the option ``progress`` gives, or by a bar for True.

    If a name is given, name, number and count replace those of each ``Progress``. ``close`` removes the bar.
    """

    def __init__(
        self, option: Callable[[Progress], object] | Literal[True], name: str = "", number: int = 1, count: int = 1
    ) -> None:
        self._function = None if option is True else option
        self._bar: BuiltInBar | None = None
        self._about = (name, number, count)

    def __call__(self, progress: Progress) -> None:
        """Tell of it."""
        name, number, count = self._about
        if name:
            progress = replace(progress, name=name, number=number, count=count)
        if self._function is not None:
            self._function(progress)
            return
        if self._bar is None:
            from trackparse.bars import BuiltInBar  # imported late: rich is an extra

            self._bar = BuiltInBar()
        self._bar.show(title_of(progress), progress.bytes_read, progress.bytes_total)

    def close(self) -> None:
        """Remove the bar. It may be called more than once, and from any thread."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def title_of(progress: Progress) -> str:
    """What a bar says of it."""
    title = progress.name if progress.count == 1 else f"{progress.name}, {progress.number} of {progress.count}"
    return f"{title}: waiting, {progress.elapsed:.0f} s" if progress.step == "waiting" else title


def reporter(option: ProgressOption, name: str = "", number: int = 1, count: int = 1) -> Reporter | None:
    """The reporter for a value of the option ``progress``; None if nobody is to be told. A reporter stays as it is."""
    if option is None or option is False:
        return None
    if problem := check_progress(option):
        raise TypeError(f"progress={option!r}: {problem}")
    return option if isinstance(option, Reporter) else Reporter(option, name, number, count)


@contextmanager
def reporting(option: ProgressOption, name: str, number: int = 1, count: int = 1) -> Iterator[Reporter | None]:
    """The reporter for all that the block does. At the end of the block its bar is removed."""
    report = reporter(option, name, number, count)
    try:
        yield report
    finally:
        if report is not None:
            report.close()


def check_progress(value: object) -> str:
    """What is wrong with a value of the option ``progress``; empty if nothing is. ImportError if rich is missing."""
    if value is True and find_spec("rich") is None:
        raise ImportError("progress=True needs rich: pip install 'trackparse-pushwoosh[cli]'", name="rich")
    fits = isinstance(value, bool) or callable(value)
    return "" if fits else "expected True, or a function that takes a trackparse.Progress"
