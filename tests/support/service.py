"""A client of the stand-in service whose pauses take no time."""

from __future__ import annotations

import datetime
import zipfile
from functools import cache
from io import BytesIO
from typing import Any

import pyarrow as pa

import trackparse
from trackparse.client import Pauses, TrackingLogClient
from trackparse.sources.retry import Cancel, Clock, raise_if_cancelled
from trackparse.testing import TOKEN, FakeService
from trackparse.testing.sample import write_sample

NOON = datetime.datetime.combine(datetime.datetime.now(datetime.UTC).date(), datetime.time(12), datetime.UTC)
QUICK = Pauses(0.0005, 0.002)


class RecordingClock(Clock):
    """Pauses pass at once, and are remembered."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def now(self) -> float:
        return super().now() + sum(self.pauses)

    def time(self) -> float:
        return super().time() + sum(self.pauses)

    def pause(self, seconds: float, cancel: Cancel | None) -> None:
        self.pauses.append(seconds)
        raise_if_cancelled(cancel)


class SetClock(RecordingClock):
    """A clock that stands where a test puts it: at noon of today, to begin with."""

    moment = NOON.timestamp()

    def time(self) -> float:
        return self.moment


def client_of(service: FakeService, **options: Any) -> TrackingLogClient:
    given = {"base_url": service.url, "allow_http": True, "pauses": QUICK, "timeout": 10.0, **options}
    return TrackingLogClient(given.pop("token", TOKEN), **given)


def clocked(service: FakeService, **options: Any) -> tuple[TrackingLogClient, RecordingClock]:
    """A client with the usual pauses, and the clock that skips them."""
    client = client_of(service, pauses=Pauses(), **options)
    clock = RecordingClock()
    client._clock = clock
    return client, clock


@cache
def sample(rows: int = 1000) -> bytes:
    file = BytesIO()
    write_sample(file, rows=rows)
    return file.getvalue()


def stored(log: bytes) -> bytes:
    """A ZIP with the bytes of a log as they are."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("tracking_log.csv", log)
    return file.getvalue()


@cache
def table_of(log: bytes) -> pa.Table:
    return trackparse.read_log(log)


def assert_tiles(spans: list[tuple[int, int]], size: int) -> None:
    """Each byte was sent once, in order."""
    position = 0
    for start, end in spans:
        assert start == position or end == start == 0, spans
        position = end
    assert position == size
