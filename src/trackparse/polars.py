"""Logs as a source of Polars: a lazy frame that reads only what a query needs. Needs polars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final, Unpack

import pyarrow as pa

from trackparse.columns.filters import Selection, both
from trackparse.datasets import DatasetSource, LogDataset, dataset
from trackparse.errors import OptionError
from trackparse.schema import COLUMNS

try:
    import polars as pl
    from polars.io.plugins import register_io_source
except ModuleNotFoundError as error:
    told = "trackparse.polars needs polars: pip install 'trackparse-pushwoosh[polars]'"
    raise ImportError(told, name="polars") from error

if TYPE_CHECKING:
    from trackparse.options import DatasetOptions

__all__ = ["scan_log"]

# Bytes. Each batch that Polars looks at wakes its threads: with 1 MiB a filter took 1.25 times the CPU of read_log with
# the same filter, with 2 MiB 1.11 times.
_BLOCK_SIZE: Final = 2 << 20
# Batches that go into one frame where few of their rows may be left: each frame costs Polars as much as 500 rows.
_FILTERED_AT_ONCE: Final = 8


def scan_log(
    sources: DatasetSource | Iterable[DatasetSource] | LogDataset, **options: Unpack[DatasetOptions]
) -> pl.LazyFrame:
    """A lazy frame over one log or several, which reads them anew each time it is collected.

    Sources and options are those of ``trackparse.dataset``, with a ``block_size`` of 2 MiB unless it is given; a
    ``LogDataset`` is taken as it is, without options. Only the columns that the query needs are built. Conditions on
    rows (``filter``) are looked at first, by Polars itself, and the other columns are built only for the rows that meet
    them. ``head`` and ``limit`` stop the read early. Rows are handed over batch by batch: a streaming query,
    ``sink_parquet`` for one, runs in flat memory.

    An error while the frame is collected is ours, or a ``polars.exceptions.ComputeError`` with our message: also that a
    log has no column of a name that an option gives. TypeError and OptionError for options that no log could have, and
    FileNotFoundError for sources, are raised at once.

    >>> opened = trackparse.polars.scan_log("days/*.zip").filter(pl.col("status") == "opened")
    >>> opened.select("hwid", "timestamp").collect()
    """
    if "dictionary" in options:
        raise OptionError("dictionary: a lazy frame has plain text: cast it with cast(pl.Categorical)")
    if not isinstance(sources, LogDataset):
        asked: DatasetOptions = {"block_size": _BLOCK_SIZE}
        asked.update(options)
        logs = dataset(sources, **asked)
    elif options:
        raise TypeError("options go with the sources of a dataset: give them to trackparse.dataset")
    else:
        logs = sources

    def frames(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        if rows is None:
            yield from _frames(logs, columns, predicate)
            return
        # Of the first rows, those that meet the predicate.
        names = columns if columns is None or predicate is None else [*{*columns, *predicate.meta.root_names()}]
        for frame in _frames(logs, names, None):
            first = frame.head(rows)
            rows -= first.height
            yield first if predicate is None else first.filter(predicate).select(columns or pl.all())
            if rows == 0:
                return

    return register_io_source(frames, schema=lambda: _empty(logs.schema).schema, is_pure=True)


def _frames(logs: LogDataset, columns: list[str] | None, predicate: pl.Expr | None) -> Iterator[pl.DataFrame]:
    """The rows that meet the predicate: a frame for each batch, or for several that were filtered; at least one."""
    asked: DatasetOptions = {}
    looked_at = [] if predicate is None else predicate.meta.root_names()
    inside = logs.payload_columns
    at_once = 1
    # One that looks at no column, such as pl.lit(False), and one that looks at a payload column with the name of a
    # column of the log, are for the frames.
    if predicate is not None and looked_at and not any(name in inside and name in COLUMNS for name in looked_at):
        asked["where"] = both(_Meeting(predicate), logs.where)
        predicate = None
        looked_at = [name for name in looked_at if name not in COLUMNS]  # those that the dataset has to find
        at_once = _FILTERED_AT_ONCE
    if columns is not None:
        names = dict.fromkeys((*columns, *looked_at))
        asked["columns"] = [name for name in names if name not in inside]
        asked["payload_columns"] = {name: inside[name] for name in names if name in inside}
    with logs.open(**asked) as log:
        yield _asked_for(_empty(log.schema), columns, None)
        for batch in log:
            batches = [batch, *islice(log, at_once - 1)]
            yield _asked_for(_frame(batches), columns, predicate)


def _asked_for(frame: pl.DataFrame, columns: list[str] | None, predicate: pl.Expr | None) -> pl.DataFrame:
    if predicate is not None:
        frame = frame.filter(predicate)
    return frame if columns is None or columns == frame.columns else frame.select(columns)


class _Meeting(Selection):
    """The rows that meet an expression of Polars."""

    def __init__(self, predicate: pl.Expr) -> None:
        self._predicate = predicate

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are looked at."""
        return tuple(dict.fromkeys(self._predicate.meta.root_names()))

    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """True for each row that meets it."""
        return _frame([batch]).select(met=self._predicate)["met"].to_arrow()


def _empty(schema: pa.Schema) -> pl.DataFrame:
    return pl.DataFrame(pa.Table.from_batches([], schema=schema))


def _frame(batches: list[pa.RecordBatch]) -> pl.DataFrame:
    # One batch by itself: a table of it takes twice as long.
    return pl.DataFrame(batches[0] if len(batches) == 1 else pa.Table.from_batches(batches))
