"""20,000 records written by PHP, in each dialect, and not one read wrong; nobody says which dialect it is."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import trackparse
from support.logs import NAMES
from support.php_logs import php_log, php_zip, requires_php

ROWS = 20_000

pytestmark = requires_php
dialects = pytest.mark.parametrize("escape", [True, False], ids=["php", "rfc4180"])


def truth_of(rows: Any) -> list[tuple[Any, ...]]:
    return [(datetime.fromisoformat(row[0]), *row[1:7], row[7] or None) for row in rows]


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    assert tuple(table.schema.names) == NAMES
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@dialects
def test_events_are_what_php_was_given(escape: bool) -> None:
    data, truth = php_log(ROWS, escape)
    events = [
        (*event[:7], None if event.payload is None else event.payload.text) for event in trackparse.iter_events(data)
    ]
    assert len(events) == ROWS
    assert events == truth_of(truth)


@dialects
@pytest.mark.parametrize("string_type", ["string", "string_view"])
def test_columns_are_what_php_was_given(escape: bool, string_type: Any) -> None:
    data, truth = php_log(ROWS, escape)
    assert rows_of(trackparse.read_log(data, string_type=string_type, block_size=1 << 16)) == truth_of(truth)


@dialects
def test_the_parquet_file_is_what_php_was_given(escape: bool, tmp_path: Path) -> None:
    data, truth = php_log(ROWS, escape)
    report = trackparse.convert_log(php_zip(data), tmp_path / "log.parquet")
    assert (report.records, report.rejected) == (ROWS, 0)
    table = pq.read_table(tmp_path / "log.parquet")
    assert rows_of(table) == truth_of(truth)


def test_logs_of_both_dialects_joined() -> None:
    expected = []
    data = b""
    for seed in range(4):
        log, truth = php_log(300, seed % 2 == 0, seed)
        data += log
        expected += truth_of(truth)
    assert rows_of(trackparse.read_log(data)) == expected


def test_other_seeds_in_small_blocks() -> None:
    for seed in (11, 12, 13):
        for escape in (True, False):
            log, truth = php_log(500, escape, seed)
            assert rows_of(trackparse.read_log(log, block_size=997)) == truth_of(truth)
