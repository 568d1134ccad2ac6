"""What a writer of either dialect wrote, PHP's or RFC 4180's, is read back as it was, from batches and events."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any, Final

from harness import MAX, Knobs, fuzz
from library import trackparse

from trackparse.schema import COLUMNS
from trackparse.testing.sample import encode_row

H8: Final = b"//" + ";".join(COLUMNS).encode() + b"\n"
H6: Final = b"//" + ";".join(COLUMNS[:6]).encode() + b"\n"
MICROSECONDS: Final = 9998 * 365 * 86_400_000_000


def check(data: bytes, knobs: Knobs) -> None:
    """Rows are made of the text in the data, written, and read from one piece or from many."""
    dialect = knobs.choice(("auto", "php", "rfc4180"))
    width = knobs.choice((8, 8, 6))
    text = data.decode("utf-8", "ignore")
    log = H8 if width == 8 else H6
    expected = []
    for _ in range(knobs.choice((1, 1, 2, 5))):
        time = datetime(1, 1, 1) + timedelta(microseconds=knobs.randrange(MICROSECONDS))
        fields = [time.isoformat(knobs.choice(" T")), *(value_of(knobs, text, dialect) for _ in range(6))]
        payload = json_of(knobs, text)
        if dialect != "auto" and not knobs.often():
            payload = value_of(knobs, text, dialect)
        record = (*fields, payload if knobs.often() else "")[:width]
        writer = knobs.choice(("php", "rfc4180")) if dialect == "auto" else dialect
        log += encode_row(record, writer)
        # Six columns leave two empty.
        expected.append((time, *record[1:7], record[7] or None) if width == 8 else (time, *record[1:], None, None))
    block_size = knobs.choice((*range(1, 65), MAX))
    options: dict[str, Any] = {"dialect": dialect, "block_size": block_size}
    source = knobs.choice((log, iter(knobs.pieces(log))))
    if knobs.often():
        table = trackparse.read_log(source, string_type=knobs.choice(("string", "string_view")), **options)
        found = [tuple(row.values()) for row in table.to_pylist()]
    else:
        events = trackparse.iter_events(source, **options)
        found = [(*event[:7], None if event.payload is None else event.payload.text) for event in events]
    assert found == expected, f"{options}, {log!r}: {found}, written {expected}"


def value_of(knobs: Knobs, text: str, dialect: str) -> str:
    """A value that its writer's dialect can tell."""
    at = knobs.randrange(len(text) + 1)
    value = text[at : at + knobs.choice((0, 1, 2, 3, 5, 10, 40, 100))]
    if dialect == "auto":
        # A backslash before a quote that is not JSON's can be read in more than one way.
        return value.replace("\\", "")
    # The same in a field of PHP's that looks like two records.
    return re.sub(r'\\+"', '"', value).rstrip("\\") if dialect == "php" else value


def json_of(knobs: Knobs, text: str) -> str:
    """A payload as a service may have written it."""
    values = [value_of(knobs, text, "rfc4180") for _ in range(4)]
    nested = {values[0]: values[1], "md": [values[2], {"uid": knobs.randrange(1 << 16), values[3]: None}]}
    separators = knobs.choice(((",", ":"), (", ", ": ")))
    found = json.dumps(nested, ensure_ascii=knobs.choice((True, False)), separators=separators)
    return found.replace("/", "\\/") if knobs.choice((True, False)) else found


if __name__ == "__main__":
    fuzz(check)
