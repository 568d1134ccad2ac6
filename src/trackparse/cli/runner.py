"""Reads one log after the other. An expected error is printed, and ends its own log only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from trackparse.cli.exits import Exit, exit_for, gravest
from trackparse.cli.inputs import Input, total_size
from trackparse.cli.output import OutputError, abandon_output, check_is_no_output, expected, flush, line_of, warn
from trackparse.cli.progress import Bar, progress_bar
from trackparse.signals import signals_held

if TYPE_CHECKING:
    from trackparse import LogReader, Progress
    from trackparse.cli.findings import Findings

# What a command does with the reader of each log. It returns how that ended.
Work = Callable[[Input, "LogReader", Bar], Exit]
# What opens a log with the options of ``trackparse.open_log``: the reader, as a context manager.
Open = Callable[..., AbstractContextManager[Any]]


@contextmanager
def open_log(log: Input, **options: Any) -> Iterator[LogReader]:
    """Open a log as ``trackparse.open_log`` does."""
    import trackparse

    with signals_held():  # imports modules, some of which turn the exception of a signal into another error
        opened = trackparse.open_log
    with log.source() as source, opened(source, **options) as reader:
        yield reader


@contextmanager
def _until_closed() -> Iterator[None]:
    """Ends the block where the reader of standard output closes the pipe."""
    try:
        yield
    except BrokenPipeError:
        abandon_output()


def for_each(
    title: str,
    inputs: Sequence[Input],
    work: Work,
    *,
    shown: bool,
    findings: Callable[[Input], Findings] | None = None,
    opened: Open = open_log,
    **options: Any,
) -> Exit:
    """Open each log with ``options``, by ``opened``, and do the work. Returns the exit code for all of them.

    ``findings`` gives the ``Findings`` of a log, in which its bad records are counted.
    """
    codes: list[Exit] = []
    before = 0
    # Where nobody reads the output any more, the other logs are not read, but what is known of these counts.
    with _until_closed(), progress_bar(title, total_size(inputs), shown=shown) as bar:
        for number, log in enumerate(inputs, 1):
            start = before
            if len(inputs) > 1:
                bar.rename(f"{title}, {number} of {len(inputs)}")

            def advance(progress: Progress, start: int = start) -> None:
                nonlocal before
                before = start + progress.bytes_read
                bar.update(before, progress.bytes_total if len(inputs) == 1 else None)

            if findings is not None:
                options["on_error"], options["on_rejects"] = "quarantine", partial(findings(log).add_rejects, log.name)
            try:
                check_is_no_output(log.file, log.name)
                with opened(log, progress=advance, **options) as reader:
                    codes.append(work(log, reader, bar))
            except (BrokenPipeError, OutputError):
                raise
            except Exception as error:
                if not expected(error):
                    raise
                codes.append(exit_for(error))
                with bar.aside():
                    flush()  # first the output from before the error, then the error
                    warn(line_of(error, log.name))
    return gravest(codes)
