"""Datasets: the same records at each use, from however many logs, in memory that does not grow with them."""

from __future__ import annotations

import errno
import gc
import glob
import gzip
import logging
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pytest

import trackparse
from support.archives import python_zip
from support.cli import failed, good
from support.kernels import SLOW
from support.logs import H6, H8, line, line6
from trackparse.datasets import LogDataset
from trackparse.options import DatasetOptions, dataset_options
from trackparse.sources.listing import Log, matches_of
from trackparse.sources.source import Source, open_source
from trackparse.testing.sample import encode_row, sample_rows

ROWS = 600 // SLOW
DAYS = [H8 + b"".join(encode_row(fields) for fields in sample_rows(ROWS, seed=day)) for day in range(3)]
# An extra column, which stands behind the known ones.
H9 = H8[:-1] + b";region\n"


def line9(region: bytes = b"eu") -> bytes:
    return line()[:-1] + b";" + region + b"\n"


# Whatever may be wrong with the records of a log, or cost too much: its content, and the options with which it is read.
FAULTS: dict[str, tuple[bytes, Any]] = {
    "bad record": (H8 + line() + b"x\n", {}),
    "no log": (b"hello\n", {}),
    "empty": (b"", {}),
    "long record": (H8 + line(b'"' + b"x" * 5000), {"limits": trackparse.Limits(max_record_bytes=1000)}),
    "large": (H8 + line() * 100, {"limits": trackparse.Limits(max_inflated_bytes=1000)}),
    "rejects": (H8 + b"x\n" * 9, {"limits": trackparse.Limits(max_rejects_bytes=9), "on_error": "quarantine"}),
    "dictionary": (H8 + line(), {"limits": trackparse.Limits(max_dictionary_bytes=1), "dictionary": ["hwid"]}),
    "a column more": (H8 + line() + H9 + line9(), {}),
}


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, who may look into every folder."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """A folder with a log a day."""
    folder = tmp_path / "days"
    folder.mkdir()
    for number, data in enumerate(DAYS, 1):
        (folder / f"2021-04-0{number}.zip").write_bytes(python_zip({"tracking_log.csv": data}))
    return folder


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.startswith("trackparse"):
            thread.join(5)
            assert not thread.is_alive()
    if Path("/proc/self/fd").exists():
        links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink() and link.exists()]
        assert not [link for link in links if link.is_relative_to(tmp_path)]


def logs(folder: Path, **content: bytes) -> Path:
    for name, data in content.items():
        (folder / f"{name}.csv").write_bytes(data)
    return folder


class TestTheSameEachTime:
    def test_every_way_gives_all_records_again_and_again(self, days: Path) -> None:
        ds = trackparse.dataset(days)
        whole = pa.concat_tables([trackparse.read_log(path) for path in sorted(days.iterdir())])
        for _ in range(2):
            assert ds.to_table().equals(whole)
            assert pa.Table.from_batches(ds.to_batches()).equals(whole)
            assert ds.to_reader().read_all().equals(whole)
            assert ds.count_rows() == whole.num_rows == 3 * ROWS
            assert [event.hwid for event in ds.events()] == whole["hwid"].to_pylist()
            assert ds.head(ROWS + 7).equals(whole.slice(0, ROWS + 7))
            with ds.open() as log:
                assert log.read_all().equals(whole)
                assert log.stats.records == 3 * ROWS
                assert log.stats.bytes_read == log.stats.bytes_total == sum(p.stat().st_size for p in days.iterdir())

    def test_duckdb_asks_twice_and_joins_it_with_itself(self, days: Path) -> None:
        ds = trackparse.dataset(days, columns=["status", "hwid", "log"])
        assert ds.count_rows() == 3 * ROWS
        for _ in range(2):
            assert duckdb.execute("SELECT count(*) FROM ds").fetchall() == [(3 * ROWS,)]
        relation = duckdb.sql("SELECT log, count(*) AS n FROM ds GROUP BY log ORDER BY log")
        assert relation is not None
        assert str(relation) == str(relation)
        assert str(relation).count(f"│ {ROWS:5} │") == 3 or str(relation).count(str(ROWS)) == 3
        query = "SELECT count(*) FROM ds a JOIN (SELECT DISTINCT hwid FROM ds WHERE status = 'sent') b USING (hwid)"
        sent = {event.hwid for event in ds.events() if event.status == "sent"}
        assert duckdb.execute(query).fetchall() == [(sum(event.hwid in sent for event in ds.events()),)]

    def test_polars_joins_it_with_itself(self, days: Path) -> None:
        ds = trackparse.dataset(days, columns=["status", "log"])
        left, right = pl.DataFrame(ds).lazy(), pl.DataFrame(ds).lazy()
        counted = left.group_by("log").len().join(right.group_by("log").len(), on="log").collect()
        assert counted["len"].to_list() == counted["len_right"].to_list() == [ROWS] * 3

    def test_pandas_and_pyarrow_read_it_twice(self, days: Path, tmp_path: Path) -> None:
        ds = trackparse.dataset(days, columns=["status"])
        for number in range(2):
            assert isinstance(frame := ds.to_table().to_pandas(), pd.DataFrame)
            assert len(frame) == 3 * ROWS
            assert pa.table(ds).num_rows == 3 * ROWS
            pads.write_dataset(ds.to_reader(), tmp_path / str(number), format="parquet")
            assert pads.dataset(tmp_path / str(number)).count_rows() == ds.count_rows()

    def test_threads_scan_it_side_by_side(self, days: Path) -> None:
        ds = trackparse.dataset(days, block_size=5000)
        with ThreadPoolExecutor(4) as pool:
            tables = list(pool.map(lambda _: ds.to_table(), range(8)))
        assert all(table.equals(tables[0]) for table in tables)
        assert tables[0].num_rows == 3 * ROWS

    @pytest.mark.parametrize("used", [False, True])
    def test_a_worker_process_gets_the_same(self, used: bool, days: Path) -> None:
        where = trackparse.Filter(statuses=["sent"])
        ds = trackparse.dataset(f"{days}/*.zip", where=where, columns=["hwid", "log"], limits=trackparse.Limits())
        if used:
            assert ds.to_table().num_rows
        code = (
            "import pickle, sys; ds = pickle.load(sys.stdin.buffer); sys.stdout.write(repr(ds.to_table().to_pydict()))"
        )
        run = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(ds), capture_output=True, check=True)
        assert run.stdout.decode() == repr(ds.to_table().to_pydict())

    def test_bytes_are_a_log_too(self) -> None:
        ds = trackparse.dataset([DAYS[0], bytearray(DAYS[1])])
        assert ds.files == ["<bytes>", "<bytes>"]
        assert ds.count_rows() == ds.count_rows() == 2 * ROWS
        assert trackparse.dataset(DAYS[0]).head(1).num_rows == 1


class Counted:
    """A log that counts how often it is opened."""

    def __init__(self, data: bytes, name: str = "a.csv") -> None:
        self.opened = 0
        self.log = Log(name, self.open, len(data))
        self._data = data

    def open(self) -> Source:
        self.opened += 1
        return open_source(self._data)


def dataset_of(*counted: Counted, **options: Any) -> LogDataset:
    return LogDataset([one.log for one in counted], dataset_options(cast(DatasetOptions, options)))


def wait_for_the_thread(log: trackparse.LogReader) -> None:
    """Until the thread ahead has read the first log, of three blocks."""
    deadline = time.monotonic() + 20
    while not log._logs._aheads[0].ended and time.monotonic() < deadline:
        time.sleep(0.01)
    assert log._logs._aheads[0].ended


class TestOpening:
    def test_a_query_opens_each_log_once(self) -> None:
        one, two = Counted(DAYS[0]), Counted(DAYS[1], "b.csv")
        ds = dataset_of(one, two)
        assert ds.schema.names[0] == "timestamp"
        begun = one.opened, two.opened
        for _ in range(2):
            assert ds.schema == pa.schema(ds)
        assert (one.opened, two.opened) == begun
        for number in range(1, 3):
            assert duckdb.execute("SELECT count(*) FROM ds").fetchall() == [(2 * ROWS,)]
            assert (one.opened - begun[0], two.opened - begun[1]) == (number, number)

    def test_the_first_use_opens_it_once(self) -> None:
        one = Counted(DAYS[0])
        assert dataset_of(one).to_table().num_rows == ROWS
        assert one.opened == 1

    def test_known_columns_need_no_log_for_their_schema(self) -> None:
        one = Counted(b"not a log at all")
        ds = dataset_of(one, columns=("status", "timestamp", "log"), dictionary=("log",))
        assert ds.schema.names == ["status", "timestamp", "log"]
        assert ds.schema.types[1] == pa.timestamp("us")
        assert pa.schema(ds) == ds.schema
        assert not one.opened
        with pytest.raises(trackparse.HeaderError):
            ds.to_table()

    def test_the_schema_stays_that_of_the_first_time(self, tmp_path: Path) -> None:
        path = logs(tmp_path, a=H9 + line9()) / "a.csv"
        ds = trackparse.dataset(path)
        assert ds.to_table()["region"].to_pylist() == ["eu"]
        path.write_bytes(H8 + line())
        assert ds.to_table()["region"].to_pylist() == [None]
        assert pickle.loads(pickle.dumps(ds)).schema == ds.schema  # noqa: S301

    def test_the_next_log_is_begun_when_the_thread_ahead_has_nothing_left(self) -> None:
        one, two, three = Counted(DAYS[0]), Counted(DAYS[1], "b"), Counted(DAYS[2], "c")
        with dataset_of(one, two, three, block_size=len(DAYS[0]) // 3 + 1).open() as log:
            wait_for_the_thread(log)
            next(log)
            rest = next(log)
            assert log.stats.records < ROWS
            assert (two.opened, three.opened) == (1, 0)
            assert log.stats.records + log.read_all().num_rows == 3 * ROWS
            assert rest.num_rows

    def test_a_thread_that_cannot_be_started_early_is_started_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        start = threading.Thread.start
        tries: list[threading.Thread] = []

        def refuse_the_second(thread: threading.Thread) -> None:
            tries.append(thread)
            if len(tries) == 2:
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refuse_the_second)
        two = Counted(DAYS[1], "b")
        with dataset_of(Counted(DAYS[0]), two, block_size=len(DAYS[0]) // 3 + 1).open() as log:
            wait_for_the_thread(log)
            assert log.read_all().num_rows == 2 * ROWS
        assert len(tries) == 3
        assert two.opened == 2

    def test_one_that_is_gone_is_told_behind_the_records_before_it(self, days: Path) -> None:
        ds = trackparse.dataset(days)
        (days / "2021-04-02.zip").unlink()
        rows: list[int] = []
        with pytest.raises(FileNotFoundError, match=r"2021-04-02\.zip"):
            rows.extend(batch.num_rows for batch in ds.to_batches())
        assert sum(rows) == ROWS

    def test_a_dropped_one_leaves_nothing_open(self, days: Path) -> None:
        ds = trackparse.dataset(days, block_size=1000)
        held: list[Any] = [ds.to_batches(), ds.events(), ds.to_reader(), ds.open()]
        next(held[0])
        next(held[1])
        held[2].read_next_batch()
        held.clear()  # the fixture looks for threads and open files


class TestColumns:
    @pytest.mark.parametrize("kind", ["string", "string_view", "dictionary"])
    def test_log_is_the_name_of_the_log(self, kind: str, tmp_path: Path) -> None:
        names = ["a.csv", 'it "is".csv', 'a"', '"quoted".csv', "back\\slash;semi\r.csv", "ключ" * 9 + ".csv"]
        for name in names:
            (tmp_path / name).write_bytes(H6 + line6() * 3)
        options: dict[str, Any] = {"dictionary": ["log"]} if kind == "dictionary" else {"string_type": kind}
        ds = trackparse.dataset([tmp_path / name for name in names], columns=["log", "hwid"], **options)
        table = ds.to_table()
        table.validate(full=True)
        assert table.schema == ds.schema
        assert table["log"].to_pylist() == [
            name for name in sorted(str(tmp_path / name) for name in names) for _ in "abc"
        ]
        assert sorted(ds.files) == ds.files == list(dict.fromkeys(table["log"].to_pylist()))

    def test_log_of_a_name_that_is_not_text(self, tmp_path: Path) -> None:
        path = os.fsencode(tmp_path) + b"/\xff.csv"
        Path(os.fsdecode(path)).write_bytes(H6 + line6())
        ds = trackparse.dataset(tmp_path, columns=["log"])
        assert ds.to_table()["log"].to_pylist() == [f"{tmp_path}/\\udcff.csv"]

    def test_log_beside_a_filter_and_bad_records(self, tmp_path: Path) -> None:
        data = H6 + line6(b"1") + b"x\n" + line6(b"2", target=b"other") + line6(b"3")
        ds = trackparse.dataset(logs(tmp_path, a=data, b=data), columns=["description", "log"], on_error="skip")
        names = [f"{tmp_path}/{name}.csv" for name in "ab"]
        assert ds.to_table()["log"].to_pylist() == [name for name in names for _ in range(3)]
        where = trackparse.Filter(statuses=["created"])
        assert ds.to_table(where=where).to_pydict() == {
            "description": [*"123123"],
            "log": [n for n in names for _ in "123"],
        }

    def test_a_column_log_of_its_own(self, tmp_path: Path) -> None:
        header = H6[:-1] + b";log\n"
        ds = trackparse.dataset(logs(tmp_path, a=header + line6()[:-1] + b";mine\n"))
        assert ds.to_table()["log"].to_pylist() == ["mine"]
        with pytest.raises(trackparse.HeaderError, match=r"a\.csv: a column 'log' of its own.*columns="):
            ds.to_table(columns=["log"])

    def test_a_single_log_has_no_such_column(self) -> None:
        with pytest.raises(trackparse.OptionError, match="no column 'log'"):
            trackparse.read_log(DAYS[0], columns=["log"])

    def test_generations_give_one_schema(self, tmp_path: Path) -> None:
        ds = trackparse.dataset(logs(tmp_path, a=H6 + line6(), b=H8 + line(), c=line6()))
        assert ds.schema.names == H8[2:-1].decode().split(";")
        assert ds.to_table()["appCode"].to_pylist() == [None, "A-1", None]
        assert ds.to_table()["payload"].to_pylist() == [None, "{}", None]

    def test_a_column_that_only_the_first_log_has(self, tmp_path: Path) -> None:
        ds = trackparse.dataset(logs(tmp_path, a=H9 + line9(), b=H8 + line()))
        assert ds.to_table()["region"].to_pylist() == ["eu", None]

    def test_a_column_that_a_later_log_adds(self, tmp_path: Path) -> None:
        ds = trackparse.dataset(logs(tmp_path, a=H8 + line(), b=H9 + line9(), c=H8 + line()))
        rows: list[int] = []
        with pytest.raises(trackparse.HeaderError) as caught:
            rows.extend(batch.num_rows for batch in ds.to_batches())
        assert rows == [1]
        assert f"{tmp_path}/b.csv: column 'region' is not in the first header" in str(caught.value)
        assert "columns=" in str(caught.value)
        assert ds.count_rows() == 3
        assert sum(1 for _ in ds.events()) == 3
        assert ds.to_table(columns=["region", "status"])["region"].to_pylist() == [None, "eu", None]
        assert ds.to_table(columns=["region"], dictionary=["region"])["region"].to_pylist() == [None, "eu", None]

    def test_a_column_that_no_log_has(self, tmp_path: Path) -> None:
        ds = trackparse.dataset(logs(tmp_path, a=H8 + line(), b=H9 + line9()), columns=["regin"])
        message = "no column 'regin' in any of the 2 logs: did you mean 'region'"
        with pytest.raises(trackparse.OptionError, match=message):
            ds.to_reader()
        with pytest.raises(trackparse.OptionError, match=message):
            pa.schema(ds)

    def test_options_of_one_use_replace_those_of_the_dataset(self, days: Path) -> None:
        ds = trackparse.dataset(days, columns=["status"])
        failed = trackparse.Filter(statuses=["failed"])
        expected = sum(event.status == "failed" for event in ds.events())
        assert ds.to_table(where=failed).num_rows == ds.count_rows(where=failed) == expected
        assert ds.to_table(columns=["hwid"]).column_names == ["hwid"]
        assert ds.to_table().column_names == ["status"]
        with pytest.raises(TypeError, match="unknown option 'colums'"):
            ds.to_table(colums=["hwid"])  # type: ignore[call-arg]

    def test_filters_narrow_it_one_after_the_other(self, days: Path) -> None:
        logs = trackparse.dataset(days, columns=["status", "appCode"])
        table = logs.to_table()
        status, app = table["status"][0].as_py(), table["appCode"][0].as_py()
        expected = table.filter((pc.field("status") == status) & (pc.field("appCode") == app))
        assert 0 < expected.num_rows < table.filter(pc.field("status") == status).num_rows
        by_status, by_app = trackparse.Filter(statuses=[status]), trackparse.Filter(app_codes=[app])
        for narrowed in (
            logs.filter(by_status).filter(by_app),
            logs.filter(by_app).filter(trackparse.Filter()).filter(by_status),
            trackparse.dataset(days, columns=["status", "appCode"], where=by_status).filter(by_app),
        ):
            assert narrowed.to_table().equals(expected)
            assert narrowed.count_rows() == len([*narrowed.events()]) == expected.num_rows
            assert pl.DataFrame(narrowed).height == expected.num_rows
        assert logs.count_rows() == table.num_rows
        with pytest.raises(TypeError, match=r"not Expression; an expression of pyarrow filters batches: batch\.filter"):
            logs.filter(pc.field("status") == status)

    def test_head_reads_no_more_than_it_takes(self, days: Path) -> None:
        (days / "2021-04-09.csv").write_bytes(b"no log")
        ds = trackparse.dataset(days, block_size=5000)
        assert [ds.head(n).num_rows for n in (0, 1, 2 * ROWS)] == [0, 1, 2 * ROWS]
        assert ds.head(2, where=trackparse.Filter(statuses=["created"]))["status"].to_pylist() == ["created"] * 2
        with pytest.raises(trackparse.OptionError, match="num_rows=-1"):
            ds.head(-1)
        for wrong in ("5", 1.5, True, None):
            with pytest.raises(TypeError, match=r"num_rows=.*: expected a whole number of rows"):
                ds.head(wrong)  # type: ignore[arg-type]

    @pytest.mark.parametrize("options", [{"columns": "status"}, {"payload_columns": 5}, {"dictionary": 5}], ids=str)
    def test_counting_looks_at_options_that_do_not_matter_for_it(self, options: dict[str, Any]) -> None:
        with pytest.raises(TypeError, match=f"{next(iter(options))}=.*: expected"):
            trackparse.dataset(DAYS[0]).count_rows(**options)


# What is no log, or not all of one; the class of its error.
BAD: dict[str, tuple[bytes, type[Exception]]] = {
    "truncated": (python_zip({"log.csv": DAYS[0]})[:-3000], trackparse.TruncatedError),
    "empty": (b"", trackparse.HeaderError),
    "a web page": (b"<html>busy</html>", trackparse.HeaderError),
    "an empty ZIP": (python_zip({}), trackparse.ArchiveError),
}


class TestBadLogs:
    @pytest.mark.parametrize("kind", BAD)
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_it_is_raised_or_left_behind(
        self, place: int, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        data, error = BAD[kind]
        content = [DAYS[0], DAYS[1]]
        content.insert(place, data)
        logs(tmp_path, **dict(zip("abc", content, strict=True)))
        bad = f"{tmp_path}/{'abc'[place]}.csv"
        ds = trackparse.dataset(tmp_path, on_error="skip")
        hwids: list[str] = []
        with pytest.raises(error, match=bad):
            hwids.extend(event.hwid for event in ds.events())
        good = [trackparse.read_log(day)["hwid"].to_pylist() for day in DAYS[:2]]
        begun = [hwid for day in good[:place] for hwid in day]
        assert hwids[: len(begun)] == begun
        assert (len(hwids) > len(begun)) == (kind == "truncated")
        with caplog.at_level(logging.WARNING, logger="trackparse"), ds.open(on_damage="keep") as log:
            kept = log.read_all()["hwid"].to_pylist()
            assert [type(one) for one in log.damage] == [error]
        assert [record.message for record in caplog.records if bad in record.message]
        assert kept[: len(begun)] == begun
        assert kept[-ROWS:] == good[1] or place == 2
        assert len(kept) == 2 * ROWS or (kind == "truncated" and len(kept) > 2 * ROWS)

    def test_a_file_of_rejects_among_them_is_called_one(self, tmp_path: Path) -> None:
        data = H6 + line6() + b"x\n"
        options: Any = {"on_error": "quarantine", "rejects": tmp_path / "a.rejects.jsonl"}
        trackparse.convert_log(logs(tmp_path, a=data) / "a.csv", tmp_path / "a.parquet", **options)
        with pytest.raises(trackparse.HeaderError, match=r"a\.rejects\.jsonl: a file of rejects.*trackparse mend"):
            trackparse.dataset(f"{tmp_path}/*[vl]", on_error="skip").to_table()

    def test_nothing_but_bad_logs_is_an_error(self, tmp_path: Path) -> None:
        ds = trackparse.dataset(logs(tmp_path, a=b"", b=b"<html>"), on_damage="keep")
        for columns in (None, ["status"]):
            with pytest.raises(trackparse.HeaderError, match=r"a\.csv"):
                ds.to_table(columns=columns)

    @pytest.mark.parametrize("names", ["a", "ab"])
    def test_where_all_of_them_are_cut_their_records_are_kept(self, names: str, tmp_path: Path) -> None:
        cut, _ = BAD["truncated"]
        ds = trackparse.dataset(logs(tmp_path, **dict.fromkeys(names, cut)), on_damage="keep")
        with ds.open() as log:
            kept = log.read_all()["hwid"].to_pylist()
        assert len(log.damage) == len(names)
        good = trackparse.read_log(DAYS[0])["hwid"].to_pylist()
        one = kept[: len(kept) // len(names)]
        assert kept == one * len(names)
        assert one == good[: len(one)] != []

    def test_rejects_and_errors_name_log_and_member(self, days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(days.parent)  # rejects shorten long names
        bad = H8 + line() + b"x\n"
        for name in ("b", "c"):
            (days / f"{name}.zip").write_bytes(python_zip({"tracking_log.csv": bad}))
        (days / "d.csv").write_bytes(bad)
        (days / "e.csv.gz").write_bytes(gzip.compress(bad))
        ds = trackparse.dataset("days")
        named = [f"days/{name}.zip: member 'tracking_log.csv'" for name in "bc"] + ["days/d.csv", "days/e.csv.gz"]
        with pytest.raises(trackparse.RecordError) as caught:
            ds.to_table()
        assert caught.value.position.member == named[0]
        with ds.open(on_error="quarantine") as log:
            assert log.read_all().num_rows == 3 * ROWS + 4
            assert log.rejects["member"].to_pylist() == named
            assert log.rejects["line"].to_pylist() == [3] * 4
            assert log.stats.rejected == 4
            mended = [{**row, "raw": line(b"{}")} for row in log.rejects.to_pylist()]
        assert trackparse.read_log(trackparse.mended_log(mended)).num_rows == 4

    @pytest.mark.parametrize("form", ["zip", "csv", "gz"])
    @pytest.mark.parametrize("fault", FAULTS)
    def test_the_same_error_is_told_of_a_log_alone_and_of_one_among_others(
        self, fault: str, form: str, tmp_path: Path
    ) -> None:
        content, options = FAULTS[fault]
        path = tmp_path / f"day.{form}"
        forms = {"zip": lambda data: python_zip({"tracking.csv": data}), "csv": bytes, "gz": gzip.compress}
        path.write_bytes(forms[form](content))
        (tmp_path / "later.csv").write_bytes(H8 + line())
        reads: list[Callable[[], object]] = [
            lambda: trackparse.read_log(path, **options),
            lambda: trackparse.dataset(path, **options).to_table(),
            lambda: trackparse.dataset([path, tmp_path / "later.csv"], **options).to_table(),
        ]
        told: list[str] = []
        for read in reads:
            with pytest.raises(trackparse.TrackparseError) as caught:
                read()
            told.append(str(caught.value))
        assert told[0] == told[1] == told[2]
        assert told[0].startswith(f"{path}: member 'tracking.csv': " if form == "zip" else f"{path}: ")

    def test_limits_are_for_each_log(self, tmp_path: Path) -> None:
        logs(tmp_path, a=DAYS[0], b=DAYS[0])
        limits = trackparse.Limits(max_inflated_bytes=len(DAYS[0]))
        ds = trackparse.dataset(tmp_path, limits=limits)
        assert ds.count_rows() == 2 * ROWS
        logs(tmp_path, b=DAYS[0] + line())
        with pytest.raises(trackparse.LimitError, match=r"b\.csv"):
            ds.to_table(on_damage="keep")

    def test_a_stream_keeps_the_text_of_the_error(self, tmp_path: Path) -> None:
        ds = trackparse.dataset(logs(tmp_path, a=H8 + line(), b=b"<html>"))
        assert ds.schema.names
        with pytest.raises(duckdb.Error, match=r"b\.csv: .*a web page"):
            duckdb.execute("SELECT count(*) FROM ds").fetchall()


class TestSources:
    @pytest.fixture
    def tree(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        for name in (
            *("b.zip", "a.CSV", "c.csv.gz", "sub/d.zip", "sub/deep/e.csv"),  # logs
            *(".hidden.zip", "_left.zip", "~$a.csv", ".git/x.zip", "_tmp/x.zip"),
            *("a.parquet", "a.rejects.jsonl", "notes.txt", "b.zip.tmp", ".b.12-0123abcd.trackparse.tmp", "noise.gz"),
        ):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(H6 + line6())
        (tmp_path / "empty.zip").mkdir()
        return tmp_path

    def test_a_link_that_leads_nowhere_is_an_error_and_no_log_less(self, tree: Path) -> None:
        (tree / "lost.zip").symlink_to(tree / "elsewhere.zip")
        for source in (tree, tree / "*.zip"):
            with pytest.raises(FileNotFoundError, match=r"lost\.zip"):
                trackparse.dataset(source)

    def test_a_directory_is_the_logs_in_it(self, tree: Path) -> None:
        expected = ["a.CSV", "b.zip", "c.csv.gz", "sub/d.zip", "sub/deep/e.csv"]
        assert trackparse.dataset(".").files == expected
        assert trackparse.dataset(tree).files == [str(tree / name) for name in expected]
        assert trackparse.dataset([Path("sub/deep"), "sub/"]).files == expected[3:]
        assert trackparse.dataset(".").count_rows() == 5

    @pytest.mark.parametrize(
        ("sources", "files"),
        [
            ("b.zip", ["b.zip"]),
            (Path("b.zip"), ["b.zip"]),
            ("*.zip", ["_left.zip", "b.zip"]),
            ("**/*.zip", ["_left.zip", "_tmp/x.zip", "b.zip", "sub/d.zip"]),
            ("n*", ["noise.gz", "notes.txt"]),
            (["sub/d.zip", "b.zip", "./b.zip", "b.*"], ["b.zip", "b.zip.tmp", "sub/d.zip"]),
            (("b.zip",), ["b.zip"]),
            (iter(["notes.txt", Path("b.zip")]), ["b.zip", "notes.txt"]),
        ],
        ids=lambda given: None if isinstance(given, Iterator) else str(given),
    )
    def test_paths_globs_and_lists(self, sources: Any, files: list[str], tree: Path) -> None:
        assert trackparse.dataset(sources).files == files

    def test_a_name_that_looks_like_a_glob(self, tree: Path) -> None:
        (tree / "day[1].csv").write_bytes(H6 + line6())
        assert trackparse.dataset("day[1].csv").files == ["day[1].csv"]

    def test_a_file_with_two_names_is_read_once(self, tree: Path) -> None:
        (tree / "latest.zip").symlink_to("b.zip")
        assert trackparse.dataset(["latest.zip", "b.zip"]).files == ["b.zip"]
        assert trackparse.dataset("latest.zip").files == ["latest.zip"]
        (tree / "sub" / "hard.zip").hardlink_to(tree / "b.zip")
        for filesystem in (None, pafs.LocalFileSystem()):
            files = trackparse.dataset(["sub/hard.zip", "b.zip"], filesystem=filesystem).files
            assert files == ["b.zip"]

    @pytest.mark.parametrize(
        ("sources", "error", "message"),
        [
            ("gone.zip", FileNotFoundError, "gone.zip"),
            ("", FileNotFoundError, "no name"),
            ("gone/*.zip", FileNotFoundError, "no file matches this pattern: 'gone/\\*.zip'"),
            ("empty*", FileNotFoundError, "only folders match this pattern"),
            (
                "empty.zip",
                FileNotFoundError,
                r"no log in this directory \(\*\.zip, \*\.csv, \*\.csv\.gz\): 'empty.zip'",
            ),
            ([], trackparse.OptionError, "no sources: name at least one log"),
            (["b.zip", "gone.zip"], FileNotFoundError, "gone.zip"),
            ("ftp://bucket/days/", trackparse.OptionError, "unknown scheme 'ftp'"),
            ("pipe", trackparse.OptionError, "pipe can be read only once.*open_log"),
            (5, TypeError, "a source of a dataset is a path.*not int"),
            ([5], TypeError, "a source of a dataset is a path.*not int"),
            ({"b.zip": 1}, TypeError, "not dict"),
            (None, TypeError, "not NoneType"),
            ([["b.zip"]], TypeError, "not list"),
        ],
        ids=str,
    )
    def test_what_is_no_source_is_told(self, sources: Any, error: type[Exception], message: str, tree: Path) -> None:
        os.mkfifo(tree / "pipe")
        with pytest.raises(error, match=message):
            trackparse.dataset(sources)

    def test_a_file_object_can_be_read_only_once(self, tree: Path) -> None:
        with (tree / "b.zip").open("rb") as file:
            for source in (file, [file]):
                with pytest.raises(TypeError, match=r"BufferedReader can be read only once.*open_log"):
                    trackparse.dataset(source)  # type: ignore[arg-type]

    def test_an_open_log_is_no_source_and_stays_as_it_was(self, tree: Path) -> None:
        with trackparse.open_log(tree / "b.zip") as log:
            for source in (log, [log]):
                with pytest.raises(TypeError, match=r"LogReader can be read only once.*paths or bytes"):
                    trackparse.dataset(source)  # type: ignore[arg-type]
            assert log.read_all() == trackparse.read_log(tree / "b.zip")

    def test_a_folder_that_cannot_be_read_is_an_error(self, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        scandir = os.scandir

        def refuse(path: Any) -> Any:
            if os.fspath(path).endswith("sub"):
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)
        with pytest.raises(PermissionError, match="sub"):
            trackparse.dataset(tree)

    @pytest.mark.parametrize(
        ("pattern", "files"),
        [("*/*.zip", ["_tmp/x.zip"]), ("**/*.zip", ["_left.zip", "_tmp/x.zip", "b.zip"]), ("*/x.zip", ["_tmp/x.zip"])],
    )
    def test_a_glob_tells_of_folders_that_cannot_be_looked_into(
        self,
        pattern: str,
        files: list[str],
        tree: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        scandir, lstat = os.scandir, os.lstat

        def refuse(path: Any, what: Any) -> Any:
            if not isinstance(path, int) and "sub" in os.fspath(path):
                raise PermissionError(13, "Permission denied", path)
            return what(path)

        with monkeypatch.context() as patched:
            patched.setattr(os, "scandir", partial(refuse, what=scandir))
            if pattern == "*/x.zip":
                patched.setattr(os, "lstat", lambda path, **more: refuse(path, partial(lstat, **more)))
            assert trackparse.dataset(pattern).files == files
            [told] = caplog.messages
            assert told == f"{pattern}: logs may be missing: nobody may look into the folder sub: Permission denied"
            # Where nothing else matches, nobody knows whether anything does.
            with pytest.raises(PermissionError, match="sub"):
                trackparse.dataset("sub/d*")
        caplog.clear()
        assert "sub/d.zip" in trackparse.dataset("*/*.zip").files
        assert not caplog.messages

    @pytest.mark.parametrize(
        ("pattern", "told"),
        [
            ("q/**/*.zip", "q/closed/deep"),
            ("q/**/deep/*.zip", "q/closed/deep"),
            ("q/**/deep/y.zip", "q/closed/deep"),
            ("q/*/*/*.zip", "q/closed/deep"),
            ("q/*/deep/y.zip", "q/closed"),
            ("q/**", "q/closed/deep"),
            ("q/**/*", "q/closed/deep"),
        ],
    )
    def test_a_glob_tells_of_folders_that_may_be_listed_and_no_more(
        self, pattern: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.chdir(tmp_path)
        tmp_path.chmod(0o755)
        for name in ("q/open/deep/y.zip", "q/closed/deep/y.zip"):
            Path(name).parent.mkdir(parents=True)
            Path(name).write_bytes(H6 + line6())
        assert trackparse.dataset(pattern).files == ["q/closed/deep/y.zip", "q/open/deep/y.zip"]
        assert not caplog.messages
        Path("q/closed").chmod(0o444)
        try:
            with as_nobody():
                assert trackparse.dataset(pattern).files == ["q/open/deep/y.zip"]
        finally:
            Path("q/closed").chmod(0o755)
        assert f"{pattern}: logs may be missing: nobody may look into the folder {told}" in caplog.text
        assert "Permission denied" in caplog.text

    @pytest.mark.parametrize("pattern", ["q/**/*.zip", "q/*/**/*.zip"])
    @pytest.mark.parametrize("code", [errno.EACCES, errno.EINVAL, errno.ENOENT])
    def test_a_glob_passes_over_a_link_that_nobody_may_follow(
        self,
        pattern: str,
        code: int,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("q/open/y.zip", "elsewhere/x.zip", "shut/z.zip"):
            Path(name).parent.mkdir(parents=True)
            Path(name).write_bytes(H6 + line6())
        for name, target in {"linked": "../elsewhere", "a": "../shut"}.items():
            Path("q", name).symlink_to(target)

        def refuse(path: Any, realpath: Any = os.path.realpath, **more: Any) -> Any:
            if os.fspath(path) == "q/a":
                raise OSError(code, os.strerror(code), path)
            return realpath(path, **more)

        monkeypatch.setattr(os.path, "realpath", refuse)
        assert trackparse.dataset(pattern).files == ["q/linked/x.zip", "q/open/y.zip"]
        if code == errno.ENOENT:
            assert not caplog.messages  # it is gone
        else:
            [told] = caplog.messages
            why = f"nobody may look into the folder q/a: {os.strerror(code)}"
            assert told == f"{pattern}: logs may be missing: {why}"

    @pytest.mark.parametrize("pattern", ["q/**/**/*.zip", "q/**//**/*.zip", "q/**/e/**/*.zip", "q/**/e*/**/*.zip"])
    def test_a_glob_looks_at_each_of_many_nested_folders_a_few_times(
        self, pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        depth = 50
        deepest = Path("q", *"e" * depth)
        deepest.mkdir(parents=True)
        (deepest / "y.zip").write_bytes(H6 + line6())
        looked_at: list[Any] = []

        def count(path: Any, what: Any, **more: Any) -> Any:
            looked_at.append(path)
            return what(path, **more)

        for name in ("lstat", "scandir"):
            monkeypatch.setattr(os, name, partial(count, what=getattr(os, name)))
        assert [*map(itemgetter(0), matches_of(pattern))] == [str(deepest / "y.zip")]
        assert len(looked_at) < 6 * depth

    @pytest.mark.parametrize("pattern", ["q/**/*.zip", "q/**/[x-z].zip", "q/**/**/*.zip", "q/**", "**/*.zip"])
    def test_links_to_folders_above_them_do_not_make_a_glob_endless(
        self, pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("q/x.zip", "q/sub/y.zip", "elsewhere/z.zip"):
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_bytes(H6 + line6())
        for name, target in {"a": ".", "b": ".", "sub/up": "..", "c": "../elsewhere", "d": "../elsewhere"}.items():
            Path("q", name).symlink_to(target)
        listed = []

        def count(path: Any, scandir: Any = os.scandir) -> Any:
            listed.append(path)
            assert len(listed) < 100
            return scandir(path)

        monkeypatch.setattr(os, "scandir", count)
        away = "elsewhere/z.zip" if pattern.startswith("**") else "q/c/z.zip"
        assert trackparse.dataset(pattern).files == sorted([away, "q/sub/y.zip", "q/x.zip"])

    @pytest.mark.parametrize(
        "pattern",
        [
            *("**/*.zip", "**", "**/", "*/", "**/*", "**/**", "**//**/", "*/**", "**/deep/*", "**/sub/**/e*", "sub/**"),
            *(
                "./**/*.zip",
                ".*",
                ".*/*.zip",
                "**/.*",
                ".git/**",
                "*/*/*",
                "sub//*.zip",
                "*/./*.zip",
                "[bs]*/d.zip",
                "[.]git/*",
            ),
            *("?.zip", "b.zip/**", "linked/**/*.csv", "*/deep/*.csv", "**/deep", "gone/**", "gone/**/*", "**/.git/*"),
        ],
    )
    def test_a_glob_matches_what_globs_match(self, pattern: str, tree: Path) -> None:
        (tree / "linked").symlink_to("sub")
        (tree / "sub" / "around").symlink_to("around")
        for one in (pattern, str(tree / pattern)):
            files = [name for name in glob.glob(one, recursive=True) if not Path(name).is_dir()]  # noqa: PTH207
            expected = {*map(os.path.realpath, files)}
            found: set[str] = set()
            with suppress(FileNotFoundError):
                found = {os.path.realpath(name) for name, _ in matches_of(one)}
            assert found == expected

    def test_a_glob_tells_of_folders_whose_logs_it_does_not_match(
        self, tree: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tree / "sub" / "others").symlink_to(tree / "sub" / "deep")
        for pattern in ("*.zip", "**/*", "**", "sub/**/*", "n*", "_*"):
            trackparse.dataset(pattern)
            assert not caplog.messages
        for pattern, told in {"*": "the folder sub, too", "sub/*": "the folder sub/deep, too"}.items():
            logs = trackparse.dataset(pattern)
            assert not any("deep" in name for name in logs.files)
            assert f"{pattern}: matches {told}, but not the logs in it" in caplog.text
            caplog.clear()
        assert "trackparse: sub/*: matches the folder" in good("check", "sub/*").stderr

    def test_a_way_up_behind_a_wildcard_is_refused(self, tree: Path) -> None:
        assert trackparse.dataset("sub/../sub/*.zip").files == ["sub/../sub/d.zip"]
        with pytest.raises(trackparse.OptionError, match=r"\*/\.\./\*\.zip: '\.\.' stands behind a wildcard"):
            trackparse.dataset("*/../*.zip")
        assert "'..' stands behind a wildcard" in failed(2, "convert", "*/../*.zip", "--to", "lake")


def test_its_text_says_what_it_is(days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(days)
    (days / "x.csv").write_bytes(H6)
    assert repr(trackparse.dataset("x.csv")) == "<LogDataset of 1 log: 'x.csv'>"
    assert repr(trackparse.dataset(".", columns=["log", "status"])) == (
        "<LogDataset of 4 logs: '2021-04-01.zip', '2021-04-02.zip', '2021-04-03.zip' and 1 more; columns log, status>"
    )
    with trackparse.dataset(".").open() as log:
        assert repr(log).startswith("<LogReader '2021-04-01.zip and 3 more': columns timestamp, ")


# Every way but to_table, which holds all rows. Prints the peak of the process after a few logs, and after many.
_PEAKS = """
import glob, os, sys
from pathlib import Path
import pyarrow as pa
import trackparse

folder, few = sys.argv[1], int(sys.argv[2])
names = sorted(glob.glob(folder + "/*.zip"))

def peak():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)

for several in (names[:few], names):
    ds = trackparse.dataset(several)
    rows = ds.count_rows()
    assert rows == len(several) * int(sys.argv[3])
    assert sum(batch.num_rows for batch in ds.to_batches(columns=["hwid", "payload", "log"])) == rows
    assert sum(batch.num_rows for batch in ds.to_reader(dictionary=["status", "appCode"])) == rows
    assert sum(batch.num_rows for batch in pa.RecordBatchReader.from_stream(ds)) == rows
    assert sum(1 for _ in ds.events()) == rows
    assert ds.head(5).num_rows == 5
    print(peak())
"""


@pytest.mark.skipif(SLOW > 1, reason="the slow kernel takes minutes")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_number_of_logs(tmp_path: Path) -> None:
    rows = 6_000
    first = tmp_path / "000.zip"
    first.write_bytes(python_zip({"log.csv": H8 + b"".join(encode_row(fields) for fields in sample_rows(rows))}))
    for number in range(1, 32):
        shutil.copyfile(first, tmp_path / f"{number:03}.zip")
    code = [sys.executable, "-c", _PEAKS, str(tmp_path), "4", str(rows)]
    run = subprocess.run(code, capture_output=True, text=True, check=True)
    few, many = map(int, run.stdout.split())
    # 28 logs more have 58 MiB. A thread that ends late leaves the next one an arena of the allocator to itself: 10 MiB.
    assert many <= few + (16 << 10)


def test_fragments_are_the_logs_with_the_schema_of_all(tmp_path: Path) -> None:
    header, row = b"timestamp;tracking_code;status", b"2021-04-20 13:01:01;T-1;sent"
    (tmp_path / "1.csv").write_bytes(header + b"\n" + row + b"\n")
    (tmp_path / "2.csv").write_bytes(header + b";campaign\n" + row + b";spring\n")
    days = trackparse.dataset(tmp_path, columns=["log", "campaign"])
    fragments = [pickle.loads(pickle.dumps(one)) for one in days.get_fragments()]  # noqa: S301 - as an engine does
    assert [one.files for one in fragments] == [[name] for name in days.files]
    assert [one.schema for one in fragments] == [days.schema] * 2
    read = [one.open(on_error="quarantine").read_all() for one in fragments]
    assert pa.concat_tables(read).equals(days.to_table())
    with pytest.raises(trackparse.OptionError, match="no column 'nonsense' in any of the 2 logs"):
        next(trackparse.dataset(tmp_path, columns=["nonsense"]).get_fragments())
    # Options that decide which columns there are look for them anew.
    with pytest.raises(trackparse.OptionError, match="no column 'campaign' in this log"):
        fragments[0].open(columns=["campaign"])
