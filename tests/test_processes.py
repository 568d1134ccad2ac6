"""The reader across processes: forked, spawned, at the interpreter's exit, in one that Ctrl-C reaches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.logs import H8, line

_START = """
import gc, multiprocessing, os, signal, sys, threading, time
import trackparse

def path():
    return sys.argv[1]

def content():
    with open(path(), "rb") as file:
        return file.read()

def begin(**options):
    log = trackparse.open_log(path(), block_size=1000, **options)
    next(log)
    return log

def said(use):
    try:
        return str(use())
    except Exception as error:
        return f"{type(error).__name__}: {error}".replace(path(), "log.csv")
"""


def run(program: str, tmp_path: Path, code: int = 0) -> list[str]:
    """What a program prints that has a log of 2,000 rows; nothing goes to standard error."""
    log, script = tmp_path / "log.csv", tmp_path / "program.py"
    log.write_bytes(H8 + line() * 2000)
    script.write_text(_START + program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", script, log],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stderr == ""
    assert done.returncode == code
    return done.stdout.splitlines()


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@forks
def test_a_forked_child_is_told_and_may_open_the_log_anew(tmp_path: Path) -> None:
    program = """
log = begin()
events = log.events()
next(events)
# A thread that waits for a block holds the lock when the fork comes.
never = threading.Event()
def body():
    yield content()
    never.wait()
waiting = trackparse.open_log(body(), block_size=1000)
waiter = threading.Thread(target=lambda: list(waiting))
waiter.start()
time.sleep(0.2)

def child():
    print(said(lambda: next(log)))
    print(said(lambda: next(waiting)).replace("<stream>", "log.csv"))
    print(said(lambda: trackparse.read_log(path()).num_rows))
    waiting.close()
    log.close()
    sys.stdout.flush()

if __name__ == "__main__":
    worker = multiprocessing.get_context("fork").Process(target=child)
    worker.start()
    worker.join(30)
    print(worker.exitcode)
    # The parent's reader is as it was.
    print(sum(batch.num_rows for batch in log) > 1900)
    never.set()
    waiter.join()
"""
    told = "RuntimeError: log.csv: the log was opened before a fork: open it again in the child"
    assert run(program, tmp_path) == [told, told, "2000", "0", "True"]


@pytest.mark.parametrize("method", [pytest.param("fork", marks=forks), "spawn"])
def test_workers_read_what_they_are_sent_the_path_of(method: str, tmp_path: Path) -> None:
    program = f"""
def work(path):
    return sum(1 for _ in trackparse.iter_events(path))

if __name__ == "__main__":
    log = begin()
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        print(pool.map(work, [path()] * 3))
        print(said(lambda: pool.apply(print, (log,))))
        pool.close()
        pool.join()
    print(sum(batch.num_rows for batch in log) > 1900)
"""
    assert run(program, tmp_path) == [
        "[2000, 2000, 2000]",
        "TypeError: log.csv: an open log cannot be copied or sent: send its path, and open it there",
        "True",
    ]


def test_the_interpreter_exits_with_readers_in_every_state(tmp_path: Path) -> None:
    program = """
half = begin()
events = trackparse.iter_events(path(), block_size=1000)
next(events)
reader = begin().to_reader()
reader.read_next_batch()
cycle = begin()
cycle.myself = cycle
done = begin()
done.read_all()
closed = begin()
closed.close()
never = threading.Event()
def body():
    yield content()
    never.wait()
blocked = trackparse.open_log(body(), block_size=1000)
next(blocked)
print("end")
"""
    assert run(program, tmp_path) == ["end"]


def test_the_interpreter_exits_with_a_query_half_way(tmp_path: Path) -> None:
    program = """
import duckdb
log = begin()
relation = duckdb.sql("SELECT status FROM log")
read = getattr(relation, "to_arrow_reader", None) or relation.fetch_record_batch
batches = read(100)
print(batches.read_next_batch().num_rows > 0)
print("end")
"""
    pytest.importorskip("duckdb")
    assert run(program, tmp_path) == ["True", "end"]


@pytest.mark.parametrize(
    ("use", "preload"),
    [
        ("list(trackparse.open_log(body(), block_size=1000))", ""),
        ("list(trackparse.iter_events(body()))", ""),
        ("trackparse.convert_log(body(), path() + '.parquet')", ""),
        # It takes the signal for itself, too, and a lock does not wake for it then.
        ("trackparse.open_log(body()).to_reader().read_all()", "import polars; polars.DataFrame({'a': [1]})"),
    ],
    ids=["batches", "events", "conversion", "with Polars"],
)
def test_ctrl_c_reaches_whoever_waits_for_a_source(use: str, preload: str, tmp_path: Path) -> None:
    program = f"""
{preload}
never = threading.Event()
asked = threading.Event()
def body():
    yield content()
    asked.set()
    never.wait()

def interrupt():
    asked.wait()
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
try:
    {use}
except KeyboardInterrupt:
    print("interrupted")
print(sorted(os.listdir(os.path.dirname(path()))))
"""
    assert run(program, tmp_path) == ["interrupted", "['log.csv', 'program.py']"]
