"""A log of more than 4 GiB as macOS Archive Utility packs it: sizes modulo 2^32, no zip64, a data descriptor.

    python tests/torture/large.py [FOLDER]

It is read as a stream and from a file, converted to Parquet, and must come whole and without an error. The archive is
small: rows repeat. It takes a minute or two.
"""

from __future__ import annotations

import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import trackparse

HEADER = b"//timestamp;tracking_code;target_id;hwid;status;description\n"
ROW = b"2021-04-20 13:01:01;T-1;u;h;failed;" + b"x" * 4000 + b"\n"
ROWS = 256  # in a piece
PIECES = (1 << 32) // (len(ROW) * ROWS) + 2
AFTER = HEADER + b"2021-04-21 13:01:01;T-2;u;h;sent;\n"
MODULO = 1 << 32


def piece() -> bytes:
    """The same rows again and again: packed once, with nothing carried over from the piece before."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(ROW * ROWS) + packer.flush(zlib.Z_FULL_FLUSH)


def member(
    name: bytes, parts: Iterator[bytes], crc: int, size: int, offset: int, directory: list[bytes]
) -> Iterator[bytes]:
    """A member with its descriptor; its entry is put into the directory."""
    yield b"PK\3\4" + struct.pack("<3H4x3L2H", 20, 8, 8, 0, 0, 0, len(name), 0) + name
    packed = 0
    for part in parts:
        packed += len(part)
        yield part
    sums = struct.pack("<3L", crc, packed % MODULO, size % MODULO)
    yield b"PK\7\10" + sums
    rest = struct.pack("<5H2L", len(name), 0, 0, 0, 0, 0, offset % MODULO)
    directory.append(b"PK\1\2" + struct.pack("<4H4x", 20, 20, 8, 8) + sums + rest + name)


def packed_log(first: bytes) -> Iterator[bytes]:
    """The header, all pieces, and an end."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    yield packer.compress(first) + packer.flush(zlib.Z_FULL_FLUSH)
    again = piece()
    for _ in range(PIECES):
        yield again
    yield b"\3\0"


def archive() -> Iterator[bytes]:
    """Two logs; the first has more bytes than a ZIP's 32 bits can say."""
    crc = zlib.crc32(HEADER)
    rows = ROW * ROWS
    for _ in range(PIECES):
        crc = zlib.crc32(rows, crc)
    directory: list[bytes] = []
    at = 0
    size = len(HEADER) + len(rows) * PIECES
    assert size > MODULO
    logs = ((b"a.csv", packed_log(HEADER), crc, size), (b"b.csv", packed_small(), zlib.crc32(AFTER), len(AFTER)))
    for name, parts, sum_, length in logs:
        start = at
        for part in member(name, parts, sum_, length, start, directory):
            at += len(part)
            yield part
    entries = b"".join(directory)
    yield entries + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 2, 2, len(entries), at, 0)


def packed_small() -> Iterator[bytes]:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    yield packer.compress(AFTER) + packer.flush()


def main() -> int:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        path = Path(folder, "log.zip")
        with path.open("wb") as file:
            for part in archive():
                file.write(part)
        print(f"{path.stat().st_size:,} bytes packed", flush=True)
        for name in ("file", "stream"):
            start = time.perf_counter()
            with path.open("rb") as file:
                source = path if name == "file" else iter(lambda: file.read(1 << 20), b"")
                report = trackparse.convert_log(source, Path(folder, "log.parquet"))
            assert report.records == ROWS * PIECES + 1, report
            assert report.members == 2, report
            seconds = time.perf_counter() - start
            print(f"{name}: {report.bytes_inflated:,} bytes, {report.records:,} rows, {seconds:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
