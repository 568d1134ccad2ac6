"""How much one log may cost. Only numbers: they are checked where memory or time is spent."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

_NEVER_NONE: Final = ("max_record_bytes", "max_members")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for what a log may cost; a log that exceeds them is a ``LimitError``.

    All are whole numbers, except ``max_ratio``, which may be any number. None means no bound; ``max_record_bytes`` and
    ``max_members`` cannot be None.

    max_record_bytes: bytes of one record, at most 1 GiB; also how far the end of a bad record is searched for.
    max_inflated_bytes: bytes of all members together, inflated.
    max_ratio: inflated bytes of one member divided by its compressed bytes; looked at once it has more than 1 MiB.
    max_members: files in one archive.
    max_dictionary_bytes: bytes of the distinct values of all dictionary columns together, and 40 more for each value.
    max_rejects_bytes: bytes of the bad records that are kept in memory.
    max_rejects_file_bytes: bytes of the file of rejects that ``convert_log`` writes.
    max_partitions: files that ``convert_logs`` makes of one log with ``partition_by``; their values may have 200 bytes
        for each, on average.

    TypeError for a limit of a wrong kind, ValueError for one that is zero or less, or too large.

    Example::

        trackparse.open_log("log.zip", limits=trackparse.Limits(max_inflated_bytes=10 << 30))
    """

    max_record_bytes: int = 16 << 20
    max_inflated_bytes: int | None = None
    max_ratio: float | None = None
    max_members: int = 10_000
    max_dictionary_bytes: int | None = 128 << 20
    max_rejects_bytes: int | None = 128 << 20
    max_rejects_file_bytes: int | None = 1 << 30
    max_partitions: int | None = 10_000

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))
        # The kernel keeps the places of fields in 31 bits.
        if self.max_record_bytes > 1 << 30:
            raise ValueError(f"max_record_bytes={self.max_record_bytes}: expected at most 1 GiB")


def _check(name: str, value: object) -> None:
    kind, wanted = ((int, float), "a number") if name == "max_ratio" else ((int,), "a whole number")
    if name not in _NEVER_NONE:
        if value is None:
            return
        wanted += ", or None for no bound"
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name}={repr(value)[:100]}: expected {wanted}")
    if value <= 0 or math.isnan(value):
        raise ValueError(f"{name}={value}: expected more than zero")
