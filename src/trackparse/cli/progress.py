"""A progress bar with rate and time left, on a terminal only. Counts nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trackparse.cli.output import escaped, is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """Shows how far the work is. Without a drawing it does nothing."""

    def __init__(self, drawing: Progress | None = None, task: TaskID | None = None) -> None:
        self._drawing = drawing
        self._task = task

    def update(self, done: int, total: int | None = None) -> None:
        """``done`` bytes are done; ``total`` is given where it was not known at the start."""
        if self._drawing is not None and self._task is not None:
            self._drawing.update(self._task, completed=done, total=total)

    def rename(self, title: str) -> None:
        """Say what is being done now."""
        if self._drawing is not None and self._task is not None:
            self._drawing.update(self._task, description=escaped(title), refresh=True)

    def begin(self, title: str) -> None:
        """Say what is being done now, of which no bytes are done yet."""
        if self._drawing is not None and self._task is not None:
            self._drawing.remove_task(self._task)
            self._task = self._drawing.add_task(escaped(title), total=None)
            self._drawing.refresh()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Hide the bar in the block, which prints lines to the same terminal."""
        if self._drawing is None:
            yield
            return
        self._drawing.stop()
        yield
        self._drawing.start()


@contextmanager
def progress_bar(title: str, total: int | None, *, shown: bool) -> Iterator[Bar]:
    """A bar for ``total`` bytes; None if the number is not known.

    It is drawn on standard error, if that is a terminal and ``shown`` is true, and removed at the end.
    """
    if not shown or not is_terminal(sys.stderr) or os.environ.get("TERM") == "dumb":
        yield Bar()
        return
    from rich.console import Console

    from trackparse.bars import OneLine

    drawing = OneLine(Console(stderr=True))
    task = drawing.add_task(escaped(title), total=total)
    try:
        # Not as a context manager: an interrupt while it starts would leave the cursor hidden.
        drawing.start()
        yield Bar(drawing, task)
    finally:
        drawing.stop()
