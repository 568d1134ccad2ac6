"""One interface for everything that a log can be read from. Bytes only: no archive, no thread, no parsing."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import mmap
import os
import stat
import threading
import zipfile
from collections.abc import AsyncIterable, Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

Buffer: TypeAlias = bytes | memoryview

# They say that they can seek, but each seek inflates everything from the start.
_COSTLY_SEEK: Final = (gzip.GzipFile, bz2.BZ2File, lzma.LZMAFile, zipfile.ZipExtFile)


class Source:
    """Bytes in order.

    ``name`` is how messages call it; ``size`` is in bytes, None if not known. ``position`` is that of the next byte
    that ``read`` returns, counted from where the source was handed over; ``bytes_read`` is the highest one so far.
    The end of ``with`` closes it; to close it twice does no harm. Subclasses implement ``_read_at`` if they are
    ``seekable``, else ``_take``.
    """

    seekable = False

    def __init__(self, name: str, size: int | None) -> None:
        self.name = name
        self.size = size
        self.bytes_read = 0
        self.position = 0
        self._held: list[Buffer] = []  # pieces that were taken already and are read next; the last one first

    def read(self, n: int) -> Buffer:
        """At most n bytes; empty only at the end. If the source is memory, they are a slice of it."""
        if self._held:
            data = self._held.pop()
            if len(data) > n:
                self._held.append(memoryview(data)[n:])
                data = data[:n]
        else:
            data = self._take(n)
        self.position += len(data)
        if self.position > self.bytes_read:
            self.bytes_read = self.position
        return data

    def unread(self, data: Buffer) -> None:
        """Give bytes back; the next read begins with them."""
        self.position -= len(data)
        if data and not self.seekable:
            self._held.append(data)

    def read_exactly(self, n: int) -> bytes:
        """n bytes, fewer only at the end."""
        parts = []
        while n and (part := self.read(n)):
            parts.append(part)
            n -= len(part)
        return b"".join(parts)

    def peek(self, n: int) -> bytes:
        """The next n bytes without reading them, fewer only at the end."""
        data = self.read_exactly(n)
        self.unread(data)
        return data

    def seek(self, position: int) -> None:
        """Read on from this byte; for seekable sources only."""
        if not self.seekable:
            raise io.UnsupportedOperation(f"{self.name} cannot seek")
        # An offset in a damaged directory may be larger than the system accepts.
        self.position = position if self.size is None else min(position, self.size)

    def finish(self) -> None:
        """Count the rest as read, although it is not needed, so that progress ends at the size."""
        self.bytes_read = max(self.bytes_read, self.size or 0)

    def look(self, position: int, n: int) -> bytes:
        """n bytes of a seekable source from this byte on, fewer only at its end. ``position`` and counts stay."""
        if not self.seekable:
            raise io.UnsupportedOperation(f"{self.name} cannot seek")
        parts = []
        while n and (part := self._read_at(min(position, self.size or 0), n)):
            parts.append(part)
            position += len(part)
            n -= len(part)
        return b"".join(parts)

    def interrupt(self) -> None:
        """End a read that waits in another thread, if that is possible. Takes no lock."""

    def close(self) -> None:
        """Close what was opened here; a file that the caller opened stays open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _at_most(self, data: bytes, n: int) -> Buffer:
        """The first n bytes; the rest comes next."""
        if len(data) <= n:
            return data
        self._held.append(memoryview(data)[n:])
        return memoryview(data)[:n]

    def _take(self, n: int) -> Buffer:
        return self._read_at(self.position, n)

    def _read_at(self, position: int, n: int) -> Buffer:
        raise NotImplementedError


class MemorySource(Source):
    """Bytes-like objects. Reads of ``bytes`` are slices of them; of objects that may change, reads are copies."""

    seekable = True

    def __init__(self, data: memoryview) -> None:
        super().__init__("<bytes>", len(data))
        self._data = data
        self._constant = isinstance(data.obj, bytes)

    def close(self) -> None:
        # As long as a memoryview of it exists, a bytearray cannot grow and an mmap cannot be closed.
        self._data.release()

    def _read_at(self, position: int, n: int) -> Buffer:
        data = self._data[position : position + n]
        # The kernel reads a block more than once and must find the same bytes each time.
        return data if self._constant else bytes(data)


class FileSource(Source):
    """Seekable binary files, from their current position up to the end that they have when they are handed over.

    They are read and not mapped: a file that is truncated while it is mapped kills the process.
    """

    seekable = True

    def __init__(self, file: Any, name: str, span: tuple[int, int], *, owned: bool) -> None:
        super().__init__(name, span[1] - span[0])
        self._file = file
        self._start, self._end = span
        self._owned = owned
        self._at = -1  # position of the file; -1 if not known

    def close(self) -> None:
        if self._owned:
            self._file.close()

    def _read_at(self, position: int, n: int) -> Buffer:
        start = self._start + position
        if self._at != start:
            self._file.seek(start)
        self._at = -1
        # Others may append to the log while it is read.
        most = max(0, min(n, self._end - start))
        data = _bytes_of(self._file.read(most), self.name)
        if len(data) > most:
            # It returned more than was asked for, so its position is not known.
            return data[:most]
        self._at = start + len(data)
        return data


class PartSource(Source):
    """The bytes of another source, from a position of its own: several threads may read one source, each by its own.

    ``lock`` is theirs in common.
    """

    seekable = True

    def __init__(self, whole: Source, lock: threading.Lock) -> None:
        super().__init__(whole.name, whole.size)
        self._whole = whole
        self._lock = lock

    def _read_at(self, position: int, n: int) -> Buffer:
        with self._lock:
            data = self._whole._read_at(position, n)
            self._whole.bytes_read = max(self._whole.bytes_read, position + len(data))
            return data


class StreamSource(Source):
    """Files that cannot seek."""

    def __init__(self, file: Any, name: str, *, owned: bool) -> None:
        super().__init__(name, None)
        self._file = file
        self._owned = owned
        self._ended = False

    def close(self) -> None:
        if self._owned:
            self._file.close()

    def _take(self, n: int) -> Buffer:
        # After its end, a terminal or a socket may give bytes again.
        if self._ended:
            return b""
        data = _bytes_of(self._file.read(n), self.name)
        self._ended = not data
        return self._at_most(data, n)


class ChunkSource(Source):
    """Iterables of chunks, such as the body of an HTTP response. An empty chunk is not the end.

    A generator is closed with the source: it may hold a connection.
    """

    def __init__(self, chunks: Iterable[Any]) -> None:
        super().__init__("<stream>", None)
        self._chunks = iter(chunks)
        self._pid = os.getpid()

    def close(self) -> None:
        # In a forked child the connection still belongs to the parent.
        if isinstance(self._chunks, Generator) and self._pid == os.getpid():
            self._chunks.close()

    def _take(self, n: int) -> Buffer:
        for chunk in self._chunks:
            if data := _bytes_of(chunk, self.name):
                return self._at_most(data, n)
        self._chunks = iter(())
        return b""


def open_source(source: Any) -> Source:
    """A ``Source`` over a path, a bytes-like object, a binary file object or an iterable of bytes-like chunks.

    A seekable file object is read from its current position. TypeError for anything else.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, (str, os.PathLike)):
        return _open_path(source)
    if hasattr(source, "read"):
        # mmap is a file and memory; memory knows its size.
        return MemorySource(memoryview(source)) if isinstance(source, mmap.mmap) else _open_file(source)
    try:
        return MemorySource(memoryview(source).cast("B"))
    except TypeError:
        pass
    if isinstance(source, Iterable) and not isinstance(source, Mapping):
        return ChunkSource(source)
    advice = "; collect it or read it in a thread first" if isinstance(source, AsyncIterable) else ""
    raise TypeError(
        f"a source is a path, bytes, a binary file object or an iterable of bytes chunks, "
        f"not {type(source).__name__}{advice}"
    )


def _open_path(path: str | os.PathLike[Any]) -> Source:
    file = open(path, "rb", buffering=0)  # noqa: SIM115, PTH123 - the source closes it
    name = os.fsdecode(path)
    try:
        status = os.fstat(file.fileno())
        # Files of /proc have a size of 0, but content.
        if stat.S_ISREG(status.st_mode) and status.st_size:
            return FileSource(file, name, (0, status.st_size), owned=True)
    except BaseException:
        file.close()
        raise
    return StreamSource(file, name, owned=True)


def _open_file(file: Any) -> Source:
    name = getattr(file, "name", None)
    name = name if isinstance(name, str) and name else "<stream>"
    if isinstance(file, io.TextIOBase):
        raise TypeError(f"{name} is a text file: open it in binary mode, open(path, 'rb')")
    span = None if isinstance(file, _COSTLY_SEEK) else _span(file)
    if span is None:
        return StreamSource(file, name, owned=False)
    return FileSource(file, name, span, owned=False)


def _span(file: Any) -> tuple[int, int] | None:
    """The file's position and its end; None if it cannot seek, or has no end."""
    try:
        if not file.seekable():
            return None
        start = file.tell()
        file.seek(0, io.SEEK_END)
        end = file.tell()
        if end <= start:
            file.seek(start)
            return None
        return start, end
    except (AttributeError, OSError):
        return None


def _bytes_of(data: Any, name: str) -> bytes:
    """The data as bytes, which nobody can change."""
    if isinstance(data, bytes):
        return data
    if data is None:
        raise BlockingIOError(f"{name} has no bytes now: hand over a blocking file")
    if isinstance(data, str):
        raise TypeError(f"{name} gives text: open it in binary mode")
    try:
        # A chunk may be a buffer that its owner reuses while this library reads ahead.
        return bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"{name} gives {type(data).__name__}, not bytes") from None
