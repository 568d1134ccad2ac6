"""The thread ahead delivers in order, and ends however it is left."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED

import pytest

import trackparse
from support.archives import LOG, python_zip
from support.tools import printed_by_python
from trackparse.archive import readahead
from trackparse.archive.opening import open_archive
from trackparse.archive.readahead import MemberDamaged, MemberEnd, MemberStart, ReadAhead
from trackparse.convert import conversion
from trackparse.errors import ArchiveError, LimitError, TruncatedError
from trackparse.limits import Limits
from trackparse.sources.source import open_source

TWO = python_zip({"a.csv": LOG, "b.csv": LOG[:1000]})


def start(source: Any, block_size: int = 4096, depth: int = 4) -> ReadAhead:
    return ReadAhead(open_archive(open_source(source), Limits()), block_size, depth)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "trackparse-inflate"]


def wait_for_end(seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while threads() and time.monotonic() < end:
        time.sleep(0.005)
    return not threads()


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    yield
    assert wait_for_end()


@pytest.mark.parametrize("depth", [1, 4, 100])
def test_items_come_in_order(depth: int) -> None:
    items = list(start(TWO, depth=depth))
    assert items[0] == MemberStart("a.csv")
    middle = items.index(MemberEnd())
    assert b"".join(items[1:middle]) == LOG  # type: ignore[arg-type]
    assert items[middle + 1] == MemberStart("b.csv")
    assert items[middle + 2 :] == [LOG[:1000], MemberEnd()]


def test_a_fault_comes_after_what_was_before_it() -> None:
    items: list[Any] = []
    ahead = start(TWO[:5000])
    with pytest.raises(TruncatedError, match=r"a\.csv"):
        items.extend(ahead)
    assert items[0] == MemberStart("a.csv")
    found = b"".join(items[1:])
    assert len(found) > 5000
    assert LOG.startswith(found)
    assert list(ahead) == []


def test_an_error_of_the_source_is_the_one_raised() -> None:
    gone = ConnectionResetError("gone")

    def body() -> Iterator[bytes]:
        yield TWO[:5000]
        raise gone

    with pytest.raises(ConnectionResetError) as caught:
        list(start(body()))
    assert caught.value is gone


def test_no_thread_before_the_first_item() -> None:
    ahead = start(TWO)
    assert not threads()
    next(ahead)
    assert threads()
    ahead.close()


def test_close_ends_the_thread_and_closes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log.zip"
    path.write_bytes(TWO)
    ahead = start(path)
    next(ahead)
    ahead.close()
    assert not threads()
    ahead.close()
    unstarted = start(path)
    unstarted.close()
    for closed in (ahead, unstarted):
        with pytest.raises(ValueError, match="closed"):
            next(closed)


def test_dropping_ends_the_thread_and_closes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log.zip"
    path.write_bytes(TWO)
    ahead = start(path)
    next(ahead)
    del ahead
    gc.collect()
    assert not threads()
    unstarted = start(path)
    del unstarted
    gc.collect()


def test_reading_to_the_end_ends_the_thread() -> None:
    with start(TWO) as ahead:
        for _ in ahead:
            pass
        assert wait_for_end()


def test_it_reads_no_further_ahead_than_it_may() -> None:
    taken = []

    def body() -> Iterator[bytes]:
        for at in range(0, len(LOG), 1000):
            taken.append(at)
            yield LOG[at : at + 1000]

    with start(body(), block_size=1000, depth=3) as ahead:
        next(ahead)
        time.sleep(0.1)
        assert len(taken) <= 6


def test_a_source_that_never_answers_does_not_hold_up_close(monkeypatch: pytest.MonkeyPatch) -> None:
    assert readahead._CLOSE_WAIT <= 5  # seconds, as SECURITY.md promises
    monkeypatch.setattr(readahead, "_CLOSE_WAIT", 0.1)
    answer = threading.Event()

    def body() -> Iterator[bytes]:
        yield LOG[:1000]
        answer.wait(10)

    ahead = start(body(), block_size=500)
    next(ahead)
    ahead.close()
    assert threads()
    answer.set()


def test_close_wakes_a_consumer_that_waits() -> None:
    answer = threading.Event()

    def body() -> Iterator[bytes]:
        answer.wait(10)
        yield b""

    ahead = start(body())
    got: list[Any] = []

    def consume() -> None:
        with pytest.raises(ValueError, match="closed"):
            got.extend(ahead)
        got.append("an error and not the end")

    consumer = threading.Thread(target=consume)
    consumer.start()
    time.sleep(0.05)
    threading.Timer(0.05, answer.set).start()
    ahead.close()
    consumer.join(5)
    assert got == ["an error and not the end"]
    assert wait_for_end()


def test_a_damaged_archive_closes_its_file(tmp_path: Path) -> None:
    path = tmp_path / "log.zip"
    path.write_bytes(TWO[:30] + b"\xff" * 50 + TWO[80:])
    with pytest.raises(ArchiveError):
        list(start(path))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_gets_an_error_and_does_not_hang() -> None:
    program = """
import os
from test_readahead import start, TWO
ahead = start(TWO, block_size=100)
next(ahead)
if os.fork() == 0:
    try:
        next(ahead)
    except RuntimeError as error:
        ahead.close()
        os._exit(3 if "fork" in str(error) else 4)
    os._exit(5)
print(os.waitstatus_to_exitcode(os.wait()[1]))
ahead.close()
"""
    assert printed_by_python("-c", program, timeout=30) == "3\n"


@pytest.mark.parametrize("blocked", [False, True])
def test_the_interpreter_exits_with_a_reader_alive(blocked: bool) -> None:
    program = """
import time
from test_readahead import start, TWO
def body():
    yield TWO[:9000]
    while %s:
        time.sleep(60)
    yield TWO[9000:]
ahead = start(body(), block_size=100)
next(ahead)
print("done")
"""
    assert printed_by_python("-c", program % blocked, timeout=30) == "done\n"


def test_a_keyboard_interrupt_reaches_a_waiting_consumer() -> None:
    program = """
import os, signal, threading, time
from test_readahead import start
def body():
    time.sleep(60)
    yield b""
ahead = start(body())
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    list(ahead)
except KeyboardInterrupt:
    print("interrupted")
"""
    assert printed_by_python("-c", program, timeout=30) == "interrupted\n"


def test_a_keyboard_interrupt_in_the_finalizer_of_a_dropped_reader_is_not_lost() -> None:
    program = """
import os, signal, threading, time
from test_readahead import start, TWO
def body():
    yield TWO[:9000]
    time.sleep(60)
ahead = start(body(), block_size=100)
next(ahead)
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    del ahead  # waits for the thread that reads
    time.sleep(30)
except KeyboardInterrupt:
    print("interrupted")
"""
    assert printed_by_python("-c", program, timeout=20) == "interrupted\n"


def _all_of(log: trackparse.LogReader) -> None:
    with log:
        list(log)


def _some_of(log: trackparse.LogReader) -> None:
    with log:
        next(log)


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize(
    "use",
    [
        lambda path: trackparse.convert_log(path, path.with_name("out.parquet")),
        lambda path: trackparse.convert_logs([path], path.parent),
        trackparse.read_log,
        lambda path: list(trackparse.iter_events(path)),
        lambda path: list(trackparse.open_log(path)),
        lambda path: _all_of(trackparse.open_log(path)),
        lambda path: _some_of(trackparse.open_log(path, block_size=4096)),
        lambda path: trackparse.dataset([path]).to_table(),
        lambda path: list(trackparse.dataset([path]).to_batches()),
        lambda path: trackparse.dataset([path, path]).count_rows(),
        lambda path: trackparse.dataset([path]).to_reader().read_all(),
    ],
)
def test_nothing_is_left_to_the_garbage_collector_by_whoever_reads_to_the_end(
    use: Callable[[Path], object], damaged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes in a finalizer, such as Ctrl-C, is lost to the caller."""
    dropped: list[object] = []
    monkeypatch.setattr(readahead, "_drop", dropped.append)
    monkeypatch.setattr(conversion, "SMALL_LOG", 0)  # each log has its thread
    path = tmp_path / "log.zip"
    archive = python_zip({"a.csv": LOG, "b.csv": LOG})
    path.write_bytes(archive[:-3000] if damaged else archive)
    with contextlib.suppress(ArchiveError):
        use(path)
    gc.collect()
    assert not dropped


def test_a_bare_log_comes_in_slices_of_the_source() -> None:
    blocks = [item for item in start(LOG) if isinstance(item, memoryview)]
    assert len(blocks) == -(-len(LOG) // 4096)
    assert all(block.obj is LOG for block in blocks)


def test_an_empty_source_is_one_empty_member() -> None:
    assert list(start(io.BytesIO())) == [MemberStart("<stream>"), MemberEnd()]


# ---- members side by side -----------------------------------------------------------------------------------

MANY = {f"{number:02}.csv": LOG[: 3_000 * (number + 1)] for number in range(12)}


def content_of(items: list[Any]) -> dict[str, bytes]:
    """Name and content of each member, in the order in which they came."""
    found: dict[str, bytes] = {}
    name = ""
    for item in items:
        if isinstance(item, MemberStart):
            name = item.name
            found[name] = b""
        elif not isinstance(item, (MemberEnd, MemberDamaged)):
            found[name] += item
    return found


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackparse.archive.readahead.usable_cores", lambda: 2)


@pytest.mark.usefixtures("two_cores")
class TestSideBySide:
    @pytest.mark.parametrize("depth", [1, 4])
    def test_two_threads_hand_out_members_in_their_order(self, depth: int) -> None:
        ahead = start(python_zip(MANY), block_size=500, depth=depth)
        first = next(ahead)
        time.sleep(0.05)
        assert len(threads()) == 2
        found = content_of([first, *ahead])
        assert list(found.items()) == list(MANY.items())

    def test_members_of_a_stream_come_from_one_thread(self) -> None:
        ahead = start(iter([python_zip(MANY)]), block_size=500)
        first = next(ahead)
        time.sleep(0.05)
        assert len(threads()) == 1
        assert content_of([first, *ahead]) == MANY

    def test_a_limit_of_all_members_together_does_not_depend_on_which_is_faster(self) -> None:
        limits = Limits(max_inflated_bytes=10_000)
        found: list[Any] = []
        with pytest.raises(LimitError):
            found.extend(ReadAhead(open_archive(open_source(python_zip(MANY)), limits), 500, 100))
        for item in (ahead := ReadAhead(open_archive(open_source(python_zip(MANY)), limits), 500, 100)):
            found.append(item)
            if sum(len(one) for one in content_of(found).values()) >= 10_000:
                ahead.close()
                break
        assert sum(len(one) for one in content_of(found).values()) == 10_000

    def test_an_error_of_a_later_member_comes_behind_the_earlier_ones(self) -> None:
        data = python_zip({"a.csv": LOG, "b.csv": b"x" * (2 << 20), "c.csv": LOG})
        found: list[Any] = []
        ahead = ReadAhead(open_archive(open_source(data), Limits(max_ratio=50)), 500, 4)
        found.append(next(ahead))
        time.sleep(0.05)  # the second thread has begun the second member
        with pytest.raises(LimitError, match=r"b\.csv"):
            found.extend(ahead)
        content = content_of(found)
        assert content["a.csv"] == LOG
        assert content["b.csv"] == b"x" * len(content["b.csv"])
        assert [*content] == ["a.csv", "b.csv"]

    def test_damage_is_told_in_the_order_of_the_members(self) -> None:
        data = bytearray(python_zip(MANY, method=ZIP_STORED))
        for name in ("03.csv", "04.csv", "09.csv"):
            data[data.index(name.encode()) + 2_000] ^= 1
        for _ in range(5):
            found: list[Any] = []
            with pytest.raises(ArchiveError, match=r"03\.csv.*damaged as well: '04\.csv', '09\.csv'"):
                found.extend(start(bytes(data), block_size=500))
            assert [*content_of(found)] == [*MANY]
            assert len(b"".join(content_of(found).values())) == sum(map(len, MANY.values()))

    def test_it_reads_no_further_ahead_than_it_may(self) -> None:
        source = open_source(python_zip({f"{number}.csv": LOG for number in range(4)}, method=ZIP_STORED))
        with ReadAhead(open_archive(source, Limits()), 100, 3) as ahead:
            next(ahead)
            time.sleep(0.1)
            # 20 blocks of each of the first two members.
            assert len(LOG) < source.bytes_read < len(LOG) + 5_000

    def test_close_in_the_middle_ends_both_threads(self, tmp_path: Path) -> None:
        path = tmp_path / "log.zip"
        path.write_bytes(python_zip(MANY))
        for taken in range(1, 60, 7):
            ahead = start(path, block_size=500)
            for _ in range(taken):
                next(ahead)
            ahead.close()
            assert not threads()
            with pytest.raises(ValueError, match="closed"):
                next(ahead)

    def test_dropped_in_the_middle_it_ends_both_threads(self) -> None:
        ahead = start(python_zip(MANY), block_size=500)
        for _ in range(10):
            next(ahead)
        del ahead
        gc.collect()
        assert wait_for_end()

    def test_without_a_second_thread_one_reads_them_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begin = threading.Thread.start

        def refuse_second(self: threading.Thread) -> None:
            if threads():
                raise RuntimeError("can't start new thread")
            begin(self)

        monkeypatch.setattr(threading.Thread, "start", refuse_second)
        assert content_of([*start(python_zip(MANY), block_size=500)]) == MANY
