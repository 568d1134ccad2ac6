"""Reads push-tracking logs (semicolon CSV inside a ZIP) as a stream: Arrow batches, typed events, Parquet."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trackparse.errors import (
    ArchiveError,
    HeaderError,
    LimitError,
    PayloadError,
    Position,
    RecordError,
    TrackparseError,
    TruncatedError,
)
from trackparse.limits import Limits
from trackparse.version import __version__

if TYPE_CHECKING:
    from trackparse.dispatch import name as kernel
    from trackparse.events import Event, Payload, Status
    from trackparse.parquet import ConversionReport, convert_log
    from trackparse.reader import LogReader, iter_events, open_log, read_log
    from trackparse.stream import Stats

__all__ = [
    "ArchiveError",
    "ConversionReport",
    "Event",
    "HeaderError",
    "LimitError",
    "Limits",
    "LogReader",
    "Payload",
    "PayloadError",
    "Position",
    "RecordError",
    "Stats",
    "Status",
    "TrackparseError",
    "TruncatedError",
    "__version__",
    "convert_log",
    "iter_events",
    "kernel",
    "open_log",
    "read_log",
]

# Imported when first asked for: pyarrow alone costs more than all the rest.
_LAZY = {
    "ConversionReport": "parquet",
    "Event": "events",
    "LogReader": "reader",
    "Payload": "events",
    "Stats": "stream",
    "Status": "events",
    "convert_log": "parquet",
    "iter_events": "reader",
    "open_log": "reader",
    "read_log": "reader",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(import_module(f"trackparse.{_LAZY[name]}"), name)
    elif name == "kernel":
        value = import_module("trackparse.dispatch").name
    else:
        raise AttributeError(f"module 'trackparse' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
