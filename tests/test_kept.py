"""What a consumer keeps stays as it was, however it is kept: a buffer that somebody has is never used again."""

from __future__ import annotations

import gc
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trackparse
from support.archives import python_zip
from support.kernels import SLOW
from support.logs import H8

# A column of a block has to be large enough to be worth recycling.
BLOCK = 1 << 18
ROWS = 6000 // SLOW


def record(i: int) -> bytes:
    dice = random.Random(i)
    alert = f'{i} said ""hello"" ' * dice.randrange(1, 12)
    device = f"{i:08x}" * 9
    return f'"2021-04-20 13:01:{i % 60:02}";T-{i};{device};"{device} ""q"" {i}";sent;{i % 7};A;"{alert}"\n'.encode()


LOG = H8 + b"".join(map(record, range(ROWS)))
ZIP = python_zip({"log.csv": LOG})
ROW = [tuple(row.values()) for row in trackparse.read_log(LOG).to_pylist()]
assert [row[1] for row in ROW] == [f"T-{i}" for i in range(ROWS)]
assert ROW[0][3] == f'{"0" * 72} "q" 0'

# A way to keep a batch of the rows from ``start`` on: something that tells later whether they are what they were.
Check = Callable[[], bool]


def same(made: Any, rows: list[Any]) -> Check:
    return lambda: [tuple(row.values()) for row in made.to_pylist()] == rows


def keep_batch(batch: pa.RecordBatch, rows: list[Any], dice: random.Random) -> Check:
    return same(batch, rows)


def keep_slice(batch: pa.RecordBatch, rows: list[Any], dice: random.Random) -> Check:
    start = dice.randrange(batch.num_rows)
    return same(batch.slice(start, 5), rows[start : start + 5])


def keep_column(batch: pa.RecordBatch, rows: list[Any], dice: random.Random) -> Check:
    number = dice.randrange(batch.num_columns)
    column = batch.column(number)
    return lambda: column.to_pylist() == [row[number] for row in rows]


def keep_scalar(batch: pa.RecordBatch, rows: list[Any], dice: random.Random) -> Check:
    number, row = dice.randrange(1, batch.num_columns), dice.randrange(batch.num_rows)
    scalar = batch.column(number)[row]
    return lambda: scalar.as_py() == rows[row][number]


def keep_buffers(batch: pa.RecordBatch, rows: list[Any], dice: random.Random) -> Check:
    column = batch.column(dice.randrange(batch.num_columns))
    views = [np.frombuffer(buffer, np.uint8) for buffer in column.buffers() if buffer is not None and buffer.size]
    copies = [view.copy() for view in views]
    return lambda: all(np.array_equal(view, copy) for view, copy in zip(views, copies, strict=True))


def keep_moments(batch: pa.RecordBatch, rows: list[Any], dice: random.Random) -> Check:
    moments = batch.column(0).to_numpy(zero_copy_only=True)
    return lambda: moments.tolist() == np.array([row[0] for row in rows], "datetime64[us]").tolist()


def keep_export(batch: pa.RecordBatch, rows: list[Any], dice: random.Random) -> Check:
    # What another library holds that took it over the C interface.
    capsules = batch.__arrow_c_array__()
    return lambda: same(pa.record_batch(Exported(capsules)), rows)()


class Exported:
    """An export that is imported when somebody looks, once; then it is a batch like any other."""

    def __init__(self, capsules: tuple[object, object]) -> None:
        self._capsules = capsules

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self._capsules


def keep_table(batch: pa.RecordBatch, rows: list[Any], dice: random.Random) -> Check:
    return same(pa.Table.from_batches([batch, batch.slice(1)]), rows + rows[1:])


def drop(batch: pa.RecordBatch, rows: list[Any], dice: random.Random) -> Check:
    return lambda: True


KEEP = [keep_batch, keep_slice, keep_column, keep_scalar, keep_buffers, keep_moments, keep_export, keep_table]
# Most are dropped: what is free is what is taken again.
WAYS = st.lists(st.sampled_from([*KEEP, drop, drop, drop, drop]), min_size=1, max_size=8)
OPTIONS: list[dict[str, Any]] = [{}, {"string_type": "string_view"}, {"dictionary": ["status", "hwid"]}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@settings(max_examples=settings().max_examples // 20 + 1)
@given(ways=WAYS, seed=st.integers(0, 1000), source=st.sampled_from([LOG, ZIP]))
def test_nothing_kept_is_ever_changed(options: Any, ways: list[Any], seed: int, source: bytes) -> None:
    dice = random.Random(seed)
    checks: list[Check] = []
    at = 0
    with trackparse.open_log(source, block_size=BLOCK, **options) as log:
        for number, batch in enumerate(log):
            rows = ROW[at : at + batch.num_rows]
            checks.append(ways[number % len(ways)](batch, rows, dice))
            at += batch.num_rows
            del batch
            if dice.random() < 0.3:
                # What was kept may be let go of at any time.
                checks.pop(dice.randrange(len(checks)))
    del log
    gc.collect()
    assert at == ROWS
    for check in checks:
        assert check()


@pytest.mark.skipif(SLOW > 1, reason="the log is one block only, for the slow kernel")
def test_the_buffers_are_used_again_where_nobody_has_them() -> None:
    """Otherwise the tests here show nothing."""
    addresses = [b.column(2).buffers()[2].address for b in trackparse.open_log(LOG, block_size=BLOCK)]
    assert len(set(addresses)) < len(addresses)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_batches_may_be_read_on_other_threads(options: Any) -> None:
    """Each thread reads its batch while the next ones are built, and drops it when it is done."""
    room = threading.Semaphore(6)

    def check(batch: pa.RecordBatch, rows: list[Any]) -> bool:
        try:
            return all([tuple(row.values()) for row in batch.to_pylist()] == rows for _ in range(2))
        finally:
            room.release()

    with ThreadPoolExecutor(4) as pool:
        results = []
        for _ in range(3):
            at = 0
            with trackparse.open_log(ZIP, block_size=BLOCK, **options) as log:
                for batch in log:
                    room.acquire()
                    results.append(pool.submit(check, batch, ROW[at : at + batch.num_rows]))
                    at += batch.num_rows
        assert all(result.result() for result in results)


def test_events_and_payloads_outlive_their_log() -> None:
    events = list(trackparse.iter_events(ZIP, block_size=BLOCK))
    payloads = [event.payload for event in events if event.payload is not None]
    for _ in trackparse.open_log(ZIP, block_size=BLOCK):
        pass
    gc.collect()
    assert [(event.timestamp, *event[1:7]) for event in events] == [row[:7] for row in ROW]
    assert [payload.text for payload in payloads] == [row[7] for row in ROW]
    assert payloads[-1].raw == record(ROWS - 1).split(b";")[-1].rstrip()
