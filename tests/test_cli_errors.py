"""Errors of the command line: expected ones are a line, all others keep their traceback."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import trackparse
from support.cli import PROGRAM, ROW, csv_of, ended, failed, run, with_bad
from support.workers import PROGRAM_WITH_WORKERS, START_ALL_ALLOWED
from trackparse.cli.output import _ADVICE, expected, line_of
from trackparse.convert import running
from trackparse.options import CONVERT_DEFAULTS
from trackparse.testing import TOKEN

READING = ["cat", "check", "convert", "head", "schema", "stats"]
SOURCE = Path(trackparse.__file__).parent


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return csv_of(tmp_path / "log.csv", ROW)


def broken_at_start(folder: Path) -> dict[str, str]:
    """An environment in which each process of ours has a bug: a ValueError from inside when a batch is built."""
    (folder / "sitecustomize.py").write_text(
        "from trackparse.columns import builder\n"
        "def broken(*_): raise ValueError('a bug inside')\n"
        "builder.ColumnBuilder.arrays = broken\n"
        f"{START_ALL_ALLOWED}\n"
    )
    return {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"}


@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, RuntimeError])
@pytest.mark.parametrize("command", READING)
def test_an_error_from_inside_is_raised(
    command: str, error: type[Exception], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error("a bug inside")

    if command == "convert":
        monkeypatch.setattr(running, "convert", broken)
    else:
        monkeypatch.setattr(trackparse, "open_log", broken)
    result = run(command, log)
    assert isinstance(result.exception, error)
    assert "a bug inside" not in result.output


@pytest.mark.parametrize("words", [["head", "--json", "log.csv"], ["cat", "log.csv"], ["stats", "log.csv"]])
def test_a_process_shows_the_traceback_of_an_error_from_inside(words: list[str], log: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, *words], cwd=log.parent, env=broken_at_start(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith("ValueError: a bug inside\n")


def test_a_worker_shows_it_too_and_its_log_is_named(log: Path, tmp_path: Path) -> None:
    other = csv_of(tmp_path / "other.csv", ROW)
    command = [*PROGRAM, "convert", str(log), str(other), "--jobs", "2"]
    done = subprocess.run(command, env=broken_at_start(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("ValueError: a bug inside") == 2
    for path in (log, other):
        assert f"trackparse: {path}: the process that converted it ended with an unexpected error" in done.stderr
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), ("", False)])
@pytest.mark.parametrize("words", [["head", "missing.zip"], ["convert", "missing.zip", "gone.zip", "--jobs", "2"]])
def test_with_debug_an_expected_error_shows_its_traceback_and_its_line(
    words: list[str], value: str, shown: bool, tmp_path: Path
) -> None:
    environment = {"TRACKPARSE_DEBUG": value, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*PROGRAM_WITH_WORKERS, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "trackparse: missing.zip: No such file or directory\n" in done.stderr
    assert ("Traceback (most recent call last):\n" in done.stderr) == shown
    assert ("FileNotFoundError: " in done.stderr) == shown


def test_what_is_expected() -> None:
    for error in (
        trackparse.TruncatedError("x"),
        trackparse.HeaderError("x"),
        trackparse.OptionError("x"),
        FileNotFoundError(2, "x"),
        MemoryError(),
        click.UsageError("x"),
        ModuleNotFoundError("x", name="rich.console"),
        ImportError("x", name="urllib3"),
    ):
        assert expected(error), error
        assert line_of(error)
    for bug in (ValueError("x"), TypeError("x"), KeyError("x"), ImportError("x", name="trackparse.nonsense")):
        assert not expected(bug), bug


# ---- what the user typed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["cat", "log.csv", "--columns", "app_code"], "no column 'app_code' in this log: did you mean 'appCode'?"),
        (["cat", "log.csv", "--columns", ""], "expected names with commas between them"),
        (["cat", "log.csv", "--columns", "status,status"], "each name once"),
        (["convert", "log.csv", "--compression", "zip"], "compression='zip': did you mean 'gzip'?"),
        (["convert", "log.csv", "--rejects", "bad.txt"], "expected a name that ends in .jsonl or .parquet"),
        (["head", "https://"], "https://"),
        (["convert", "https://no host/x.zip"], "https://no host/x.zip"),
        (["fetch", "--base-url", "ftp://x"], "--base-url 'ftp://x'"),
    ],
)
def test_a_value_that_cannot_be_used_is_wrong_usage(
    words: list[str], told: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(log.parent)
    monkeypatch.setenv("TRACKPARSE_TOKEN", TOKEN)
    assert told in failed(2, *words)
    assert [path.name for path in log.parent.iterdir()] == ["log.csv"]


def test_a_column_that_one_log_lacks_costs_that_log_only(log: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.csv"
    wide.write_bytes(b"//timestamp;tracking_code;region\n2021-04-20 13:01:01;T-1;EU\n")
    result = ended(2, "cat", log, wide, "--columns", "region")
    assert result.stdout == '{"region":"EU"}\n'
    assert f"trackparse: {log}: no column 'region'" in result.stderr
    assert ended(1, "cat", log, wide, tmp_path / "missing.zip", "--columns", "region")


# ---- advice


def advice_of_the_library() -> Iterator[tuple[str, str, str]]:
    """Every text that is given as advice, with its module and the option that it is said to be about."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
    for name, text in texts.items():
        for node in ast.walk(ast.parse(text)) if "advice" in text else ():
            given = {word.arg: word.value for word in node.keywords} if isinstance(node, ast.Call) else {}
            option = given.get("option")
            for part in ast.walk(given["advice"]) if "advice" in given else ():
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield name, part.value, option.value if isinstance(option, ast.Constant) else ""  # type: ignore[misc]


ADVICE = sorted(set(advice_of_the_library()))


@pytest.mark.parametrize(("module", "advice", "option"), ADVICE)
def test_no_line_names_an_option_of_python(module: str, advice: str, option: str) -> None:
    line = line_of(trackparse.ArchiveError("log.zip: wrong", advice=advice, option=option), "log.zip")
    for named in ("members=", "columns=", "limits=", "on_error=", "rejects=", "dictionary=", "existing=", "Limits.max"):
        assert named not in line, module


def test_the_options_that_advice_is_about_are_options() -> None:
    given = {option for _, _, option in ADVICE} - {""}
    assert {*_ADVICE} < given <= {*CONVERT_DEFAULTS, "existing", "jobs", "partition_by"}  # of convert_logs


def test_an_archive_without_a_log_is_not_told_of_members(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.jpeg", "x")
        archive.writestr("two.jpeg", "x")
    for command in READING:
        line = failed(1, command, path)
        assert "no member is named *.csv" in line
        assert "unpack the archive, and name the log" in line


@pytest.mark.parametrize("more", [[], ["--jobs", "2"]], ids=["one process", "two"])
def test_a_warning_of_the_library_is_a_line_as_errors_are(more: list[str], tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("day.csv", csv_of(tmp_path / "day.csv", ROW).read_bytes())
            archive.writestr("day.txt", csv_of(tmp_path / "day.csv", ROW).read_bytes())
    done = subprocess.run(
        [*PROGRAM_WITH_WORKERS, "convert", "one.zip", "two.zip", *more],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert sorted(done.stderr.splitlines()) == [
        f"trackparse: {name}: not read because of the name, but it starts like a log: 'day.txt'; "
        "unpack the archive, and name the log"
        for name in ("one.zip", "two.zip")
    ]


@pytest.mark.parametrize("name", ["log.rejects.jsonl", "log.rejects.parquet"])
@pytest.mark.parametrize("command", READING)
def test_a_file_of_rejects_is_not_taken_for_a_log(
    command: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended(0, "convert", with_bad(tmp_path / "log.csv", 3), "--rejects", name)
    output = ["-o", "x.parquet", "--rejects", "x.jsonl"] if command == "convert" else []
    line = failed(1, command, name, *output)
    assert line.startswith(f"trackparse: {name}: a file of rejects (bad records), not a tracking log; ")
    assert "trackparse mend" in line
    assert "trackparse.convert_rejects" in line


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_member_is_said_to_be_empty(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("day.csv", content)
    assert failed(1, "convert", path).startswith(f"trackparse: {path}: member 'day.csv': the log is empty; ")
    with pytest.raises(trackparse.HeaderError, match="the log is empty"):
        trackparse.open_log(path)


def test_files_that_were_not_read_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("day.csv", csv_of(tmp_path / "day.csv", ROW).read_bytes())
        archive.writestr("readme.txt", "hello")
        archive.writestr("notes.txt", "hello")
    assert ended(0, "check", path).stdout == f"{path}: 1 record, all good; 2 other files in the archive not read\n"
    assert '"members_left_out": 2' in ended(0, "check", path, "--json").stdout
    assert "members left out  2\n" in ended(0, "stats", path).stdout
    assert '"members_left_out": 2' in ended(0, "stats", path, "--json").stdout
    assert "left out" not in ended(0, "stats", tmp_path / "day.csv").stdout


def test_python_itself_is_not_broken_by_the_stand_in(tmp_path: Path) -> None:
    """What broken_at_start does is seen: without it the same command works."""
    csv_of(tmp_path / "log.csv", ROW)
    done = subprocess.run([*PROGRAM, "cat", "log.csv"], cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, check=False)
    assert done.returncode == 0
    assert sys.executable == PROGRAM[0]


@pytest.mark.parametrize("command", ["cat", "check", "stats"])
def test_a_log_that_cannot_be_read_is_no_wrong_usage_and_costs_itself(
    command: str, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may be read is found out by reading it: ``access`` says no to everything here."""
    other = csv_of(tmp_path / "other.csv", ROW)
    other.chmod(0)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    result = run(command, log, other)
    assert result.stdout
    told = f"trackparse: {other}: Permission denied\n"
    assert (result.exit_code, result.stderr) == ((1, told) if os.geteuid() else (0, ""))
