"""How often, how long and until when to try again. Knows no HTTP."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Final, Protocol

from trackparse.errors import CancelledError

_SLICE: Final = 0.05  # seconds between two looks at whoever may end a pause
_LAST: Final = 1.0  # seconds that pauses leave to the last attempt before the deadline, a tenth of it if that is less


class Cancel(Protocol):
    """What ends waiting: ``threading.Event`` is one."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float) -> object: ...


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds between attempts: ``first``, growing by ``growth`` up to ``longest``.

    Each is drawn from its upper half, so that clients that failed together do not come back together.
    """

    first: float = 1.0
    longest: float = 30.0
    growth: float = 1.6

    def __post_init__(self) -> None:
        if not (0 <= self.first <= self.longest and self.growth >= 1):
            raise ValueError(f"{self}: 0 <= first <= longest and growth >= 1 are wanted")

    def before(self, attempt: int) -> float:
        """Seconds before the next attempt, after so many (from 0)."""
        # The exponent is bounded: a float overflows at some thousand attempts.
        whole = min(self.longest, self.first * self.growth ** min(attempt, 200))
        return random.uniform(whole / 2, whole)


class Clock:
    """The time, and how to let it pass."""

    def now(self) -> float:
        """Seconds, only good for differences."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since 1970, as the calendar has it."""
        return time.time()

    def pause(self, seconds: float, cancel: Cancel | None) -> None:
        """Wait; CancelledError if ``cancel`` is set before the end."""
        if cancel is None:
            time.sleep(seconds)
        else:
            cancel.wait(seconds)
            check(cancel)


class AnyOf:
    """Set when one of its parts is."""

    def __init__(self, *parts: Cancel | None) -> None:
        self._parts = [part for part in parts if part is not None]

    def is_set(self) -> bool:
        return any(part.is_set() for part in self._parts)

    def wait(self, timeout: float) -> object:
        end = time.monotonic() + timeout
        while not self.is_set() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))
        return self.is_set()


class Flag:
    """An event without a lock: one that the garbage collector may set, whichever thread it interrupts."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float) -> object:
        return AnyOf(self).wait(timeout)


def check(cancel: Cancel | None) -> None:
    """CancelledError if the caller wants no more."""
    if cancel is not None and cancel.is_set():
        raise CancelledError("cancelled by the caller")


@dataclass(frozen=True, slots=True)
class Fault:
    """An attempt that failed and may be made again. A value: errors would carry each other along."""

    text: str
    status_code: int | None = None
    retry_after: float | None = None  # seconds that the server asked for
    final: bool = False  # another attempt would end the same way
    advice: str = ""  # as that of an error


class RetryBudget:
    """How often and how long to try: counts failures in a row, and pauses between them.

    No attempt outlasts the deadline, and the last one begins a while before it. A deadline of 0 seconds is for one
    attempt, which has the time that any attempt has without a deadline.
    """

    def __init__(self, pauses: Pauses, retries: int, seconds: float, clock: Clock, cancel: Cancel | None) -> None:
        if not seconds >= 0:
            raise ValueError(f"{seconds!r} is no number of seconds: zero or more")
        self._pauses = pauses
        self._retries = retries
        self.seconds = seconds  # to the deadline
        self.clock = clock
        self.stopped = Flag()  # ends all waiting, as cancel does
        self._cancel = cancel
        self._either = AnyOf(self.stopped, cancel)
        self.failures = 0  # in a row
        self._end = clock.now() + seconds

    @property
    def _left(self) -> float:
        return max(0.0, self._end - self.clock.now())

    @property
    def _room(self) -> float:
        """Seconds until the last attempt has to begin."""
        return max(0.0, self._left - min(_LAST, self.seconds / 10))

    @property
    def over(self) -> bool:
        """Whether there is no time for another attempt."""
        return self._room <= 0

    @property
    def ended(self) -> bool:
        """Whether nobody waits any more."""
        return self._either.is_set()

    def for_one(self, timeout: float) -> float:
        """Seconds that an attempt has, all in all."""
        return self._left if self.seconds else timeout

    def pause(self, attempt: int, retry_after: float | None) -> float:
        """Seconds to wait before the next attempt: what was asked for, or ours if longer, up to the last one."""
        return min(max(self._pauses.before(attempt), retry_after or 0.0), self._room)

    def wait(self, seconds: float) -> None:
        """Let them pass."""
        self.clock.pause(seconds, self._either)

    def after(self, fault: Fault, *, at_once: bool = False) -> bool:
        """Wait before another attempt, ``at_once`` only if it is not the first; False if there is to be none."""
        self.check()
        if fault.final or self.over or self.failures >= self._retries:
            return False
        seconds = self.pause(self.failures, fault.retry_after)
        self.failures += 1
        if not at_once or self.failures > 1:
            self.wait(seconds)
        return True

    def check(self) -> None:
        """CancelledError if the caller wants no more."""
        check(self._cancel)

    def succeeded(self) -> None:
        """The next failure is a first one."""
        self.failures = 0

    def restart(self) -> None:
        """The time to the deadline begins now."""
        self._end = self.clock.now() + self.seconds
