"""Imports point one way, and what is exported is what is promised."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import trackparse

PACKAGE = Path(trackparse.__file__).parent
# A module may import from the lines above its own; modules of one line know nothing of each other.
LAYERS = [
    ["errors", "files", "limits", "version", "_reference", "_kernel", "buffers", "schema"],
    ["sources", "choice", "zipmarks", "dispatch", "patience", "answers", "days", "loopback"],
    ["inflate", "header", "watch"],
    ["transport"],
    ["zipstream", "plain", "index", "sample", "download"],
    ["zipdirectory"],
    ["archive", "columns", "events", "rejects", "testing"],
    ["readahead", "filters", "rowgroups"],
    ["stream"],
    ["reader"],
    ["parquet"],
    ["client"],
    ["__init__"],
    ["cli.exits", "cli.output", "cli.options", "cli.jsonl", "cli.tally"],
    ["cli.inputs", "cli.faults", "cli.progress", "cli.signals"],
    ["cli.funnel"],
    ["cli.each", "cli.outcomes"],
    ["cli.jobs"],
    ["cli.worker"],
    [f"cli.{command}" for command in ("cat", "check", "convert", "fetch", "head", "sample", "schema", "stats")],
    ["cli.app"],
    ["cli"],
    ["cli.__main__"],
]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}
# The parser is pure: what it knows of the world is bytes.
PURE = ["_reference", "dispatch", "schema", "header", "index", "columns", "events", "buffers"]
WORLD = ["errors", "limits", "version"]
# What these leave alone, so that each can be used without it.
FOREIGN = {
    "index": {"threading", "pyarrow", "io", "isal", "zlib"},
    "_reference": {"threading", "pyarrow", "io", "isal", "zlib", "orjson", "json"},
    "events": {"threading", "pyarrow", "io", "isal"},
    "columns": {"threading", "io", "orjson", "isal"},
    "archive": {"pyarrow", "orjson"},
    "errors": {"pyarrow", "orjson"},
    "transport": {"pyarrow", "orjson", "isal"},
    "patience": {"pyarrow", "orjson", "isal", "urllib3"},
    "watch": {"pyarrow", "orjson", "isal", "urllib3"},
    "loopback": {"pyarrow", "orjson", "isal", "urllib3"},
    "download": {"pyarrow", "orjson", "isal"},
    "answers": {"pyarrow", "urllib3", "threading"},
    "testing": {"pyarrow", "urllib3"},
    "limits": {"pyarrow", "orjson"},
    "__init__": {"pyarrow", "orjson", "isal"},
}


def modules() -> list[str]:
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


def source_of(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports_of(module: str) -> set[str]:
    """Full names of all modules imported anywhere in it, for typing, too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source_of(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            found.add(node.module or "")
            if node.module == "trackparse":
                found.update(f"trackparse.{name.name}" for name in node.names)
    return found


def own_imports(module: str) -> set[str]:
    names = (name.split(".") for name in imports_of(module) if name.startswith("trackparse."))
    found = {".".join(parts[1:3]) if parts[1] == "cli" else parts[1] for parts in names}
    return {name for name in found if name in RANK}


def test_every_module_has_its_layer() -> None:
    assert set(modules()) <= set(RANK)


@pytest.mark.parametrize("module", modules())
def test_imports_point_one_way(module: str) -> None:
    for imported in own_imports(module):
        assert RANK[imported] < RANK[module], f"{module} imports {imported}"


@pytest.mark.parametrize("module", PURE)
def test_the_parser_knows_no_source(module: str) -> None:
    assert own_imports(module) <= {*PURE, *WORLD, "_kernel"}


def test_columns_and_events_do_not_know_each_other() -> None:
    assert "events" not in own_imports("columns")
    assert "columns" not in own_imports("events")


BYTES = ["sources", "choice", "zipmarks", "inflate", "zipstream", "zipdirectory", "plain", "archive", "readahead"]


@pytest.mark.parametrize("module", BYTES)
def test_what_brings_the_bytes_knows_nothing_of_records(module: str) -> None:
    assert own_imports(module) <= {*BYTES, "buffers", *WORLD}


@pytest.mark.parametrize("module", ["errors", "files", "limits", "version", "_reference", "buffers"])
def test_the_ground_floor_imports_nothing_of_ours(module: str) -> None:
    assert own_imports(module) == set()


@pytest.mark.parametrize(("module", "foreign"), FOREIGN.items())
def test_what_a_module_leaves_to_others(module: str, foreign: set[str]) -> None:
    assert not {name.split(".")[0] for name in imports_of(module)} & foreign


def test_all_is_what_there_is() -> None:
    assert trackparse.__all__ == sorted(trackparse.__all__)
    for name in trackparse.__all__:
        assert getattr(trackparse, name) is not None
    assert set(dir(trackparse)) == set(trackparse.__all__)
    public = {name for name in vars(trackparse) if not name.startswith("_")}
    submodules = {name for name in public if f"trackparse.{name}" in sys.modules}
    assert public - submodules - {"annotations", "Any", "TYPE_CHECKING", "import_module"} <= set(trackparse.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        trackparse.nonsense  # noqa: B018


def test_every_error_is_exported() -> None:
    names = {node.name for node in ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8")).body
             if isinstance(node, ast.ClassDef)}
    assert names <= set(trackparse.__all__)
    errors = {name for name in names if name.endswith("Error")}
    assert all(issubclass(getattr(trackparse, name), trackparse.TrackparseError) for name in errors)


def test_importing_it_does_not_import_pyarrow() -> None:
    code = "import sys, trackparse; print([m for m in ('pyarrow', 'orjson', 'click', 'isal') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("wanted", "expected"), [("reference", "reference"), ("portable", "c (portable)"), ("c", "c (")]
)
def test_the_environment_forces_a_kernel(wanted: str, expected: str) -> None:
    pytest.importorskip("trackparse._kernel")
    code = "import trackparse; print(trackparse.kernel)"
    environment = {"TRACKPARSE_KERNEL": wanted}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert run.stdout.startswith(expected), run.stderr


def test_a_kernel_that_is_not_there_is_an_error() -> None:
    pytest.importorskip("trackparse._kernel")
    code = "import trackparse; trackparse.kernel"
    environment = {"TRACKPARSE_KERNEL": "quantum"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert run.returncode
    assert "quantum" in run.stderr
    assert "portable" in run.stderr
