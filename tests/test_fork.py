"""A fork before, while and after a log is read: parent and child read it right, or are told why not; nobody hangs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from support.archives import python_zip
from support.logs import H8, line
from support.tools import printed_by_python
from trackparse.testing import FakeService

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

ROWS = 400
LOG = H8 + line() * ROWS
DAY = "2021-04-20"

_START = """
import gc, io, json, os, signal, sys, threading, time, warnings
import trackparse
from trackparse.client import Pauses, TrackingLogClient, open_url

# Newer versions of Python warn about forks beside threads, which is what this is about.
warnings.filterwarnings("ignore", category=DeprecationWarning)
folder, url, link = sys.argv[1:]
WAIT = 30  # seconds; far more than any of this takes

def said(use):
    try:
        return str(use())
    except Exception as error:
        return f"{type(error).__name__}: {error}".replace(folder + "/", "")

def child(*uses):
    "What the uses say in a forked child, which ends as a program does; None in place of all where it hangs or dies."
    # What is not written yet would be written by both.
    sys.stdout.flush()
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(WAIT)
        os.close(receiver)
        found = [said(use) for use in uses]
        gc.collect()
        with open(sender, "w") as file:
            json.dump(found, file)
        sys.exit(0)
    os.close(sender)
    with open(receiver) as file:
        found = file.read()
    return json.loads(found) if os.waitpid(pid, 0)[1] == 0 else None

def rows(log):
    return sum(batch.num_rows for batch in log)

def content(name):
    with open(f"{folder}/{name}", "rb") as file:
        return file.read()

def chunks():
    data = content("log.csv")
    for start in range(0, len(data), 5000):
        yield data[start : start + 5000]

def pipe():
    receiver, sender = os.pipe()
    def fill():
        with open(sender, "wb") as file:
            file.write(content("log.csv"))
    threading.Thread(target=fill).start()
    # Not buffered: a buffer that a thread reads from during a fork is locked in the child for ever.
    return open(receiver, "rb", buffering=0)

SOURCES = {
    "path": lambda: f"{folder}/log.csv",
    "archive": lambda: f"{folder}/log.zip",
    "bytes": lambda: content("log.csv"),
    "file": lambda: open(f"{folder}/log.zip", "rb"),
    "generator": chunks,
    "pipe": pipe,
    "download": lambda: open_url(link, allow_http=True),
}
"""


def run(program: str, tmp_path: Path) -> Any:
    """What a program prints as JSON; nothing goes to standard error."""
    (tmp_path / "log.csv").write_bytes(LOG)
    (tmp_path / "log.zip").write_bytes(python_zip({"log.csv": LOG}))
    script = tmp_path / "program.py"
    script.write_text(_START + program, encoding="utf-8")
    with FakeService(logs={DAY: python_zip({"log.csv": LOG})}) as service:
        service.delivery.piece, service.delivery.rate = 100, 20_000.0
        printed = printed_by_python("-X", "dev", script, tmp_path, service.url, service.file_url(DAY))
    return json.loads(printed)


def test_a_fork_at_any_moment_of_any_source(tmp_path: Path) -> None:
    program = """
found = {}
for name, make in SOURCES.items():
    for moment in ["while"] if name in ("path", "bytes", "file", "pipe") else ["before", "while", "after"]:
        source = make()
        log = trackparse.open_log(source, block_size=1000)
        events = log.events()
        read = 0
        if moment != "before":
            read += next(log).num_rows
        if moment == "after":
            read += rows(log)
        in_child = child(
            lambda: rows(log),
            lambda: next(events),
            lambda: trackparse.read_log(f"{folder}/log.zip").num_rows,
            lambda: trackparse.convert_log(f"{folder}/log.csv", f"{folder}/{name}.parquet").records,
            log.close,
            # A file of ours that a program forgets is told by Python.
            lambda: isinstance(source, io.IOBase) and source.close(),
        )[:-1]
        found[f"{name}, {moment}"] = in_child, read + (0 if moment == "after" else rows(log))
        log.close()
        if hasattr(source, "close"):
            source.close()
print(json.dumps(found))
"""
    found = run(program, tmp_path)
    assert len(found) == 13
    for name, (in_child, in_parent) in found.items():
        assert in_child is not None, name
        first, second, *others = in_child
        for told in (first, second):
            assert told.startswith("RuntimeError: ")
            assert told.endswith(": the log was opened before a fork: open it again in the child")
        assert others == [str(ROWS), str(ROWS), "None"], name
        assert in_parent == ROWS, name


def test_a_child_that_drops_a_log_leaves_its_parents_alone(tmp_path: Path) -> None:
    program = """
found = {}
for name in ("file", "generator", "pipe", "download"):
    source = SOURCES[name]()
    log = trackparse.open_log(source, block_size=1000)
    read = next(log).num_rows

    def drop():
        global log, source
        if isinstance(source, io.IOBase):
            source.close()
        del log, source
        gc.collect()

    in_child = child(drop)
    found[name] = in_child, read + rows(log)
    log.close()
    if hasattr(source, "close"):
        source.close()
print(json.dumps(found))
"""
    assert run(program, tmp_path) == {name: [["None"], ROWS] for name in ("file", "generator", "pipe", "download")}


def test_a_child_that_closes_a_log_does_not_end_its_parents_generator(tmp_path: Path) -> None:
    program = """
ended = []
def held():
    try:
        yield from chunks()
    finally:
        ended.append(os.getpid())  # as if a connection were shut down here
log = trackparse.open_log(held(), block_size=1000)
read = next(log).num_rows
in_child = child(log.close, lambda: ended)
read += rows(log)
log.close()
print(json.dumps([in_child, read, ended == [os.getpid()]]))
"""
    assert run(program, tmp_path) == [["None", "[]"], ROWS, True]


def test_forks_beside_threads_that_read_and_write(tmp_path: Path) -> None:
    # First all that is imported late: what a thread imports during a fork, the child can never import (Python's limit).
    program = """
trackparse.convert_log(f"{folder}/log.zip", f"{folder}/first.parquet")
done = threading.Event()
def work(number):
    while not done.is_set():
        rows(trackparse.open_log(f"{folder}/log.zip", block_size=1000))
        trackparse.convert_log(f"{folder}/log.zip", f"{folder}/thread-{number}.parquet")
workers = [threading.Thread(target=work, args=(number,)) for number in range(2)]
for worker in workers:
    worker.start()
found = [
    child(
        lambda: trackparse.read_log(f"{folder}/log.zip", block_size=1000).num_rows,
        lambda: sum(1 for _ in trackparse.iter_events(f"{folder}/log.csv")),
        lambda: trackparse.convert_log(f"{folder}/log.zip", f"{folder}/child.parquet").records,
    )
    for _ in range(5)
]
done.set()
for worker in workers:
    worker.join()
print(json.dumps(found))
"""
    assert run(program, tmp_path) == [[str(ROWS)] * 3] * 5


def test_a_client_made_before_a_fork_works_on_both_sides(tmp_path: Path) -> None:
    program = """
client = TrackingLogClient("test-token", base_url=url, allow_http=True, retries=0, timeout=5)
request_id = client.request_log()  # its connection is kept

def again(ask):
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        found = ask()
    return len(found) > 1

def in_parent():
    time.sleep(0.2)
    parents.append(said(lambda: again(lambda: client.poll(request_id, deadline=5))))

parents = []
asking = threading.Thread(target=in_parent)
asking.start()
# Both ask at the same time, and different things: what one asks must not be answered to the other.
childs = child(lambda: again(client.request_log), client.close)
asking.join()
client.close()
print(json.dumps([childs, parents]))
"""
    assert run(program, tmp_path) == [["True", "None"], ["True"]]


def test_a_download_opened_before_a_fork_is_the_parents(tmp_path: Path) -> None:
    program = """
source = open_url(link, allow_http=True)
head = source.read_exactly(10)  # more of it came, and is there in the child, too
in_child = child(lambda: source.read_exactly(1 << 20), source.close)
whole = head + source.read_exactly(1 << 20)
source.close()
print(json.dumps([in_child, whole == content("log.zip")]))
"""
    (said, closed), whole = run(program, tmp_path)
    assert said.endswith(f"tracking_log_{DAY}.zip: the download was opened before a fork: open it again in the child")
    assert closed == "None"
    assert whole
