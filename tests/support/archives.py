"""Archives by the writers people use, and sources of every kind over their bytes."""

from __future__ import annotations

import io
import random
import subprocess
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from support.tools import need
from trackparse.archive.opening import open_archive
from trackparse.errors import TrackparseError
from trackparse.limits import Limits
from trackparse.sources.source import open_source


def make_log(size: int, seed: int = 1) -> bytes:
    """Text like a log's, that packs about as well."""
    dice = random.Random(seed)
    out = bytearray(b"//timestamp;tracking_code;target_id;hwid;status;description\n")
    while len(out) < size:
        code = "".join(dice.choices("0123456789ABCDEF", k=16))
        time = f"2021-04-20 13:01:{dice.randrange(60):02}"
        out += f'"{time}";T-{code};u{code[:6]};{code};delivered;Success\n'.encode()
    return bytes(out[:size])


LOG = make_log(150_000)


class Unseekable(io.RawIOBase):
    """A file that cannot seek and gives a few bytes at a time."""

    def __init__(self, data: bytes, most: int = 1000) -> None:
        self._file = io.BytesIO(data)
        self._most = most

    def readable(self) -> bool:
        return True

    def read(self, n: int = -1) -> bytes:
        return self._file.read(min(n, self._most) if n >= 0 else self._most)


class UnseekableOutput(io.RawIOBase):
    """Where zipfile has to write data descriptors."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)


def random_chunks(data: bytes, seed: int = 7) -> Iterator[bytes]:
    dice = random.Random(seed)
    at = 0
    while at < len(data):
        n = dice.choice([0, 1, 3, 30, 500, 5000, 70_000])
        yield data[at : at + n]
        at += n


def each_source(data: bytes, path: Path, *, bytewise: bool = True) -> Iterator[tuple[str, Any]]:
    """All kinds of source over the same bytes."""
    path.write_bytes(data)
    yield "path", path
    yield "text path", str(path)
    yield "bytes", data
    yield "bytearray", bytearray(data)
    yield "memoryview", memoryview(data)
    yield "BytesIO", io.BytesIO(data)
    with path.open("rb") as file:
        yield "file", file
    with path.open("rb", buffering=0) as file:
        yield "raw file", file
    yield "pipe", Unseekable(data)
    yield "chunks", random_chunks(data)
    yield "one chunk", [data]
    if bytewise:
        yield "bytewise", (data[i : i + 1] for i in range(len(data)))


def read_members(
    source: Any, block_size: int = 4096, limits: Limits | None = None, members: Iterable[str] | None = None
) -> tuple[list[tuple[str, list[bytes]]], TrackparseError | None]:
    """Names and blocks of all members, and the error in the end."""
    opened = open_source(source)
    archive = open_archive(opened, limits or Limits(), members)
    found: list[tuple[str, list[bytes]]] = []
    try:
        for member in archive:
            blocks: list[bytes] = []
            found.append((member.name, blocks))
            for block in member.blocks(block_size):
                assert len(block)
                blocks.append(bytes(block))
    except TrackparseError as exc:
        return found, exc
    finally:
        archive.close()
    return found, None


def contents(source: Any, **options: Any) -> dict[str, bytes]:
    """The content of each member; raises the error."""
    found, error = read_members(source, **options)
    if error:
        raise error
    return {name: b"".join(blocks) for name, blocks in found}


def python_zip(
    files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED, streamed: bool = False, zip64: bool = False
) -> bytes:
    output: Any = UnseekableOutput() if streamed else io.BytesIO()
    with zipfile.ZipFile(output, "w", method) as archive:
        for name, data in files.items():
            with archive.open(name, "w", force_zip64=zip64) as file:
                file.write(data)
    return bytes(output.data if streamed else output.getvalue())


def _tool(needed: str, *command: str, output: str = "out.zip") -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        need(needed)
        (folder / "log.csv").write_bytes(LOG)
        written = subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout
        return (folder / output).read_bytes() if output else written

    return make


_PHP = """
$zip = new ZipArchive();
$zip->open('out.zip', ZipArchive::CREATE);
$zip->addFile('log.csv');
$zip->close();
"""

# Name, writer; each holds LOG as log.csv.
WRITERS: list[tuple[str, Callable[[Path], bytes]]] = [
    ("zip -9", _tool("zip", "zip", "-q", "-9", "out.zip", "log.csv")),
    ("zip -0", _tool("zip", "zip", "-q", "-0", "out.zip", "log.csv")),
    ("zip to a pipe", _tool("zip", "sh", "-c", "zip -q - log.csv | cat", output="")),
    ("zip -0 to a pipe", _tool("zip", "sh", "-c", "zip -q -0 - log.csv | cat", output="")),
    ("zip from a pipe", _tool("zip", "sh", "-c", "cat log.csv | zip -q - - | cat", output="")),
    ("zip -fz", _tool("zip", "zip", "-q", "-fz", "out.zip", "log.csv")),
    ("zip bzip2", _tool("zip's bzip2", "zip", "-q", "-Z", "bzip2", "out.zip", "log.csv")),
    ("7z", _tool("7z", "7z", "a", "-bd", "out.zip", "log.csv")),
    ("7z bzip2", _tool("7z", "7z", "a", "-bd", "-mm=BZip2", "out.zip", "log.csv")),
    ("7z lzma", _tool("7z", "7z", "a", "-bd", "-mm=LZMA", "out.zip", "log.csv")),
    ("bsdtar", _tool("bsdtar", "bsdtar", "-c", "--format", "zip", "-f", "out.zip", "log.csv")),
    ("bsdtar to a pipe", _tool("bsdtar", "sh", "-c", "bsdtar -c --format zip -f - log.csv | cat", output="")),
    ("php", _tool("php's class ZipArchive", "php", "-r", _PHP)),
    ("python", lambda _: python_zip({"log.csv": LOG})),
    ("python stored", lambda _: python_zip({"log.csv": LOG}, method=zipfile.ZIP_STORED)),
    ("python bzip2", lambda _: python_zip({"log.csv": LOG}, method=zipfile.ZIP_BZIP2)),
    ("python lzma", lambda _: python_zip({"log.csv": LOG}, method=zipfile.ZIP_LZMA)),
    ("python streamed", lambda _: python_zip({"log.csv": LOG}, streamed=True)),
    ("python streamed stored", lambda _: python_zip({"log.csv": LOG}, method=zipfile.ZIP_STORED, streamed=True)),
    ("python zip64", lambda _: python_zip({"log.csv": LOG}, zip64=True)),
    ("python zip64 streamed", lambda _: python_zip({"log.csv": LOG}, zip64=True, streamed=True)),
]


def files_in(folder: Path) -> list[str]:
    """The names in a folder, hidden ones among them."""
    return sorted(path.name for path in folder.iterdir())
