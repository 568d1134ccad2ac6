"""Draws how far things are, with rich: in a terminal one line that fits its width, in a notebook a table of one row."""

from __future__ import annotations

import time
from collections.abc import Iterable
from io import StringIO
from typing import Any, Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.default_styles import DEFAULT_STYLES
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column, Table
from rich.theme import Theme

from trackparse.display import escaped

_LONGEST_BAR: Final = 40  # cells
_SHORTEST_BAR: Final = 10
_NOTEBOOK_WIDTH: Final = 80  # characters
_INTERVAL: Final = 0.2  # seconds between two drawings in a notebook
# What may stand behind the title, the most important first: its place in the line, its width in cells, its class.
_PARTS: Final[tuple[tuple[int, int, type[ProgressColumn]], ...]] = (
    (2, 4, TaskProgressColumn),
    (1, _SHORTEST_BAR, BarColumn),
    (5, 7, TimeRemainingColumn),
    (3, 14, DownloadColumn),
    (4, 10, TransferSpeedColumn),
)


class OneLine(Progress):
    """A bar of rich in one line, however narrow the terminal is: what does not fit is left out."""

    def __init__(self, console: Console) -> None:
        self._console = console  # it is drawn before rich's own attribute exists
        super().__init__(console=console, transient=True, redirect_stdout=False, redirect_stderr=False)

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """The line of each task."""
        tasks = list(tasks)
        title = max((cell_len(task.description) for task in tasks), default=0)
        # The terminal may get another size while this runs.
        waiting = all(task.total is None and not task.completed for task in tasks)
        self.columns = _columns(title, self._console.width, waiting=waiting)
        return super().make_tasks_table(tasks)


def _columns(title: int, width: int, *, waiting: bool) -> tuple[ProgressColumn, ...]:
    """The columns that fit. ``title`` is the width of the title, which gets half of the line, or what the others leave.

    While it waits, there is nothing to measure, and the title gets the whole line.
    """
    left = width - (title if waiting else min(title, width // 2))
    chosen = []
    used = 0
    for place, cells, kind in _PARTS[1:2] if waiting else _PARTS:
        if used + cells + 1 > left:
            break
        used += cells + 1
        chosen.append((place, kind))
    spare = max(0, width - used - title)
    columns: list[ProgressColumn] = [_Title(max(width - used, 1))]
    for _, kind in sorted(chosen, key=lambda part: part[0]):
        options: dict[str, Any] = {"table_column": Column(no_wrap=True, overflow="ellipsis")}
        if kind is BarColumn:
            options["bar_width"] = min(_LONGEST_BAR, _SHORTEST_BAR + spare)
        elif kind is TimeRemainingColumn:
            options["compact"] = True
        columns.append(kind(**options))
    return tuple(columns)


class _Title(TextColumn):
    """The title, cut in the middle: names of logs differ at both ends."""

    def __init__(self, width: int) -> None:
        super().__init__("", table_column=Column(no_wrap=True, overflow="ellipsis"))
        self._width = width

    def render(self, task: Task) -> Any:
        text = super().render(task)
        text.plain = cut(task.description, self._width)
        return text


def cut(text: str, width: int) -> str:
    """At most ``width`` cells of a terminal; the middle is left out."""
    if cell_len(text) <= width:
        return text
    half = (width - 1) // 2
    end = text[-half:] if half else ""
    while cell_len(end) > half:
        end = end[1:]
    return f"{set_cell_size(text, width - 1 - half)}…{end}"


class BuiltInBar:
    """The bar of ``progress=True``: drawn on standard error if that is a terminal, or in the notebook."""

    def __init__(self) -> None:
        self._notebook = Console().is_jupyter
        console = Console(stderr=True, width=_NOTEBOOK_WIDTH if self._notebook else None)
        self._shown = self._notebook or (console.is_terminal and not console.is_dumb_terminal)
        self._drawing = OneLine(console)
        self._task = self._drawing.add_task("", total=None)
        self._title = ""
        self._handle: Any = None
        self._next = 0.0
        if self._shown and not self._notebook:
            self._drawing.start()

    def show(self, title: str, done: int, total: int | None) -> None:
        """Draw how many bytes of ``total`` are done; None if that is not known."""
        if not self._shown:
            return
        # What begins is drawn at once: it may be over before the next drawing.
        begins, self._title = title != self._title, title
        refresh = begins and not self._notebook
        self._drawing.update(self._task, description=escaped(title), completed=done, total=total, refresh=refresh)
        if self._notebook and time.monotonic() >= self._next:
            self._next = time.monotonic() + _INTERVAL
            self._draw()

    def close(self) -> None:
        """Remove it from the terminal; in the notebook it stays, as it was last."""
        if self._notebook:
            self._draw()
        elif self._shown:
            self._drawing.stop()

    def _draw(self) -> None:
        # rich's own display for notebooks needs ipywidgets, and leaves nothing in a notebook that is saved.
        from IPython.display import HTML, display

        shown = HTML(_html(self._drawing.make_tasks_table(self._drawing.tasks)))  # type: ignore[no-untyped-call]
        if self._handle is None:
            self._handle = display(shown, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(shown)


def _html(table: Table) -> str:
    """The table with the colours of the page, light or dark: those of rich are for dark ones."""
    theme = Theme({name: "none" for name in DEFAULT_STYLES if name.startswith("progress.")})
    console = Console(record=True, width=_NOTEBOOK_WIDTH, file=StringIO(), force_jupyter=False, theme=theme)
    console.print(table)
    return console.export_html(
        inline_styles=True, code_format='<pre style="font-family:monospace;line-height:1.3">{code}</pre>'
    )
