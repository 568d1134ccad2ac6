"""The rule of the writer: which reading of a record is taken, and so its dialect. ``dialect.h`` is the same in C.

docs/format.md has the rule. Readings are tried in the order of its last criterion, so the first reading that meets all
other criteria is taken at once. If no reading meets them all, the best one is taken; of equally good ones, the first.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import count
from typing import Final, NamedTuple, cast

from trackparse.records.kernel.codes import (
    BAD_TIMESTAMP,
    BAD_UTF8,
    FIELD_COUNT,
    HEADER_BYTES,
    NEEDS_MORE,
    NO_COLUMN,
    PHP,
    RFC4180,
    TEXT_AFTER_QUOTE,
    UNCLOSED_QUOTE,
)
from trackparse.records.kernel.grammar import (
    HEADER_STARTS,
    READINGS,
    RECORD_STARTS,
    SANE_WIDTH,
    Reading,
    Window,
    field_inside,
    is_quoted,
    judge,
    line_end,
    read_record,
    what_starts,
)
from trackparse.records.kernel.json import is_json
from trackparse.records.kernel.lines import blank_line
from trackparse.records.kernel.values import unescape

# Criteria that a reading misses, each worth more than those before it. The last criterion is the order of the readings.
HEADER_FOLLOWS: Final = 1
NO_JSON: Final = 2
NOTHING_FOLLOWS: Final = 4
BARE_QUOTE: Final = 8
# So many that the reading seems to end in the middle of a value.
CUT_SHORT: Final = NO_JSON | NOTHING_FOLLOWS


class Weighed(NamedTuple):
    """What came of weighing the readings of a record."""

    reading: Reading  # the one that was taken; of a bad record, the one whose reason is given
    reason: int  # 0 if the record is good; or a reason, or NEEDS_MORE
    bytes_read: int  # by all readings
    unresolved: bool  # not all readings were weighed
    misses: int = 0  # criteria that a good reading misses, if it was not the only one
    fault: int = 0  # of a bad record: the furthest place inside a line where a reading breaks a rule; 0 without one


def resolve(window: Window, start: int, automatic: bool, dialect: int, credit: int) -> Weighed:
    """Weigh the readings of one record: take the best that breaks no rule, or else the one whose reason is given."""
    best: tuple[int, Reading] | None = None  # of the readings that break no rule
    whole: tuple[int, Reading, int] | None = None  # of those that end where a record would, with their reason
    furthest: tuple[int, Reading, int] | None = None  # of the others
    reached = fault = 0  # by one of the others
    bytes_read = 0
    unresolved = False
    # With too many columns or no credit, only the reading in force is weighed, in which no \" closes a field.
    bounded = window.width > SANE_WIDTH or credit <= 0
    fixed = not automatic and dialect == RFC4180
    if credit <= 0:
        # Nothing may be read twice: the record ends with its line, or is bad.
        window = end_with_line(window, start)
    following = readings(window, start, automatic, dialect, bounded)
    reading, left_out = next(following)
    for number in count():
        if reading.reason == NEEDS_MORE:
            return Weighed(reading, NEEDS_MORE, 0, False)
        bytes_read += reading.reached - start
        reason = reading.reason or judge(window, start, reading)
        # Whether the first reading is the only one: no \" inside quotes, or a cheap test says that all others break a
        # rule.
        settled = fixed or not reading.forked or (reading.settled and not number)
        only = settled or bounded
        unresolved |= left_out or (bounded and not settled)
        if only and not reason:
            return Weighed(reading, 0, bytes_read, unresolved)
        if not reason or reason in (BAD_TIMESTAMP, BAD_UTF8):
            misses = criteria_missed(window, start, reading)
            if misses == NEEDS_MORE:
                return Weighed(reading, NEEDS_MORE, 0, False)
            if reason:
                if whole is None or comes_before(misses, reading, whole[0], whole[1]):
                    whole = misses, reading, reason
            elif best is None or comes_before(misses, reading, best[0], best[1]):
                best = misses, reading
                if not misses:
                    break
        else:
            reached = max(reached, window.end if reason == UNCLOSED_QUOTE else reading.reached)
            if reading.reason in (TEXT_AFTER_QUOTE, FIELD_COUNT) and not reading.end:
                fault = max(fault, reading.reached)
            if furthest is None or len(reading.ends) > furthest[0]:
                furthest = len(reading.ends), reading, reason
        if only:
            break
        try:
            reading, left_out = following.send(bytes_read > credit)
        except StopIteration:
            break
    # A reading that breaks no rule may still be the beginning of a bad record: one that ends at a \" inside a value.
    better_but_bad = best and whole and whole[0] | HEADER_FOLLOWS < best[0]
    cut_short = best and best[0] & CUT_SHORT == CUT_SHORT and reached > best[1].end
    if best and not better_but_bad and not cut_short:
        return Weighed(best[1], 0, bytes_read, unresolved, best[0])
    _, told, reason = cast("tuple[int, Reading, int]", whole or furthest)
    if line_end(window, start) == NEEDS_MORE:
        # The line may be a header, and only the whole line tells.
        reason = NEEDS_MORE
    return Weighed(told, reason, bytes_read, unresolved, fault=fault)


def comes_before(misses: int, reading: Reading, other_misses: int, other: Reading) -> bool:
    """Whether a reading is better than another that came earlier.

    Of equal readings that nothing follows the shorter one is better: it costs less if it is wrong.
    """
    return misses < other_misses or (
        misses == other_misses and misses & NOTHING_FOLLOWS != 0 and reading.end < other.end
    )


def end_with_line(window: Window, start: int) -> Window:
    """The window, but no longer than the line at ``start``: quotes that are still open there make the record bad."""
    newline = window.data.find(b"\n", start, window.end)
    return window._replace(end=newline + 1, at_end=UNCLOSED_QUOTE) if newline >= 0 else window


def readings(
    window: Window, start: int, automatic: bool, dialect: int, bounded: bool
) -> Generator[tuple[Reading, bool], bool, None]:
    """The readings in the order of the last criterion, each with whether readings before it were left out.

    The readings of the dialect in force come first. Where a ``\\"`` may close its field, the reading in which it closes
    the field comes before the one in which it does not. After READINGS readings, or when True is sent, only those
    follow in which no ``\\"`` closes a field. In C this is ``next_reading``.
    """
    if bounded or not (automatic or dialect == PHP):
        yield read_record(window, start, dialect, None), False
        return
    left_out = False
    if dialect == RFC4180:
        yield read_record(window, start, RFC4180, None), False
    choices: list[bool] = []
    for step in count(1):
        reading = read_record(window, start, PHP, choices)
        enough = yield reading, False
        choices = reading.choices
        # The last quote that closed its field is a literal quote in the next reading.
        while choices and not choices[-1]:
            choices.pop()
        if not choices:
            break
        choices[-1] = False
        if enough or step == READINGS - 2:
            left_out = True
            yield read_record(window, start, PHP, None), left_out
            break
    if automatic and dialect == PHP:
        yield read_record(window, start, RFC4180, None), left_out


def criteria_missed(window: Window, start: int, reading: Reading) -> int:
    """Which of the first four criteria a reading misses, as a number: less is better, 0 misses none.

    The criteria are: no bare field holds a quote; what follows may follow a record; the payload is a JSON object or
    array, or empty; what follows is not a header.
    """
    follows = what_follows(window, reading.end)
    if follows == NEEDS_MORE:
        return NEEDS_MORE
    json = has_json(window, start, reading)
    return (
        reading.bare_quote * BARE_QUOTE
        | (not follows) * NOTHING_FOLLOWS
        | (not json) * NO_JSON
        | (follows == HEADER_STARTS) * HEADER_FOLLOWS
    )


def what_follows(window: Window, at: int) -> int:
    """RECORD_STARTS if a record may end at ``at``, HEADER_STARTS if a header starts there, else 0; or NEEDS_MORE.

    Blank lines are passed over: one may be the beginning of a line in a value.
    """
    data, blanks_most = window.data, at + HEADER_BYTES
    while True:
        if at == len(data):
            return RECORD_STARTS if window.final else NEEDS_MORE
        # A window that is not at an end was cut where a header begins.
        if (at == window.end and not window.at_end) or at > blanks_most:
            return RECORD_STARTS
        past = blank_line(data, at, window.final, HEADER_BYTES)
        if past == NEEDS_MORE:
            return NEEDS_MORE
        if not past:
            break
        at = past
    end = min(len(data), at + HEADER_BYTES)
    return what_starts(window, at, end, end == len(data) and not window.final)


def has_json(window: Window, start: int, reading: Reading) -> bool:
    """Whether the payload of a record is a JSON object or array, or empty, or there is no such column."""
    if window.payload == NO_COLUMN:
        return True
    payload = field_inside(window.data, start, reading.ends, window.payload)
    if is_quoted(window.data, start, reading.ends, window.payload):
        payload = unescape(payload, reading.dialect)
    return not payload or (payload.lstrip(b" \t\n\r")[:1] in (b"{", b"[") and is_json(payload))
