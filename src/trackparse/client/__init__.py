"""Fetches logs from the service: request a day, wait for it, download it.

In comes a token and a day; out comes a source for ``open_log``, a file, or Parquet. Imports ``convert`` and what is
above it. Public: what ``__all__`` names.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trackparse.client.answers import tracking_codes
    from trackparse.client.api import BASE_URL, TrackingLogClient
    from trackparse.client.calendar import GRACE, KEPT_DAYS, days
    from trackparse.client.manifest import MANIFEST
    from trackparse.client.sync import PlannedDay
    from trackparse.sources.download import open_url
    from trackparse.sources.retry import Pauses

__all__ = [
    "BASE_URL",
    "GRACE",
    "KEPT_DAYS",
    "MANIFEST",
    "Pauses",
    "PlannedDay",
    "TrackingLogClient",
    "days",
    "open_url",
    "tracking_codes",
]

# Imported when first used: urllib3 is an extra, and the calendar works without it.
_LAZY = {
    "BASE_URL": "client.api",
    "GRACE": "client.calendar",
    "KEPT_DAYS": "client.calendar",
    "MANIFEST": "client.manifest",
    "Pauses": "sources.retry",
    "PlannedDay": "client.sync",
    "TrackingLogClient": "client.api",
    "days": "client.calendar",
    "open_url": "sources.download",
    "tracking_codes": "client.answers",
}


# Type checkers take any name for an attribute of a module that has this function.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module 'trackparse.client' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"trackparse.{_LAZY[name]}"), name)
        return value


def __dir__() -> list[str]:
    return __all__
