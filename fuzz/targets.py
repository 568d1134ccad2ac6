"""What must hold for every input. A target makes an input from dice, and checks it with dice of its own.

The check takes any bytes, so that a finding can be made smaller; what it raises is the finding.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, NamedTuple

from mutator import ARCHIVE_TOKENS, BOM, H6, H8, TOKENS, archives, logs, mutated, pieces

import trackparse
from trackparse import Limits, TrackparseError, _reference
from trackparse.archive import open_archive
from trackparse.index import Indexer, Segment
from trackparse.sample import encode_row
from trackparse.sources import open_source

try:
    from trackparse import _kernel
except ImportError:  # no compiler was at hand
    _kernel = None  # type: ignore[assignment]

MAX: Final = 1 << 20
BLOCKS: Final = (*range(1, 65), MAX)
DIALECTS: Final = ("auto", "auto", "php", "rfc4180")
_HEADER: Final = re.compile(rb"[^\n]*?(?:\n|\Z|(?=\"?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d))")
_LEADING_BLANK: Final = re.compile(rb"\r*\n")
_BLANK: Final = re.compile(rb"\r?\n|\r\Z")


class Target(NamedTuple):
    """One invariant: how an input for it is made, and what checks it."""

    make: Callable[[Random], bytes]
    check: Callable[[bytes, Random], None]


def _log(dice: Random) -> bytes:
    return mutated(dice, logs(), TOKENS)


# ---- kernels ------------------------------------------------------------------------------------------------


def kernels(data: bytes, dice: Random) -> None:
    """The reference and every instruction set of the C kernel index the same."""
    size = len(data)
    width = dice.choice((8, 8, 8, 6, 1, 2, 3))
    timestamp = dice.choice((0, 0, 0, dice.randrange(width)))
    payload = dice.choice((-1, width - 1, width - 1, dice.randrange(width)))
    start = dice.choice((0, 0, 0, dice.randrange(size + 1)))
    stop = dice.choice((size, size, dice.randrange(size + 2)))
    most = dice.choice((MAX, MAX, 60, 200, size or 1))
    for auto, dialect in ((True, 0), (True, 1), (False, 0), (False, 1)):
        for final in (False, True):
            arguments = (start, stop, final, width, timestamp, payload, auto, dialect, most)
            expected = tuple(_reference.index(data, *arguments))
            for name in _kernel.instruction_sets() if _kernel else ():
                _kernel.select(name)
                found = tuple(_kernel.index(data, *arguments))
                assert found == expected, f"index(data, {arguments}): {name} says {found}, the reference {expected}"
    if _kernel:
        known = _kernel.instruction_sets()
        forced = os.environ.get("TRACKPARSE_KERNEL", "")
        _kernel.select(forced if forced in known else known[0])


# ---- cuts ---------------------------------------------------------------------------------------------------


def cuts(data: bytes, dice: Random) -> None:
    """A log that is cut anywhere reads as the log read whole: records, rejects, counts, error."""
    most = dice.choice((MAX, MAX, 150, 700))
    options = {"dialect": dice.choice(DIALECTS), "limits": Limits(max_record_bytes=most)}
    whole = _read(iter([data]), MAX, options)
    for block_size in (dice.choice(BLOCKS), dice.randint(1, 64), MAX):
        found = _read(iter(pieces(dice, data)), block_size, options)
        for name, expected in whole.items():
            # A column that is not in the first header is a fault of the batch: its block was counted by then.
            if name in ("stats", "rejects") and "not in the log's first header" in str(whole["error"]):
                continue
            said = f"{options}, blocks of {block_size}: {name}: {found[name]!r}, read whole {expected!r}"
            assert found[name] == expected, said


def _read(source: Any, block_size: int, options: dict[str, Any]) -> dict[str, Any]:
    """All that comes out of a log."""
    rows: list[Any] = []
    found: dict[str, Any] = dict.fromkeys(("error", "names", "rejects", "stats"))
    log = None
    try:
        log = trackparse.open_log(source, block_size=block_size, on_error="quarantine", **options)
        found["names"] = log.schema.names
        for batch in log:
            batch.validate(full=True)
            rows += batch.to_pylist()
    except TrackparseError as error:
        found["error"] = f"{type(error).__name__}: {error}"
    if log is not None:
        log.close()
        stats = log.stats
        # After an error it depends on the blocks how far was read.
        inflated = stats.bytes_inflated if found["error"] is None else 0
        found["rejects"] = log.rejects.to_pylist()
        found["stats"] = (stats.records, stats.rejected, stats.blank_lines, inflated)
        assert stats.rejected == len(found["rejects"]), f"{stats}, {len(found['rejects'])} rejects"
        if found["error"] is None:
            assert stats.records == len(rows), f"{stats}, {len(rows)} rows"
    return found | {"rows": rows}


# ---- cover --------------------------------------------------------------------------------------------------


class _Item(NamedTuple):
    """A record, or a reject with its position."""

    raw: bytes
    position: trackparse.Position | None


def cover(data: bytes, dice: Random) -> None:
    """Records and rejects lie in order, and between them are only blank lines, headers and byte order marks."""
    indexer = Indexer(dice.choice(DIALECTS), Limits(max_record_bytes=dice.choice((MAX, MAX, 150))), dice.choice(BLOCKS))
    complete = dice.random() < 0.7
    segments: list[Segment] = []
    error: TrackparseError | None = None
    try:
        indexer.start("log.csv")
        for block in pieces(dice, data):
            segments.extend(indexer.feed(block))
        segments.extend(indexer.finish() if complete else indexer.abandon())
    except TrackparseError as fault:
        error = fault
    at = number = headers = 0
    blank_lines: list[int] = []  # where they are
    for segment in segments:
        assert segment.first_record == number, f"{segment.first_record=}, there were {number}"
        for item in _items(segment):
            at, more = _skipped(data, at, blank_lines, item)
            headers += more
            if item.position:
                place = (number, data.count(b"\n", 0, at) + 1, at)
                said = (item.position.record, item.position.line, item.position.byte_offset)
                assert said == place, f"a reject says {said}, it is {place}"
            at += len(item.raw)
            number += 1
    if isinstance(error, trackparse.LimitError) and (stands := re.search(r"\(byte (\d+)\)", str(error))):
        at, _ = _skipped(data, at, blank_lines, _Item(b"", trackparse.Position("", 0, 0, int(stands[1]))))
        assert at == int(stands[1]), f"{error}: it is byte {at}"
    if error is None:
        rest, more = _skipped(data, at, blank_lines, None)
        assert rest == len(data), f"lost: {data[rest:]!r} at {rest}"
        counted = sum(segment.blank_lines for segment in segments)
        # A member cut off before its header has no segment to count them.
        assert counted == len(blank_lines) or not segments, f"{counted} blank lines counted, they are at {blank_lines}"
        # Headers and what stands before the first are in no segment.
        outside = headers + more + len(_leading(data).replace(BOM, b""))
        size = sum(segment.size for segment in segments)
        assert size == len(data) - outside or not segments, f"segments of {size} bytes, {len(data)} less {outside}"


def _items(segment: Segment) -> Iterator[_Item]:
    """Records and rejects in their order."""
    width = len(segment.columns) + 1
    table = memoryview(segment.fields).cast("B").cast("I").tolist()
    rejects = [*segment.rejects]
    for record in range(segment.records):
        while rejects and rejects[0].before <= record:
            yield _Item(rejects[0].raw, rejects.pop(0).position)
        start, *ends = table[record * width : (record + 1) * width]
        yield _Item(bytes(segment.data[start & 0x7FFFFFFF : ends[-1] + 1]), None)
    yield from (_Item(reject.raw, reject.position) for reject in rejects)


def _leading(data: bytes) -> bytes:
    """Blank lines and marks before all else."""
    found = re.match(rb"(?:\xef\xbb\xbf|\r*\n)*", data)
    return found[0] if found else b""


def _skipped(data: bytes, at: int, blank_lines: list[int], item: _Item | None) -> tuple[int, int]:
    """Where the item is, behind what may stand before it; and how many bytes of that are headers and marks."""
    headers = 0
    leading = at <= len(_leading(data))
    while at < len(data):
        if item and data.startswith(item.raw, at) and item.position is None:
            break
        if item and item.position and item.position.byte_offset <= at:
            break
        blank = (_LEADING_BLANK if leading else _BLANK).match(data, at)
        header = _HEADER.match(data, at)
        if blank:
            blank_lines.append(at)
            at = blank.end()
        elif data.startswith(BOM, at):
            headers += len(BOM)
            at += len(BOM)
        elif header and b"timestamp" in header[0] and b"tracking_code" in header[0]:
            headers += len(header[0])
            at = header.end()
            leading = False
        else:
            break
    if item:
        assert data.startswith(item.raw, at), f"{item} is not what follows at {at}: {data[at : at + 120]!r}"
    return at, headers


# ---- archive ------------------------------------------------------------------------------------------------


def _archive(dice: Random) -> bytes:
    seeds = (*archives(),)
    if dice.random() < 0.3:
        data = dice.choice(seeds)
        return data[: dice.randrange(len(data) + 1)]
    return mutated(dice, seeds, ARCHIVE_TOKENS)


def archive(data: bytes, dice: Random) -> None:
    """From any bytes comes TrackparseError or nothing; without one, whole members; of a cut archive, its beginning."""
    cut_from = [truth for seed, truth in archives().items() if seed.startswith(data)]
    for source in (data, iter(pieces(dice, data))):
        contents: list[bytearray] = []
        error = None
        try:
            opened = open_archive(open_source(source), Limits(max_inflated_bytes=MAX))
            try:
                for member in opened:
                    content = bytearray()
                    contents.append(content)
                    for block in member.blocks(dice.choice((64, 1000, MAX))):
                        content += block
            finally:
                opened.close()
        except TrackparseError as fault:
            error = fault
        if cut_from:
            # Cut in its first member, an archive may look as if that were the only one.
            aside = error is not None and _begins((b"nothing",), contents)
            assert aside or any(_begins(truth, contents) for truth in cut_from), f"{contents} is no beginning ({error})"
        if error is None:
            if cut_from and data[:1] == b"P":
                assert tuple(map(bytes, contents)) in cut_from, f"a cut ZIP ended with {contents}"
            for whole in map(bytes, contents):
                assert whole == data or _is_whole(whole), f"accepted: {whole!r}"
    options: Any = {"on_error": "quarantine", "limits": Limits(max_inflated_bytes=MAX)}
    options["block_size"] = dice.choice((64, 1000, MAX))
    for source in (data, iter(pieces(dice, data))):
        try:
            with trackparse.open_log(source, **options) as log:
                for batch in log:
                    batch.validate(full=True)
        except TrackparseError:
            pass


def _begins(truth: tuple[bytes, ...], contents: list[bytearray]) -> bool:
    """Whether the contents are the first of the truth's, the last one perhaps cut."""
    if len(contents) > len(truth):
        return False
    whole = [*truth[: len(contents)]]
    return contents[:-1] == whole[:-1] and (not contents or whole[-1].startswith(contents[-1]))


def _is_whole(content: bytes) -> bool:
    """Whether it is a member's content, or several of a gzip file."""
    known = sorted({one for truth in archives().values() for one in truth} | {b"nothing"}, key=len, reverse=True)
    while content:
        found = next((one for one in known if content.startswith(one)), None)
        if found is None:
            return False
        content = content[len(found) :]
    return True


# ---- written ------------------------------------------------------------------------------------------------


def written(data: bytes, dice: Random) -> None:
    """What a writer of either dialect wrote is read back as it was."""
    dialect: Any = dice.choice(("auto", "php", "rfc4180"))
    width = dice.choice((8, 8, 6))
    text = data.decode("utf-8", "ignore")
    log = H8 if width == 8 else H6
    expected = []
    for _ in range(dice.choice((1, 2, 5, 12))):
        time = datetime(1, 1, 1) + timedelta(microseconds=dice.randrange(9998 * 365 * 86_400_000_000))
        fields = [time.isoformat(dice.choice(" T")), *(_value(dice, text, dialect) for _ in range(6))]
        payload = _json(dice, text)
        if dialect != "auto" and dice.random() < 0.2:
            payload = _value(dice, text, dialect)
        record = (*fields, dice.choice((payload, payload, payload, "")))[:width]
        writer: Any = dice.choice(("php", "rfc4180")) if dialect == "auto" else dialect
        log += encode_row(record, writer)
        # Six columns leave two empty.
        expected.append((time, *record[1:7], record[7] or None) if width == 8 else (time, *record[1:], None, None))
    for source in (log, iter(pieces(dice, log))):
        table = trackparse.read_log(source, dialect=dialect, block_size=dice.choice(BLOCKS))
        found = [tuple(row.values()) for row in table.to_pylist()]
        assert found == expected, f"dialect={dialect!r}, {log!r}: {found}, written {expected}"


def _value(dice: Random, text: str, dialect: str) -> str:
    """A value that its writer's dialect can tell."""
    at = dice.randrange(len(text) + 1)
    value = text[at : at + dice.choice((0, 1, 2, 3, 5, 10, 40, 100))]
    if dialect == "auto":
        # A backslash before a quote that is not JSON's can be read in more than one way.
        return value.replace("\\", "")
    return value.rstrip("\\") if dialect == "php" else value


def _json(dice: Random, text: str) -> str:
    values = [_value(dice, text, "rfc4180") for _ in range(4)]
    nested = {values[0]: values[1], "md": [values[2], {"uid": dice.random(), values[3]: None}]}
    found = json.dumps(nested, ensure_ascii=dice.random() < 0.5, separators=dice.choice(((",", ":"), (", ", ": "))))
    return found.replace("/", "\\/") if dice.random() < 0.5 else found


TARGETS: Final = {
    "kernels": Target(_log, kernels),
    "cuts": Target(_log, cuts),
    "cover": Target(_log, cover),
    "archive": Target(_archive, archive),
    "written": Target(_log, written),
}
