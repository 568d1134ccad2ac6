"""Every case of the table, on every kernel, from every kind of source, with blocks of every size."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from typing import Any

import pytest

import trackparse
from corpus.cases import CASES, Case
from support.archives import Unseekable, python_zip, random_chunks
from support.kernels import KERNELS
from support.logs import NAMES, Row, drain, placed
from trackparse.errors import TrackparseError

BIG = 1 << 20

# The instruction sets are compared in test_kernels, too: here the reference and the best one do.
each_kernel = pytest.mark.parametrize("kernel", KERNELS[:2], indirect=True)


def cut(data: bytes, seed: int) -> Iterator[bytes]:
    """The data in short pieces, some of them empty."""
    dice = random.Random(seed)
    at = 0
    while at < len(data):
        size = dice.choice([0, 1, 2, 5, 11, 40, 90])
        yield data[at : at + size]
        at += size


def sources(data: bytes, kernel: str) -> Iterator[tuple[str, Any, int]]:
    """What the log is read from, and the size of the blocks."""
    if kernel not in KERNELS[:2]:
        # The scan is compared elsewhere: these are for what stands between the kernel and the rows.
        for size in (64, BIG):
            yield "bytes", data, size
        return
    for size in (7, 64, BIG):
        yield "bytes", data, size
        yield "at random", cut(data, size), size
    yield "bytewise", (data[i : i + 1] for i in range(len(data))), BIG
    yield "bytewise", (data[i : i + 1] for i in range(len(data))), 7
    if kernel != KERNELS[:2][-1]:
        # Sources and archives know nothing of kernels.
        return
    zipped = python_zip({"log.csv": data})
    yield "pipe", Unseekable(data, 13), 64
    yield "zip", zipped, 64
    yield "zip, streamed", Unseekable(python_zip({"log.csv": data}, streamed=True), 9), 7
    yield "zip, cut", random_chunks(zipped), BIG
    yield "gzip", gzip.compress(data), 64


def read(case: Case, source: Any, block_size: int, **options: Any) -> dict[str, Any]:
    """All that comes out of a case."""
    rows: list[Row] = []
    found: dict[str, Any] = {"rows": rows, "rejects": [], "blank_lines": 0, "error": None}
    try:
        with trackparse.open_log(
            source,
            dialect=case.dialect,
            limits=case.limits,
            block_size=block_size,
            on_error="quarantine",
            **options,
        ) as log:
            found["names"] = tuple(log.schema.names)
            try:
                drain(log, rows)
            finally:
                found["rejects"] = [
                    (bad["reason"], bad["line"], bad["byte_offset"], bad["raw"]) for bad in log.rejects.to_pylist()
                ]
                found["blank_lines"] = log.stats.blank_lines
                assert log.stats.records == len(rows)
                assert log.stats.rejected == len(found["rejects"])
                assert log.stats.bytes_in_rejects == sum(len(raw) for *_, raw in found["rejects"])
            assert placed(log.stats) == log.stats.bytes_inflated
    except TrackparseError as error:
        found["error"] = error
    return found


def check(case: Case, found: dict[str, Any], what: str) -> None:
    assert isinstance(found["error"], case.error or type(None)), (what, found["error"])
    assert found["rows"] == list(case.rows), what
    assert found["rejects"] == list(case.rejects), what
    if case.error is None:
        assert found["blank_lines"] == case.blank_lines, what
        assert found["names"] == (*NAMES, *case.extra), what


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_reads_the_same_from_every_source(case: Case, kernel: str) -> None:
    for name, source, block_size in sources(case.data, kernel):
        check(case, read(case, source, block_size), f"{name}, blocks of {block_size}")


@each_kernel
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_reads_the_same_as_string_views_and_dictionaries(case: Case, kernel: str) -> None:
    for block_size in (7, BIG):
        check(case, read(case, case.data, block_size, string_type="string_view"), f"views, {block_size}")
        if case.error is None:
            dictionary = (*NAMES[1:], *case.extra)
            check(case, read(case, case.data, block_size, dictionary=dictionary), f"dictionaries, {block_size}")


@each_kernel
@pytest.mark.parametrize("case", [case for case in CASES if case.error is None], ids=str)
def test_a_case_gives_the_same_events(case: Case, kernel: str) -> None:
    for block_size in (7, 64, BIG):
        events = trackparse.iter_events(
            case.data,
            dialect=case.dialect,
            limits=case.limits,
            block_size=block_size,
            on_error="skip",
        )
        rows = [(*event[:7], None if event.payload is None else event.payload.text) for event in events]
        assert rows == [row[:8] for row in case.rows]


@each_kernel
@pytest.mark.parametrize("case", [case for case in CASES if case.rejects], ids=str)
def test_the_first_bad_record_is_raised_after_all_before_it(case: Case, kernel: str) -> None:
    reason, line, byte_offset, _ = case.rejects[0]
    for block_size in (7, BIG):
        rows: list[Row] = []
        with trackparse.open_log(
            case.data,
            dialect=case.dialect,
            limits=case.limits,
            block_size=block_size,
        ) as log:
            with pytest.raises(trackparse.RecordError) as caught:
                drain(log, rows)
            with pytest.raises(trackparse.RecordError):  # not an end, the second time
                next(log)
        assert rows == list(case.rows[: len(rows)])
        position = caught.value.position
        assert (caught.value.reason, position.line, position.byte_offset, caught.value.raw) == case.rejects[0]
        assert position.record == len(rows)
        for part in (str(line), str(byte_offset), reason, "record"):
            assert part in str(caught.value)


def test_every_case_has_its_own_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
