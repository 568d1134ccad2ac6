"""Writes the logs that are read, once, and what a right answer is. The same bytes for the same arguments."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from trackparse.testing.sample import COLUMNS, Dialect, encode_row, sample_rows, write_sample

FOLDER = Path(__file__).parent / "corpus"
SEED = 1
COMPARED = 20_000  # rows of the logs that are compared field by field
_READ = 1 << 20  # bytes
_HELD = 1 << 12  # records of one write
_BAD_EVERY = 100  # one of so many records is bad
_MEMBER = "tracking_log.csv"


@dataclass(frozen=True, slots=True)
class Truth:
    """What a log holds."""

    rows: int
    opened: int  # rows whose status is "opened"
    payload_bytes: int  # of all payloads, unquoted, as UTF-8
    inflated: int  # bytes of the member


@dataclass(frozen=True, slots=True)
class Log:
    """A log on disk and what is in it."""

    path: Path
    truth: Truth


def php(rows: int) -> Log:
    """The log as ``fputcsv`` writes it."""
    return _log(f"php-{rows}.zip", lambda path: _sample(path, rows, "php"))


def rfc4180(rows: int) -> Log:
    """The same rows with every quote doubled."""
    return _log(f"rfc4180-{rows}.zip", lambda path: _sample(path, rows, "rfc4180"))


def repeated(rows: int, times: int) -> Log:
    """The records of ``php(rows)`` several times over, in one member."""
    return _log(f"php-{rows}x{times}.zip", lambda path: _repeat(path, php(rows), times))


def with_bad_records(rows: int) -> Log:
    """``php(rows)`` with one record in a hundred broken, in six ways by turns."""
    return _log(f"bad-{rows}.zip", lambda path: _break(path, rows))


def compared(dialect: str) -> Log:
    """The log of ``dialect`` that is compared field by field with ``compared_rows``."""
    return php(COMPARED) if dialect == "php" else rfc4180(COMPARED)


def compared_rows() -> Iterator[tuple[str, ...]]:
    """The rows of the compared logs."""
    return sample_rows(COMPARED, SEED)


def warm(path: Path) -> None:
    """Read a file once, so that every contender finds it in the page cache."""
    with path.open("rb") as file:
        while file.read(_READ):
            pass


def _log(name: str, write: Callable[[Path], Truth]) -> Log:
    """The log of that name; written if it is not there. What it holds stands beside it."""
    path = FOLDER / name
    facts = path.with_suffix(".json")
    if facts.exists() and path.exists():
        return Log(path, Truth(**json.loads(facts.read_text())))
    FOLDER.mkdir(exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        truth = write(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    facts.write_text(json.dumps(asdict(truth)))
    return Log(path, truth)


def _sample(path: Path, rows: int, dialect: Dialect) -> Truth:
    write_sample(path, rows=rows, dialect=dialect, seed=SEED)
    opened = payload_bytes = 0
    for row in sample_rows(rows, SEED):
        opened += row[4] == "opened"
        payload_bytes += len(row[7].encode())
    return Truth(rows, opened, payload_bytes, _inflated(path))


def _repeat(path: Path, log: Log, times: int) -> Truth:
    with _new_member(path) as target:
        for turn in range(times):
            with zipfile.ZipFile(log.path) as archive, archive.open(_MEMBER) as source:
                header = source.readline()
                if not turn:
                    target.write(header)
                while chunk := source.read(_READ):
                    target.write(chunk)
    once = log.truth
    return Truth(once.rows * times, once.opened * times, once.payload_bytes * times, _inflated(path))


def _break(path: Path, rows: int) -> Truth:
    good = opened = payload_bytes = 0
    held = [f"//{';'.join(COLUMNS)}\n".encode()]
    with _new_member(path) as target:
        for number, row in enumerate(sample_rows(rows, SEED)):
            if len(held) == _HELD:
                target.write(b"".join(held))
                held.clear()
            if number % _BAD_EVERY == _BAD_EVERY // 2:
                held.append(_broken(row, number // _BAD_EVERY))
                continue
            held.append(encode_row(row))
            good += 1
            opened += row[4] == "opened"
            payload_bytes += len(row[7].encode())
        target.write(b"".join(held))
    return Truth(good, opened, payload_bytes, _inflated(path))


def _broken(row: tuple[str, ...], turn: int) -> bytes:
    """The record with one fault that makes it, and it alone, unreadable."""
    whole = encode_row(row)
    stamp, code, rest = whole.split(b";", 2)
    return (
        b";".join((stamp, rest)),  # a field is missing
        b";".join((stamp, code, b"surplus", rest)),
        b";".join((b'"2021-04-31 12:00:00"', code, rest)),  # April has 30 days
        b";".join((stamp, code + b"\xff", rest)),  # not UTF-8
        b";".join((stamp + b"x", code, rest)),  # text after a closing quote
        b";".join((stamp, b'"' + code, rest)),  # a quote that nothing closes
    )[turn % 6]


@contextmanager
def _new_member(path: Path) -> Iterator[IO[bytes]]:
    """The only member of a new archive, to write to."""
    # The clock must not get into the bytes.
    info = zipfile.ZipInfo(_MEMBER, (2021, 4, 21, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", compresslevel=6) as archive, archive.open(info, "w", force_zip64=True) as member:
        yield member


def _inflated(path: Path) -> int:
    with zipfile.ZipFile(path) as archive:
        return archive.infolist()[0].file_size
