"""``trackparse stats``: the numbers are right, as JSON and as text, and so is the memory."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.cli import HEADER, ROW, csv_of, ended, good, with_bad, with_text
from support.service import sample
from trackparse.cli.devices import Devices
from trackparse.cli.groups import Groups
from trackparse.cli.tally import Tally, Totals
from trackparse.testing.sample import encode_row, sample_rows

TRUTH = list(sample_rows(3_000))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.zip"
    path.write_bytes(sample(3_000))
    return path


def facts_of(*arguments: object) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(good("stats", *arguments, "--json").stdout)
    return facts


def section(text: str, title: str) -> list[list[str]]:
    """The lines below a title, each cut at runs of blanks."""
    lines = text.split(f"\n{title}\n")[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_it_counts_what_is_in_the_log(log: Path) -> None:
    facts = facts_of(log)
    with zipfile.ZipFile(log) as archive:
        assert facts["bytes_inflated"] == archive.infolist()[0].file_size
    assert facts["bytes_read"] == log.stat().st_size
    numbers = ("records", "filtered", "rejected", "blank_lines", "members")
    assert [facts[name] for name in numbers] == [3_000, 0, 0, 0, 1]
    assert (facts["first"], facts["last"]) == (TRUTH[0][0], TRUTH[-1][0])
    assert facts["statuses"] == Counter(row[4] for row in TRUTH)
    assert facts["failures"] == Counter(row[5] for row in TRUTH if row[4] == "failed")
    apps = {row[6] for row in TRUTH}
    assert facts["apps"] == {app: Counter(row[4] for row in TRUTH if row[6] == app) for app in apps}
    assert facts["days"] == {"2021-04-20": facts["statuses"]}
    assert facts["others"] == dict.fromkeys(["statuses", "failures", "apps", "days"], 0)


def test_rates_are_over_the_step_before(tmp_path: Path) -> None:
    counts = {"created": 8, "sent": 4, "delivered": 3, "failed": 1, "opened": 0}
    rows = [with_text(status=status) for status, count in counts.items() for _ in range(count)]
    log = csv_of(tmp_path / "log.csv", *rows)
    assert facts_of(log)["rates"] == {"sent": 0.5, "delivered": 0.75, "opened": 0.0, "failed": 0.25}
    assert section(good("stats", log).stdout, "funnel") == [
        ["created", "8"],
        ["sent", "4", "50.0% of created"],
        ["delivered", "3", "75.0% of sent"],
        ["opened", "0", "0.0% of delivered"],
        ["failed", "1", "25.0% of sent"],
    ]
    nothing = facts_of(log, "--status", "bounced")
    assert nothing["filtered"] == 16
    assert set(nothing["rates"].values()) == {None}


def test_several_logs_are_counted_together(log: Path, tmp_path: Path) -> None:
    other = csv_of(tmp_path / "log.csv", with_text(timestamp="2021-04-21 00:00:00", status="opened", app="X"))
    facts = facts_of(log, other)
    assert (facts["records"], facts["members"]) == (3_001, 2)
    assert list(facts["days"]) == ["2021-04-20", "2021-04-21"]
    assert facts["last"] == "2021-04-21 00:00:00"


def test_a_filter_says_what_is_counted(log: Path) -> None:
    app = TRUTH[0][6]
    facts = facts_of(log, "--app", app, "--status", "failed", "--status", "sent")
    wanted = [row for row in TRUTH if row[6] == app and row[4] in ("failed", "sent")]
    assert facts["statuses"] == Counter(row[4] for row in wanted)
    assert facts["filtered"] == 3_000 - len(wanted)


def test_the_text_says_the_same(log: Path) -> None:
    out = good("stats", log, "--top", "2").stdout
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if line.split()[1:])
    assert lines["records"] == "3,000"
    assert lines["first"] == TRUTH[0][0]
    failures = Counter(row[5] for row in TRUTH if row[4] == "failed")
    listed = section(out, "failures")
    assert [row[0] for row in listed] == [*(text for text, _ in ranked(failures)[:2]), "(others)"]
    assert sum(int(row[1].replace(",", "")) for row in listed) == failures.total()
    apps = ranked(Counter(row[6] for row in TRUTH))
    assert [row[:2] for row in section(out, "apps")][:2] == [[app, f"{count:,}"] for app, count in apps[:2]]
    assert "filtered" not in out


def ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def test_of_many_days_the_last_are_shown(tmp_path: Path) -> None:
    rows = [with_text(timestamp=f"2021-04-{day:02} 00:00:00") for day in range(1, 8)]
    out = good("stats", csv_of(tmp_path / "log.csv", *rows), "--top", "2").stdout
    assert [row[:2] for row in section(out, "days")] == [["2021-04-06", "1"], ["2021-04-07", "1"], ["(others)", "5"]]


def test_it_tells_why_records_are_bad_and_where_the_first_stands(tmp_path: Path) -> None:
    log = with_bad(tmp_path / "bad.csv")
    facts = facts_of(log)
    assert (facts["records"], facts["rejected"]) == (500, 1)
    assert facts["reasons"] == {"field_count": 1}
    assert section(good("stats", log).stdout, "rejected")[0][:2] == ["field_count", "1"]


def test_what_stands_before_the_damage_is_counted(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-20_000])
    result = ended(1, "stats", log, "--json")
    assert 0 < json.loads(result.stdout)["records"] < 3_000
    assert result.stderr.count("\n") == 1


def test_a_log_without_records_has_no_time_span(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "log.csv")
    facts = facts_of(path)
    assert (facts["records"], facts["first"], facts["last"], facts["statuses"]) == (0, None, None, {})
    assert ["first", "-"] in [line.split() for line in good("stats", path).stdout.splitlines()]


def test_values_that_are_none_of_the_service_are_shown_and_cannot_steer_the_terminal(tmp_path: Path) -> None:
    rows = [with_text(status="bo\x1bunced", appCode=""), with_text(status="failed", description="a\nb\x1b[2J")]
    out = good("stats", csv_of(tmp_path / "log.csv", *rows)).stdout
    assert section(out, "other statuses") == [["bo\\x1bunced", "1"]]
    assert section(out, "failures") == [["a\\nb\\x1b[2J", "1"]]
    assert section(out, "apps")[0] == ["(empty)", "1", "bo\\x1bunced 1"]
    assert "\x1b" not in out


def test_hostile_numbers_of_distinct_values_are_counted_together(tmp_path: Path) -> None:
    rows = [
        with_text(status=status, description=f"why {number}", appCode=f"A-{number}")
        for number in range(10_500)
        for status in ("failed", f"status {number}")
    ]
    facts = facts_of(csv_of(tmp_path / "log.csv", *rows))
    assert facts["records"] == 21_000
    assert facts["statuses"]["failed"] == 10_500
    assert {name: len(facts[name]) for name in ("statuses", "failures", "apps")} == {
        "statuses": 50,
        "failures": 10_000,
        "apps": 1_000,
    }
    assert facts["others"] == {"statuses": 10_500 - 49, "failures": 500, "apps": 19_000, "days": 0}
    assert facts["days"]["2021-04-20"]["(others)"] == 10_500 - 49


def tallied(rows: list[tuple[str, str]]) -> Totals:
    """The totals of failed records with these applications and descriptions."""
    moments = pa.array([datetime(2021, 4, 20)] * len(rows), pa.timestamp("us"))
    statuses = pa.array(["failed"] * len(rows))
    apps, descriptions = (pa.array(values) for values in zip(*rows, strict=True))
    totals = Totals()
    totals.add(pa.record_batch([moments, statuses, descriptions, apps, apps], names=[*Totals.columns]))
    return totals


def test_long_values_are_told_apart_by_their_beginning() -> None:
    totals = tallied([("a", "x" * 1000 + "a"), ("a", "x" * 1000 + "b"), ("a", "y"), ("a", "x" * 199 + "é")])
    # A character is not cut in two.
    assert totals.failures.ranked() == {"x" * 200: 2, "x" * 199: 1, "y": 1}


def test_a_long_status_is_held_once_however_many_applications_have_it() -> None:
    tally = Tally(1000)
    for number in range(100):
        tally.add(f"app {number}", "".join(["long"] * 50), 1)
    [[status]] = {tuple(counts) for counts in tally.by_value().values()}
    assert len({id(name) for counts in tally.by_value().values() for name in counts}) == 1
    assert status == "long" * 50


# ---- tables by message, app, day and status


def groups_of(*arguments: object) -> dict[str, dict[str, Any]]:
    return {group["value"]: group for group in facts_of(*arguments)["groups"]}


@pytest.mark.parametrize(("by", "column"), [("message", 1), ("app", 6), ("day", 0), ("status", 4)])
def test_a_table_counts_records_and_devices_of_each_value(by: str, column: int, log: Path) -> None:
    groups = groups_of(log, "--by", by)
    values = [row[column][:10] if by == "day" else row[column] for row in TRUTH]
    assert {value: group["records"] for value, group in groups.items()} == Counter(values)
    devices: dict[str, set[str]] = {}
    for value, row in zip(values, TRUTH, strict=True):
        devices.setdefault(value, set()).add(row[3])
    assert {value: group["devices"] for value, group in groups.items()} == {
        value: len(found) for value, found in devices.items()
    }
    assert facts_of(log, "--by", by)["devices"] == len({row[3] for row in TRUTH})


def test_its_rates_are_over_what_was_sent(tmp_path: Path) -> None:
    counts = {"created": 8, "sent": 4, "delivered": 3, "failed": 1, "opened": 1, "bounced": 2}
    rows = [with_text(status=status) for status, count in counts.items() for _ in range(count)]
    log = csv_of(tmp_path / "log.csv", *rows, with_text(status="created", tracking_code="T-2", hwid=""))
    groups = groups_of(log, "--by", "message")
    assert groups["T-1"]["of_sent"] == {"delivered": 0.75, "opened": 0.25, "failed": 0.25}
    assert groups["T-1"]["statuses"] == {"created": 8, "sent": 4, "delivered": 3, "opened": 1, "failed": 1} | {
        "(others)": 2
    }
    assert groups["T-2"]["of_sent"] == dict.fromkeys(["delivered", "opened", "failed"])
    assert [group["devices"] for group in groups.values()] == [1, 0]
    head, first, second = section(good("stats", log, "--by", "message").stdout, "by message")
    assert head[-4:] == ["others", "delivered/sent", "opened/sent", "devices"]
    assert first == ["T-1", "19", "8", "4", "3", "1", "1", "2", "75.0%", "25.0%", "1"]
    assert second == ["T-2", "1", "1", "0", "0", "0", "0", "0", "-", "-", "0"]


def test_what_is_not_listed_is_counted_together(log: Path) -> None:
    table = section(good("stats", log, "--by", "app", "--top", "2").stdout, "by app")
    assert [row[0] for row in table] == [
        "app",
        *(ranked(Counter(row[6] for row in TRUTH))[n][0] for n in (0, 1)),
        "(others)",
    ]
    assert sum(int(row[1].replace(",", "")) for row in table[1:]) == 3_000


def test_parquet_gives_the_same_numbers_as_its_log(log: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    good("convert", log, "--to", lake, "--row-group-size", 700)
    bad = with_bad(tmp_path / "bad.csv")
    good("convert", bad, "-o", tmp_path / "bad.parquet", "--rejects", lake / "bad.rejects.parquet")
    for name in ("bad.rejects.new.parquet", "bad.rejects.new-2.parquet"):
        shutil.copy(lake / "bad.rejects.parquet", lake / name)
    (lake / ".hidden.parquet").write_bytes(b"PAR1")
    wanted = facts_of(log, "--by", "message", "--status", "sent", "--status", "opened")
    for source in (lake, lake / "log.parquet", f"{lake}/*.parquet"):
        found = facts_of(source, "--by", "message", "--status", "sent", "--status", "opened")
        same = set(wanted) - {"bytes_read", "rejected", "blank_lines", "bytes_inflated", "members", "members_left_out"}
        assert {name: found[name] for name in same} == {name: wanted[name] for name in same}
    assert facts_of(log, lake)["records"] == 6_000


def test_folders_that_name_a_value_give_the_column(log: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lake" / "appCode=A%2F1"
    folder.mkdir(parents=True)
    good("convert", log, "-o", folder / "part.parquet", "--columns", "timestamp,status,hwid")
    assert {value: group["records"] for value, group in groups_of(tmp_path / "lake", "--by", "app").items()} == {
        "A/1": 3_000
    }
    message = ended(1, "stats", tmp_path / "lake", "--by", "message").stderr
    assert "there is no column 'tracking_code'" in message


def test_a_folder_of_logs_and_parquet_would_count_twice(log: Path) -> None:
    good("convert", log)
    assert "name one kind" in ended(2, "stats", log.parent).stderr


def test_a_log_beside_its_parquet_gets_a_note(log: Path, tmp_path: Path) -> None:
    table = tmp_path / "lake" / "log.parquet"
    good("convert", log, "--to", table.parent)
    said = f"trackparse: {log} and {table}: perhaps the same records, which are counted twice: name one of them\n"
    assert good("stats", log, table.parent).stderr == said
    table.rename(table.with_name("another.parquet"))
    assert good("stats", log, table.parent).stderr == ""


@pytest.mark.parametrize("others", ["its log's own file", "its log", "partitions of its log", "another of several"])
def test_a_file_of_several_logs_beside_another_with_one_of_them_gets_a_note(others: str, tmp_path: Path) -> None:
    logs, lake = tmp_path / "logs", tmp_path / "lake"
    logs.mkdir()
    lake.mkdir()
    for name in "abc":
        (logs / f"{name}.csv").write_bytes(HEADER + encode_row(ROW) + encode_row((*ROW[:4], "opened", *ROW[5:])))
    good("convert", logs / "a.csv", logs / "b.csv", "-o", lake / "all.parquet")
    another = lake / "b.parquet"
    if others == "its log's own file":
        good("convert", logs / "b.csv", "--to", lake)
    elif others == "its log":
        another = logs / "b.csv"
    elif others == "partitions of its log":
        good("convert", logs / "b.csv", "--to", lake, "--partition-by", "status")
        another = lake / "status=opened" / "b.parquet"
    else:
        another = lake / "b and c.parquet"
        good("convert", logs / "b.csv", logs / "c.csv", "-o", another)
    for inputs in ((lake / "all.parquet", another), (another, lake / "all.parquet")):
        said = f"{inputs[0]} and {inputs[1]}: both were made of b.csv, whose records are perhaps counted twice"
        assert good("stats", *inputs).stderr == f"trackparse: {said}: name one of them\n"
    if another.parent != logs:
        assert ": both were made of b.csv, whose records" in good("stats", lake).stderr
    # Files of other logs, and the partitions of one log.
    good("convert", logs / "c.csv", "--to", tmp_path / "c", "--partition-by", "status")
    assert good("stats", lake / "all.parquet", tmp_path / "c").stderr == ""


@pytest.mark.parametrize("content", [b"PAR1", b"PAR1 and nothing that is Parquet PAR1"])
def test_a_damaged_parquet_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "day.parquet").write_bytes(content)
    result = ended(1, "stats", tmp_path / "day.parquet")
    assert result.stderr.count("\n") == 1
    assert "it cannot be read as Parquet" in result.stderr


def test_parquet_with_odd_timestamps(tmp_path: Path) -> None:
    kinds = {"a": pa.timestamp("us"), "none": pa.timestamp("us"), "zone": pa.timestamp("us", tz="UTC")}
    for name, kind in kinds.items():
        moments = pa.array([None if name == "none" else 0], kind)
        pq.write_table(pa.table({"timestamp": moments, "status": ["sent"]}), tmp_path / f"{name}.parquet")
    for names in (("a", "none"), ("none", "a"), ("a", "zone"), ("zone", "a")):
        told = good("stats", *(tmp_path / f"{name}.parquet" for name in names), "--json")
        assert json.loads(told.stdout)["first"] == "1970-01-01 00:00:00"
    pq.write_table(
        pa.table({"timestamp": pa.array([1 << 62], kinds["a"]), "status": ["sent"]}), tmp_path / "late.parquet"
    )
    said = ended(1, "stats", tmp_path / "late.parquet").stderr
    assert "late.parquet: a 'timestamp' in it is no date of the years 1 to 9999" in said


@pytest.mark.parametrize("name", [b"hwid", b"status"])
def test_parquet_with_a_damaged_name_is_one_line(name: bytes, log: Path, tmp_path: Path) -> None:
    path = tmp_path / "day.parquet"
    good("convert", log, "-o", path)
    path.write_bytes(path.read_bytes().replace(name, b"\xe8" + name[1:]))
    for command in (("stats", path), ("convert", log, "-o", path, "--existing", "skip")):
        result = ended(1, *command)
        assert "day.parquet: " in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", Totals.columns)
def test_parquet_with_two_columns_of_one_name_is_refused(name: str, log: Path, tmp_path: Path) -> None:
    """Of another column, which is not counted, there may be two."""
    path = tmp_path / "day.parquet"
    good("convert", log, "-o", path)
    table = pq.read_table(path)
    pq.write_table(table.append_column("payload", table["payload"]), path)
    assert facts_of(path)["records"] == 3_000
    pq.write_table(table.append_column(name, table[name]), path)
    result = ended(1, "stats", path)
    assert f"day.parquet: it has two columns {name!r}" in result.stderr
    assert "Traceback" not in result.stderr


def test_parquet_of_something_else_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"timestamp": ["today"], "status": ["sent"]}), tmp_path / "day.parquet")
    assert "the column 'timestamp' is string" in ended(1, "stats", tmp_path / "day.parquet").stderr


def test_of_too_many_values_the_largest_stay_and_the_sums_are_right() -> None:
    groups = Groups(most=10)
    for number in range(200):
        groups.add([("large", "sent", 50), (f"small {number}", "sent", 1), (f"small {number}", "bounced", 1)])
        assert len(groups) <= 21
    found = groups.ranked(Devices())
    assert sum(group.records for group in found) + sum(groups.others) == 200 * 52
    assert found[0].value == "large"
    assert 200 * 50 - groups.short_by <= found[0].records <= 200 * 50
    assert 0 < groups.short_by < 50


def test_how_short_a_number_may_be_adds_up() -> None:
    groups = Groups(most=1)
    for _ in range(3):
        groups.add([("a", "sent", 5), ("b", "sent", 4), ("c", "sent", 3)])
    # Each time b was dropped with its four records.
    assert [(group.value, group.records) for group in groups.ranked(Devices())] == [("a", 15)]
    assert groups.short_by == 3 * 4
    assert sum(groups.others) == 3 * 7


def test_devices_are_exact_up_to_a_limit_and_then_estimated() -> None:
    devices = Devices(most=8_000)
    for start in range(0, 8_000, 500):
        devices.add((number % 2, b"%d" % number) for number in (*range(start, start + 500), *range(500)))
    assert (devices.count(), devices.share) == (8_000, 1)
    assert devices.by_group() == {0: 4_000, 1: 4_000}
    devices.add((number % 2, b"%d" % number) for number in range(100_000))
    assert devices.share == 16
    assert devices.count() == pytest.approx(100_000, rel=0.1)
    assert devices.by_group()[0] == pytest.approx(50_000, rel=0.15)
    before = devices.count()
    devices.add((number % 2, b"%d" % number) for number in range(100_000))
    assert (devices.count(), devices.share) == (before, 16)
    devices.add((0, b"%d" % number) for number in range(100_000, 100_320))
    assert devices.count() == pytest.approx(before + 320, abs=300)
    assert devices.share == 16


@pytest.mark.parametrize("link", ["of a folder", "of a file", "hard"])
def test_a_log_with_two_names_is_read_once(link: str, tmp_path: Path) -> None:
    """So the library does. The first name stays."""
    log = csv_of(tmp_path / "log.csv", ROW, ROW)
    days = tmp_path / "days"
    day, latest = days / "2021-04-18", days / "latest"
    day.mkdir(parents=True)
    log.rename(day / "app.csv")
    if link == "of a folder":
        latest.symlink_to(day.name)
    else:
        latest.mkdir()
        if link == "hard":
            (latest / "app.csv").hardlink_to(day / "app.csv")
        else:
            (latest / "app.csv").symlink_to(day / "app.csv")
    alike = day / "../2021-04-18/app.csv"
    for names in ([days / "*/*.csv"], [day / "app.csv", latest / "app.csv"], [day, latest / "app.csv", alike]):
        assert json.loads(good("stats", "--json", *names).stdout)["records"] == 2
        assert good("cat", *names).stdout.count("T-1") == 2
    url = (latest / "app.csv").as_uri()
    assert json.loads(good("stats", "--json", day / "app.csv", url).stdout)["records"] == 2
    good("convert", days / "*/*.csv", "--to", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*.parquet")] == ["2021-04-18-app.parquet"]


def test_a_parquet_file_with_two_names_is_counted_once(tmp_path: Path) -> None:
    good("convert", csv_of(tmp_path / "log.csv", ROW), "-o", tmp_path / "a.parquet")
    (tmp_path / "b.parquet").symlink_to("a.parquet")
    for names in ([tmp_path / "a.parquet", tmp_path / "b.parquet"], [tmp_path / "*.parquet"]):
        assert json.loads(good("stats", "--json", *names).stdout)["records"] == 1
