"""Where commands write: paths and URLs, as the user typed them. Opens nothing."""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

import click

from trackparse import OptionError
from trackparse.atomic import identity
from trackparse.sources.urls import (
    STORES,
    check_is_no_collapsed_url,
    joined,
    local_path,
    redacted_url,
    scheme_of,
    unknown_scheme,
    with_suffix,
)

# A str is a URL.
Place: TypeAlias = Path | str


class PlaceType(click.Path):
    """A path, or a URL to which something can be written."""

    def __init__(self, **checks: bool) -> None:
        super().__init__(path_type=Path, **checks)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A ``Path``, or for a URL a str."""
        scheme = scheme_of(value)
        if scheme in ("http", "https"):
            self.fail(f"{redacted_url(value)}: nothing can be written to a web server: name another place", param, ctx)
        if scheme and scheme not in STORES:
            self.fail(unknown_scheme(value).message, param, ctx)
        try:
            check_is_no_collapsed_url(value)
        except OptionError as error:
            self.fail(str(error), param, ctx)
        path = local_path(value) if scheme else value
        return value if path is None else super().convert(path, param, ctx)


def is_url(text: str) -> bool:
    """Whether the text is a URL, and not the name of a file."""
    return bool(scheme_of(text))


def shown(place: Place) -> str:
    """The place in messages. User and query of a URL are left out: a key or a signature may stand there."""
    return redacted_url(place) if isinstance(place, str) and is_url(place) else str(place)


def name_in(place: Place) -> str:
    """The name of the file alone. ValueError for what looks like a URL and is not one."""
    if isinstance(place, str):
        urlsplit(place)
    return place.name if isinstance(place, Path) else unquote(PurePosixPath(redacted_url(place)).name)


def in_folder(folder: Place, name: str) -> Place:
    """The place of the file in the folder."""
    return folder / name if isinstance(folder, Path) else joined(folder, name)


def with_other_suffix(place: Place, suffix: str) -> Place:
    """The place of the file beside this one that has another suffix."""
    return place.with_suffix(suffix) if isinstance(place, Path) else with_suffix(place, suffix)


def make_folder(folder: Place) -> None:
    """Make the folder if it is missing. An object store needs none."""
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)


def key_of(place: Any) -> Hashable | None:
    """What all names of one file have in common; None for an open file that is none of the disk."""
    if isinstance(place, str) and is_url(place):
        return redacted_url(place)
    found = identity(place)
    return found or (os.path.realpath(place) if isinstance(place, str | os.PathLike) else None)
