"""From any bytes come logs or errors of ours; without an error they are whole and none is missing. Of a cut archive its
beginning comes."""

from __future__ import annotations

import gzip
import io
import logging
import zipfile
from collections import Counter
from typing import IO, Any, Final

from harness import MAX, Knobs, fuzz
from library import trackparse

from trackparse import Limits, TrackparseError
from trackparse.archive.opening import open_archive
from trackparse.sources.source import open_source

LIMITS: Final = Limits(max_inflated_bytes=MAX, max_members=100)
HEADER: Final = b"//timestamp;tracking_code\n"
SAID: Final[list[logging.LogRecord]] = []
BLOCKS: Final = (64, 1000, 1 << 16)  # bytes; fresh memory is dear under AddressSanitizer
# For the same reason: the packer of LZMA takes 94 MiB.
METHODS: Final = (*(zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED) * 6, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def check(data: bytes, knobs: Knobs) -> None:
    """A third of the inputs are archives as they stand; the others are packed here, and damaged or not."""
    knobs.choice((raw, packed, several))(data, knobs)


def raw(data: bytes, knobs: Knobs) -> None:
    """How its bytes come must not matter, nor whether they can be read from the end."""
    options: dict[str, Any] = {"on_error": "quarantine", "limits": LIMITS, "block_size": knobs.choice(BLOCKS)}
    if knobs.choice((True, False)):
        assert outcome(iter(knobs.pieces(data)), options) == outcome(iter([data]), options), "in pieces"
    else:
        assert outcome(io.BytesIO(data), options) == outcome(data, options), "as a file"


def outcome(source: Any, options: dict[str, Any]) -> tuple[Any, ...]:
    """The rows, rejects and kind of error that come of a source; every byte has its place."""
    rows: list[Any] = []
    log = None
    error = ""
    try:
        log = trackparse.open_log(source, **options)
        for batch in log:
            batch.validate(full=True)
            rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
    except TrackparseError as fault:
        error = type(fault).__name__
    if log is None:
        return error, rows
    log.close()
    stats = log.stats
    if not error:
        placed = stats.bytes_in_records + stats.bytes_in_rejects + stats.bytes_in_blank_lines + stats.bytes_in_headers
        assert placed == stats.bytes_inflated, stats
    return error, rows, [reject["raw"] for reject in log.rejects.to_pylist()]


def packed(data: bytes, knobs: Knobs) -> None:
    """One or two members, in every form that a packer writes."""
    cut = knobs.randrange(len(data) + 1)
    parts = (data[:cut], data[cut:]) if knobs.choice((True, False)) else (data,)
    if knobs.often():
        archive = zipped(parts, knobs)
    else:
        archive = b"".join(gzip.compress(part, mtime=0) for part in parts)
        # Cut between its two, a gzip file is as good as any.
        parts = (data, data[:cut])
    damaged, what = damage(archive, knobs)
    for source in (damaged, iter(knobs.pieces(damaged))):
        contents, error = members_of(source, knobs)
        assert what or error is None, f"{error!r} from an archive as it was packed"
        if error is None:
            whole = [bytes(content) for content in contents]
            # Its first bytes gone, an archive is a log as it stands.
            assert all(one in parts or (what and one == damaged) for one in whole), f"{what}: {whole}, was {parts}"
            assert what or b"".join(whole) == data, f"{whole} was {parts}"
        for content in contents if "byte" not in what else ():
            # What a changed byte unpacks to is known to be wrong at its member's end, not before.
            assert any(part.startswith(content) for part in parts), f"{what}: {bytes(content)!r} is not of {parts}"


def several(data: bytes, knobs: Knobs) -> None:
    """Two or three logs in a ZIP that is damaged in up to three places: none of them is missing without a word."""
    first, second = sorted(knobs.randrange(len(data) + 1) for _ in range(2))
    logs = [HEADER + part for part in (data[:first], data[first:second], data[second:])][: knobs.choice((2, 3))]
    archive = knobs.choice((b"", b"", b"\xef\xbb\xbf", b"#!/bin/sh\n")) + zipped(tuple(logs), knobs)
    whats = []
    for _ in range(knobs.choice((1, 1, 2, 3))):
        archive, what = damage(archive or b"P", knobs)
        whats.append(what)
    for source in (archive, iter(knobs.pieces(archive))):
        SAID.clear()
        contents, error = members_of(source, knobs)
        # What does not begin as a log is an error of the reader's.
        if error is None and all(content.startswith(HEADER[:11]) for content in contents):
            missing = Counter(logs) - Counter(map(bytes, contents))
            assert not missing or SAID, f"{whats}: {missing} missing"


class Said(logging.Handler):
    """Notes that the program's log names members left out."""

    def emit(self, record: logging.LogRecord) -> None:
        SAID.append(record)


def zipped(parts: tuple[bytes, ...], knobs: Knobs) -> bytes:
    """A ZIP with sizes before the data or behind it, in 32 bits or in 64."""
    out = io.BytesIO()
    method = knobs.choice(METHODS)
    file: Any = Pipe(out) if knobs.choice((True, False)) else out
    with zipfile.ZipFile(file, "w", method) as archive:
        for number, part in enumerate(parts):
            info = zipfile.ZipInfo(f"{number}.csv")
            info.compress_type = method
            with archive.open(info, "w", force_zip64=knobs.choice((True, False))) as member:
                member.write(part)
    return out.getvalue()


class Pipe(io.RawIOBase):
    """Where zipfile cannot seek and writes sizes behind the data."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)


def damage(archive: bytes, knobs: Knobs) -> tuple[bytes, str]:
    """The archive with one fault, and what it is; or as it is. One byte: a checksum cannot be made to fit."""
    at = knobs.randrange(len(archive))
    match knobs.randrange(4):
        case 0:
            return archive, ""
        case 1:
            return archive[:at], f"cut at {at}"
        case 2:
            changed = (archive[at] ^ knobs.randrange(255) + 1) & 0xFF
            return archive[:at] + bytes((changed,)) + archive[at + 1 :], f"byte {at} is {changed}"
        case _:
            more = bytes(knobs.choice((1, 4, 100)))
            return archive[:at] + more + archive[at:], f"{len(more)} bytes put in at {at}"


def members_of(source: Any, knobs: Knobs) -> tuple[list[bytearray], TrackparseError | None]:
    """What was unpacked before an error, and it."""
    contents: list[bytearray] = []
    try:
        opened = open_archive(open_source(source), LIMITS)
        try:
            for member in opened:
                content = bytearray()
                contents.append(content)
                for block in member.blocks(knobs.choice(BLOCKS)):
                    content += block
        finally:
            opened.close()
    except TrackparseError as fault:
        return contents, fault
    return contents, None


if __name__ == "__main__":
    logging.getLogger("trackparse").addHandler(Said())
    fuzz(check)
