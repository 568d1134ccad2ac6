"""A hundred thousand good rows, and one that is not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from support.logs import NAMES, NAMES6, Row

from .model import Bad, Writer, fputcsv, record, rfc4180, row, row6


class Run(NamedTuple):
    """A log of many rows."""

    data: bytes
    rows: list[Row]  # the good ones
    bad: Bad


class Kind(NamedTuple):
    """What the bad row is: ``harm`` makes it of a good one."""

    names: tuple[str, ...]
    writer: Writer
    harm: Callable[[bytes], bytes]
    reason: str


def _closing_lost(data: bytes) -> bytes:
    return data[:-2] + data[-1:]


KINDS = {
    "the payload loses its closing quote, timestamps quoted": Kind(NAMES, fputcsv, _closing_lost, "text_after_quote"),
    "the payload loses its closing quote, timestamps bare": Kind(NAMES, rfc4180, _closing_lost, "text_after_quote"),
    "an opening quote in the description": Kind(
        NAMES, rfc4180, lambda data: data.replace(b"Success", b'"Success'), "text_after_quote"
    ),
    "an inner quote is not doubled": Kind(
        NAMES, fputcsv, lambda data: data.replace(b'""alert', b'"alert'), "text_after_quote"
    ),
    "a short row": Kind(NAMES, fputcsv, lambda data: data[:40] + b"\n", "field_count"),
    "a byte that is not UTF-8": Kind(NAMES, fputcsv, lambda data: data.replace(b"Success", b"Succ\xe9s"), "bad_utf8"),
    "six columns, a stray opening quote": Kind(NAMES6, rfc4180, lambda data: data[:-1] + b'"oops\n', "unclosed_quote"),
}


@cache
def _good(names: tuple[str, ...], writer: Writer, count: int) -> tuple[list[Row], list[bytes]]:
    make = row if names == NAMES else row6
    rows = [make(i) for i in range(count)]
    return rows, [record(one, writer, names) for one in rows]


def run(kind: str, count: int) -> Run:
    """``count`` good rows, and the bad one in the middle of them."""
    names, writer, harm, reason = KINDS[kind]
    rows, records = _good(names, writer, count)
    header = b"//" + ";".join(names).encode() + b"\n"
    first = header + b"".join(records[: count // 2])
    raw = harm(records[7])
    data = b"".join((first, raw, *records[count // 2 :]))
    return Run(data, rows, Bad(reason, count // 2 + 2, len(first), raw, count // 2))
