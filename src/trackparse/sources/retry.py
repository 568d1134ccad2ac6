"""Decides whether to try again, how often, how long and until when. Knows no HTTP."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Final, Protocol

from trackparse.errors import CancelledError, OptionError

POLL_INTERVAL: Final = 0.05  # seconds between two looks at whether a wait was cancelled, or its time is over
# Seconds before the deadline at which the last attempt begins at the latest; a tenth of the deadline if that is less.
_LAST_ATTEMPT: Final = 1.0


class Cancel(Protocol):
    """What cancels waiting when it is set. ``threading.Event`` has these methods."""

    def is_set(self) -> bool:
        """Whether the caller has cancelled."""
        ...

    def wait(self, timeout: float) -> object:
        """Return when it is set, or after ``timeout`` seconds."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long a client pauses between attempts: longer each time.

    Each pause is drawn at random between half of its length and all of it, so that clients that failed together do not
    come back together. ValueError unless ``0 <= first <= longest`` and ``growth >= 1``.

    first: length of the first pause, in seconds.
    longest: length that no pause exceeds, in seconds.
    growth: each pause is so many times as long as the one before.

    Example::

        TrackingLogClient(token, pauses=Pauses(first=5, longest=120))
    """

    first: float = 1.0
    longest: float = 30.0
    growth: float = 1.6

    def __post_init__(self) -> None:
        if not (0 <= self.first <= self.longest and self.growth >= 1):
            raise ValueError(f"{self}: expected 0 <= first <= longest and growth >= 1")

    def before(self, attempt: int) -> float:
        """Seconds to pause after so many pauses: ``before(0)`` is the first one."""
        # The exponent is bounded: a float overflows at some thousand attempts.
        whole = min(self.longest, self.first * self.growth ** min(attempt, 200))
        return random.uniform(whole / 2, whole)


class Clock:
    """The time, and how to let it pass. Tests have another one."""

    def now(self) -> float:
        """Seconds since some moment; only differences mean anything."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since 1970, by the calendar."""
        return time.time()

    def pause(self, seconds: float, cancel: Cancel | None) -> None:
        """Wait; CancelledError if ``cancel`` is set before the end."""
        if cancel is None:
            time.sleep(seconds)
        else:
            cancel.wait(seconds)
            raise_if_cancelled(cancel)


class AnyOf:
    """A ``Cancel`` that is set when one of its parts is set."""

    def __init__(self, *parts: Cancel | None) -> None:
        self._parts = [part for part in parts if part is not None]

    def is_set(self) -> bool:
        """Whether one of the parts is set."""
        return any(part.is_set() for part in self._parts)

    def wait(self, timeout: float) -> object:
        """Return when one of the parts is set, or after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while not self.is_set() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, POLL_INTERVAL))
        return self.is_set()


class Flag:
    """A ``Cancel`` without a lock: the garbage collector may set it, whichever thread it interrupts."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """End all waiting for it."""
        self._set = True

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._set

    def wait(self, timeout: float) -> object:
        """Return when it is set, or after ``timeout`` seconds."""
        return AnyOf(self).wait(timeout)


def raise_if_cancelled(cancel: Cancel | None) -> None:
    """CancelledError if the caller has cancelled."""
    if cancel is not None and cancel.is_set():
        raise CancelledError("cancelled by the caller")


def checked_seconds(name: str, seconds: float) -> None:
    """TypeError if it is not a number, OptionError if it is negative."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{name}={seconds!r}: expected a number of seconds")
    if not seconds >= 0:
        raise OptionError(f"{name}={seconds!r}: expected a number of seconds, zero or more")


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """What went wrong with an attempt. Not an exception, since exceptions would keep each other's frames alive.

    text: what went wrong, for a message.
    status_code: the service's own or HTTP's; None if there was no answer.
    retry_after: seconds that the server asks to wait.
    final: another attempt would fail in the same way.
    unreachable: no connection could be made, or it broke; not set if an answer just took too long.
    advice: what to do, as that of a ``TrackparseError``.
    """

    text: str
    status_code: int | None = None
    retry_after: float | None = None
    final: bool = False
    unreachable: bool = False
    advice: str = ""


class RetryBudget:
    """How many attempts may fail in a row, and until when there may be another one.

    No attempt goes on after the deadline, and the last attempt begins a while before it. A deadline of 0 seconds allows
    one attempt, and gives it as much time as if there were no deadline.
    """

    def __init__(
        self,
        pauses: Pauses,
        retries: int,
        seconds: float,
        clock: Clock,
        cancel: Cancel | None,
        *,
        called: str = "deadline",
    ) -> None:
        """TypeError or ValueError for a value that cannot be used; ``called`` is what the caller calls ``seconds``."""
        checked_seconds(called, seconds)
        if not isinstance(pauses, Pauses):
            raise TypeError(f"pauses={pauses!r}: expected a trackparse.client.Pauses")
        if cancel is not None and not (hasattr(cancel, "is_set") and hasattr(cancel, "wait")):
            raise TypeError(f"cancel={cancel!r}: expected a threading.Event, say")
        self._pauses = pauses
        self._retries = retries
        self.seconds = seconds  # from the start to the deadline
        self.clock = clock
        self.stopped = Flag()  # set by the library; ends all waiting, as ``cancel`` of the caller does
        self._cancel = cancel
        self._stopped_or_cancelled = AnyOf(self.stopped, cancel)
        self.failures = 0  # in a row
        self._end = clock.now() + seconds

    @property
    def _seconds_left(self) -> float:
        return max(0.0, self._end - self.clock.now())

    @property
    def _until_last_attempt(self) -> float:
        """Seconds until the last attempt has to begin."""
        return max(0.0, self._seconds_left - min(_LAST_ATTEMPT, self.seconds / 10))

    @property
    def is_over(self) -> bool:
        """Whether there is no time for another attempt."""
        return self._until_last_attempt <= 0

    @property
    def is_abandoned(self) -> bool:
        """Whether the result is not wanted any more."""
        return self._stopped_or_cancelled.is_set()

    def attempt_seconds(self, timeout: float) -> float:
        """Seconds that an attempt may take in all; ``timeout`` without a deadline."""
        return self._seconds_left if self.seconds else timeout

    def pause(self, attempt: int, retry_after: float | None) -> float:
        """Seconds to wait before the next attempt: the server's or ours, the longer of them, up to the last attempt."""
        return min(max(self._pauses.before(attempt), retry_after or 0.0), self._until_last_attempt)

    def wait(self, seconds: float) -> None:
        """Let them pass; CancelledError if the caller cancels."""
        self.clock.pause(seconds, self._stopped_or_cancelled)

    def wait_to_retry(self, failed: FailedAttempt, *, at_once: bool = False) -> bool:
        """Whether to try again; if so, after waiting. ``at_once``: the first retry needs no wait."""
        self.raise_if_cancelled()
        if failed.final or self.is_over or self.failures >= self._retries:
            return False
        seconds = self.pause(self.failures, failed.retry_after)
        self.failures += 1
        if not at_once or self.failures > 1:
            self.wait(seconds)
        return True

    def raise_if_cancelled(self) -> None:
        """CancelledError if the caller has cancelled."""
        raise_if_cancelled(self._cancel)

    def succeeded(self) -> None:
        """The next failure is the first one in a row."""
        self.failures = 0

    def restart_deadline(self) -> None:
        """The time to the deadline begins now."""
        self._end = self.clock.now() + self.seconds
