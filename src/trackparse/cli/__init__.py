"""The command line, a module for each command: arguments in, lines out. Whatever is more than that the library does."""

from __future__ import annotations

try:
    import click  # noqa: F401
except ModuleNotFoundError:
    raise SystemExit("trackparse: the command line needs click: pip install 'trackparse[cli]'") from None

from trackparse.cli.app import cli, main

__all__ = ["cli", "main"]
