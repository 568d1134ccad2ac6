"""The kernel in plain Python: the functions that the C kernel has, too.

It is the executable specification, the oracle of the tests, and what runs where the C extension is missing. Pure
functions over buffers: they open nothing, keep nothing, and never look behind the bytes that they were given.
"""

from trackparse.records.kernel.dictionary import Dictionary
from trackparse.records.kernel.events import Field, events
from trackparse.records.kernel.index import index
from trackparse.records.kernel.json import is_json
from trackparse.records.kernel.jsonl import json_lines
from trackparse.records.kernel.memory import release_unused
from trackparse.records.kernel.parts import days, parted
from trackparse.records.kernel.payload import payload_columns
from trackparse.records.kernel.timestamp import parse_timestamp
from trackparse.records.kernel.values import count_lines, longest, records_in, strings, unescape, validity_of, views

__all__ = [
    "Dictionary",
    "Field",
    "count_lines",
    "days",
    "events",
    "index",
    "is_json",
    "json_lines",
    "longest",
    "parse_timestamp",
    "parted",
    "payload_columns",
    "records_in",
    "release_unused",
    "strings",
    "unescape",
    "validity_of",
    "views",
]
