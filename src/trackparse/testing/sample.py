"""Makes up a push-tracking log, for tests and for users without one. Equal arguments give equal bytes."""

from __future__ import annotations

import io
import json
import os
import random
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal, get_args

from trackparse.atomic import atomic, name_errors_after
from trackparse.errors import OptionError
from trackparse.schema import COLUMNS
from trackparse.sources.urls import redacted_url, scheme_of

__all__ = ["COLUMNS", "Dialect", "encode_row", "sample_rows", "write_sample"]

Dialect = Literal["php", "rfc4180"]

_MEMBER = "tracking_log.csv"
_MEMBER_TIME = (2021, 4, 21, 0, 0, 0)  # fixed: the bytes must not depend on the clock
_START = datetime(2021, 4, 20)  # the log has no zone
_APPS = 12
_DEVICES = 20_000
_MESSAGES_AT_ONCE = 4
_DEVICES_OF_A_MESSAGE_MOST = 1_500  # fewer than an app has, so that a message is sent to each device once
_ROWS_A_SENDING = 22  # of a second in which messages are sent, with all that happens to them later
ROWS_OF_A_DAY_MOST = 1_000_000  # more do not fit between two midnights
_LAST_SECOND = 86_399  # of a day
_ROWS_A_WRITE = 4_096
_ZIP64_ROWS = 1 << 22  # above this the member may pass 2 GiB
_UID = "\x00"  # stands for the recipient's id in a payload; JSON text never has this character

_CREATED = ("created", "")
_SENT = ("sent", "")
_DELIVERED = ("delivered", "Success")
_OPENED = ("opened", "")
_FAILED = (
    ("failed", "NotRegistered"),
    ("failed", "InvalidRegistration"),
    ("failed", "Device token is not active for the topic"),
    ("failed", 'The gateway said "BadDeviceToken"; the device was removed'),
    ("failed", "Connection timed out after 30 s"),
)

_ALERTS = (
    "Your order is on its way",
    'Sale: "all" must go today, up to 70% off',
    "Доставка уже в пути, курьер приедет к вам в течение часа",
    "🔥 Only tonight: two for one on everything in your basket",
    "Скидка «только сегодня» 🎁 не пропустите",
    "Goal! 2:1 in the 87th minute, watch the replay now",
    'She said: "call me back" — 1 missed call',
    "Your code is 482913. Do not share it; we never ask for it.",
    "Price alert: the item you follow is 15% cheaper",
    "We miss you\nCome back and collect your bonus",
    "Notre sélection d'été est arrivée ☀️",
    "您的包裹已送达，请及时领取",
)
_LINKS = (
    "https://shop.example.com/sale/today?utm_source=push&utm_campaign=",
    "https://news.example.org/2021/04/20/article/",
    "myapp://open/basket/",
)

# fputcsv encloses a field that has one of these.
_NEEDS_QUOTES = re.compile(r'[;"\\\n\r\t ]')
# It leaves a quote after a backslash alone.
_DOUBLED_BY_PHP = re.compile(r'(?<!\\)"')


def write_sample(
    dest: str | os.PathLike[str] | IO[bytes],
    *,
    rows: int,
    dialect: Dialect = "php",
    seed: int = 0,
    columns: Literal[8, 6] = 8,
    date: date | None = None,
) -> None:
    """Write a ZIP with one ``tracking_log.csv`` of made-up records, about 365 bytes each, to ``dest``.

    dest: a path, or a binary file that need not be seekable. A path appears when its file is complete.
    rows: number of records. Memory does not grow with it.
    dialect: ``"php"`` is ``fputcsv``; ``"rfc4180"`` doubles every quote.
    seed: another number gives another log.
    columns: 8, or 6 for the older generation: no ``appCode``, no ``payload``, timestamps with a ``T``.
    date: the day of the log. Its rows are spread over the day; days of one ``seed`` have the same apps and devices.
        Without it they begin at 2021-04-20 00:00:00, about 24 of them a second.

    ValueError for an option that has no such value; OSError if the file cannot be written.

    >>> write_sample("sample.zip", rows=1_000)
    >>> write_sample("2026-03-01.zip", rows=1_000, date=date(2026, 3, 1))
    """
    _check(rows, columns, date)
    if scheme_of(dest):
        raise OptionError(f"{redacted_url(str(dest))}: a sample is written to this machine: name a path")
    _check_dialect(dialect)
    lines = _lines(rows, dialect, seed, columns, date)
    header = f"//{';'.join(COLUMNS[:columns])}\n"
    if not isinstance(dest, str | os.PathLike):
        _pack(dest, header, lines, large=rows > _ZIP64_ROWS)
        return
    path = Path(dest)
    if path.is_fifo() or path.is_char_device():
        with path.open("wb") as file:
            _pack(file, header, lines, large=rows > _ZIP64_ROWS)
        return
    with atomic(path) as temporary, name_errors_after(path), temporary.open("wb") as file:
        _pack(file, header, lines, large=rows > _ZIP64_ROWS)


class _Nowhere(io.BytesIO):
    """Cannot be closed: the garbage collector may do that before it ends those who write here."""

    def close(self) -> None:
        pass


def _pack(file: IO[bytes], header: str, lines: Iterator[str], *, large: bool) -> None:
    info = zipfile.ZipInfo(_MEMBER, _MEMBER_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # fixed: the bytes must not depend on the platform
    info.external_attr = 0o644 << 16
    archive = zipfile.ZipFile(file, "w", compresslevel=6)
    try:
        with archive.open(info, "w", force_zip64=large) as member:
            member.write(header.encode())
            for chunk in _joined(lines):
                member.write(chunk)
        archive.close()
    except BaseException:
        # It stays unfinished: closing it after a signal within ``open`` raises an error in place of this one. What the
        # garbage collector ends goes nowhere.
        archive.fp = _Nowhere()
        raise


def sample_rows(
    rows: int, seed: int = 0, *, columns: Literal[8, 6] = 8, date: date | None = None
) -> Iterator[tuple[str, ...]]:
    """The records that ``write_sample`` writes, as fields in the order of ``COLUMNS``, without quotes around them.

    ``rows``, ``seed``, ``columns``, ``date`` and errors are those of ``write_sample``.

    >>> codes = {fields[1] for fields in sample_rows(1_000)}
    """
    _check(rows, columns, date)
    for second, event in _events(rows, seed, date, with_fraction=columns == 6):
        device, (status, description), message = event.device, event.outcome, event.message
        payload = message.payload.replace(_UID, event.uid)
        yield (
            second,
            message.code,
            device.target_id,
            device.hwid,
            status,
            description,
            message.app,
            payload,
        )[:columns]


def encode_row(fields: tuple[str, ...], dialect: Dialect = "php") -> bytes:
    """One record as the writer of the log writes it, with its line end.

    ``"php"`` is ``fputcsv`` with ``;`` and its default escape character; ``"rfc4180"`` doubles every quote. ValueError
    for another dialect.

    >>> encode_row(("say hi", "x")).decode().strip()
    '"say hi";x'
    """
    _check_dialect(dialect)
    return (";".join(_quoted(field, dialect) for field in fields) + "\n").encode()


def _quoted(field: str, dialect: Dialect) -> str:
    if not _NEEDS_QUOTES.search(field):
        return field
    inside = _DOUBLED_BY_PHP.sub('""', field) if dialect == "php" else field.replace('"', '""')
    return f'"{inside}"'


def _check(rows: int, columns: int, date: date | None) -> None:
    if not isinstance(rows, int):
        raise TypeError(f"rows is {rows!r}: expected a whole number")
    if rows < 0:
        raise OptionError(f"rows is {rows}: expected zero or more")
    if rows > ROWS_OF_A_DAY_MOST and date:
        raise OptionError(f"rows is {rows}: expected {ROWS_OF_A_DAY_MOST:,} or fewer for one day")
    if columns not in (6, 8):
        raise OptionError(f"columns is {columns}: expected 8 or 6")


def _check_dialect(dialect: Dialect) -> None:
    if dialect not in get_args(Dialect):
        raise OptionError(f"dialect is {dialect!r}: expected 'php' or 'rfc4180'")


@dataclass(frozen=True, slots=True)
class _Device:
    target_id: str
    hwid: str


@dataclass(frozen=True, slots=True)
class _Message:
    code: str
    app: str
    payload: str  # JSON text with _UID in it, or empty


@dataclass(slots=True)  # not frozen: a frozen one takes three times as long to make
class _Event:
    message: _Message
    device: _Device
    uid: str
    outcome: tuple[str, str]


class _Campaign:
    """A message that is being sent, to one device after the other."""

    def __init__(self, rng: random.Random, apps: list[str], devices: list[_Device]) -> None:
        number = rng.randrange(_APPS)
        self.message = _message(rng, apps[number])
        self._devices = devices[number::_APPS]
        self._next = rng.randrange(len(self._devices))
        # Many campaigns are small and a few are large.
        self.left = int(_DEVICES_OF_A_MESSAGE_MOST ** rng.random())

    def next_device(self) -> _Device:
        self.left -= 1
        self._next = (self._next + 1) % len(self._devices)
        return self._devices[self._next]


def _message(rng: random.Random, app: str) -> _Message:
    code = f"T-{rng.getrandbits(16):04X}-{rng.getrandbits(32):08X}-{rng.getrandbits(32):08X}"
    if rng.random() < 0.02:
        return _Message(code, app, "")
    aps: dict[str, object] = {"alert": rng.choice(_ALERTS)}
    if rng.random() < 0.6:
        aps["badge"] = rng.randrange(1, 10)
    aps["sound"] = rng.choice(("default", "bell.caf", ""))
    payload: dict[str, object] = {"aps": aps, "md": {"uid": _UID, "segment": f"{rng.getrandbits(32):08x}"}}
    if rng.random() < 0.5:
        payload["l"] = f"{rng.choice(_LINKS)}{rng.getrandbits(32):08x}"
    payload["p"] = f"{rng.getrandbits(20):X}"
    text = json.dumps(payload, ensure_ascii=rng.random() < 0.5, separators=(",", ":"))
    text = text.replace('"\\u0000"', f'"{_UID}"')
    if rng.random() < 0.7:
        text = text.replace("/", "\\/")  # as json_encode does unless told otherwise
    return _Message(code, app, text)


def _device(rng: random.Random) -> _Device:
    kind = rng.random()
    if kind < 0.5:  # Android
        hwid = f"{rng.getrandbits(64):016x}"
        token = f"{rng.getrandbits(64):011x}:APA91b{rng.getrandbits(320):080x}"
    else:  # iOS
        bits = f"{rng.getrandbits(128):032X}"
        hwid = f"{bits[:8]}-{bits[8:12]}-{bits[12:16]}-{bits[16:20]}-{bits[20:]}"
        token = f"{rng.getrandbits(256):064x}"
    return _Device(hwid if rng.random() < 0.7 else token, hwid)


@lru_cache(maxsize=1)  # they take as long as thousands of rows, and tests ask for the same seed again and again
def _apps_and_devices(seed: int) -> tuple[list[str], list[_Device], tuple[Any, ...]]:
    """Who gets messages, and the state of the random numbers behind that."""
    rng = random.Random(seed)
    apps = [f"{rng.getrandbits(20):05X}-{rng.getrandbits(20):05X}" for _ in range(_APPS)]
    return apps, [_device(rng) for _ in range(_DEVICES)], rng.getstate()


def _events(rows: int, seed: int, date: date | None, *, with_fraction: bool = False) -> Iterator[tuple[str, _Event]]:
    """Events in the order of time, each with its timestamp; many share a second."""
    apps, devices, state = _apps_and_devices(seed)
    rng = random.Random()
    if date is None:
        start, pause = _START, 1
        rng.setstate(state)
    else:
        # The pauses leave an hour for what happens to the last messages.
        start, pause = datetime.combine(date, time()), max(1, 82_800 * _ROWS_A_SENDING // (rows or 1))  # seconds
        rng.seed(f"{seed} {date}")
    campaigns = [_Campaign(rng, apps, devices) for _ in range(_MESSAGES_AT_ONCE)]
    due: dict[int, list[_Event]] = {}  # events to come, by second
    second = -1
    while rows > 0:
        second += 1
        if second % pause == 0:
            turn = rng.randrange(_MESSAGES_AT_ONCE)
            campaign = campaigns[turn]
            for _ in range(min(campaign.left, rng.randrange(1, 16))):
                _send(campaign, rng.random(), second, due)
            if not campaign.left:
                campaigns[turn] = _Campaign(rng, apps, devices)
        now = due.pop(second, [])[:rows]
        if not now:
            continue
        rows -= len(now)
        late = date is not None and second > _LAST_SECOND
        moment = start + timedelta(seconds=_LAST_SECOND if late else second)
        if with_fraction and not late:
            yield from _spread(moment, now)
        else:
            stamp = f"{moment.isoformat()}.999999" if with_fraction else str(moment)
            for event in now:
                yield stamp, event


def _spread(moment: datetime, events: list[_Event]) -> Iterator[tuple[str, _Event]]:
    start = moment.isoformat()
    for number, event in enumerate(events):
        yield f"{start}.{number * 1_000_000 // len(events):06d}", event


def _send(campaign: _Campaign, luck: float, second: int, due: dict[int, list[_Event]]) -> None:
    """Put all that will happen to one device's notification into ``due``.

    ``luck`` in [0, 1) decides everything: one random number for about three rows.
    """
    message, device = campaign.message, campaign.next_device()
    draw = int(luck * 10_000_000_000)
    uid = f"{draw:010d}"
    due.setdefault(second, []).append(_Event(message, device, uid, _CREATED))
    second += 2 + draw % 11
    due.setdefault(second, []).append(_Event(message, device, uid, _SENT))
    fate = draw // 1_000 % 1_000
    second += 3 + draw % 47
    # So many seconds between the rows of a device that deflate finds it seldom, as in the log of a busy service.
    if fate < 60:
        outcome = _FAILED[fate % len(_FAILED)]
        due.setdefault(second, []).append(_Event(message, device, uid, outcome))
    elif fate < 960:  # nothing more happens to the rest
        due.setdefault(second, []).append(_Event(message, device, uid, _DELIVERED))
        if fate < 180:
            second += 2 + draw % 1_800
            due.setdefault(second, []).append(_Event(message, device, uid, _OPENED))


def _lines(rows: int, dialect: Dialect, seed: int, columns: int, date: date | None) -> Iterator[str]:
    """The same as ``encode_row`` of each of ``sample_rows``, but quotes a payload once a message, not once a row."""
    outcomes = {
        outcome: f"{outcome[0]};{_quoted(outcome[1], dialect)}"
        for outcome in (_CREATED, _SENT, _DELIVERED, _OPENED, *_FAILED)
    }
    if columns == 6:
        for second, event in _events(rows, seed, date, with_fraction=True):
            device = event.device
            yield (f"{second};{event.message.code};{device.target_id};{device.hwid};{outcomes[event.outcome]}\n")
        return
    tails: dict[str, tuple[str, str, str]] = {}  # message code: text before the uid, and after it
    for second, event in _events(rows, seed, date):
        message, device = event.message, event.device
        tail = tails.get(message.code)
        if tail is None:
            if len(tails) > 1_000:
                tails.clear()
            tail = tails[message.code] = _tail(message, dialect)
        before, uid, after = tail
        yield (
            f'"{second}";{message.code};{device.target_id};{device.hwid};'
            f"{outcomes[event.outcome]};{before}{event.uid if uid else ''}{after}"
        )


def _tail(message: _Message, dialect: Dialect) -> tuple[str, str, str]:
    before, uid, after = _quoted(message.payload, dialect).partition(_UID)
    return f"{message.app};{before}", uid, f"{after}\n"


def _joined(lines: Iterator[str]) -> Iterator[bytes]:
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == _ROWS_A_WRITE:
            yield "".join(chunk).encode()
            chunk.clear()
    yield "".join(chunk).encode()
