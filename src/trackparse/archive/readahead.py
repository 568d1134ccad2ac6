"""Inflates a few blocks ahead, on threads of its own, or in that of the caller. Knows members and blocks, not what is
in them.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final, TypeAlias, TypeVar

from trackparse.archive.opening import Archive, Member
from trackparse.cores import usable_cores
from trackparse.sources.source import Buffer

_CLOSE_WAIT = 5.0  # seconds that ``close`` waits for a read that does not return
_DROP_WAIT: Final = 1.0  # seconds that the garbage collector waits for the same
_KEPT_BLOCKS: Final = 3  # for which the allocator keeps memory; with 4, conversions take 2 MiB more
_MMAP_THRESHOLD_MOST: Final = 31 << 20  # bytes; freeing a larger piece does not raise glibc's thresholds
_SIGNAL_WAIT: Final = 0.25  # seconds after which a waiting consumer looks for signals
_SOON: Final = 0.01  # seconds: by then the finalizer that Ctrl-C met is over


_T = TypeVar("_T")

# Threads that inflate, for one consumer: parsing takes about half the time of inflating.
INFLATING_MOST: Final = 2
# How far each of two threads is ahead: this many items, and no more bytes than this. With 4 items they gain nothing.
_SIDE_BY_SIDE_ITEMS: Final = 14
_SIDE_BY_SIDE_BYTES: Final = 14 << 20


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


class _Lane:
    """The items of the members that one thread inflates, and how many more it may put."""

    def __init__(self, depth: int) -> None:
        self.items: SimpleQueue[Item | _Failed] = SimpleQueue()
        self.permits: SimpleQueue[None] = SimpleQueue()  # one for each item that may be put
        for _ in range(depth):
            self.permits.put(None)

    def wait_for_room(self) -> None:
        """Return when one more item may be put."""
        self.permits.get()


class _Shared:
    """What the consumer and the threads share.

    It has no reference to its ReadAhead: the threads would keep a dropped ReadAhead alive. ``stop`` uses no lock and no
    queue but SimpleQueue: the garbage collector may call it, and any other lock may be held by the very thread that the
    collector interrupts.
    """

    def __init__(self, archive: Archive, block_size: int, depth: int, threads: int) -> None:
        self.archive = archive
        self.block_size = block_size
        self.depth = depth
        self.threads_most = min(threads, usable_cores())
        self.lanes: list[_Lane] = []
        self.threads: list[threading.Thread] = []
        self.pid = 0  # process of the threads
        # The lane of each member, in the order of the members; then how the archive ended.
        self.order: SimpleQueue[_Lane | _Failed | _End] = SimpleQueue()
        self.stopped = False
        self._lock = threading.Lock()  # for the archive, and for what follows
        self._running = 0  # threads
        self._all_taken = False  # no member follows, or none is wanted after an error
        self._ended = False  # how the archive ended was put, or an error of a member

    def add_lane(self, depth: int) -> None:
        """Start a thread that inflates members; RuntimeError if that is not possible."""
        lane = _Lane(depth)
        # A daemon: a source that never answers must not keep the process from ending.
        thread = threading.Thread(target=self._run, args=(lane,), name="trackparse-inflate", daemon=True)
        self.lanes.append(lane)
        self.threads.append(thread)
        self._running += 1
        try:
            thread.start()
        except RuntimeError:
            self._running -= 1
            self.threads.pop()
            self.lanes.pop()
            raise

    def closed(self) -> ClosedError:
        return _closed_error(self.archive)

    def stop(self, wait: float) -> None:
        """End the threads, then close the archive; after ``wait`` seconds they are left to do both by themselves."""
        self.stopped = True
        if self.threads and self.pid == os.getpid():
            self.archive.source.interrupt()
        self.end(wait)

    def end(self, wait: float) -> None:
        """As ``stop``, where no thread is in a read that may take long."""
        self.stopped = True
        # A consumer in another thread must not take this for the end of the log.
        failed = _Failed(self.closed())
        self.order.put(failed)
        for lane in [*self.lanes]:
            lane.permits.put(None)
            lane.items.put(failed)
        started = [thread for thread in self.threads if thread.ident is not None]
        if not started:
            self.archive.close()
        elif self.pid != os.getpid():
            # A forked child has no such thread, and the archive looks as if it were in use.
            self.archive.source.close()
        elif threading.current_thread() not in started:
            deadline = time.monotonic() + wait
            for thread in started:
                thread.join(max(0.0, deadline - time.monotonic()))

    # ---- in a thread ------------------------------------------------------------------------------------

    def _run(self, lane: _Lane) -> None:
        try:
            while member := self._take(lane):
                self._read(member, lane)
        except BaseException as error:
            self._all_taken = self._ended = True
            lane.items.put(_Failed(error))
        with self._lock:
            self._running -= 1
            if self._running:
                return
            # The archive compares what its members said, so its end comes when all of them were read.
            if not (self.stopped or self._ended):
                self._next_member()
            self.archive.close()

    def _take(self, lane: _Lane) -> Member | None:
        """The next member for this lane; None if there is no other."""
        with self._lock:
            if self.stopped or self._all_taken:
                return None
            member = self._next_member()
            if member is None:
                return None
            self.order.put(lane)
            if member.independent:
                self._all_taken = not member.others
                if member.others and len(self.lanes) < self.threads_most and not self.stopped:
                    with suppress(RuntimeError):  # there are too many threads, or the interpreter ends
                        self._go_side_by_side(lane)
            return member

    def _go_side_by_side(self, lane: _Lane) -> None:
        """Start a second thread. While one member is parsed, a good part of the next one has to be inflated."""
        depth = max(self.depth, min(_SIDE_BY_SIDE_ITEMS, _SIDE_BY_SIDE_BYTES // self.block_size))
        _keep_freed_memory(2 * depth * self.block_size)
        self.add_lane(depth)
        for _ in range(depth - self.depth):
            lane.permits.put(None)

    def _next_member(self) -> Member | None:
        """The next member of the archive. If there is none, how it ended is put in its place."""
        ended: _Failed | _End = _End()
        try:
            for member in self.archive:
                return member
        except BaseException as error:
            ended = _Failed(error)
        self._all_taken = self._ended = True
        self.order.put(ended)
        return None

    def _read(self, member: Member, lane: _Lane) -> None:
        """Put all items of a member; fewer if they are not wanted any more."""
        for item in _items_of(member, self.block_size):
            lane.wait_for_room()
            if self.stopped:
                return
            lane.items.put(item)


class ReadAhead:
    """Iterates over ``MemberStart``, blocks, ``MemberEnd`` or ``MemberDamaged``, and so on for each member.

    An error of the archive is raised behind the items before it. Members that are independent of each other are
    inflated by up to ``threads`` threads, and handed out in their order all the same. The threads start with ``start``,
    or with the first item. They end with the last one, with ``close``, or when the ReadAhead is dropped, and the last
    one closes the archive. After ``close``, asking for an item is a ClosedError.
    """

    def __init__(self, archive: Archive, block_size: int, depth: int = 4, threads: int = INFLATING_MOST) -> None:
        self._shared = _Shared(archive, block_size, depth, threads)
        self._lane: _Lane | None = None  # that of the member that is being handed out
        self._done = self._closed = False
        self._stop = weakref.finalize(self, _drop, self._shared)

    @property
    def left_out(self) -> int:
        """How many of the files met so far are not read because of their names."""
        return self._shared.archive.left_out

    @property
    def ended(self) -> bool:
        """Whether the threads have read all there is: others could begin with something else."""
        threads = self._shared.threads
        return bool(threads) and not any(thread.is_alive() for thread in threads)

    def __iter__(self) -> ReadAhead:
        return self

    def __next__(self) -> Item:
        shared = self._shared
        if self._closed:
            raise shared.closed()
        if self._done:
            raise StopIteration
        if not shared.threads:
            self.start()
        elif shared.pid != os.getpid():
            raise RuntimeError("this reader was started before a fork: open the log again in the child")
        item = self._next_item()
        if not isinstance(item, (_Failed, _End)):
            return item
        self._done = True
        # The consumer may remove the file now.
        if isinstance(item, _End):
            shared.end(_CLOSE_WAIT)
            self._stop.detach()
            raise StopIteration
        shared.stop(_CLOSE_WAIT)
        self._stop.detach()
        try:
            raise item.error
        finally:
            # The error's traceback refers to this frame: without this line they keep each other alive.
            del item

    def _next_item(self) -> Item | _Failed | _End:
        if self._lane is None:
            lane = _wait_for(self._shared.order)
            if not isinstance(lane, _Lane):
                return lane
            self._lane = lane
        item = _wait_for(self._lane.items)
        self._lane.permits.put(None)
        if isinstance(item, (MemberEnd, MemberDamaged)):
            self._lane = None
        return item

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self, wait: float | None = None) -> None:
        """End the threads and close the archive; twice does no harm.

        A thread in a read that does not return is left alone after ``wait`` seconds (5), and ends with that read.
        """
        self._closed = True
        self._shared.stop(_CLOSE_WAIT if wait is None else wait)
        self._stop.detach()  # last: what Ctrl-C leaves undone here, the garbage collector does

    def start(self) -> None:
        """Begin to read, before the first item is asked for. Once only. MemoryError if no thread can be started."""
        shared = self._shared
        shared.pid = os.getpid()
        _keep_freed_memory(_KEPT_BLOCKS * shared.block_size)
        try:
            shared.add_lane(shared.depth)
        except RuntimeError as error:
            raise MemoryError(f"{shared.archive.source.name}: {error}") from None


def _drop(shared: _Shared) -> None:
    """End the threads of a ReadAhead that the garbage collector takes.

    Python drops what a finalizer raises. Ctrl-C would be lost, so it comes again when the finalizer is over.
    """
    try:
        shared.stop(_DROP_WAIT)
    except KeyboardInterrupt:
        threading.Thread(target=_interrupt_again, name="trackparse-interrupt", daemon=True).start()
        shared.stop(0)


def _interrupt_again() -> None:
    time.sleep(_SOON)
    if hasattr(signal, "pthread_kill"):  # it wakes the main thread, whatever that waits for
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


def _closed_error(archive: Archive) -> ClosedError:
    return ClosedError(f"{archive.source.name}: the log is closed: open it again")


def _wait_for(queue: SimpleQueue[_T]) -> _T:
    while True:
        try:
            # With a timeout, since Ctrl-C does not wake a thread that waits for a lock once Polars is imported.
            return queue.get(timeout=_SIGNAL_WAIT)
        except Empty:
            continue


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


class ReadHere:
    """Hands out what a ``ReadAhead`` does, inflated when it is asked for by the thread that asks: only one may ask.

    After its last item, after an error and with ``close`` the archive is closed.
    """

    ended = False  # there is no thread that could begin with something else

    def __init__(self, archive: Archive, block_size: int) -> None:
        self._archive = archive
        self._items = items_of(archive, block_size)
        self._closed = False
        _keep_freed_memory(_KEPT_BLOCKS * block_size)

    @property
    def left_out(self) -> int:
        """As that of ``ReadAhead``."""
        return self._archive.left_out

    def __iter__(self) -> ReadHere:
        return self

    def __next__(self) -> Item:
        if self._closed:
            raise _closed_error(self._archive)
        try:
            return next(self._items)
        except BaseException:
            # The consumer may remove the file now.
            self._archive.close()
            raise

    def close(self, wait: float | None = None) -> None:
        """Close the archive; twice does no harm. Nothing is waited for."""
        self._closed = True
        self._items.close()
        self._archive.close()


def items_of(archive: Archive, block_size: int) -> Generator[Item]:
    """What a ``ReadAhead`` hands out, inflated when it is asked for, in the thread that asks."""
    for member in archive:
        yield from _items_of(member, block_size)


def _items_of(member: Member, block_size: int) -> Iterator[Item]:
    yield MemberStart(member.name, member.others)
    yield from member.blocks(block_size)
    yield MemberDamaged() if member.damaged else MemberEnd()
