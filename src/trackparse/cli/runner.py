"""One log after the other: what goes wrong with one is said and costs that one only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from trackparse.cli.exits import Exit, exit_for, gravest
from trackparse.cli.inputs import Input, total_size
from trackparse.cli.output import EXPECTED, OutputError, check_is_no_output, flush, one_line, warn
from trackparse.cli.progress import Bar, progress_bar
from trackparse.cli.signals import held

if TYPE_CHECKING:
    from trackparse import LogReader, Stats
    from trackparse.cli.faults import Faults

# Does its work with a reader; what it returns is how that ended.
Work = Callable[[Input, "LogReader", Bar], Exit]


def for_each(
    title: str,
    inputs: Sequence[Input],
    work: Work,
    *,
    shown: bool,
    faults: Callable[[Input], Faults] | None = None,
    **options: Any,
) -> Exit:
    """Open each log with these options and do the work; the code for all of them.

    With ``faults`` bad records are counted there, by their log.
    """
    codes = []
    before = 0
    with progress_bar(title, total_size(inputs), shown=shown) as bar:
        for log in inputs:
            start = before

            def advance(stats: Stats, start: int = start) -> None:
                nonlocal before
                before = start + stats.bytes_read
                bar.update(before, stats.bytes_total if len(inputs) == 1 else None)

            if faults is not None:
                options["on_error"], options["on_rejects"] = "quarantine", partial(faults(log).add_rejects, log.name)
            try:
                codes.append(_read(log, work, bar, progress=advance, **options))
            except (BrokenPipeError, OutputError):
                raise
            except EXPECTED as error:
                codes.append(exit_for(error))
                with bar.aside():
                    flush()  # what came before the error stands before it
                    warn(one_line(error, log.name))
    return gravest(codes)


def _read(log: Input, work: Work, bar: Bar, **options: Any) -> Exit:
    import trackparse

    check_is_no_output(log.file, log.name)
    with held():  # it is imported now, and others' modules make another error of a signal
        open_log = trackparse.open_log
    with log.source() as source, open_log(source, **options) as reader:
        return work(log, reader, bar)
