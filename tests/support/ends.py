"""Signals that end a process, as a terminal's foreground has them."""

from __future__ import annotations

import signal


def heed_signals() -> None:
    """Take SIGHUP and SIGINT as usual, in all processes started from now on, too.

    Under ``nohup``, or in the background of a shell, they are ignored, by every process started there: tests that send
    them would wait for ever, or see nothing.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
