"""The writers: each takes rows and gives its header and the bytes of each record. Real ones, but for two of our own.

``php …`` are PHP's ``fputcsv``; ``own …`` write PHP's escaping and differ in which fields they enclose; the rest write
RFC 4180. Each encloses what it will, and nobody tells the reader which it was.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv

from .readings import PHP, RFC4180
from .soup import NAMES, Row

HAS_PHP: Final = shutil.which("php") is not None
_FPUTCSV: Final = Path(__file__).with_name("fputcsv.php")


@dataclass(frozen=True)
class Writer:
    """``write`` gives one piece of bytes for each row; the header is a row like any other."""

    name: str
    dialect: str
    write: Callable[[Sequence[Row]], list[bytes]]
    encloses_returns: bool = True  # False: a last field that ends in a CR cannot be told from its line end

    def can_write(self, row: Row) -> bool:
        """Whether the row can be told from the bytes at all."""
        return self.encloses_returns or not row[-1].endswith("\r")

    @property
    def real_php(self) -> bool:
        return self.name.startswith("php")


def _php(escape: str, end: str) -> Callable[[Sequence[Row]], list[bytes]]:
    def write(rows: Sequence[Row]) -> list[bytes]:
        with tempfile.TemporaryDirectory(prefix="trackparse-php-") as folder:
            source, log = Path(folder, "rows.jsonl"), Path(folder, "log.csv")
            source.write_text("".join(json.dumps([escape, end, row]) + "\n" for row in rows), encoding="ascii")
            done = subprocess.run(["php", str(_FPUTCSV), str(source), str(log)], check=True, capture_output=True)
            data, records, at = log.read_bytes(), [], 0
            for size in map(int, done.stdout.split()):
                records.append(data[at : at + size])
                at += size
            assert at == len(data), "fputcsv told other sizes than it wrote"
            return records

    return write


def _own(enclosed: Callable[[str], bool], end: str) -> Callable[[Sequence[Row]], list[bytes]]:
    """PHP's escaping: a quote is doubled, but for one directly behind a backslash."""

    def field(value: str) -> str:
        if not enclosed(value):
            return value
        text, before = "", ""
        for character in value:
            text += '""' if character == '"' and before != "\\" else character
            before = character
        return f'"{text}"'

    def write(rows: Sequence[Row]) -> list[bytes]:
        return [(";".join(map(field, row)) + end).encode() for row in rows]

    return write


def _needs_enclosing(value: str) -> bool:
    return any(mark in value for mark in ';"\n')


def _csv(**options: Any) -> Callable[[Sequence[Row]], list[bytes]]:
    def write(rows: Sequence[Row]) -> list[bytes]:
        records = []
        for row in rows:
            out = io.StringIO(newline="")
            csv.writer(out, delimiter=";", **options).writerow(row)
            records.append(out.getvalue().encode())
        return records

    return write


def _strings_only(rows: Sequence[Row]) -> list[bytes]:
    """As ``csv.QUOTE_STRINGS``, which Python 3.11 has not, of a row whose timestamp is no string."""
    rest = _csv(quoting=csv.QUOTE_ALL, lineterminator="\n")([row[1:] for row in rows])
    return [row[0].encode() + b";" + record for row, record in zip(rows, rest, strict=True)]


def _frame(write: Callable[[Sequence[Row], Path], None]) -> Callable[[Sequence[Row]], list[bytes]]:
    """A writer of whole files. Its RFC 4180 can be cut into records: a record's quotes are even in number."""

    def records(rows: Sequence[Row]) -> list[bytes]:
        with tempfile.TemporaryDirectory(prefix="trackparse-frame-") as folder:
            path = Path(folder, "log.csv")
            write(rows, path)
            found, record = [], b""
            for line in path.read_bytes().split(b"\n"):
                record += line + b"\n"
                if record.count(b'"') % 2 == 0:
                    found.append(record)
                    record = b""
        assert found.pop() == b"\n", "the last record has no end"
        assert len(found) == len(rows)
        return found

    return records


def _columns(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The first row as names: these writers know the header from data."""
    names, *rest = rows
    return {name: [row[i] for row in rest] for i, name in enumerate(names)}


def _pandas(rows: Sequence[Row], path: Path) -> None:
    pd.DataFrame(_columns(rows)).to_csv(path, sep=";", index=False, lineterminator="\n", encoding="utf-8")


def _polars(rows: Sequence[Row], path: Path) -> None:
    pl.DataFrame(_columns(rows)).write_csv(path, separator=";")


def _duckdb(rows: Sequence[Row], path: Path) -> None:
    table = pa.table(_columns(rows))
    with duckdb.connect() as connection:
        connection.register("log", table)
        connection.execute(f"COPY log TO '{path}' (FORMAT csv, DELIMITER ';', HEADER true)")


def _pyarrow(rows: Sequence[Row], path: Path) -> None:
    """It encloses all text, and no timestamps where they have their type."""
    name, *others = columns = _columns(rows)
    times = pa.array(map(datetime.fromisoformat, columns[name]), pa.timestamp("us"))
    table = pa.table({name: times, **{other: columns[other] for other in others}})
    pacsv.write_csv(table, path, pacsv.WriteOptions(delimiter=";"))


WRITERS: Final = (
    Writer("php escape LF", PHP, _php("\\", "\n")),
    Writer("php escape CRLF", PHP, _php("\\", "\r\n")),
    Writer("php none LF", RFC4180, _php("", "\n")),
    Writer("php none CRLF", RFC4180, _php("", "\r\n")),
    Writer("own, all fields", PHP, _own(lambda _: True, "\n")),
    Writer("own, few fields", PHP, _own(_needs_enclosing, "\n"), encloses_returns=False),
    Writer("csv minimal CRLF", RFC4180, _csv(lineterminator="\r\n")),
    Writer("csv all", RFC4180, _csv(quoting=csv.QUOTE_ALL, lineterminator="\n")),
    Writer("csv strings", RFC4180, _strings_only),
    Writer("pandas", RFC4180, _frame(_pandas), encloses_returns=False),
    Writer("polars", RFC4180, _frame(_polars), encloses_returns=False),
    Writer("duckdb", RFC4180, _frame(_duckdb), encloses_returns=False),
    Writer("pyarrow", RFC4180, _frame(_pyarrow)),
)


def header(width: int) -> Row:
    """The header as a row."""
    return ("//" + NAMES[0], *NAMES[1:width])
