"""What a tracking log holds, said once: columns, generations, statuses, what is null. Imports nothing of ours."""

from __future__ import annotations

import enum
from typing import Final

# Columns by the name that they have in the log, in the order of the schema.
COLUMNS: Final = (
    "timestamp",
    "tracking_code",
    "target_id",
    "hwid",
    "status",
    "description",
    "appCode",
    "payload",
)
# What a log without a header may have: the columns of the two generations.
GENERATIONS: Final = (COLUMNS[:8], COLUMNS[:6])
# A line is a header if it names these.
REQUIRED: Final = ("timestamp", "tracking_code")
# Where these are empty there is none; an empty description is an empty one.
NULL_IF_EMPTY: Final = frozenset({"payload"})


class Status(enum.StrEnum):
    """What happened to the notification; a value not listed comes as plain ``str``."""

    CREATED = "created"
    SENT = "sent"
    DELIVERED = "delivered"  # handed to the gateway
    FAILED = "failed"
    OPENED = "opened"
