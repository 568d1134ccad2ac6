"""Inflates a few blocks ahead on its own thread. Knows members and blocks, not what is in them."""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TypeAlias

from trackparse.archive.opening import Archive
from trackparse.sources.source import Buffer

_CLOSE_WAIT = 5.0  # seconds a close waits for a read that does not come back
_KEPT_BLOCKS = 8
_DROP_WAIT = 1.0  # seconds the same costs where nobody said close
_MMAP_THRESHOLD_MOST = 31 << 20  # bytes; larger pieces leave the thresholds alone
_SIGNAL_WAIT = 0.25  # seconds until a waiting consumer looks for signals


class ClosedError(ValueError):
    """The log was closed, by this thread or by another one."""


@dataclass(frozen=True, slots=True)
class MemberStart:
    """A member begins. ``others``: another one follows, whatever becomes of this one."""

    name: str
    others: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class MemberEnd:
    """All blocks of the member were there."""


@dataclass(frozen=True, slots=True)
class MemberDamaged:
    """All blocks of the member before a fault were there. The fault is raised in the end, after the other members."""


@dataclass(frozen=True, slots=True)
class _Fault:
    error: BaseException


@dataclass(frozen=True, slots=True)
class _End:
    pass


Item: TypeAlias = MemberStart | MemberEnd | MemberDamaged | Buffer


class _Shared:
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

    def closed(self) -> ClosedError:
        return ClosedError(f"{self.archive.source.name}: the log is closed: open it again")

    def stop(self, wait: float) -> None:
        """End the thread, then close the archive; after the wait the thread is left to do that itself."""
        self.stopped = True
        self.room.put(None)
        # A consumer in another thread must not take this for the end of the log.
        self.items.put(_Fault(self.closed()))
        thread = self.thread
        if thread is None or thread.ident is None:
            self.archive.close()
        elif self.pid != os.getpid():
            # After a fork nobody runs the archive any more, though it looks as if.
            self.archive.source.close()
        elif thread is not threading.current_thread():
            self.archive.source.interrupt()
            thread.join(wait)


class ReadAhead:
    """Iterates ``MemberStart``, blocks, ``MemberEnd`` or ``MemberDamaged``, and so on; the archive's error is raised in
    its place.

    The thread starts with the first item. It ends with the last one, with ``close``, or when the ReadAhead is
    dropped, and closes the archive. After ``close`` there is ClosedError instead of another item.
    """

    def __init__(self, archive: Archive, block_size: int, depth: int = 4) -> None:
        self._lane = _Shared(archive, block_size, depth)
        self._items, self._room = self._lane.items, self._lane.room
        self._done = False
        self._stop = weakref.finalize(self, self._lane.stop, _DROP_WAIT)

    @property
    def left_out(self) -> int:
        """The files of the archive met so far that are not read because of their names."""
        return self._lane.archive.left_out

    def __iter__(self) -> ReadAhead:
        return self

    def __next__(self) -> Item:
        lane = self._lane
        if lane.stopped:
            raise lane.closed()
        if self._done:
            raise StopIteration
        if lane.thread is None:
            self._start()
        elif lane.pid != os.getpid():
            raise RuntimeError("this reader was started before a fork: open the log again in the child")
        item = self._wait()
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

    def _wait(self) -> Item | _Fault | _End:
        while True:
            try:
                # With Polars imported Ctrl-C does not wake who waits for a lock.
                return self._items.get(timeout=_SIGNAL_WAIT)
            except Empty:
                continue

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self, wait: float | None = None) -> None:
        """End the thread and close the archive; twice does no harm.

        A thread in a read that does not come back is left alone after ``wait`` (5 s), and ends with that read.
        """
        self._stop.detach()
        self._lane.stop(_CLOSE_WAIT if wait is None else wait)

    def _start(self) -> None:
        lane = self._lane
        lane.pid = os.getpid()
        _keep_freed_memory(_KEPT_BLOCKS * lane.block_size)
        # A daemon: a source that never answers must not keep the process.
        lane.thread = threading.Thread(target=_run, args=(lane,), name="trackparse-inflate", daemon=True)
        lane.thread.start()


def _keep_freed_memory(size: int) -> None:
    """Let the allocator hand out again what was freed, instead of giving it back and faulting it in anew.

    glibc raises its thresholds for that, once and by itself, when the first large piece of memory is freed (mallopt(3),
    M_MMAP_THRESHOLD); blocks of 1 MiB alone never get it there. The piece is not touched, and gone at once. Elsewhere
    it does nothing.
    """
    bytes(min(size, _MMAP_THRESHOLD_MOST))


def _run(lane: _Shared) -> None:
    try:
        try:
            whole = _deliver(lane)
        finally:
            # Before the end is told: who sees it may remove the file.
            lane.archive.close()
        if whole:
            lane.items.put(_End())
    except BaseException as error:
        lane.items.put(_Fault(error))


def _deliver(lane: _Shared) -> bool:
    """Put all items; False if nobody wants them any more."""
    for member in lane.archive:
        if not lane.put(MemberStart(member.name, member.others)):
            return False
        for block in member.blocks(lane.block_size):
            if not lane.put(block):
                return False
        if not lane.put(MemberDamaged() if member.damaged else MemberEnd()):
            return False
    return True
