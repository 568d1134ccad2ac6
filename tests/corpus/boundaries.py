"""Each byte of what may not be torn apart falls on every boundary: of blocks, seams, and the steps of a scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from support.logs import BOM, NAMES, Row

from .model import Fault, Log, record, rfc4180, row


@dataclass(frozen=True)
class Token:
    """Bytes to be torn apart: ``put`` adds them to a log, so many bytes of padding before them."""

    name: str
    data: bytes
    put: Callable[[Log, int, int], None]
    writer: Callable[..., bytes] = Log().writer
    end: bytes = b"\n"


def _payload(text: str) -> Callable[[Log, int, int], None]:
    return lambda log, i, pad: void(log.good(row(i, payload=f'{{"a":"{"x" * pad}{text}"}}')))


def _description(text: str) -> Callable[[Log, int, int], None]:
    return lambda log, i, pad: void(log.good(row(i, description="x" * pad + text)))


def _before(data: bytes) -> Callable[[Log, int, int], None]:
    """Bytes between two records."""

    def put(log: Log, i: int, pad: int) -> None:
        log.good(row(i, payload="x x" + "x" * pad)).raw(data)

    return put


def _header(log: Log, i: int, pad: int) -> None:
    log.good(row(i, payload="x x" + "x" * pad)).header(NAMES)


def _joined(log: Log, i: int, pad: int) -> None:
    log.good(row(i, payload="x x" + "x" * pad), end=b"").header(NAMES)


def _bad(log: Log, i: int, pad: int) -> None:
    log.bad(record(row(i, payload="x x" + "x" * pad), end=b";\n"), "field_count")


def void(_: object) -> None:
    """It is there for what it does."""


TOKENS = (
    Token("CRLF", b'"\r\n', _payload(""), end=b"\r\n"),
    Token("a doubled quote", b'""}', _payload("")),
    Token("an escaped quote, PHP", b'\\"-', _payload('\\"-')),
    Token("an escaped quote, RFC 4180", b'\\""-', _payload('\\"-'), rfc4180),
    Token("an emoji", "🎁".encode(), _payload("🎁")),
    Token("a closing quote before a line end", b'}"\n', _payload("")),
    Token("a closing quote before a delimiter", b' y";C', _description(" y")),
    Token("a backslash that ends a field", b'\\";C', _description(" \\")),
    Token("a line end inside quotes", b'-\n"";"', _payload('-\n";"')),
    Token("a record behind a bad one", b';\n"2021-04-20 13:', _bad),
    Token("a header in the middle", b'"\n//timestamp;tracking_code;', _header),
    Token("a header without a line end before it", b'x"//timestamp;tracking_code;', _joined),
    Token("a byte order mark", b'"\n' + BOM + b'"2021', _before(BOM)),
    Token("a blank line", b'"\n\r\n"2021', _before(b"\r\n")),
)
# Name, distance of the boundaries, where they are in it, and the size of the blocks.
PLACES = (
    ("steps of 64 bytes", 256, 64, None),
    ("blocks of 400 bytes", 400, 0, 400),
    ("blocks of 4 KiB", 4096, 0, 4096),
    ("the ends of seams", 16 << 10, 4096, 16 << 10),
)


def _torn(token: Token, distance: int, at: int) -> Log:
    """Each byte of the token at a boundary of its own; the record may begin anywhere."""
    log = Log(writer=token.writer, end=token.end)
    for i in range(len(token.data) + 1):
        trial = Log(writer=token.writer, end=token.end)
        put_at = len(log.data)
        token.put(trial, i, 0)
        # What follows the last one is there as well when the next record is.
        trial.good(row(i + 1))
        inside = trial.data.index(token.data, trial.start) - trial.start
        wanted = put_at + inside + i
        boundary = (wanted - at + distance - 1) // distance * distance + at
        token.put(log, i, boundary - wanted)
    log.good(row(99, payload=None))
    return log


def faults() -> list[Fault]:
    found = []
    for token in TOKENS:
        for name, distance, at, block_size in PLACES:
            log = _torn(token, distance, at)
            blank = log.data.count(b"\n\r\n") if token.name == "a blank line" else 0
            found.append(log.fault(f"{token.name} at {name}", block_size=block_size, blank_lines=blank))
    # Blocks of a megabyte, as they come by default, and the record across two of them.
    for token in TOKENS[:6]:
        log = Log(writer=token.writer, end=token.end)
        trial: Row = row(0)
        token.put(log, 0, (1 << 20) - len(log.data) - len(record(trial)) + 20)
        token.put(log, 1, 30)
        found.append(log.good(row(2)).fault(f"{token.name} near a megabyte", heavy=True))
    return found
