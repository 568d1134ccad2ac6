"""The exit codes, and which error ends with which. docs/exit-codes.md says what to do about each."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from trackparse.errors import ApiError, AuthError, DownloadError, NotReadyError, RecordError


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1  # a log cannot be read, or a file not written
    USAGE = 2
    REJECTED = 3  # --strict met a bad record, or check found a fault
    PARTIAL = 4  # --keep-partial kept what stands before the damage
    DENIED = 5  # the service does not accept the token
    NOT_READY = 6  # the service had no log in time
    SERVICE = 7  # the service refused or failed, or the download did
    INTERRUPTED = 130
    TERMINATED = 143


# What a run of several logs ends with: the first of these that any of them had.
_GRAVEST = (Exit.FAILED, Exit.DENIED, Exit.SERVICE, Exit.NOT_READY, Exit.REJECTED, Exit.PARTIAL)
# The first that the error is one of.
_ERRORS: tuple[tuple[type[Exception], Exit], ...] = (
    (RecordError, Exit.REJECTED),
    (AuthError, Exit.DENIED),
    (NotReadyError, Exit.NOT_READY),
    (ApiError, Exit.SERVICE),
    (DownloadError, Exit.SERVICE),
)


def exit_for(error: Exception) -> Exit:
    """The code for an expected error."""
    return next((code for kind, code in _ERRORS if isinstance(error, kind)), Exit.FAILED)


def gravest(codes: Iterable[Exit]) -> Exit:
    """The code of a run whose parts ended with these."""
    met = set(codes)
    return next((code for code in _GRAVEST if code in met), Exit.DONE)
