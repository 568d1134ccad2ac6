"""Inflates a few blocks ahead on its own thread. Knows members and blocks, not what is in them."""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import TypeAlias

from trackparse.archive import Archive
from trackparse.sources import Buffer

_CLOSE_WAIT = 5.0  # seconds a close waits for a read that does not come back
_DROP_WAIT = 1.0  # seconds the same costs where nobody said close


@dataclass(frozen=True, slots=True)
class MemberStart:
    """A member begins."""

    name: str


@dataclass(frozen=True, slots=True)
class MemberEnd:
    """All blocks of the member were there."""


@dataclass(frozen=True, slots=True)
class _Fault:
    error: BaseException


@dataclass(frozen=True, slots=True)
class _End:
    pass


Item: TypeAlias = MemberStart | MemberEnd | Buffer


class _Lane:
    """What the two threads share. It must not know its ReadAhead, which would live as long as it then.

    Only SimpleQueue may be used when the garbage collector ends a ReadAhead: any other lock can be held by
    the very thread that it interrupts.
    """

    def __init__(self, archive: Archive, block_size: int, depth: int) -> None:
        self.archive = archive
        self.block_size = block_size
        self.items: SimpleQueue[Item | _Fault | _End] = SimpleQueue()
        self.room: SimpleQueue[None] = SimpleQueue()  # one token for each item that may be put
        for _ in range(depth):
            self.room.put(None)
        self.stopped = False
        self.thread: threading.Thread | None = None
        self.pid = 0  # process of the thread

    def put(self, item: Item) -> bool:
        """Wait for room; False if nobody wants the item any more."""
        self.room.get()
        if self.stopped:
            return False
        self.items.put(item)
        return True

    def stop(self, wait: float) -> None:
        """End the thread, then close the archive; after the wait the thread is left to do that itself."""
        self.stopped = True
        self.room.put(None)
        self.items.put(_End())
        thread = self.thread
        if thread is None:
            self.archive.close()
        elif self.pid != os.getpid():
            # After a fork nobody runs the archive any more, though it looks as if.
            self.archive.source.close()
        elif thread is not threading.current_thread():
            thread.join(wait)


class ReadAhead:
    """Iterates ``MemberStart``, blocks, ``MemberEnd``, and so on; the archive's error is raised in its place.

    The thread starts with the first item. It ends with the last one, with ``close``, or when the ReadAhead is
    dropped, and closes the archive.
    """

    def __init__(self, archive: Archive, block_size: int, depth: int = 4) -> None:
        self._lane = _Lane(archive, block_size, depth)
        self._items, self._room = self._lane.items, self._lane.room
        self._done = False
        self._stop = weakref.finalize(self, self._lane.stop, _DROP_WAIT)

    def __iter__(self) -> ReadAhead:
        return self

    def __next__(self) -> Item:
        if self._done:
            raise StopIteration
        lane = self._lane
        if lane.thread is None:
            self._start()
        elif lane.pid != os.getpid():
            raise RuntimeError("this reader was started before a fork: open the log again in the child")
        item = self._items.get()
        self._room.put(None)
        if not isinstance(item, (_Fault, _End)):
            return item
        self._done = True
        if isinstance(item, _End):
            raise StopIteration
        try:
            raise item.error
        finally:
            # The error's traceback holds this frame.
            del item

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread and close the archive; twice does no harm.

        A thread in a read that does not come back is left alone after 5 s, and ends with that read.
        """
        self._done = True
        if self._stop.detach():
            self._lane.stop(_CLOSE_WAIT)

    def _start(self) -> None:
        lane = self._lane
        lane.pid = os.getpid()
        # A daemon: a source that never answers must not keep the process.
        lane.thread = threading.Thread(target=_run, args=(lane,), name="trackparse-inflate", daemon=True)
        lane.thread.start()


def _run(lane: _Lane) -> None:
    try:
        if _deliver(lane):
            lane.items.put(_End())
    except BaseException as error:
        lane.items.put(_Fault(error))
    finally:
        lane.archive.close()


def _deliver(lane: _Lane) -> bool:
    """Put all items; False if nobody wants them any more."""
    for member in lane.archive:
        if not lane.put(MemberStart(member.name)):
            return False
        for block in member.blocks(lane.block_size):
            if not lane.put(block):
                return False
        if not lane.put(MemberEnd()):
            return False
    return True
