"""How much one log may cost. Only numbers: whoever spends them checks them."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for hostile input; None is no bound."""

    max_record_bytes: int = 16 << 20  # bytes of one record, and how far the end of a bad one is looked for
    max_inflated_bytes: int | None = None  # bytes of all members together
    max_ratio: float | None = None  # inflated over compressed bytes of one member
    max_members: int = 10_000  # entries of one archive
    max_dictionary_bytes: int | None = 128 << 20  # distinct values of all dictionary columns, 40 bytes more for each
    max_rejects_bytes: int | None = 128 << 20  # the rejects that are kept in memory
    max_rejects_file_bytes: int | None = 1 << 30  # the file of rejects that convert_log writes

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value <= 0:
                raise ValueError(f"{field.name} is {value}: a limit is more than zero, or None")
        # Fields are indexed with 31 bits.
        if self.max_record_bytes > 1 << 30:
            raise ValueError(f"max_record_bytes is {self.max_record_bytes}: 1 GiB is the most")
