"""Rows to be written: a soup of whatever breaks readers, and rows as services write them. Seeded; writes no log.

A row is the text of each field, in the order of the header. The tracking code is unique in its log, so that a row that
came back wrong can be found.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

Row = tuple[str, ...]

SOUP: Final = "soup"
REAL: Final = "real"
KINDS: Final = (SOUP, REAL)
NAMES: Final = (
    "timestamp",
    "tracking_code",
    "target_id",
    "hwid",
    "status",
    "description",
    "appCode",
    "payload",
)

# Single marks come often, whole records and headers now and then.
_MARKS: Final = (
    '"',
    "\\",
    ";",
    '\\"',
    '";"',
    '\\";"',
    '";',
    '\\";',
    "\\;",
    '""',
    '\\""',
    '\\\\"',
    "\n",
    "\r\n",
    "\r",
    "\t",
    " ",
)
_WORDS: Final = (
    "\0",
    "Sale",
    "all",
    "x",
    "Привет",
    "🎁",
    "é",
    "\u2028",
    "C:\\dir\\",
    "\\n",
    "\\u0022",
    "it's",
    ": ",
    ", ",
    "{",
    "}",
    "[",
    "]",
    "0",
)
_LOOK_ALIKES: Final = (
    "//timestamp",
    "\n//timestamp",
    "//" + ";".join(NAMES) + "\n",
    "2021-04-20 13:01:01",
    "\n2021-04-20 13:01:01;T-1;u;h;sent;ok;A-1;{}\n",
    '\n"2021-04-20 13:01:01";T-1;u;h;sent;"ok";A-1;"{""a"":""b""}"\n',
    '\n"2021-04-20 13:01:01";T-1;',
    "\n2011-01-01T15:03:01.012345;T-1;u;h;created;\n",
    '";"2021-04-20 13:01:01";"',
    '{"a":"b"}',
    '{"a":"b\\"}',
    '{"a":"',
    '"}',
    "\ufeff",
)
_STATUSES: Final = ("created", "sent", "delivered", "failed", "opened")

_DESCRIPTIONS: Final = (
    *["Success", "", "Success", ""] * 4,
    "Device token is not active for the topic",
    'the gateway said "no"',
    '"InvalidRegistration"',
    "Connection timed out after 30 s; will be tried again",
    "no file in C:\\push\\certs\\",
    "cannot open C:\\Program Files\\Push\\cert.pem",
    "\\\\server\\share\\",
    "Ошибка: «устройство не найдено»",
    'bad JSON: {"error":"quota \\"daily\\" exceeded"}',
    "first line\nsecond line",
    "first line\r\nsecond line\r\n",
    'Traceback (most recent call last):\n  File "push.py", line 3, in send\n\tConnectionError: reset',
    "token\tnot\tvalid",
    "expected ',' or '}' near \"\\\"",
)
_ALERTS: Final = (
    'Sale: "all" must go',
    "Your order {n} has shipped 🎁",
    'He said "hi"',
    '"Quoted"',
    "Скидка «−50%» только сегодня!",
    "Saved to C:\\Users\\Anna\\Documents\\",
    "D:\\backup\\{n}.zip is ready; open it",
    'Only today:\n- shoes\n- "hats"\n- bags',
    "Line one\r\nLine two\t(tab)",
    'See https://example.com/a?b=c&d="e"#f',
    '👩‍👩‍👧‍👦 & ☕️ — 5" screen',
    "日本語の通知です",
    "Regex: ^\\d+\\.\\d{2}$",
    "emoji at the end 🔥",
    "",
    "{n} new messages",
    'Use code \\"SAVE{n}\\" now',
    'It\'s "on"; hurry',
)
_SOUNDS: Final = ("default", "", "bell.caf", "C:\\sounds\\ring.wav", "C:\\sounds\\")


def rows(kind: str, count: int, width: int, seed: object, *, first: int = 0) -> list[Row]:
    """``count`` rows of 8 or 6 fields; the tracking codes are numbered from ``first`` on."""
    dice = random.Random(f"{kind} {width} {seed}")
    make = _real if kind == REAL else _soup
    start = datetime(2021, 4, 20) + timedelta(seconds=dice.randrange(86_400))
    return [(_time(dice, start, i), *make(dice, first + i))[:width] for i in range(count)]


def _time(dice: random.Random, start: datetime, i: int) -> str:
    time = start + timedelta(seconds=i // 7)
    if dice.random() < 0.1:
        return time.replace(microsecond=dice.randrange(1_000_000)).isoformat("T" if dice.random() < 0.5 else " ")
    return time.isoformat("T" if dice.random() < 0.2 else " ")


def _soup(dice: random.Random, number: int) -> Row:
    def words(most: int) -> str:
        parts = []
        for _ in range(dice.randint(0, most)):
            pick = dice.random()
            parts.append(dice.choice(_MARKS if pick < 0.6 else _WORDS if pick < 0.995 else _LOOK_ALIKES))
        return "".join(parts)

    target = words(3) if dice.random() < 0.4 else f"{dice.randrange(1 << 64):016x}"
    return (
        f"T-{number:08X}" + ("" if dice.random() < 0.9 else "-" + words(2)),
        target,
        words(3) if dice.random() < 0.3 else target,
        words(3) if dice.random() < 0.2 else dice.choice(_STATUSES),
        words(4) if dice.random() < 0.5 else dice.choice(_DESCRIPTIONS),
        words(2) if dice.random() < 0.1 else f"{dice.randrange(1 << 20):05X}-{dice.randrange(1 << 20):05X}",
        _soup_payload(dice, words),
    )


def _soup_payload(dice: random.Random, words: Callable[[int], str]) -> str:
    pick = dice.random()
    if pick < 0.05:
        return ""
    if pick < 0.09:
        return dice.choice(("{}", "[]", "{ }", "null", "1"))
    if pick < 0.12:
        return words(5)
    aps = {"alert": words(8), "badge": dice.randrange(10), "sound": dice.choice(_SOUNDS)}
    content: dict[str, object] = {"aps": aps, "md": {"uid": str(number_of(dice)), "note": words(3)}}
    if dice.random() < 0.3:
        content[words(2)] = [words(2), None, True, 1.5, [], {}]
    text = _json(dice, content if dice.random() < 0.95 else [content, words(3)])
    return text[: dice.randrange(len(text))] if pick < 0.15 else text


def _real(dice: random.Random, number: int) -> Row:
    device = _device(dice)
    alert = dice.choice(_ALERTS).replace("{n}", str(dice.randrange(10_000)))
    content: dict[str, object] = {
        "aps": {"alert": alert, "badge": dice.randrange(10), "sound": dice.choice(_SOUNDS)},
        "md": {"uid": str(number_of(dice)), "segment": f"{dice.randrange(1 << 32):08x}"},
        "p": dice.randrange(100_000),
    }
    if dice.random() < 0.3:
        content["l"] = f'https://example.com/{dice.randrange(1 << 16):04x}/?q="{dice.choice(("a", "b c", "ж"))}"'
    if dice.random() < 0.2:
        content["aps"] = {"alert": {"title": alert, "body": dice.choice(_ALERTS), "loc-args": ['"', "\\", alert]}}
    return (
        f"T-{number:08X}-{dice.randrange(1 << 32):08X}",
        device,
        device if dice.random() < 0.7 else _device(dice),
        dice.choice(_STATUSES),
        dice.choice(_DESCRIPTIONS),
        f"{dice.randrange(1 << 20):05X}-{dice.randrange(1 << 20):05X}",
        "" if dice.random() < 0.05 else _json(dice, content),
    )


def _device(dice: random.Random) -> str:
    pick = dice.random()
    if pick < 0.85:
        return f"{dice.randrange(1 << 128):032x}"
    number = f"{dice.randrange(1 << 24):06x}"
    return dice.choice(
        ("", f"user {number}", f'"{number}"', f"DOMAIN\\{number}", f"имя {number}", f"C:\\devices\\{number}\\")
    )


def number_of(dice: random.Random) -> int:
    """A user's number: ten digits."""
    return dice.randrange(10**9, 10**10)


def _json(dice: random.Random, content: object) -> str:
    """JSON as services write it: compact or indented, escaped or not."""
    ascii_only = dice.random() < 0.5
    if dice.random() < 0.3:
        text = json.dumps(content, ensure_ascii=ascii_only, indent=dice.choice((1, 2, 4, "\t")))
        return text.replace("\n", "\r\n") if dice.random() < 0.2 else text
    text = json.dumps(content, ensure_ascii=ascii_only, separators=dice.choice(((",", ":"), (", ", ": "))))
    return text.replace("/", "\\/") if dice.random() < 0.5 else text
