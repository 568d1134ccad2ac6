"""The C of the kernel stands beside the Python: same names in the same order, and each header by itself."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

import trackparse

KERNEL = Path(trackparse.__file__).parent / "records" / "kernel"
HEADERS = sorted(path.name for path in KERNEL.glob("*.h"))
# A concern is a file of Python, and the files of C with the same name.
CONCERNS = sorted(
    path.stem
    for path in KERNEL.glob("*.py")
    if path.with_suffix(".h").exists() or (KERNEL / f"native_{path.stem}.h").exists()
)

pytestmark = pytest.mark.skipif(not HEADERS, reason="the sources of the kernel are not at hand")


def functions_of_python(source: str) -> list[str]:
    """Functions and methods in the order in which they stand; a method of Dictionary as ``dictionary_method``."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            found.append(node.name)
        elif isinstance(node, ast.ClassDef):
            prefix = "" if node.name.startswith("_") else f"{node.name.lower()}_"
            found += [prefix + part.name for part in node.body if isinstance(part, ast.FunctionDef)]
    return [name.replace("___len__", "_length").lstrip("_") for name in found]


def functions_of_c(source: str) -> list[str]:
    """The same of C: definitions begin in the first column and have their brace in a line of its own."""
    names = re.findall(r"^static [^;={]*?\b(?:ISA\()?(\w+)\)?\([^;{]*\)\n\{", source, re.M)
    return [name.removeprefix("kernel_") for name in names]


def shared(python: list[str], c: list[str]) -> tuple[list[str], list[str]]:
    return [name for name in python if name in c], [name for name in c if name in python]


@pytest.mark.parametrize("concern", CONCERNS)
def test_functions_stand_in_the_same_order_in_python_and_c(concern: str) -> None:
    python = functions_of_python((KERNEL / f"{concern}.py").read_text())
    for name in (f"{concern}.h", f"native_{concern}.h"):
        if (KERNEL / name).exists():
            ours, theirs = shared(python, functions_of_c((KERNEL / name).read_text()))
            assert ours == theirs, name


def test_the_folder_says_what_each_file_of_python_is_for() -> None:
    told = ast.get_docstring(ast.parse((KERNEL / "__init__.py").read_text())) or ""
    for path in KERNEL.glob("[a-z]*.py"):
        assert f"``{path.stem}``" in told, path.name


def test_most_functions_of_the_grammar_are_in_both() -> None:
    """Or the comparison of their order would say little."""
    for concern, least in (
        ("lines", 8),
        ("grammar", 11),
        ("dialect", 5),
        ("index", 6),
        ("timestamp", 3),
        ("payload", 3),
    ):
        python = functions_of_python((KERNEL / f"{concern}.py").read_text())
        c = functions_of_c((KERNEL / f"{concern}.h").read_text())
        assert len(shared(python, c)[0]) >= least, (concern, python, c)


def test_another_order_is_seen() -> None:
    python = functions_of_python("def one(): ...\nclass _X:\n    def two(self): ...\n")
    c = functions_of_c("static int two(\n    int a)\n{\n}\n\nstatic int one(void);\nstatic int *one(void)\n{\n}\n")
    assert (python, c) == (["one", "two"], ["two", "one"])
    assert shared(python, c) == (["one", "two"], ["two", "one"])


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_compiles_by_itself_and_has_a_guard(header: str) -> None:
    compiler = shutil.which("gcc")
    include = sysconfig.get_paths()["include"]
    if compiler is None or not Path(include, "Python.h").exists():
        pytest.skip("gcc or Python.h is missing")
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-variable"]
    python = [f"-I{include}", "-DPy_LIMITED_API=0x030B0000"] if header.startswith("native_") else []
    done = subprocess.run(
        [compiler, "-fsyntax-only", *flags, *python, f"-I{KERNEL}", "-x", "c", "-"],
        input=f'#include "{header}"\n#include "{header}"\n',
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_only_the_binding_knows_of_python() -> None:
    knowing = {path.name for path in KERNEL.glob("*.[hc]") if re.search(r"\bPy[A-Z_]|Python\.h", path.read_text())}
    assert all(name.startswith("native") for name in knowing), knowing


def test_the_constants_are_the_same_in_python_and_c() -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is missing")
    from trackparse.records.kernel import codes, dialect, grammar, index, json, payload, timestamp

    expected = {
        name: value
        for module in (codes, dialect, grammar, index, json, payload, timestamp)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, int) and not name.startswith("_")
    }
    text = "".join(path.read_text() for path in KERNEL.glob("*.h"))
    names = [name for name in expected if re.search(rf"#define {name}\b|^\s*{name}\b|\b{name}\b[^;]*}};", text, re.M)]
    claims = "".join(f'_Static_assert({name} == {expected[name]}, "{name}");\n' for name in names)
    assert len(names) > 25, names
    done = subprocess.run(
        [compiler, "-fsyntax-only", "-std=c11", "-w", f"-I{KERNEL}", "-x", "c", "-"],
        input=f'#include "index.h"\n#include "payload.h"\n#include "values.h"\n{claims}',
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
