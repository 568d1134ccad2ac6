"""What the tests of the kernel share."""

from __future__ import annotations

from typing import Any, NamedTuple


class Made(NamedTuple):
    """As wide as Event: what the kernel makes events of."""

    timestamp: Any
    one: str | None
    two: str | None
    three: str | None
    status: Any
    five: str | None
    six: str | None
    field: Any
