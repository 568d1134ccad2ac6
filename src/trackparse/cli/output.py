"""Everything that is printed: lines for people, bytes for other programs, errors. Reads no log.

Lines for people hold no control characters, so that no log can send commands to the terminal.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

import click

from trackparse import TrackparseError
from trackparse.atomic import identity
from trackparse.display import counted as counted
from trackparse.display import escaped as escaped
from trackparse.display import shortened as shortened


class Command(click.Command):
    """A command whose help is printed like any other output, with the same errors."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with writing():
            return super().make_context(*args, **extra)


class OutputError(OSError):
    """Standard output cannot be written, because the disk is full, say. A closed pipe is a BrokenPipeError instead."""


# What a command may end with: one line and an exit code. Any other error is a bug and keeps its traceback.
_EXPECTED = (TrackparseError, OSError, MemoryError, click.ClickException)
_EXTRAS = ("click", "rich", "urllib3")  # what the extras of the distribution install
# The advice for the command line, where that of the library is about this option.
_ADVICE = {
    "limits": "the command line has the default limits: read the log in Python, with other trackparse.Limits",
    "columns": "name the columns that you want: cat, convert and fetch take --columns",
    "members": "unpack the archive, and name the log",
    "partition_by": "name other columns with --partition-by",
    "existing": "write to another folder, or write over it with --existing replace",
    "jobs": "try fewer --jobs",
}


def is_terminal(stream: IO[Any] | None) -> bool:
    """Whether the stream is a terminal, so that a person reads it."""
    return stream is not None and not stream.closed and stream.isatty()


def put(data: bytes) -> None:
    """Write whole lines of UTF-8 to standard output. On a terminal control characters become escapes of JSON."""
    with writing():
        if is_terminal(sys.stdout):
            sys.stdout.write("".join(map(_shown, data.decode())))
        else:
            sys.stdout.buffer.write(data)


def terminal_width() -> int:
    """Cells of a line of the terminal, whatever terminal it says it is."""
    return shutil.get_terminal_size().columns


def flush() -> None:
    """Write what is still buffered. An error of that is raised here."""
    with writing():
        sys.stdout.flush()


def abandon_output() -> None:
    """Throw away what is still buffered, and what is written from now on: the interpreter would fail with it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def writing() -> Iterator[None]:
    """Turns an OSError in the block into an OutputError, because it is about standard output and not about a log."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(error.errno, error.strerror, "<stdout>") from None


def put_json(value: object) -> None:
    """Write one line of JSON. Bytes of a name that are not UTF-8 become escapes."""
    put(json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")


def say(text: str) -> None:
    """Write one line to standard output."""
    with writing():
        click.echo(text)


def check_is_no_output(file: Any, name: str) -> None:
    """ClickException if standard output or standard error is that file: the log would be written over, or grow."""
    found = identity(file)
    if found and any(found == identity(stream) and _is_file(stream) for stream in (sys.stdout, sys.stderr)):
        raise click.ClickException(f"{name}: the output goes into the log itself: send it to another file")


def _is_file(stream: IO[Any]) -> bool:
    return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)


def _shown(char: str) -> str:
    return char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1]


def warn(text: str) -> None:
    """Write one line to standard error. If that cannot be written, the exit code alone says that something is wrong."""
    with suppress(OSError):
        click.echo(f"trackparse: {escaped(text)}", err=True)


def expected(error: Exception) -> bool:
    """Whether a command may end with the error. If not, raise it again, so that its traceback is seen.

    With ``TRACKPARSE_DEBUG=1`` in the environment the traceback of an expected error is printed, too.
    """
    extra_is_missing = isinstance(error, ImportError) and (error.name or "").partition(".")[0] in _EXTRAS
    if not (extra_is_missing or isinstance(error, _EXPECTED)):
        return False
    if os.environ.get("TRACKPARSE_DEBUG", "") not in ("", "0"):
        traceback.print_exception(error)
    return True


def line_of(error: BaseException, name: str = "") -> str:
    """An error as one line of text, which begins with ``name``, the name of its log."""
    if isinstance(error, OSError) and error.filename is not None:
        # The error may be about another file than the log.
        return escaped(f"{os.fsdecode(error.filename)}: {error.strerror}")
    if isinstance(error, ModuleNotFoundError):
        text = f"this needs {error.name}: pip install 'trackparse-pushwoosh[cli]'"
    elif isinstance(error, MemoryError):
        text = "not enough memory: give it more, or convert with fewer --jobs or a smaller --row-group-size"
    else:
        message = _with_advice(error) if isinstance(error, TrackparseError) else str(error)
        text = " ".join(message.split()) or type(error).__name__
    return escaped(of_log(name, text) if name else text)


def _with_advice(error: TrackparseError) -> str:
    """What is wrong, and what to do about it on the command line, which has not all options of the library."""
    advice = _ADVICE.get(error.option, "") if error.option else error.advice
    return f"{error.message}; {advice}" if advice else error.message


class _Warnings(logging.Handler):
    """Prints the warnings of the library."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one of them as a line."""
        warn(_with_advice(record.msg) if isinstance(record.msg, TrackparseError) else record.getMessage())


@contextmanager
def warnings_printed() -> Iterator[None]:
    """Prints the warnings that the library logs in the block, in the same form as errors."""
    logger, handler = logging.getLogger("trackparse"), _Warnings()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def of_log(name: str, text: str) -> str:
    """The text with the name of its log in front, once."""
    # Bytes of the name that are not UTF-8 are escapes in errors.
    shown = name.encode(errors="backslashreplace").decode()
    return text if text.startswith((f"{name}:", f"{shown}:")) else f"{name}: {text}"


def misfits_line(name: str, misfits: int) -> str:
    """What to say of values that do not fit their payload columns."""
    return f"{name}: {counted(misfits, 'value')} in payloads are null: not of the type asked for with --payload"


def with_unit(size: int) -> str:
    """``4.8 MB``, or below a tenth of that unit ``26.1 kB``; a megabyte has 1,000,000 bytes."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def aligned(rows: Iterable[Sequence[str]], widths: list[int]) -> Iterable[str]:
    """Rows as lines with aligned columns. ``widths`` are the widest cells so far; this call updates them."""
    rows = list(rows)
    if not widths:
        widths += [0] * max(map(len, rows), default=0)
    for row in rows:
        widths[: len(row)] = map(max, widths, map(len, row))
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
