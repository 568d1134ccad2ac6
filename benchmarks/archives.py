"""Where the only member of a ZIP lies, and where a Parquet file goes. Inflates nothing."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

READ = 1 << 18  # bytes of one read


def locate(log: Path) -> int:
    """Where the packed bytes of the only member start."""
    with zipfile.ZipFile(log) as archive, log.open("rb") as file:
        start = archive.infolist()[0].header_offset
        file.seek(start + 26)
        lengths = file.read(4)
    return start + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")


def open_member(log: Path) -> zipfile.ZipExtFile:
    """The only member, inflated by the standard library."""
    archive = zipfile.ZipFile(log)
    return archive.open(archive.infolist()[0])  # type: ignore[return-value]


def output() -> Path:
    """A file to write, in a new folder of its own."""
    return Path(tempfile.mkdtemp(prefix="trackparse-bench-")) / "log.parquet"


def remove(path: Path) -> None:
    """Remove such a file and its folder."""
    path.unlink()
    path.parent.rmdir()
