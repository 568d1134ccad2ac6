"""Inflates a few blocks ahead, on a thread of its own. Knows members and blocks, not what is in them."""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final, TypeAlias

from trackparse.archive.opening import Archive
from trackparse.sources.source import Buffer

_CLOSE_WAIT = 5.0  # seconds that ``close`` waits for a read that does not return
_DROP_WAIT: Final = 1.0  # seconds that the garbage collector waits for the same
_KEPT_BLOCKS: Final = 4  # for which the allocator keeps memory; for 8, conversions take 12 MiB more
_MMAP_THRESHOLD_MOST: Final = 31 << 20  # bytes; freeing a larger piece does not raise glibc's thresholds
_SIGNAL_WAIT: Final = 0.25  # seconds after which a waiting consumer looks for signals


class ClosedError(ValueError):
    """The log was closed, by this thread or by another one."""


@dataclass(frozen=True, slots=True)
class MemberStart:
    """A member begins. ``others``: another member follows, even if this one ends with an error."""

    name: str
    others: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class MemberEnd:
    """All blocks of the member have been handed out."""


@dataclass(frozen=True, slots=True)
class MemberDamaged:
    """All blocks before the damage of the member have been handed out. The other members follow, then the error."""


@dataclass(frozen=True, slots=True)
class _Failed:
    """The thread ended with this error."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class _End:
    """The archive was read to its end."""


Item: TypeAlias = MemberStart | MemberEnd | MemberDamaged | Buffer


class _Shared:
    """What the consumer and the thread share.

    It has no reference to its ReadAhead: the thread would keep a dropped ReadAhead alive. Of all locks and queues only
    SimpleQueue may be used when the garbage collector ends a ReadAhead: any other lock may be held by the very thread
    that the collector interrupts.
    """

    def __init__(self, archive: Archive, block_size: int, depth: int) -> None:
        self.archive = archive
        self.block_size = block_size
        self.items: SimpleQueue[Item | _Failed | _End] = SimpleQueue()
        self.permits: SimpleQueue[None] = SimpleQueue()  # one for each item that may be put
        for _ in range(depth):
            self.permits.put(None)
        self.stopped = False
        self.thread: threading.Thread | None = None
        self.pid = 0  # process of the thread

    def put(self, item: Item) -> bool:
        """Put the item as soon as there is a permit; False if the reader was stopped."""
        self.permits.get()
        if self.stopped:
            return False
        self.items.put(item)
        return True

    def closed(self) -> ClosedError:
        return ClosedError(f"{self.archive.source.name}: the log is closed: open it again")

    def stop(self, wait: float) -> None:
        """End the thread, then close the archive; after ``wait`` seconds the thread is left to do both by itself."""
        self.stopped = True
        self.permits.put(None)
        # A consumer in another thread must not take this for the end of the log.
        self.items.put(_Failed(self.closed()))
        thread = self.thread
        if thread is None or thread.ident is None:
            self.archive.close()
        elif self.pid != os.getpid():
            # A forked child has no such thread, and the archive looks as if it were in use.
            self.archive.source.close()
        elif thread is not threading.current_thread():
            self.archive.source.interrupt()
            thread.join(wait)


class ReadAhead:
    """Iterates over ``MemberStart``, blocks, ``MemberEnd`` or ``MemberDamaged``, and so on for each member.

    An error of the archive is raised behind the items before it. The thread starts with the first item. It ends with
    the last one, with ``close``, or when the ReadAhead is dropped, and closes the archive. After ``close``, asking for
    an item is a ClosedError.
    """

    def __init__(self, archive: Archive, block_size: int, depth: int = 4) -> None:
        self._shared = _Shared(archive, block_size, depth)
        self._items, self._permits = self._shared.items, self._shared.permits
        self._done = False
        self._stop = weakref.finalize(self, self._shared.stop, _DROP_WAIT)

    @property
    def left_out(self) -> int:
        """How many of the files met so far are not read because of their names."""
        return self._shared.archive.left_out

    def __iter__(self) -> ReadAhead:
        return self

    def __next__(self) -> Item:
        shared = self._shared
        if shared.stopped:
            raise shared.closed()
        if self._done:
            raise StopIteration
        if shared.thread is None:
            self._start()
        elif shared.pid != os.getpid():
            raise RuntimeError("this reader was started before a fork: open the log again in the child")
        item = self._wait()
        self._permits.put(None)
        if not isinstance(item, (_Failed, _End)):
            return item
        self._done = True
        if isinstance(item, _End):
            raise StopIteration
        try:
            raise item.error
        finally:
            # The error's traceback refers to this frame: without this line they keep each other alive.
            del item

    def _wait(self) -> Item | _Failed | _End:
        while True:
            try:
                # With a timeout, since Ctrl-C does not wake a thread that waits for a lock once Polars is imported.
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

        A thread in a read that does not return is left alone after ``wait`` seconds (5), and ends with that read.
        """
        self._stop.detach()
        self._shared.stop(_CLOSE_WAIT if wait is None else wait)

    def _start(self) -> None:
        shared = self._shared
        shared.pid = os.getpid()
        _keep_freed_memory(_KEPT_BLOCKS * shared.block_size)
        # A daemon: a source that never answers must not keep the process from ending.
        shared.thread = threading.Thread(target=_run, args=(shared,), name="trackparse-inflate", daemon=True)
        shared.thread.start()


_kept = 0  # bytes that were asked for


def _keep_freed_memory(size: int) -> None:
    """Make the allocator keep freed blocks for the next ones, instead of giving them back to the system.

    glibc raises its thresholds for that once and by itself, when the first large piece of memory is freed (mallopt(3),
    M_MMAP_THRESHOLD); blocks of 1 MiB alone never get it there. The piece is never written to, and freed at once.
    Elsewhere this does nothing.
    """
    global _kept  # once is enough: to find so much free memory takes longer than a small log does
    size = min(size, _MMAP_THRESHOLD_MOST)
    if size > _kept:
        _kept = size
        bytes(size)


def _run(shared: _Shared) -> None:
    try:
        try:
            complete = _put_all(shared)
        finally:
            # Before the consumer learns of the end: it may remove the file then.
            shared.archive.close()
        if complete:
            shared.items.put(_End())
    except BaseException as error:
        shared.items.put(_Failed(error))


def _put_all(shared: _Shared) -> bool:
    """Put all items; False if they are not wanted any more."""
    for member in shared.archive:
        if not shared.put(MemberStart(member.name, member.others)):
            return False
        for block in member.blocks(shared.block_size):
            if not shared.put(block):
                return False
        if not shared.put(MemberDamaged() if member.damaged else MemberEnd()):
            return False
    return True
