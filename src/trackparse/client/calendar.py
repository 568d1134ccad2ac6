"""The days whose logs the service keeps, and when a day is over, in UTC. Asks no service.

The service does not say in which zone its days are. A day in UTC ends 12 hours before the same day ends in the zone
that is furthest behind, and 14 hours after it began in the one that is furthest ahead.
"""

from __future__ import annotations

import datetime
import enum
import time
from typing import Final, TypeAlias

KEPT_DAYS: Final = 14  # days for which the service keeps logs
GRACE: Final = 24 * 3600.0  # seconds from the end of a day in UTC until its log is taken for complete
_SLACK: Final = datetime.timedelta(days=1)  # the service may be in another time zone

Day: TypeAlias = datetime.date | str


class Stage(enum.IntEnum):
    """How complete the log of a day can be."""

    GROWING = 0  # the day is not over
    OVER = 1  # it is over, but records may still come
    FINAL = 2  # the grace is over, too


def days(first: Day, last: Day) -> list[datetime.date]:
    """The days from ``first`` to ``last``, both included.

    Each is a ``datetime.date`` or ISO text. ValueError if the service does not keep the logs of both, or if ``last`` is
    before ``first``.

    Example::

        from datetime import date, timedelta

        yesterday = date.today() - timedelta(days=1)
        for day in days(yesterday - timedelta(days=2), yesterday):
            client.convert(day, f"{day}.parquet")
    """
    return days_between(first, last, date_of(time.time()))


def days_between(first: Day, last: Day, today: datetime.date) -> list[datetime.date]:
    """As ``days``, on this day."""
    start, end = kept_day(first, today), kept_day(last, today)
    if end < start:
        raise ValueError(f"the days from {start} to {end}: the last one comes before the first one")
    return [start + datetime.timedelta(days=number) for number in range((end - start).days + 1)]


def kept_day(day: Day, today: datetime.date) -> datetime.date:
    """A date, from a ``datetime.date`` or ISO text; ValueError if it is not a date, or its log is not kept."""
    if isinstance(day, datetime.datetime):
        date = day.date()
    elif isinstance(day, datetime.date):
        date = day
    elif isinstance(day, str):
        date = _parsed(day)
    else:
        raise TypeError(f"a day is {type(day).__name__}: expected a datetime.date or ISO text")
    if date > today + _SLACK:
        raise ValueError(f"{date} is in the future: the service keeps the logs of the last {KEPT_DAYS} days")
    if date < today - datetime.timedelta(days=KEPT_DAYS) - _SLACK:
        raise ValueError(f"{date} is too long ago: the service keeps the logs of the last {KEPT_DAYS} days")
    return date


def days_before(today: datetime.date, number: int) -> list[datetime.date]:
    """The last days that are over, the oldest first."""
    return [today - datetime.timedelta(days=age) for age in range(number, 0, -1)]


def date_of(moment: float) -> datetime.date:
    """The date in UTC at a moment, in seconds since 1970."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).date()


def stage_of(day: datetime.date, moment: float, grace: float = GRACE) -> Stage:
    """How complete the log of a day can be at a moment, in seconds since 1970. ``grace`` is in seconds."""
    midnight = datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp()
    end = midnight + 24 * 3600
    if moment < end:
        return Stage.GROWING
    return Stage.OVER if moment < end + grace else Stage.FINAL


def _parsed(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a date: expected one such as 2021-04-20") from None
