"""Payloads at random, and what a look-up in ``event.payload`` finds in them: the oracle of payload columns."""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Sequence
from typing import Any

from trackparse import Payload, PayloadError
from trackparse.records.kernel.codes import PayloadBuffers, Run, Wanted

MISSING = object()
KINDS = "tttttttttt?bhiqqqBHIQfdd"
KEYS = ["a", "0", "alert", "é", "b", "", "a/b", "~", "1", "01", "x" * 9, "x" * 20, "🎁", '"', "\\", "uid"]
_LETTERS = ["a", "b", '"', "\\", "/", "\n", "\t", "\x00", "é", "€", "🎁", "\x7f", " ", *"{}[]:,0"]
_HALVES = ["\ud83d", "\udc00", "a"]  # of an emoji
_WHOLE = [0, -1, 1, *(one for bits in (7, 8, 15, 16, 31, 32, 63, 64) for one in (2**bits - 1, 2**bits, -(2**bits)))]
_NUMBERS = [*_WHOLE, -129, 10**25, 1.5, -0.25, 1e22, 1e23, 1e-22, 1e300, 1e-310, 0.1, 123456.789, 3.4e38, 1e39]
# What a payload is broken with.
_PIECES = [
    *(b",", b"]", b"}", b"{", b"[", b":", b'"', b"0", b"-", b".", b"e5", b"\\", b"\\u12", b"\\ud83d", b"\n", b" "),
    *(b"t", b"true", b"null", b"\x00", b"1e400", b"9" * 20, b"9" * 4300, b"9" * 4301, b"NaN", b"-0", b"1.0", b""),
    *("é".encode(), b'"a":', b'"a":1,', b"  1  ", b"x" * 64),
]


class _Pairs(list[tuple[str, Any]]):
    """An object that may have a key more than once."""


def random_payload(dice: random.Random) -> bytes:
    """Mostly an object, sometimes with blanks, sometimes broken; UTF-8 in any case."""
    pairs = _Pairs((_key(dice), _value(dice, 1)) for _ in range(dice.randrange(9)))
    blanks = dice.choice([0, 0, 0, 0.1, 0.5])
    text = _blank(dice, 0.1) + _written(dice, pairs if dice.random() < 0.95 else _value(dice), blanks)
    data = bytearray(text.encode())
    for _ in range(dice.choice([0, 0, 0, 0, 1, 1, 2])):
        at = dice.randrange(len(data) + 1)
        data[at : at + dice.randrange(3)] = dice.choice(_PIECES)
    return bytes(data).decode(errors="ignore").encode()


def _value(dice: random.Random, depth: int = 0) -> Any:
    kind = dice.randrange(10 if depth < 4 else 6)
    if kind < 2:
        return _text(dice)
    if kind < 4:
        return dice.choice(_NUMBERS)
    if kind < 6:
        return dice.choice([True, False, None])
    if kind < 9:
        return _Pairs((_key(dice), _value(dice, depth + 1)) for _ in range(dice.randrange(6)))
    return [_value(dice, depth + 1) for _ in range(dice.randrange(4))]


def _key(dice: random.Random) -> str:
    """One of a few mostly, so that some are wanted and some are there twice."""
    luck = dice.random()
    return dice.choice(KEYS[:4]) if luck < 0.7 else dice.choice(KEYS) if luck < 0.9 else _text(dice)


def _text(dice: random.Random) -> str:
    letters = _HALVES if dice.random() < 0.1 else _LETTERS
    return "".join(dice.choice(letters) for _ in range(dice.choice([0, 1, 1, 3, 8, 40, 70])))


def _blank(dice: random.Random, share: float) -> str:
    return "".join(dice.choice(" \t\n\r") for _ in range(dice.randrange(3))) if dice.random() < share else ""


def _written(dice: random.Random, value: Any, blanks: float) -> str:
    def blank() -> str:
        return _blank(dice, blanks)

    def comma_separated(parts: Sequence[str]) -> str:
        return blank() + (blank() + "," + blank()).join(parts) + blank()

    if isinstance(value, _Pairs):
        pairs = [f"{_string(dice, key)}{blank()}:{blank()}{_written(dice, one, blanks)}" for key, one in value]
        return f"{{{comma_separated(pairs)}}}"
    if isinstance(value, list):
        return f"[{comma_separated([_written(dice, one, blanks) for one in value])}]"
    if isinstance(value, str):
        return _string(dice, value)
    return repr(value).upper() if isinstance(value, float) and dice.random() < 0.5 else json.dumps(value)


def _string(dice: random.Random, text: str) -> str:
    return '"' + "".join(_letter(dice, letter) for letter in text) + '"'


def _letter(dice: random.Random, letter: str) -> str:
    code = ord(letter)
    short = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "/": "\\/"}.get(letter, "")
    if short and dice.random() < 0.6:
        return short
    if code > 0xFFFF and dice.random() < 0.5:
        high, low = divmod(code - 0x10000, 0x400)
        return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04X}"
    bare = code >= 32 and letter not in '"\\' and not 0xD800 <= code < 0xE000
    return letter if bare and (code > 0xFFFF or dice.random() < 0.8) else f"\\u{code:04x}"


def random_wanted(dice: random.Random) -> list[Wanted]:
    """Some columns."""
    return [
        Wanted(
            tuple(dice.choice(KEYS[: dice.choice([4, 4, None])]).encode() for _ in range(dice.choice([0, 1, 1, 2, 3]))),
            dice.choice(KINDS),
        )
        for _ in range(dice.randrange(1, 6))
    ]


def payload_run(payloads: Sequence[bytes]) -> Run:
    """The payloads as the only column of a log."""
    data, rows = bytearray(), array("I")
    for payload in payloads:
        start = len(data)
        data += _quoted(payload)
        rows += array("I", [start, len(data)])
        data += b"\n"
    return Run(bytes(data), rows.tobytes(), len(payloads), 1, 0)


def _quoted(payload: bytes) -> bytes:
    return b'"' + payload.replace(b'"', b'""') + b'"'


def looked_up(payload: bytes, keys: Sequence[str]) -> Any:
    """What somebody finds who walks along the keys in ``event.payload``, or MISSING."""
    try:
        value: Any = dict(Payload(_quoted(payload), 0, "log.csv", 0))
    except PayloadError:
        return MISSING
    for key in keys:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key in map(str, range(len(value))):
            value = value[int(key)]
        else:
            return MISSING
    return value


def expected(value: Any, kind: str) -> tuple[Any, bool]:
    """What a column of text, numbers or bools holds for a value, and whether it is a misfit.

    Text of anything but a string is given as its value.
    """
    if value is MISSING or value is None:
        return None, False
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "t":
        fits = not isinstance(value, str) or value.encode(errors="ignore").decode() == value
    elif kind == "?":
        fits = isinstance(value, bool)
    elif kind in "fd":
        fits = number
        value = array(kind, [_float(value)])[0] if number else value
    else:
        bits = 8 * array(kind).itemsize
        least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if kind.islower() else (0, 2**bits)
        fits = number and isinstance(value, int) and least <= value < most
    return (value if fits else None), not fits


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def same(found: Any, value: Any, kind: str) -> bool:
    """Whether a column holds what ``expected`` says."""
    if kind != "t" or isinstance(value, str) or value is None or found is None:
        return type(found) is type(value) and found == value
    parsed = json.loads(found)
    return type(parsed) is type(value) and parsed == value


def values_of(column: PayloadBuffers, kind: str, records: int) -> list[Any]:
    """The values of the buffers."""
    values: Sequence[Any]
    if kind == "t":
        ends = array("i", column.first)
        values = [bytes(column.data[ends[i] : ends[i + 1]]).decode() for i in range(records)]
    elif kind == "?":
        values = [bool(column.first[i // 8] >> i % 8 & 1) for i in range(records)]
    else:
        values = array(kind, column.first)
    valid = column.validity
    return [values[i] if valid is None or valid[i // 8] >> i % 8 & 1 else None for i in range(records)]
