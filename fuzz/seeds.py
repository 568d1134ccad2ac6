"""Writes what each target starts from: cases, faults, samples, archives. The repository keeps none of it."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from trackparse.schema import COLUMNS
from trackparse.testing.sample import encode_row, sample_rows

TESTS: Final = Path(__file__).parent.parent / "tests"
H8: Final = b"//" + ";".join(COLUMNS).encode() + b"\n"
H6: Final = b"//" + ";".join(COLUMNS[:6]).encode() + b"\n"
MAGIC: Final = (b"PK", b"\x1f\x8b")
LARGEST: Final = 4096  # bytes: a target tries small inputs far more often a second
# Bytes in front of the data: harness.py, kernel_index.c and kernel_values.c read them.
PYTHON_KNOBS: Final = 32
INDEX_KNOBS: Final = 16
VALUES_KNOBS: Final = 4


def logs() -> Iterator[bytes]:
    """Logs good and bad, of both generations and in both dialects."""
    from corpus.cases import CASES

    yield from (case.data for case in CASES)
    yield from (data for data in faults() if not data.startswith(MAGIC))
    dialects: tuple[Literal["php", "rfc4180"], ...] = ("php", "rfc4180")
    for rows in (1, 8):
        for dialect in dialects:
            yield H8 + b"".join(encode_row(row, dialect) for row in sample_rows(rows, rows))
            yield H6 + b"".join(encode_row(row, dialect) for row in sample_rows(rows, rows, columns=6))


def faults() -> Iterator[bytes]:
    """What the fault corpus holds, but for what is large."""
    from corpus import FAMILIES

    yield from (fault.data for family in FAMILIES.values() for fault in family if len(fault.data) <= LARGEST)


def archives() -> Iterator[bytes]:
    """Damaged archives, and a log of a few rows in each form that a packer writes."""
    yield from (data for data in faults() if data.startswith(MAGIC))
    rows = [encode_row(row) for row in sample_rows(4, 3)]
    log, other = H8 + b"".join(rows), H6 + rows[0]
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        for zip64 in (False, True):
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w", method) as archive:
                for name, content in {"readme.txt": b"nothing", "a.csv": log, "b/": b"", "b/b.csv": other}.items():
                    with archive.open(name, "w", force_zip64=zip64) as member:
                        member.write(content)
            yield out.getvalue()
    yield gzip.compress(log, mtime=0)
    yield gzip.compress(log, mtime=0) + gzip.compress(other, mtime=0)


def payloads(seed: int) -> list[bytes]:
    """Payloads at random, some of them broken."""
    from support.payloads import random_payload

    dice = random.Random(seed)
    return [random_payload(dice) for _ in range(dice.randrange(1, 4))]


def seeds(target: str) -> Iterator[bytes]:
    """Inputs of a target, knobs and all."""
    for number, log in enumerate(logs()):
        varied = hashlib.sha256(number.to_bytes(2, "big")).digest()
        match target:
            case "kernel_index":
                body = log.partition(b"\n")[2]
                widths = 3 if log.startswith(H6) else number % 3
                # Width, timestamp first, payload last, how it is read, limit, cut, memory.
                knobs = bytes((widths, 1, 1, number % 16, 0)) + varied[:3]
                yield knobs.ljust(INDEX_KNOBS, b"\0") + body
            case "kernel_values":
                yield varied[:VALUES_KNOBS] + log
                yield from (varied[:VALUES_KNOBS] + field for field in log.splitlines()[-1:])
            case "kernels":
                yield varied[:PYTHON_KNOBS] + log.partition(b"\n")[2]
            case "payload":
                yield varied[:PYTHON_KNOBS] + b"\x1e".join(payloads(number))
            case _:
                yield varied[:PYTHON_KNOBS] + log
    if target == "archive":
        yield from (bytes(PYTHON_KNOBS) + archive for archive in archives())


def write(target: str, folder: Path, most: int) -> None:
    """The target's seeds as files; ``most`` of them, spread evenly."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [seed for seed in seeds(target) if len(seed) <= LARGEST]
    for seed in found[:: -(-len(found) // most)]:
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


if __name__ == "__main__":
    sys.path.append(str(TESTS))
    for name in sys.argv[3:]:
        write(name, Path(sys.argv[1], name), int(sys.argv[2]))
