"""The fault corpus, read in every way: good rows exact, damage signalled, nothing else."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import trackparse
from corpus import COUNTS, FAMILIES, Bad, Fault, Log, Outcome, archives
from corpus.model import fputcsv, record, rfc4180, row, row6
from corpus.runs import KINDS, run
from support import zips
from support.archives import Unseekable, random_chunks
from support.kernels import KERNELS, SLOW
from support.logs import NAMES, NAMES6, Row, drain
from trackparse.errors import TrackparseError

CASES = [fault for family in FAMILIES.values() for fault in family]
BIG = 1 << 20

# Each fault with the reference and the best instruction set. Archives know nothing of kernels: one is enough there.
EACH = [
    (fault, kernel)
    for name, family in FAMILIES.items()
    for fault in family
    for kernel in (KERNELS[:2][-1:] if name == "archives" else KERNELS[:2])
]


def each(wanted: Callable[[Fault], object] = bool) -> pytest.MarkDecorator:
    """The test with each fault that is ``wanted``, and each kernel that it is read with."""
    chosen = [(fault, kernel) for fault, kernel in EACH if wanted(fault)]
    return pytest.mark.parametrize(("fault", "kernel"), chosen, indirect=["kernel"], ids=str)


def small_chunks(data: bytes) -> Iterator[bytes]:
    """The data in pieces of a few bytes, some of them empty."""
    at, size = 0, 1
    while at < len(data):
        yield data[at : at + size]
        at += size
        size = size * 7 % 31


def ways(fault: Fault, kernel: str) -> Iterator[tuple[str, Any, int, Outcome]]:
    """Sources, the size of the blocks, and what has to come out."""
    data, forward = fault.data, fault.forward or fault.outcome
    if fault.heavy:
        yield "bytes", data, BIG, fault.outcome
        yield "chunks at random", random_chunks(data), BIG, forward
    elif fault.block_size:
        yield "bytes", data, fault.block_size, fault.outcome
        yield "chunks at random", random_chunks(data), fault.block_size, forward
    else:
        yield "file", io.BytesIO(data), 64, fault.outcome
        # Sources and archives know nothing of kernels.
        if kernel != "reference":
            yield "bytes", data, BIG, fault.outcome
            yield "pipe", Unseekable(data, 17 if len(data) < 10_000 else 9973), BIG, forward
        if len(data) < 100_000:
            yield "small chunks", small_chunks(data), 7 if len(data) < 10_000 else 1009, forward


def read(source: Any, fault: Fault, block_size: int) -> tuple[Outcome, TrackparseError | None]:
    """All that comes out in batches."""
    rows: list[Row] = []
    rejects: tuple[Bad, ...] = ()
    extra: tuple[str, ...] = ()
    blank_lines = 0
    error = None
    try:
        with trackparse.open_log(
            source,
            dialect=fault.dialect,
            limits=fault.limits,
            block_size=block_size,
            on_error="quarantine",
        ) as log:
            extra = tuple(log.schema.names[8:])
            try:
                drain(log, rows)
            finally:
                rejects = tuple(
                    Bad(bad["reason"], bad["line"], bad["byte_offset"], bad["raw"]) for bad in log.rejects.to_pylist()
                )
                blank_lines = log.stats.blank_lines
                assert (log.stats.records, log.stats.rejected) == (len(rows), len(rejects))
    except TrackparseError as exc:
        error = exc
    return Outcome(tuple(rows), rejects, type(error) if error else None, extra, blank_lines), error


def check(found: Outcome, wanted: Outcome, what: str) -> None:
    assert found.error is wanted.error, what
    assert wanted.rejects is None or found.rejects == wanted.rejects, what
    assert found.rows == wanted.rows, what
    assert wanted.blank_lines is None or found.blank_lines == wanted.blank_lines, what
    assert found.error or found.extra == wanted.extra, what


@each()
def test_good_rows_come_exact_and_damage_is_signalled(fault: Fault, kernel: str) -> None:
    for name, source, block_size, wanted in ways(fault, kernel):
        found, error = read(source, fault, block_size)
        check(found, wanted, f"{name}, blocks of {block_size}: {error!r}")


def block_sizes(fault: Fault) -> tuple[int, ...]:
    return (fault.block_size or BIG,) if fault.heavy or fault.block_size else (64, BIG)


@each()
def test_events_are_the_same_rows(fault: Fault, kernel: str) -> None:
    for block_size in block_sizes(fault):
        rows: list[Row] = []
        error = None
        try:
            with trackparse.open_log(
                fault.data,
                dialect=fault.dialect,
                limits=fault.limits,
                block_size=block_size,
                on_error="skip",
            ) as log:
                rows.extend(
                    (*event[:7], None if event.payload is None else event.payload.text) for event in log.events()
                )
        except TrackparseError as exc:
            error = type(exc)
        assert error is fault.outcome.error
        assert rows == [row[:8] for row in fault.outcome.rows]


@each(lambda fault: fault.outcome.rejects and fault.outcome.rejects[0].reason != "truncated")
def test_the_first_bad_record_is_raised_behind_the_rows_before_it(fault: Fault, kernel: str) -> None:
    assert fault.outcome.rejects
    bad = fault.outcome.rejects[0]
    for block_size in block_sizes(fault):
        rows: list[Row] = []
        with trackparse.open_log(
            fault.data,
            dialect=fault.dialect,
            limits=fault.limits,
            block_size=block_size,
        ) as log:
            with pytest.raises(trackparse.RecordError) as caught:
                drain(log, rows)
            assert rows == list(fault.outcome.rows[: bad.before])
            position = caught.value.position
            assert (position.line, position.byte_offset) == (bad.line, bad.offset)
            assert (caught.value.reason, caught.value.raw) == (bad.reason, bad.raw)
            assert f"line {bad.line} " in str(caught.value)


# Long runs


# A hundred thousand rows for the first kind; for the others, enough for several blocks.
ROWS = {kind: (20_000 if number else 100_000) // SLOW for number, kind in enumerate(KINDS)}


def table_of(rows: list[Row]) -> pa.Table:
    types = [pa.timestamp("us"), *[pa.string()] * 7]
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, types, strict=True)], names=NAMES)


@pytest.mark.parametrize("kind", ROWS)
def test_one_bad_row_costs_none_of_a_hundred_thousand(kind: str) -> None:
    data, rows, bad = run(kind, ROWS[kind])
    expected = table_of(rows)
    zipped = zips.archive(zips.Member(data))
    for source in (data, zipped, random_chunks(zipped)):
        with trackparse.open_log(source, on_error="quarantine") as log:
            assert log.read_all().equals(expected)
            [reject] = log.rejects.to_pylist()
            assert (reject["reason"], reject["line"]) == (bad.reason, bad.line)
            assert (reject["byte_offset"], reject["raw"]) == (bad.offset, bad.raw)
    with trackparse.open_log(zipped) as log:
        got: list[pa.RecordBatch] = []
        with pytest.raises(trackparse.RecordError, match=f"line {bad.line} ") as caught:
            got.extend(log)
        assert pa.Table.from_batches(got, log.schema).equals(expected.slice(0, bad.before))
        assert caught.value.reason == bad.reason
    events = trackparse.iter_events(zipped, on_error="skip")
    assert [(event.timestamp, event.tracking_code, event.description) for event in events] == [
        (row[0], row[1], row[5]) for row in rows
    ]


def long_payload(mebibytes: int) -> Iterator[bytes]:
    """A log with a payload of so many mebibytes, gzipped at a ratio beyond 228."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    log = Log().good(row(1))
    yield packer.compress(log.data + record(row(2, payload="@ ")).partition(b"@ ")[0] + b'{""a"":""')
    for _ in range(mebibytes):
        yield packer.compress(b"0123456789abcdef" * (1 << 16))
    yield packer.compress(b'""}"\n' + record(row(3)))
    yield packer.flush()


def test_a_payload_of_64_mebibytes_is_a_payload() -> None:
    chunks = list(long_payload(64))
    assert (64 << 20) / sum(map(len, chunks)) > 228
    table = trackparse.read_log(chunks, limits=trackparse.Limits(max_record_bytes=128 << 20))
    assert table.num_rows == 3
    payload = table["payload"][1].as_py()
    assert payload == '{"a":"' + "0123456789abcdef" * (64 << 16) + '"}'
    assert table["timestamp"].to_pylist() == [row(i)[0] for i in (1, 2, 3)]


# Every byte, every bit


def five_logs() -> Iterator[Log]:
    """Both dialects in both generations, and one without quotes."""
    payloads = (None, '{"a":"b"}', '{"a":"say \\"all\\" of it"}', '{"x":1,"y":";\\n"}', '{"p":"C:\\\\"}', "{}")
    for writer in (fputcsv, rfc4180):
        yield Log(writer=writer).good(
            *(row(i, payload=text, description="a b" if i % 2 else "Success") for i, text in enumerate(payloads))
        )
        yield Log(NAMES6, writer=writer).good(*(row6(i, description='an "x"' if i % 2 else "") for i in range(6)))
    yield Log(writer=rfc4180).good(*(row(i, payload="{}") for i in range(6)))


WRONG = (b"", b'"', b'""', b";", b"\n", b"\\", b"\r", b"\xff", b"\0", b"x")


def test_one_wrong_byte_costs_no_more_than_the_records_it_touches() -> None:
    number = 0
    for log in five_logs():
        data, good, ends = log.data, log.outcome().rows, log.ends
        for at in range(log.start, len(data), 7 * SLOW):
            first = sum(end <= at for end in ends)
            past = first + (2 if data[at : at + 1] == b"\n" else 1)  # its line end joins it to the next one
            number += 1
            wrong = WRONG[number % len(WRONG)]
            for harmed in (data[:at] + wrong + data[at + 1 :], data[:at] + wrong + data[at:]):
                found, error = read(harmed, Fault("", b"", log.outcome()), BIG)
                assert error is None
                assert found.rows[:first] == good[:first], harmed
                assert found.rows[len(found.rows) - len(good) + past :] == good[past:], harmed
                assert len(found.rows) <= len(good) + 1


def test_a_zip_cut_anywhere_gives_every_record_that_was_there() -> None:
    for descriptor in ("", "signed 32"):
        whole = zips.archive(zips.Member(archives.DATA, descriptor=descriptor))
        for end in range(archives.HEAD + 1, len(whole) - 1, 2):
            packed = whole[archives.HEAD : min(end, archives.HEAD + len(archives.PACKED))]
            wanted = archives.LOG.cut(len(zips.inflate_prefix(packed)))
            fault = Fault(f"cut at {end}", whole[:end], wanted)
            for source in (fault.data, [fault.data]):
                found, error = read(source, fault, 4096)
                check(found, wanted, f"cut at {end}: {error!r}")


def test_a_flipped_bit_is_never_silent() -> None:
    log = Log().good(*(row(i) for i in range(4)))
    for descriptor in ("", "signed 32"):
        whole = zips.archive(zips.Member(log.data, descriptor=descriptor))
        for at in range(0, len(whole) * 8, 3):
            flipped = bytearray(whole)
            flipped[at // 8] ^= 1 << at % 8
            for source in (bytes(flipped), [bytes(flipped)]):
                found, error = read(source, Fault("", b"", log.outcome()), 4096)
                # Where nothing is said, all came: a date, a version and a name have no checksum, and matter to no row.
                assert error or found == log.outcome(), at


def test_the_page_counts_the_cases() -> None:
    page = (Path(__file__).parent.parent / "docs" / "faults.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", page, re.M))
    assert {name: int(count) for name, count in listed.items()} == COUNTS
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    assert f"{sum(COUNTS.values())} damaged, odd and hostile logs" in readme
    assert len({fault.name for fault in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("an archive in an archive", "unpack it first"),
        ("gzip in an archive", "unpack it first"),
        ("xz", "unpack it first"),
        ("UTF-16 with its mark", "convert it to UTF-8"),
        ("UTF-16 without a mark", "convert it to UTF-8"),
        ("an answer of the service", "download the file that it names"),
        ("a web page", "ask for the log again"),
        ("a Parquet file", "it is Parquet"),
        ("nothing but NUL bytes", "fetch it again"),
        ("a header with commas", "export it again with ';'"),
        ("a header with tabs", "export it again with ';'"),
    ],
)
def test_what_is_no_log_is_told_apart(name: str, advice: str) -> None:
    [fault] = [fault for fault in CASES if fault.name == name]
    with pytest.raises(trackparse.HeaderError, match=advice):
        trackparse.read_log(fault.data)
