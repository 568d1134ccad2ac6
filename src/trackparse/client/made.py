"""The metadata of the Parquet file of a day: which day it is, whether it is final, and how the file was made."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from typing import Any, Final

from trackparse.client.calendar import Stage, stage_of
from trackparse.convert.changed import REJECTS_SUM
from trackparse.convert.conversion import PARTIAL
from trackparse.convert.parquet import SOURCE, read_footer
from trackparse.convert.places import place_of

DAY: Final = "trackparse.day"  # as ISO text
FINAL: Final = "trackparse.final"  # "true" if the grace of the day was over when its log was asked for, or "false"
OPTIONS: Final = "trackparse.options_sha256"


@dataclass(frozen=True, slots=True)
class Made:
    """What the metadata of a Parquet file say.

    day: the day whose log it holds; None if they do not say it.
    final: whether the grace of the day was over when its log was asked for.
    partial: whether it holds a part of a damaged log only.
    options: a digest of the options that it was made with.
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


def read_made(dest: str | os.PathLike[str], filesystem: Any) -> Made | None:
    """What the metadata of the file say: nothing if it is not Parquet. None if there is no file.

    OSError if it cannot be read.
    """
    file = place_of(dest, filesystem).open_old()
    if file is None:
        return None
    with file:
        footer = read_footer(file)
    pairs = (footer.metadata if footer is not None else None) or {}
    told = {name: pairs.get(name.encode(), b"").decode(errors="replace") for name in (DAY, FINAL, OPTIONS, REJECTS_SUM)}
    try:
        day = datetime.date.fromisoformat(told[DAY])
    except ValueError:
        day = None
    return Made(day, told[FINAL] == "true", PARTIAL.encode() in pairs, told[OPTIONS], told[REJECTS_SUM])
