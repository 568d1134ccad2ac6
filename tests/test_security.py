"""SECURITY.md promises nothing without a test, and the limits that it names are the library's."""

from __future__ import annotations

import ast
import re
from dataclasses import asdict
from pathlib import Path

from trackparse import Limits

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_tests_that_it_names_exist() -> None:
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", PAGE)
    assert len(named) > 15
    assert len(named) == PAGE.count("::")
    defined = {path: functions_of(ROOT / path) for path, _ in named}
    for path, name in named:
        assert name in defined[path], f"{path}::{name}"


def test_the_files_that_it_names_exist() -> None:
    for name in re.findall(r"`((?:tests|fuzz)[/\w.]*)`|\]\(([\w./]+)\)", PAGE):
        assert (ROOT / "".join(name)).exists(), name


def test_the_limits_are_those_of_the_library() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|$", PAGE, re.MULTILINE))
    assert rows == {name: str(value) for name, value in asdict(Limits()).items()}


def test_the_bounds_are_those_that_are_tested() -> None:
    source = (ROOT / "tests" / "test_hostile.py").read_text(encoding="utf-8")
    tested = re.findall(r'^        \((\w+), "[\w. ]+", "[\w ]*", (\d+)\),$', source, re.MULTILINE)
    assert len(tested) > 10
    told = {int(most) for most in re.findall(r"^\| .* \| (\d+) \| .* \|$", PAGE, re.MULTILINE)}
    assert max(int(most) for _, most in tested) == max(told)
    assert {int(most) for name, most in tested if name == "endless_field"} == {256} <= told
    assert {int(most) for name, most in tested if name == "bad_records"} == {96, 192} <= told


def test_the_readme_leads_here_and_it_is_in_the_package() -> None:
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "SECURITY.md" in (ROOT / "MANIFEST.in").read_text(encoding="utf-8")
