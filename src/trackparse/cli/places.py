"""Where commands write: paths and URLs, as the user typed them. Opens nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from trackparse import OptionError
from trackparse.convert.outputs import names_file, shown
from trackparse.sources.urls import (
    STORES,
    check_has_no_nul,
    check_is_no_collapsed_url,
    local_path,
    redacted_url,
    scheme_of,
    unknown_scheme,
)


class PlaceType(click.Path):
    """A path, or a URL to which something can be written."""

    def __init__(self, **checks: bool) -> None:
        super().__init__(path_type=Path, **checks)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A ``Path``, or for a URL a str."""
        if not os.fspath(value):
            # A variable of the shell that is not set, say. For pathlib it is the current folder.
            self.fail("an empty name: name a place; the current folder is .", param, ctx)
        scheme = scheme_of(value)
        self._check_name(os.fspath(value), param, ctx)
        if scheme in ("http", "https"):
            self.fail(f"{redacted_url(value)}: nothing can be written to a web server: name another place", param, ctx)
        if scheme and scheme not in STORES:
            self.fail(unknown_scheme(value, written=True).message, param, ctx)
        path = local_path(value) if scheme else value
        try:
            check_is_no_collapsed_url(value)
            check_has_no_nul(path or value)
        except OptionError as error:
            self.fail(str(error), param, ctx)
        place: Any = value if path is None else super().convert(path, param, ctx)
        if not self.file_okay and not os.fspath(value).endswith("/") and names_file(place):
            one = " for one file give -o;" if _has_option("-o", ctx) else ""
            self.fail(f"{shown(place)}: a directory is named here:{one} end the name of a directory in /", param, ctx)
        return place

    def _check_name(self, name: str, param: click.Parameter | None, ctx: click.Context | None) -> None:
        """UsageError for a name that means something else than a file or a directory, as this one should be."""
        if name == "-" and not self.allow_dash:
            self.fail("'-' would mean standard output: name a place; one that is called so is ./-", param, ctx)
        base = name.partition("?")[0] if scheme_of(name) else name
        if self.file_okay and base.endswith("/"):
            option = param.opts[0] if param else ""
            folder = "; for a directory give --to" if _has_option("--to", ctx) else ""
            self.fail(f"{shown(name)!r} is no file: name the file to write with {option}{folder}", param, ctx)


def _has_option(name: str, ctx: click.Context | None) -> bool:
    """Whether the command has this option."""
    return ctx is not None and any(name in param.opts for param in ctx.command.params)
