"""What the tests of the kernel share."""

from __future__ import annotations

from typing import Any, NamedTuple

from trackparse.records.kernel import codes
from trackparse.records.kernel.codes import Indexed, Question, Run
from trackparse.records.kernel.index import credit_limit
from trackparse.schema import COLUMNS

KNOWN = ";".join(COLUMNS).encode()
MAX = 1 << 20


def question(data: Any, **more: Any) -> Question:
    """What is asked about all of ``data``: eight columns, and the credit that its limit gives."""
    asked = Question(
        data,
        start=0,
        stop=len(data),
        final=True,
        width=8,
        timestamp=0,
        payload=7,
        names=KNOWN,
        trusted=True,
        automatic=True,
        dialect=codes.PHP,
        max_record_bytes=MAX,
        credit=0,
        record=0,
        line=1,
        byte_offset=0,
    )._replace(**more)
    return asked if "credit" in more else asked._replace(credit=credit_limit(asked.max_record_bytes))


def indexed(kernel: Any, data: Any, **more: Any) -> Indexed:
    """What a kernel finds in all of ``data``."""
    found: Indexed = kernel.index(question(data, **more))
    return found


def rejects_of(found: Indexed) -> list[list[int]]:
    """The rows of the reject table."""
    words = memoryview(found.rejects).cast("q").tolist()
    return [words[at : at + codes.REJECT_WORDS] for at in range(0, len(words), codes.REJECT_WORDS)]


def run_of(data: Any, found: Indexed, width: int, field: int) -> Run:
    """One column of what a kernel found."""
    return Run(data, found.fields, found.records, width, field)


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
