"""Every error of the library: what is wrong, where, and what to do. No behaviour."""

from __future__ import annotations

from dataclasses import dataclass


class TrackparseError(Exception):
    """Base of every error that trackparse raises on purpose."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where in the log something stands."""

    member: str  # name of the file in the archive, or of the source itself
    record: int  # 0-based, good and bad records counted alike, from the member's start
    line: int  # 1-based line of the inflated member
    byte_offset: int  # 0-based byte of the inflated member

    def __str__(self) -> str:
        return f"{self.member}: record {self.record}, line {self.line} (byte {self.byte_offset})"


class RecordError(TrackparseError, ValueError):
    """One record cannot be read.

    ``position`` says where it starts, ``reason`` is a short code (``"field_count"``), ``raw`` are its bytes.
    """

    def __init__(self, message: str, position: Position, reason: str, raw: bytes) -> None:
        super().__init__(message)
        self.position = position
        self.reason = reason
        self.raw = raw

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.args[0], self.position, self.reason, self.raw)


class HeaderError(TrackparseError, ValueError):
    """This is not a tracking log, or its header cannot be used."""


class ArchiveError(TrackparseError):
    """The archive is damaged, encrypted, or packed in a way that cannot be read."""


class TruncatedError(ArchiveError):
    """The stream ended before the archive did."""


class LimitError(TrackparseError):
    """A limit of ``Limits`` was hit; what came before it was delivered."""


class PayloadError(TrackparseError, ValueError):
    """A payload is not the JSON object it should be; its event is still good."""
