"""What is printed: text with which no log can steer a terminal, and bytes for other programs. No log is read here."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import PurePath
from typing import IO, Any

import click

from trackparse.atomic import identity
from trackparse.errors import RecordError, TrackparseError


class Command(click.Command):
    """A command whose help is output as any other."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with writing():
            return super().make_context(*args, **extra)


class OutputError(OSError):
    """Standard output cannot be written: a full disk, say. A reader that has gone away is BrokenPipeError."""


# What a command may end with; anything else is a fault of ours and keeps its traceback.
EXPECTED = (TrackparseError, OSError, ValueError, ImportError, MemoryError)


def is_terminal(stream: IO[Any] | None) -> bool:
    """Whether someone looks at it."""
    return stream is not None and not stream.closed and stream.isatty()


def printable(text: str) -> str:
    """A text in one line that neither breaks it nor steers the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def shortened(text: str, width: int) -> str:
    """Both ends of a token tell it from others; its middle does not."""
    if len(text) <= width:
        return text
    half = (width - 1) // 2
    return f"{text[: width - 1 - half]}…{text[-half:]}"


def put(data: bytes) -> None:
    """Whole lines of UTF-8 to standard output as they are; what a terminal would obey becomes an escape of JSON."""
    with writing():
        if is_terminal(sys.stdout):
            sys.stdout.write("".join(map(_shown, data.decode())))
        else:
            sys.stdout.buffer.write(data)


def flush() -> None:
    """Write what is still held back, or meet the error of that here."""
    with writing():
        sys.stdout.flush()


@contextmanager
def writing() -> Iterator[None]:
    """An OSError in it is an OutputError: it is about standard output, and not about a log."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(error.errno, error.strerror, "<stdout>") from None


def put_json(value: object) -> None:
    """One line of JSON. What is not UTF-8 in a name is an escape of JSON."""
    put(json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")


def say(text: str) -> None:
    """One line to standard output."""
    with writing():
        click.echo(text)


def check_is_no_output(file: Any, name: str) -> None:
    """ValueError if standard output or standard error goes to that file: a log would be written over, or grow."""
    found = identity(file)
    if found and any(found == identity(stream) and _is_file(stream) for stream in (sys.stdout, sys.stderr)):
        raise ValueError(f"{name}: that is where the output goes: send it to another file")


def _is_file(stream: IO[Any]) -> bool:
    return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)


def _shown(char: str) -> str:
    return char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1]


def warn(text: str) -> None:
    """One line to standard error. Where that cannot be written the exit code has to do."""
    with suppress(OSError):
        click.echo(f"trackparse: {printable(text)}", err=True)


def one_line(error: BaseException, name: str = "") -> str:
    """An error as one line that begins with the name of its log, if it has one."""
    if isinstance(error, OSError) and error.filename is not None:
        # The file that it is about, which may be another one than the log.
        return printable(f"{os.fsdecode(error.filename)}: {error.strerror}")
    if isinstance(error, ModuleNotFoundError):
        text = f"this needs {error.name}: pip install 'trackparse[cli]'"
    elif isinstance(error, MemoryError):
        text = "not enough memory: give it more, or convert with fewer --jobs or a smaller --row-group-size"
    else:
        # A bad record's advice names an option of the library; here every command without --strict does that already.
        told = error.message if isinstance(error, RecordError) else str(error)
        text = " ".join(told.split()) or type(error).__name__
    return printable(of_log(name, text) if name else text)


def of_log(name: str, text: str) -> str:
    """A text that begins with the name of its log, once: a member of a bare log has that of its file."""
    if text.startswith(name):
        return text
    member = PurePath(name).name
    # What is not UTF-8 in it stands as an escape in the text.
    for called in (member, member.encode(errors="backslashreplace").decode()):
        text = text.removeprefix(f"{called}: ")
    return f"{name}: {text}"


def counted(count: int, noun: str) -> str:
    """``3 rows``, ``1 row``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def megabytes(size: int) -> str:
    """Of 1,000,000 bytes."""
    return f"{size / 1e6:,.1f} MB"


def aligned(rows: Iterable[Sequence[str]], widths: list[int]) -> Iterable[str]:
    """Rows as lines; a column is as wide as the widest cell it has had, which ``widths`` remembers."""
    rows = list(rows)
    if not widths:
        widths += [0] * max(map(len, rows), default=0)
    for row in rows:
        widths[: len(row)] = map(max, widths, map(len, row))
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
