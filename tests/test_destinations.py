"""Where a file is to be written: a full disk, a place where no file can be, and what was there before."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import trackparse
from support.archives import Unseekable, python_zip
from support.cli import failed
from support.kernels import SLOW
from support.logs import H8, line
from trackparse.testing.sample import encode_row, sample_rows, write_sample

ROWS = 3000 // SLOW
LOG = H8 + b"".join(encode_row(fields) for fields in sample_rows(ROWS))
ALL_BAD = H8 + line() + line(b"{};") * ROWS
root = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture(params=[None, b"the file of yesterday"], ids=["new", "old"])
def dest(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A destination whose folder looks afterwards as it did before."""
    folder = tmp_path / "out"
    folder.mkdir()
    dest = folder / "log.parquet"
    if request.param:
        dest.write_bytes(request.param)
    before = descriptors()
    yield dest
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == (
        [(dest.name, request.param)] if request.param else []
    )
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("trackparse")]
    assert descriptors() == before


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0  # noqa: PTH208


@contextmanager
def room(size: int) -> Iterator[None]:
    """Files may grow to so many bytes and no further, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("row_group_size", [100, 1 << 20])
@pytest.mark.parametrize("size", [0, 3, 1000, 10_000])
def test_a_file_that_cannot_grow_is_an_error_that_names_it(size: int, row_group_size: int, dest: Path) -> None:
    with room(size), pytest.raises(OSError, match="File too large") as caught:
        trackparse.convert_log(LOG, dest, row_group_size=row_group_size)
    assert caught.value.filename == str(dest)


@pytest.mark.parametrize("name", ["bad.jsonl", "bad.parquet"])
def test_rejects_that_cannot_be_written_are_an_error_that_names_their_file(name: str, dest: Path) -> None:
    rejects = dest.with_name(name)
    with room(500), pytest.raises(OSError, match="File too large") as caught:
        trackparse.convert_log(ALL_BAD, dest, on_error="quarantine", rejects=rejects)
    # The log's one record does not fit, either: whichever is written first.
    assert caught.value.filename in (str(rejects), str(dest))


def test_a_member_of_a_stream_that_does_not_fit_into_a_temporary_file_names_its_folder() -> None:
    """It is set aside until it is known whether it is the only one, in a file where it is larger than 8 MiB."""
    archive = python_zip({"log.dat": LOG * ((9 << 20) // len(LOG) + 1)}, method=0)
    with room(1000), pytest.raises(OSError, match="File too large") as caught:
        trackparse.read_log(Unseekable(archive))
    assert caught.value.filename == tempfile.gettempdir()
    assert trackparse.read_log(Unseekable(archive)).num_rows > ROWS


@pytest.mark.skipif(not root or not shutil.which("mount"), reason="only root may mount a file system")
def test_a_full_disk(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", full], check=False).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        dest = full / "log.parquet"
        dest.write_bytes(b"the file of yesterday")
        with pytest.raises(OSError, match="No space left on device") as caught:
            trackparse.convert_log(LOG * 5, dest, row_group_size=100)
        assert caught.value.filename == str(dest)
        assert [(path.name, path.read_bytes()) for path in full.iterdir()] == [(dest.name, b"the file of yesterday")]
        with pytest.raises(OSError, match="No space left on device"):
            write_sample(full / "sample.zip", rows=5000)
        assert [path.name for path in full.iterdir()] == [dest.name]
    finally:
        subprocess.run(["umount", full], check=True)


class TestPlaces:
    @pytest.mark.parametrize(
        ("place", "error"),
        [
            (lambda tmp: tmp / "none" / "log.parquet", FileNotFoundError),
            (lambda tmp: tmp / "file" / "log.parquet", NotADirectoryError),
            (lambda tmp: tmp, IsADirectoryError),
            (lambda tmp: tmp / ("x" * 300), OSError),
        ],
        ids=["no folder", "a file for a folder", "a folder", "a name too long"],
    )
    def test_where_no_file_can_be(self, place: Callable[[Path], Path], error: type[OSError], tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        dest = place(tmp_path)
        for write in (lambda: trackparse.convert_log(LOG, dest), lambda: write_sample(dest, rows=1)):
            with pytest.raises(error) as caught:
                write()
            assert str(dest) in str(caught.value)
            assert ".tmp" not in str(caught.value)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    @pytest.mark.skipif(root, reason="root may write everywhere")
    def test_a_folder_that_may_not_be_written(self, dest: Path) -> None:
        dest.parent.chmod(0o500)
        try:
            with pytest.raises(PermissionError) as caught:
                trackparse.convert_log(LOG, dest)
            assert caught.value.filename == str(dest)
        finally:
            dest.parent.chmod(0o700)

    def test_a_name_as_long_as_names_may_be(self, tmp_path: Path) -> None:
        for name in ("x" * 255, "й" * 127):
            trackparse.convert_log(LOG, tmp_path / name)
            assert pq.read_metadata(tmp_path / name).num_rows == ROWS

    def test_a_name_that_is_too_long_is_told_before_anything_is_read(self, tmp_path: Path) -> None:
        source = iter([LOG])
        dest = tmp_path / ("x" * 300)
        for options in ({}, {"on_error": "quarantine", "rejects": tmp_path / f"{'x' * 300}.rejects.jsonl"}):
            with pytest.raises(OSError, match="File name too long") as caught:
                trackparse.convert_log(source, dest, **options)  # type: ignore[arg-type]
            assert caught.value.filename == str(dest)
        assert next(source) == LOG
        log = tmp_path / "log.csv"
        log.write_bytes(LOG)
        assert failed(1, "convert", log, "-o", dest).startswith(f"trackparse: {dest}: File name too long")

    @pytest.mark.parametrize("by", [(), ("date",)])
    @pytest.mark.parametrize(
        ("length", "on_error", "ending"), [(248, "raise", ".parquet"), (242, "quarantine", ".rejects.jsonl")]
    )
    def test_a_log_with_a_name_too_long_for_its_files_is_to_be_renamed(
        self, length: int, on_error: Any, ending: str, by: tuple[str, ...], tmp_path: Path
    ) -> None:
        """The names of the log and of the list of its partitions are shorter than that of the file."""
        logs = tmp_path / "logs"
        logs.mkdir()
        long = logs / f"{'x' * length}.csv"
        for path in (long, logs / "a.csv"):
            path.write_bytes(LOG)
        for existing in ("skip", "replace"):
            lake = tmp_path / existing
            sound, bad = trackparse.convert_logs(logs, lake, partition_by=by, on_error=on_error, existing=existing)
            assert sound.records == ROWS
            assert isinstance(bad.error, OSError)
            assert str(bad.error.filename).endswith(f"{'x' * length}{ending}")
            assert "File name too long: give the log a shorter name, or name the folder" in str(bad.error)
            assert not [*lake.rglob("x*")]
        asked = ["--partition-by", ",".join(by)] if by else []
        strict = ["--strict"] if on_error == "raise" else []
        said = failed(1, "convert", long, "--to", tmp_path / "new", *asked, *strict)
        assert f"{ending}: File name too long: give the log a shorter name, or name the folder that it is in\n" in said
        long.rename(logs / "b.csv")
        assert sum(report.records for report in trackparse.convert_logs(logs, lake, partition_by=by)) == 2 * ROWS

    def test_a_pipe_stays_one(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        for dest in (pipe, Path("/dev/null"), Path("/dev/full")):
            with pytest.raises(OSError, match="is a pipe or a device: name the file to write"):
                trackparse.convert_log(LOG, dest)
        assert stat.S_ISFIFO(pipe.stat().st_mode)
        assert Path("/dev/null").is_char_device()

    def test_a_link_stays_one(self, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        link, place = tmp_path / "log.parquet", tmp_path / "there" / "real.parquet"
        link.symlink_to(place)
        for _ in range(2):
            assert trackparse.convert_log(LOG, link).path == link
            assert link.readlink() == place
            assert pq.read_metadata(place).num_rows == ROWS
        assert [path.name for path in (tmp_path / "there").iterdir()] == ["real.parquet"]

    def test_a_link_that_leads_nowhere_is_an_error(self, tmp_path: Path) -> None:
        link = tmp_path / "log.parquet"
        link.symlink_to(tmp_path / "none" / "log.parquet")
        with pytest.raises(FileNotFoundError) as caught:
            trackparse.convert_log(LOG, link)
        assert caught.value.filename == str(link)
        assert link.is_symlink()

    def test_the_log_itself_is_not_written_over(self, tmp_path: Path) -> None:
        log, link = tmp_path / "log.csv", tmp_path / "link"
        log.write_bytes(LOG)
        link.symlink_to(log)
        for dest in (log, link):
            with pytest.raises(ValueError, match="that is the log itself"):
                trackparse.convert_log(log, dest)
        assert log.read_bytes() == LOG


class TestSample:
    def test_an_old_file_stays_where_a_new_one_fails(self, tmp_path: Path) -> None:
        dest = tmp_path / "sample.zip"
        dest.write_bytes(b"the sample of yesterday")
        with room(1000), pytest.raises(OSError, match="File too large"):
            write_sample(dest, rows=10_000)
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [
            (dest.name, b"the sample of yesterday")
        ]

    @pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")
    def test_a_device_is_written_to_and_stays(self) -> None:
        with pytest.raises(OSError, match="No space left on device"):
            write_sample("/dev/full", rows=10_000)
        assert Path("/dev/full").is_char_device()


def test_a_source_that_fails_is_not_blamed_on_the_destination(dest: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield LOG
        raise OSError(5, "Input/output error", "the source")

    with pytest.raises(OSError, match="Input/output error") as caught:
        trackparse.convert_log(failing(), dest, row_group_size=100)
    assert caught.value.filename == "the source"
