"""Every error that the library raises on purpose: what is wrong, where, and what to do."""

from __future__ import annotations

import copyreg
import enum
from collections.abc import Iterable
from dataclasses import dataclass

_LISTED = 20  # names in a message
_COMPARED = 100  # characters of a name that are looked at to guess which one was meant


class TrackparseError(Exception):
    """Base of every error that trackparse raises on purpose.

    message: what is wrong, and where.
    advice: what to do about it; empty if there is nothing to say.
    option: name of the option of ``open_log`` or ``convert_logs`` that the advice is about, such as ``"limits"``; empty
        if it is about none. Programs that do not offer this option can give advice of their own.

    ``str(error)`` is both: ``message; advice``. Errors can be pickled and copied.

    Example::

        try:
            table = trackparse.read_log("log.zip")
        except trackparse.TrackparseError as error:
            print(error.message)
            print(error.advice)
    """

    def __init__(self, message: str, *, advice: str = "", option: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.option = option

    def __str__(self) -> str:
        return f"{self.message}; {self.advice}" if self.advice else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Not by __init__: it takes more than ``args`` holds, and everything it takes stands in the attributes.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a log. ``str(position)`` is a text for messages.

    member: name of the log, and of the file in its archive: ``"log.zip: member 'tracking_log.csv'"``; of a bare or
        gzipped log its name alone.
    record: how many records, good or bad, the member has before this one; 0 is the first one.
    line: line of the inflated member; 1 is the first one.
    byte_offset: byte of the inflated member; 0 is the first one.

    Example::

        try:
            table = trackparse.read_log("log.zip")
        except trackparse.RecordError as error:
            print(error.position.member, error.position.line)
    """

    member: str
    record: int
    line: int
    byte_offset: int

    def __str__(self) -> str:
        return f"{self.member}: record {self.record}, line {self.line} (byte {self.byte_offset})"


class Reason(enum.StrEnum):
    """Why a record is bad.

    Each is a short text, such as ``"field_count"``, which files of rejects have in the column ``reason``.

    explanation: the same in words, for people.

    Example::

        for row in log.rejects.to_pylist():
            print(row["line"], trackparse.Reason(row["reason"]).explanation)
    """

    explanation: str

    UNCLOSED_QUOTE = "unclosed_quote", "a quoted field does not end"
    TEXT_AFTER_QUOTE = "text_after_quote", "text follows a closing quote"
    FIELD_COUNT = "field_count", "the number of fields is not the header's"
    BAD_UTF8 = "bad_utf8", "bytes that are not UTF-8"
    BAD_TIMESTAMP = "bad_timestamp", "not a valid timestamp"
    TOO_LONG = "too_long", "longer than Limits.max_record_bytes"
    BAD_HEADER = "bad_header", "a header that cannot be used, or a record below one"
    TRUNCATED = "truncated", "the log ends in the middle of it"

    def __new__(cls, code: str, explanation: str = "") -> Reason:
        """The reason with this code, which is its value as a text."""
        reason = str.__new__(cls, code)
        reason._value_ = code
        reason.explanation = explanation
        return reason


class RecordError(TrackparseError, ValueError):
    """A record cannot be read; raised with ``on_error="raise"``.

    position: where it starts.
    reason: why it cannot be read.
    raw: its bytes.
    """

    def __init__(
        self, message: str, position: Position, reason: Reason, raw: bytes, *, advice: str = "", option: str = ""
    ) -> None:
        super().__init__(message, advice=advice, option=option)
        self.position = position
        self.reason = reason
        self.raw = raw


class HeaderError(TrackparseError, ValueError):
    """The source is not a tracking log, or its header cannot be used."""


class OptionError(TrackparseError, ValueError):
    """An option has a value that cannot be used here: a column that the log lacks, an output that is the log itself."""


class ArchiveError(TrackparseError):
    """The archive is damaged, encrypted, or compressed in a way that cannot be read; or it has no log."""


class TruncatedError(ArchiveError):
    """The source ends before the archive does: a download that broke off, say."""


class ExhaustedError(TrackparseError, ValueError):
    """A ``LogReader`` was asked again when it had been read to its end. ``trackparse.dataset`` can be read again."""


class LimitError(TrackparseError):
    """The log exceeds one of the ``Limits``. The records before that were delivered."""


class PayloadError(TrackparseError, ValueError):
    """A payload is not a JSON object; everything else of its event can be used."""


class ApiError(TrackparseError):
    """The service refused, could not be reached, or gave an answer that cannot be read.

    status_code: that of the service or of HTTP; None if there was no answer.
    """

    def __init__(self, message: str, status_code: int | None = None, *, advice: str = "", option: str = "") -> None:
        super().__init__(message, advice=advice, option=option)
        self.status_code = status_code


class AuthError(ApiError):
    """The service does not accept the token."""


class NotReadyError(TrackparseError):
    """The service had no log, or had not answered, when the deadline was over. Ask again later."""


class DownloadError(TrackparseError):
    """The file of a log cannot be downloaded, or not to its end."""


class CancelledError(TrackparseError):
    """Waiting or downloading ended because the caller set ``cancel``."""


def one_line(text: str) -> str:
    """A text from outside for a message: on one line, printable, at most 500 characters."""
    line = " ".join(text[:2000].split())
    return "".join(char if char.isprintable() else "?" for char in line)[:500]


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known name that was probably meant, or the known names."""
    from difflib import get_close_matches

    known = list(known)
    plain = {_letters(candidate): candidate for candidate in known}
    if close := get_close_matches(_letters(name), plain, 1):
        return f": did you mean {plain[close[0]]!r}?"
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f": expected one of: {', '.join(known[:_LISTED])}{more}"


def _letters(name: str) -> str:
    """The letters and digits of a name: the same for ``app_code`` and ``appCode``."""
    return "".join(filter(str.isalnum, name[:_COMPARED])).lower()


def printable(name: str) -> str:
    """The name as text that can be encoded: the name of a file may have bytes that are not UTF-8."""
    return name.encode(errors="backslashreplace").decode()
