"""Checks content: its CRC and sizes against those that the archive states, its size against the limits.

ZIP states them in a member's headers, in a data descriptor behind its data, and once more in the directory; gzip in a
trailer. All are compared here, except the data descriptors: ``zip_descriptor`` has to compare them to find them.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from typing import Final

from trackparse.archive.inflate import FETCH_AGAIN, READ_SIZE, Inflater, Stored, crc32
from trackparse.archive.selector import LISTED, listing, short_name
from trackparse.archive.zip_descriptor import skip_descriptor
from trackparse.archive.zip_headers import MAX32, Entry, Listed
from trackparse.errors import ArchiveError, LimitError
from trackparse.limits import Limits
from trackparse.sources.source import Buffer

# Inflated bytes before Limits.max_ratio is looked at: ratios of small data mean nothing.
_RATIO_FROM: Final = 1 << 20


class InflateBudget:
    """Inflated bytes of all members together, and how many the limits allow."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.inflated = 0

    def left(self) -> int | None:
        """Bytes that may still be inflated; None without a limit."""
        most = self.limits.max_inflated_bytes
        return None if most is None else most - self.inflated


class CheckedContent:
    """A member's content, counted, its CRC computed, held to the limits.

    ``check`` is called once, behind the last byte, and raises if the content is not what the archive states.
    """

    def __init__(
        self, unchecked: Stored | Inflater, budget: InflateBudget, check: Callable[[CheckedContent], None]
    ) -> None:
        self.packed = unchecked.packed
        self.crc = 0
        self.size = 0  # bytes so far
        self.ended = False  # its last byte was read, whether the check found it good or not
        self._unchecked = unchecked
        self._budget = budget
        self._check = check
        self._ratio_error: LimitError | None = None

    def read(self, n: int) -> Buffer:
        """At most n bytes; empty only at the end, and only if the content is what the archive states."""
        if self._ratio_error:
            raise self._ratio_error
        if self.ended:
            return b""
        left = self._budget.left()
        data = self._unchecked.read(n if left is None else max(1, min(n, left)))
        if not data:
            self.ended = True
            self._unchecked.finish()
            self._check(self)
            return b""
        if left == 0:
            raise LimitError(
                f"{self.packed.label}: more than {self._budget.limits.max_inflated_bytes} inflated bytes",
                advice="raise Limits.max_inflated_bytes if the log may be that large",
                option="limits",
            )
        self.crc = crc32(data, self.crc)
        self.size += len(data)
        self._budget.inflated += len(data)
        self._check_ratio()
        return data

    def drain(self) -> None:
        """Read the rest, for its check alone."""
        while self.read(READ_SIZE):
            pass

    def _check_ratio(self) -> None:
        most = self._budget.limits.max_ratio
        if most is not None and self.size > _RATIO_FROM and self.size > most * self.packed.taken:
            # Raised by the next read: these bytes are still delivered.
            self._ratio_error = LimitError(
                f"{self.packed.label}: {self.packed.taken} packed bytes were inflated to {self.size} bytes: "
                f"more than {most} times as many",
                advice="raise Limits.max_ratio if that is right",
                option="limits",
            )


# ---- the CRCs of a ZIP --------------------------------------------------------------------------------------


def check_member(content: CheckedContent, entry: Entry) -> None:
    """ArchiveError if the content is not what its header says, or the data descriptor behind it, which is read here."""
    if entry.described:
        skip_descriptor(content.packed.source, content.crc, content.packed.taken, content.size, content.packed.label)
        return
    label, packed = content.packed.label, content.packed.taken
    # Modulo 2^32: macOS and others write no zip64, whatever the size. The CRC shows any other difference.
    if (packed - (entry.packed or 0)) & MAX32:
        problem = f"its data takes {packed} packed bytes, the header says {entry.packed}"
    elif (content.size - (entry.size or 0)) & MAX32:
        problem = f"{content.size} bytes came out, the header says {entry.size}"
    elif content.crc != entry.crc:
        problem = (
            f"the checksum (CRC-32) of its {content.size} bytes is {content.crc:08x}, the header says {entry.crc:08x}"
        )
    else:
        return
    raise ArchiveError(f"{label}: {problem}", advice=FETCH_AGAIN)


class DirectoryCheck:
    """Compares the CRCs that a directory lists with those of the members that were met before it, in any order."""

    def __init__(self, source: str, met: list[int]) -> None:
        self._source = source
        self._unlisted = Counter(met)
        self._wrong: list[str] = []  # names with a CRC that no member has, as many as a message shows
        self._wrong_count = 0

    def add(self, member: Listed) -> None:
        """The next member of the directory."""
        if self._unlisted[member.crc] > 0:
            self._unlisted[member.crc] -= 1
            return
        self._wrong_count += 1
        if len(self._wrong) < LISTED:
            self._wrong.append(short_name(member.name))

    def finish(self) -> None:
        """ArchiveError if the CRC of a member is not that in the directory."""
        if self._wrong_count:
            raise ArchiveError(
                f"{self._source}: the checksums (CRC-32) in the directory are not those of the members: "
                f"{listing(self._wrong, self._wrong_count)}",
                advice=FETCH_AGAIN,
            )


# ---- the CRC of gzip ----------------------------------------------------------------------------------------


def check_gzip_trailer(content: CheckedContent, trailer: bytes) -> None:
    """ArchiveError if the eight bytes behind a gzip member state another CRC or another size (RFC 1952)."""
    crc, size = struct.unpack("<LL", trailer)
    if crc != content.crc or size != content.size & MAX32:
        raise ArchiveError(
            f"{content.packed.label}: {content.size} bytes with checksum (CRC-32) {content.crc:08x} came out, "
            f"the trailer says {size} and {crc:08x}",
            advice=FETCH_AGAIN,
        )
