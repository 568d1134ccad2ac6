"""Spark reads logs: what it shows is what the library reads elsewhere, on one machine and on a cluster of two."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import trackparse
from support.pages import Example, examples
from support.s3 import served
from support.spark import spark_session
from trackparse.schema import COLUMNS
from trackparse.testing.sample import write_sample

if importlib.util.find_spec("pyspark") is None:
    pytest.skip("pyspark is not installed: `make engines` does that", allow_module_level=True)
if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("no java found, which Spark needs (Debian: default-jre-headless)", allow_module_level=True)

from trackparse import spark as module

# What Spark does on this side: an import, and sockets that it leaves to the collection of garbage (4.0).
pytestmark = [
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "spark.md").read_text(encoding="utf-8")
# The first one makes the logs for the others.
LOGS, *EXAMPLES = examples("spark.md")

HEADER = b"//timestamp;tracking_code;target_id;hwid;status;description\n"
GOOD = b"2021-04-20 13:01:01;T-1;user;device;created;\n"
BAD = b'2021-04-20 13:01:02;T-1;"user;device;sent;\n'
NOT_TEXT = b"2021-04-20 13:01:02;T-1;\xff;device;sent;\n"


class Here:
    """A session on this machine, the folder that it runs in, and what its executors have said."""

    def __init__(self, session: Any, folder: Path, said: Path) -> None:
        self.session = session
        self.folder = folder
        self._said = said

    def read(self, *paths: str, **options: str) -> Any:
        reader = self.session.read.format("trackparse").options(**options)
        return reader.load(paths[0] if len(paths) == 1 else [*paths])

    def put(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return name

    @contextlib.contextmanager
    def saying(self, words: str, count: int) -> Iterator[list[str]]:
        """The lines with these words that executors write in the block; so many are waited for."""
        lines: list[str] = []
        before = self._said.stat().st_size
        yield lines
        deadline = time.monotonic() + 30
        # Java hands them on, on a thread of its own.
        while len(lines) < count and time.monotonic() < deadline:
            time.sleep(0.05)
            lines[:] = [line for line in self._said.read_bytes()[before:].decode().splitlines() if words in line]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    """The one session of all tests."""
    folder = tmp_path_factory.mktemp("spark")
    (folder / "logs").mkdir()
    for number in range(4):
        write_sample(folder / "logs" / f"2021-04-2{number}.zip", rows=1000, seed=number, columns=8 if number else 6)
    said = tmp_path_factory.mktemp("said") / "stderr"
    with _stderr_to(said), contextlib.chdir(folder), spark_session(folder) as session:
        yield Here(session, folder, said)


@contextlib.contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """What Java and its workers write; ours, too, in the block."""
    kept = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def message_of(run: Callable[[], Any]) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is Spark's business
        run()
    return str(caught.value)


# ---- what is read ---------------------------------------------------------------------------------------------------


def test_four_logs_are_four_partitions_with_the_rows_of_a_dataset(here: Here) -> None:
    frame = here.read("logs/*.zip")
    assert frame.rdd.getNumPartitions() == 4
    expected = trackparse.dataset(here.folder / "logs", columns=COLUMNS).to_table()
    assert frame.toArrow().equals(expected)


def test_counts_by_status_are_those_of_duckdb_over_our_parquet(here: Here) -> None:
    import duckdb

    trackparse.convert_logs(here.folder / "logs", here.folder / "lake", jobs=1)
    lake = duckdb.read_parquet(f"{here.folder}/lake/*.parquet")
    expected = lake.aggregate("status, count(*)").fetchall()
    here.session.sql(
        "CREATE OR REPLACE TEMPORARY VIEW statuses USING trackparse OPTIONS (path 'logs/*.zip', COLUMNS 'status')"
    )
    in_sql = here.session.sql("SELECT status, count(*) FROM statuses GROUP BY status").collect()
    in_python = here.read("logs/*.zip").groupBy("status").count().collect()
    assert sorted(map(tuple, in_sql)) == sorted(map(tuple, in_python)) == sorted(expected)


def test_columns_and_payload_columns(here: Here) -> None:
    frame = here.read(
        "logs/2021-04-21.zip",
        columns="log, timestamp,status",
        payload_columns="alert=/aps/alert,badge=/aps/badge:int16,uid=/md/uid:int64,all=",
    )
    assert frame.dtypes == [
        ("log", "string"),
        ("timestamp", "timestamp_ntz"),
        ("status", "string"),
        ("alert", "string"),
        ("badge", "smallint"),
        ("uid", "bigint"),
        ("all", "string"),
    ]
    path = here.folder / "logs" / "2021-04-21.zip"
    wanted: dict[str, Any] = {
        "alert": "/aps/alert",
        "badge": ("/aps/badge", pa.int16()),
        "uid": ("/md/uid", pa.int64()),
        "all": "",
    }
    columns = ["log", "timestamp", "status"]
    with here.saying("payload_columns", 1) as lines:
        read = frame.toArrow()
    assert read.equals(trackparse.dataset(path, columns=columns, payload_columns=wanted).to_table())
    assert read["badge"].null_count < 1000 == read["uid"].null_count
    # The numbers are texts there, and somebody has to be told why all of them are null.
    assert lines == [f"{path}: 1000 values do not fit the types of payload_columns: they are null"]


def test_lists_folders_and_urls_of_logs(here: Here) -> None:
    count = {"columns": "status"}
    assert here.read("logs/2021-04-20.zip", "logs/2021-04-22.zip", **count).count() == 2000
    assert here.read("logs", **count).count() == 4000
    assert here.read(here.folder.joinpath("logs/2021-04-20.zip").as_uri(), **count).count() == 1000
    assert here.read("logs/*.zip", "logs", **count).count() == 4000


def test_a_store_is_opened_where_the_log_is_read(here: Here, tmp_path: Path) -> None:
    with served(tmp_path) as bucket:
        for path in (here.folder / "logs").iterdir():
            bucket.put(f"days/{path.name}", path.read_bytes())
        # Java runs already, without the keys.
        url = bucket.url("days/*.zip").replace("s3://", "s3://testing:testing@")
        names = here.read(url, columns="status,log").filter("status = 'sent'").select("log").distinct().collect()
        assert sorted(row["log"] for row in names) == [f"s3://lake/days/2021-04-2{number}.zip" for number in range(4)]


def test_a_query_that_needs_few_rows_ends_early(here: Here) -> None:
    assert here.read("logs/*.zip").limit(3).count() == 3
    assert len(here.read("logs/*.zip").take(5)) == 5


def test_a_frame_may_be_used_twice_and_loaded_again(here: Here) -> None:
    here.put("growing/1.csv", HEADER + GOOD)
    frame = here.read("growing")
    assert frame.join(frame, "tracking_code").count() == frame.count() == 1
    here.put("growing/2.csv", HEADER + GOOD * 2)
    assert here.read("growing").count() == 3


def test_the_schema_is_known_before_a_log_is_opened(here: Here) -> None:
    assert here.read(here.put("page.zip", b"<html>")).columns == [*COLUMNS]


def test_a_column_of_some_logs_is_null_in_the_others(here: Here) -> None:
    here.put("wide/1.csv", HEADER + GOOD)
    here.put("wide/2.csv", HEADER.replace(b"\n", b";campaign\n") + GOOD.replace(b"\n", b";spring\n"))
    frame = here.read("wide", columns="campaign,status")
    assert {tuple(row) for row in frame.collect()} == {(None, "created"), ("spring", "created")}
    assert "no column 'campain' in any of the 2 logs: did you mean 'campaign'?" in message_of(
        lambda: here.read("wide", columns="campain")
    )


# ---- what is wrong with a log ---------------------------------------------------------------------------------------


@pytest.fixture
def bad(here: Here) -> str:
    """Two good logs, and one with two bad records of four."""
    for name in ("1", "3"):
        here.put(f"bad/{name}.csv", HEADER + GOOD)
    here.put("bad/2.csv", HEADER + GOOD + BAD + NOT_TEXT + GOOD)
    return "bad"


@pytest.mark.parametrize("options", [{}, {"mode": "failfast"}])
def test_failfast_fails_with_place_reason_and_advice(here: Here, bad: str, options: dict[str, str]) -> None:
    said = message_of(here.read(bad, **options).count)
    assert f"trackparse.errors.RecordError: {here.folder}/bad/2.csv: record 1, line 3 (byte 105): " in said
    assert "a quoted field does not end (unclosed_quote)" in said
    assert "the option mode keeps bad records in a column (PERMISSIVE), or leaves them out (DROPMALFORMED)" in said


def test_dropmalformed_counts_and_tells_what_it_drops(here: Here, bad: str) -> None:
    with here.saying("are bad and left out", 1) as lines:
        assert here.read(bad, mode="DROPMALFORMED").groupBy("status").count().collect() == [("created", 4)]
    assert lines == [
        f"{here.folder}/bad/2.csv: 2 of 4 records are bad and left out; the first one: {here.folder}/bad/2.csv: "
        "record 1, line 3 (byte 105): a quoted field does not end"
    ]


def test_permissive_keeps_bad_records_in_a_column(here: Here, bad: str) -> None:
    rows = here.read(bad, mode="PERMISSIVE", columns="status,log").collect()
    assert [tuple(row) for row in rows if row["_corrupt_record"] is not None] == [
        (None, f"{here.folder}/bad/2.csv", BAD.decode().rstrip()),
        (None, f"{here.folder}/bad/2.csv", r"2021-04-20 13:01:02;T-1;\xff;device;sent;"),
    ]
    assert [row["status"] for row in rows if row["_corrupt_record"] is None] == ["created"] * 4
    renamed = here.read(bad, mode="PERMISSIVE", columnNameOfCorruptRecord="reject")
    assert renamed.columns == [*COLUMNS, "reject"]
    assert renamed.filter("reject is not null").count() == 2


@pytest.mark.parametrize("mode", ["FAILFAST", "DROPMALFORMED", "PERMISSIVE"])
def test_a_damaged_log_fails_in_every_mode_unless_it_is_to_be_ignored(here: Here, mode: str) -> None:
    log = (here.folder / "logs" / "2021-04-21.zip").read_bytes()
    name = here.put("damaged/cut.zip", log[: len(log) // 2])
    whole = here.put("damaged/whole.zip", log)
    here.put("damaged/page.zip", b"<html>")
    assert (
        f"trackparse.errors.TruncatedError: {here.folder}/{name}: member 'tracking_log.csv': the source ends at byte "
        in message_of(here.read(name, whole, mode=mode).count)
    )
    assert "fetch the archive again: it is not complete" in message_of(here.read(name, mode=mode).count)
    with trackparse.dataset(here.folder / name, on_damage="keep").open() as reader:
        before = reader.read_all().num_rows
    assert before > 100
    with here.saying("before that are kept", 2) as lines:
        frame = here.read("damaged", mode=mode, columns="status", ignoreCorruptFiles="true")
        assert frame.filter("status is not null").count() == before + 1000
    assert [line.partition(": ")[0].rpartition("/")[2] for line in sorted(lines)] == ["cut.zip", "page.zip"]


# ---- what is wrong with a query -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": "nothing/*.zip"}, "no file matches this pattern: '{here}/nothing/*.zip'"),
        ({"path": "nothing.zip"}, "No such file or directory: '{here}/nothing.zip'"),
        ({"path": ""}, "no name of a log"),
        ({}, "no path: name the logs in load(), or in SQL with OPTIONS (path '...')"),
        ({"path": "s3a://lake/x"}, "expected one of: s3, gs, hdfs, file, https; write s3:// for s3a://"),
        ({"path": "logs", "colums": "status"}, "unknown option 'colums': expected one of: path, paths, columns, "),
        ({"path": "logs", "columns": "app_code"}, "did you mean 'appCode'?"),
        ({"path": "logs", "columns": "status,"}, "columns='status,': expected names with commas between them"),
        ({"path": "logs", "columns": "status,status"}, "a column is named twice"),
        ({"path": "logs", "payload_columns": "a=/b,c"}, "'c': expected NAME=/KEY/KEY or NAME=/KEY/KEY:TYPE"),
        ({"path": "logs", "payload_columns": "status=/b"}, "the log has a column of this name: take another one"),
        ({"path": "logs", "payload_columns": "a=/b:uint8"}, "Spark has no type uint8: expected one of: string, bool"),
        (
            {"path": "logs", "payload_columns": "uid=/md/uid:long"},
            "'uid=/md/uid:long': write int64 for long; if it is part of the key, write :string behind it",
        ),
        ({"path": "logs", "dialect": "excel"}, "dialect='excel': expected one of: auto, php, rfc4180"),
        ({"path": "logs", "mode": "STRICT"}, "mode='STRICT': expected one of: FAILFAST, DROPMALFORMED, PERMISSIVE"),
        (
            {"path": "logs", "mode": "PERMISSIVE", "columnNameOfCorruptRecord": "status"},
            "columnNameOfCorruptRecord: there is a column 'status' already: take another name",
        ),
        (
            {"path": "logs", "mode": "PERMISSIVE", "columnNameOfCorruptRecord": ""},
            "columnNameOfCorruptRecord='': expected a name",
        ),
        ({"path": "logs", "ignoreCorruptFiles": "yes"}, "ignoreCorruptFiles='yes': expected one of: true, false"),
        ({"path": "logs", "max_members": "many"}, "max_members='many': expected a number"),
        ({"path": "logs", "max_members": "0"}, "max_members=0: expected more than zero"),
    ],
)
def test_a_wrong_option_is_an_error_of_the_load(here: Here, options: dict[str, str], said: str) -> None:
    """In this process, by the same calls: Spark starts a process for each of them, which takes a while."""
    with pytest.raises((ValueError, OSError)) as caught, contextlib.chdir(here.folder):
        module._LogSource(options).schema()
    assert said.format(here=here.folder) in str(caught.value)


def test_a_key_may_end_like_a_type_of_spark() -> None:
    asked = module._Asked.of({"path": "logs", "payload_columns": "a=/b:long:string,b=/long"})
    assert asked.options["payload_columns"] == {"a": ("/b:long", pa.string()), "b": "/long"}


def test_spark_shows_the_error_of_a_wrong_option(here: Here) -> None:
    said = message_of(lambda: here.read("nothing/*.zip"))
    assert f"FileNotFoundError: [Errno 2] no file matches this pattern: '{here.folder}/nothing/*.zip'" in said
    said = message_of(lambda: here.read("logs", colums="status"))
    assert "trackparse.errors.OptionError: unknown option 'colums': expected one of: path, paths, columns, " in said


def test_limits_are_options(here: Here) -> None:
    said = message_of(here.read("logs/2021-04-20.zip", max_inflated_bytes="1000").count)
    assert "more than 1000 inflated bytes; if that is right, raise the limit by an option: max_record_bytes, " in said


def test_a_table_of_a_catalog_is_refused_since_spark_forgets_its_options(here: Here) -> None:
    said = message_of(lambda: here.session.sql("CREATE TABLE days USING trackparse OPTIONS (path 'logs')"))
    assert "make it a view, with CREATE TEMPORARY VIEW" in said


def test_a_schema_that_is_not_that_of_the_options_is_refused(here: Here) -> None:
    reader = here.session.read.format("trackparse").option("columns", "status,hwid")
    said = message_of(reader.schema("status string").load("logs").count)
    assert "a schema was given, struct<status:string>, but the options make struct<status:string,hwid:string>" in said
    assert reader.schema("status string, hwid string").load("logs").count() == 4000


def test_only_a_session_is_registered_with() -> None:
    with pytest.raises(TypeError, match="int: expected a SparkSession of Spark 4 or newer"):
        module.register(3)


def in_this_process(options: dict[str, str]) -> list[dict[str, Any]]:
    """What Spark gets of all partitions, without Spark."""
    source = module._LogSource(options)
    reader = source.reader(source.schema())
    return [row for partition in reader.partitions() for batch in reader.read(partition) for row in batch.to_pylist()]


def test_the_other_options_reach_the_reader(tmp_path: Path) -> None:
    log = tmp_path / "log.zip"
    header = HEADER.replace(b"\n", b";note\n")
    with zipfile.ZipFile(log, "w") as archive:
        for name, value in (("a.csv", b'"x\\""'), ("b.csv", b'"y"')):
            archive.writestr(name, header + GOOD[:-1] + b";" + value + b"\n")
    named = {"path": str(log), "columns": "note"}
    assert in_this_process(named) == [{"note": 'x\\"'}, {"note": "y"}]
    assert in_this_process({**named, "members": "b.csv, b*"}) == [{"note": "y"}]
    with pytest.raises(trackparse.RecordError):
        in_this_process({**named, "dialect": "RFC4180"})
    with pytest.raises(trackparse.LimitError, match="raise the limit by an option"):
        in_this_process({**named, "max_members": "1"})
    own = tmp_path / "own.csv"
    own.write_bytes(HEADER.replace(b"hwid", b"log") + GOOD)
    with pytest.raises(trackparse.HeaderError, match="; leave 'log' out of the option columns, or rename"):
        in_this_process({"path": str(own), "columns": "log"})


def test_bad_records_without_end_are_an_error_and_fill_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAITING_MOST", 1 << 20)
    path = tmp_path / "log.csv"
    path.write_bytes(HEADER + GOOD + b"2021;T-1;user;device;sent;\n" * 200_000)
    with pytest.raises(trackparse.LimitError, match=r"line 3 .* bytes of bad records follow each other; look at what"):
        in_this_process({"path": str(path), "mode": "PERMISSIVE"})


@pytest.mark.parametrize("folder", ["plain", "days [1]"])
def test_names_with_the_characters_of_a_glob(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    for name in ("a.csv", "[a].csv"):
        Path(name).write_bytes(HEADER + GOOD)
    for path, found in {"*.csv": ["[a].csv", "a.csv"], "[a].csv": ["[a].csv"], "[a]*": ["a.csv"]}.items():
        source = module._LogSource({"path": path})
        partitions = source.reader(source.schema()).partitions()
        assert [name for one in partitions for name in one.value.files] == [str(Path.cwd() / one) for one in found]


# ---- elsewhere ------------------------------------------------------------------------------------------------------

_ON_A_CLUSTER = """
import json, sys
from pyspark.sql import SparkSession
from pyspark.sql.functions import spark_partition_id
import trackparse

builder = SparkSession.builder.master("local-cluster[2,1,1024]").config("spark.ui.enabled", "false")
spark = builder.config("spark.driver.host", "127.0.0.1").config("spark.sql.shuffle.partitions", "2").getOrCreate()
trackparse.spark.register(spark)
log = spark.read.format("trackparse").option("columns", "status,log").load("logs/*.zip")
rows = log.groupBy(spark_partition_id(), "log", "status").count().collect()
print(json.dumps([[*row] for row in rows]))
spark.stop()
"""


def test_on_a_cluster_each_executor_opens_logs_by_their_names(here: Here, tmp_path: Path) -> None:
    """Two executors are processes with working directories of their own."""
    import pyspark

    # Executors work below it, and must not do that in what pip has installed.
    home = tmp_path / "spark"
    home.mkdir()
    for path in Path(pyspark.__file__).parent.iterdir():
        (home / path.name).symlink_to(path)
    environment = {**os.environ, "SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable}
    run = subprocess.run(
        [sys.executable, "-c", _ON_A_CLUSTER],
        cwd=here.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found = sorted(map(tuple, json.loads(run.stdout.splitlines()[-1])))
    expected = []
    for number, path in enumerate(sorted((here.folder / "logs").iterdir())):
        table = trackparse.read_log(path, columns=["status"]).group_by("status").aggregate([([], "count_all")])
        expected += [(number, str(path), row["status"], row["count_all"]) for row in table.to_pylist()]
    assert found == sorted(expected)
    assert len({line.split("/")[-2] for line in map(str, (home / "work").glob("app-*/*/stderr"))}) == 2


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"example{n}" for n in range(len(EXAMPLES))])
def test_an_example_of_the_page_prints_what_stands_behind_it(
    example: Example, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here.folder)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example.code, "spark.md", "exec"), {"__name__": "__main__"})  # noqa: S102
    assert example.output
    # Spark ends a table with an empty line.
    assert printed.getvalue().rstrip() == example.output.rstrip()


def test_the_page_makes_the_logs_of_its_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(LOGS.code, "spark.md", "exec"), {})  # noqa: S102
    counted = Counter(trackparse.dataset("logs", columns=["status"]).to_table()["status"].to_pylist())
    printed = re.findall(r"\| *(\w+)\| *(\d+)\|", EXAMPLES[0].output or "")
    assert counted == {status: int(count) for status, count in printed}


def test_every_option_is_on_the_page() -> None:
    told = re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)
    assert set(told) - {*module._MODES} == {*module._KNOWN} - {"path", "paths"}
