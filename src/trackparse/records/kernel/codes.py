"""Constants, types and named results of the kernel. Everything outside the kernel takes them from here; no logic.

``codes.h`` has the same constants for C.
"""

from __future__ import annotations

from typing import Final, NamedTuple

Buffer = bytes | bytearray | memoryview

# Dialects.
RFC4180: Final = 0
PHP: Final = 1

# Why ``index`` stopped.
DONE: Final = 0  # it reached `stop`, or found MOST_REJECTS rejects
MORE: Final = 1  # what starts at `position` cannot be decided without more bytes
HEADER: Final = 2  # the line at `position` may be a header
LIMIT: Final = 3  # the bad record at `position` does not end within max_record_bytes

# Reasons why a record is bad.
UNCLOSED_QUOTE: Final = 1
TEXT_AFTER_QUOTE: Final = 2
FIELD_COUNT: Final = 3
BAD_UTF8: Final = 4
BAD_TIMESTAMP: Final = 5
TOO_LONG: Final = 6
BAD_HEADER: Final = 7
TRUNCATED: Final = 8  # never given by the kernel: the indexer knows where a member breaks off

# In place of a reason or a position.
NEEDS_MORE: Final = -1  # the answer depends on bytes that are not there yet
NOT_WITHIN_LIMIT: Final = -2  # no answer within max_record_bytes

# In place of the number of a field: there is no such column.
NO_COLUMN: Final = -1
# In place of the code of a value: the value is null.
NULL_CODE: Final = -1
# In place of a number of a Position: it is not known.
NO_PLACE: Final = -1

# One call of ``index`` returns no more rejects than this: each takes 48 bytes, even if it has two in the log.
MOST_REJECTS: Final = 4096
# A line that is longer than this is not a header.
HEADER_BYTES: Final = 1 << 16
# ``index`` takes no more names of known columns than this.
MOST_NAMES: Final = 64

# The first word of a row of the field table: where the record starts, and its dialect in the top bit.
START_MASK: Final = 0x7FFFFFFF
DIALECT_SHIFT: Final = 31

# The words of a row of the reject table, int64.
BEFORE: Final = 0  # good records found before it, by the same call
RECORD: Final = 1  # the next three as in Position
LINE: Final = 2
BYTE_OFFSET: Final = 3
SIZE: Final = 4  # of its bytes
REASON: Final = 5
REJECT_WORDS: Final = 6

QUOTE: Final = 0x22
BACKSLASH: Final = 0x5C
DELIMITER: Final = 0x3B
LF: Final = 0x0A
CR: Final = 0x0D


class Question(NamedTuple):
    """What ``index`` is asked: to index the records of ``data`` that start in ``start:stop``."""

    data: Buffer
    start: int
    stop: int  # the last record may end behind it
    final: bool  # whether the member ends where `data` does
    width: int  # fields of a record
    timestamp: int  # number of the field with the timestamp
    payload: int  # number of the field with the payload, or NO_COLUMN
    names: bytes  # names of the known columns with ";" between them; the first two are those that each log has
    trusted: bool  # False below a header that cannot be used: all records there are rejects
    automatic: bool  # whether a record may be in the other dialect
    dialect: int  # the dialect in force: that of the Indexed before this, or the one that a member starts with
    max_record_bytes: int
    credit: int  # that of the Indexed before this, or credit_limit; index.py says what credit is
    # Where `start` is in the member, as in Position.
    record: int
    line: int
    byte_offset: int


class Indexed(NamedTuple):
    """What ``index`` found between ``start`` and ``position``."""

    status: int  # DONE, MORE, HEADER or LIMIT
    position: int  # where to go on
    dialect: int  # the dialect in force from there on
    records: int
    blank_lines: int
    # The field table. uint32, records x (width + 1): the record's start with its dialect in the top bit, then the end
    # of each field.
    fields: bytes
    timestamps: bytes  # int64, one for each record: microseconds since 1970
    rejects: bytes  # the reject table. int64, rejects x REJECT_WORDS
    raw: bytes  # the bytes of all rejects, one behind the other
    record_bytes: int  # of all records, with their line ends
    blank_bytes: int
    mark_bytes: int  # of byte order marks and separator lines
    lines: int  # line feeds
    unresolved: int  # records and rejects of which not all readings were weighed
    credit: int  # what is left of it


class Run(NamedTuple):
    """One column of one segment: what the kernel makes values of."""

    data: Buffer  # the block
    fields: Buffer  # the field table of its records
    records: int
    width: int  # fields of a record
    field: int  # the number of the column's field, or NO_COLUMN


class TextBuffers(NamedTuple):
    """The buffers of a column of text."""

    first: bytes  # of a string column, int32 offsets; of a string_view column, views
    data: bytearray
    used: int  # bytes of the data; what is behind them has no meaning
    validity: bytes | None  # the bitmap; None if there are no nulls
    nulls: int


class Wanted(NamedTuple):
    """A column that is made of one value of each payload."""

    keys: tuple[bytes, ...]  # of objects, or numbers of arrays, from the outside in
    kind: str  # "t" text, "?" true or false; else the letter of a number in the module ``array``, "q" for int64


class PayloadBuffers(NamedTuple):
    """The buffers of a column that is made of payloads."""

    first: bytes  # text: int32 offsets; true or false: a bitmap; else the numbers
    data: Buffer  # the text
    validity: bytes | None  # the bitmap; None if there are no nulls
    nulls: int
    misfits: int  # nulls in place of a value that does not fit the column's kind


class JsonColumn(NamedTuple):
    """A column that ``json_lines`` takes: Arrow's buffers, from their first row on."""

    name: str
    kind: str  # "q" int64, "t" text, "b" bytes
    validity: Buffer | None  # the bitmap; None if there are no nulls
    first: Buffer  # the numbers; of text and bytes, int32 offsets
    data: Buffer  # the text or the bytes
