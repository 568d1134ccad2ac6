"""Logs written by PHP itself, with the truth beside them. Needs ``php``; parses nothing of the log."""

from __future__ import annotations

import functools
import json
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.tools import here, need

__all__ = ["php_log", "php_zip", "requires_php"]

_SCRIPTS = Path(__file__).parent / "php"

requires_php = pytest.mark.skipif(not here("php"), reason="php is not installed")


@functools.cache
def php_log(rows: int, escape: bool = True, seed: int = 1) -> tuple[bytes, tuple[tuple[str, ...], ...]]:
    """The bytes that ``fputcsv`` wrote, header included, and the 8 strings of each record.

    ``escape`` keeps PHP's default escape character, a backslash; without it PHP writes RFC 4180.
    """
    with tempfile.TemporaryDirectory(prefix="trackparse-php-") as directory:
        log, truth = Path(directory, "log.csv"), Path(directory, "truth.jsonl")
        mode = "escape" if escape else "rfc4180"
        _php("write_log.php", str(rows), str(seed), mode, str(log), str(truth))
        # Not splitlines: strings hold U+2028, which would end a line there.
        lines = truth.read_text(encoding="utf-8").split("\n")[:-1]
        return log.read_bytes(), tuple(tuple(json.loads(line)) for line in lines)


def php_zip(log: bytes, *, member: str = "tracking_log.csv", stored: bool = False) -> bytes:
    """The archive that PHP's ``ZipArchive`` makes of one log."""
    need("php's class ZipArchive")
    with tempfile.TemporaryDirectory(prefix="trackparse-php-") as directory:
        source, archive = Path(directory, "log.csv"), Path(directory, "log.zip")
        source.write_bytes(log)
        _php("zip_log.php", str(source), str(archive), member, "store" if stored else "")
        return archive.read_bytes()


def _php(script: str, *arguments: str) -> None:
    subprocess.run(["php", str(_SCRIPTS / script), *arguments], check=True)
