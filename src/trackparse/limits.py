"""How much one log may cost. Only numbers: they are checked where memory or time is spent."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for what a log may cost; one that exceeds them is a ``LimitError``. None: no bound.

    max_record_bytes: bytes of one record, at most 1 GiB; also how far the end of a bad record is searched for.
    max_inflated_bytes: bytes of all members together, inflated.
    max_ratio: inflated bytes of one member over its compressed bytes.
    max_members: files in one archive.
    max_dictionary_bytes: bytes of the distinct values of all dictionary columns together, and 40 more for each value.
    max_rejects_bytes: bytes of the bad records that are kept in memory.
    max_rejects_file_bytes: bytes of the file of rejects that ``convert_log`` writes.

    ValueError for a limit that is zero or less.

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

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value <= 0:
                raise ValueError(f"{field.name} is {value}: expected more than zero, or None")
        # The kernel keeps the places of fields in 31 bits.
        if self.max_record_bytes > 1 << 30:
            raise ValueError(f"max_record_bytes is {self.max_record_bytes}: expected at most 1 GiB")
