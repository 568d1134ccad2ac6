"""The days whose logs the service keeps. It asks nobody."""

from __future__ import annotations

import datetime
from typing import Final, TypeAlias

KEPT_DAYS: Final = 14  # the service keeps logs for so long
_SLACK: Final = datetime.timedelta(days=1)  # the service's day may not be ours

Day: TypeAlias = datetime.date | str


def days(first: Day, last: Day) -> list[datetime.date]:
    """The days from ``first`` to ``last``, both included; ValueError if the service does not keep them."""
    start, end = kept_day(first), kept_day(last)
    if end < start:
        raise ValueError(f"the days from {start} to {end}: the last comes before the first")
    return [start + datetime.timedelta(days=number) for number in range((end - start).days + 1)]


def kept_day(day: Day) -> datetime.date:
    """A date, from a ``datetime.date`` or ISO text; ValueError if it is none, or the service does not keep its log."""
    if isinstance(day, datetime.datetime):
        date = day.date()
    elif isinstance(day, datetime.date):
        date = day
    elif isinstance(day, str):
        date = _parsed(day)
    else:
        raise TypeError(f"a day is a datetime.date or ISO text, not {type(day).__name__}")
    today = datetime.datetime.now(datetime.UTC).date()
    if date > today + _SLACK:
        raise ValueError(f"{date} is in the future: the service keeps the logs of the last {KEPT_DAYS} days")
    if date < today - datetime.timedelta(days=KEPT_DAYS) - _SLACK:
        raise ValueError(f"{date} is too long ago: the service keeps the logs of the last {KEPT_DAYS} days")
    return date


def _parsed(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no date: 2021-04-20 is how one looks") from None
