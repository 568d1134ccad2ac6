"""``trackparse fetch`` against the stand-in for the service, and logs by URL."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import Result

import trackparse
from support.cli import BAD, HEADER, ROW, run
from support.service import sample, stored
from trackparse.cli.progress import Bar
from trackparse.sources.retry import Clock
from trackparse.testing import TOKEN, FakeService, Reply
from trackparse.testing.sample import encode_row

TODAY = datetime.datetime.now(datetime.UTC).date()
DAYS = [str(TODAY - datetime.timedelta(days=age)) for age in (3, 2, 1)]


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService(rows=200) as service:
        yield service


def fetch(service: FakeService, *arguments: object, token: str = TOKEN, code: int = 0) -> Result:
    options = ["--base-url", service.url, "--allow-http"]
    result = run("fetch", *arguments, *options, TRACKPARSE_TOKEN=token)
    assert result.exit_code == code, (result.output, result.exception)
    assert not token or token not in result.output
    return result


def test_it_asks_waits_and_writes_a_day(service: FakeService, tmp_path: Path) -> None:
    service.ready_after = 1
    result = fetch(service, "--date", DAYS[0], "--to", tmp_path / "new")
    out = tmp_path / "new" / f"{DAYS[0]}.parquet"
    assert pq.read_table(out).equals(trackparse.read_log(service.log(DAYS[0])))
    assert result.stdout.startswith(f"{out}: 200 rows, ")
    assert result.stderr == ""
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_service_that_cannot_be_reached_failed_however_short_the_wait(seconds: int, tmp_path: Path) -> None:
    with FakeService() as service:
        pass
    result = fetch(service, "--wait", seconds, "--to", tmp_path, code=7)
    assert "the connection to 127.0.0.1" in result.stderr
    assert result.stderr.endswith("; try again in a while\n")
    with FakeService() as service:
        service.reply("getTrackingLog", *[Reply(503)] * 9)
        assert "the service answered 503" in fetch(service, "--wait", seconds, "--to", tmp_path, code=7).stderr


def test_without_a_day_it_is_yesterday_and_the_file_has_its_name(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fetch(service)
    fetch(service, "-o", "named.parquet", "--quiet")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{DAYS[2]}.parquet", "named.parquet"]


def test_of_a_day_that_is_not_over_it_says_so(service: FakeService, tmp_path: Path) -> None:
    result = fetch(service, "--days", "2", "--date", TODAY, "--to", tmp_path)
    assert result.stderr.startswith(
        f"trackparse: {TODAY}: the day is not over (in UTC): the file holds its beginning; "
    )
    assert result.stderr.count("\n") == 1
    assert [pq.read_metadata(path).metadata[b"trackparse.final"] for path in tmp_path.iterdir()] == [b"false"] * 2
    assert "not over" in fetch(service, "--date", TODAY, "-o", tmp_path / "a.parquet", "--quiet").stderr


@pytest.mark.parametrize("days", [["--date", DAYS[0], "--until-date", DAYS[2]], ["--days", "3"]])
def test_of_several_days_each_becomes_a_file(days: list[str], service: FakeService, tmp_path: Path) -> None:
    result = fetch(service, *days, "--to", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{day}.parquet" for day in DAYS]
    assert result.stdout.count("\n") == 3
    asked = [request.path.rsplit("/", 1)[1] for request in service.requests if request.host == "api"]
    assert asked == ["getTrackingLog"] * 3 + ["getResults"] * 3


def test_a_day_that_fails_does_not_stop_the_others(service: FakeService, tmp_path: Path) -> None:
    service.reply("getTrackingLog", Reply.refusal(210, "there is no log for this day"))
    result = fetch(service, "--days", "3", "--to", tmp_path, code=7)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{day}.parquet" for day in DAYS[1:]]
    first, last = result.stderr.splitlines()
    assert first.startswith(f"trackparse: {DAYS[0]}: ")
    assert last == "trackparse: 1 of 3 logs not converted"


def test_a_token_that_is_not_accepted_ends_it_with_5(service: FakeService, tmp_path: Path) -> None:
    result = fetch(service, "--days", "3", "--to", tmp_path, token="a-wrong-one", code=5)
    assert result.stderr.count("\n") == 1
    assert len(service.requests) == 1


def test_a_log_that_is_not_made_in_time_ends_it_with_6(service: FakeService, tmp_path: Path) -> None:
    service.delay = 3600
    assert "ask again later" in fetch(service, "--wait", "0", "-o", tmp_path / "out.parquet", code=6).stderr
    assert not list(tmp_path.iterdir())


def test_a_download_that_fails_ends_it_with_7(service: FakeService, tmp_path: Path) -> None:
    service.reply("download", Reply(404))
    fetch(service, "-o", tmp_path / "out.parquet", code=7)
    assert not list(tmp_path.iterdir())


def test_the_token_may_stand_in_a_file(service: FakeService, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    fetch(service, "--token-file", file, "-o", tmp_path / "out.parquet", token="")
    file.write_text("")
    assert "is empty" in fetch(service, "--token-file", file, token="", code=2).stderr
    assert "TRACKPARSE_TOKEN is not set" in fetch(service, token="", code=2).stderr
    assert "does not hold a token" in fetch(service, token="two words", code=2).stderr
    file.write_bytes(b"\xff")
    assert "is not text" in fetch(service, "--token-file", file, token="", code=2).stderr


def test_bad_records_and_damage_are_treated_as_by_convert(service: FakeService, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    log = HEADER + encode_row(ROW) + BAD + encode_row(ROW)
    service._logs[DAYS[2]] = stored(log)
    result = fetch(service, "--date", DAYS[2], "-o", out)
    assert trackparse.read_rejects(tmp_path / "out.rejects.jsonl")["raw"].to_pylist() == [BAD]
    assert result.stderr == f"trackparse: {DAYS[2]}: 1 bad record set aside in {tmp_path / 'out.rejects.jsonl'}\n"
    fetch(service, "--date", DAYS[2], "-o", tmp_path / "strict.parquet", "--strict", code=3)
    service._logs[DAYS[1]] = sample()[:-20_000]
    fetch(service, "--date", DAYS[1], "-o", tmp_path / "whole.parquet", code=1)
    fetch(service, "--date", DAYS[1], "-o", tmp_path / "part.parquet", "--keep-partial", code=4)
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == ["out.parquet", "part.parquet"]


@pytest.mark.parametrize("place", ["--to", "-o"])
def test_rejects_that_a_person_has_changed_are_kept(place: str, service: FakeService, tmp_path: Path) -> None:
    service._logs[DAYS[2]] = stored(HEADER + encode_row(ROW) + BAD + encode_row(ROW))
    options = ["--date", DAYS[2], place, tmp_path if place == "--to" else tmp_path / f"{DAYS[2]}.parquet"]
    rejects, new = tmp_path / f"{DAYS[2]}.rejects.jsonl", tmp_path / f"{DAYS[2]}.rejects.new.jsonl"
    assert "kept" not in fetch(service, *options).stderr + fetch(service, *options).stderr
    rejects.write_bytes(rejects.read_bytes() + b"\n")
    before = rejects.read_bytes()
    assert (
        f"trackparse: {rejects}: nothing says that the file is as trackparse wrote it, so it is kept"
        in fetch(service, *options).stderr
    )
    assert rejects.read_bytes() == before
    assert trackparse.read_rejects(new)["raw"].to_pylist() == [BAD]


def test_filters_and_columns_are_as_for_convert(service: FakeService, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    fetch(service, "--date", DAYS[0], "-o", out, "--status", "sent", "--columns", "hwid,status")
    table = pq.read_table(out)
    assert table.column_names == ["hwid", "status"]
    assert set(table["status"].to_pylist()) == {"sent"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--date", "2021-04-20"],
        ["--date", "yesterday"],
        ["--until-date", DAYS[0]],
        ["--date", DAYS[2], "--until-date", DAYS[0]],
        ["--date", DAYS[0], "--until-date", DAYS[2], "--days", "3"],
        ["--days", "30"],
        ["--days", "3", "-o", "out.parquet"],
        ["-o", "/"],
        ["-o", "missing/out.parquet"],
        ["--wait", "nan"],
    ],
)
def test_wrong_usage_ends_with_2_and_asks_nobody(arguments: list[str], service: FakeService) -> None:
    assert "Usage: trackparse fetch" in fetch(service, *arguments, code=2).stderr
    assert service.requests == []


def test_without_allow_http_no_token_is_sent_in_the_clear(service: FakeService) -> None:
    result = run("fetch", TRACKPARSE_TOKEN=TOKEN, TRACKPARSE_BASE_URL=service.url)
    assert result.exit_code == 2
    assert "--allow-http" in result.stderr
    assert "allow_http=" not in result.stderr
    assert service.requests == []


def test_the_bar_says_which_day_and_how_many_there_are(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []

    class Recorded(Bar):
        def rename(self, title: str) -> None:
            titles.append(title)

        begin = rename

    @contextmanager
    def recorded(title: str, total: int | None, *, shown: bool) -> Iterator[Bar]:
        titles.append(title)
        yield Recorded()

    monkeypatch.setattr(Clock, "pause", lambda *_: None)
    for command in ("fetch", "sync"):
        monkeypatch.setattr(f"trackparse.cli.{command}.progress_bar", recorded)
    service.ready_after = 1
    fetch(service, "--days", "2", "--to", tmp_path)
    first, *rest = dict.fromkeys(titles)
    assert first == "asking for the logs"
    assert rest == [
        title
        for day, turn in ((DAYS[1], "1 of 2"), (DAYS[2], "2 of 2"))
        for title in (f"{day}, {turn}: waiting, 0 s", f"{day}, {turn}")
    ]
    titles.clear()
    fetch(service, "--days", "1", "--to", tmp_path)
    assert list(dict.fromkeys(titles)) == ["asking for the log", f"{DAYS[2]}: waiting, 0 s", DAYS[2]]
    titles.clear()
    run(
        "sync", "--days", 2, "--to", tmp_path / "new", "--base-url", service.url, "--allow-http", TRACKPARSE_TOKEN=TOKEN
    )
    assert f"{DAYS[2]}, 2 of 2: waiting, 0 s" in titles


# ---- URLs


def test_a_url_is_a_log_and_goes_on_where_it_broke(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = service.file_url(DAYS[0])
    service.delivery.cuts = [1000]
    result = run("convert", url)
    assert result.exit_code == 0, result.output
    out = f"tracking_log_{DAYS[0]}.parquet"
    assert pq.read_table(out).equals(trackparse.read_log(service.log(DAYS[0])))
    assert os.listdir() == [out]  # noqa: PTH208
    assert service.spans[0] == (0, 1000)
    assert service.spans[1][0] == 1000


def test_what_opens_a_url_is_not_shown(service: FakeService) -> None:
    service.reply("download", Reply(404))
    result = run("stats", service.file_url(DAYS[0]))
    assert result.exit_code == 7
    assert "sesame" not in result.output
    assert f"tracking_log_{DAYS[0]}.zip" in result.stderr


@pytest.mark.parametrize(("arguments", "variables"), [(["--base-url", ""], {}), ([], {"TRACKPARSE_BASE_URL": ""})])
def test_an_empty_url_is_not_the_real_service(
    arguments: list[str], variables: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackparse.client.BASE_URL", "https://127.0.0.1:9/the-real-one")
    result = run("fetch", *arguments, "--to", tmp_path, TRACKPARSE_TOKEN=TOKEN, **variables)
    assert result.exit_code == 2
    assert "--base-url '' (or TRACKPARSE_BASE_URL): expected an https:// URL" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_link_by_http_can_be_taken_as_it_is(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the service does over http is for tests; here the client believes that it was not told so.
    monkeypatch.setattr("trackparse.client.api.check_url", lambda *_, **__: None)
    options = ["--to", tmp_path, "--date", DAYS[0], "--base-url", service.url]
    result = run("fetch", *options, "--wait", "1", TRACKPARSE_TOKEN=TOKEN)
    assert result.exit_code == 7
    assert "--allow-http-download" in result.stderr
    result = run("fetch", *options, "--allow-http-download", TRACKPARSE_TOKEN=TOKEN)
    assert result.exit_code == 0
