"""The distinct values of a column, each with a code. ``dictionary.h`` is the same in C, with a hash table."""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import Final

from trackparse.records.kernel.codes import NULL_CODE, Buffer, Run
from trackparse.records.kernel.values import values_of

_INT32_MAX: Final = 0x7FFFFFFF


class Dictionary:
    """The distinct values of a column in the order in which they were met."""

    def __init__(self) -> None:
        self._codes: dict[bytes, int] = {}
        self.size = 0  # bytes of all values

    def __len__(self) -> int:
        return len(self._codes)

    def encode(self, runs: list[Run], empty_is_null: bool) -> bytes:
        """The int32 codes of a column's values, NULL_CODE for a null.

        OverflowError with more than 2 GiB of distinct values.
        """
        return self._encode([None if empty_is_null and not value else value for value in values_of(runs)])

    def encode_strings(self, count: int, validity: Buffer | None, offsets: Buffer, data: Buffer | None) -> bytes:
        """The same of the buffers of a string array of ``count`` values."""
        bits = None if validity is None else bytes(validity)
        ends, text = memoryview(offsets).cast("B").cast("i"), bytes(data or b"")
        return self._encode(
            [text[ends[i] : ends[i + 1]] if bits is None or bits[i // 8] >> i % 8 & 1 else None for i in range(count)]
        )

    def _encode(self, values: list[bytes | None]) -> bytes:
        codes = array("i")
        for value in values:
            if value is None:
                codes.append(NULL_CODE)
                continue
            if value not in self._codes:
                if self.size + len(value) > _INT32_MAX:
                    raise OverflowError("Dictionary: more than 2 GiB of distinct values")
                self._codes[value] = len(self._codes)
                self.size += len(value)
            codes.append(self._codes[value])
        return codes.tobytes()

    def strings(self) -> tuple[Buffer, Buffer]:
        """The values as the buffers of a string array, int32 offsets and data; code i stands for value i.

        In C these are views, not copies, and stay as they are when the dictionary grows.
        """
        return array("i", accumulate(map(len, self._codes), initial=0)).tobytes(), b"".join(self._codes)
