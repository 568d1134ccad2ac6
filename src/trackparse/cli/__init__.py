"""The command line, a module for each command. In come arguments; out come lines and an exit code.

It does nothing that the library does not do. Imports public names of the library only, but for a few that
``tests/test_layering.py`` lists with the reason.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from trackparse import __version__

if TYPE_CHECKING:
    from trackparse.cli.app import cli

__all__ = ["cli", "main"]


def main() -> None:
    """Run the command line; the console entry point."""
    if find_spec("click") is None:
        raise SystemExit(
            f"trackparse {__version__}: the command line needs click: pip install 'trackparse-pushwoosh[cli]'"
        )
    from trackparse.signals import ended, listen

    # First of all: the imports below take long enough for a user to press Ctrl-C.
    listen()
    try:
        from trackparse.cli.app import run

        run()
    finally:
        ended()


def __getattr__(name: str) -> Any:
    if name != "cli":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trackparse.cli.app import cli

    return cli
