"""Batches of a log that arrives on an asyncio event loop. Parsing runs in threads, off the loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack

from trackparse.errors import TrackparseError
from trackparse.options import ReadOptions, read_options
from trackparse.reader import LogReader, open_log

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["batches"]

_A_CHUNK: Final = 128  # bytes of the objects that hold a chunk
# Bytes of the source that may wait to be read. One chunk more is asked for while fewer wait.
_WAITING_MOST: Final = 1 << 20
_T = TypeVar("_T")
_PIECE: Final = 64 << 10  # bytes of one read of an asyncio.StreamReader


def batches(source: AsyncIterable[Any], **options: Unpack[ReadOptions]) -> AsyncGenerator[pa.RecordBatch, None]:
    """The record batches of a log whose bytes come from an async iterator.

    ``source`` gives bytes chunks: the ``content`` of an aiohttp response, ``aiter_bytes()`` of an httpx response, an
    ``asyncio.StreamReader``, an async generator. It is asked for more only while less than 1 MiB waits to be read, so a
    slow consumer slows the source down. Options and errors are those of ``trackparse.open_log``; an error of the source
    is raised behind all batches before it. Functions among the options, ``progress`` for one, are called in another
    thread.

    Inflating and parsing run in two threads of this log. Whatever ends the iteration, a cancelled task for one, ends
    both, and closes a source that is an async generator. Where the body of the loop may end it, by ``break``, an error
    or a cancelled task, use ``contextlib.aclosing``: without that, as with every async generator, its end comes a
    little later.

    TypeError, at once, for a source that is no async iterable, and for a wrong option.

    Example::

        async with httpx.AsyncClient() as client, client.stream("GET", url) as response:
            async for batch in trackparse.aio.batches(response.aiter_bytes(), columns=["timestamp", "status"]):
                print(batch.num_rows)
    """
    return _batches(_chunks_of(source), read_options(options))


async def _batches(chunks: AsyncIterator[Any], options: ReadOptions) -> AsyncGenerator[pa.RecordBatch, None]:
    bridge = _Bridge(asyncio.get_running_loop())
    reading = _Reading(bridge, options)
    pump = asyncio.create_task(bridge.pump(chunks))
    try:
        while (batch := await reading.next_batch()) is not None:
            yield batch
    finally:
        bridge.stop()
        pump.cancel()
        # A task that is cancelled twice does not wait any more; the threads end all the same.
        await asyncio.shield(reading.close())
        await asyncio.wait([pump])


class _Bridge(Iterator[Any]):
    """The chunks of an async iterator, as an iterator for the threads that read the log."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: SimpleQueue[tuple[Any, int] | Exception | None] = SimpleQueue()  # None: there are no more
        self._waiting = 0  # bytes in the queue; used on the loop only
        self._room = asyncio.Event()
        self._ended = False

    # ---- on the loop ------------------------------------------------------------------------------------

    async def pump(self, chunks: AsyncIterator[Any]) -> None:
        """Take chunks from the source as long as there is room for them."""
        try:
            async for chunk in chunks:
                chunk = _kept(chunk)
                size = _size_of(chunk) + _A_CHUNK
                self._waiting += size
                self._items.put((chunk, size))
                while self._waiting >= _WAITING_MOST:
                    self._room.clear()
                    await self._room.wait()
            self._items.put(None)
        except Exception as error:
            self._items.put(error)
        except BaseException:
            self._items.put(TrackparseError("<stream>: reading was cancelled", advice="open the log again"))
            raise
        finally:
            if isinstance(chunks, AsyncGenerator):
                # An error while it closes changes nothing: the log was read, or is not wanted any more.
                with suppress(Exception):
                    await chunks.aclose()

    def stop(self) -> None:
        """Let a thread that waits for a chunk go on: there are no more."""
        self._items.put(None)

    def _taken(self, size: int) -> None:
        self._waiting -= size
        self._room.set()

    # ---- in a thread ------------------------------------------------------------------------------------

    def __next__(self) -> Any:
        item = None if self._ended else self._items.get()
        if isinstance(item, tuple):
            chunk, size = item
            with suppress(RuntimeError):  # the loop is closed: nobody waits for room
                self._loop.call_soon_threadsafe(self._taken, size)
            return chunk
        self._ended = True
        if item is None:
            raise StopIteration
        raise item


class _Reading:
    """A log, opened and read in one thread."""

    def __init__(self, bridge: _Bridge, options: ReadOptions) -> None:
        self._bridge = bridge
        self._options = options
        self._log: LogReader | None = None
        self._thread = _Thread("trackparse-aio")

    async def next_batch(self) -> pa.RecordBatch | None:
        """The next batch; None at the end."""
        return await self._thread.run(self._next_batch)

    async def close(self) -> None:
        """Close the log and end the thread, when the batch that it may be at is made."""
        try:
            await self._thread.run(self._close)
        finally:
            self._thread.end()

    def _next_batch(self) -> pa.RecordBatch | None:
        if self._log is None:
            self._log = open_log(self._bridge, **self._options)
        return next(self._log, None)

    def _close(self) -> None:
        if self._log is not None:
            self._log.close()


class _Thread:
    """Calls functions one after the other, in a thread of its own.

    The end of the process does not wait for it, as it does for those of an executor: a loop may be left while the
    source has nothing to give.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.end = weakref.finalize(self, self._calls.put, None)
        threading.Thread(target=_call_each, args=(self._calls,), name=name, daemon=True).start()

    async def run(self, function: Callable[[], _T]) -> _T:
        """What the function returns, or raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()

        def tell(tell_it: Callable[[Any], None], outcome: object) -> None:
            if not future.cancelled():
                tell_it(outcome)

        def call() -> None:
            told: tuple[Callable[[Any], None], object]
            try:
                told = (future.set_result, function())
            except BaseException as error:
                told = (future.set_exception, error)
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tell, *told)

        self._calls.put(call)
        return await future


def _call_each(calls: SimpleQueue[Callable[[], None] | None]) -> None:
    while (call := calls.get()) is not None:
        call()
        del call  # it refers to what the thread would keep alive


def _chunks_of(source: Any) -> AsyncIterator[Any]:
    """An iterator over the chunks of the source."""
    if isinstance(source, asyncio.StreamReader):
        return _pieces(source)
    if hasattr(source, "iter_any"):
        # aiohttp's StreamReader gives lines when it is iterated over, and a log in a ZIP has none.
        source = source.iter_any()
    if isinstance(source, AsyncIterable):
        return aiter(source)
    if inspect.isawaitable(source):
        advice = "await it first, and pass the body of what it gives"
        if inspect.iscoroutine(source):
            source.close()  # or Python warns that nobody awaited it
    elif inspect.isfunction(source) or inspect.ismethod(source):
        advice = "call it"
    elif hasattr(source, "aiter_bytes"):
        advice = "pass its aiter_bytes()"
    elif hasattr(getattr(source, "content", None), "iter_any"):
        advice = "pass its content"
    else:
        advice = "to read a file or bytes on a loop, call trackparse.read_log by asyncio.to_thread"
    raise TypeError(f"a source is an async iterable of bytes chunks, not {type(source).__name__}: {advice}")


async def _pieces(stream: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    while piece := await stream.read(_PIECE):
        yield piece


def _kept(chunk: Any) -> Any:
    """The chunk as bytes of its own: one that waits may not change when its source fills its buffer anew."""
    if isinstance(chunk, bytes):
        return chunk
    try:
        return memoryview(chunk).tobytes()
    except TypeError:
        return chunk  # no bytes: the reader refuses it


def _size_of(chunk: Any) -> int:
    """Bytes of a chunk; 0 for what is not bytes: the reader refuses it."""
    try:
        return memoryview(chunk).nbytes
    except TypeError:
        return 0
