"""Signals that ask the process to end. The first becomes an exception, so that unfinished files are removed.

For processes of trackparse's own: the command line, and the workers of ``convert_logs``. Imports nothing of trackparse.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

INTERRUPTED: Final = 130
TERMINATED: Final = 143
# Exit codes. Windows has no SIGHUP: the terminal went away.
_CODES: Final = {
    getattr(signal, name): code
    for name, code in (("SIGINT", INTERRUPTED), ("SIGTERM", TERMINATED), ("SIGHUP", TERMINATED))
    if hasattr(signal, name)
}
# Nor has it these. Without a timer a signal raises at once while a module is imported, too. A mask is for processes
# that are started while signals are held, and there are none on Windows.
_HAS_TIMER: Final = hasattr(signal, "setitimer")
_HAS_MASK: Final = hasattr(signal, "pthread_sigmask")
_CLEANUP: Final = 20.0  # seconds to remove files; a reader waits 5 s for its thread, and workers have 10 s
_SOON: Final = 0.01  # seconds
_LONGEST_IMPORT: Final = 5.0  # seconds


class _State:
    """What came so far; times are those of ``time.monotonic``.

    raised: when the exception was raised.
    number: the signal that the exception is for.
    deferred: when the first signal came that was put off because a module was being imported.
    held: whether ``signals_held`` is active.
    waiting: a signal that came meanwhile, 0 if there was none.
    """

    raised: float | None = None
    number = 0
    deferred: float | None = None
    held = False
    waiting = 0


def listen(*, interrupts: bool = True) -> None:
    """From now on the first signal raises SystemExit with its exit code. Later ones must not disturb the clean-up.

    Without ``interrupts`` Ctrl-C is ignored. A signal that was ignored when the process started stays ignored: nohup
    relies on that.
    """
    if _HAS_TIMER:  # before the others, whose handler sets the alarm
        signal.signal(signal.SIGALRM, lambda _, frame: _end(_State.number, frame))
    for number in _CODES:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end if interrupts or number != signal.SIGINT else signal.SIG_IGN)
    sys.unraisablehook = _raise_again


def ended() -> None:
    """Ignore signals from now on: the work is done, and they must not change the exit code."""
    for number in _CODES:
        # Not back to the default: while the interpreter exits, only ignored signals do no harm.
        signal.signal(number, signal.SIG_IGN)
    if _HAS_TIMER:  # it may run still
        signal.signal(signal.SIGALRM, signal.SIG_IGN)


@contextmanager
def signals_held() -> Iterator[None]:
    """Signals wait until the block ends. A process that is started in the block starts with them blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _CODES) if _HAS_MASK else set()
    _State.held = True
    try:
        yield
    finally:
        _State.held = False
        if _HAS_MASK:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if number := _State.waiting:
            _State.waiting = 0
            _end(number, None)


def unblock() -> None:
    """Unblock the signals that were blocked when this process was started."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _CODES)


def _end(number: int, frame: FrameType | None) -> None:
    if _State.held:
        _State.waiting = number
        return
    now = time.monotonic()
    if _State.raised is not None and now - _State.raised < _CLEANUP:
        return
    if _HAS_TIMER and _is_importing(frame) and now - (_State.deferred or now) < _LONGEST_IMPORT:
        _State.deferred, _State.number = _State.deferred or now, number
        signal.setitimer(signal.ITIMER_REAL, _SOON)
        return
    _State.raised, _State.number, _State.deferred = now, number, None
    raise SystemExit(_CODES[signal.Signals(number)])


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported: an exception would turn into another error, or leave it half made."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _raise_again(lost: Any) -> None:
    """Raise the exception again that Python dropped: it does so when a finalizer raises."""
    if _HAS_TIMER and isinstance(lost.exc_value, SystemExit):
        _State.raised = None
        signal.setitimer(signal.ITIMER_REAL, _SOON)
    else:
        sys.__unraisablehook__(lost)
