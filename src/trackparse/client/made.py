"""What the Parquet file of a day says about itself, and what to do about rejects that a person has changed."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pyarrow as pa

from trackparse.client.calendar import Stage, stage_of
from trackparse.convert.conversion import REJECTS_SUM
from trackparse.convert.jobs import options_digest
from trackparse.convert.outputs import Output, shown
from trackparse.convert.places import place_of
from trackparse.errors import TrackparseError
from trackparse.options import CONVERT_DEFAULTS, ConvertOptions
from trackparse.sources.urls import scheme_of, with_suffix

SOURCE: Final = "trackparse.source"
DAY: Final = "trackparse.day"  # as ISO text
FINAL: Final = "trackparse.final"  # "true" if the grace of the day was over when its log was asked for, or "false"
OPTIONS: Final = "trackparse.options_sha256"
_PARTIAL: Final = "trackparse.partial"
_PIECE: Final = 1 << 20  # bytes
_LOGGER: Final = logging.getLogger("trackparse")


@dataclass(frozen=True, slots=True)
class Made:
    """What the metadata of a Parquet file say.

    day: the day whose log it holds; None if they do not say it.
    final: whether the grace of the day was over when its log was asked for.
    partial: whether it holds a part of a damaged log only.
    options: tells whether another file was made with the same options.
    rejects: the SHA-256 of the file of rejects that was written with it; empty if there was none.
    """

    day: datetime.date | None
    final: bool
    partial: bool
    options: str
    rejects: str


def metadata_of(source: str, day: datetime.date | None, moment: float, grace: float, options: str) -> dict[str, str]:
    """The metadata for the log of a day that the service was asked for at a moment, in seconds since 1970."""
    if day is None:
        return {SOURCE: source, OPTIONS: options}
    final = stage_of(day, moment, grace) is Stage.FINAL
    return {SOURCE: source, DAY: day.isoformat(), FINAL: str(final).lower(), OPTIONS: options}


def digest_of(options: ConvertOptions) -> str:
    """What tells whether two files were made with the same options. Those that have their defaults do not count."""
    return options_digest({name: value for name, value in options.items() if value != CONVERT_DEFAULTS.get(name)})


def read_made(dest: str | os.PathLike[str], filesystem: Any) -> Made | None:
    """What the file says, nothing if it is not Parquet; None if there is no file. OSError if it cannot be read."""
    import pyarrow.parquet as pq

    file = place_of(dest, filesystem).open_old()
    if file is None:
        return None
    with file:
        try:
            pairs = pq.read_metadata(file).metadata or {}
        except pa.ArrowInvalid:
            pairs = {}
        except OSError as error:
            # pyarrow has this error for a footer that is not one.
            if "deserialize" not in str(error):
                raise
            pairs = {}
    told = {name: pairs.get(name.encode(), b"").decode(errors="replace") for name in (DAY, FINAL, OPTIONS, REJECTS_SUM)}
    try:
        day = datetime.date.fromisoformat(told[DAY])
    except ValueError:
        day = None
    return Made(day, told[FINAL] == "true", _PARTIAL.encode() in pairs, told[OPTIONS], told[REJECTS_SUM])


# ---- rejects ------------------------------------------------------------------------------------------------


def rejects_place(rejects: Output, filesystem: Any, known: set[str]) -> tuple[Output, Callable[[], None]]:
    """Where to write rejects, so that no file is replaced that a person has changed; and a check for the end.

    That is ``rejects``, if there is no such file, or if its SHA-256 is one of ``known``: those of files that were
    written here. Otherwise it is a name beside it, and a warning says so. The check raises TrackparseError if the file
    has changed in the meantime.
    """
    found: list[tuple[Output, str]] = []  # the names, up to the first one without a file behind ``rejects`` itself
    for name in _names_beside(rejects):
        found.append((name, _sum_of(name, filesystem)))
        if len(found) > 1 and not found[-1][1]:
            break
    ours = [name for name, digest in found if digest in known]
    free = [name for name, digest in found if not digest]
    chosen = (ours or free)[0]
    if found[0][1] and chosen != rejects:
        _LOGGER.warning(
            "%s: the file is not as trackparse wrote it, so it is kept; the bad records go to %s",
            shown(rejects),
            shown(chosen),
        )
    before = dict(found)[chosen]

    def check() -> None:
        if _sum_of(chosen, filesystem) != before:
            raise TrackparseError(
                f"{shown(chosen)}: the file was changed while the log was fetched, so it is kept",
                advice="fetch the log again",
            )

    return chosen, check


def _names_beside(rejects: Output) -> Iterator[Output]:
    """``day.rejects.jsonl``, ``day.rejects.new.jsonl``, ``day.rejects.new-2.jsonl`` and so on."""
    yield rejects
    for number in itertools.count(1):
        mark = ".new" if number == 1 else f".new-{number}"
        suffix = f"{mark}{PurePosixPath(shown(rejects)).suffix}"
        yield rejects.with_suffix(suffix) if isinstance(rejects, Path) else with_suffix(rejects, suffix)


def _sum_of(name: Output, filesystem: Any) -> str:
    """The SHA-256 of the file; empty if there is no file, or nothing in it."""
    file = place_of(name, filesystem).open_old()
    if file is None:
        return ""
    found, size = hashlib.sha256(), 0
    with file:
        while piece := file.read(_PIECE):
            found.update(piece)
            size += len(piece)
    return found.hexdigest() if size else ""


def as_output(place: str | os.PathLike[str]) -> Output:
    """A ``Path`` on this machine; a str for a URL or a path in a file system."""
    return place if isinstance(place, str) and scheme_of(place) else Path(place)
