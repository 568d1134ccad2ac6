"""The reader dropped, closed, shared, forked, sent and interrupted: it ends, says so, and loses nothing silently."""

from __future__ import annotations

import contextlib
import copy
import gc
import io
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import trackparse
from support.archives import Unseekable, python_zip
from support.kernels import SLOW
from support.logs import H6, H8, line, line6
from trackparse.testing.sample import encode_row, sample_rows

ROWS = 3000 // SLOW
LOG = H8 + b"".join(encode_row(fields) for fields in sample_rows(ROWS))
ZIP = python_zip({"log.csv": LOG})
# Each row has its number: a gap shows.
NUMBERED = H6 + b"".join(line6(b"%d" % i) for i in range(ROWS))


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("trackparse")]


def descriptors() -> set[str]:
    """What is open, by name."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(link.readlink()))
    return found


def numbers(batches: list[pa.RecordBatch]) -> list[int]:
    return [int(text) for batch in batches for text in batch["description"].to_pylist()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log.zip"
    path.write_bytes(ZIP)
    return path


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    gc.collect()
    for thread in threads():
        thread.join(5)
    assert not threads()


class Blocking:
    """A file that gives some bytes, and then answers when it is told to."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self.asked = threading.Event()
        self.answer = threading.Event()

    def read(self, n: int) -> bytes:
        if data := self._data.read(n):
            return data
        self.asked.set()
        assert self.answer.wait(20)
        return b""


class TestDropped:
    def begin(self, path: Path) -> trackparse.LogReader:
        log = trackparse.open_log(path, block_size=1000)
        next(log)
        return log

    @pytest.mark.parametrize("wrap", [lambda log: log, lambda log: log.events(), lambda log: log.to_reader()])
    def test_the_last_reference_is_enough(self, wrap: Callable[[Any], Any], path: Path) -> None:
        held = wrap(self.begin(path))
        assert threads()
        assert str(path) in descriptors()
        del held
        assert not threads()
        assert str(path) not in descriptors()

    def test_a_cycle_is_left_to_the_garbage_collector(self, path: Path) -> None:
        log = self.begin(path)
        log.myself = log  # type: ignore[attr-defined]
        del log
        gc.collect()
        assert not threads()
        assert str(path) not in descriptors()

    def test_a_consumer_of_the_c_stream_that_stops_half_way(self, path: Path) -> None:
        reader = pa.RecordBatchReader.from_stream(self.begin(path))
        reader.read_next_batch()
        reader.close()
        del reader
        assert not threads()

    def test_after_an_error_nothing_is_open_though_the_error_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        path.write_bytes(H8 + line() + line(b"{};") + line() * 100_000)
        log = trackparse.open_log(path, block_size=1000)
        with pytest.raises(trackparse.RecordError) as caught:
            log.read_all()
        for thread in threads():
            thread.join(5)
        assert not threads()
        assert str(path) not in descriptors()
        with pytest.raises(trackparse.RecordError) as again:
            next(log)
        assert again.value is caught.value

    def test_the_file_is_closed_when_the_end_is_seen(self, path: Path) -> None:
        log = trackparse.open_log(path)
        log.read_all()
        assert str(path) not in descriptors()

    def test_options_that_are_none_leave_nothing_open(self, path: Path) -> None:
        wrong: list[dict[str, Any]] = [{"members": 5}, {"columns": ["x"]}, {"on_error": "x"}, {"dictionary": ["x"]}]
        for options in wrong:
            with pytest.raises((TypeError, ValueError)):
                trackparse.open_log(path, **options)
            assert str(path) not in descriptors()

    def test_where_no_thread_can_start_the_file_is_closed(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(MemoryError, match="start new thread"):
            trackparse.open_log(path)
        assert str(path) not in descriptors()


class TestClosed:
    def test_every_use_says_so(self, path: Path) -> None:
        log = trackparse.open_log(path)
        reader = log.to_reader()
        for _ in range(2):
            log.close()
        uses: list[Callable[[], Any]] = [
            lambda: next(log),
            lambda: list(log),
            log.read_all,
            lambda: list(log.events()),
            reader.read_all,
            lambda: log.to_reader().read_all(),
            lambda: pa.table(log),
        ]
        for use in uses:
            with pytest.raises(ValueError, match=r"log\.zip: the log is closed: open it again"):
                use()
        assert log.schema.names[0] == "timestamp"
        assert log.stats.members == 1

    @pytest.mark.parametrize("how", ["batches", "events"])
    def test_from_another_thread_it_is_an_error_and_not_the_end(
        self, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("trackparse.archive.readahead._CLOSE_WAIT", 0.05)
        source = Blocking(NUMBERED)
        log = trackparse.open_log(source, block_size=5000, on_error="quarantine")
        said: list[str] = []

        def consume() -> None:
            try:
                for _ in log if how == "batches" else log.events():
                    pass
                said.append("the end")
            except ValueError as error:
                said.append(str(error))

        consumer = threading.Thread(target=consume)
        consumer.start()
        assert source.asked.wait(20)
        log.close()
        consumer.join(20)
        assert said == ["<stream>: the log is closed: open it again"]
        # The record that the log stopped in was not cut off.
        assert log.rejects.num_rows == 0
        source.answer.set()

    def test_a_generator_is_closed_when_the_reader_is(self) -> None:
        ended: list[str] = []

        def body(name: str) -> Iterator[bytes]:
            try:
                for at in range(0, len(LOG), 1000):
                    yield LOG[at : at + 1000]
            finally:
                ended.append(name)

        with trackparse.open_log(body("closed"), block_size=1000) as log:
            next(log)
        dropped = trackparse.iter_events(body("dropped"), block_size=1000)
        next(dropped)
        del dropped
        with pytest.raises(ValueError, match="nope"):
            trackparse.open_log(body("refused"), columns=["nope"], block_size=1000)
        assert ended == ["closed", "dropped", "refused"]

    def test_a_generator_that_fails_at_its_end_is_heard_after_all_rows(self) -> None:
        def body() -> Iterator[bytes]:
            try:
                yield NUMBERED
            finally:
                raise KeyError("cleaning up")

        batches: list[pa.RecordBatch] = []
        with pytest.raises(KeyError, match="cleaning up"):
            batches.extend(trackparse.open_log(body(), block_size=1000))
        assert numbers(batches) == list(range(ROWS))


class TestShared:
    @pytest.mark.parametrize("options", [{}, {"dictionary": ["description"]}, {"string_type": "string_view"}], ids=str)
    def test_each_record_goes_to_one_of_many_threads(self, options: Any) -> None:
        found: list[int] = []
        with trackparse.open_log(NUMBERED, block_size=500, **options) as log:

            def batches() -> None:
                for batch in log:
                    found.extend(numbers([batch]))

            def events() -> None:
                found.extend(int(event.description) for event in log.events())

            workers = [threading.Thread(target=work) for work in (batches, events, batches, events)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join(30)
        assert sorted(found) == list(range(ROWS))

    def test_rejects_may_be_looked_at_while_another_thread_reads(self) -> None:
        log = trackparse.open_log(H8 + (line() + line(b"{};")) * 5000, block_size=2000, on_error="quarantine")
        with log:
            reader = threading.Thread(target=log.read_all)
            reader.start()
            counts = [log.rejects.num_rows]
            while reader.is_alive():
                counts.append(log.rejects.num_rows)
            reader.join()
            assert log.rejects["record"].to_pylist() == list(range(1, 10_000, 2))
        assert counts == sorted(counts)

    def test_progress_may_not_read_the_log(self) -> None:
        logs: list[trackparse.LogReader] = []

        def progress(_: trackparse.Progress) -> None:
            if logs:
                next(logs[0])

        with trackparse.open_log(LOG, block_size=1000, progress=progress) as log:
            logs.append(log)
            with pytest.raises(RuntimeError, match="neither progress nor a signal handler"):
                log.read_all()
            logs.clear()

    def test_it_cannot_be_copied_or_pickled(self, path: Path) -> None:
        with trackparse.open_log(path) as log:
            for send in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match=r"log\.zip: an open log cannot be copied or sent: send its path"):
                    send(log)


class TestSources:
    """What a source may do to us."""

    @pytest.mark.parametrize(
        "error",
        [KeyError("x"), OSError(5, "Input/output error"), trackparse.TrackparseError("mine")],
        ids=lambda error: type(error).__name__,
    )
    @pytest.mark.parametrize("kind", ["chunks", "file"])
    def test_its_error_comes_through_as_it_is_after_the_good_rows(self, error: BaseException, kind: str) -> None:
        class Failing(Unseekable):
            def read(self, n: int = -1) -> bytes:
                if data := super().read(n):
                    return data
                raise error

        def failing() -> Iterator[bytes]:
            yield NUMBERED
            raise error

        batches: list[pa.RecordBatch] = []
        source = failing() if kind == "chunks" else Failing(NUMBERED)
        with trackparse.open_log(source, block_size=1000) as log:
            with pytest.raises(type(error)) as caught:
                batches.extend(log)
            assert caught.value is error
        assert numbers(batches) == list(range(ROWS))

    def test_what_is_no_exception_comes_through_at_once(self) -> None:
        def leaving() -> Iterator[bytes]:
            yield NUMBERED
            raise SystemExit(3)

        batches: list[pa.RecordBatch] = []
        with trackparse.open_log(leaving(), block_size=1000) as log:
            with pytest.raises(SystemExit):
                batches.extend(log)
            with pytest.raises(trackparse.TrackparseError, match="interrupted"):
                next(log)
        assert numbers(batches) == list(range(len(numbers(batches))))

    @pytest.mark.parametrize(
        ("given", "message"),
        [(None, "no bytes now"), ("text", "binary mode"), (7, "int, not bytes"), ([1], "list, not bytes")],
    )
    def test_a_wrong_answer_is_an_error_after_the_good_rows(self, given: object, message: str) -> None:
        class Wrong(Unseekable):
            def read(self, n: int = -1) -> Any:
                return super().read(n) or given

        batches: list[pa.RecordBatch] = []
        with pytest.raises((OSError, TypeError), match=message):
            batches.extend(trackparse.open_log(Wrong(NUMBERED), block_size=1000))
        assert numbers(batches) == list(range(ROWS))
        batches.clear()
        with pytest.raises((OSError, TypeError), match=message):
            batches.extend(trackparse.open_log(cast(list[bytes], [NUMBERED, given]), block_size=1000))
        assert numbers(batches) == list(range(ROWS))

    def test_short_reads_and_long_ones_make_no_difference(self) -> None:
        class Long(Unseekable):
            def read(self, n: int = -1) -> bytes:
                return super().read(10 * n)

        for source in (Unseekable(NUMBERED, 1), Unseekable(ZIP, 3), Long(NUMBERED, 1 << 20), Long(ZIP, 1 << 20)):
            assert trackparse.read_log(source, block_size=1000).num_rows == ROWS


class Interrupter:
    """Interrupts the main thread after ever longer times, as Ctrl-C does."""

    def __init__(self, tries: int, most: float) -> None:
        self.delays = [most * (i + 1) / tries for i in range(tries)]

    def __iter__(self) -> Iterator[float]:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            yield from self.delays
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def interrupted(delay: float, use: Callable[[], object]) -> None:
    """Run something that may be interrupted after so many seconds. Not a context manager: its own exit would be hit."""
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, delay)
            use()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Ctrl-C in a weakref callback
class TestInterrupted:
    """Whenever it comes, going on either leaves no gap or is an error."""

    def check(self, found: list[int], rest: Callable[[], list[int]]) -> bool:
        said = ""
        try:
            found = found + rest()
        except trackparse.ExhaustedError:
            assert found == list(range(ROWS))  # it came too late
        except trackparse.TrackparseError as error:
            said = str(error)
        assert said in ("", "<bytes>: reading was interrupted; open the log again")
        assert found == list(range(len(found) if said else ROWS))
        return bool(said)

    @pytest.mark.parametrize("string_type", ["string", "string_view"])
    def test_batches(self, string_type: Any) -> None:
        errors = 0
        for delay in Interrupter(60, 0.01 * SLOW):
            batches: list[pa.RecordBatch] = []
            with trackparse.open_log(NUMBERED, block_size=2000, string_type=string_type) as log:

                def use(log: Any = log, batches: list[Any] = batches) -> None:
                    for batch in log:
                        batches.append(batch)

                interrupted(delay, use)
                errors += self.check(numbers(batches), lambda log=log: numbers(list(log)))  # type: ignore[misc]
        assert errors

    def test_events(self) -> None:
        for delay in Interrupter(60, 0.01 * SLOW):
            events: list[trackparse.Event] = []
            with trackparse.open_log(NUMBERED, block_size=2000) as log:

                def use(log: Any = log, events: list[Any] = events) -> None:
                    for event in log.events():
                        events.append(event)

                interrupted(delay, use)
                # The iterator had the rest of its batch.
                found = [int(event.description) for event in events]
                assert found == list(range(len(found)))

    @pytest.mark.parametrize("read", ["read_all", "to_reader"])
    def test_tables(self, read: str) -> None:
        for delay in Interrupter(30, 0.01 * SLOW):
            with trackparse.open_log(NUMBERED, block_size=2000) as log:
                tables: list[pa.Table] = []

                def use(log: Any = log, tables: list[pa.Table] = tables) -> None:
                    tables.append(log.read_all() if read == "read_all" else log.to_reader().read_all())

                interrupted(delay, use)
                # What it had read is gone: only the whole log or an error will do.
                for table in tables:
                    assert numbers(table.to_batches()) == list(range(ROWS))

    def test_conversion(self, tmp_path: Path) -> None:
        dest = tmp_path / "log.parquet"
        for delay in Interrupter(30, 0.03 * SLOW):
            interrupted(delay, lambda: trackparse.convert_log(NUMBERED, dest, block_size=2000, row_group_size=500))
            assert [path.name for path in tmp_path.iterdir()] in ([], [dest.name])
            if dest.exists():
                assert numbers(pq.read_table(dest).to_batches()) == list(range(ROWS))
                dest.unlink()

    def test_twice_it_is_closed_all_the_same(self) -> None:
        source = Blocking(LOG)

        def use() -> None:
            with trackparse.open_log(source, block_size=len(LOG) // 2) as log:
                next(log)
                assert source.asked.wait(20)
                # While it is closed, and waits for the thread that reads.
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                threading.Timer(0.3, source.answer.set).start()
                raise KeyboardInterrupt

        for _ in Interrupter(1, 20):
            interrupted(20, use)
        assert not threads()

    def test_a_thread_that_its_executor_does_not_know(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C while it was started: the next thing to do gets a second thread, beside the first."""
        start, write = threading.Thread.start, pq.ParquetWriter.write_table
        started = []

        def interrupted_start(thread: threading.Thread) -> None:
            start(thread)
            if thread.name.startswith("trackparse-parquet"):
                started.append(thread)
                if len(started) % 2:
                    raise KeyboardInterrupt

        def slow_write(*arguments: Any) -> None:
            time.sleep(0.02)  # the first thread has work still when the file is closed
            write(*arguments)

        monkeypatch.setattr(threading.Thread, "start", interrupted_start)
        monkeypatch.setattr(pq.ParquetWriter, "write_table", slow_write)
        for _ in range(20):
            with contextlib.suppress(KeyboardInterrupt):
                trackparse.convert_log(NUMBERED, tmp_path / "log.parquet", block_size=2000, row_group_size=ROWS // 5)
            assert {path.name for path in tmp_path.iterdir()} <= {"log.parquet"}
        assert len(started) == 40
