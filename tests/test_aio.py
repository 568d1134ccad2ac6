"""A log that arrives on an event loop: the same batches as from a file, and nothing that stays behind."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import trackparse
from support.service import sample
from trackparse.aio import batches

LOG = sample(20_000)


async def chunks_of(data: bytes, size: int, given: list[int] | None = None) -> AsyncGenerator[bytes, None]:
    for at in range(0, len(data), size):
        await asyncio.sleep(0)
        if given is not None:
            given.append(at + size)
        yield data[at : at + size]


async def collected(source: Any, **options: Any) -> pa.Table:
    return pa.Table.from_batches([batch async for batch in batches(source, **options)])


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("trackparse")]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    for _ in range(500):  # a thread that has ended its work takes a moment to go
        if not threads():
            return
        time.sleep(0.01)
    raise AssertionError(threads())


@pytest.mark.parametrize("size", [1, 777, 64 << 10, 1 << 30])
def test_batches_are_those_of_the_log_whatever_the_chunks(size: int) -> None:
    data = LOG if size > 1 else sample(100)
    with trackparse.open_log(data) as log:
        expected = [*log]
    found = asyncio.run(_listed(chunks_of(data, size)))
    assert [batch.num_rows for batch in found] == [batch.num_rows for batch in expected]
    assert found == expected


async def _listed(source: Any) -> list[pa.RecordBatch]:
    return [batch async for batch in batches(source)]


def test_it_takes_the_options_of_open_log() -> None:
    where = trackparse.Filter(statuses=["opened"])
    table = asyncio.run(collected(chunks_of(LOG, 4096), columns=["hwid"], where=where))
    assert table == trackparse.read_log(LOG, columns=["hwid"], where=where)
    with pytest.raises(TypeError, match="column_names"):
        batches(chunks_of(LOG, 4096), column_names=["hwid"])  # type: ignore[call-arg]


async def _until_error(source: Any) -> tuple[int, Exception | None]:
    rows = 0
    try:
        async for batch in batches(source):
            rows += batch.num_rows
    except Exception as error:
        return rows, error
    return rows, None


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (LOG[: len(LOG) // 2], trackparse.TruncatedError),
        (b"no log", trackparse.HeaderError),
        (b"", trackparse.HeaderError),
    ],
)
def test_errors_are_those_of_open_log(end: bytes, error: type[Exception]) -> None:
    rows, raised = asyncio.run(_until_error(chunks_of(end, 10_000)))
    assert type(raised) is error
    assert (rows > 5_000) == (error is trackparse.TruncatedError)


def test_an_error_of_the_source_comes_behind_what_was_good() -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        async for chunk in chunks_of(LOG[: len(LOG) // 2], 10_000):
            yield chunk
        raise ConnectionResetError("the other side is gone")

    rows, raised = asyncio.run(_until_error(broken()))
    assert str(raised) == "the other side is gone"
    assert rows > 5_000


def test_a_source_may_fill_one_buffer_again_and_again() -> None:
    header, rows = b"//timestamp;tracking_code\n", [b"2021-04-20 13:01:01;T-%06d\n" % number for number in range(9_000)]

    async def filled_anew() -> AsyncGenerator[bytes | memoryview, None]:
        yield header
        buffer = bytearray(len(rows[0]) * 100)
        for start in range(0, len(rows), 100):
            buffer[:] = b"".join(rows[start : start + 100])
            yield memoryview(buffer)

    assert asyncio.run(collected(filled_anew())) == trackparse.read_log(header + b"".join(rows))


def test_a_chunk_that_is_no_bytes_is_an_error() -> None:
    async def texts() -> AsyncGenerator[str, None]:
        yield "timestamp;tracking_code\n"

    with pytest.raises(TypeError, match="str"):
        asyncio.run(collected(texts()))


def test_a_slow_consumer_slows_the_source_down() -> None:
    data = b"//timestamp;tracking_code;description\n" + b"2021-04-20 13:01:01;T-1;%s\n" % (b"x" * 970) * 16_000

    async def read() -> None:
        given: list[int] = []
        async with aclosing(batches(chunks_of(data, 10_000, given), block_size=100_000)) as found:
            await anext(found)
            await asyncio.sleep(0.2)
            # 1 MiB that waits, a few blocks that were read ahead, one batch.
            assert given[-1] < 3_000_000

    asyncio.run(read())


def test_the_first_batch_comes_before_the_second_mib() -> None:
    data = b"//timestamp;tracking_code;description\n" + b"2021-04-20 13:01:01;T-1;%s\n" % (b"x" * 970) * 16_000

    async def read() -> None:
        given: list[int] = []
        arrived = asyncio.Event()

        async def slow() -> AsyncGenerator[bytes, None]:
            async for chunk in chunks_of(data, 10_000, given):
                if given[-1] > 1 << 21:
                    await arrived.wait()
                yield chunk

        async with aclosing(batches(slow())) as found:
            await asyncio.wait_for(anext(found), 20)
            arrived.set()

    asyncio.run(read())


def test_a_cancelled_task_ends_threads_and_source() -> None:
    closed = []

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            yield LOG[:50_000]
            await asyncio.sleep(3600)
        finally:
            closed.append(True)

    async def read() -> None:
        task = asyncio.create_task(collected(endless()))
        await asyncio.sleep(0.2)
        assert threads()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        assert closed

    asyncio.run(read())


@pytest.mark.parametrize("waiting", ["for the header", "for a batch"])
def test_cancelled_while_it_waits_for_bytes(waiting: str) -> None:
    async def never() -> AsyncGenerator[bytes, None]:
        if waiting == "for a batch":
            yield LOG[:50_000]
        await asyncio.sleep(3600)
        yield b""

    async def read() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(collected(never()), 0.2)

    start = time.monotonic()
    asyncio.run(read())
    assert time.monotonic() - start < 5


def test_left_with_break_it_closes_its_source() -> None:
    closed = []

    async def source() -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in chunks_of(LOG, 10_000):
                yield chunk
        finally:
            closed.append(True)

    async def read() -> None:
        async with aclosing(batches(source())) as found:
            async for _ in found:
                break
        assert closed

    asyncio.run(read())


def test_many_at_once_on_one_loop() -> None:
    async def read() -> list[pa.Table]:
        return await asyncio.gather(*(collected(chunks_of(LOG, 5_000 + number)) for number in range(40)))

    expected = trackparse.read_log(LOG)
    assert all(table == expected for table in asyncio.run(read()))


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (lambda: LOG, "asyncio.to_thread"),
        (lambda: "tracking_log.zip", "asyncio.to_thread"),
        (lambda: [LOG], "asyncio.to_thread"),
        (lambda: asyncio.sleep(0), "await it first"),
        (lambda: chunks_of, "call it"),
    ],
)
def test_a_wrong_source_says_what_to_do(source: Callable[[], Any], advice: str) -> None:
    with pytest.raises(TypeError, match=advice):
        batches(source())


# ---- real clients, on loopback ------------------------------------------------------------------------------


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "log.zip").write_bytes(LOG)
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/log.zip"
        server.shutdown()
        thread.join()


def _read(reading: Callable[[str], Awaitable[pa.Table]], url: str) -> None:
    async def read() -> pa.Table:
        return await reading(url)

    assert asyncio.run(read()) == trackparse.read_log(LOG)


def test_the_body_of_aiohttp(url: str) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def reading(url: str) -> pa.Table:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            with pytest.raises(TypeError, match="pass its content"):
                batches(response)
            return await collected(response.content)

    _read(reading, url)


def test_the_body_of_httpx(url: str) -> None:
    httpx = pytest.importorskip("httpx")

    async def reading(url: str) -> pa.Table:
        async with httpx.AsyncClient(trust_env=False) as client, client.stream("GET", url) as response:
            with pytest.raises(TypeError, match="aiter_bytes"):
                batches(response)
            return await collected(response.aiter_bytes())

    _read(reading, url)


def test_a_stream_of_asyncio(url: str) -> None:
    async def reading(url: str) -> pa.Table:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].split("/")[0]))
        writer.write(b"GET /log.zip HTTP/1.0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        table = await collected(reader)
        writer.close()
        await writer.wait_closed()
        return table

    _read(reading, url)


def test_the_process_ends_although_the_loop_was_left() -> None:
    program = (
        "import asyncio\n"
        "from trackparse.aio import batches\n"
        "async def source():\n"
        "    yield b'//timestamp;tracking_code\\n'\n"
        "    await asyncio.sleep(3600)\n"
        "async def read():\n"
        "    async for _ in batches(source()):\n"
        "        pass\n"
        "loop = asyncio.new_event_loop()\n"
        "task = loop.create_task(read())\n"
        "loop.call_later(0.2, loop.stop)\n"
        "loop.run_forever()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=30, capture_output=True, check=False)
    assert done.returncode == 0
