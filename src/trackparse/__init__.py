"""Reads push-tracking logs (semicolon CSV inside a ZIP) as a stream: Arrow batches, typed events, Parquet."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trackparse.distribution import warn_of_another
from trackparse.errors import (
    ApiError,
    ArchiveError,
    AuthError,
    CancelledError,
    DownloadError,
    ExhaustedError,
    HeaderError,
    LimitError,
    NotReadyError,
    OptionError,
    PayloadError,
    Position,
    Reason,
    RecordError,
    TrackparseError,
    TruncatedError,
)
from trackparse.limits import Limits
from trackparse.version import __version__

if TYPE_CHECKING:
    from trackparse import aio as aio
    from trackparse import client as client
    from trackparse import polars as polars
    from trackparse import spark as spark
    from trackparse import testing as testing
    from trackparse.columns.filters import Filter
    from trackparse.convert.conversion import ConversionReport, convert_log
    from trackparse.convert.logs import convert_logs
    from trackparse.convert.mending import convert_rejects
    from trackparse.datasets import LogDataset, dataset
    from trackparse.events import Event, Payload
    from trackparse.progress import Progress
    from trackparse.reader import LogReader, iter_events, open_log, read_log
    from trackparse.records.kernel.chooser import name as kernel
    from trackparse.records.stream import Stats
    from trackparse.rejects.files import read_rejects
    from trackparse.rejects.mended import mended_log
    from trackparse.schema import Status

__all__ = [
    "ApiError",
    "ArchiveError",
    "AuthError",
    "CancelledError",
    "ConversionReport",
    "DownloadError",
    "Event",
    "ExhaustedError",
    "Filter",
    "HeaderError",
    "LimitError",
    "Limits",
    "LogDataset",
    "LogReader",
    "NotReadyError",
    "OptionError",
    "Payload",
    "PayloadError",
    "Position",
    "Progress",
    "Reason",
    "RecordError",
    "Stats",
    "Status",
    "TrackparseError",
    "TruncatedError",
    "__version__",
    "convert_log",
    "convert_logs",
    "convert_rejects",
    "dataset",
    "iter_events",
    "kernel",
    "mended_log",
    "open_log",
    "read_log",
    "read_rejects",
]

warn_of_another()

# Imported when first asked for: pyarrow alone costs more than all the rest.
_LAZY = {
    "ConversionReport": "convert.conversion",
    "Event": "events",
    "Filter": "columns.filters",
    "LogDataset": "datasets",
    "LogReader": "reader",
    "Payload": "events",
    "Progress": "progress",
    "Stats": "records.stream",
    "Status": "schema",
    "convert_log": "convert.conversion",
    "convert_logs": "convert.logs",
    "convert_rejects": "convert.mending",
    "dataset": "datasets",
    "iter_events": "reader",
    "mended_log": "rejects.mended",
    "open_log": "reader",
    "read_log": "reader",
    "read_rejects": "rejects.files",
}
# Packages with public names of their own.
_PACKAGES = ("aio", "client", "polars", "spark", "testing")


# Type checkers take any name for an attribute of a module that has this function.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _PACKAGES:
            return import_module(f"trackparse.{name}")
        if name in _LAZY:
            value = getattr(import_module(f"trackparse.{_LAZY[name]}"), name)
        elif name == "kernel":
            value = import_module("trackparse.records.kernel.chooser").name
        else:
            raise AttributeError(f"module 'trackparse' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
