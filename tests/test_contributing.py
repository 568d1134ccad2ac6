"""CONTRIBUTING.md: its commands run, and the files and verbs that it names exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def block(name: str) -> list[str]:
    """The commands behind a mark."""
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1].splitlines()


@pytest.mark.parametrize("command", block("try"))
def test_a_command_that_runs_tests_finds_some_and_passes(command: str) -> None:
    words = command.replace(".venv/bin/python", sys.executable)
    given = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TRACKPARSE_"))}
    done = subprocess.run(["sh", "-c", words], cwd=ROOT, capture_output=True, text=True, check=False, env=given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_each_verb_is_one_of_the_makefile() -> None:
    verbs = set(re.findall(r"make (\w+)`", PAGE)) | set(re.findall(r"^make (\w+)$", PAGE, re.MULTILINE))
    assert len(verbs) > 10
    for verb in verbs:
        subprocess.run(["make", "-n", verb], cwd=ROOT, check=True, capture_output=True)


def test_each_file_and_folder_is_there() -> None:
    package = ROOT / "src" / "trackparse"
    named = re.findall(r"`([\w./]+(?:/|\.py|\.md))`", PAGE) + re.findall(r"\]\(([\w./]+)\)", PAGE)
    assert len(named) > 20
    for name in named:
        assert any((folder / name).exists() for folder in (ROOT, ROOT / "tests", package)), name


def test_names_in_the_code_are_there() -> None:
    package = ROOT / "src" / "trackparse"
    for file, name in (
        ("schema.py", "KNOWN"),
        ("schema.py", "GENERATIONS"),
        ("schema.py", "class Status"),
        ("events.py", "class Event"),
        ("sources/source.py", "def open_source"),
        ("sources/opening.py", "_OPENERS"),
        ("columns/filters.py", "class Filter"),
        ("columns/filters.py", "_COLUMNS"),
        ("columns/filters.py", "def matches"),
        ("cli/options.py", "def filter_options"),
        ("cli/tally.py", "FUNNEL"),
        ("convert/outputs.py", "def is_file"),
        ("convert/places.py", "class Place"),
        ("convert/places.py", "def place_of"),
        ("convert/conversion.py", "_SINKS"),
        ("convert/parquet.py", "class ParquetSink"),
        ("cli/exits.py", "class Exit"),
        ("cli/app.py", "cli.add_command"),
    ):
        assert name in (package / file).read_text(encoding="utf-8"), file
        assert name.split()[-1].removeprefix("cli.add_") in PAGE, name
