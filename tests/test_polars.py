"""Logs as a lazy frame of Polars: the rows that it gives, and how little is read for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from polars.exceptions import ComputeError
from polars.testing import assert_frame_equal

import trackparse
from support.service import sample
from trackparse.columns.builder import ColumnBuilder
from trackparse.polars import scan_log

ROWS = 20_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("polars") / "2021-04-20.zip"
    path.write_bytes(sample(ROWS))
    return path


@pytest.fixture(scope="module")
def full(path: Path) -> pl.DataFrame:
    frame = pl.from_arrow(trackparse.read_log(path))
    assert isinstance(frame, pl.DataFrame)
    return frame


EXPRESSIONS = [
    pl.col("status") == "opened",
    pl.col("status").is_in(["sent", "failed"]) & (pl.col("hwid") > "F"),
    (pl.col("payload").str.contains("a", literal=True) & (pl.col("status") != "sent")) | (pl.col("hwid") == "x"),
    pl.col("timestamp") > datetime(2021, 4, 20, 13, 2),
    pl.col("payload").is_null(),
    pl.col("description").str.len_bytes() > 3,
    pl.col("hwid").is_first_distinct(),
    pl.when(pl.col("status") == "sent").then(None).otherwise(pl.col("hwid") > "A"),
    pl.lit(True),
    pl.lit(False),
    pl.col("status").cast(pl.Categorical) == "sent",
]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_a_filter_gives_the_rows_of_the_frame(expression: pl.Expr, path: Path, full: pl.DataFrame) -> None:
    assert_frame_equal(scan_log(path).filter(expression).collect(), full.filter(expression))
    narrow = scan_log(path).filter(expression).select("hwid", "timestamp")
    assert_frame_equal(narrow.collect(), full.filter(expression).select("hwid", "timestamp"))


@pytest.mark.parametrize(
    "query",
    [
        lambda frame: frame.head(5),
        lambda frame: frame.head(0),
        lambda frame: frame.tail(3),
        lambda frame: frame.slice(100, 7),
        lambda frame: frame.filter(pl.col("status") == "sent").head(7),
        lambda frame: frame.head(700).filter(pl.col("status") == "sent"),
        lambda frame: frame.select(pl.len()),
        lambda frame: frame.group_by("status").len().sort("status"),
        lambda frame: frame.join(frame.filter(pl.col("status") == "failed"), on="hwid").sort(pl.all()),
        lambda frame: frame.with_columns(day=pl.col("timestamp").dt.date()).select("day", "hwid"),
    ],
)
def test_a_query_gives_what_the_frame_gives(query: Callable[[Any], Any], path: Path, full: pl.DataFrame) -> None:
    for engine in ("in-memory", "streaming"):
        found = query(scan_log(path)).collect(engine=engine)
        assert_frame_equal(found, query(full.lazy()).collect(), check_row_order=engine == "in-memory")


def test_it_is_collected_again_and_again(path: Path, full: pl.DataFrame) -> None:
    frame = scan_log(path)
    for _ in range(3):
        assert_frame_equal(frame.collect(), full)


def test_several_logs_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.zip", "a.zip"):
        (tmp_path / name).write_bytes(sample(100))
    frame = scan_log(tmp_path, columns=["hwid", "log"]).collect()
    assert frame["log"].to_list() == [str(tmp_path / name) for name in ("a.zip", "b.zip") for _ in range(100)]
    found = scan_log(tmp_path, columns=["hwid", "log"]).filter(pl.col("log").str.ends_with("b.zip"))
    assert found.select("hwid").collect().height == 100
    logs = trackparse.dataset(tmp_path, columns=["hwid", "log"])
    assert_frame_equal(scan_log(logs).collect(), frame)


def test_a_filter_of_ours_and_one_of_polars_are_both_met(path: Path, full: pl.DataFrame) -> None:
    where = trackparse.Filter(statuses=["sent", "opened"])
    frame = scan_log(path, where=where)
    assert_frame_equal(frame.collect(), full.filter(pl.col("status").is_in(["sent", "opened"])))
    found = frame.filter(pl.col("hwid") > "8").select("tracking_code").collect()
    expected = full.filter(pl.col("status").is_in(["sent", "opened"]) & (pl.col("hwid") > "8"))
    assert_frame_equal(found, expected.select("tracking_code"))
    found = scan_log(path, where=trackparse.Filter()).filter(pl.col("hwid") > "8").collect()
    assert_frame_equal(found, full.filter(pl.col("hwid") > "8"))


INSIDE: Any = {"alert": "/aps/alert", "uid": ("/md/uid", pa.int64())}


def test_payload_columns_are_columns_of_the_frame(path: Path) -> None:
    full = pl.from_arrow(trackparse.read_log(path, payload_columns=INSIDE))
    assert isinstance(full, pl.DataFrame)
    frame = scan_log(path, payload_columns=INSIDE)
    assert_frame_equal(frame.collect(), full)
    for expression in (pl.col("uid") % 3 == 0, pl.col("alert").is_null() | (pl.col("status") == "sent")):
        assert_frame_equal(frame.filter(expression).collect(), full.filter(expression))
        found = frame.filter(expression).select("alert", "hwid").collect()
        assert_frame_equal(found, full.filter(expression).select("alert", "hwid"))
    assert_frame_equal(frame.select("uid").head(5).collect(), full.select("uid").head(5))
    taken = scan_log(path, columns=["hwid"], payload_columns={"status": "/aps/alert"})
    alert = full["alert"].drop_nulls()[0]
    assert taken.filter(pl.col("status") == alert).collect().height == full.filter(pl.col("alert") == alert).height


def test_columns_are_built_for_the_rows_that_stay_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: dict[str, int] = {}
    build = ColumnBuilder.build

    def counted(self: ColumnBuilder, segments: Any) -> Any:
        batch = build(self, segments)
        for name in batch.schema.names:
            built[name] = built.get(name, 0) + batch.num_rows
        return batch

    monkeypatch.setattr(ColumnBuilder, "build", counted)
    opened = scan_log(path).filter(pl.col("status") == "opened").select("hwid", "timestamp").collect()
    assert 0 < opened.height < ROWS / 20
    assert built["status"] == ROWS + opened.height
    assert built["hwid"] == built["timestamp"] == opened.height
    assert "payload" not in built


def test_a_limit_stops_the_read_early(path: Path) -> None:
    seen: list[int] = []
    frame = scan_log(path, block_size=10_000, progress=lambda progress: seen.append(progress.stats.bytes_inflated))
    assert frame.head(5).collect().height == 5
    assert max(seen, default=0) < 200_000


def test_what_goes_down_is_explained(path: Path) -> None:
    explained = scan_log(path).filter(pl.col("status") == "opened").select("hwid").explain()
    assert "PYTHON SCAN" in explained
    assert "PROJECT 2/8 COLUMNS" in explained
    assert re.search(r'SELECTION: .*col\("status"\).* == .*"opened"', explained)


def test_it_is_written_as_a_stream(path: Path, tmp_path: Path, full: pl.DataFrame) -> None:
    scan_log(path).sink_parquet(tmp_path / "log.parquet")
    assert_frame_equal(pl.read_parquet(tmp_path / "log.parquet"), full)


def test_errors_come_at_once_or_with_our_message(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scan_log(tmp_path / "nothing.zip")
    with pytest.raises(TypeError, match="unknown option"):
        scan_log(path, colums=["hwid"])  # type: ignore[call-arg]
    with pytest.raises(trackparse.OptionError, match=r"cast\(pl\.Categorical\)"):
        scan_log(path, dictionary=["status"])
    with pytest.raises(TypeError, match=r"trackparse\.dataset"):
        scan_log(trackparse.dataset(path), columns=["hwid"])
    cut = tmp_path / "cut.zip"
    cut.write_bytes(sample(ROWS)[:-50_000])
    with pytest.raises((trackparse.TruncatedError, ComputeError), match=r"cut\.zip"):
        scan_log(cut).collect()
