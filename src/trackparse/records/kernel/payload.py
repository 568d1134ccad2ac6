"""Columns of values inside payloads. ``payload.h`` is the same in C, and looks at 64 bytes at a time.

A payload is looked into if it is one JSON text, nested at most ``JSON_DEPTH`` deep, without an integer of more than
``MOST_DIGITS`` digits, and an object. All values of any other payload are null. ``[]`` and ``null`` are an object with
nothing in it. Of a key that an object has more than once, the last counts.
"""

from __future__ import annotations

import re
from array import array
from typing import Any, Final

from trackparse.records.kernel.codes import PayloadBuffers, Run, Wanted
from trackparse.records.kernel.json import is_json
from trackparse.records.kernel.values import bitmap, values_of

MOST_DIGITS: Final = 4300  # Python makes no integer of more
_STRING: Final = rb'"(?:[^"\\]|\\.)*"'
_BLANKS: Final = re.compile(rb"(%s)|[ \t\n\r]+" % _STRING, re.DOTALL)
_INTEGER: Final = re.compile(rb"-?[0-9]+(?![0-9.eE])")
# Of a compact text: a whole value, if it is no object and no array, or a mark.
_TOKEN: Final = re.compile(rb"%s|[\[\]{}:,]|[^\[\]{}:,\"]+" % _STRING, re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def unescape_json(inside: bytes) -> bytes | None:
    """What a JSON string stands for, as UTF-8. None if it holds half of a surrogate pair, which UTF-8 has not."""
    out = bytearray()
    at = 0
    while match := _ESCAPE.search(inside, at):
        out += inside[at : match.start()]
        at = match.end()
        if match[2] is not None:
            out += _ESCAPED.get(match[2], match[2])
            continue
        code = int(match[1], 16)
        if 0xD800 <= code < 0xE000:
            low = _ESCAPE.match(inside, at)
            second = int(low[1], 16) if low and low[1] else 0
            if not low or code >= 0xDC00 or not 0xDC00 <= second < 0xE000:
                return None
            code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00)
            at = low.end()
        out += chr(code).encode()
    return bytes(out + inside[at:])


def compact(text: bytes) -> bytes | None:
    """The text without the blanks between its tokens; None if it is not looked into."""
    if not is_json(text):
        return None
    text = _BLANKS.sub(lambda match: match[1] or b"", text)
    if text in (b"[]", b"null"):
        return b"{}"
    if text[:1] != b"{":
        return None
    tokens = (match[0] for match in _TOKEN.finditer(text))
    if any(_INTEGER.fullmatch(token) and len(token.lstrip(b"-")) > MOST_DIGITS for token in tokens):
        return None
    return text


def place_of(text: bytes, keys: tuple[bytes, ...]) -> tuple[int, int] | None:
    """Where the value that the keys lead to begins and ends in a compact text. None if they lead nowhere."""
    at = 0
    for key in keys:
        if text[at : at + 1] == b"{":
            found = _member(text, at, key)
        elif text[at : at + 1] == b"[":
            found = _element(text, at, key)
        else:
            return None
        if found is None:
            return None
        at = found
    return at, _end(text, at)


def _member(text: bytes, at: int, key: bytes) -> int | None:
    """Where the value of a key begins in the object that begins at ``at``."""
    found = None
    at += 1
    while text[at : at + 1] != b"}":
        past = _end(text, at)
        if unescape_json(text[at + 1 : past - 1]) == key:
            found = past + 1
        at = _end(text, past + 1)
        at += text[at : at + 1] == b","
    return found


def _element(text: bytes, at: int, key: bytes) -> int | None:
    """Where an element begins in the array that begins at ``at``; ``key`` is its number, without zeros in front."""
    number = 0
    at += 1
    while text[at : at + 1] != b"]":
        if b"%d" % number == key:
            return at
        at = _end(text, at)
        at += text[at : at + 1] == b","
        number += 1
    return None


def _end(text: bytes, at: int) -> int:
    """Behind the value that begins at ``at``."""
    depth = 0
    for match in _TOKEN.finditer(text, at):
        at = match.end()
        depth += (match[0] in (b"[", b"{")) - (match[0] in (b"]", b"}"))
        if not depth:
            break
    return at


def value_of(value: bytes, kind: str) -> bytes | bool | float | None:
    """What a column of this kind holds for a compact value that is not ``null``. None if the value does not fit."""
    if kind == "t":
        return unescape_json(value[1:-1]) if value[:1] == b'"' else value
    if kind == "?":
        return {b"true": True, b"false": False}.get(value)
    if value[:1] not in b"-0123456789":
        return None
    if kind in "fd":
        return float(value)  # too large a number is infinite
    if not _INTEGER.fullmatch(value):
        return None
    bits = 8 * array(kind).itemsize
    number = int(value)
    least, most = (-1 << bits - 1, (1 << bits - 1) - 1) if kind.islower() else (0, (1 << bits) - 1)
    return number if least <= number <= most else None


def payload_columns(runs: list[Run], wanted: list[Wanted]) -> list[PayloadBuffers]:
    """The buffers of columns that are made of payloads, which ``runs`` are."""
    texts = [compact(text) if text else None for text in values_of(runs)]
    return [_column(texts, *one) for one in wanted]


def _column(texts: list[bytes | None], keys: tuple[bytes, ...], kind: str) -> PayloadBuffers:
    values: list[bytes | bool | float | None] = []
    misfits = 0
    for text in texts:
        place = None if text is None else place_of(text, keys)
        written = b"null" if text is None or place is None else text[slice(*place)]
        values.append(None if written == b"null" else value_of(written, kind))
        misfits += written != b"null" and values[-1] is None
    return PayloadBuffers(
        *_buffers(values, kind), *bitmap([None if value is None else b"" for value in values]), misfits
    )


def _buffers(values: list[bytes | bool | float | None], kind: str) -> tuple[bytes, bytes]:
    """The first buffer, and the text."""
    if kind == "t":
        texts = [value if isinstance(value, bytes) else b"" for value in values]
        offsets = array("i", [0])
        for text in texts:
            offsets.append(offsets[-1] + len(text))
        return offsets.tobytes(), b"".join(texts)
    if kind == "?":
        bits = sum(1 << number for number, value in enumerate(values) if value)
        return bits.to_bytes((len(values) + 7) // 8, "little"), b""
    numbers: list[Any] = [0 if value is None else value for value in values]
    return array(kind, numbers).tobytes(), b""
