"""Signals that ask the process to end: the first becomes an exception, so that whoever writes a file removes it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from trackparse.cli.exits import Exit

_CODES: Final = {
    signal.SIGINT: Exit.INTERRUPTED,
    signal.SIGTERM: Exit.TERMINATED,
    signal.SIGHUP: Exit.TERMINATED,  # the terminal went away
}
_PATIENCE: Final = 20.0  # seconds to put things away; a reader waits 5 s for its thread, and workers have 10 s
_SOON: Final = 0.01  # seconds
_LONGEST_IMPORT: Final = 5.0  # seconds


class _State:
    """What came so far."""

    asked: float | None = None  # when the exception was raised
    number = 0  # the signal that it was raised for
    deferred: float | None = None  # when it came, while a module was imported
    held = False
    waiting = 0  # a signal that came while they were held


def listen(*, interrupts: bool = True) -> None:
    """From now on a signal is a SystemExit with its exit code, once: another one must not disturb the tidying up.

    Without ``interrupts`` Ctrl-C is ignored. A signal that was ignored when the process started stays so, as nohup
    wants it.
    """
    for number in _CODES:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end if interrupts or number != signal.SIGINT else signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda _, frame: _end(_State.number, frame))
    sys.unraisablehook = _raise_again


def ended() -> None:
    """All is done, and signals change nothing any more, the exit code neither."""
    for number in _CODES:
        # Only what is ignored stays so while the interpreter ends.
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def held() -> Iterator[None]:
    """Signals wait meanwhile, and a process that is started in it starts with them blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _CODES)
    _State.held = True
    try:
        yield
    finally:
        _State.held = False
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if number := _State.waiting:
            _State.waiting = 0
            _end(number, None)


def unblock() -> None:
    """Let the signals come that were blocked when this process was started."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _CODES)


def _end(number: int, frame: FrameType | None) -> None:
    if _State.held:
        _State.waiting = number
        return
    now = time.monotonic()
    if _State.asked is not None and now - _State.asked < _PATIENCE:
        return
    if _is_importing(frame) and now - (_State.deferred or now) < _LONGEST_IMPORT:
        _State.deferred, _State.number = _State.deferred or now, number
        signal.setitimer(signal.ITIMER_REAL, _SOON)
        return
    _State.asked, _State.number, _State.deferred = now, number, None
    raise SystemExit(_CODES[signal.Signals(number)])


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is imported: what is raised there may come out as another error, a class made in part as one."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _raise_again(lost: Any) -> None:
    """Where it came while an object was cleared away, Python reports the exception and goes on."""
    if isinstance(lost.exc_value, SystemExit):
        _State.asked = None
        signal.setitimer(signal.ITIMER_REAL, _SOON)
    else:
        sys.__unraisablehook__(lost)
