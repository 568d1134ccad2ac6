"""A file of rejects that somebody has mended is never written over, by whatever converts its log again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import trackparse
from support.cli import good
from support.logs import H8, line
from trackparse.convert import changed

BAD = b"this is not a record\n"
LOG = H8 + line() + BAD + line()
QUARANTINE: Any = {"on_error": "quarantine"}
Convert = Callable[[Path], trackparse.ConversionReport]


def raised(report: trackparse.ConversionReport) -> trackparse.ConversionReport:
    if report.error is not None:
        raise report.error
    return report


def to_file(folder: Path) -> trackparse.ConversionReport:
    rejects = folder / "day.rejects.jsonl"
    return trackparse.convert_log(folder / "day.csv", folder / "day.parquet", rejects=rejects, **QUARANTINE)


def to_folder(folder: Path, **options: Any) -> trackparse.ConversionReport:
    options = {"existing": "replace", **QUARANTINE, **options}
    (report,) = trackparse.convert_logs(folder / "day.csv", folder / "lake", **options)
    return raised(report)


def to_partitions(folder: Path) -> trackparse.ConversionReport:
    return to_folder(folder, partition_by=("date",))


def to_one(folder: Path) -> trackparse.ConversionReport:
    return raised(
        *trackparse.convert_logs(folder / "day.csv", folder / "all.parquet", existing="replace", **QUARANTINE)
    )


def changed_log(folder: Path) -> trackparse.ConversionReport:
    """As a job that runs each hour does it: what is the same is left out."""
    return to_folder(folder, existing="skip")


WAYS = pytest.mark.parametrize("convert", [to_file, to_folder, to_partitions, to_one, changed_log])


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    texts = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return texts


def mended(path: Path) -> bytes:
    """What an editor makes of the file."""
    path.write_bytes(path.read_bytes().replace(b"this is not a record", b"mended"))
    return path.read_bytes()


def write(folder: Path, data: bytes = LOG) -> None:
    (folder / "day.csv").write_bytes(data)


def path_of(report: trackparse.ConversionReport) -> Path:
    assert isinstance(report.rejects_path, Path)
    return report.rejects_path


def rows(path: Path) -> int:
    return len(trackparse.read_rejects(path))


class TestEachWay:
    @WAYS
    def test_a_mended_file_is_kept_and_the_new_rejects_go_beside_it(
        self, convert: Convert, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(tmp_path)
        rejects = path_of(convert(tmp_path))
        mine, new = mended(rejects), rejects.with_suffix(".new.jsonl")
        for bad in (2, 3):  # the second time the file beside it is as it was written
            write(tmp_path, LOG + (BAD + line()) * (bad - 1))
            report = convert(tmp_path)
            assert (report.rejects_path, report.rejected, rows(new)) == (new, bad, bad)
            assert rejects.read_bytes() == mine
            assert told(caplog) == [
                f"{rejects}: nothing says that the file is as trackparse wrote it, so it is kept; {new} has all bad "
                "records of the log, also those that may have been mended: mend one of the two"
            ]
        assert sorted(rejects.parent.glob("*.rejects.*")) == sorted([rejects, new])

    @WAYS
    def test_a_file_as_it_was_written_is_replaced(
        self, convert: Convert, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(tmp_path)
        rejects = path_of(convert(tmp_path))
        write(tmp_path, LOG + BAD)
        assert (convert(tmp_path).rejects_path, rows(rejects)) == (rejects, 2)
        write(tmp_path, H8 + line())
        assert (convert(tmp_path).rejects_path, rejects.exists()) == (None, False)
        write(tmp_path, LOG)
        assert (convert(tmp_path).rejects_path, rows(rejects)) == (rejects, 1)
        assert ([*rejects.parent.glob("*.new*")], told(caplog)) == ([], [])

    @WAYS
    def test_without_bad_records_it_is_kept_as_well_and_from_then_on(
        self, convert: Convert, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(tmp_path)
        rejects = path_of(convert(tmp_path))
        mine = mended(rejects)
        write(tmp_path, H8 + line())
        assert convert(tmp_path).rejects_path is None
        assert "so it is kept; there are no bad records now" in told(caplog)[0]
        assert [*rejects.parent.glob("*.new*")] == []
        write(tmp_path, LOG)
        assert convert(tmp_path).rejects_path == rejects.with_suffix(".new.jsonl")
        assert rejects.read_bytes() == mine

    @WAYS
    def test_what_a_killed_run_wrote_is_no_second_file(
        self, convert: Convert, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It was killed when its rejects had their name, and its Parquet file, or its list, had not."""
        write(tmp_path)
        rejects = path_of(convert(tmp_path))
        old = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".jsonl"}
        log = LOG + BAD
        write(tmp_path, log)
        convert(tmp_path)
        for path, data in old.items():
            path.write_bytes(data)
        write(tmp_path, log)
        assert (convert(tmp_path).rejects_path, rows(rejects)) == (rejects, 2)
        assert ([*rejects.parent.glob("*.new*")], told(caplog)) == ([], [])

    @WAYS
    def test_without_a_file_that_says_what_was_written_it_is_kept_too(self, convert: Convert, tmp_path: Path) -> None:
        write(tmp_path)
        rejects = path_of(convert(tmp_path))
        mended(rejects)
        theirs = rejects.read_bytes()
        for path in [*tmp_path.rglob("*.parquet"), *tmp_path.rglob("*.json")]:
            path.unlink()
        new = path_of(convert(tmp_path))
        assert (new.name, rejects.read_bytes()) == (f"{rejects.stem}.new.jsonl", theirs)
        assert trackparse.read_rejects(new)["raw"].to_pylist() == [BAD]

    @WAYS
    def test_what_changes_while_the_log_is_read_is_kept(
        self, convert: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path)
        rejects = path_of(convert(tmp_path))
        write(tmp_path, LOG + BAD)
        check = changed.SafeRejectsPlace.check

        def after_an_edit(self: changed.SafeRejectsPlace, digest: str, what: str) -> None:
            mended(rejects)
            check(self, digest, what)

        monkeypatch.setattr(changed.SafeRejectsPlace, "check", after_an_edit)
        with pytest.raises(trackparse.TrackparseError, match="was changed while the log was read, so it is kept"):
            convert(tmp_path)
        assert b"mended" in rejects.read_bytes()


def test_an_editor_may_leave_what_is_no_file_of_rejects(tmp_path: Path) -> None:
    write(tmp_path)
    rejects = path_of(to_file(tmp_path))
    rejects.write_bytes(b'{"raw": "mended"}\n')
    assert to_file(tmp_path).rejects_path == tmp_path / "day.rejects.new.jsonl"
    assert rejects.read_bytes() == b'{"raw": "mended"}\n'


def test_a_conversion_without_a_file_of_rejects_forgets_none(tmp_path: Path) -> None:
    write(tmp_path)
    rejects = path_of(to_file(tmp_path))
    mine = mended(rejects)
    trackparse.convert_log(tmp_path / "day.csv", tmp_path / "day.parquet", on_error="skip")
    assert to_file(tmp_path).rejects_path == tmp_path / "day.rejects.new.jsonl"
    assert rejects.read_bytes() == mine


def test_rejects_that_nobody_knows_are_no_error_if_they_are_the_same(tmp_path: Path) -> None:
    write(tmp_path)
    rejects = path_of(to_file(tmp_path))
    (tmp_path / "day.parquet").unlink()
    assert to_file(tmp_path).rejects_path == rejects
    assert not (tmp_path / "day.rejects.new.jsonl").exists()


def test_two_logs_with_one_file_of_rejects_lose_none(tmp_path: Path) -> None:
    write(tmp_path)
    rejects = tmp_path / "bad.jsonl"
    for number in range(3):
        log = tmp_path / f"{number}.csv"
        log.write_bytes(LOG + b"bad %d\n" % number)
        trackparse.convert_log(log, log.with_suffix(".parquet"), rejects=rejects, **QUARANTINE)
    found = [row for path in sorted(tmp_path.glob("bad*")) for row in trackparse.read_rejects(path)["raw"].to_pylist()]
    assert {b"bad 0\n", b"bad 1\n", b"bad 2\n"} <= set(found)


def test_parquet_of_others_says_nothing_of_rejects(tmp_path: Path) -> None:
    write(tmp_path)
    rejects = path_of(to_file(tmp_path))
    mended(rejects)
    pq.write_table(pq.read_table(tmp_path / "day.parquet").replace_schema_metadata(None), tmp_path / "day.parquet")
    assert to_file(tmp_path).rejects_path == tmp_path / "day.rejects.new.jsonl"


def test_rejects_in_parquet_are_kept_as_well(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path)
    rejects = tmp_path / "bad.parquet"
    for _ in range(2):
        report = trackparse.convert_log(tmp_path / "day.csv", tmp_path / "o.parquet", rejects=rejects, **QUARANTINE)
        assert (report.rejects_path, told(caplog)) == (rejects, [])
    table = pq.read_table(rejects)
    pq.write_table(table.slice(0, 0), rejects)
    report = trackparse.convert_log(tmp_path / "day.csv", tmp_path / "o.parquet", rejects=rejects, **QUARANTINE)
    assert (report.rejects_path, rows(tmp_path / "bad.new.parquet")) == (tmp_path / "bad.new.parquet", 1)
    assert rows(rejects) == 0
    assert f"{rejects}: nothing says that the file is as trackparse wrote it" in told(caplog)[0]


def test_partitions_that_were_half_written_say_which_rejects_were_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ended with an error when the list was written that says so; the rejects are those of the run before."""
    write(tmp_path)
    rejects = path_of(to_partitions(tmp_path))
    write(tmp_path, LOG + BAD)

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(changed.SafeRejectsPlace, "check", fails)
        (report,) = trackparse.convert_logs(tmp_path / "day.csv", tmp_path / "lake", partition_by=("date",),
                                            existing="replace", **QUARANTINE)  # fmt: skip
    assert isinstance(report.error, OSError)
    assert b'"whole": false' in (tmp_path / "lake/_trackparse/day.json").read_bytes()
    assert rows(rejects) == 1
    assert (to_partitions(tmp_path).rejects_path, rows(rejects), told(caplog)) == (rejects, 2, [])


@pytest.mark.skipif(os.name == "nt", reason="logs are converted one after the other there")
def test_other_processes_keep_them_and_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logs = []
    for name in "abc":
        logs.append(tmp_path / f"{name}.csv")
        logs[-1].write_bytes(LOG)
    options: Any = {"jobs": 2, "existing": "replace", **QUARANTINE}
    trackparse.convert_logs(logs, tmp_path / "lake", **options)
    mine = [mended(tmp_path / f"lake/{name}.rejects.jsonl") for name in "abc"]
    reports = trackparse.convert_logs(logs, tmp_path / "lake", **options)
    assert [report.rejects_path for report in reports] == [
        tmp_path / f"lake/{name}.rejects.new.jsonl" for name in "abc"
    ]
    assert [(tmp_path / f"lake/{name}.rejects.jsonl").read_bytes() for name in "abc"] == mine
    assert len(told(caplog)) == 3


def test_what_is_still_bad_of_mended_rejects_is_kept_when_somebody_mends_that(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, LOG + BAD)
    rejects = path_of(to_file(tmp_path))
    text = rejects.read_bytes().splitlines(keepends=True)
    rejects.write_bytes(text[0].replace(b"this is not a record", line().strip().replace(b'"', b'\\"')) + text[1])
    good("mend", rejects)
    still = tmp_path / "day.mended.rejects.jsonl"
    good("mend", rejects, "--existing", "replace")
    assert told(caplog) == []
    mine = mended(still)
    result = good("mend", rejects, "--existing", "replace")
    new = tmp_path / "day.mended.rejects.new.jsonl"
    assert (
        f"trackparse: {still}: nothing says that the file is as trackparse wrote it, so it is kept; {new} has"
        in result.stderr
    )
    assert f"1 record still bad, set aside in {new}" in result.stderr
    assert (still.read_bytes(), rows(new)) == (mine, 1)


@pytest.mark.parametrize(
    ("more", "rejects"),
    [
        ((), "day.rejects.jsonl"),
        (("-o", "out.parquet"), "out.rejects.jsonl"),
        (("-o", "out.parquet", "--rejects", "bad.jsonl"), "bad.jsonl"),
        (("--to", "lake"), "lake/day.rejects.jsonl"),
        (("--to", "lake", "--partition-by", "date"), "lake/_trackparse/day.rejects.jsonl"),
    ],
)
def test_the_command_keeps_them_and_says_so(
    more: tuple[str, ...], rejects: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    for _ in range(2):
        assert f"1 bad record set aside in {rejects}\n" in good("convert", "day.csv", *more).stderr
    mine = mended(Path(rejects))
    result = good("convert", "day.csv", *more)
    new = rejects.replace(".jsonl", ".new.jsonl")
    assert (
        f"trackparse: {rejects}: nothing says that the file is as trackparse wrote it, so it is kept; {new} has"
        in result.stderr
    )
    assert f"1 bad record set aside in {new}\n" in result.stderr
    assert Path(rejects).read_bytes() == mine
