"""What the tests of the command line have in common: running it, and logs to run it on."""

from __future__ import annotations

import os
import sys
from inspect import signature
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from support.logs import H8
from trackparse.cli import cli
from trackparse.testing.sample import COLUMNS, encode_row, sample_rows

PROGRAM = [sys.executable, "-m", "trackparse.cli"]
# As users have it: development mode tells of whatever a signal cut in the middle.
PLAIN = {name: value for name, value in os.environ.items() if name != "PYTHONDEVMODE"}
HEADER = H8
ROW = ("2021-04-20 13:01:01", "T-1", "target", "hwid", "sent", "", "A-1", '{"aps":{"alert":"Привет 🔥"}}')
BAD = b"this is not a record\n"


# click before 8.2 keeps standard error apart only when it is told to.
_APART: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}


def run(*arguments: object, stdin: bytes | None = None, **environment: str) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner(env=environment, **_APART).invoke(cli, words, input=stdin, prog_name="trackparse")


def ended(code: int, *arguments: object, stdin: bytes | None = None) -> Result:
    """What a command printed that had to end with this code."""
    result = run(*arguments, stdin=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    return result


def good(*arguments: object, stdin: bytes | None = None) -> Result:
    return ended(0, *arguments, stdin=stdin)


def failed(code: int, *arguments: object, stdin: bytes | None = None) -> str:
    """The message of a command that did nothing but fail; an expected error is one line."""
    result = ended(code, *arguments, stdin=stdin)
    assert result.stdout == ""
    if code != 2:
        assert result.stderr.startswith("trackparse: ")
        assert result.stderr.count("\n") == 1
    return result.stderr


def csv_of(path: Path, *rows: tuple[str, ...]) -> Path:
    path.write_bytes(HEADER + b"".join(map(encode_row, rows)))
    return path


def with_bad(path: Path, rows: int = 500) -> Path:
    """So many records as they should be, and one that is none: record 2 on line 4."""
    lines = [encode_row(row) for row in sample_rows(rows)]
    lines.insert(2, BAD)
    path.write_bytes(HEADER + b"".join(lines))
    return path


def with_text(**fields: str) -> tuple[str, ...]:
    """``ROW`` with some fields exchanged."""
    return tuple(fields.get(name, value) for name, value in zip(COLUMNS, ROW, strict=True))
