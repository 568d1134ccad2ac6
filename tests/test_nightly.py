"""The page on the nightly job: its script does what it says, its Python fits the library."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from support.cli import run
from support.service import client_of
from trackparse import client
from trackparse.cli import cli
from trackparse.client import KEPT_DAYS
from trackparse.testing import TOKEN, FakeService

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
    assert (tmp_path / "ran").read_text() == "sync --to out --quiet\n" * runs


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
    lines = re.findall(r"trackparse (fetch|sync) (.+)", PAGE)
    assert {command for command, _ in lines} == {"fetch", "sync"}
    for command, words in lines:
        known = {option for param in cli.commands[command].params for option in param.opts}
        assert set(re.findall(r"(?<!\S)--[\w-]+", words)) <= known, words


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    """As they stand there, but for the folder, the token and the service."""
    lines = re.findall(r"^ {4}.*?trackparse (sync --to /(?:srv|tmp).+)$", PAGE, re.MULTILINE)
    (tmp_path / "token").write_text(TOKEN)
    folder = tmp_path / "push"
    with FakeService(rows=10) as service:
        ends = []
        for typed in lines:
            line = typed.replace("/tmp/push", str(tmp_path / "made-up"))
            words = shlex.split(line.replace("/srv/push", str(folder)).replace("/etc/push-token", f"{tmp_path}/token"))
            words = [service.url if word.startswith("http://127.0.0.1") else word for word in words]
            result = run(*words, "--allow-http", TRACKPARSE_TOKEN=TOKEN, TRACKPARSE_BASE_URL=service.url)
            assert result.exit_code == 0, result.output
            ends.append(result.output.count("\n"))
    assert ends == [KEPT_DAYS, KEPT_DAYS, KEPT_DAYS, 0]
    assert len([*folder.glob("*.parquet")]) == KEPT_DAYS


def test_the_python_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeService(rows=10) as service:
        monkeypatch.setenv("TRACKPARSE_TOKEN", TOKEN)
        monkeypatch.setattr(client, "TrackingLogClient", lambda token: client_of(service, token=token))
        exec(compile(block("python").replace("/srv/push", str(tmp_path)), "nightly.md", "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out.splitlines()
    assert [line[10:] for line in printed] == [" 10 records, 0 rejected"] * KEPT_DAYS
