"""Writes the logs that are read, once, and what is in them. The same bytes for the same arguments.

A log has a kind (``generator.KINDS``) and a form: the same rows as one or the other writer writes them, some broken,
several times over, in many members.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

from benchmarks import generator
from benchmarks.generator import KINDS, Row

Form = Literal["php", "rfc4180", "bad", "times8", "members"]

FOLDER = Path(__file__).parent / "corpus"
SMALL = 1_000  # rows of the log that modules are warmed up with, and of the small conversion
COMPARED = 20_000  # rows of the logs that are compared field by field
MEMBERS = 16
BAD_EVERY = 100  # one of so many records is bad
TIMES = 8
_READ = 1 << 20  # bytes
_PIECE = 1 << 13  # rows in memory
_NEEDS_QUOTES = re.compile(r'[;"\\\n\r\t ]')  # fputcsv encloses a field that holds one of these
_DOUBLED_BY_PHP = re.compile(r'(?<!\\)"')  # and leaves a quote after a backslash alone


@dataclass(frozen=True, slots=True)
class Log:
    """A log on disk."""

    path: Path
    kind: str
    form: Form
    rows: int  # good ones
    inflated: int  # bytes of all members
    truth: Path  # Arrow file of the rows of the whole log, once

    def tables(self) -> Iterator[Any]:
        """The good records as Arrow tables of text, the timestamp as ``timestamp[us]``. Nothing is null."""
        import numpy as np
        import pyarrow as pa

        for _ in range(TIMES if self.form == "times8" else 1):
            first = 0
            with pa.OSFile(str(self.truth)) as file, pa.ipc.open_file(file) as reader:
                for number in range(reader.num_record_batches):
                    table = pa.Table.from_batches([reader.get_batch(number)])
                    if self.form == "bad":
                        places = np.arange(first, first + len(table))
                        first += len(table)
                        table = table.filter(pa.array(places % BAD_EVERY != BAD_EVERY // 2))
                    yield table


def log(kind: str, form: Form, rows: int) -> Log:
    """The log of that kind and form; written if it is not there."""
    truth = _made(f"{kind}-{rows}.arrow", lambda path: _write_truth(path, KINDS[kind], rows))[0]
    path, facts = _made(f"{kind}-{form}-{rows}.zip", lambda path: _WRITERS[form](path, kind, rows))
    return Log(path, kind, form, facts["rows"], facts["inflated"], truth)


def warm(path: Path) -> None:
    """Read a file once, so that every contender finds it in the page cache."""
    with path.open("rb") as file:
        while file.read(_READ):
            pass


def header(kind: str) -> bytes:
    """The first line."""
    return f"//{';'.join(KINDS[kind].columns)}\n".encode()


def encoded(row: Row, form: str) -> bytes:
    """One record as its writer writes it: ``fputcsv``, or RFC 4180 with the same fields in quotes."""
    return (";".join([_quoted(field, form) for field in row]) + "\n").encode()


def _quoted(field: str, form: str) -> str:
    if not _NEEDS_QUOTES.search(field):
        return field
    return f'"{field.replace(_Q, _QQ) if form == "rfc4180" else _DOUBLED_BY_PHP.sub(_QQ, field)}"'


_Q, _QQ = '"', '""'


# ---- what is kept on disk ---------------------------------------------------------------------------------


def _made(name: str, write: Callable[[Path], dict[str, int]]) -> tuple[Path, dict[str, int]]:
    """The file of that name and what ``write`` said of it when it wrote it."""
    folder = FOLDER / _edition()
    path = folder / name
    facts = folder / f"{name}.json"
    if not (facts.exists() and path.exists()):
        if not folder.exists():
            shutil.rmtree(FOLDER, ignore_errors=True)  # logs of other code, gigabytes of them
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{name}.{os.getpid()}.tmp"
        try:
            found = write(unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        facts.write_text(json.dumps(found))
    return path, json.loads(facts.read_text())


def _edition() -> str:
    """Another one, and so new logs, whenever the code that makes them is another."""
    sources = (Path(__file__), Path(generator.__file__))
    return sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]


def _write_truth(path: Path, kind: generator.Kind, number: int) -> dict[str, int]:
    import pyarrow as pa

    names = kind.columns
    schema = pa.schema([(name, pa.timestamp("us") if name == "timestamp" else pa.string()) for name in names])
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema, options=options) as writer:
        for piece in _pieces(generator.rows(kind, number), _PIECE):
            times, *texts = zip(*piece, strict=True)
            # pyarrow's cast knows both forms of the timestamp.
            columns = [pa.array(times).cast(pa.timestamp("us")), *map(pa.array, texts)]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    return {"rows": number}


# ---- forms ------------------------------------------------------------------------------------------------


def _write_whole(form: str) -> Callable[[Path, str, int], dict[str, int]]:
    def write(path: Path, kind: str, number: int) -> dict[str, int]:
        with _new_archive(path) as archive, _new_member(archive) as member:
            member.write(header(kind))
            for piece in _pieces(generator.rows(KINDS[kind], number), _PIECE):
                member.write(b"".join([encoded(row, form) for row in piece]))
        return {"rows": number, "inflated": _inflated(path)}

    return write


def _write_bad(path: Path, kind: str, number: int) -> dict[str, int]:
    """One record in a hundred broken, in six ways by turns."""
    bad = 0
    with _new_archive(path) as archive, _new_member(archive) as member:
        member.write(header(kind))
        for piece in _pieces(enumerate(generator.rows(KINDS[kind], number)), _PIECE):
            lines = []
            for place, row in piece:
                line = encoded(row, "php")
                if place % BAD_EVERY == BAD_EVERY // 2:
                    line = _broken(line, bad)
                    bad += 1
                lines.append(line)
            member.write(b"".join(lines))
    return {"rows": number - bad, "inflated": _inflated(path)}


def _broken(line: bytes, turn: int) -> bytes:
    """The record with one fault that makes it, and it alone, unreadable."""
    stamp, code, rest = line.split(b";", 2)
    return (
        b";".join((stamp, rest)),  # a field is missing
        b";".join((stamp, code, b"surplus", rest)),
        b";".join((b'"2021-04-31 12:00:00"', code, rest)),  # April has 30 days
        b";".join((stamp, code + b"\xff", rest)),  # not UTF-8
        b";".join((b'"' + stamp.strip(b'"') + b'"x', code, rest)),  # text after a closing quote
        b";".join((stamp, b'"' + code, rest)),  # a quote that nothing closes
    )[turn % 6]


def _write_times8(path: Path, kind: str, number: int) -> dict[str, int]:
    """The records several times over, in one member. Packed at the fastest level: it is read for memory only."""
    once = log(kind, "php", number)
    with _new_archive(path, level=1) as archive, _new_member(archive) as target:
        target.write(header(kind))
        for _ in range(TIMES):
            with zipfile.ZipFile(once.path) as whole, whole.open(whole.infolist()[0]) as source:
                source.readline()
                while chunk := source.read(_READ):
                    target.write(chunk)
    return {"rows": number * TIMES, "inflated": _inflated(path)}


def _write_members(path: Path, kind: str, number: int) -> dict[str, int]:
    """The records in members of the same number of rows, each with its header."""
    made = generator.rows(KINDS[kind], number)
    with _new_archive(path) as archive:
        for place in range(MEMBERS):
            share = number * (place + 1) // MEMBERS - number * place // MEMBERS
            with _new_member(archive, f"tracking_log_{place:02}.csv") as member:
                member.write(header(kind))
                for piece in _pieces(islice(made, share), _PIECE):
                    member.write(b"".join([encoded(row, "php") for row in piece]))
    return {"rows": number, "inflated": _inflated(path)}


_WRITERS: dict[str, Callable[[Path, str, int], dict[str, int]]] = {
    "php": _write_whole("php"),
    "rfc4180": _write_whole("rfc4180"),
    "bad": _write_bad,
    "times8": _write_times8,
    "members": _write_members,
}


def _pieces(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while piece := list(islice(iterator, size)):
        yield piece


def _new_archive(path: Path, level: int = 6) -> zipfile.ZipFile:
    return zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=level)


@contextmanager
def _new_member(archive: zipfile.ZipFile, name: str = "tracking_log.csv") -> Iterator[IO[bytes]]:
    """A new member, to write to."""
    # The clock must not get into the bytes.
    info = zipfile.ZipInfo(name, (2021, 4, 21, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(info, "w", force_zip64=True) as member:
        yield member


def _inflated(path: Path) -> int:
    with zipfile.ZipFile(path) as archive:
        return sum(info.file_size for info in archive.infolist())
