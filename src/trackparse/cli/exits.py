"""The exit codes, and which error has which code. docs/exit-codes.md says what to do about each."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import click

from trackparse import ApiError, AuthError, DownloadError, NotReadyError, OptionError, RecordError
from trackparse.signals import INTERRUPTED, TERMINATED


class Exit(IntEnum):
    """How a command ended.

    DONE: it did what it was told.
    FAILED: a log cannot be read, or a file cannot be written.
    USAGE: the command line itself is wrong.
    REJECTED: ``--strict`` met a bad record, or ``check`` found something.
    PARTIAL: ``--keep-partial`` kept the records that could be read.
    DENIED: the service does not accept the token.
    NOT_READY: the service had no log in time.
    SERVICE: the service refused or failed, or the download failed.
    INTERRUPTED: Ctrl-C.
    TERMINATED: SIGTERM or SIGHUP.
    """

    DONE = 0
    FAILED = 1
    USAGE = 2
    REJECTED = 3
    PARTIAL = 4
    DENIED = 5
    NOT_READY = 6
    SERVICE = 7
    INTERRUPTED = INTERRUPTED
    TERMINATED = TERMINATED


# From the gravest on: a run of several logs ends with the first of these codes that one of the logs had.
_GRAVEST = (Exit.FAILED, Exit.USAGE, Exit.DENIED, Exit.SERVICE, Exit.NOT_READY, Exit.REJECTED, Exit.PARTIAL)
# An error has the code of the first class here that it is an instance of.
_ERRORS: tuple[tuple[type[Exception], Exit], ...] = (
    (OptionError, Exit.USAGE),
    (click.UsageError, Exit.USAGE),
    (RecordError, Exit.REJECTED),
    (AuthError, Exit.DENIED),
    (NotReadyError, Exit.NOT_READY),
    (ApiError, Exit.SERVICE),
    (DownloadError, Exit.SERVICE),
)


def exit_for(error: Exception) -> Exit:
    """The code for an expected error; ``FAILED`` where no other code fits."""
    return next((code for kind, code in _ERRORS if isinstance(error, kind)), Exit.FAILED)


def gravest(codes: Iterable[Exit]) -> Exit:
    """The code of a run of several logs that ended with these codes."""
    met = set(codes)
    return next((code for code in _GRAVEST if code in met), Exit.DONE)
