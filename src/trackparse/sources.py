"""One face for everything a log can be read from. Bytes only: no archive, no thread, no parsing."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import mmap
import os
import stat
import zipfile
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, TypeAlias, cast

Buffer: TypeAlias = bytes | memoryview

# They say they are seekable, but a seek inflates everything anew.
_COSTLY_SEEK = (gzip.GzipFile, bz2.BZ2File, lzma.LZMAFile, zipfile.ZipExtFile)
_DROP_BYTES = 32 << 20  # mapped bytes read before their pages are given back
_KEPT_BYTES = 16 << 20  # the newest mapped bytes, which somebody may still look at


class Source:
    """Bytes in order, with what is known about them.

    ``position`` is the next byte ``read`` gives, 0 where the source was handed over. ``bytes_read`` never
    goes back.
    Subclasses say how bytes are taken: ``_take``, and ``_read_at`` where ``seekable``.
    """

    seekable = False

    def __init__(self, name: str, size: int | None) -> None:
        self.name = name
        self.size = size  # bytes, None where nobody knows
        self.bytes_read = 0
        self.position = 0
        self._held: list[Buffer] = []  # taken already, still to be read; the next one last

    def read(self, n: int) -> Buffer:
        """At most n bytes; none only at the end. Where the source is memory they are a slice of it."""
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
        """Read on from there; for seekable sources only."""
        if not self.seekable:
            raise io.UnsupportedOperation(f"{self.name} cannot seek")
        # An offset out of a damaged directory may be more than the system takes.
        self.position = position if self.size is None else min(position, self.size)

    def finish(self) -> None:
        """Count what nobody needs to read as read, so that progress ends at the size."""
        self.bytes_read = max(self.bytes_read, self.size or 0)

    def map(self) -> None:
        """Serve reads out of memory from now on, where the source can be mapped."""

    def view(self) -> memoryview | None:
        """The whole source as memory, or None."""
        return None

    def file(self) -> io.BufferedReader:
        """A file object over a seekable source for whoever needs one; it moves nothing here."""
        if not self.seekable:
            raise io.UnsupportedOperation(f"{self.name} cannot seek")
        return io.BufferedReader(_Window(self))

    def close(self) -> None:
        """Close what was opened here; what the caller opened stays open."""

    def _take(self, n: int) -> Buffer:
        return self._read_at(self.position, n)

    def _read_at(self, position: int, n: int) -> Buffer:
        raise NotImplementedError


class MemorySource(Source):
    """Bytes-like objects."""

    seekable = True

    def __init__(self, data: memoryview) -> None:
        super().__init__("<bytes>", len(data))
        self._data = data

    def view(self) -> memoryview:
        return self._data

    def _read_at(self, position: int, n: int) -> Buffer:
        return self._data[position : position + n]


class FileSource(Source):
    """Seekable binary files. One that the caller opened begins where it stood."""

    seekable = True

    def __init__(self, file: Any, name: str, span: tuple[int, int], *, owned: bool) -> None:
        super().__init__(name, span[1] - span[0])
        self._file = file
        self._start = span[0]
        self._owned = owned
        self._at = -1  # where the file stands, from our start; -1 is nowhere known
        self._map: mmap.mmap | None = None
        self._dropped = 0  # mapped bytes given back

    def view(self) -> memoryview | None:
        self.map()
        return None if self._map is None else memoryview(self._map)

    def map(self) -> None:
        # Only files opened here: a caller's file may be cut while we look, and a map then ends the process.
        if self._map is None and self._owned and self.size:
            try:
                self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError):  # some file systems cannot
                return

    def close(self) -> None:
        # Slices of the map may be out there: it goes when they do.
        self._map = None
        if self._owned:
            self._file.close()

    def _read_at(self, position: int, n: int) -> Buffer:
        if self._map is not None:
            self._drop_pages(position)
            return memoryview(self._map)[position : position + n]
        if self._at != position:
            self._file.seek(self._start + position)
        self._at = -1
        data = _checked(self._file.read(n), self.name)
        self._at = position + len(data)
        return data

    def _drop_pages(self, position: int) -> None:
        """Give back pages already read, which would count as memory used; a look brings them back."""
        end = position - _KEPT_BYTES
        if end - self._dropped >= _DROP_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            start, end = self._dropped, end - end % mmap.PAGESIZE
            cast("mmap.mmap", self._map).madvise(mmap.MADV_DONTNEED, start, end - start)
            self._dropped = end


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
        # A terminal or a socket may go on after it said it ended.
        if self._ended:
            return b""
        data = _checked(self._file.read(n), self.name)
        self._ended = not data
        return data


class ChunkSource(Source):
    """Iterables of chunks, such as the body of an HTTP response. An empty chunk is not the end."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        super().__init__("<stream>", None)
        self._chunks = iter(chunks)

    def _take(self, n: int) -> Buffer:
        for chunk in self._chunks:
            data = _checked(chunk, self.name)
            if len(data) > n:
                self._held.append(memoryview(data)[n:])
                return memoryview(data)[:n]
            if data:
                return data
        self._chunks = iter(())
        return b""


class _Window(io.RawIOBase):
    """A seekable source as a raw file."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self._at, self._source.size or 0)[whence]
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}, before the start")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= (self._source.size or 0):
            return 0
        data = self._source._read_at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def open_source(source: Any) -> Source:
    """A ``Source`` over a path, bytes-like object, binary file object or iterable of bytes-like chunks.

    A seekable file object is read from where it stands. TypeError for anything else.
    """
    if isinstance(source, (str, os.PathLike)):
        return _open_path(source)
    if hasattr(source, "read"):
        # mmap is a file and memory; memory is the better one.
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
        if stat.S_ISREG(status.st_mode):
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
    """Where the file stands and where it ends, None if it cannot seek."""
    try:
        if not file.seekable():
            return None
        start = file.tell()
        file.seek(0, io.SEEK_END)
        return start, max(start, file.tell())
    except (AttributeError, OSError):
        return None


def _checked(data: Any, name: str) -> bytes:
    """Bytes that nobody changes any more."""
    if isinstance(data, bytes):
        return data
    if data is None:
        raise BlockingIOError(f"{name} has no bytes now: hand over a blocking file")
    if isinstance(data, str):
        raise TypeError(f"{name} gives text: open it in binary mode")
    try:
        # A chunk may be a buffer that its owner fills again while we read ahead.
        return bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"{name} gives {type(data).__name__}, not bytes") from None
