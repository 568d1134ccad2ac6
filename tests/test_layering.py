"""Imports point one way, and what is exported is what is promised."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

import trackparse

PACKAGE = Path(trackparse.__file__).parent
# In the order in which data flows: a folder, or a module beside the folders, imports from itself and from what is above
# it. What stands in one line knows nothing of each other.
ORDER = [
    ["schema", "errors", "limits", "version", "distribution", "atomic", "signals", "display", "cores"],
    ["bars"],
    ["sources"],
    ["archive"],
    ["records.kernel"],
    ["records"],
    ["progress", "notebook"],
    ["columns", "events"],
    ["rejects"],
    ["options"],
    ["joined"],
    ["reader"],
    ["datasets"],
    ["convert", "aio", "polars", "spark"],
    ["client"],
    ["testing"],
    ["__init__"],
    ["cli"],
    ["__main__"],
]
RANK = {place: rank for rank, places in enumerate(ORDER) for place in places}
# For their types only: nothing is run of them.
TYPES_ONLY = {("columns", "events")}
# The command line imports public names only, but for these: what it takes from inside, and why.
PUBLIC_FOLDERS = {"client", "testing", "testing.sample"}
INSIDE_FOR_CLI = {
    # "-o is the log itself" has to mean the same as in convert_log, which compares files by this function.
    ("atomic", "identity"),
    # Standard input and URLs are logs, too, with bars, and each output has an option that names it.
    *(("convert.jobs", name) for name in ("Job", "joined_job", "outputs_of", "tell_of_hidden_names", "with_faults")),
    *(
        ("convert.outputs", name)
        for name in (
            "PathOrUrl",
            "check_is_parquet",
            "check_partition_by",
            "check_places",
            "flat_name",
            "in_folder",
            "name_in",
        )
    ),
    *(
        ("convert.outputs", name)
        for name in ("NULL_VALUE", "OWN_FOLDER", "named_after", "possible_names", "rejects_beside", "shown")
    ),
    ("convert.running", "run_jobs"),
    # A Parquet file says of which logs it was made.
    *(("convert.existing", name) for name in ("logs_in", "made_of_in")),
    ("options", "convert_options"),
    # Rejects shorten long names.
    ("rejects.kept", "names_log"),
    # What day it is, in UTC.
    ("client.calendar", "date_of"),
    # One way to draw how far things are, and to escape what a log says.
    *(("bars", name) for name in ("OneLine", "cut")),
    ("progress", "title_of"),
    *(("display", name) for name in ("counted", "escaped", "shortened")),
    # What --payload takes has to mean the same in the options of Spark.
    *(("columns.payload", name) for name in ("PayloadColumns", "payload_columns_of")),
    ("schema", "PAYLOAD_TYPES"),
    # Parquet with a long value for many rows takes as little memory in ``stats`` as in ``mend``.
    *(("columns.pieces", name) for name in ("named_twice", "open_parquet", "pieces_of")),
    ("schema", "COLUMNS"),
    # One way to end by a signal, for the command line and for its workers.
    *(("signals", name) for name in ("INTERRUPTED", "TERMINATED", "ended", "listen", "signals_held")),
    # ``mend`` does not replace the file of another day.
    ("convert.places", "place_of"),
    # What is a URL, which logs one stands for, and how one is shown, has to be the same as in the library, too.
    *(("sources.listing", name) for name in ("file_of", "is_log", "key_of", "logs_of", "matches_of")),
    # What was probably meant, and what there is to complete.
    ("errors", "suggestion"),
    ("schema", "COLUMNS"),
    ("convert.outputs", "PARTITION_COLUMNS"),
    # Where a directory is named, the same endings are those of files as in ``convert_logs``.
    ("convert.outputs", "names_file"),
    # A Parquet file is opened in an object store as a log is.
    ("sources.filesystem", "resolve"),
    ("sources.filesystem", "listed"),
    *(
        ("sources.urls", name)
        for name in ("STORES", "check_has_no_nul", "check_is_no_collapsed_url", "local_path", "redacted_url")
    ),
    *(("sources.urls", name) for name in ("plain_url", "scheme_of", "unknown_scheme")),
    # JSON lines of columns have no events, and a large payload must not be decoded to see that it is an object.
    *(("events", name) for name in ("LARGE_PAYLOAD", "is_large_object")),
}
# What these leave alone, so that each can be used without it.
FOREIGN = {
    "sources": {"pyarrow", "orjson", "isal", "click"},
    "archive": {"pyarrow", "orjson", "urllib3", "click"},
    "records.kernel": {"pyarrow", "threading", "io", "isal", "zlib", "orjson", "json"},
    "records": {"pyarrow", "threading", "io", "isal", "zlib", "orjson", "json"},
    "columns": {"threading", "io", "orjson", "isal"},
    "events": {"pyarrow", "threading", "io", "isal"},
    "errors": {"pyarrow", "orjson"},
    "limits": {"pyarrow", "orjson"},
    "client": {"isal", "click"},
    "testing": {"pyarrow", "click"},
    "__init__": {"pyarrow", "orjson", "isal"},
}
# Object stores are reached by pyarrow.fs, which is imported when a URL or a file system is given.
USES_STORES = {"sources.filesystem"}
# No network below these.
NETWORK = {"sources.http", "sources.download", "client.api"}


@cache
def modules() -> list[str]:
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


def source_of(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
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


def place_of(module: str) -> str:
    """The folder, or the module beside the folders."""
    parts = module.split(".")
    return "records.kernel" if parts[:2] == ["records", "kernel"] else parts[0]


def own_imports(module: str) -> set[str]:
    return {name.removeprefix("trackparse.") for name in imports_of(module) if name.startswith("trackparse.")}


def test_every_module_has_its_place() -> None:
    assert {place_of(module) for module in modules()} == set(RANK)


@pytest.mark.parametrize("module", modules())
def test_imports_point_one_way(module: str) -> None:
    place = place_of(module)
    for imported in own_imports(module):
        other = place_of(imported)
        if other not in RANK or other == place or (place, other) in TYPES_ONLY:
            continue
        assert RANK[other] < RANK[place], f"{module} imports {imported}"


@pytest.mark.parametrize("module", [name for name in modules() if place_of(name) not in ("cli", "testing")])
def test_no_module_imports_one_that_imports_it(module: str) -> None:
    seen: set[str] = set()
    queue = [module]
    for name in queue:
        for imported in own_imports(name) & set(modules()):
            assert imported != module or place_of(name) == "events", f"{module} and {name}"
            if imported not in seen and place_of(imported) == place_of(module):
                seen.add(imported)
                queue.append(imported)


def test_the_command_line_uses_public_names_only() -> None:
    taken: set[tuple[str, str, str]] = set()
    for module in (name for name in modules() if place_of(name) == "cli"):
        for node in ast.walk(ast.parse(source_of(module).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "trackparse":
                imported = (node.module or "").removeprefix("trackparse").removeprefix(".")
                if place_of(imported) != "cli":
                    taken.update((module, imported, alias.name) for alias in node.names)
    inside = set()
    for module, imported, name in taken:
        if imported == "":
            assert name in trackparse.__all__, f"{module} imports {name}"
        elif imported in ("client", "testing"):
            assert name in getattr(trackparse, imported).__all__, f"{module} imports {imported}.{name}"
        elif imported not in PUBLIC_FOLDERS:
            inside.add((imported, name))
    assert inside == INSIDE_FOR_CLI


@pytest.mark.parametrize("module", ["schema", "errors", "limits", "version", "distribution", "atomic", "display"])
def test_the_ground_floor_imports_nothing_of_ours(module: str) -> None:
    assert own_imports(module) == set()


@pytest.mark.parametrize("module", modules())
def test_what_a_folder_leaves_to_others(module: str) -> None:
    imported = {name.split(".")[0] for name in imports_of(module)}
    if module in USES_STORES:
        imported.discard("pyarrow")
    assert not imported & FOREIGN.get(place_of(module), set())
    assert "urllib3" not in imported or module in NETWORK


@pytest.mark.parametrize("folder", [place for place in RANK if (PACKAGE / place.replace(".", "/")).is_dir()])
def test_a_folder_says_what_comes_in_what_goes_out_and_what_it_may_import(folder: str) -> None:
    said = ast.get_docstring(ast.parse(source_of(folder).read_text(encoding="utf-8"))) or ""
    assert {"in", "out", "imports"} <= {word.lower().strip(".,;:") for word in said.split()}, said


def test_all_is_what_there_is() -> None:
    assert trackparse.__all__ == sorted(trackparse.__all__)
    for name in trackparse.__all__:
        assert getattr(trackparse, name) is not None
    assert set(dir(trackparse)) == set(trackparse.__all__)
    public = {name for name in vars(trackparse) if not name.startswith("_")}
    submodules = {name for name in public if f"trackparse.{name}" in sys.modules}
    used = {"annotations", "Any", "TYPE_CHECKING", "import_module", "warn_of_another"}
    assert public - submodules - used <= set(trackparse.__all__)
    for name in ("aio", "client", "testing"):
        assert getattr(trackparse, name).__name__ == f"trackparse.{name}"
    with pytest.raises(AttributeError, match="nonsense"):
        getattr(trackparse, "nonsense")  # noqa: B009


def test_public_names_are_the_same_whatever_was_imported_before() -> None:
    """A module that is imported becomes an attribute of its package, in place of a function of the same name."""
    # Spark is in an environment of its own.
    left_out = {"cli", "__init__"} | (set() if find_spec("pyspark") else {"spark"})
    public = [name for name in modules() if place_of(name) not in left_out and not name.endswith("__main__")]
    code = f"""
from importlib import import_module
import trackparse
for module in {public}:
    import_module("trackparse." + module)
for name in trackparse.__all__:
    assert type(getattr(trackparse, name)).__name__ != "module", name
    print(name)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.split() == trackparse.__all__, run.stderr
    below = {path.stem for path in PACKAGE.iterdir()}
    assert not below & set(trackparse.__all__)
    for package in (trackparse.client, trackparse.testing):
        assert not {path.stem for path in Path(package.__file__ or "").parent.iterdir()} & set(package.__all__)


def test_every_error_is_exported() -> None:
    names = {
        node.name
        for node in ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
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
    pytest.importorskip("trackparse.records.kernel.native")
    code = "import trackparse; print(trackparse.kernel)"
    environment = {**os.environ, "TRACKPARSE_KERNEL": wanted}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert run.stdout.startswith(expected), run.stderr


def test_without_the_c_kernel_the_reference_runs_and_says_so() -> None:
    code = "import sys; sys.modules['trackparse.records.kernel.native'] = None; import trackparse; "
    code += "print(trackparse.read_log(b'//timestamp;tracking_code\\n').num_rows, trackparse.kernel)"
    environment = {name: value for name, value in os.environ.items() if name != "TRACKPARSE_KERNEL"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert run.stdout == "0 reference\n"
    assert "RuntimeWarning: trackparse runs without its C kernel" in run.stderr


@pytest.mark.parametrize("wanted", ["quantum", "auto", "neon\nsse9"])
def test_a_kernel_that_is_not_there_is_an_error(wanted: str, tmp_path: Path) -> None:
    pytest.importorskip("trackparse.records.kernel.native")
    code = "import trackparse\nfor _ in range(2):\n try: trackparse.read_log(b'')\n"
    code += " except trackparse.OptionError as error: print(error)"
    environment = {**os.environ, "TRACKPARSE_KERNEL": wanted}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    [told, again] = run("-c", code).stdout.splitlines()
    assert told == again
    assert told.startswith(f"TRACKPARSE_KERNEL={' '.join(wanted.split())}: not available here; expected one of: ref")
    assert told.endswith("portable; without this variable the best one is taken")
    log = tmp_path / "log.csv"
    log.write_bytes(b"//timestamp;tracking_code\n")
    for arguments in (["check", str(log)], ["convert", str(log), "--to", str(tmp_path / "out")]):
        ended = run("-m", "trackparse", *arguments)
        assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"trackparse: {told}\n")


def test_a_kernel_that_was_not_built_is_an_error() -> None:
    code = "import sys; sys.modules['trackparse.records.kernel.native'] = None; import trackparse; trackparse.kernel"
    environment = {**os.environ, "TRACKPARSE_KERNEL": "c"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert "OptionError: TRACKPARSE_KERNEL=c: not available here; expected one of: reference; without" in run.stderr
