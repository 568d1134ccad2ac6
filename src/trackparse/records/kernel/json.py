"""Whether a text is JSON. ``json.h`` is the same in C."""

from __future__ import annotations

import re
from typing import Final

from trackparse.records.kernel.codes import Buffer

_TOKEN: Final = re.compile(
    rb"[ \t\n\r]*(?:"
    rb"(?P<string>\"(?:[^\x00-\x1f\"\\]|\\[\"\\/bfnrt]|\\u[0-9a-fA-F]{4})*\")"
    rb"|(?P<scalar>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)"
    rb"|(?P<mark>[\[\]{}:,]))"
)
JSON_DEPTH: Final = 1024


def is_json(text: Buffer) -> bool:
    """Whether the bytes are one JSON text (RFC 8259), nested at most 1,024 deep. UTF-8 is not checked here."""
    text = bytes(text).rstrip(b" \t\n\r")
    stack: list[bytes] = []
    at = 0
    # What may come: a value, a value or "]", a key or "}", a key, ":", or "," and the closing mark.
    expected = "value"
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or expected == "nothing":
            return False
        at = match.end()
        mark = match["mark"]
        if expected in ("key", "key or end") and match["string"] is not None:
            expected = "colon"
        elif expected == "colon" and mark == b":":
            expected = "value"
        elif expected in ("value", "value or end") and mark in (b"[", b"{"):
            if len(stack) == JSON_DEPTH:
                return False
            stack.append(mark)
            expected = "value or end" if mark == b"[" else "key or end"
        elif expected in ("value", "value or end") and mark is None:
            expected = "comma" if stack else "nothing"
        elif expected == "comma" and mark == b",":
            expected = "value" if stack[-1] == b"[" else "key"
        elif (mark == b"]" and stack and stack[-1] == b"[" and expected in ("comma", "value or end")) or (
            mark == b"}" and stack and stack[-1] == b"{" and expected in ("comma", "key or end")
        ):
            stack.pop()
            expected = "comma" if stack else "nothing"
        else:
            return False
    return expected == "nothing"
