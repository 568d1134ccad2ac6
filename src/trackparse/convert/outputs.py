"""The names of the files that logs are converted to, and that no two of them are one. Opens nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trackparse.atomic import identity
from trackparse.errors import OptionError


def named_after(log: Path, folder: Path | None) -> Path:
    """The Parquet file of a log: its name with another suffix, beside it or in the folder."""
    dest = (log.with_suffix("") if log.suffix == ".gz" else log).with_suffix(".parquet")
    return dest if folder is None else folder / dest.name


def rejects_beside(dest: Path) -> Path:
    """The file for bad records, beside the Parquet file."""
    return dest.with_suffix(".rejects.jsonl")


def check_places(logs: Sequence[tuple[str, Any, Mapping[str, Path | None]]]) -> None:
    """OptionError if two logs would be written to one file, or a log would be written over.

    Of each log: its name, what it is read from, the files to write, and before each what to do if it is a log.
    """
    found = {place: name for name, source, _ in logs if (place := identity(source))}
    taken: dict[Any, str] = {}
    for name, _, paths in logs:
        for advice, path in paths.items():
            if path is None:
                continue
            place = identity(path)
            if place in found:
                of = "itself" if found[place] == name else found[place]
                raise OptionError(f"{path} is the log {of}: {advice}")
            first = taken.setdefault(place or os.path.realpath(path), name)
            if first != name:
                raise OptionError(f"{first} and {name} would both become {path}: convert them one by one")
