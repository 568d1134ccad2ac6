"""Events as lines that fit a terminal. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size

from trackparse.bars import cut
from trackparse.cli.output import escaped, shortened

if TYPE_CHECKING:
    from trackparse import Event

_MEASURED: Final = 100  # rows that decide how wide the columns are
_WIDEST: Final = 24  # cells of a column; push tokens are far longer
_NARROWEST: Final = 7  # cells of a value that was cut: T-4…4E6
_WHOLE: Final = ("timestamp", "status")  # columns that are not cut


def lines_that_fit(columns: Sequence[str], events: Iterator[Event], width: int) -> Iterator[str]:
    """A header line, and a line for each event, no wider than ``width``.

    If its columns would be too narrow to read, each field has a line. The first of ``columns`` are those of an event.
    """
    cells = (tuple(_wide_cell(value, width) for value in event) for event in events)
    rows = list(islice(cells, _MEASURED))
    if not rows:
        return
    columns = columns[: len(rows[0])]
    found = _widths(columns, rows, width)
    if found is None:
        yield from _listed(columns, chain(rows, cells), width)
        return
    widths, gap = found
    yield gap.join(_beginning(name, cells).ljust(cells) for name, cells in zip(columns, widths, strict=True)).rstrip()
    for row in chain(rows, cells):
        yield gap.join(map(_fitted, columns, row, widths)).rstrip()


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> tuple[list[int], str] | None:
    """The widths of columns that fit together, and what stands between them. None if nobody could read them."""
    natural = [max(map(cell_len, values)) for values in zip(*rows, strict=True)]
    # What is short anyway is not cut; names of columns are, down to as many cells as a cut value has.
    natural = [max(cells, min(len(name), _NARROWEST)) for name, cells in zip(columns, natural, strict=True)]
    for gap in ("  ", " "):
        room = width - len(gap) * (len(columns) - 1)
        for widest in range(_WIDEST, _NARROWEST - 1, -1):
            widths = [
                cells if name in _WHOLE else min(cells, _NARROWEST if name == "payload" else widest)
                for name, cells in zip(columns, natural, strict=True)
            ]
            spare = room - sum(widths)
            if spare >= 0 and (gap == " " or widest > _NARROWEST):
                last = len(columns) - 1
                widths[last] = min(natural[last], widths[last] + spare) if columns[last] == "payload" else widths[last]
                return widths, gap
    return None


def _listed(columns: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> Iterator[str]:
    """A line for each field, and an empty line between two events."""
    names = max(map(len, columns))
    for number, row in enumerate(rows):
        if number:
            yield ""
        for name, value in zip(columns, row, strict=True):
            yield cut(f"{name.ljust(names)}  {_fitted(name, value, max(width - names - 2, 1))}".rstrip(), width)


def _wide_cell(value: object, width: int) -> str:
    """The value with at most ``width`` characters, before it is cut to its column: a description may have 16 MiB."""
    if isinstance(value, Mapping):
        return escaped(str(getattr(value, "text", ""))[: width + 1])
    return shortened(escaped(shortened(str(value or ""), width)), width)


def _fitted(column: str, text: str, width: int) -> str:
    """The value in exactly so many cells. Of a payload the beginning; tokens differ at both ends."""
    shown = _beginning(text, width) if column == "payload" else cut(text, width)
    return shown + " " * (width - cell_len(shown))


def _beginning(text: str, width: int) -> str:
    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"
