"""Makes the rows of the logs that are measured: the same rows for the same kind and number. Writes nothing.

A log is what campaigns leave behind. A campaign sends one message to a run of an app's devices; each device then gets
rows over the next hours: created, sent, delivered or failed, sometimes opened. So a device comes back after tens of
thousands of rows, far beyond what deflate remembers, and a row group holds most of its devices once or twice.
"""

from __future__ import annotations

import json
import random
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b, shake_128
from itertools import count

from trackparse.schema import COLUMNS

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """What one log is like. Shares are of 1."""

    columns: tuple[str, ...]
    seed: int
    rows_a_device: int | None  # None: ``devices`` of them, whatever the size
    devices: int = 0
    same_target: float = 0.8  # devices whose target_id is their hwid
    quoted: float = 0.7  # messages with a quote in their payload, so with a \" in the log


KINDS = {
    # Today's generation: 8 columns, and devices that grow with the log.
    "today": Kind(COLUMNS[:8], seed=1, rows_a_device=8),
    # The old generation: 6 columns, most devices named by a token.
    "old": Kind(COLUMNS[:6], seed=2, rows_a_device=8, same_target=0.42),
    # Today's columns, and the same few devices at any size.
    "few": Kind(COLUMNS[:8], seed=3, rows_a_device=None, devices=20_000),
    # Today's log with nine in ten payloads that the two dialects write differently.
    "quotes": Kind(COLUMNS[:8], seed=4, rows_a_device=8, quoted=0.92),
    # Each row has a target_id that no other row has.
    "distinct": Kind(COLUMNS[:6], seed=5, rows_a_device=0),
}

_START = datetime(2021, 4, 20)  # the log has no zone
_APPS = 12
_CAMPAIGNS = 12  # that are sent at the same time
_LONGEST_CAMPAIGN = 6_000  # devices
_SENDS = 9  # in a second, at most
_COVERED = 0.94  # of the devices that there are, those that some campaign meets
# Seconds that each of the three takes, at most, in a log of a million rows, a day; a smaller log is a shorter day.
_QUEUE, _GATEWAY, _READER = 10_800, 7_200, 7_200
_DAY = 1_000_000  # rows

_CREATED, _SENT, _DELIVERED, _OPENED = ("created", ""), ("sent", ""), ("delivered", "Success"), ("opened", "")
_FAILED = tuple(
    ("failed", text)
    for text in (
        "NotRegistered",
        "InvalidRegistration",
        "Device token is not active for the topic",
        'The gateway said "BadDeviceToken"; the device was removed',
        "Connection timed out after 30 s",
    )
)
_QUOTING = (
    'Last hours: "summer" prices end at midnight',
    'New in "My stations": track works on your line this weekend',
    'Anna wrote: "are we still on for tomorrow?"',
    'Заказ "Домашний ужин" собран и ждёт курьера',
    'Episode 7 of "The Lighthouse" is out now 🎬',
    'Your review of "Trail shoes" was read 120 times',
    '"{}" is back in stock in your size',
)
_PLAIN = (
    "Your parcel has left the depot and comes today",
    "Half time 1:1. Tap for the chances so far",
    "Storm warning for your region until 22:00 ⚡",
    "Вам начислено 150 баллов, действуют до конца месяца",
    "Il te reste 2 jours pour utiliser ton bon",
    "ご注文の商品を発送しました",
    "Weekly report: you walked 42 km\nThat is 3 km more than last week",
)
_ITEMS = ("Rain jacket", "Desk lamp", "Coffee grinder", "Winter tyres", "Чайник", "Sac à dos")
_LINKS = (
    "https://shop.example.com/offers/week?utm_source=push&utm_campaign=",
    "https://news.example.org/live/",
    "exampleapp://inbox/open/",
)
_UID = 0x5EED  # where a payload takes its recipient's number and reference


def rows(kind: Kind, number: int) -> Iterator[Row]:
    """Fields before any quoting, in the order of ``kind.columns``. Memory does not grow with ``number``."""
    rng = random.Random(kind.seed)
    width, fraction = len(kind.columns), len(kind.columns) == 6
    made = 0
    for second, events in _seconds(kind, number, rng):
        stamp = _START + timedelta(seconds=second)
        text = stamp.isoformat() if fraction else str(stamp)
        for place, (message, device, (status, description)) in enumerate(events):
            if made == number:
                return
            target, hwid, uid, ref = device
            if not kind.rows_a_device and kind.rows_a_device is not None:
                target = f"{target[:16]}{made * 0x9E3779B1 & 0xFFFFFFFF:08x}"  # an odd factor: all differ
            time = f"{text}.{(place * 1_000_003 + uid % 9_973) % 1_000_000:06d}" if fraction else text
            before, after, app, code = message
            payload = f'{before}{uid},"ref":"{ref}{after}' if after else ""
            yield (time, code, target, hwid, status, description, app, payload)[:width]
            made += 1


_Device = tuple[str, str, int, str]  # target_id, hwid, and its user's number and reference
_Message = tuple[str, str, str, str]  # payload before and after what is the user's, app, code
_Event = tuple[_Message, _Device, tuple[str, str]]


def _seconds(kind: Kind, number: int, rng: random.Random) -> Iterator[tuple[int, list[_Event]]]:
    """What is logged in each second, without end."""
    apps = [f"{rng.getrandbits(20):05X}-{rng.getrandbits(20):05X}" for _ in range(_APPS)]
    devices = int(number / (kind.rows_a_device or 8) / _COVERED) if kind.rows_a_device is not None else kind.devices
    devices = max(devices, _APPS)
    campaigns = [_Campaign(kind, rng, apps, devices) for _ in range(_CAMPAIGNS)]
    due: dict[int, list[_Event]] = {}  # by second
    queue, gateway, reader = (max(1, most * min(number, _DAY) // _DAY) for most in (_QUEUE, _GATEWAY, _READER))
    for second in count():
        turn = rng.randrange(_CAMPAIGNS)
        campaign = campaigns[turn]
        for _ in range(rng.randrange(_SENDS)):
            draw = int(rng.random() * 10**12)
            times = second, 1 + draw % queue, 1 + draw // 10**3 % gateway, 5 + draw % reader
            _send(campaign.message, campaign.next_device(), times, draw // 10**6 % 1_000, due)
        if campaign.left <= 0:
            campaigns[turn] = _Campaign(kind, rng, apps, devices)
        yield second, due.pop(second, [])


def _send(
    message: _Message, device: _Device, times: tuple[int, int, int, int], fate: int, due: dict[int, list[_Event]]
) -> None:
    """Put all that will happen to this notification into ``due``: a second, and those that pass from step to step."""
    second, queue, gateway, reader = times
    due.setdefault(second, []).append((message, device, _CREATED))
    second += queue
    due.setdefault(second, []).append((message, device, _SENT))
    second += gateway
    if fate < 60:
        due.setdefault(second, []).append((message, device, _FAILED[fate % len(_FAILED)]))
    elif fate < 960:  # of the rest nothing is heard
        due.setdefault(second, []).append((message, device, _DELIVERED))
        if fate < 180:
            due.setdefault(second + reader, []).append((message, device, _OPENED))


class _Campaign:
    """A message on its way to some of its app's devices."""

    def __init__(self, kind: Kind, rng: random.Random, apps: list[str], devices: int) -> None:
        app = rng.randrange(_APPS)
        self.message = _message(kind, rng, apps[app])
        self._kind = kind
        self._app = app
        self._devices = devices // _APPS  # of this app
        # A message meets a device once.
        self.left = int(min(_LONGEST_CAMPAIGN, self._devices) ** rng.random())
        self._next = rng.randrange(self._devices)

    def next_device(self) -> _Device:
        self.left -= 1
        self._next = (self._next + 1) % self._devices
        return _device(self._kind, self._next * _APPS + self._app)


def _device(kind: Kind, number: int) -> _Device:
    """The device of that number. Computed and not kept: a long log has millions."""
    digest = blake2b(number.to_bytes(8, "big"), digest_size=58, salt=kind.seed.to_bytes(8, "big")).digest()
    bits = digest[:16].hex()
    android = digest[16] < 128
    hwid = bits[:16] if android else f"{bits[:8]}-{bits[8:12]}-{bits[12:16]}-{bits[16:20]}-{bits[20:]}".upper()
    same = digest[17] < kind.same_target * 256
    if same:
        target = hwid
    elif android:  # its push token
        target = f"{urlsafe_b64encode(digest[18:26]).decode()[:11]}:APA91b{_long_token(digest)}"
    else:
        target = digest[18:50].hex()
    return target, hwid, int.from_bytes(digest[50:54], "big"), digest[54:58].hex()


def _long_token(seed: bytes) -> str:
    return urlsafe_b64encode(shake_128(seed).digest(99)).decode()


def _message(kind: Kind, rng: random.Random, app: str) -> _Message:
    code = f"T-{rng.getrandbits(16):04X}-{rng.getrandbits(32):08X}-{rng.getrandbits(32):08X}"
    if rng.random() < 0.02:
        return "", "", app, code  # without a payload
    alert = rng.choice(_QUOTING if rng.random() < kind.quoted else _PLAIN).replace("{}", rng.choice(_ITEMS))
    aps: dict[str, object] = {"alert": alert, "sound": rng.choice(("default", "chime.caf", ""))}
    if rng.random() < 0.5:
        aps["badge"] = rng.randrange(1, 10)
    payload: dict[str, object] = {"aps": aps, "md": {"uid": _UID, "ref": ""}}
    if rng.random() < 0.6:
        payload["l"] = f"{rng.choice(_LINKS)}{rng.getrandbits(32):08x}"
    payload["p"] = f"{rng.getrandbits(20):X}"
    text = json.dumps(payload, ensure_ascii=rng.random() < 0.5, separators=(",", ":"))
    if rng.random() < 0.7:
        text = text.replace("/", "\\/")  # as json_encode does unless told otherwise
    before, after = text.split(f'{_UID},"ref":"')
    return before, after, app, code
