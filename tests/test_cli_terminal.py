"""Every command in a real terminal and in a real pipe: what is drawn, what is not, and that no log steers either."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from rich.cells import cell_len

from support.cli import PROGRAM, csv_of, run, with_bad, with_text
from trackparse.cli import cli
from trackparse.testing import TOKEN, FakeService
from trackparse.testing.sample import sample_rows, write_sample

YESTERDAY = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38;[\d;]+)m")
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
UTF8 = {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}


@dataclass
class Ended:
    code: int
    screen: bytes  # all that came to the terminal
    stdout: bytes = b""  # where that was a pipe


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    try:
        yield ours, theirs
    finally:
        os.close(ours)


def in_terminal(*arguments: object, cwd: Path, keys: bytes = b"", pipe: bool = False, **environment: str) -> Ended:
    """Run it on a terminal; with ``pipe``, standard output is one. Keys are typed once it draws."""
    settings = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    command = [*PROGRAM, *map(str, arguments)]
    with terminal() as (ours, theirs):
        process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=subprocess.PIPE if pipe else theirs,
            stderr=theirs,
            cwd=cwd,
            env={**settings, **UTF8, **environment},
            start_new_session=True,
            preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if keys else None,  # keys that are signals
        )
        os.close(theirs)
        output: list[bytes] = []
        with process.stdout or nullcontext(BytesIO()) as stdout:
            reading = Thread(target=lambda: output.append(stdout.read()))
            reading.start()
            screen = b"".join(read_from(ours, keys))
            reading.join()
        return Ended(process.wait(30), screen, output[0])


def shown_by(monkeypatch: pytest.MonkeyPatch, *arguments: object, encoding: str = "utf-8", **environment: str) -> bytes:
    """What comes to a terminal that is both outputs, without a process of its own: that takes its time."""
    monkeypatch.delenv("NO_COLOR", raising=False)  # for old releases of rich an empty one counts, too
    for name, value in {**UTF8, **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LINES", raising=False)  # pytest-xdist sets it; a terminal tells its size itself
    with terminal() as (ours, theirs):
        screen: list[bytes] = []
        reading = Thread(target=lambda: screen.extend(read_from(ours, b"")))
        reading.start()
        with os.fdopen(theirs, "w", encoding=encoding, buffering=1) as output, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", output)
            patch.setattr(sys, "stderr", output)
            with suppress(SystemExit):
                cli.main([str(argument) for argument in arguments], "trackparse")
        reading.join()
    return b"".join(screen)


def read_from(terminal: int, keys: bytes) -> Iterator[bytes]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # nobody holds the other end any more
            return
        if not data:
            return
        yield data
        if keys and b"ing" in data:
            os.write(terminal, keys)
            keys = b""
    raise AssertionError("it did not end")


def in_pipe(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    settings = {**os.environ, **UTF8, **environment}
    return subprocess.run([*PROGRAM, *map(str, arguments)], cwd=cwd, env=settings, capture_output=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of two blocks, and one whose values would steer a terminal."""
    path = tmp_path_factory.mktemp("terminal")
    write_sample(path / "log.zip", rows=6_000)
    rows = [
        with_text(status=HOSTILE, description=HOSTILE, appCode=HOSTILE, payload=payload)
        for payload in (HOSTILE, json.dumps({"alert": HOSTILE}, ensure_ascii=False))
    ]
    csv_of(path / "hostile.csv", *rows)
    with_bad(path / "bad.csv")
    return path


# What a command prints last, and how it ends.
COMMANDS: dict[str, tuple[Sequence[object], bytes]] = {
    "convert": (["convert", "log.zip"], rb"log\.parquet: 6,000 rows, "),
    "stats": (["stats", "log.zip"], rb"2021-04-20  +6,000  +created "),
    "head": (["head", "log.zip", "-n", "3"], rb"\n2021-04-20 00:00:00  T-"),
    "cat": (["cat", "log.zip", "--format", "csv", "--columns", "status"], rb'"status"\r?\n"created"\r?\n'),
    "check": (["check", "log.zip"], rb"log\.zip: 6,000 records, all good"),
    "schema": (["schema", "log.zip"], rb"payload        string"),
    "sample": (["sample", "sample.zip", "--rows", "10"], rb"sample\.zip: 10 rows, "),
}
BARS = {"convert", "stats", "check"}  # cat has its records on the screen


@pytest.mark.parametrize("command", COMMANDS)
def test_in_a_terminal(command: str, folder: Path) -> None:
    arguments, wanted = COMMANDS[command]
    ended = in_terminal(*arguments, cwd=folder)
    assert ended.code == 0
    assert re.search(wanted, "".join(f"\n{line}" for line in left_on(ended.screen)).encode()), ended.screen
    assert (b"\x1b[?25l" in ended.screen) == (command in BARS)  # a bar hides the cursor
    assert ended.screen.count(b"\x1b[?25l") == ended.screen.count(b"\x1b[?25h")


@pytest.mark.parametrize("command", COMMANDS)
def test_in_a_pipe(command: str, folder: Path) -> None:
    arguments, wanted = COMMANDS[command]
    done = in_pipe(*arguments, cwd=folder, FORCE_COLOR="")
    assert done.returncode == 0
    assert re.search(wanted, done.stdout), done.stdout
    assert done.stderr == b""
    assert b"\x1b" not in done.stdout


def left_on(screen: bytes) -> list[str]:
    """The lines that are left when all was drawn: a terminal without an end, as wide as need be."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|[\r\n]|[^\r\n\x1b]+", screen.decode()):
        if token == "\r":
            column = 0
        elif token == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif token == "\x1b[2K":
            lines[row] = ""
        elif move := re.fullmatch(r"\x1b\[(\d+)A", token):
            row -= int(move[1])
        elif not token.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + len(token) :]
            column += len(token)
    return [line.rstrip() for line in lines if line.strip()]


def plain(screen: bytes) -> bytes:
    """Without what moves the cursor or colours."""
    return re.sub(rb"\x1b\[[?\d;]*[A-Za-z]", b"", screen)


def test_a_log_comes_out_of_a_pipe_and_goes_into_one(folder: Path) -> None:
    program = f'trackparse() {{ "{sys.executable}" -m trackparse.cli "$@"; }}\n'
    line = "cat log.zip | trackparse cat - --format csv --columns status | sort | uniq -c | sort -n | tail -n 1"
    command = ["bash", "-euo", "pipefail", "-c", program + line]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    assert done.stdout.split()[1:] == [b'"created"']
    assert done.stderr == b""


def test_fetch_in_a_terminal_and_in_a_pipe(tmp_path: Path) -> None:
    with FakeService(rows=200, ready_after=1) as service:
        told: dict[str, Any] = {"TRACKPARSE_TOKEN": TOKEN, "TRACKPARSE_BASE_URL": service.url}
        arguments = ["fetch", "--days", "1", "--allow-http"]
        ended = in_terminal(*arguments, cwd=tmp_path, **told)
        wanted = f"{YESTERDAY}.parquet: 200 rows, ".encode()
        assert ended.code == 0
        assert wanted in plain(ended.screen)
        assert b"waiting" in ended.screen
        done = in_pipe(*arguments, cwd=tmp_path, **told)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(wanted)


# ---- bars


def test_a_bar_has_rate_and_size_and_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = shown_by(monkeypatch, "convert", folder / "log.zip")
    drawn = plain(screen)
    assert b"converting" in drawn
    size = (folder / "log.zip").stat().st_size
    assert f"{size / 1000:.1f} kB".encode() in drawn
    assert b"%" in drawn
    assert [line.partition(", ")[0] for line in left_on(screen)] == [f"{folder / 'log.parquet'}: 6,000 rows"]


@pytest.mark.parametrize(("options", "environment"), [(["--quiet"], {}), ([], {"TERM": "dumb"})])
def test_without_a_bar_nothing_is_drawn(
    options: list[str], environment: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = shown_by(monkeypatch, "convert", folder / "log.zip", *options, **environment)
    assert b"\x1b" not in screen
    assert (screen == b"") == bool(options)


def test_the_bar_does_not_get_into_a_pipe(folder: Path) -> None:
    ended = in_terminal("cat", "log.zip", "--columns", "status", cwd=folder, pipe=True)
    assert ended.code == 0
    assert b"reading" in plain(ended.screen)
    assert len(ended.stdout.splitlines()) == 6_000
    assert b"\x1b" not in ended.stdout


def test_lines_stand_whole_between_bars(folder: Path, tmp_path: Path) -> None:
    logs = [folder / "log.zip", folder / "bad.csv", tmp_path / "missing.zip"]
    ended = in_terminal("convert", *logs, "--to", tmp_path, "-j", "2", cwd=folder)
    assert ended.code == 1
    *lines, last = left_on(ended.screen)
    assert sorted(line.partition(",")[0] for line in lines) == sorted(
        [
            f"{tmp_path / 'bad.parquet'}: 500 rows",
            f"{tmp_path / 'log.parquet'}: 6",
            f"trackparse: {tmp_path / 'missing.zip'}: No such file or directory",
            f"trackparse: {folder / 'bad.csv'}: 1 bad record set aside in {tmp_path / 'bad.rejects.jsonl'}",
        ]
    )
    assert last == "trackparse: 1 of 3 logs not converted"


# ---- colours and letters


def test_the_funnel_is_drawn_with_bars_and_colours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = shown_by(monkeypatch, "stats", folder / "log.zip", "-q")
    assert "█".encode() in drawn
    assert COLOUR.search(drawn)
    without = shown_by(monkeypatch, "stats", folder / "log.zip", "-q", NO_COLOR="1")
    assert not COLOUR.search(without)
    assert plain(without) == plain(drawn)


def test_a_number_has_a_bar_unless_it_is_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [with_text(status=status) for status in ("sent",) * 1000 + ("opened",)]
    drawn = plain(shown_by(monkeypatch, "stats", csv_of(tmp_path / "log.csv", *rows), "-q")).decode()
    lengths = {words[0]: line.count("█") for line in drawn.splitlines() if len(words := line.split()) > 1}
    assert lengths["sent"] > lengths["opened"] == 1
    assert lengths["delivered"] == 0


def test_a_terminal_without_the_letters_gets_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = shown_by(monkeypatch, "stats", folder / "log.zip", encoding="ascii")
    assert b"####" in screen
    assert max(screen) < 128


def test_a_narrow_terminal_has_all_the_numbers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "6,000" in shown_by(monkeypatch, "stats", folder / "log.zip", COLUMNS="30").decode()


# ---- hostile values


@pytest.mark.parametrize(
    "arguments",
    [
        ["head"],
        ["head", "--json"],
        ["cat"],
        ["cat", "--format", "csv"],
        ["stats"],
        ["stats", "--json"],
        ["check"],
        ["check", "--json"],
    ],
)
def test_no_log_steers_the_terminal(arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command, *options = arguments
    text = shown_by(monkeypatch, command, folder / "hostile.csv", *options, TERM="dumb", NO_COLOR="1").decode()
    assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", text), text
    if command != "check":
        assert "owned" in text


@pytest.mark.parametrize("command", ["stats", "check", "cat", "convert", "head"])
def test_names_steer_it_as_little(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = with_bad(tmp_path / f"{HOSTILE.replace('/', '')}.csv", rows=3)
    with zipfile.ZipFile(tmp_path / "log.zip", "w") as archive:
        archive.write(log, f"{HOSTILE}.csv")
    for path in ("log.zip", "*.csv"):
        text = shown_by(monkeypatch, command, tmp_path / path if command != "head" else log, TERM="dumb").decode()
        assert "bad" in text or "field_count" in text
        assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", plain(text.encode()).decode()), text


def test_what_is_shown_as_json_is_json_all_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = shown_by(monkeypatch, "cat", folder / "hostile.csv").decode()
    rows = [json.loads(line) for line in screen.splitlines()]
    assert [row["description"] for row in rows] == [HOSTILE] * 2
    assert rows[1]["payload"]["alert"] == HOSTILE


# ---- keys


def test_control_c_ends_it_and_gives_the_cursor_back(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.csv")
    hold = os.open(tmp_path / "log.csv", os.O_RDWR)  # a log that never comes
    try:
        ended = in_terminal("stats", "log.csv", cwd=tmp_path, keys=b"\x03")
    finally:
        os.close(hold)
    assert ended.code == 130
    assert ended.screen.count(b"\x1b[?25l") == ended.screen.count(b"\x1b[?25h") == 1
    assert b"Traceback" not in ended.screen


def test_a_terminal_is_no_log(folder: Path) -> None:
    ended = in_terminal("convert", "-", "-o", "out.parquet", cwd=folder)
    assert ended.code == 2
    assert b"standard input is a terminal" in ended.screen


# ---- widths


def at_width(width: int, monkeypatch: pytest.MonkeyPatch, *arguments: object, **environment: str) -> list[str]:
    """The lines that stand on a terminal so wide."""
    screen = shown_by(monkeypatch, *arguments, COLUMNS=str(width), **environment)
    return plain(screen).decode().replace("\r", "").splitlines()


WIDTHS = (20, 40, 80, 120, 200)
SENT = sum(row[4] == "sent" for row in sample_rows(6_000))


@pytest.mark.parametrize("width", WIDTHS)
def test_head_fits_the_terminal(width: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for environment in ({}, {"TERM": "dumb"}):
        lines = at_width(width, monkeypatch, "head", folder / "log.zip", "-n", "120", **environment)
        assert max(map(cell_len, lines)) <= width
        if width >= 80:
            assert len(lines) == 121
            assert all(line.startswith("2021-04-20 00:0") for line in lines[1:])
            assert lines[0].split()[4] == "status"
        else:
            assert len(lines) == 120 * 9 - 1
            assert lines[0].startswith("timestamp      20")


def test_head_fits_it_with_wide_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = csv_of(tmp_path / "log.csv", with_text(description="日志" * 30, payload='{"a":"' + "🔥" * 300 + '"}'))
    for width in WIDTHS:
        assert max(map(cell_len, at_width(width, monkeypatch, "head", log))) <= width


@pytest.mark.parametrize("by", [None, "message", "app", "day", "status"])
@pytest.mark.parametrize("width", WIDTHS)
def test_stats_fits_the_terminal(width: int, by: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--by", by] if by else []
    lines = at_width(width, monkeypatch, "stats", folder / "log.zip", "-q", *options)
    assert lines == at_width(width, monkeypatch, "stats", folder / "log.zip", "-q", *options, TERM="dumb")
    assert max(map(cell_len, lines)) <= width
    sent = next(line for line in lines if line.startswith("  sent"))
    assert sent.split()[1] == f"{SENT:,}"
    assert ("█" in sent) == (width >= 80)
    if not by and width >= 40:
        at = lines.index("failures") + 1
        assert all(line.split()[-1].isdigit() for line in lines[at : lines.index("", at)])
    if not by and width >= 40:
        at = lines.index("days") + 1
        assert all(line.rstrip()[-1] in ",0123456789" for line in lines[at:])  # a number stays with its word
    if by == "message" and width >= 40:
        head = lines[lines.index("by message") + 1].split()
        wanted = ["message", "records", "opened/sent"]
        assert head[:3] == wanted if width == 40 else set(head) > {*wanted, "delivered/sent", "devices"}


def test_bars_of_several_logs_say_which_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = plain(shown_by(monkeypatch, "stats", folder / "log.zip", folder / "hostile.csv", COLUMNS="40"))
    assert b"counting, 1 of 2" in screen


def test_fetch_says_which_day_it_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeService(rows=20, ready_after=1) as service:
        monkeypatch.setenv("TRACKPARSE_TOKEN", TOKEN)
        arguments = ["fetch", "--days", 2, "--allow-http", "--base-url", service.url, "--to", tmp_path]
        screen = shown_by(monkeypatch, *arguments, COLUMNS="40")
    before = YESTERDAY - datetime.timedelta(days=1)
    for number, day in enumerate((before, YESTERDAY), 1):
        assert f"{day}, {number} of 2: waiting".encode() in plain(screen)


# ---- filters


@pytest.mark.parametrize(
    ("status", "said"),
    [("fial", "did you mean 'failed'?"), ("Opened", "did you mean 'opened'?"), ("zzz", "expected one of: created, ")],
)
def test_a_status_that_nobody_knows_gets_a_note(status: str, said: str, folder: Path) -> None:
    result = run("head", folder / "log.zip", "--status", status, "--status", "sent")
    assert result.exit_code == 0
    assert result.stdout
    assert result.stderr.startswith(f"trackparse: --status {status}: not a known status, ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
