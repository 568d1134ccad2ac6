"""The benchmark reads logs that are what they say, finds wrong answers, and its exit status tells a missed budget."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import trackparse
from trackparse.testing.sample import encode_row, write_sample

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from benchmarks import budgets, compare, corpus, generator, report, same  # noqa: E402
from benchmarks.contenders import BY_NAME, MAIN  # noqa: E402
from benchmarks.peers import SETTINGS, SWEPT  # noqa: E402

# Figures of one version can be held against those of another only as long as the logs are the same.
ROWS_OF_EACH_KIND = {
    "today": "d1be146cb811e422",
    "old": "d7aa5f2d9ae74db3",
    "few": "d3ee85db11850e99",
    "quotes": "5e99c49a01e7d618",
    "distinct": "229751d61d09e015",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(corpus, "FOLDER", tmp_path)
    return tmp_path


# ---- logs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", generator.KINDS)
def test_the_rows_of_a_log_never_change(kind: str) -> None:
    text = "".join(map(repr, generator.rows(generator.KINDS[kind], 2_000)))
    assert sha256(text.encode()).hexdigest()[:16] == ROWS_OF_EACH_KIND[kind]


def test_devices_grow_with_the_rows_where_they_should() -> None:
    def devices(kind: str, rows: int) -> int:
        return len({row[3] for row in generator.rows(generator.KINDS[kind], rows)})

    for kind in ("today", "old"):
        assert 1 / 12 < devices(kind, 40_000) / 40_000 < 1 / 7
    assert devices("few", 20_000) < devices("few", 80_000) <= generator.KINDS["few"].devices


def test_todays_log_is_like_a_real_one() -> None:
    rows = list(generator.rows(generator.KINDS["today"], 20_000))
    assert sum(row[2] == row[3] for row in rows) / len(rows) == pytest.approx(0.8, abs=0.03)
    assert sum('\\"' in row[7] for row in rows) / len(rows) > 0.5
    assert len({row[2] for row in generator.rows(generator.KINDS["distinct"], 10_000)}) == 10_000


@pytest.mark.parametrize("form", ["php", "rfc4180"])
def test_records_are_encoded_as_their_writer_does(form: Any) -> None:
    for kind in generator.KINDS.values():
        for row in generator.rows(kind, 500):
            assert corpus.encoded(row, form) == encode_row(row, form)


@pytest.mark.parametrize("form", ["php", "rfc4180", "bad", "times8", "members"])
@pytest.mark.parametrize("kind", MAIN)
def test_a_log_holds_its_truth_in_every_form(kind: str, form: Any, folder: Path) -> None:
    log = corpus.log(kind, form, 1_000)
    with trackparse.open_log(log.path, on_error="quarantine") as reader:
        assert same.tables([reader.read_all()], log.tables(), log_columns(kind), nulls=True) == ""
        stats = reader.stats
    assert stats.records == log.rows == {"bad": 990, "times8": 8_000}.get(form, 1_000)
    assert stats.rejected == (10 if form == "bad" else 0)
    assert stats.bytes_inflated == log.inflated
    assert stats.members == (corpus.MEMBERS if form == "members" else 1)
    packed = log.path.read_bytes()
    assert corpus.log(kind, form, 1_000).path.read_bytes() == packed
    shutil.rmtree(folder)
    assert corpus.log(kind, form, 1_000).path.read_bytes() == packed


def log_columns(kind: str) -> tuple[str, ...]:
    return generator.KINDS[kind].columns


# ---- answers ----------------------------------------------------------------------------------------------


def changed(table: pa.Table, name: str, row: int, value: Any) -> pa.Table:
    values = table[name].to_pylist()
    values[row] = value
    return table.set_column(table.column_names.index(name), name, pa.array(values, table[name].type))


@pytest.mark.parametrize("name", generator.KINDS["today"].columns)
def test_a_field_that_differs_is_found(name: str, folder: Path) -> None:
    log = corpus.log("today", "php", 1_000)
    table = trackparse.read_log(log.path)
    other = changed(table, name, 700, datetime(2001, 1, 1) if name == "timestamp" else "another")
    for nulls in (True, False):
        wrong = same.tables([other.slice(0, 300), other.slice(300)], log.tables(), table.column_names, nulls=nulls)
        assert wrong.startswith(f"row 700, {name!r}: ")


def test_missing_and_surplus_rows_and_columns_are_found(folder: Path) -> None:
    log = corpus.log("today", "php", 1_000)
    table, columns = trackparse.read_log(log.path), log_columns("today")
    assert "rows are missing" in same.tables([table.slice(0, 999)], log.tables(), columns, nulls=True)
    assert "more rows" in same.tables([table, table.slice(0, 1)], log.tables(), columns, nulls=True)
    assert "columns ['hwid']" in same.tables([table.drop_columns("hwid")], log.tables(), columns, nulls=True)
    rows = list(trackparse.iter_events(log.path))
    assert same.rows(rows, log.tables(), 8) == ""
    assert same.rows(rows[:-1], log.tables(), 8).startswith("fewer rows")
    assert same.rows([*rows, rows[0]], log.tables(), 8).startswith("more rows")
    assert same.rows([*rows[:5], rows[4], *rows[6:]], log.tables(), 8).startswith("row 5: ")


def test_a_null_is_an_empty_text_to_other_readers_only(folder: Path) -> None:
    log = corpus.log("today", "php", 1_000)
    table = trackparse.read_log(log.path)
    row = table["description"].to_pylist().index("")
    other = changed(table, "description", row, None)
    assert same.tables([other], log.tables(), table.column_names, nulls=False) == ""
    assert same.tables([other], log.tables(), table.column_names, nulls=True).startswith(f"row {row}, 'description'")


def test_payload_columns_are_held_against_the_payload(folder: Path) -> None:
    log = corpus.log("today", "php", 1_000)
    found = [
        {"alert": event.payload and event.payload["aps"]["alert"], "uid": event.payload and event.payload["md"]["uid"]}
        for event in trackparse.iter_events(log.path)
    ]
    table = pa.Table.from_pylist(found)
    assert same.tables([table], log.tables(), ["alert", "uid"], nulls=True) == ""
    wrong = same.tables([changed(table, "uid", 3, 7)], log.tables(), ["alert", "uid"], nulls=True)
    assert wrong.startswith("row 3, 'uid': 7, and not ")


# ---- budgets ----------------------------------------------------------------------------------------------


def test_every_budget_can_be_measured() -> None:
    for budget in budgets.load():
        assert (budget.at_most is None) != (budget.at_least is None), budget
        contender = BY_NAME[budget.of]
        for rival in map(BY_NAME.__getitem__, budget.over):
            assert set(contender.kinds) <= set(rival.kinds), budget
            assert contender.once == rival.once, budget
    assert set(SETTINGS) == set(SWEPT)
    for name, by_kind in SETTINGS.items():
        assert set(by_kind) == set(MAIN)
        assert all(set(settings) == set(SWEPT[name]) for settings in by_kind.values())


def result(name: str, kind: str, *runs: dict[str, float]) -> dict[tuple[str, str], budgets.Result]:
    return {(name, kind): budgets.Result(name, kind, runs)}


def verdicts_of(results: budgets.Results, of: str, figure: str = "wall") -> list[budgets.Verdict]:
    found = [one for one in budgets.verdicts(results) if one.budget.of == of and one.budget.figure == figure]
    assert found
    return found


def test_the_memory_of_a_run_is_its_own(tmp_path: Path) -> None:
    """Not that of the process that started it, which may have made the logs before."""
    (tmp_path / "days").mkdir()
    write_sample(tmp_path / "days" / "2021-04-20.zip", rows=100)
    program = (
        "import sys; from pathlib import Path; from benchmarks import corpus, partitions; "
        "corpus.FOLDER = Path(sys.argv[1]); made = b'x' * (400 << 20); del made; "
        "print(partitions.measured('trackparse', corpus.FOLDER / 'days', corpus.FOLDER / 'lake')['peak'])"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 10 < float(done.stdout) < 300


def test_the_fastest_of_several_is_the_one_to_beat() -> None:
    results = result("parquet", "old", {"wall": 1, "size": 9}, {"wall": 2, "size": 9}, {"wall": 3, "size": 9})
    for place, name in enumerate(("pandas-parquet", "polars-parquet", "pyarrow-parquet", "duckdb-parquet")):
        results |= result(name, "old", *({"wall": wall + place % 2, "size": 10 - place} for wall in (3.0, 4.0, 5.0)))
    verdict = {one.kind: one for one in verdicts_of(results, "parquet")}
    assert verdict["old"].over == "pyarrow-parquet"
    assert verdict["old"].value == 0.5  # of 1/3, 2/4, 3/5
    assert verdict["old"].met
    assert (verdict["today"].value, verdict["today"].met) == (None, False)
    size = {one.kind: one for one in verdicts_of(results, "parquet", "size")}
    assert size["old"].value == 9 / 8
    assert not size["old"].met


def test_a_bar_may_be_at_least_or_in_mebibytes() -> None:
    slow = result("csv", "few", {"wall": 5.9}) | result("events", "few", {"wall": 1.0})
    fast = result("csv", "few", {"wall": 6.1}) | result("events", "few", {"wall": 1.0})
    assert [one.met for one in verdicts_of(slow, "csv") if one.kind == "few"] == [False]
    assert [one.met for one in verdicts_of(fast, "csv") if one.kind == "few"] == [True]
    (memory,) = verdicts_of(result("hundredth", "today", {"rss": 201 << 20}), "hundredth", "rss")
    assert (memory.shown, memory.budget.bar, memory.met) == ("201 MiB", "≤ 200 MiB", False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The benchmark with a folder of its own for logs."""
    place = tmp_path_factory.mktemp("benchmark")
    shutil.copytree(ROOT / "benchmarks", place / "benchmarks", ignore=shutil.ignore_patterns("corpus", "__pycache__"))
    yield place
    shutil.rmtree(place)


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--rows", "1000", "--runs", "1", *arguments]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)


def test_a_run_reports_and_its_exit_status_tells_whether_all_is_met(copy: Path) -> None:
    page = copy / "page.md"
    page.write_text("before\n{}\nold\n{}\nafter\n".format(*report.MARKS))
    (copy / "benchmarks" / "budgets.toml").write_text(
        '[[budget]]\nwhat = "narrow"\nthan = "all"\nof = "narrow"\nover = ["clean"]\nat_most = 1000\n'
    )
    names = ("--only", "narrow,clean")
    done = run(copy, *names, "--check", "--markdown", str(page), "--svg", str(copy / "chart.svg"))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^narrow, over all +today's log +\d+\.\d\d +≤ 1000 +met$", done.stdout, re.MULTILINE)
    written = page.read_text()
    assert written.startswith(f"before\n{report.MARKS[0]}\n| what | over | ")
    assert re.search(r"^\| narrow \| all \| \d+\.\d\d \|  \|  \| ≤ 1000 \|$", written, re.MULTILINE)
    assert "old\n" not in written
    assert written.endswith(f"{report.MARKS[1]}\nafter\n")
    budget = copy / "benchmarks" / "budgets.toml"
    budget.write_text(budget.read_text().replace("1000", "0.0001"))
    done = run(copy, *names, "--check")
    assert done.returncode == 1
    assert done.stdout.rstrip().endswith("missed")


def test_a_wrong_answer_stops_the_run(copy: Path) -> None:
    own = copy / "benchmarks" / "own.py"
    own.write_text(
        own.read_text().replace("        yield from reader\n", "        next(reader)\n        yield from reader\n")
    )
    done = run(copy, "--only", "narrow")
    assert done.returncode == 1
    assert "narrow, today: 1000 rows are missing after 0" in done.stderr
    assert "x inflate" not in done.stdout


# ---- the page on speed, and the README ---------------------------------------------------------------------


def test_the_table_is_one_that_the_benchmark_wrote() -> None:
    text = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    table = text.partition(f"{report.MARKS[0]}\n")[2].partition(f"{report.MARKS[1]}\n")[0]
    lines = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in table.splitlines() if line[:1] == "|"]
    assert tuple(lines[0]) == report.HEAD
    told = [(line[0], line[1].strip(), line[-1]) for line in lines[2:]]
    assert told == [(budget.what, budget.than, budget.bar) for budget in budgets.load()]
    for line in lines[2:]:
        for cell in filter(None, map(str.strip, line[2:-1])):
            assert re.fullmatch(r"\d+\.\d\d|\d+ MiB|not built", cell), line
    assert re.search(r"^[\d,]+ rows, medians of \d+ turns; CPU .+, pyarrow \S+, .+\.$", table, re.MULTILINE)


@pytest.mark.skipif(shutil.which("php") is None, reason="php is not installed")
def test_the_readmes_comparison_is_what_its_command_prints() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    told = text.partition("<!-- compare: python -m benchmarks.compare writes this -->\n")[2].partition("\n<!-- /")[0]
    assert told == compare.table(compare.ROWS)
