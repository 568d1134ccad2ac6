"""What a tracking log holds, said once: columns, generations, statuses, what is null. Imports nothing of ours."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Final, Literal, NamedTuple


class Column(NamedTuple):
    """A known column. An event has its value in the same place."""

    name: str  # in the log
    # A moment; text; text that is one of ``Status`` mostly; text that is JSON.
    kind: Literal["timestamp", "text", "status", "json"] = "text"
    null_if_empty: bool = False  # an empty payload means no payload, but an empty description is an empty text


# In the order of the schema, and of ``Event``.
KNOWN: Final = (
    Column("timestamp", "timestamp"),
    Column("tracking_code"),
    Column("target_id"),
    Column("hwid"),
    Column("status", "status"),
    Column("description"),
    Column("appCode"),
    Column("payload", "json", null_if_empty=True),
)
COLUMNS: Final = tuple(column.name for column in KNOWN)
NULL_IF_EMPTY: Final = frozenset(column.name for column in KNOWN if column.null_if_empty)
# Of a dataset: the name of the log that a record stands in. Only where it is asked for.
LOG: Final = "log"
# What a log without a header may have, the newest first.
GENERATIONS: Final = (COLUMNS[:8], COLUMNS[:6])
EPOCH: Final = datetime(1970, 1, 1)  # timestamps are microseconds since then; like the log, without a zone
# A line is a header if it names these.
REQUIRED: Final = ("timestamp", "tracking_code")


class Status(enum.StrEnum):
    """What happened to the notification; a value not listed comes as plain ``str``.

    ``DELIVERED`` means that it was handed to the gateway. The others mean what their names say.

    Example::

        opened = trackparse.Filter(statuses=[trackparse.Status.OPENED])
    """

    CREATED = "created"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    OPENED = "opened"


# Of the columns of values inside payloads, as users write them in a text; without a type a value comes as text.
PAYLOAD_TYPES: Final = (
    *("string", "bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "float32", "float64"),
)
