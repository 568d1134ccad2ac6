"""A bar on a terminal with rate and time left; elsewhere nothing. Nothing is counted here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trackparse.cli.output import is_terminal, printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """Says how far the work is; without a drawing it is silent."""

    def __init__(self, drawing: Progress | None = None, task: TaskID | None = None) -> None:
        self._drawing = drawing
        self._task = task

    def update(self, done: int, total: int | None = None) -> None:
        """So many bytes of all are done; ``total`` where it is known only now."""
        if self._drawing is not None and self._task is not None:
            self._drawing.update(self._task, completed=done, total=total)

    def rename(self, title: str) -> None:
        """Say what is being done now."""
        if self._drawing is not None and self._task is not None:
            self._drawing.update(self._task, description=printable(title))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Out of the way while lines are printed: both are on one terminal."""
        if self._drawing is None:
            yield
            return
        self._drawing.stop()
        yield
        self._drawing.start()


@contextmanager
def progress_bar(title: str, total: int | None, *, shown: bool) -> Iterator[Bar]:
    """A bar for ``total`` bytes (None: nobody knows how many there are).

    It is drawn on standard error if that is a terminal and ``shown``, and leaves nothing behind.
    """
    if not shown or not is_terminal(sys.stderr) or os.environ.get("TERM") == "dumb":
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    drawing = Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
    )
    task = drawing.add_task(printable(title), total=total)
    try:
        # Not its context manager: interrupted while it starts, that would not give the cursor back.
        drawing.start()
        yield Bar(drawing, task)
    finally:
        drawing.stop()
