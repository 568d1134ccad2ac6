"""Logs made to cost memory, as a few numbers each, and what reading one costs in a fresh process.

Run as a program it reads one log in one way and prints the outcome, the records and MiB above the start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

MIB = 1 << 20
NAMES = ("timestamp", "tracking_code", "target_id", "hwid", "status", "description", "appCode", "payload")
NARROW_HEADER = b"//timestamp;tracking_code\n"
TIME = b"2021-04-20 13:01:01"
# What a value is filled up with.
FILLS = {"x": b"x", "quote": b'""', "escaped": b'\\"', "emoji": "\N{GRINNING FACE}".encode(), "control": b"\1"}
# Bad records, by what is wrong with them.
BAD = {
    "slashes": b"//\n",
    "time": b"x;;\n",
    "count": b"2011-01-01T15:03:01\n",
    "utf8": b"2011-01-01T15:03:01;\xff\n",
    "quote": b'2011-01-01T15:03:01;"x\n',
    "quotes": b'"\n',
    "long": b"x" * 60_000 + b"\n",
}
# Ways to read a log.
CONVERT = ("convert", "convert parquet", "convert jsonl")
PARTITIONS = "partitions"  # by status
WAYS = (*CONVERT, PARTITIONS, "batches", "quarantine", "dictionary", "events", "stats", "check", "cat", "csv")
_OF_CHUNKS = ("events", "batches", "quarantine", "dictionary")  # others take a file


@dataclass(frozen=True)
class Shape:
    """A log. ``every`` so many records there is something else: 0 is never."""

    mib: float = 64  # inflated
    columns: int = 8
    name_bytes: int = 0  # each name of a column that is not known is that long, at least
    # What the columns behind the timestamp hold, by turns: "" nothing, "text:T" T, "same:L" L bytes, "each:L" another
    # value in each record, "turn:M:L" M values by turns, "some:K:L" L bytes that are the same in one record of K and a
    # short value of its own in the others, "json:L:unit" an object of L bytes made of units.
    values: tuple[str, ...] = ("turn:50:8",)
    fill: str = "x"
    quoted: bool = False
    bad: str = ""
    bad_every: int = 0
    bad_run: int = 1  # so many in a row
    headers_every: int = 0  # the two generations, or the columns in another order
    narrow: int = 0  # so many records of two columns, under a header of their own, behind each other one
    blanks_every: int = 0
    marks_every: int = 0  # byte order marks
    members: int = 1
    packing: str = "gzip"  # gzip, zip, chunks (of a bare log), drops (chunks of 100 bytes)


def header(shape: Shape, *, turned: bool = False) -> bytes:
    """The header line of a shape; ``turned`` has the same columns in another order."""
    names = [name.encode() for name in NAMES[: shape.columns]]
    fill = FILLS[shape.fill] if shape.fill == "control" else b"n"
    names += [(b"%x" % number).rjust(shape.name_bytes, fill) for number in range(shape.columns - len(names))]
    if turned:
        names = names[:2] + names[:1:-1]
    return b"//" + b";".join(names) + b"\n"


def value_of(kind: str, number: int, fill: bytes, fills: dict[int, bytes]) -> bytes:
    """A value for the record of that number."""
    name, *rest = kind.split(":")
    if not name:
        return b""
    if name == "text":
        return rest[0].encode()
    size = int(rest[0 if name in ("same", "each", "json") else 1])
    if name == "json":
        return b'{""a"":[' + rest[1].encode() * (size // len(rest[1])) + b"1]}"
    if size not in fills:
        fills[size] = fill * (size // len(fill))
    if name == "same":
        return fills[size]
    if name == "some" and number % int(rest[0]):
        return b"%d" % number
    if name == "some":
        return fills[size]
    own = b"%d" % (number % int(rest[0]) if name == "turn" else number)
    # What fills it up is not cut in two.
    own = own.ljust(-(-len(own) // len(fill)) * len(fill), b"-")
    return own + fills[size][len(own) :]


def records(shape: Shape) -> Iterator[bytes]:
    """Records without end, and what stands between them."""
    fills: dict[int, bytes] = {}
    kinds = [shape.values[number % len(shape.values)] for number in range(shape.columns - 1)]
    fill = FILLS[shape.fill]
    quoted = shape.quoted or shape.fill in ("quote", "escaped")
    empty = {index for index, kind in enumerate(kinds) if not kind}
    turned = False
    for number in count():
        cells = [
            b"" if index in empty else value_of(kind, number * len(kinds) + index, fill, fills)
            for index, kind in enumerate(kinds)
        ]
        if quoted:
            cells = [b'"' + cell + b'"' for cell in cells]
        elif any(kind.startswith("json") for kind in kinds):
            cells = [b'"' + cell + b'"' if cell[:1] == b"{" else cell for cell in cells]
        yield b";".join((TIME, *(reversed(cells) if turned else cells))) + b"\n"
        if shape.bad_every and number % shape.bad_every == 0:
            for _ in range(shape.bad_run):
                yield BAD[shape.bad]
        if shape.headers_every and number % shape.headers_every == 0:
            turned = not turned
            yield header(shape, turned=turned)
        if shape.narrow:
            yield NARROW_HEADER
            yield (TIME + b";T\n") * shape.narrow
            yield header(shape, turned=turned)
        if shape.blanks_every and number % shape.blanks_every == 0:
            yield b"\n" * 20
        if shape.marks_every and number % shape.marks_every == 0:
            yield b"\xef\xbb\xbf" * 5


def parts(shape: Shape, size: float | None = None) -> Iterator[bytes]:
    """The bytes of one member, about a MiB at a time."""
    left = (shape.mib * MIB if size is None else size) - len(header(shape))
    yield header(shape)
    # Where records repeat, or nearly, a MiB of them does as well.
    repeats = not any(kind.startswith(("each", "some")) for kind in shape.values)
    held: list[bytes] = []
    total = 0
    for record in records(shape):
        held.append(record)
        total += len(record)
        if total < min(MIB, left):
            continue
        tile = b"".join(held)
        held, total = [], 0
        yield tile
        left -= len(tile)
        while repeats and left > 0 and not shape.headers_every:
            yield tile
            left -= len(tile)
        if left <= 0:
            return


def write(shape: Shape, path: Path) -> None:
    """Pack a log; nothing is written where it is read as chunks."""
    if shape.packing == "gzip":
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        with path.open("wb") as file:
            file.writelines(map(packer.compress, parts(shape)))
            file.write(packer.flush())
    elif shape.packing == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for number in range(shape.members):
                with archive.open(f"{number}.csv", "w", force_zip64=True) as member:
                    for part in parts(shape, shape.mib * MIB / shape.members):
                        member.write(part)


def pieces(shape: Shape) -> Iterator[bytes]:
    """A bare log in chunks."""
    size = 100 if shape.packing == "drops" else 64 << 10
    for part in parts(shape):
        for at in range(0, len(part), size):
            yield part[at : at + size]


def peak() -> int:
    """KiB that this process has had at most; what getrusage says includes the parent's."""
    with open("/proc/self/status") as status:  # noqa: PTH123
        return int(next(line.split()[1] for line in status if line.startswith("VmHWM")))


def read(shape: Shape, way: str, path: str) -> int:
    """Read a log in one of the ``WAYS``; how many records came."""
    import trackparse

    bare = shape.packing in ("chunks", "drops")
    source = pieces(shape) if bare else path
    how, _, rejects = way.partition(" ")
    if how == "convert":
        file = f"{path}.rejects.{rejects}" if rejects else None
        on_error: Any = "quarantine" if rejects else "skip"
        return trackparse.convert_log(source, path + ".parquet", on_error=on_error, rejects=file).records
    if bare and how not in _OF_CHUNKS:
        with open(path, "wb") as output:  # noqa: PTH123
            output.writelines(parts(shape))
    rows = 0
    if how == "events":
        for rows, _event in enumerate(trackparse.iter_events(source, on_error="skip"), 1):  # noqa: B007
            pass
    elif how == PARTITIONS:
        with tempfile.TemporaryDirectory(dir=Path(path).parent) as lake:
            # A file of very many columns takes long, so not as many of them as there may be.
            few = trackparse.Limits(max_partitions=4000)
            (report,) = trackparse.convert_logs([path], lake, partition_by=["status"], on_error="skip", limits=few)
        if report.error is not None:
            raise report.error
        rows = report.records
    elif how in ("batches", "quarantine", "dictionary"):
        names = NAMES[1:] if how == "dictionary" else ()
        on_error = "quarantine" if how == "quarantine" else "skip"
        with trackparse.open_log(source, on_error=on_error, dictionary=names) as log:
            for batch in log:
                rows += batch.num_rows
            rows += 0 * log.rejects.num_rows  # looked at, as a caller would
    else:
        from trackparse.cli import main

        sys.argv = ["trackparse", *({"csv": ["cat", "--format", "csv"]}.get(how, [how])), path]
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 1)
        try:
            main()
        except SystemExit as end:
            rows = -int(end.code or 0)
    return rows


def measure(shape: Shape, way: str, folder: Path, timeout: float = 300) -> tuple[str, int]:
    """The outcome in a word, and MiB above the start of a fresh process."""
    path = folder / f"log-{abs(hash(shape)):x}.{'zip' if shape.packing == 'zip' else 'csv.gz'}"
    if not path.exists():
        write(shape, path)
    run = subprocess.run(
        [sys.executable, __file__, json.dumps(asdict(shape)), way, path],
        # As users have it: the allocators of development mode take more, of memory and of time.
        env={**os.environ, "PYTHONDEVMODE": ""},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if run.returncode:
        return f"died {run.returncode}: {run.stderr[-500:]}", 1 << 20
    outcome, _, mib = run.stderr.strip().splitlines()[-1].rpartition(" ")
    return outcome, int(mib)


def main() -> None:
    import resource

    import pyarrow  # noqa: F401

    import trackparse

    start = peak()
    # Not the machine's memory: other work goes on beside this.
    resource.setrlimit(resource.RLIMIT_DATA, (6 << 30, 6 << 30))
    text, way, path = sys.argv[1:]
    found = json.loads(text)
    shape = Shape(**(found | {"values": tuple(found["values"])}))
    outcome = "read"
    rows = 0
    try:
        rows = read(shape, way, path)
    except (trackparse.TrackparseError, MemoryError) as error:
        outcome = type(error).__name__
    print(outcome, rows, (peak() - start) // 1024, file=sys.stderr)


if __name__ == "__main__":
    main()
