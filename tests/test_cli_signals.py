"""Signals and full disks met by the command line: one exit code, at most one line, nothing left behind."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any, cast

import pytest

from support.cli import PLAIN, PROGRAM, ROW, csv_of, ended, with_bad
from torture import kills
from trackparse.testing.sample import write_sample

COMMANDS = [["cat"], ["cat", "--format", "csv"], ["check"], ["check", "--json"], ["convert"], ["head"],
            ["head", "--json"], ["schema"], ["schema", "--json"], ["stats"], ["stats", "--json"]]  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc here")
def test_kills_leave_no_half_file_no_process_and_nothing_that_the_next_run_does_not_remove() -> None:
    findings = kills.campaign(10, seed=7, rows=5_000)
    assert findings.faults == []
    assert findings.kills.total() == 10


@pytest.fixture
def pipes(tmp_path: Path) -> list[Path]:
    """Two logs that never come."""
    found = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for pipe in found:
        os.mkfifo(pipe)
    return found


def convert(pipes: list[Path], **options: Any) -> subprocess.Popen[bytes]:
    words = [*PROGRAM, "convert", *map(str, pipes), "--jobs", "2"]
    given = {"env": PLAIN, **options}
    return cast(
        "subprocess.Popen[bytes]", subprocess.Popen(words, stderr=subprocess.PIPE, start_new_session=True, **given)
    )


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.3, 0.6])
def test_ctrl_c_again_and_again_while_workers_start_and_stop_is_one_end(moment: float, pipes: list[Path]) -> None:
    with convert(pipes) as process:
        kills.begun(process)
        time.sleep(moment)
        for _ in range(5):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.03)
        # It waits for its workers: with it all of them have ended.
        assert process.wait(30) == 130
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
        assert process.communicate()[1] == b""
    assert sorted(path.name for path in pipes[0].parent.iterdir()) == ["one.csv", "two.csv"]


def test_a_timer_that_runs_when_the_work_is_done_does_not_end_the_process() -> None:
    code = """
        import signal, time
        from trackparse.signals import ended, listen
        class Slow:
            def __del__(self, sleep=time.sleep):
                sleep(0.2)
        slow = Slow()  # deleted after Python has given its handlers back
        listen()
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        ended()
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False).returncode == 0


@pytest.mark.parametrize("ignored", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_was_ignored_when_it_started_stays_so(ignored: signal.Signals, pipes: list[Path]) -> None:
    before = signal.signal(ignored, signal.SIG_IGN)
    try:
        with convert(pipes) as process:
            kills.begun(process)
            os.killpg(process.pid, ignored)
            time.sleep(0.3)
            assert process.poll() is None
            os.killpg(process.pid, signal.SIGTERM)
            assert process.communicate()[1] == b""
    finally:
        signal.signal(ignored, before)
    assert process.returncode == 143
    assert kills.gone(process.pid)


def test_a_signal_is_not_lost_where_python_drops_its_exception() -> None:
    program = """
import os, signal, time
from trackparse.signals import listen
class Cleared:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass
listen()
Cleared()
time.sleep(10)
"""
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (143, b"")
    assert time.monotonic() - start < 8


# Runs one command after the other, each with a full disk behind its standard output.
WITH_FULL_DISKS = """
import json, os, sys
from trackparse.cli import cli
for words in json.loads(sys.argv[1]):
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    sys.stdout = open(1, "w", closefd=False)
    try:
        cli(words, prog_name="trackparse")
    except SystemExit as end:
        print(int(end.code), file=sys.stderr)
    sys.stdout.close()
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
class TestFullDisks:
    def test_what_cannot_be_printed_is_said_of_standard_output(self, tmp_path: Path) -> None:
        csv_of(tmp_path / "log.csv", ROW)
        todo = [[command, "log.csv", *options] for command, *options in COMMANDS]
        todo += [["--help"], ["--version"], ["convert", "--help"], ["sample", "s.zip", "--rows", "1"]]
        done = subprocess.run(
            [sys.executable, "-c", WITH_FULL_DISKS, json.dumps(todo)],
            capture_output=True, text=True, cwd=tmp_path, check=False,
        )  # fmt: skip
        told = done.stderr.splitlines()
        assert len(told) == 2 * len(todo), told
        for words, line, code in zip(todo, told[::2], told[1::2], strict=True):
            assert (line, code) == ("trackparse: <stdout>: No space left on device", "1"), words

    def test_a_full_standard_error_leaves_the_exit_code(self, tmp_path: Path) -> None:
        with Path("/dev/full").open("wb") as full:
            for words, code in ((["stats", "missing.zip"], 1), (["convert", "log.csv", "--strict"], 3)):
                with_bad(tmp_path / "log.csv", 3)
                command = [*PROGRAM, *words]
                done = subprocess.run(command, stderr=full, stdout=subprocess.PIPE, cwd=tmp_path, check=False)
                assert (done.returncode, done.stdout) == (code, b"")


def test_too_little_memory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*_: object, **__: object) -> None:
        raise MemoryError

    log = csv_of(tmp_path / "log.csv", ROW)
    monkeypatch.setattr("trackparse.convert.running.convert", too_much)
    monkeypatch.setattr("trackparse.open_log", too_much)
    for command in ("cat", "check", "convert", "head", "schema", "stats"):
        told = ended(1, command, log).stderr
        assert told.startswith(f"trackparse: {log}: not enough memory: ")
        assert told.count("\n") == 1


def test_too_little_memory_for_a_real_conversion_leaves_nothing(tmp_path: Path) -> None:
    write_sample(tmp_path / "log.zip", rows=100_000)
    program = """
import resource, sys
import numpy, pyarrow.parquet
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (16 << 20), resource.RLIM_INFINITY))
from trackparse.cli import main
sys.argv = ["trackparse", "convert", sys.argv[1]]
main()
"""
    if not hasattr(resource, "RLIMIT_AS") or not Path("/proc/self/statm").exists():
        pytest.skip("there is no such limit here")
    command = [sys.executable, "-c", program, str(tmp_path / "log.zip")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"trackparse: {tmp_path / 'log.zip'}: ")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["log.zip"]
