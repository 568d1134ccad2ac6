"""``sync``: of the days that the service keeps, it fetches what is missing or was not complete, and nothing else."""

from __future__ import annotations

import datetime
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from click.testing import Result

import trackparse
from support.cli import BAD, HEADER, ROW, run
from support.service import NOON, SetClock, client_of, stored
from trackparse.client import KEPT_DAYS, MANIFEST, TrackingLogClient
from trackparse.client.sync import Run
from trackparse.options import CONVERT_DEFAULTS
from trackparse.sources.retry import Clock
from trackparse.testing import TOKEN, FakeService, Reply
from trackparse.testing.sample import encode_row

HOUR = 3600.0


def ago(days: int) -> str:
    return str(NOON.date() - datetime.timedelta(days=days))


YESTERDAY = ago(1)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService(rows=20) as service:
        yield service


@pytest.fixture
def client(service: FakeService, clock: SetClock) -> Iterator[TrackingLogClient]:
    with client_of(service) as client:
        client._clock = clock
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "push"


def log_of(*rows: bytes) -> bytes:
    return stored(HEADER + b"".join(rows))


GOOD = encode_row(ROW)


def asked(service: FakeService) -> list[str]:
    """The days that were asked for since the last call."""
    found = [
        json.loads(request.body)["request"]["date"]
        for request in service.requests
        if request.path.endswith("/getTrackingLog")
    ]
    service.requests.clear()
    return found


def synced(client: TrackingLogClient, folder: Any, **options: Any) -> list[str]:
    """The days that one ``sync`` fetched, all of them without an error."""
    reports = client.sync(folder, on_error="quarantine", **options)
    assert not [report.error for report in reports.values() if report.error]
    return [str(day) for day in reports]


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_in_which_nothing_is_left_is_removed(
    client: TrackingLogClient, service: FakeService, folder: Path
) -> None:
    day = datetime.date.fromisoformat(YESTERDAY)
    for is_old in (False, True):
        if is_old:
            folder.mkdir()
        for _ in range(2):
            service.reply("getTrackingLog", Reply.refusal(210, "no log"))
        assert client.sync(folder / "deep", days=1)[day].error
        assert client.convert_days(day, day, folder / "deep")[day].error
        with client_of(service, token="another-token") as stranger:
            stranger._clock = client._clock
            with pytest.raises(trackparse.AuthError):
                stranger.convert_days(day, day, folder / "deep")
        assert folder.exists() == is_old
        assert not [*folder.rglob("*")]


def test_a_folder_that_another_run_removes_is_made_again(
    client: TrackingLogClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had made it, too, and could not fetch its days. It waits for the service, as this one does."""
    fetch = Run.fetch

    def later(self: Run, planned: Any) -> Any:
        folder.rmdir()
        return fetch(self, planned)

    monkeypatch.setattr(Run, "fetch", later)
    assert synced(client, folder, days=1) == [YESTERDAY]
    assert files_in(folder) == [f"{YESTERDAY}.parquet", MANIFEST]


# ---- which days


def test_the_first_one_fetches_all_days_and_a_second_one_nothing(
    client: TrackingLogClient, service: FakeService, folder: Path
) -> None:
    days = [ago(age) for age in range(4, 0, -1)]
    assert synced(client, folder, days=4) == days == asked(service)
    assert files_in(folder) == [*[f"{day}.parquet" for day in days], MANIFEST]
    assert pq.read_table(folder / f"{days[3]}.parquet").equals(trackparse.read_log(service.log(days[3])))
    assert synced(client, folder, days=4) == [] == asked(service)
    # All that the service keeps, unless told.
    assert len(client.days_to_sync(folder, on_error="quarantine")) == KEPT_DAYS - 4


def test_after_an_outage_of_three_days_exactly_the_missing_ones_are_fetched(
    client: TrackingLogClient, service: FakeService, clock: SetClock, folder: Path
) -> None:
    today = clock.moment
    clock.moment = today - 3 * 24 * HOUR
    synced(client, folder, days=2)
    clock.moment = today
    before = {age: (folder / f"{ago(age)}.parquet").read_bytes() for age in (5, 4)}
    asked(service)
    # The last day before the outage was fetched within its grace: it was not final yet.
    assert synced(client, folder, days=5) == [ago(4), ago(3), ago(2), ago(1)] == asked(service)
    assert synced(client, folder, days=5) == [] == asked(service)
    assert (folder / f"{ago(5)}.parquet").read_bytes() == before[5]
    # Days that are missing among final ones.
    for age in (5, 3):
        (folder / f"{ago(age)}.parquet").unlink()
    assert synced(client, folder, days=5) == [ago(5), ago(3)] == asked(service)
    assert (folder / f"{ago(5)}.parquet").read_bytes() == before[5]
    assert synced(client, folder, days=5) == [] == asked(service)


def test_a_half_grown_day_is_fetched_again_when_it_is_over_and_when_it_is_final(
    client: TrackingLogClient, service: FakeService, clock: SetClock, folder: Path
) -> None:
    file = folder / f"{YESTERDAY}.parquet"
    midnight = NOON.timestamp() - 12 * HOUR

    def fetched(moment: float, rows: int) -> tuple[list[str], int, bytes]:
        clock.moment = moment
        service._logs[YESTERDAY] = log_of(*[GOOD] * rows)
        days = synced(client, folder, days=2)
        found = pq.read_metadata(file)
        return [day for day in days if day == YESTERDAY], found.num_rows, found.metadata[b"trackparse.final"]

    clock.moment = midnight - 1
    service._logs[YESTERDAY] = log_of(GOOD)
    client.convert_days(YESTERDAY, YESTERDAY, folder, on_error="quarantine")
    assert pq.read_metadata(file).num_rows == 1
    assert fetched(midnight, 2) == ([YESTERDAY], 2, b"false")
    assert fetched(midnight + 24 * HOUR - 1, 3) == ([], 2, b"false")
    assert fetched(midnight + 24 * HOUR, 4) == ([YESTERDAY], 4, b"true")
    assert fetched(midnight + 48 * HOUR, 5) == ([], 4, b"true")


def test_a_log_that_was_asked_for_before_its_day_was_final_is_not_final(
    client: TrackingLogClient, clock: SetClock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late the service answers: it may have made the log when it was asked."""
    file = folder / f"{YESTERDAY}.parquet"
    end = NOON.timestamp() + 12 * HOUR
    ask = client.request_log

    def slowly(*args: Any, **options: Any) -> str:
        request_id = ask(*args, **options)
        clock.moment = end + 1
        return request_id

    with monkeypatch.context() as patch:
        patch.setattr(client, "request_log", slowly)
        clock.moment = end - 1
        assert synced(client, folder, days=1) == [YESTERDAY]
        assert pq.read_metadata(file).metadata[b"trackparse.final"] == b"false"
        clock.moment = end - 1
        client.convert(YESTERDAY, folder / "other.parquet")
        assert pq.read_metadata(folder / "other.parquet").metadata[b"trackparse.final"] == b"false"
    clock.moment = end + 1
    assert YESTERDAY in synced(client, folder, days=2)
    assert pq.read_metadata(file).metadata[b"trackparse.final"] == b"true"


def test_the_grace_can_be_set(client: TrackingLogClient, clock: SetClock, folder: Path) -> None:
    assert synced(client, folder, days=1, grace=12 * HOUR) == [YESTERDAY]
    assert pq.read_metadata(folder / f"{YESTERDAY}.parquet").metadata[b"trackparse.final"] == b"true"
    wrong_options: list[dict[str, Any]] = [{"days": 0}, {"days": 15}, {"grace": -1.0}, {"grace": float("nan")}]
    for wrong in wrong_options:
        with pytest.raises(trackparse.OptionError):
            client.sync(folder, **wrong)


def test_other_options_fetch_a_day_again(client: TrackingLogClient, folder: Path) -> None:
    assert synced(client, folder, days=1) == synced(client, folder, days=1, columns=["status"]) == [YESTERDAY]
    assert synced(client, folder, days=1, columns=iter(["status"]), block_size=1000) == []
    assert pq.read_schema(folder / f"{YESTERDAY}.parquet").names == ["status"]


def test_an_option_that_a_later_version_has_costs_no_day(
    client: TrackingLogClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as nobody gives it."""
    assert synced(client, folder, days=1) == [YESTERDAY]
    defaults: Any = CONVERT_DEFAULTS
    monkeypatch.setitem(defaults, "later", 7)
    assert synced(client, folder, days=1) == []


def test_a_damaged_log_is_fetched_until_it_is_whole(
    client: TrackingLogClient, service: FakeService, folder: Path
) -> None:
    whole = service.log(ago(3))
    assert isinstance(whole, bytes)
    service._logs[ago(3)] = whole[:-400]
    options: dict[str, Any] = {"days": 3, "on_damage": "keep"}
    assert synced(client, folder, **options) == [ago(3), ago(2), ago(1)]
    assert synced(client, folder, **options) == [ago(3)]
    service._logs[ago(3)] = whole
    assert synced(client, folder, **options) == [ago(3)]
    assert synced(client, folder, **options) == []


# ---- what may happen to a folder


@pytest.mark.parametrize("damage", [b"", b"[1]", b'{"days": {"2021-04-20": {}}}', b"\xff"])
def test_a_damaged_manifest_is_said_and_costs_days_that_are_not_final_only(
    damage: bytes, client: TrackingLogClient, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    synced(client, folder, days=3)
    (folder / MANIFEST).write_bytes(damage)
    assert synced(client, folder, days=3) == [YESTERDAY]
    assert caplog.text.count(f"{folder / MANIFEST}: the manifest is damaged") == 1
    assert synced(client, folder, days=3) == []


def test_a_lost_manifest_costs_days_that_are_not_final_only(client: TrackingLogClient, folder: Path) -> None:
    synced(client, folder, days=3)
    (folder / MANIFEST).unlink()
    assert synced(client, folder, days=3) == [YESTERDAY]
    noted = json.loads((folder / MANIFEST).read_text())["days"]
    assert noted == {YESTERDAY: {"fetched": NOON.isoformat(timespec="seconds"), "rejects_sha256": ""}}


def test_a_manifest_that_is_ahead_of_its_file_does_not_count(
    client: TrackingLogClient, clock: SetClock, folder: Path
) -> None:
    """Another run, which asked earlier, may have written its file later."""
    synced(client, folder, days=1)
    for hours in (1, 24):
        text = json.dumps({"days": {YESTERDAY: {"fetched": _iso(clock.moment + hours * HOUR), "rejects_sha256": ""}}})
        (folder / MANIFEST).write_text(text)
        assert synced(client, folder, days=1) == [YESTERDAY]
    clock.moment += 24 * HOUR
    (folder / MANIFEST).write_text(text)
    assert YESTERDAY in synced(client, folder, days=2)


def _iso(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat()


def test_a_file_of_something_else_stays_and_does_not_stop_the_others(
    client: TrackingLogClient, service: FakeService, folder: Path, tmp_path: Path
) -> None:
    folder.mkdir()
    (tmp_path / "log.zip").write_bytes(log_of(GOOD))
    trackparse.convert_log(tmp_path / "log.zip", folder / f"{ago(4)}.parquet")
    (folder / f"{ago(3)}.parquet").write_bytes(b"my notes")
    client.convert(ago(1), folder / f"{ago(2)}.parquet", on_error="quarantine")
    before = {name: (folder / name).read_bytes() for name in files_in(folder)}
    reports = client.sync(folder, days=4, on_error="quarantine")
    assert [str(day) for day, report in reports.items() if report.error] == [ago(4), ago(3), ago(2)]
    assert "does not say that it is the log of this day; move it away" in str(reports[min(reports)].error)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert files_in(folder)[-2:] == [f"{YESTERDAY}.parquet", MANIFEST]


def test_a_day_that_fails_does_not_stop_the_others(
    client: TrackingLogClient, service: FakeService, folder: Path
) -> None:
    service.reply("getTrackingLog", Reply.refusal(210, "no log"))
    service._logs[ago(2)] = log_of(GOOD, BAD)
    days: list[trackparse.Progress] = []
    told: list[Any] = []
    reports = client.sync(folder, days=3, progress=days.append, on_report=lambda *args: told.append(args))
    assert [type(report.error) for report in reports.values()] == [
        trackparse.ApiError,
        trackparse.RecordError,
        type(None),
    ]
    assert told == list(reports.items())
    named = dict.fromkeys((progress.name, progress.number, progress.count) for progress in days)
    # The first day was never opened.
    assert [*named] == [(str(day), number, 3) for number, day in enumerate(reports, 1)][1:]
    assert files_in(folder) == [f"{YESTERDAY}.parquet", MANIFEST]
    service._logs[ago(2)] = log_of(GOOD)
    assert list(client.sync(folder, days=3)) == list(reports)[:2]


def test_a_service_that_is_down_is_asked_again_and_again_for_the_first_day_only(
    client: TrackingLogClient, service: FakeService, clock: SetClock, folder: Path
) -> None:
    service.reply("getTrackingLog", *[Reply(503)] * 7, Reply.refusal(210, "no log"))
    reports = client.sync(folder, days=4)
    assert asked(service) == [ago(4)] * 6 + [ago(3), ago(2), ago(1)]
    assert len(clock.pauses) == 5
    assert [type(report.error) for report in reports.values()] == [trackparse.ApiError] * 3 + [type(None)]


def test_a_wrong_token_and_a_cancel_end_it(service: FakeService, folder: Path) -> None:
    with client_of(service, token="another-token") as client, pytest.raises(trackparse.AuthError):
        client.sync(folder)
    assert len(service.requests) == 1
    cancel = threading.Event()
    with client_of(service) as client, pytest.raises(trackparse.CancelledError):
        client.sync(folder, days=3, cancel=cancel, on_report=lambda *_: cancel.set())
    assert files_in(folder) == [f"{ago(3)}.parquet", MANIFEST]


def test_a_folder_that_cannot_be_written_is_an_error_before_the_service_is_asked(
    client: TrackingLogClient, service: FakeService, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        client.sync(tmp_path / "file" / "push")
    with pytest.raises(OSError, match="file"):
        client.convert_days(YESTERDAY, YESTERDAY, tmp_path / "file")
    assert service.requests == []


def test_to_list_the_days_makes_no_folder(client: TrackingLogClient, service: FakeService, tmp_path: Path) -> None:
    inside = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    for folder, options in ((tmp_path / "push", {}), ("push", {"filesystem": inside})):
        planned = client.days_to_sync(folder, days=2, **options)
        assert [(str(one.day), one.why, one.error) for one in planned] == [
            (ago(age), "missing", None) for age in (2, 1)
        ]
    assert ([*tmp_path.iterdir()], service.requests) == ([], [])
    assert synced(client, "push", days=1, filesystem=inside) == [YESTERDAY]
    assert files_in(tmp_path / "push") == [f"{YESTERDAY}.parquet", MANIFEST]


def test_a_manifest_that_is_a_link_is_not_written_through(
    client: TrackingLogClient, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other.txt"
    other.write_text("precious")
    folder.mkdir(parents=True)
    (folder / MANIFEST).symlink_to(other)
    client.sync(folder, days=1)
    assert other.read_text() == "precious"
    assert (folder / MANIFEST).is_symlink()
    assert f"{folder / MANIFEST}: the manifest cannot be written: it is a link to another file" in caplog.text


def test_a_manifest_that_cannot_be_written_is_said(
    client: TrackingLogClient, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / MANIFEST).mkdir(parents=True)
    assert synced(client, folder, days=1) == [YESTERDAY]
    assert f"{folder / MANIFEST}: the manifest cannot be written" in caplog.text
    assert synced(client, folder, days=1) == [YESTERDAY]


def test_a_run_beside_another_one_doubles_nothing_and_keeps_its_notes(
    client: TrackingLogClient, service: FakeService, folder: Path
) -> None:
    """The other one runs while this one waits for its first day, and reads the second one."""
    service._logs[YESTERDAY] = log_of(GOOD, BAD)
    with client_of(service) as other:
        other._clock = client._clock
        inside: list[Any] = []

        def meanwhile(*_: object) -> None:
            if not inside:
                inside.append(synced(other, folder, days=4))

        assert synced(client, folder, days=3, progress=meanwhile) == [ago(3), ago(2), ago(1)]
        assert inside == [[ago(4), ago(3), ago(2), ago(1)]]
        files = [*[f"{ago(age)}.parquet" for age in (4, 3, 2, 1)], f"{YESTERDAY}.rejects.jsonl", MANIFEST]
        assert files_in(folder) == files
        # Now while it reads the log, with other bad records.
        options: dict[str, Any] = {"columns": ["status"], "days": 1}
        inside.clear()

        def meanwhile_with_more(_: object) -> None:
            if not inside:
                service._logs[YESTERDAY] = log_of(BAD, GOOD, BAD)
                inside.append(synced(other, folder, **options))

        assert synced(client, folder, progress=meanwhile_with_more, **options) == [YESTERDAY]
    assert files_in(folder) == files
    assert trackparse.read_rejects(folder / f"{YESTERDAY}.rejects.jsonl").num_rows == 1
    assert sorted(json.loads((folder / MANIFEST).read_text())["days"]) == [ago(age) for age in (4, 3, 2, 1)]
    assert synced(client, folder, columns=["status"], days=1) == []


# ---- rejects


def test_rejects_as_they_were_written_are_replaced(
    client: TrackingLogClient, service: FakeService, clock: SetClock, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rejects = folder / f"{YESTERDAY}.rejects.jsonl"
    service._logs[YESTERDAY] = log_of(GOOD, BAD)
    synced(client, folder, days=1)
    assert trackparse.read_rejects(rejects).num_rows == 1
    clock.moment += 24 * HOUR
    service._logs[YESTERDAY] = log_of(BAD, GOOD, BAD)
    synced(client, folder, days=2)
    assert trackparse.read_rejects(rejects).num_rows == 2
    # The manifest or the Parquet file is enough to know them again.
    (folder / MANIFEST).unlink()
    service._logs[YESTERDAY] = log_of(GOOD, BAD)
    assert synced(client, folder, days=2, columns=["status"]) == [YESTERDAY, ago(0)]
    assert trackparse.read_rejects(rejects).num_rows == 1
    (folder / f"{YESTERDAY}.parquet").unlink()
    service._logs[YESTERDAY] = log_of(GOOD)
    assert synced(client, folder, days=2, columns=["status"]) == [YESTERDAY]
    assert [name for name in files_in(folder) if "rejects" in name] == []
    assert caplog.text == ""


def test_rejects_that_a_person_has_changed_are_kept(
    client: TrackingLogClient, service: FakeService, clock: SetClock, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rejects, new = folder / f"{YESTERDAY}.rejects.jsonl", folder / f"{YESTERDAY}.rejects.new.jsonl"
    service._logs[YESTERDAY] = log_of(GOOD, BAD)
    synced(client, folder, days=1)
    mended = rejects.read_bytes().replace(b"this is not a record", GOOD.strip().replace(b'"', b'\\"'))
    rejects.write_bytes(mended)
    clock.moment += 24 * HOUR
    [report, _] = client.sync(folder, days=2, on_error="quarantine").values()
    assert report.rejects_path == new
    assert trackparse.read_rejects(new)["raw"].to_pylist() == [BAD]
    said = (
        f"{rejects}: nothing says that the file is as trackparse wrote it, so it is kept; {new} has all bad records of "
        "the log, also those that may have been mended: mend one of the two"
    )
    assert [record.getMessage() for record in caplog.records] == [said]
    # Again: the second file is as it was written, so that it is replaced.
    (folder / f"{YESTERDAY}.parquet").unlink()
    synced(client, folder, days=2)
    assert rejects.read_bytes() == mended
    # Once the person's file is taken away, there is nothing to say.
    rejects.rename(folder / "mine.jsonl")
    caplog.clear()
    (folder / f"{YESTERDAY}.parquet").unlink()
    synced(client, folder, days=2)
    assert (caplog.text, trackparse.read_rejects(new).num_rows) == ("", 1)
    (folder / "mine.jsonl").rename(rejects)
    new.write_bytes(mended)
    (folder / f"{YESTERDAY}.parquet").unlink()
    synced(client, folder, days=2)
    assert new.read_bytes() == mended == rejects.read_bytes()
    assert [name for name in files_in(folder) if "rejects" in name] == [
        f"{YESTERDAY}.rejects{mark}.jsonl" for mark in ("", ".new-2", ".new")
    ]


def test_rejects_that_a_killed_run_wrote_are_no_second_ones(
    client: TrackingLogClient, service: FakeService, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It was killed when its rejects had their name, and its Parquet file had not."""
    service._logs[YESTERDAY] = log_of(GOOD, BAD)
    synced(client, folder, days=1)
    for name in (MANIFEST, f"{YESTERDAY}.parquet"):
        (folder / name).unlink()
    [report] = client.sync(folder, days=1, on_error="quarantine").values()
    assert report.rejects_path == folder / f"{YESTERDAY}.rejects.jsonl"
    assert files_in(folder) == [f"{YESTERDAY}.parquet", f"{YESTERDAY}.rejects.jsonl", MANIFEST]
    assert caplog.text == ""
    assert synced(client, folder, days=1) == []


def test_without_bad_records_changed_rejects_are_kept_as_well(
    client: TrackingLogClient,
    service: FakeService,
    clock: SetClock,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rejects = folder / f"{YESTERDAY}.rejects.jsonl"
    service._logs[YESTERDAY] = log_of(GOOD, BAD)
    synced(client, folder, days=1)
    rejects.write_bytes(rejects.read_bytes() + b"\n")
    clock.moment += 24 * HOUR
    service._logs[YESTERDAY] = log_of(GOOD, GOOD)
    synced(client, folder, days=2)
    assert rejects.exists()
    assert [name for name in files_in(folder) if "new" in name] == []
    assert "so it is kept; there are no bad records now" in caplog.text


def test_rejects_that_another_run_writes_meanwhile_are_no_change(
    client: TrackingLogClient, service: FakeService, clock: SetClock, folder: Path, tmp_path: Path
) -> None:
    """It was killed when its rejects had their name, and its Parquet file had not."""
    rejects = folder / f"{YESTERDAY}.rejects.jsonl"
    service._logs[YESTERDAY] = log_of(GOOD, BAD)
    synced(client, folder, days=1)
    clock.moment += 24 * HOUR
    service._logs[YESTERDAY] = log_of(BAD, GOOD, BAD)
    synced(client, tmp_path / "another", days=2)
    theirs = (tmp_path / "another" / rejects.name).read_bytes()
    assert theirs != rejects.read_bytes()
    reports = client.sync(folder, days=2, on_error="quarantine", progress=lambda _: rejects.write_bytes(theirs))
    report = reports[datetime.date.fromisoformat(YESTERDAY)]
    assert (report.error, report.rejects_path, report.rejected) == (None, rejects, 2)


def test_rejects_that_change_while_the_log_is_fetched_are_kept(
    client: TrackingLogClient, service: FakeService, clock: SetClock, folder: Path
) -> None:
    rejects = folder / f"{YESTERDAY}.rejects.jsonl"
    service._logs[YESTERDAY] = log_of(GOOD, BAD)
    synced(client, folder, days=1)
    clock.moment += 24 * HOUR
    old = (folder / f"{YESTERDAY}.parquet").read_bytes()
    mended = rejects.read_bytes() + b"\n"
    reports = client.sync(folder, days=2, on_error="quarantine", progress=lambda _: rejects.write_bytes(mended))
    error = reports[datetime.date.fromisoformat(YESTERDAY)].error
    assert "changed while the log was read, so it is kept; do the same again" in str(error)
    assert rejects.read_bytes() == mended
    assert (folder / f"{YESTERDAY}.parquet").read_bytes() == old


# ---- the command


def sync(service: FakeService, *arguments: object, code: int = 0, token: str = TOKEN) -> Result:
    options = ["--base-url", service.url, "--allow-http"]
    result = run("sync", *arguments, *options, TRACKPARSE_TOKEN=token)
    assert result.exit_code == code, (result.output, result.exception)
    assert token not in result.output
    return result


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "time", lambda _: NOON.timestamp())


@pytest.mark.usefixtures("at_noon")
def test_the_command_fetches_and_lists(service: FakeService, folder: Path) -> None:
    listed = sync(service, "--to", folder, "--days", 2, "--dry-run")
    assert listed.stdout == f"{ago(2)}: missing\n{YESTERDAY}: missing\n"
    assert service.requests == []
    assert not folder.exists()
    done = sync(service, "--to", folder, "--days", 2)
    assert done.stdout.startswith(f"{folder / ago(2)}.parquet: 20 rows, ")
    assert done.stdout.count("\n") == 2
    assert sync(service, "--to", folder, "--days", 2).stdout == f"{folder}: nothing to fetch, of 2 days\n"
    idle = sync(service, "--to", folder, "--days", 2, "--dry-run")
    assert (idle.stdout, idle.stderr) == ("", f"trackparse: {folder}: nothing to fetch, of 2 days\n")
    assert sync(service, "--to", folder, "--days", 2, "--dry-run", "--quiet").output == ""
    assert sync(service, "--to", folder, "--days", 2, "--quiet").output == ""
    assert sync(service, "--to", folder, "--grace", 12, "--days", 1, "-n").output == (
        f"{YESTERDAY}: not final, and it is not known when it was fetched\n"
    )


@pytest.mark.usefixtures("at_noon")
def test_the_command_ends_with_the_gravest_code(service: FakeService, folder: Path) -> None:
    service.reply("getTrackingLog", Reply.refusal(210, "no log"))
    result = sync(service, "--to", folder, "--days", 3, code=7)
    first, last = result.stderr.splitlines()
    assert first.startswith(f"trackparse: {ago(3)}: getTrackingLog: status_code 210")
    assert last == "trackparse: 1 of 3 logs not converted"
    (folder / f"{ago(3)}.parquet").write_bytes(b"my notes")
    result = sync(service, "--to", folder, "--days", 3, code=1)
    assert f"{ago(3)}.parquet: the file does not say that it is the log of this day" in result.stderr
    assert "move it away" in sync(service, "--to", folder, "--days", 3, "--dry-run", code=1).stderr
    assert "not accepted" in sync(service, "--to", folder, token="a-wrong-one", code=5).stderr
    service.delay = 3600
    sync(service, "--to", folder / "late", "--days", 1, "--wait", 0, code=6)
    sync(service, "--to", folder, "--days", 15, code=2)
    sync(service, "--to", folder, "--grace", "nan", code=2)
    sync(service, code=2)


@pytest.mark.usefixtures("at_noon")
def test_the_command_says_what_it_keeps(service: FakeService, folder: Path) -> None:
    service._logs[YESTERDAY] = log_of(GOOD, BAD)
    sync(service, "--to", folder, "--days", 1)
    rejects = folder / f"{YESTERDAY}.rejects.jsonl"
    rejects.write_bytes(rejects.read_bytes() + b"\n")
    (folder / MANIFEST).unlink()
    result = sync(service, "--to", folder, "--days", 1, "--quiet")
    kept, aside = result.stderr.splitlines()
    assert kept.startswith(
        f"trackparse: {rejects}: nothing says that the file is as trackparse wrote it, so it is kept; "
    )
    assert aside == f"trackparse: {YESTERDAY}: 1 bad record set aside in {folder / YESTERDAY}.rejects.new.jsonl"
    token = folder / MANIFEST
    token.write_text(TOKEN)
    assert "is the file with the token" in sync(service, "--to", folder, "--token-file", token, code=2).stderr
    assert token.read_text() == TOKEN
    assert not [name for name in os.listdir(folder) if name.endswith(".tmp")]  # noqa: PTH208
