"""The page on the nightly job: its script does what it says, its Python fits the library."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from pathlib import Path

import pytest

from trackparse.cli import cli

PAGE = (Path(__file__).parent.parent / "docs" / "nightly.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    match = re.search(rf"^<!-- {name} -->\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert match
    return match[1]


@pytest.mark.parametrize(
    ("codes", "ended", "runs"), [([0], 0, 1), ([6, 7, 0], 0, 3), ([6, 5, 0], 5, 2), ([1, 0], 1, 1), ([6] * 9, 6, 6)]
)
def test_the_script_tries_again_what_waiting_may_help(codes: list[int], ended: int, runs: int, tmp_path: Path) -> None:
    """Each run of what stands in for the command takes the first line of a file as its exit code."""
    (tmp_path / "codes").write_text("".join(f"{code}\n" for code in codes))
    stand_in = tmp_path / "trackparse"
    stand_in.write_text('#!/bin/sh\necho "$@" >> ran\nread -r code < codes\nsed -i 1d codes\nexit "$code"\n')
    stand_in.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PAUSE": "0"}
    done = subprocess.run(["sh", "-c", block("retry"), "sh", "out"], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == ended
    assert (tmp_path / "ran").read_text() == "fetch --days 3 --to out --quiet\n" * runs


def test_the_task_compiles_and_fits_the_library() -> None:
    tree = ast.parse(block("airflow"))
    compile(tree, "nightly.md", "exec")
    imported = [
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("trackparse")
        for alias in node.names
    ]
    assert imported
    for module, name in imported:
        assert hasattr(importlib.import_module(module), name), name
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert {name for _, name in imported} <= used


def test_the_options_of_the_page_exist() -> None:
    lines = re.findall(r"trackparse (fetch) (.+)", PAGE)
    assert lines
    for command, words in lines:
        known = {option for param in cli.commands[command].params for option in param.opts}
        assert set(re.findall(r"(?<!\S)--[\w-]+", words)) <= known, words
