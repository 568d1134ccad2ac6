"""What holds for every log, tried on logs that hypothesis writes."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

import trackparse
from support.kernel_calls import MAX, indexed, rejects_of
from support.logs import EXAMPLE, H6, H8, NAMES, line, line6, placed
from trackparse.limits import Limits
from trackparse.records.indexer import Indexer
from trackparse.records.kernel import codes
from trackparse.records.kernel.chooser import kernel
from trackparse.records.segments import Segment
from trackparse.testing.sample import encode_row

TEXT = st.text(st.sampled_from('ab;,"\n\r \t{}:0é€🎁/') | st.characters(exclude_categories=["Cs"]), max_size=30)
# PHP's own writer is ambiguous where a backslash ends a value; such logs are in the table and in test_php.
SAFE_TEXT = TEXT.filter(lambda text: not text.endswith("\\"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | SAFE_TEXT
    | st.sampled_from(['"', "\\", '\\"', 'x\\";"y']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
PAYLOAD = st.just("") | st.dictionaries(TEXT, JSON, max_size=4).map(lambda value: orjson.dumps(value).decode())
TIME = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda time: time.isoformat(" "))
RECORD = st.tuples(TIME, SAFE_TEXT, SAFE_TEXT, SAFE_TEXT, SAFE_TEXT, SAFE_TEXT, SAFE_TEXT, PAYLOAD)
RECORDS = st.lists(RECORD, max_size=8)
CUTS = st.lists(st.integers(0, 3000), max_size=12).map(sorted)

# Pieces of logs, good and broken, in any order.
BYTES = st.lists(
    st.sampled_from(
        [
            line(),
            line6(),
            line(b'"{""a"":""\\"b\\"""}"'),
            line(b'"{""a"":""\\""b\\""""}"', end=b"\r\n"),
            line(b'"{\n""a"":1}"', description=b'"C:\\dir\\"'),
            line(description=b'"oops'),
            line(b"{};x"),
            line(time=b"2021-02-30 00:00:00"),
            line(target=b"\xff"),
            H8,
            H6,
            b"\xef\xbb\xbf",
            *(bytes([byte]) for byte in b'";\\\n\r a{}\x00'),
            b"\n2021-04-20 13:01:01;",
            b'\n"2021-04-20 13:01:01";T',
        ]
    )
    | st.binary(max_size=3),
    max_size=16,
).map(b"".join)


def typed(fields: tuple[str, ...]) -> tuple[Any, ...]:
    """What the columns hold for the fields of a record."""
    return datetime.fromisoformat(fields[0]), *fields[1:7], fields[7] or None


def rows_of(data: Any, **options: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in trackparse.read_log(data, **options).to_pylist()]


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *(at for at in cuts if at < len(data)), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(RECORDS, st.sampled_from(["php", "rfc4180"]), CUTS, st.sampled_from([7, 64, 1 << 20]))
def test_what_a_writer_writes_is_read_back(
    records: list[tuple[str, ...]], dialect: Any, cuts: list[int], block: int
) -> None:
    data = H8 + b"".join(encode_row(record, dialect) for record in records)
    expected = [typed(record) for record in records]
    for source in (data, iter(chunks(data, cuts))):
        assert rows_of(source, dialect=dialect, block_size=block) == expected
    assert rows_of(data, dialect=dialect, string_type="string_view", block_size=block) == expected
    events = trackparse.iter_events(data, dialect=dialect, block_size=block)
    assert [(*event[:7], None if event.payload is None else event.payload.text) for event in events] == expected


@given(RECORDS)
def test_the_csv_module_reads_the_same_from_rfc_4180(records: list[tuple[str, ...]]) -> None:
    # It ends a record at a lone CR, and its writer does not know.
    records = [tuple(field.replace("\r", "") for field in record) for record in records]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=";", lineterminator="\n").writerows(records)
    text = out.getvalue()
    oracle = list(csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True))
    assert [tuple(row) for row in oracle] == records
    assert rows_of(H8 + text.encode(), dialect="rfc4180") == [typed(tuple(row)) for row in oracle]


class Found(NamedTuple):
    """What came out of an Indexer."""

    rows: list[tuple[Any, ...]]
    rejects: list[tuple[Any, ...]]
    blank_lines: int
    sizes: int
    error: str


def relative(segment: Segment) -> Iterator[tuple[Any, ...]]:
    """Each record's bytes, dialect, time, and where its fields end."""
    size = len(segment.columns) + 1
    table = memoryview(segment.fields).cast("B").cast("I").tolist()
    times = memoryview(segment.timestamps).cast("B").cast("q").tolist()
    for record in range(segment.records):
        start, *ends = table[record * size : (record + 1) * size]
        dialect, start = start >> 31, start & 0x7FFFFFFF
        yield bytes(segment.data[start : ends[-1]]), dialect, times[record], [end - start for end in ends]


def found_in(blocks: list[bytes], slice_size: int, limits: Limits | None = None) -> Found:
    indexer = Indexer("auto", limits or Limits(), slice_size)
    indexer.start("log.csv")
    segments: list[Segment] = []
    error = ""
    try:
        for block in blocks:
            segments.extend(indexer.feed(block))
        segments.extend(indexer.finish())
    except trackparse.TrackparseError as fault:
        error = f"{type(fault).__name__}: {fault}"
    rows: list[tuple[Any, ...]] = []
    rejects: list[tuple[Any, ...]] = []
    for segment in segments:
        rows += relative(segment)
        bad = [segment.rejects[at] for at in range(len(segment.rejects))]
        rejects += [(one.position, one.reason, one.raw) for one in bad]
    return Found(
        rows,
        rejects,
        sum(segment.blank_lines for segment in segments),
        sum(segment.size for segment in segments),
        error,
    )


@given(BYTES, CUTS, st.sampled_from([1, 7, 64, 1 << 20]), st.sampled_from([MAX, MAX, 150]))
@example(EXAMPLE[len(H8) - 1 :], [], 1, MAX)
def test_where_the_blocks_are_cut_changes_nothing(data: bytes, cuts: list[int], slice_size: int, most: int) -> None:
    data = H8 + line() + data
    limits = Limits(max_record_bytes=most)
    whole = found_in([data], 1 << 20, limits)
    assert found_in(chunks(data, cuts), slice_size, limits) == whole
    assert found_in([data[at : at + 1] for at in range(len(data))], slice_size, limits) == whole
    assert found_in([data[at : at + 7] for at in range(0, len(data), 7)], slice_size, limits) == whole


def without_headers(data: bytes) -> bytes:
    """No line that names the columns, and no mark: neither is part of a segment."""
    return re.sub(rb"tracking_code", b"tracking", data).replace(b"\xef\xbb\xbf", b"")


@given(BYTES)
def test_every_byte_is_a_record_a_reject_a_blank_line_or_the_header(data: bytes) -> None:
    data = without_headers(data)
    found = found_in([H8 + line(), data], 1 << 20)
    assert not found.error
    assert found.sizes == len(line() + data)


@given(BYTES, st.booleans(), st.integers(0, 1))
def test_records_and_rejects_lie_end_to_end(data: bytes, auto: bool, dialect: int) -> None:
    found = indexed(kernel, data, automatic=auto, dialect=dialect)
    table = memoryview(found.fields).cast("I")
    rejects = rejects_of(found)
    parts = [(start, start + size) for _, _, _, start, size, _ in rejects]
    assert found.raw == b"".join(data[start:end] for start, end in parts)
    for record in range(found.records):
        row = table[record * 9 : record * 9 + 9].tolist()
        assert row[1:] == sorted(row[1:])
        # Where a header follows at once there is no line end.
        parts.append((row[0] & 0x7FFFFFFF, row[8] + (data[row[8] : row[8] + 1] == b"\n")))
    at = 0
    between = b""
    for start, end in sorted(parts):
        assert at <= start < end
        between += data[at:start]
        at = end
    between += data[at : found.position]
    blank = between.replace(b"\xef\xbb\xbf", b"")
    assert blank.strip(b"\r\n") == b""
    assert (found.mark_bytes, found.blank_bytes) == (len(between) - len(blank), len(blank))
    assert found.record_bytes + len(found.raw) == sum(end - start for start, end in parts)
    assert found.blank_lines == blank.count(b"\n") + blank.endswith(b"\r")
    assert found.lines == data[: found.position].count(b"\n")
    for number, (before, record, line_number, start, _, _) in enumerate(rejects):
        assert (record, line_number) == (before + number, 1 + data[:start].count(b"\n"))
    assert found.status == codes.HEADER or found.position == len(data)


@given(BYTES, CUTS, st.sampled_from([1, 7, 64, 1 << 20]))
def test_every_byte_inflated_has_its_place(data: bytes, cuts: list[int], block_size: int) -> None:
    data = H8 + line() + data
    with trackparse.open_log(iter(chunks(data, cuts)), on_error="quarantine", block_size=block_size) as log:
        try:
            log.read_all()
        except trackparse.HeaderError:
            return
        stats = log.stats
        assert stats.bytes_in_rejects == sum(map(len, log.rejects["raw"].to_pylist()))
    assert placed(stats) == stats.bytes_inflated == len(data)


def verdicts(result: codes.Indexed) -> list[tuple[Any, ...]]:
    """Records and rejects in their order."""
    rows = [bytes(memoryview(result.fields)[at * 36 : at * 36 + 36]) for at in range(result.records)]
    found: list[tuple[Any, ...]] = list(zip(rows, memoryview(result.timestamps).cast("q").tolist(), strict=True))
    for number, (before, *place) in enumerate(rejects_of(result)):
        found.insert(before + number, tuple(place))
    return found


@given(BYTES, st.booleans(), st.integers(0, 1), st.booleans(), st.data())
def test_a_verdict_never_depends_on_later_bytes(
    data: bytes, auto: bool, dialect: int, final: bool, draw: st.DataObject
) -> None:
    whole = indexed(kernel, data, final=final, automatic=auto, dialect=dialect)
    for _ in range(4):
        size = draw.draw(st.integers(0, len(data)))
        part = indexed(kernel, data[:size], final=False, automatic=auto, dialect=dialect)
        assert part.position <= whole.position
        assert verdicts(part) == verdicts(whole)[: len(verdicts(part))]
        assert part.status in (codes.DONE, codes.MORE, codes.HEADER)
        # What is left goes on from there as if it had never been cut.
        rest = indexed(
            kernel, data, start=part.position, final=final, automatic=auto, dialect=part.dialect, credit=part.credit
        )
        for what in ("status", "position", "dialect", "credit"):
            assert getattr(rest, what) == getattr(whole, what), what
        for what in ("records", "blank_lines", "record_bytes", "blank_bytes", "mark_bytes", "lines", "unresolved"):
            assert getattr(part, what) + getattr(rest, what) == getattr(whole, what), what


@given(BYTES)
def test_the_verdict_does_not_depend_on_the_projection(data: bytes) -> None:
    data = H8 + line() + without_headers(data)
    answers = []
    for columns in (None, ("hwid",), NAMES[::-1]):
        with trackparse.open_log(data, columns=columns, on_error="quarantine") as log:
            rows = log.read_all().num_rows
            answers.append((rows, log.rejects.to_pylist(), log.stats))
    assert answers[0] == answers[1] == answers[2]


@given(st.lists(st.sampled_from([b'""', b"x", b'\\"', b"\\n", "é".encode(), b";", b"\n"]), max_size=80).map(b"".join))
def test_the_kernel_unescapes_what_php_escapes(inside: bytes) -> None:
    text = re.sub(rb'(\\")|""', lambda match: match[1] or b'"', inside)
    assert kernel.unescape(inside, codes.PHP) == text
