"""What the tests of the kernel share."""

from __future__ import annotations

from typing import Any, NamedTuple

from trackparse.records.kernel import reference
from trackparse.schema import COLUMNS

KNOWN = ";".join(COLUMNS).encode()
MAX = 1 << 20


class Question(NamedTuple):
    """The arguments of ``index``, in their order; by themselves one block of eight columns."""

    data: Any
    start: int
    stop: int
    final: bool = True
    width: int = 8
    timestamp: int = 0
    payload: int = 7
    names: bytes = KNOWN
    auto: bool = True
    dialect: int = reference.PHP
    most: int = MAX
    credit: int = reference.credit_limit(MAX)


def question(data: Any, **more: Any) -> Question:
    """What is asked about all of ``data``, with the credit that its limit gives."""
    asked = Question(data, 0, len(data))._replace(**more)
    return asked if "credit" in more else asked._replace(credit=reference.credit_limit(asked.most))


def indexed(kernel: Any, data: Any, **more: Any) -> reference.Indexed:
    """What a kernel finds in all of ``data``."""
    return reference.Indexed._make(kernel.index(*question(data, **more)))


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
