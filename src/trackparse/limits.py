"""How much one log may cost. Only numbers: whoever spends them checks them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for hostile input; None is no bound."""

    max_record_bytes: int = 128 << 20  # bytes of one record, and how far the end of a bad one is looked for
    max_inflated_bytes: int | None = None  # bytes of all members together
    max_ratio: float | None = None  # inflated over compressed bytes of one member
    max_members: int = 10_000  # entries of one archive

    def __post_init__(self) -> None:
        for name in ("max_record_bytes", "max_inflated_bytes", "max_ratio", "max_members"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}: a limit is more than zero, or None")
        # Fields are indexed with 31 bits.
        if self.max_record_bytes > 1 << 30:
            raise ValueError(f"max_record_bytes is {self.max_record_bytes}: 1 GiB is the most")
