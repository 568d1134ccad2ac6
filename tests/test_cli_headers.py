"""Every command over every form of header that docs/format.md admits: no traceback, and the right output."""

from __future__ import annotations

import csv
import datetime
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from support.cli import good, run
from support.service import stored
from trackparse.testing import TOKEN, FakeService
from trackparse.testing.sample import COLUMNS

NOW = b"2021-04-20 13:01:01"
TIME = "2021-04-20 13:01:01.000000"
FULL = b"//timestamp;tracking_code;target_id;hwid;status;description;appCode;payload\n"
OLD = b"//timestamp;tracking_code;target_id;hwid;status;description\n"
FULL_ROW = NOW + b';T-1;t;h;failed;why;A-1;"{""a"":1}"\n'
OLD_ROW = NOW + b";T-2;t;h;sent;\n"


@dataclass(frozen=True)
class Form:
    name: str
    log: bytes
    rows: list[dict[str, Any]]  # of the columns that are not null

    def __str__(self) -> str:
        return self.name


def row(**fields: Any) -> dict[str, Any]:
    return {"tracking_code": "T-1", **fields}


full = row(target_id="t", hwid="h", status="failed", description="why", appCode="A-1", payload={"a": 1})
old = row(tracking_code="T-2", target_id="t", hwid="h", status="sent", description="")
FORMS = [
    Form("both generations", FULL + FULL_ROW + OLD + OLD_ROW, [full, old]),
    Form("the older one first", OLD + OLD_ROW + FULL + FULL_ROW, [old, full]),
    Form("no header, eight columns", FULL_ROW, [full]),
    Form("no header, six columns", OLD_ROW, [old]),
    Form("what is needed", b"//timestamp;tracking_code\n" + NOW + b";T-1\n", [row()]),
    Form("a failure without a reason", b"//timestamp;tracking_code;status\n" + NOW + b";T-1;failed\n",
         [row(status="failed")]),
    Form("no slashes", b"timestamp;tracking_code;status\n" + NOW + b";T-1;failed\n", [row(status="failed")]),
    Form("quotes", b'"//timestamp";"tracking_code";"status"\n' + NOW + b";T-1;sent\n", [row(status="sent")]),
    Form("quotes behind the slashes", b'//"timestamp";"tracking_code"\n' + NOW + b";T-1\n", [row()]),
    Form("blanks", b"// timestamp ; tracking_code \n" + NOW + b";T-1\n", [row()]),
    Form("another order", b"//payload;tracking_code;timestamp\n{};T-1;" + NOW + b"\n", [row(payload={})]),
    Form("a byte order mark", b"\xef\xbb\xbf//timestamp;tracking_code\n" + NOW + b";T-1\n", [row()]),
    Form("CR LF", b"//timestamp;tracking_code\r\n" + NOW + b";T-1\r\n", [row()]),
    Form("no line end", b"//timestamp;tracking_code\n" + NOW + b";T-1", [row()]),
    Form("run in", b'//timestamp;tracking_code;status"' + NOW + b'";T-1;opened\n', [row(status="opened")]),
    Form("again", b"//timestamp;tracking_code;status\n" + NOW + b";T-1;failed\n//timestamp;tracking_code\n" + NOW
         + b";T-1\n", [row(status="failed"), row()]),
    Form("nothing but a header", b"//timestamp;tracking_code\n", []),
    Form("a column of its own", b"//timestamp;tracking_code;region\n" + NOW + b";T-1;eu\n", [row(region="eu")]),
    Form("a column without a name", b"//timestamp;tracking_code;\n" + NOW + b";T-1;x\n", [row(**{"": "x"})]),
    Form("quotes and commas in names", b'//timestamp;tracking_code;a"b;c,d\n' + NOW + b";T-1;x;y\n",
         [row(**{'a"b': "x", "c,d": "y"})]),
    Form("control characters in names", b"//timestamp;tracking_code;a\x1b[2Jb\n" + NOW + b";T-1;x\n",
         [row(**{"a\x1b[2Jb": "x"})]),
    Form("letters", "//timestamp;tracking_code;город\n".encode() + NOW + b";T-1;x\n", [row(город="x")]),
    Form("names that we use", b"//timestamp;tracking_code;raw;reason;0;count_all\n" + NOW + b";T-1;a;b;c;d\n",
         [row(raw="a", reason="b", **{"0": "c", "count_all": "d"})]),
    Form("as many columns as may be",
         b"//timestamp;tracking_code;" + b";".join(b"c%d" % n for n in range(1022)) + b"\n" + NOW + b";T-1"
         + b";v" * 1022 + b"\n", [row(**{f"c{n}": "v" for n in range(1022)})]),
]  # fmt: skip


@pytest.fixture(params=FORMS, ids=str)
def form(request: pytest.FixtureRequest) -> Form:
    found: Form = request.param
    return found


@pytest.fixture
def log(form: Form, tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_bytes(form.log)
    return path


def names(form: Form) -> list[str]:
    return [*dict.fromkeys([*COLUMNS, *(name for row in form.rows for name in row)])]


def expected(form: Form) -> list[dict[str, Any]]:
    """All rows with all columns, in their order."""
    return [{name: TIME if name == "timestamp" else row.get(name) for name in names(form)} for row in form.rows]


@pytest.mark.parametrize("command", [["cat"], ["head", "--json"]], ids=" ".join)
def test_json_lines_have_every_value(command: list[str], form: Form, log: Path) -> None:
    name, *options = command
    rows = [json.loads(line) for line in good(name, log, *options).stdout.splitlines()]
    assert rows == expected(form)
    assert all([*row] == names(form) for row in rows)


def test_csv_has_every_value(form: Form, log: Path) -> None:
    header, *rows = csv.reader(StringIO(good("cat", log, "--format", "csv").stdout))
    if form.rows:
        assert header == names(form)
    texts = [[json.dumps(v, separators=(",", ":")) if isinstance(v, dict) else v or "" for v in row.values()]
             for row in expected(form)]  # fmt: skip
    assert rows == texts


def test_head_prints_a_line_for_each_row(form: Form, log: Path) -> None:
    lines = good("head", log).stdout.splitlines()
    assert [line.split()[2] for line in lines[1:]] == [row["tracking_code"] for row in form.rows]


def test_stats_count_every_row(form: Form, log: Path) -> None:
    facts = json.loads(good("stats", log, "--json").stdout)
    assert (facts["records"], facts["rejected"], facts["reasons"]) == (len(form.rows), 0, {})
    assert facts["statuses"] == Counter(row.get("status", "") for row in form.rows)
    failures = [row.get("description", "") for row in form.rows if row.get("status") == "failed"]
    assert facts["failures"] == Counter(failures)
    assert {app: sum(n.values()) for app, n in facts["apps"].items()} == Counter(
        row.get("appCode", "") for row in form.rows
    )
    assert facts["last"] == ("2021-04-20 13:01:01" if form.rows else None)
    text = good("stats", log).stdout
    assert f"records         {len(form.rows)}\n" in text
    assert good("stats", log, "--app", "A-1", "--status", "failed", "--code", "T-9").exit_code == 0


def test_check_finds_nothing(form: Form, log: Path) -> None:
    assert good("check", log).stdout.endswith(", all good\n")
    assert json.loads(good("check", log, "--json").stdout)["records"] == len(form.rows)


def test_schema_has_every_column(form: Form, log: Path) -> None:
    found = json.loads(good("schema", log, "--json").stdout)
    assert [*found] == (names(form) if form.rows else [*COLUMNS])
    assert good("schema", log).stdout.count("\n") == len(found)


@pytest.mark.parametrize("options", [[], ["--rejects", "rejects.parquet"], ["--strict"]], ids=" ".join)
def test_convert_writes_every_value(
    options: list[str], form: Form, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good("convert", log, *options)
    assert_has_all(form, tmp_path / "log.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "log.parquet"]


@pytest.fixture(scope="module")
def service() -> Iterator[FakeService]:
    with FakeService() as service:
        yield service


def test_fetch_writes_every_value(form: Form, service: FakeService, tmp_path: Path) -> None:
    day = str(datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1))
    service._logs[day] = stored(form.log)
    options = ["--date", day, "--base-url", service.url, "--allow-http", "-o", tmp_path / "out.parquet"]
    result = run("fetch", *options, TRACKPARSE_TOKEN=TOKEN)
    assert (result.exit_code, result.stderr) == (0, "")
    assert_has_all(form, tmp_path / "out.parquet")


def assert_has_all(form: Form, path: Path) -> None:
    rows = pq.read_table(path).to_pylist()
    for found in rows:
        found["timestamp"] = f"{found['timestamp']:%Y-%m-%d %H:%M:%S.%f}"
        found["payload"] = found["payload"] and json.loads(found["payload"])
    assert rows == expected(form)


def test_a_sample_is_read_by_all_of_them(tmp_path: Path) -> None:
    log = tmp_path / "sample.zip"
    good("sample", log, "--rows", "3")
    for command in (["cat"], ["cat", "--format", "csv"], ["head"], ["stats"], ["check"], ["schema"], ["convert"]):
        good(command[0], log, *command[1:])
