"""Every error of the library: what is wrong, where, and what to do."""

from __future__ import annotations

import enum
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


class Reason(enum.StrEnum):
    """Why a record is bad: a short code, and an ``explanation`` for people."""

    explanation: str

    UNCLOSED_QUOTE = "unclosed_quote", "a quoted field does not end"
    TEXT_AFTER_QUOTE = "text_after_quote", "text follows a closing quote"
    FIELD_COUNT = "field_count", "the number of fields is not the header's"
    BAD_UTF8 = "bad_utf8", "bytes that are not UTF-8"
    BAD_TIMESTAMP = "bad_timestamp", "not a valid timestamp"
    TOO_LONG = "too_long", "longer than Limits.max_record_bytes"
    BAD_HEADER = "bad_header", "a header that cannot be used, or a record below one"
    TRUNCATED = "truncated", "the log ends in the middle of it"

    def __new__(cls, code: str, explanation: str) -> Reason:
        """Make a reason whose value is its code."""
        reason = str.__new__(cls, code)
        reason._value_ = code
        reason.explanation = explanation
        return reason


class RecordError(TrackparseError, ValueError):
    """One record cannot be read.

    ``position`` says where it starts, ``reason`` why, ``raw`` are its bytes.
    """

    def __init__(self, message: str, position: Position, reason: Reason, raw: bytes) -> None:
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


class ApiError(TrackparseError):
    """The service refused, or could not be reached, or answered what is no answer.

    ``status_code`` is the service's own or HTTP's; None where nothing was answered.
    """

    def __init__(self, message: str, status_code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code


class AuthError(ApiError):
    """The service does not accept the token."""


class NotReadyError(TrackparseError):
    """The service had no log when the deadline was over; ask again later."""


class DownloadError(TrackparseError):
    """The log's file cannot be downloaded to its end."""


class CancelledError(TrackparseError):
    """Waiting or downloading ended because the caller's ``cancel`` was set."""


def one_line(text: str) -> str:
    """What somebody else wrote, as a message holds it: on one line, printable, short."""
    line = " ".join(text[:2000].split())
    return "".join(char if char.isprintable() else "?" for char in line)[:500]


def printable(name: str) -> str:
    """The name as text: that of a file need not be."""
    return name.encode(errors="backslashreplace").decode()
