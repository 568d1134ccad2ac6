"""DuckDB takes a dataset as it is: it streams, it stops early, and it looks into payloads."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

import trackparse
from support.service import sample

duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed: make engines")

ROWS = 20_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("duckdb") / "2021-04-20.zip"
    path.write_bytes(sample(ROWS))
    return path


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("trackparse")]


def test_a_limit_stops_early_and_ends_the_thread(path: Path) -> None:
    inflated: list[int] = []
    ds = trackparse.dataset(
        path, block_size=10_000, progress=lambda progress: inflated.append(progress.stats.bytes_inflated)
    )
    with duckdb.connect() as connection:
        found = connection.sql("FROM ds LIMIT 5").fetchall()
        assert found == [tuple(row.values()) for row in ds.head(5).to_pylist()]
        assert max(inflated, default=0) < 200_000
        until = time.monotonic() + 5
        while threads() and time.monotonic() < until:
            time.sleep(0.01)
        assert not threads()
        assert connection.sql("SELECT count(*) FROM ds").fetchall() == [(ROWS,)]
        assert max(inflated) > 5_000_000


def test_a_query_of_a_relation_runs_again(path: Path) -> None:
    ds = trackparse.dataset(path, columns=["status"])
    counted = ds.to_table().group_by("status").aggregate([("status", "count")]).to_pylist()
    with duckdb.connect() as connection:
        relation = connection.sql("SELECT status, count(*) FROM ds GROUP BY status")
        for _ in range(2):
            assert dict(relation.fetchall()) == {row["status"]: row["status_count"] for row in counted}


def test_values_inside_payloads_are_those_of_payload_columns(path: Path) -> None:
    ds = trackparse.dataset(path, columns=["payload"])
    inside = trackparse.read_log(path, columns=["status"], payload_columns={"alert": "/aps/alert", "uid": "/md/uid"})
    with duckdb.connect() as connection:
        found = connection.sql("SELECT payload->>'$.aps.alert', payload->>'$.md.uid' FROM ds").fetchall()
    assert ds.count_rows() == len(found)
    assert found == list(zip(inside["alert"].to_pylist(), inside["uid"].to_pylist(), strict=True))
