"""From any log come records, rejects or errors of ours; cut anywhere it reads the same; every byte has its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from harness import MAX, Knobs, fuzz
from library import trackparse

from trackparse import Limits, PayloadError, TrackparseError
from trackparse.records.indexer import Indexer
from trackparse.records.segments import Segment

BOM: Final = b"\xef\xbb\xbf"
BLOCKS: Final = (*range(1, 65), MAX)
DIALECTS: Final = ("auto", "auto", "php", "rfc4180")
OUTPUTS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"string_type": "string_view"},
    {"dictionary": ("status", "description", "payload")},
)
_HEADER: Final = re.compile(rb"[^\n]*?(?:\n|\Z|(?=\"?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d))")
_BLANK: Final = re.compile(rb"\r*\n|\r+\Z")
_SEPARATOR: Final = re.compile(rb'(?:sep=;|"sep=;")\r*(?:\n|\Z)')


def check(log: bytes, knobs: Knobs) -> None:
    """Half of the inputs are cut, the others are read by the indexer alone, whose table says where each field is."""
    (cuts if knobs.often() else cover)(log, knobs)


# ---- cut anywhere -------------------------------------------------------------------------------------------


def cuts(log: bytes, knobs: Knobs) -> None:
    """What comes out of the log in one block, and of the log in pieces."""
    options = {
        "dialect": knobs.choice(DIALECTS),
        "limits": Limits(max_record_bytes=knobs.choice((MAX, MAX, 150, 700))),
        "on_error": knobs.choice(("quarantine", "quarantine", "skip", "raise")),
    }
    whole = read(log, iter([log]), MAX, options)
    block_size = knobs.choice(BLOCKS)
    if knobs.often():
        found = read(log, iter(knobs.pieces(log)), block_size, options | knobs.choice(OUTPUTS))
    else:
        found = read_events(log, knobs.pieces(log), block_size, options)
        whole["rows"] = [row[:8] for row in whole["rows"]]
        if "is not in the first header" in str(whole["error"]):
            return  # Events have no schema in which a column could want a place.
    if options["on_error"] == "raise" and found.get("stats") and whole["stats"] and whole["error"]:
        # Blank lines count with the block that the error was in.
        whole["stats"], found["stats"] = whole["stats"][:2], found["stats"][:2]
    for name, value in found.items():
        expected = whole[name]
        assert value == expected, f"{options}, blocks of {block_size}: {name}: {value!r}, read whole {expected!r}"


def read(log: bytes, source: Any, block_size: int, options: dict[str, Any]) -> dict[str, Any]:
    """All that comes out of a log, as batches."""
    rows: list[Any] = []
    found: dict[str, Any] = {"rows": rows, "error": None, "names": None, "stats": None, "rejects": None}
    reader = None
    try:
        reader = trackparse.open_log(source, block_size=block_size, **options)
        found["names"] = reader.schema.names
        for batch in reader:
            batch.validate(full=True)
            rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
    except TrackparseError as error:
        found["error"] = f"{type(error).__name__}: {error}"
    if reader is not None:
        reader.close()
        account(log, reader, options, found)
    return found


def read_events(log: bytes, pieces: list[bytes], block_size: int, options: dict[str, Any]) -> dict[str, Any]:
    """All that comes out of a log, as events."""
    rows: list[Any] = []
    found: dict[str, Any] = {"rows": rows, "error": None}
    try:
        for event in trackparse.iter_events(iter(pieces), block_size=block_size, **options):
            rows.append((*event[:7], None if event.payload is None else event.payload.text))
            try:
                dict(event.payload or {})
            except PayloadError:
                continue
    except TrackparseError as error:
        found["error"] = f"{type(error).__name__}: {error}"
    return found


def account(log: bytes, reader: trackparse.LogReader, options: dict[str, Any], found: dict[str, Any]) -> None:
    """Every reject stands where it says, and of a log read to its end every byte has its place."""
    stats, rejects = reader.stats, reader.rejects.to_pylist()
    found["stats"] = (stats.records, stats.rejected, stats.blank_lines)
    found["rejects"] = rejects
    end = 0
    for reject in rejects:
        at = reject["byte_offset"]
        assert at >= end, f"{reject} starts before {end}"
        assert log.startswith(reject["raw"], at), f"{reject} is not what stands there"
        assert reject["line"] == log.count(b"\n", 0, at) + 1, f"{reject} stands in another line"
        end = at + len(reject["raw"])
    if options["on_error"] == "quarantine":
        assert stats.rejected == len(rejects), f"{stats}, {len(rejects)} rejects"
        assert stats.bytes_in_rejects == sum(len(reject["raw"]) for reject in rejects), f"{stats}, {rejects}"
    assert stats.records == len(found["rows"]), f"{stats}, {len(found['rows'])} rows"
    if found["error"] is None:
        places = (stats.bytes_in_records, stats.bytes_in_rejects, stats.bytes_in_blank_lines, stats.bytes_in_headers)
        assert sum(places) == stats.bytes_inflated == len(log), f"{stats}, of {len(log)} bytes"
        found["stats"] += places


# ---- every byte ---------------------------------------------------------------------------------------------


class Item(NamedTuple):
    """A record, or a reject with its position."""

    raw: bytes
    position: trackparse.Position | None


def cover(log: bytes, knobs: Knobs) -> None:
    """Records and rejects lie in order; between them are blank lines, headers and byte order marks only."""
    indexer = Indexer(knobs.choice(DIALECTS), Limits(max_record_bytes=knobs.choice((MAX, 150))), knobs.choice(BLOCKS))
    complete = knobs.often()
    segments: list[Segment] = []
    error: TrackparseError | None = None
    try:
        indexer.start("log.csv")
        for block in knobs.pieces(log):
            segments.extend(indexer.feed(block))
        segments.extend(indexer.finish() if complete else indexer.abandon())
    except TrackparseError as fault:
        error = fault
    at = number = records = headers = 0
    blank_lines: list[bytes] = []
    for segment in segments:
        assert segment.first_record == number, f"{segment.first_record=}, there were {number}"
        for item in items(segment):
            at, more = skipped(log, at, blank_lines, item)
            headers += more
            if item.position:
                place = (number, log.count(b"\n", 0, at) + 1, at)
                said = (item.position.record, item.position.line, item.position.byte_offset)
                assert said == place, f"{item.position} is record, line, byte {place}"
            else:
                records += len(item.raw)
            number += 1
            at += len(item.raw)
    if error:
        return
    at, more = skipped(log, at, blank_lines, None)
    assert at == len(log), f"lost: {log[at:]!r}"
    assert len(blank_lines) == sum(segment.blank_lines for segment in segments), f"{blank_lines=}"
    assert sum(map(len, blank_lines)) == sum(segment.blank_bytes for segment in segments), f"{blank_lines=}"
    assert headers + more == sum(segment.header_bytes for segment in segments), f"headers: {headers + more} bytes"
    assert records == sum(segment.record_bytes for segment in segments), f"records: {records} bytes"


def items(segment: Segment) -> Iterator[Item]:
    """Records and rejects in their order."""
    width = len(segment.columns) + 1
    table = memoryview(segment.fields).cast("B").cast("I").tolist()
    rejects = [segment.rejects[number] for number in range(len(segment.rejects))]
    for record in range(segment.records):
        while rejects and rejects[0].before <= record:
            yield Item(rejects[0].raw, rejects.pop(0).position)
        start, *ends = table[record * width : (record + 1) * width]
        line_end = segment.data[ends[-1] : ends[-1] + 1] == b"\n"  # none where a header follows at once
        yield Item(bytes(segment.data[start & 0x7FFFFFFF : ends[-1] + line_end]), None)
    yield from (Item(reject.raw, reject.position) for reject in rejects)


def skipped(log: bytes, at: int, blank_lines: list[bytes], item: Item | None) -> tuple[int, int]:
    """Where the item is, behind what may stand before it; and how many bytes of that are headers and marks."""
    headers = 0
    while at < len(log):
        if item and log.startswith(item.raw, at) and item.position is None:
            break
        if item and item.position and item.position.byte_offset <= at:
            break
        blank = _BLANK.match(log, at)
        header = _SEPARATOR.match(log, at) or _HEADER.match(log, at)
        if blank:
            blank_lines.append(blank[0])
            at = blank.end()
        elif log.startswith(BOM, at):
            headers += len(BOM)
            at += len(BOM)
        elif header and (b"sep=" in header[0] or (b"timestamp" in header[0] and b"tracking_code" in header[0])):
            # A record may be run into it, behind the quote that closes the last name, and so may a damaged header.
            end = header.end()
            if log.startswith(b'"', end) and not header[0].endswith(b"\n"):
                end += header[0].count(b'"') % 2
            end = min(end, item.position.byte_offset) if item and item.position else end
            headers += end - at
            at = end
        else:
            break
    if item:
        assert log.startswith(item.raw, at), f"{item} is not what follows at {at}: {log[at : at + 120]!r}"
    return at, headers


if __name__ == "__main__":
    fuzz(check)
