"""No output is ever an input, whatever names both have, and rejects replace no file but a file of rejects."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import mmap
import os
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

import trackparse
from support.cli import BAD, ROW, csv_of, ended, good, run, with_bad
from support.logs import H8, line
from trackparse.cli import cli
from trackparse.testing import TOKEN
from trackparse.testing.sample import encode_row

LOG = H8 + line() + b"x\n"
Link = Callable[[Path, Path], object]


def same(there: Path, path: Path) -> None:
    there.rename(path)


def hard(there: Path, path: Path) -> None:
    path.hardlink_to(there)


def symbolic(there: Path, path: Path) -> None:
    path.symlink_to(there)


def relative(there: Path, path: Path) -> None:
    path.symlink_to(os.path.relpath(there, path.parent))


LINKS: list[Link] = [same, hard, symbolic, relative]
links = pytest.mark.parametrize("link", LINKS, ids=[link.__name__ for link in LINKS])


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", data)
    return file.getvalue()


def member(file: Any, opened: ExitStack) -> Any:
    return opened.enter_context(opened.enter_context(zipfile.ZipFile(file)).open("a.csv"))


def tarred(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("a.csv")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


class Own:
    """A file object as somebody else makes one."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return bytes(self._file.read(size))


# How a log is packed into a file, and objects that read it from there.
# ruff: noqa: SIM115 - the stack closes them
INSIDE: dict[str, tuple[Callable[[bytes], bytes], Callable[[Path, ExitStack], Any]]] = {
    "a member of a ZIP": (zipped, member),
    "a ZIP in a ZIP": (lambda data: zipped(zipped(data)), lambda path, opened: member(member(path, opened), opened)),
    "gzip in a ZIP": (
        lambda data: zipped(gzip.compress(data)),
        lambda path, opened: opened.enter_context(gzip.open(member(path, opened))),
    ),
    "a member of a tar": (
        tarred,
        lambda path, opened: opened.enter_context(tarfile.open(path)).extractfile("a.csv"),
    ),
    "gzip": (gzip.compress, lambda path, opened: opened.enter_context(gzip.open(path))),
    "bz2": (bz2.compress, lambda path, opened: opened.enter_context(bz2.open(path))),
    "lzma": (lzma.compress, lambda path, opened: opened.enter_context(lzma.open(path))),
    "a buffer": (
        zipped,
        lambda path, opened: opened.enter_context(io.BufferedReader(member(path, opened))),
    ),
    "a member of a tar that is read as a stream": (
        tarred,
        lambda path, opened: (tar := opened.enter_context(tarfile.open(path, "r|"))).extractfile(
            tar.next() or tarfile.TarInfo()
        ),
    ),
    "an object of one's own": (bytes, lambda path, opened: Own(opened.enter_context(path.open("rb")))),
}


# Objects that do not tell from which file they read.
HIDDEN: dict[str, Callable[[Path, ExitStack], Any]] = {
    "a pair": lambda path, opened: io.BufferedRWPair(
        opened.enter_context(path.open("rb", buffering=0)), opened.enter_context(io.BytesIO())
    ),
    "Arrow's file of Python": lambda path, opened: pa.PythonFile(opened.enter_context(path.open("rb"))),
    "Arrow's buffer": lambda path, opened: opened.enter_context(pa.BufferedInputStream(pa.OSFile(str(path)), 64)),
    "Arrow's file system": lambda path, opened: opened.enter_context(LocalFileSystem().open_input_file(str(path))),
    "chunks": lambda path, opened: iter(partial(opened.enter_context(path.open("rb")).read, 7), b""),
    "memory": lambda path, opened: mmap.mmap(
        opened.enter_context(path.open("rb")).fileno(), 0, access=mmap.ACCESS_READ
    ),
}
needs_descriptors = pytest.mark.skipif(not Path("/dev/fd").exists(), reason="the system does not list descriptors")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def code_of(*words: object) -> object:
    """The exit code of a command that uses the streams of this process."""
    with pytest.raises(SystemExit) as end:
        cli([str(word) for word in words], prog_name="trackparse")
    return end.value.code


def test_a_question_mark_in_a_path_is_a_character_of_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_bytes(H8 + line() + b"bad\n")
    options: Any = {"on_error": "quarantine", "filesystem": SubTreeFileSystem(".", LocalFileSystem())}
    trackparse.convert_logs("a.csv", "what?", **options)
    trackparse.convert_logs("a.csv", "all?.parquet", **options)
    del options["filesystem"]
    trackparse.convert_logs("a.csv", "every?.parquet", **options)
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert found == [
        *("a.csv", "all?.parquet", "all?.rejects.jsonl", "every?.parquet", "every?.rejects.jsonl"),
        *("what?/a.parquet", "what?/a.rejects.jsonl"),
    ]


class TestTheLibrary:
    @links
    @pytest.mark.parametrize("how", ["a path", "an open file"])
    @pytest.mark.parametrize("output", ["dest", "rejects"])
    def test_the_log_itself_is_refused(self, output: str, how: str, link: Link, tmp_path: Path) -> None:
        log, other = tmp_path / "log.csv", tmp_path / "other.jsonl"
        log.write_bytes(LOG)
        link(log, other)
        log = log if log.exists() else other
        before = content(tmp_path)
        outputs = {"dest": tmp_path / "out.parquet", "rejects": tmp_path / "rejects.jsonl", output: other}
        with log.open("rb") as file:
            source = log if how == "a path" else file
            with pytest.raises(ValueError, match="that is the log itself"):
                trackparse.convert_log(source, outputs["dest"], on_error="quarantine", rejects=outputs["rejects"])
        assert content(tmp_path) == before

    @pytest.mark.parametrize("kind", INSIDE)
    def test_a_log_inside_of_another_object_is_refused(self, kind: str, tmp_path: Path) -> None:
        log = tmp_path / "log"
        pack, unpack = INSIDE[kind]
        log.write_bytes(pack(LOG))
        before = content(tmp_path)
        with ExitStack() as opened, pytest.raises(ValueError, match="that is the log itself"):
            trackparse.convert_log(unpack(log, opened), log)
        assert content(tmp_path) == before
        with ExitStack() as opened:
            report = trackparse.convert_log(unpack(log, opened), tmp_path / "out.parquet", on_error="skip")
        assert report.records == 1

    @needs_descriptors
    @pytest.mark.parametrize("kind", HIDDEN)
    def test_a_log_that_an_object_hides_is_refused(self, kind: str, tmp_path: Path) -> None:
        log = tmp_path / "log"
        log.write_bytes(LOG)
        with ExitStack() as opened:
            source = HIDDEN[kind](log, opened)
            with pytest.raises(ValueError, match="that may be the log itself"):
                trackparse.convert_log(source, log)
            assert log.read_bytes() == LOG
            report = trackparse.convert_log(source, tmp_path / "out.parquet", on_error="skip")
        assert report.records == 1

    @pytest.mark.parametrize("old", [b"", None], ids=["an empty file", "Parquet"])
    def test_an_output_that_is_read_just_now_is_replaced(self, old: bytes | None, tmp_path: Path) -> None:
        dest = tmp_path / "out.parquet"
        trackparse.convert_log(LOG, dest, on_error="skip") if old is None else dest.write_bytes(old)
        with dest.open("rb"):
            assert trackparse.convert_log(iter([H8, line(), line()]), dest).records == 2

    def test_an_object_that_holds_itself_is_asked_in_vain(self, tmp_path: Path) -> None:
        class Odd(io.BytesIO):
            @property
            def raw(self) -> Odd:
                return self

            @property
            def buffer(self) -> None:
                raise RuntimeError

        (tmp_path / "out").touch()
        assert trackparse.convert_log(Odd(H8 + line()), tmp_path / "out").records == 1

    @links
    def test_rejects_are_not_written_over_the_parquet_file(self, link: Link, tmp_path: Path) -> None:
        dest, rejects = tmp_path / "out.parquet", tmp_path / "rejects.parquet"
        dest.write_bytes(b"the file of yesterday")
        if link is same:
            rejects = dest
        else:
            link(dest, rejects)
        with pytest.raises(ValueError, match="that is the Parquet file itself"):
            trackparse.convert_log(LOG, dest, on_error="quarantine", rejects=rejects)
        assert dest.read_bytes() == b"the file of yesterday"

    @pytest.mark.parametrize("data", [LOG, H8 + line()], ids=["with rejects", "without"])
    @pytest.mark.parametrize(
        ("name", "old"),
        [
            ("rejects.jsonl", b"notes of mine\n"),
            ("rejects.jsonl", b'{"raw":"a"}\n'),
            ("rejects.jsonl", b'{"member":1}\n'),
            ("rejects.jsonl", LOG),
            ("rejects.parquet", b"PAR1"),
            ("rejects.parquet", b" "),
            ("rejects.parquet", "a table"),
        ],
    )
    def test_a_file_of_something_else_is_neither_replaced_nor_removed(
        self, name: str, old: Any, data: bytes, tmp_path: Path
    ) -> None:
        rejects = tmp_path / name
        if old == "a table":
            pq.write_table(pa.table({"raw": [b"x"]}), rejects)
        else:
            rejects.write_bytes(old)
        before = content(tmp_path)
        with pytest.raises(trackparse.TrackparseError, match="not a file of rejects") as caught:
            trackparse.convert_log(data, tmp_path / "out.parquet", on_error="quarantine", rejects=rejects)
        assert str(rejects) in str(caught.value)
        assert content(tmp_path) == before

    @pytest.mark.parametrize("name", ["rejects.jsonl", "rejects.parquet"])
    def test_one_that_comes_while_the_log_is_read_is_not_lost(self, name: str, tmp_path: Path) -> None:
        rejects = tmp_path / name

        def body() -> Any:
            yield LOG
            rejects.write_bytes(b"notes of mine")

        with pytest.raises(trackparse.TrackparseError, match="changed while the log was read, so it is kept"):
            trackparse.convert_log(body(), tmp_path / "out.parquet", on_error="quarantine", rejects=rejects)
        assert content(tmp_path) == {name: b"notes of mine"}

    @pytest.mark.parametrize("name", ["rejects.jsonl", "rejects.parquet"])
    @pytest.mark.parametrize("member", ['a"\\.csv', "\u2028.csv", "x" * 250, "b\n"])
    def test_ours_is_known_whatever_the_log_is_called(self, member: str, name: str, tmp_path: Path) -> None:
        log = tmp_path / member
        rejects = tmp_path / name
        for data, left in ((LOG, True), (LOG + LOG, True), (H8 + line(), False)):
            log.write_bytes(data)
            trackparse.convert_log(log, tmp_path / "out.parquet", on_error="quarantine", rejects=rejects)
            assert rejects.exists() == left
        rejects.touch()  # a name that somebody reserved
        trackparse.convert_log(LOG, tmp_path / "out.parquet", on_error="quarantine", rejects=rejects)
        assert trackparse.read_rejects(rejects).num_rows == 1


class TestTheCommandLine:
    @pytest.mark.parametrize("rows", [b"", BAD])
    @pytest.mark.parametrize("options", [["-o", "log.parquet"], ["-o", "x.parquet", "--rejects", "log.rejects.jsonl"]])
    def test_the_log_is_never_its_file_of_rejects(
        self, options: list[str], rows: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        csv_of(Path("log.rejects.jsonl"), ROW)
        with Path("log.rejects.jsonl").open("ab") as file:
            file.write(rows)
        before = content(tmp_path)
        result = ended(2, "convert", "log.rejects.jsonl", *options)
        assert "log.rejects.jsonl is the log itself: name another file with --rejects" in result.stderr
        assert content(tmp_path) == before

    @links
    @pytest.mark.parametrize("name", ["one.parquet", "one.rejects.jsonl"])
    @pytest.mark.parametrize("jobs", ["1", "2"])
    def test_no_log_is_the_output_of_another_one(self, jobs: str, name: str, link: Link, tmp_path: Path) -> None:
        one, two = csv_of(tmp_path / "one.csv", ROW), with_bad(tmp_path / "two.csv")
        link(two, tmp_path / name)
        two = two if two.exists() else tmp_path / name
        before = content(tmp_path)
        result = ended(2, "convert", one, two, "--jobs", jobs)
        assert f"{tmp_path / name} is the log {two}" in result.stderr
        assert content(tmp_path) == before

    @links
    @pytest.mark.parametrize("existing", ["skip", "replace", "error"])
    @pytest.mark.parametrize(("jobs", "name"), [("1", "one.parquet"), ("1", "two.parquet"), ("2", "one.parquet")])
    def test_no_log_is_a_file_of_a_partition(
        self, jobs: str, name: str, existing: str, link: Link, tmp_path: Path
    ) -> None:
        one, two, lake = csv_of(tmp_path / "one.csv", ROW), csv_of(tmp_path / "two.csv", ROW), tmp_path / "lake"
        place = lake / "status=sent" / name
        place.parent.mkdir(parents=True)
        link(two, place)
        two = two if two.exists() else place
        before = two.read_bytes()
        options = ["--to", lake, "--partition-by", "status", "--jobs", jobs, "--existing", existing]
        result = run("convert", one, two, *options)
        assert result.exit_code in (1, 2)
        assert two.read_bytes() == before
        assert place.read_bytes() == before
        if existing == "replace" and two.stem != one.stem:  # two logs of one name are no run at all
            assert f"{place} is the log {two}: write to another folder" in result.stderr
            # Nothing of that log was written, and what is right of the others was.
            [written] = lake.rglob("*.json")
            assert written.stem != place.stem

    @pytest.mark.parametrize("existing", ["skip", "replace"])
    def test_no_log_is_a_file_of_a_partition_whose_folder_is_a_link(self, existing: str, tmp_path: Path) -> None:
        lake = tmp_path / "lake"
        for folder in (lake, tmp_path / "in"):
            folder.mkdir()
        log = csv_of(tmp_path / "in" / "log.parquet", ROW)
        before = log.read_bytes()
        (lake / "status=sent").symlink_to(log.parent)
        for _ in range(2):
            result = run("convert", log, "--to", lake, "--partition-by", "status", "--existing", existing)
            assert result.exit_code in (1, 2)
            assert log.read_bytes() == before

    @links
    @pytest.mark.parametrize("by", ["a link", "a folder"])
    @pytest.mark.parametrize("existing", ["skip", "replace"])
    def test_no_log_is_removed_as_a_file_of_an_old_partition(
        self, existing: str, by: str, link: Link, tmp_path: Path
    ) -> None:
        log, lake = csv_of(tmp_path / "log.csv", ROW), tmp_path / "lake"
        options = ["--to", lake, "--partition-by", "status", "--existing", existing]
        good("convert", log, *options)
        old, names = lake / "status=zz" / "log.parquet", lake / "_trackparse" / "log.json"
        told = json.loads(names.read_text())
        told["files"]["status=zz/log.parquet"] = [1, 1]
        names.write_text(json.dumps(told))
        if by == "a folder":
            (tmp_path / "in").mkdir()
            old.parent.symlink_to(tmp_path / "in")
        else:
            old.parent.mkdir()
        with log.open("ab") as file:
            file.write(encode_row(ROW))
        before = log.read_bytes()
        link(log, old)
        log = log if log.exists() else old
        run("convert", log, *options)
        assert log.read_bytes() == before

    def test_a_link_in_the_place_of_a_partition_is_replaced_and_not_followed(self, tmp_path: Path) -> None:
        log, other = csv_of(tmp_path / "log.csv", ROW), csv_of(tmp_path / "other.csv", ROW)
        before, place = other.read_bytes(), tmp_path / "lake" / "status=sent" / "log.parquet"
        place.parent.mkdir(parents=True)
        place.symlink_to(other)
        good("convert", log, "--to", tmp_path / "lake", "--partition-by", "status")
        assert pq.read_table(place).num_rows == 1
        assert other.read_bytes() == before

    def test_no_log_is_the_list_of_the_partitions_of_another_one(self, tmp_path: Path) -> None:
        one, two = csv_of(tmp_path / "one.csv", ROW), csv_of(tmp_path / "two.csv", ROW)
        names = tmp_path / "lake" / "_trackparse" / "one.json"
        names.parent.mkdir(parents=True)
        names.symlink_to(two)
        before = two.read_bytes()
        result = ended(2, "convert", one, two, "--to", tmp_path / "lake", "--partition-by", "status")
        assert f"{names} is the log {two}" in result.stderr
        assert two.read_bytes() == before

    @pytest.mark.parametrize("other", ["precious", "", None, "a list", "rejects"])
    @pytest.mark.parametrize("file", ["log.json", "log.rejects.jsonl"])
    @pytest.mark.parametrize("existing", ["skip", "replace"])
    def test_a_file_of_our_own_that_is_a_link_is_neither_followed_nor_replaced(
        self, existing: str, file: str, other: str | None, tmp_path: Path
    ) -> None:
        log, lake, theirs = csv_of(tmp_path / "log.csv", ROW), tmp_path / "lake", tmp_path / "theirs"
        options = ["--to", lake, "--partition-by", "status", "--existing", existing]
        with log.open("ab") as opened:
            opened.write(b"bad\n")
        if other in ("a list", "rejects"):
            run("convert", log, *options)
            names = {"a list": "log.json", "rejects": "log.rejects.jsonl"}
            other = (lake / "_trackparse" / names[other]).read_text()
            shutil.rmtree(lake)
        place = lake / "_trackparse" / file
        place.parent.mkdir(parents=True)
        place.symlink_to(theirs)
        if other is not None:
            theirs.write_text(other)
        result = run("convert", log, *options)
        assert result.exit_code == 1
        assert f"{place}: it is a link to another file, which is not written over" in result.stderr
        assert place.is_symlink()
        assert (theirs.read_text() if theirs.exists() else None) == other
        assert [*lake.iterdir()] == [place.parent]

    def test_the_folder_of_the_lists_may_be_a_link(self, tmp_path: Path) -> None:
        log, lake = csv_of(tmp_path / "log.csv", ROW), tmp_path / "lake"
        lake.mkdir()
        (tmp_path / "lists").mkdir()
        (lake / "_trackparse").symlink_to(tmp_path / "lists")
        for said in ("1 file in", "converted before"):
            assert said in good("convert", log, "--to", lake, "--partition-by", "status", "--existing", "skip").stdout
        assert (tmp_path / "lists" / "log.json").exists()

    def test_two_partitions_never_become_one_file_by_a_link(self, tmp_path: Path) -> None:
        log, lake = csv_of(tmp_path / "log.csv", ROW, (*ROW[:4], "opened", *ROW[5:])), tmp_path / "lake"
        (lake / "status=opened").mkdir(parents=True)
        (lake / "status=sent").symlink_to("status=opened")
        result = ended(1, "convert", log, "--to", lake, "--partition-by", "status")
        assert f"{lake / 'status=sent'}: the folder of a partition is a link" in result.stderr
        assert not [*lake.rglob("*.parquet")]

    @pytest.mark.parametrize("status", ["sent", "opened"])
    def test_the_files_of_another_folder_are_not_touched_by_a_link(self, status: str, tmp_path: Path) -> None:
        """Neither those that would be written over, nor those that would be removed."""
        log = csv_of(tmp_path / "log.csv", ROW)
        for lake in ("one", "two"):
            good("convert", log, "--to", tmp_path / lake, "--partition-by", "status")
        shutil.rmtree(tmp_path / "two" / "status=sent")
        (tmp_path / "two" / "status=sent").symlink_to("../one/status=sent")
        theirs = tmp_path / "one" / "status=sent"
        before = content(theirs)
        csv_of(log, *[(*ROW[:4], status, *ROW[5:])] * 2)
        told = ended(1, "convert", log, "--to", tmp_path / "two", "--partition-by", "status").stderr
        assert "the folder of a partition is a link" in told
        assert content(theirs) == before

    def test_the_files_of_a_lake_in_the_lake_are_not_removed(self, tmp_path: Path) -> None:
        log, lake = csv_of(tmp_path / "log.csv", ROW), tmp_path / "lake"
        for folder in (lake / "country=de", lake):
            good("convert", log, "--to", folder, "--partition-by", "status")
        files = [path.relative_to(lake).as_posix() for path in lake.rglob("*.parquet")]
        assert sorted(files) == ["country=de/status=sent/log.parquet", "status=sent/log.parquet"]

    def test_links_without_end_are_not_followed(self, tmp_path: Path) -> None:
        lake = tmp_path / "lake"
        (lake / "status=sent").mkdir(parents=True)
        for name in ("a", "b"):
            (lake / "status=sent" / name).symlink_to(".")
        good("convert", csv_of(tmp_path / "log.csv", ROW), "--to", lake, "--partition-by", "status")

    @pytest.mark.parametrize("name", ["two.parquet", "two.rejects.jsonl"])
    def test_two_logs_never_become_one_file_by_a_link(self, name: str, tmp_path: Path) -> None:
        one, two = with_bad(tmp_path / "one.csv"), with_bad(tmp_path / "two.csv")
        good("convert", one)
        (tmp_path / name).symlink_to(tmp_path / name.replace("two", "one"))
        before = content(tmp_path)
        assert "would both become" in ended(2, "convert", one, two).stderr
        assert content(tmp_path) == before

    @pytest.mark.parametrize("option", ["-o", "--rejects"])
    def test_standard_input_is_a_log_as_any_other(
        self, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = csv_of(tmp_path / "log.jsonl", ROW)
        before = log.read_bytes()
        words = ["-o", log] if option == "-o" else ["-o", tmp_path / "out.parquet", "--rejects", log]
        with log.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            code = code_of("convert", "-", *words)
        assert (code, content(tmp_path)) == (2, {"log.jsonl": before})

    @pytest.mark.parametrize(
        ("command", "stream", "stdin"),
        [
            *((command, "stdout", False) for command in ("cat", "stats", "check", "head", "schema", "convert")),
            ("cat", "stderr", False),
            ("convert", "stderr", False),
            ("cat", "stdout", True),
            ("convert", "stdout", True),
        ],
    )
    def test_nothing_is_printed_into_the_log(
        self, command: str, stream: str, stdin: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = with_bad(tmp_path / "log.csv", 3)
        before = log.read_bytes()
        more = ["-o", tmp_path / "out.parquet"] if command == "convert" else []
        with log.open("a") as file, log.open() as source:
            monkeypatch.setattr(sys, "stdin", source)
            monkeypatch.setattr(sys, stream, file)
            code = code_of(command, "-" if stdin else log, *more)
        assert code == 1
        told = log.read_bytes()
        assert told.startswith(before)
        # One line says so, where standard error is the log itself.
        assert told[len(before) :].count(b"\n") == (stream == "stderr")
        assert not (tmp_path / "out.parquet").exists()

    @pytest.mark.parametrize("name", ["out.parquet", "out.rejects.jsonl"])
    def test_fetch_does_not_write_over_the_token(self, name: str, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text(TOKEN)
        (tmp_path / name).hardlink_to(token)
        result = run("fetch", "-o", tmp_path / "out.parquet", "--token-file", token)
        assert result.exit_code == 2
        assert "is the file with the token" in result.stderr
        assert token.read_text() == TOKEN

    def test_a_sample_leaves_the_other_name_of_an_old_file_as_it_is(self, tmp_path: Path) -> None:
        log = csv_of(tmp_path / "log.csv", ROW)
        before = log.read_bytes()
        (tmp_path / "sample.zip").hardlink_to(log)
        good("sample", tmp_path / "sample.zip", "--rows", "1")
        assert log.read_bytes() == before

    def test_a_default_file_of_rejects_that_is_none_stays(self, tmp_path: Path) -> None:
        log = with_bad(tmp_path / "log.csv", 3)
        notes = tmp_path / "log.rejects.jsonl"
        notes.write_text(json.dumps({"note": "mine"}))
        assert "name another file for the rejects" in ended(1, "convert", log).stderr
        assert notes.read_text() == json.dumps({"note": "mine"})
