"""Files that appear whole: together or not at all, whatever comes between, and nothing of dead processes stays."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

import trackparse
from support.cli import ended, failed, good, with_bad
from support.logs import H8, line
from trackparse import atomic
from trackparse.convert import conversion
from trackparse.options import ConvertOptions
from trackparse.testing.sample import write_sample

GOOD, BAD = H8 + line(), H8 + line() + b"x\n"
# Begins a file and says so; then it waits to be killed.
WRITER = """
import sys, time
from pathlib import Path
from trackparse.atomic import atomic_all
with atomic_all([Path(name) for name in sys.argv[1:]]) as [first, *_]:
    first.temporary.write_bytes(b"half")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that was looked through a moment ago is looked through again."""
    monkeypatch.setattr(atomic, "_next_search", {})


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has begun two files in the folder."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "a.parquet"), str(tmp_path / "b.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        yield process
        process.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


needs_locks = pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="there is no /proc here")


@needs_locks
class TestWhatTheDeadLeft:
    def test_the_next_run_removes_it(self, writer: subprocess.Popen[bytes], tmp_path: Path) -> None:
        writer.kill()
        writer.wait()
        assert len(names(tmp_path)) == 2
        write_sample(tmp_path / "sample.zip", rows=1)
        assert names(tmp_path) == ["sample.zip"]

    def test_what_is_being_written_stays(self, writer: subprocess.Popen[bytes], tmp_path: Path) -> None:
        before = names(tmp_path)
        write_sample(tmp_path / "sample.zip", rows=1)
        assert names(tmp_path) == sorted([*before, "sample.zip"])
        with atomic.atomic(tmp_path / "c") as mine:
            atomic._next_search.clear()
            write_sample(tmp_path / "sample.zip", rows=1)
            assert mine.exists()

    def test_what_another_machine_may_be_writing_stays(
        self, writer: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writer.kill()
        writer.wait()
        monkeypatch.setattr(atomic, "_LOCAL_FILE_SYSTEMS", {b"nfs4"})
        before = names(tmp_path)
        write_sample(tmp_path / "sample.zip", rows=1)
        assert names(tmp_path) == sorted([*before, "sample.zip"])

    def test_without_locks_nothing_is_removed_and_all_is_written(
        self, writer: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_locks(*_: object) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        writer.kill()
        writer.wait()
        monkeypatch.setattr(fcntl, "flock", no_locks)
        before = names(tmp_path)
        write_sample(tmp_path / "sample.zip", rows=1)
        assert names(tmp_path) == sorted([*before, "sample.zip"])

    def test_what_only_looks_like_it_stays(self, tmp_path: Path) -> None:
        like = ".a.parquet.1-00000000-0.trackparse.tmp"
        for name in (".a.parquet.1-00000000-0.tmp", "a.1-00000000-0.trackparse.tmp", ".a.1-0.trackparse.tmp", ".tmp"):
            (tmp_path / name).touch()
        (tmp_path / like).mkdir()
        os.mkfifo(tmp_path / like.replace("1", "2"))
        (tmp_path / "mine").touch()
        (tmp_path / like.replace("1", "3")).symlink_to("mine")
        (tmp_path / like.replace("1", "5")).write_bytes(GOOD)  # with the inode of no file of ours
        before = names(tmp_path)
        write_sample(tmp_path / "sample.zip", rows=1)
        assert names(tmp_path) == sorted([*before, "sample.zip"])
        (tmp_path / like.replace("1", "4")).touch()
        atomic._next_search.clear()
        write_sample(tmp_path / "sample.zip", rows=1)
        assert names(tmp_path) == sorted([*before, "sample.zip"])

    @pytest.mark.parametrize("how", ["the library", "the command line", "the second of two"])
    def test_a_log_that_is_called_like_it_stays(self, how: str, tmp_path: Path) -> None:
        log = tmp_path / ".a.csv.1-00000000-1.trackparse.tmp"
        log.write_bytes(GOOD)
        other = tmp_path / "b.csv"
        other.write_bytes(GOOD)
        if how == "the library":
            trackparse.convert_log(log, tmp_path / "out.parquet")
        else:
            good("convert", *([log] if how == "the command line" else [other, log]), "--to", tmp_path)
        assert log.read_bytes() == GOOD

    def test_a_pipe_that_is_called_like_it_is_not_waited_for(self, tmp_path: Path) -> None:
        pipe = tmp_path / ".a.csv.1-00000000-0.trackparse.tmp"
        os.mkfifo(pipe)
        with atomic.kept([pipe]):
            pass

    @pytest.mark.parametrize("how", ["the library", "the command line"])
    def test_what_a_killed_run_left_stays_while_it_is_read(
        self, how: str, writer: subprocess.Popen[bytes], tmp_path: Path
    ) -> None:
        writer.kill()
        writer.wait()
        [left] = tmp_path.glob(".a.parquet.*.tmp")
        left.write_bytes(GOOD)
        if how == "the library":
            trackparse.convert_log(left, tmp_path / "out.parquet")
        else:
            (tmp_path / "b.csv").write_bytes(GOOD)
            good("convert", tmp_path / "b.csv", left, "--to", tmp_path)
        assert left.exists()
        atomic._next_search.clear()
        write_sample(tmp_path / "sample.zip", rows=1)
        assert not left.exists()

    def test_writers_side_by_side_do_not_disturb_each_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(atomic, "_SEARCH_INTERVAL", -1)  # each of them looks each time
        faults: list[BaseException] = []

        def write(name: str) -> None:
            try:
                for number in range(100):
                    with atomic.atomic(tmp_path / name) as temporary:
                        temporary.write_bytes(b"%d" % number)
            except BaseException as fault:
                faults.append(fault)

        threads = [threading.Thread(target=write, args=(f"{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        assert content(tmp_path) == {f"{number}": b"99" for number in range(4)}

    def test_a_folder_with_very_many_files_is_not_looked_through_each_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked: list[object] = []

        def slow_listing(folder: object) -> list[str]:
            looked.append(folder)
            time.sleep(0.05)
            return []

        monkeypatch.setattr(os, "listdir", slow_listing)
        for _ in range(10):
            with atomic.atomic(tmp_path / "a") as temporary:
                temporary.touch()
        assert looked == [tmp_path]


def convert_with_a_folder_in_the_way(data: bytes, dest: Path, rejects: Path, place: Path) -> None:
    """A folder comes there while the log is read: no file can replace it, and nobody can remove it as one."""

    def block(progress: trackparse.Progress) -> None:
        if progress.stats.records:
            place.mkdir(exist_ok=True)

    trackparse.convert_log(
        data + line() * 20, dest, on_error="quarantine", rejects=rejects, progress=block, block_size=64
    )


class TestTogether:
    """A Parquet file and its rejects get their names together, or keep the old files."""

    @pytest.mark.parametrize("old", [None, BAD], ids=["new", "old rejects"])
    @pytest.mark.parametrize("data", [BAD, GOOD], ids=["with rejects", "without"])
    def test_a_parquet_file_that_cannot_get_its_name(self, data: bytes, old: bytes | None, tmp_path: Path) -> None:
        dest, rejects = tmp_path / "out.parquet", tmp_path / "bad.jsonl"
        if old:
            trackparse.convert_log(old, dest, on_error="quarantine", rejects=rejects)
            dest.unlink()
        before = content(tmp_path)

        with pytest.raises(OSError, match=r"out\.parquet") as caught:
            convert_with_a_folder_in_the_way(data, dest, rejects, dest)
        assert caught.value.filename == str(dest)
        dest.rmdir()
        assert content(tmp_path) == before
        assert names(tmp_path) == [*before]

    @pytest.mark.parametrize("data", [BAD, GOOD], ids=["with rejects", "without"])
    @pytest.mark.parametrize("old", [None, BAD], ids=["new", "old file"])
    def test_rejects_that_cannot_get_their_name(self, data: bytes, old: bytes | None, tmp_path: Path) -> None:
        dest, rejects = tmp_path / "out.parquet", tmp_path / "bad.jsonl"
        if old:
            trackparse.convert_log(GOOD, dest)
        before = content(tmp_path)

        with pytest.raises(OSError, match=r"bad\.jsonl") as caught:
            convert_with_a_folder_in_the_way(data, dest, rejects, rejects)
        assert caught.value.filename == str(rejects)
        rejects.rmdir()
        assert content(tmp_path) == before
        assert names(tmp_path) == [*before]

    def test_a_file_system_without_links_will_do(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_links(*_: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(Path, "hardlink_to", no_links)
        for data in (BAD, BAD + b"y\n", GOOD):
            trackparse.convert_log(
                data, tmp_path / "out.parquet", on_error="quarantine", rejects=tmp_path / "bad.jsonl"
            )
        assert names(tmp_path) == ["out.parquet"]


class TestTakenAway:
    """Somebody else removes what is being written: no old file is lost, and no conversion that can be saved."""

    @pytest.mark.parametrize("rejects", [None, "bad.jsonl", "bad.parquet"])
    @pytest.mark.parametrize("data", [BAD, GOOD], ids=["with rejects", "without"])
    @pytest.mark.parametrize("old", [False, True], ids=["new", "old files"])
    def test_the_old_files_stay_and_it_is_told(
        self, old: bool, data: bytes, rejects: str | None, tmp_path: Path
    ) -> None:
        dest = tmp_path / "out.parquet"
        options: ConvertOptions = {
            "on_error": "quarantine",
            "rejects": tmp_path / rejects if rejects else None,
            "block_size": 64,
        }
        if old:
            trackparse.convert_log(BAD, dest, **options)
        before = content(tmp_path)

        def clean(_: trackparse.Progress) -> None:
            for path in tmp_path.glob(".*.tmp"):
                path.unlink()

        options["progress"] = clean
        with pytest.raises(FileNotFoundError, match=r"somebody removed .*\.tmp.*what was here before stays") as caught:
            trackparse.convert_log(data + line() * 20, dest, **options)
        assert caught.value.filename in (str(dest), str(options["rejects"]))
        assert content(tmp_path) == before

    def test_another_file_under_that_name_is_not_taken_for_it(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"old")
        removed = pytest.raises(FileNotFoundError, match="somebody removed")
        with removed, atomic.atomic(tmp_path / "a") as temporary:
            temporary.unlink()
            temporary.write_bytes(b"of somebody else")
        assert content(tmp_path) == {"a": b"old"}

    @needs_locks
    @pytest.mark.parametrize("how", ["has the lock", "removed it", "replaced it"])
    @pytest.mark.parametrize("mode", ["xb", "rb"], ids=["the new file", "the second name of the old one"])
    def test_a_run_that_tidies_up_just_then_does_no_harm(
        self, mode: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dest, rejects = tmp_path / "out.parquet", tmp_path / "bad.jsonl"
        trackparse.convert_log(BAD, dest, on_error="quarantine", rejects=rejects)
        dest.unlink()
        before = content(tmp_path)
        known = {hashlib.sha256(rejects.read_bytes()).hexdigest()}
        monkeypatch.setattr(conversion, "rejects_sums", lambda _: known)
        flock = fcntl.flock
        met: list[str] = []
        holding: list[IO[bytes]] = []

        def unlucky(file: IO[bytes], operation: int) -> None:
            """Between the file and its lock there is somebody who takes it for that of a dead process."""
            for other in holding:
                Path(other.name).unlink(missing_ok=True)
                other.close()
            # A search for files that were left, if it is time for one, opens them by number.
            if not met and file.mode == mode and isinstance(file.name, str):
                met.append(file.name)
                if how == "has the lock":
                    holding.append(Path(file.name).open("rb"))  # noqa: SIM115
                    flock(holding[0], operation)
                else:
                    Path(file.name).unlink()
                    if how == "replaced it":
                        Path(file.name).touch()
            flock(file, operation)

        monkeypatch.setattr(fcntl, "flock", unlucky)
        if mode == "xb":
            trackparse.convert_log(BAD + line() + b"y\n", dest, on_error="quarantine", rejects=rejects)
            assert trackparse.read_rejects(rejects).num_rows == 2
            assert names(tmp_path) == [rejects.name, dest.name]
        else:
            # There is no way back without that name.
            with pytest.raises(IsADirectoryError):
                convert_with_a_folder_in_the_way(BAD + line() + b"y\n", dest, rejects, dest)
            dest.rmdir()
            assert content(tmp_path) == before
        assert met

    @needs_locks
    def test_a_folder_where_everything_is_locked_is_an_error_that_ends(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def held(*_: object) -> None:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))

        monkeypatch.setattr(fcntl, "flock", held)
        with pytest.raises(OSError, match="other processes lock or remove each new file") as caught:
            trackparse.convert_log(GOOD, tmp_path / "out.parquet")
        assert caught.value.filename == str(tmp_path / "out.parquet")
        assert names(tmp_path) == []


class TestInterrupted:
    def test_what_gets_its_name_is_not_interrupted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        paths = [tmp_path / "a", tmp_path / "b"]
        replace = Path.replace

        def interrupted(source: Path, target: Path) -> Path:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            return replace(source, target)

        monkeypatch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt), atomic.atomic_all(paths) as coming:  # noqa: PT012
            for file in coming:
                file.temporary.write_bytes(b"whole")
        assert content(tmp_path) == {"a": b"whole", "b": b"whole"}

    def test_what_is_removed_is_removed_to_the_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        unlink = Path.unlink

        def interrupted(path: Path, missing_ok: bool = False) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            unlink(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", interrupted)
        with pytest.raises(KeyboardInterrupt), atomic.atomic_all([tmp_path / "a", tmp_path / "b"]):
            raise ValueError
        assert names(tmp_path) == []

    def test_it_works_where_no_thread_can_be_started(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def none(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", none)
        with atomic.atomic(tmp_path / "a") as temporary:
            temporary.write_bytes(b"whole")
        assert content(tmp_path) == {"a": b"whole"}


class TestNames:
    def test_one_that_is_not_text_works_everywhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        name = os.fsdecode(b"day\xff")
        for suffix in (".csv", "2.csv"):
            with_bad(Path(name + suffix), 3)
        log = f"{name}.csv"
        for command in ("head", "cat", "stats", "check", "schema"):
            for options in ([], [] if command == "cat" else ["--json"]):
                ended(3 if command == "check" else 0, command, log, *options)
        good("convert", log)
        good("convert", log, "--rejects", f"{name}.parquet.parquet")
        good("convert", log, f"{name}2.csv", "--jobs", "2", "--to", name)
        good("sample", f"{name}.zip", "--rows", "1")
        assert trackparse.read_rejects(f"{name}.parquet.parquet").num_rows == 1
        assert names(tmp_path / name) == [
            f"{name}.parquet", f"{name}.rejects.jsonl", f"{name}2.parquet", f"{name}2.rejects.jsonl"
        ]  # fmt: skip
        assert not [path for path in names(tmp_path) if path.startswith(".")]

    def test_links_that_lead_to_each_other_are_no_place(self, tmp_path: Path) -> None:
        log = with_bad(tmp_path / "log.csv", 3)
        for suffix in (".parquet", ".jsonl"):
            one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
            one.symlink_to(two)
            two.symlink_to(one)
        loop = os.strerror(errno.ELOOP)
        for words, name in (
            (["convert", log, "-o", tmp_path / "one.parquet"], "one.parquet"),
            (["convert", log, "--rejects", tmp_path / "one.jsonl"], "one.jsonl"),
            (["convert", tmp_path / "one.jsonl"], "one.jsonl"),
            (["sample", tmp_path / "one.parquet", "--rows", "1"], "one.parquet"),
        ):
            assert failed(1, *words) == f"trackparse: {tmp_path / name}: {loop}\n"
        assert (tmp_path / "one.parquet").is_symlink()
        assert "log.parquet" not in names(tmp_path)
