"""The days whose logs the service keeps, by this machine's date. Asks no service."""

from __future__ import annotations

import datetime
from typing import Final, TypeAlias

KEPT_DAYS: Final = 14  # days for which the service keeps logs
_SLACK: Final = datetime.timedelta(days=1)  # the service may be in another time zone

Day: TypeAlias = datetime.date | str


def days(first: Day, last: Day) -> list[datetime.date]:
    """The days from ``first`` to ``last``, both included.

    Each is a ``datetime.date`` or ISO text. ValueError if the service does not keep the logs of both, or if ``last`` is
    before ``first``.

    Example::

        for day in days("2021-04-20", "2021-04-22"):
            client.convert(day, f"{day}.parquet")
    """
    start, end = kept_day(first), kept_day(last)
    if end < start:
        raise ValueError(f"the days from {start} to {end}: the last one comes before the first one")
    return [start + datetime.timedelta(days=number) for number in range((end - start).days + 1)]


def kept_day(day: Day) -> datetime.date:
    """A date, from a ``datetime.date`` or ISO text; ValueError if it is not a date, or its log is not kept."""
    if isinstance(day, datetime.datetime):
        date = day.date()
    elif isinstance(day, datetime.date):
        date = day
    elif isinstance(day, str):
        date = _parsed(day)
    else:
        raise TypeError(f"a day is {type(day).__name__}: expected a datetime.date or ISO text")
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
        raise ValueError(f"{text[:40]!r} is not a date: expected one such as 2021-04-20") from None
