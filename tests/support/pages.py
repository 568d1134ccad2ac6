"""Blocks of Python on a page, with what has to come out of them, and a folder of logs to run them in."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import trackparse
from support.days import write_days

_ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A block, and the text behind it; None if no such text follows."""

    code: str
    output: str | None

    @property
    def imports(self) -> set[str]:
        """The packages that it imports."""
        found = set()
        for node in ast.walk(ast.parse(self.code)):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
        return found

    def run(self, folder: Path) -> str:
        """What it prints, in a process of its own."""
        script = folder / "example.py"
        script.write_text(self.code, encoding="utf-8")
        command = [sys.executable, "-W", "ignore", script.name]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def examples(name: str) -> list[Example]:
    """Those of a page in ``docs``."""
    page = (_ROOT / "docs" / name).read_text(encoding="utf-8")
    return [Example(match[1], match[2]) for match in _BLOCK.finditer(page)]


def examples_with(name: str, *packages: str) -> list[Example]:
    """Those of a page that import one of these packages."""
    found = [example for example in examples(name) if example.imports.intersection(packages)]
    assert len(found) >= len(packages), f"{name} has no example for one of {packages}"
    return found


def prepare(folder: Path) -> Path:
    """Logs of three days, and their Parquet files, as the pages say that they are there."""
    trackparse.convert_logs([str(log) for log in write_days(folder / "logs")], folder / "lake")
    return folder
