"""All readings of one record of a log, and the order among them, written from the specification alone.

Independent of the library on purpose: nothing of it is imported, so that a test may ask here whether a row that came
back wrong could have been told. Slow and plain; a reading is found by trying, not by masks.

The order, from the strongest criterion to the weakest:

1. no bare field holds a quote;
2. what follows, behind blank lines, is the end of the member, a byte order mark, or starts like a header or a record;
3. the payload is a JSON object or array, or empty;
4. what follows does not start like a header;
5. the reading is one of the dialect in force;
6. closing a field before going on.

The page has one more before the fifth: of two readings that nothing follows, the shorter one. In a log without damage
something follows each record, so it is left out here.

The opposite of the sixth has the number 7, and is in no order but those of comparisons.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

PHP: Final = "php"
RFC4180: Final = "rfc4180"
BOM: Final = b"\xef\xbb\xbf"
# The order of the specification.
ORDER: Final = (1, 2, 3, 4, 5, 6)

_BARE: Final = re.compile(rb"[^;\n]*")
# Any run of CRs before a line feed, or before the end of the member, belongs to the line end.
_LINE_END: Final = re.compile(rb"\r*(?:\n|\Z)")
_TIMESTAMP: Final = re.compile(rb"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.\d{1,6})?")
_PHP_QUOTES: Final = re.compile(rb'(\\")|""')
_HEADER: Final = re.compile(rb'"?//|timestamp;')
_SHAPE: Final = rb'(?:[^;\n]*;){%d}"?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d'
_Span = tuple[int, int]


class Columns(NamedTuple):
    """How many fields a record has, and where two of them stand; ``payload`` is -1 where there is none."""

    width: int
    timestamp: int
    payload: int

    def __str__(self) -> str:
        return f"{self.width} columns" + (", in another order" if self not in (EIGHT, SIX) else "")


EIGHT: Final = Columns(8, 0, 7)
SIX: Final = Columns(6, 0, -1)


class Reading(NamedTuple):
    """One way to read a record that breaks no rule."""

    fields: tuple[bytes, ...]
    end: int  # past the line end
    dialects: frozenset[str]  # in which it exists
    no_bare_quote: bool
    followed_well: bool
    payload_fits: bool
    no_header_follows: bool
    place: int  # closing a field before going on: the smaller comes first

    @property
    def rank(self) -> tuple[bool, bool, bool, bool]:
        """Criteria 1 to 4: all that does not depend on the records before this one."""
        return self.no_bare_quote, self.followed_well, self.payload_fits, self.no_header_follows


class TooManyError(Exception):
    """More readings than anybody could weigh."""


def readings(data: bytes, start: int, columns: Columns, *, damaged: bool = False, most: int = 1 << 16) -> list[Reading]:
    """The readings of the record at ``start``, each once, those of PHP first.

    ``damaged`` admits any timestamp and any bytes: what is left are width and quoting.
    """
    found: dict[tuple[_Span, ...], tuple[int, set[str]]] = {}
    for dialect in (PHP, RFC4180):
        for spans, end in _paths(data, start, columns.width, dialect == PHP, set()):
            if spans in found:
                found[spans][1].add(dialect)
            elif damaged or _keeps_rules(data, start, end, spans[columns.timestamp]):
                found[spans] = (end, {dialect})
            if len(found) > most:
                raise TooManyError(f"more than {most} readings of the record at byte {start}")
    made = []
    for place, (spans, (end, dialects)) in enumerate(found.items()):
        bare = [data[first:last] for first, last in spans if data[first : first + 1] != b'"']
        values = tuple(_value(data, span, PHP in dialects) for span in spans)
        made.append(
            Reading(
                values,
                end,
                frozenset(dialects),
                all(b'"' not in value for value in bare),
                starts_well(data, _past_blank_lines(data, end), columns),
                columns.payload < 0 or _payload_fits(values[columns.payload]),
                _HEADER.match(data, _past_blank_lines(data, end)) is None,
                place,
            )
        )
    return made


def best(found: list[Reading], in_force: str, order: tuple[int, ...] = ORDER) -> Reading:
    """The reading that comes first; another ``order`` is for comparison only."""

    def key(reading: Reading) -> tuple[int, ...]:
        criteria = (
            not reading.no_bare_quote,
            not reading.followed_well,
            not reading.payload_fits,
            not reading.no_header_follows,
            in_force not in reading.dialects,
            reading.place,
            -reading.place,
        )
        return tuple(int(criteria[number - 1]) for number in order)

    return min(found, key=key)


def starts_well(data: bytes, at: int, columns: Columns) -> bool:
    """Whether the end, a blank line, a byte order mark, a header or a record stands here, by its first bytes."""
    return (
        at == len(data)
        or data.startswith(BOM, at)
        or _LINE_END.match(data, at) is not None
        or _HEADER.match(data, at) is not None
        or re.compile(_SHAPE % columns.timestamp).match(data, at) is not None
    )


def _past_blank_lines(data: bytes, at: int) -> int:
    while at < len(data) and (blank := _LINE_END.match(data, at)):
        at = blank.end()
    return at


def walk(data: bytes, columns: Columns, order: tuple[int, ...] = ORDER) -> Iterator[tuple[int, Reading]]:
    """Where each record of a whole log starts, and how it is read. Headers in the middle must name the same columns.

    What has no reading is passed over up to the next line that starts well, and told to nobody.
    """
    at, in_force = 0, PHP
    while at < len(data):
        if data.startswith(BOM, at):
            at += len(BOM)
        elif blank := _LINE_END.match(data, at):
            at = blank.end()
        elif _HEADER.match(data, at):
            at = _next_line(data, at)
        elif found := readings(data, at, columns):
            chosen = best(found, in_force, order)
            yield at, chosen
            if len(chosen.dialects) == 1:
                (in_force,) = chosen.dialects
            at = chosen.end
        elif found := readings(data, at, columns, damaged=True):
            at = best(found, in_force, order).end
        else:
            at = _next_line(data, at)
            while not starts_well(data, at, columns):
                at = _next_line(data, at)


def _next_line(data: bytes, at: int) -> int:
    return data.find(b"\n", at) + 1 or len(data)


def _paths(
    data: bytes, at: int, left: int, php: bool, dead: set[tuple[int, int]]
) -> Iterator[tuple[tuple[_Span, ...], int]]:
    """The spans of ``left`` fields from ``at`` on, quotes among them, and the record's end; closing first."""
    if (at, left) in dead:
        return
    fruitless = True
    for stop in _stops(data, at, left == 1, php):
        if left == 1:
            end = _LINE_END.match(data, stop)
            assert end
            yield ((at, stop),), end.end()
            fruitless = False
            continue
        for spans, end_of_all in _paths(data, stop + 1, left - 1, php, dead):
            yield ((at, stop), *spans), end_of_all
            fruitless = False
    if fruitless:
        dead.add((at, left))


def _stops(data: bytes, at: int, last: bool, php: bool) -> Iterator[int]:
    """Where the field at ``at`` may end: before ``;``, or before a line end where it is the last one."""
    if data[at : at + 1] != b'"':
        bare = _BARE.match(data, at)
        assert bare
        stop = bare.end()
        if last:
            while stop > at and data[stop - 1 : stop] == b"\r":
                stop -= 1
        if _ends_field(data, stop, last):
            yield stop
        return
    quote = data.find(b'"', at + 1)
    while quote >= 0:
        after = quote + 1
        if php and data[quote - 1 : quote] == b"\\":
            # Literal; or the value ended in the backslash.
            if _ends_field(data, after, last):
                yield after
        elif data[after : after + 1] == b'"':
            after += 1
        else:
            if _ends_field(data, after, last):
                yield after
            return
        quote = data.find(b'"', after)


def _ends_field(data: bytes, at: int, last: bool) -> bool:
    return _LINE_END.match(data, at) is not None if last else data[at : at + 1] == b";"


def _keeps_rules(data: bytes, start: int, end: int, timestamp: _Span) -> bool:
    try:
        data[start:end].decode()
    except UnicodeDecodeError:
        return False
    field = data[slice(*timestamp)]
    time = _TIMESTAMP.fullmatch(field[1:-1] if field.startswith(b'"') else field)
    if time is None:
        return False
    try:
        datetime(*map(int, time.groups()))  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


def _value(data: bytes, span: _Span, php: bool) -> bytes:
    field = data[slice(*span)]
    if not field.startswith(b'"'):
        return field
    if php:
        return _PHP_QUOTES.sub(lambda match: match[1] or b'"', field[1:-1])
    return field[1:-1].replace(b'""', b'"')


def _payload_fits(value: bytes) -> bool:
    if not value:
        return True
    try:
        # Decoded first: of bytes, json.loads guesses the encoding, and passes over a byte order mark.
        found: Any = json.loads(value.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, (dict, list))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
