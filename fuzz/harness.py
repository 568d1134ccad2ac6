"""What the Python targets share: an input whose first bytes choose, and modules with their branches counted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import atheris

KNOBS: Final = 32  # bytes of an input that choose
MAX: Final = 1 << 20


class Knobs:
    """Chooses as ``random.Random`` does, by the bytes of an input; at their end it starts again."""

    def __init__(self, data: bytes) -> None:
        self._data = data or b"\0"
        self._at = 0

    def randrange(self, below: int) -> int:
        """A number from 0 to ``below``, exclusive."""
        value, seen = 0, 1
        while seen < below:
            value = value << 8 | self._data[self._at % len(self._data)]
            self._at += 1
            seen <<= 8
        return value % below

    def choice(self, options: Sequence[Any]) -> Any:
        """One of them."""
        return options[self.randrange(len(options))]

    def often(self) -> bool:
        """True three times of four."""
        return self.randrange(4) < 3

    def pieces(self, data: bytes) -> list[bytes]:
        """The data in pieces: of one size, or of many, some of them empty."""
        if not self.often():
            size = self.choice((1, 2, 7, 64))
            return [data[at : at + size] for at in range(0, len(data), size)]
        found, at = [], 0
        while at < len(data):
            size = self.choice((1, 2, 3, 5, 17, 64, 300))
            found += [data[at : at + size], b""] if size == 3 else [data[at : at + size]]
            at += size
        return found


def counted() -> AbstractContextManager[None]:
    """Modules of the library that are imported in it have their branches counted.

    That takes most of the time of a short run: a target imports what it tries.
    """
    found: AbstractContextManager[None] = atheris.instrument_imports(include=["trackparse"])
    return found


def fuzz(check: Callable[[bytes, Knobs], None]) -> None:
    """Try the check until libFuzzer's arguments say that it is enough. What it raises is a finding."""

    def one(data: bytes) -> None:
        check(data[KNOBS:], Knobs(data[:KNOBS]))

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
