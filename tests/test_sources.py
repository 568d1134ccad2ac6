"""Every kind of source gives the same bytes, and nothing else is one."""

from __future__ import annotations

import array
import gzip
import io
import mmap
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from support.archives import LOG, Unseekable, each_source, make_log, random_chunks
from trackparse.sources.source import open_source

SMALL = make_log(3000)


def read_all(source: Any, n: int = 1000) -> bytes:
    parts = []
    while part := source.read(n):
        assert len(part) <= n
        parts.append(bytes(part))
    return b"".join(parts)


def test_every_source_gives_the_same_bytes(tmp_path: Path) -> None:
    for kind, given in each_source(SMALL, tmp_path / "log.csv"):
        source = open_source(given)
        assert source.peek(10) == SMALL[:10], kind
        assert source.peek(20) == SMALL[:20], kind
        assert read_all(source) == SMALL, kind
        assert source.read(5) == b"", kind
        assert source.bytes_read == len(SMALL), kind
        assert source.size in (len(SMALL), None), kind
        source.close()


def test_unread_bytes_come_again(tmp_path: Path) -> None:
    for kind, given in each_source(SMALL, tmp_path / "log.csv"):
        source = open_source(given)
        first, second = source.read_exactly(10), source.read_exactly(10)
        source.unread(second)
        source.unread(first)
        assert source.position == 0
        assert read_all(source, 7) == SMALL, kind
        source.close()


def test_an_empty_source_only_ends(tmp_path: Path) -> None:
    for kind, given in each_source(b"", tmp_path / "log.csv"):
        source = open_source(given)
        assert source.peek(4) == b"", kind
        assert source.read(4) == b"", kind
        source.close()


def test_names(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(SMALL)
    for given, name in ((path, str(path)), (b"", "<bytes>"), (io.BytesIO(), "<stream>"), ([], "<stream>")):
        source = open_source(given)
        assert source.name == name
        source.close()
    with path.open("rb") as file:
        assert open_source(file).name == str(path)
    with os.fdopen(os.open(path, os.O_RDONLY), "rb") as file:
        assert open_source(file).name == "<stream>"


@pytest.mark.parametrize("given", [None, 7, 1.5, {"a": 1}, object()])
def test_anything_else_is_a_type_error(given: object) -> None:
    with pytest.raises(TypeError, match="a source is a path"):
        open_source(given)


def test_text_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(SMALL)
    with path.open() as file, pytest.raises(TypeError, match="binary mode"):
        open_source(file)
    with pytest.raises(TypeError, match="binary mode"):
        open_source(["text"]).read(5)
    with pytest.raises(TypeError, match="list, not bytes"):
        open_source([[1, 2]]).read(5)


def test_an_async_iterable_is_refused_with_advice() -> None:
    async def body() -> Any:
        yield b""

    with pytest.raises(TypeError, match="thread"):
        open_source(body())


def test_a_file_is_read_from_where_it_stands() -> None:
    file = io.BytesIO(b"skip" + SMALL)
    file.seek(4)
    source = open_source(file)
    assert source.size == len(SMALL)
    assert read_all(source) == SMALL
    source.seek(10)
    assert source.read(5) == SMALL[10:15]
    assert source.look(0, len(SMALL) + 1) == SMALL


def test_only_what_was_opened_here_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(SMALL)
    with path.open("rb") as file:
        open_source(file).close()
        assert not file.closed
    pipe = Unseekable(SMALL)
    open_source(pipe).close()
    assert not pipe.closed
    source = open_source(path)
    source.close()
    source.close()
    with pytest.raises(ValueError, match="closed"):
        source.read(1)


def test_bytes_are_not_copied_and_what_may_change_is() -> None:
    for given in (LOG, memoryview(LOG)[10:]):
        part = open_source(given).read(1000)
        assert isinstance(part, memoryview)
        assert part.obj is LOG
    changing = bytearray(LOG)
    for changeable in (changing, memoryview(changing).toreadonly()):
        part = open_source(changeable).read(1000)
        assert isinstance(part, bytes)


def test_a_map_is_memory() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(SMALL)
        file.flush()
        with mmap.mmap(file.fileno(), 0) as mapped:
            source = open_source(mapped)
            assert read_all(source) == SMALL
            del source


def test_other_item_sizes_are_bytes_too() -> None:
    assert read_all(open_source(array.array("I", [1, 2]))) == array.array("I", [1, 2]).tobytes()


def test_a_reused_chunk_is_copied() -> None:
    def body() -> Any:
        chunk = bytearray(2)
        for i in range(3):
            chunk[:] = bytes([65 + i]) * 2
            yield chunk

    source = open_source(body())
    assert [source.read(9) for _ in range(3)] == [b"AA", b"BB", b"CC"]


def test_errors_of_the_source_pass_through() -> None:
    def body() -> Any:
        yield b"abc"
        raise ConnectionResetError("gone")

    source = open_source(body())
    assert source.read(3) == b"abc"
    with pytest.raises(ConnectionResetError, match="gone"):
        source.read(3)


def test_a_file_without_bytes_now_is_refused() -> None:
    class Empty(io.RawIOBase):
        def read(self, n: int = -1) -> None:
            return None

    with pytest.raises(BlockingIOError, match="blocking"):
        open_source(Empty()).read(1)


def test_a_file_that_only_says_it_can_seek_is_read_forward() -> None:
    class Pretender(Unseekable):
        def seekable(self) -> bool:
            return True

    source = open_source(Pretender(SMALL))
    assert not source.seekable
    assert read_all(source) == SMALL


def test_a_gzip_file_object_is_read_forward_only() -> None:
    with gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(SMALL))) as file:
        source = open_source(file)
        assert not source.seekable
        assert read_all(source) == SMALL


def test_a_named_pipe_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(LOG,))
    writer.start()
    source = open_source(path)
    assert not source.seekable
    assert read_all(source, 70_000) == LOG
    source.close()
    writer.join()


def test_bytes_read_counts_up(tmp_path: Path) -> None:
    source = open_source(random_chunks(LOG))
    seen = [source.bytes_read]
    while source.read(5000):
        seen.append(source.bytes_read)
    assert seen == sorted(seen)
    assert seen[-1] == len(LOG)


def test_a_file_that_grows_is_read_as_far_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(SMALL)
    with path.open("rb") as file:
        for given in (path, file):
            source = open_source(given)
            size = path.stat().st_size
            first = bytes(source.read(100))
            with path.open("ab") as more:
                more.write(SMALL)
            assert len(first + read_all(source)) == size
            source.close()
            file.seek(0)


def test_a_file_that_shrinks_just_ends(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(LOG)
    source = open_source(path)
    source.read(100)
    os.truncate(path, 1000)
    assert len(read_all(source)) < len(LOG)
    assert source.position < (source.size or 0)
    source.close()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc here")
def test_a_file_without_a_size_is_read_to_its_end() -> None:
    source = open_source("/proc/self/maps")
    assert b"python" in read_all(source)
    source.close()
    with Path("/proc/self/maps").open("rb") as file:
        assert b"python" in read_all(open_source(file))


@pytest.mark.parametrize("seekable", [True, False])
def test_a_file_that_gives_more_than_was_asked_for_loses_nothing(seekable: bool) -> None:
    class Generous(io.BytesIO):
        def seekable(self) -> bool:
            return seekable

        def read(self, n: int | None = -1) -> bytes:
            return super().read(None if n is None or n < 0 else 3 * n)

    source = open_source(Generous(SMALL))
    assert source.seekable is seekable
    assert source.peek(10) == SMALL[:10]
    assert read_all(source, 7) == SMALL
    assert source.bytes_read == len(SMALL)


def test_a_generator_is_closed_with_its_source_and_a_list_is_left_alone() -> None:
    ended = []

    def body() -> Any:
        try:
            yield b"abc"
        finally:
            ended.append(True)

    source = open_source(body())
    source.read(2)
    source.close()
    source.close()
    assert ended == [True]
    open_source([b"abc"]).close()
