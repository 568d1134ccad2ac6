"""A log with a fault in it, and what an ideal reader makes of it. Nothing in this package is read by trackparse.

Rows are made first and written down twice: as bytes, by the two writers below, and as the truth. What is put between
them on purpose is a reject, with its reason, its line and its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from support.logs import MOMENT, NAMES, NAMES6, Row
from trackparse.errors import TrackparseError, TruncatedError
from trackparse.limits import Limits
from trackparse.options import Dialect


def row(
    i: int = 0,
    *,
    target: str | None = None,
    status: str = "delivered",
    description: str = "Success",
    payload: str | None = '{"aps":{"alert":"Hi"}}',
    time: datetime | None = None,
) -> Row:
    """The i-th row of a log of today."""
    device = f"{i * 2654435761 % (1 << 32):08x}" if target is None else target
    moment = time or MOMENT + timedelta(seconds=i)
    return moment, f"T-D6C2-{i:08X}", device, f"hw{i:06}", status, description, "C90C0-0E786", payload


def row6(i: int = 0, *, status: str = "created", description: str = "") -> Row:
    """The i-th row of a log of the older generation."""
    return MOMENT + timedelta(seconds=i), f"T-8C4A-{i:08X}", f"USER_{i}", f"HWID_{i}", status, description, None, None


def rows(n: int, start: int = 0) -> list[Row]:
    return [row(i) for i in range(start, start + n)]


_ENCLOSED = re.compile(r'[;"\\ \t\r\n]')
_BARE_QUOTE = re.compile(r'(?<!\\)"')


def fputcsv(fields: Iterable[str]) -> bytes:
    """A record as PHP writes it, without its line end."""
    return b";".join(_php(text) for text in fields)


def _php(text: str) -> bytes:
    if not _ENCLOSED.search(text):
        return text.encode()
    # A quote is doubled unless a backslash stands before it.
    return b'"' + _BARE_QUOTE.sub('""', text).encode() + b'"'


def rfc4180(fields: Iterable[str]) -> bytes:
    """A record with every quote doubled, and nothing quoted that need not be."""
    return b";".join(
        b'"' + text.replace('"', '""').encode() + b'"' if any(c in text for c in ';"\r\n') else text.encode()
        for text in fields
    )


Writer = Callable[[Iterable[str]], bytes]


def texts(values: Row, names: Iterable[str] = NAMES) -> list[str]:
    """The row's fields as text, in the order of the names."""
    known: dict[str, Any] = dict(zip(NAMES, values, strict=False))
    moment = known["timestamp"]
    known["timestamp"] = moment.strftime("%Y-%m-%d %H:%M:%S") + (f".{moment:%f}" if moment.microsecond else "")
    return [known[name] or "" for name in names]


def record(values: Row, writer: Writer = fputcsv, names: Iterable[str] = NAMES, end: bytes = b"\n") -> bytes:
    return writer(texts(values, names)) + end


@dataclass(frozen=True)
class Bad:
    """A reject as it has to be reported."""

    reason: str
    line: int  # 1-based
    offset: int  # bytes
    raw: bytes
    before: int = field(default=0, compare=False)  # good rows that come first


@dataclass(frozen=True)
class Outcome:
    """What an ideal reader delivers: these rows and rejects, and then this error."""

    rows: tuple[Row, ...] = ()
    rejects: tuple[Bad, ...] | None = ()  # None: nobody can tell
    error: type[TrackparseError] | None = None
    extra: tuple[str, ...] = ()  # columns behind the known ones
    blank_lines: int | None = 0  # None: not looked at


@dataclass(frozen=True)
class Fault:
    """One case."""

    name: str
    data: bytes
    outcome: Outcome
    # Where a source that cannot seek has to show something else, because a ZIP has its directory at its end.
    forward: Outcome | None = None
    dialect: Dialect = "auto"
    limits: Limits = field(default_factory=Limits)
    block_size: int | None = None  # bytes; None: a few sizes
    heavy: bool = False  # read in fewer ways, and by C alone

    def __str__(self) -> str:
        return self.name


class Log:
    """The bytes of a log as they are put together, and beside them what is good and what is bad."""

    def __init__(self, names: tuple[str, ...] | None = NAMES, *, writer: Writer = fputcsv, end: bytes = b"\n") -> None:
        self.names = names or NAMES
        self.writer = writer
        self.end = end
        self._data = bytearray()
        self._rows: list[Row] = []
        self.ends: list[int] = []  # of the rows, in bytes
        self._rejects: list[Bad] = []
        self.start = 0  # of the records
        if names:
            self.header(names)
            self.start = len(self._data)

    def header(self, names: tuple[str, ...], *, end: bytes | None = None) -> Self:
        """A header, and records in its order from here on."""
        self.names = names
        return self.raw(b"//" + ";".join(names).encode() + (self.end if end is None else end))

    def raw(self, data: bytes) -> Self:
        """Bytes that are neither row nor reject."""
        self._data += data
        return self

    def good(self, *values: Row, end: bytes | None = None) -> Self:
        for one in values:
            self.as_written(one, record(one, self.writer, self.names, self.end if end is None else end))
        return self

    def as_written(self, values: Row, data: bytes) -> Self:
        """A row by the bytes somebody else would write for it."""
        self._data += data
        self._rows.append(values)
        self.ends.append(len(self._data))
        return self

    def bad(self, data: bytes, reason: str) -> Self:
        line = self._data.count(b"\n") + 1
        self._rejects.append(Bad(reason, line, len(self._data), data, len(self._rows)))
        return self.raw(data)

    @property
    def data(self) -> bytes:
        return bytes(self._data)

    def outcome(self, error: type[TrackparseError] | None = None, **more: Any) -> Outcome:
        return Outcome(tuple(self._rows), tuple(self._rejects), error, **more)

    def cut(self, size: int, error: type[TrackparseError] | None = TruncatedError) -> Outcome:
        """What is left of a log without rejects if only its first ``size`` bytes came, and that is known."""
        if size < self.start:
            return Outcome(error=error, blank_lines=None)
        count = sum(end <= size for end in self.ends)
        end = max((end for end in self.ends if end <= size), default=self.start)
        line = self._data.count(b"\n", 0, end) + 1
        rest = bytes(self._data[end:size])
        rejects = (Bad("truncated", line, end, rest),) if rest else ()
        return Outcome(tuple(self._rows[:count]), rejects, error, blank_lines=None)

    def fault(
        self,
        name: str,
        *,
        error: type[TrackparseError] | None = None,
        blank_lines: int = 0,
        extra: tuple[str, ...] = (),
        **more: Any,
    ) -> Fault:
        return Fault(name, self.data, self.outcome(error, blank_lines=blank_lines, extra=extra), **more)


def refused(name: str, data: bytes, error: type[TrackparseError], **more: Any) -> Fault:
    """Nothing can be read."""
    return Fault(name, data, Outcome(error=error, blank_lines=None), **more)


def between(
    name: str, raw: bytes, reason: str, *, names: tuple[str, ...] = NAMES, writer: Writer = fputcsv, **more: Any
) -> Fault:
    """A bad record among good ones: it alone is lost."""
    make = row6 if names == NAMES6 else row
    log = Log(names, writer=writer)
    log.good(make(1), make(2)).bad(raw, reason).good(make(3), make(4), make(5))
    return log.fault(name, **more)


def same(name: str, raw: bytes, *values: Row, **more: Any) -> Fault:
    """Rows that look like a fault and are none, among others."""
    log = Log().good(row(1))
    log.as_written(values[0], raw)
    for one in values[1:]:
        log.as_written(one, b"")
    return log.good(row(2), row(3)).fault(name, **more)


def with_error(outcome: Outcome, error: type[TrackparseError] | None) -> Outcome:
    return replace(outcome, error=error)
