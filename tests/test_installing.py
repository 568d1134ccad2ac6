"""Names, and what is around an installation: another package of the name, no isal, pinned actions, hooks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import trackparse
from trackparse import distribution
from trackparse.testing.sample import write_sample

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = PROJECT["name"]
# What is installed, whatever is around it: options, quotes, extras, a version.
_INSTALLED = re.compile(r"\bpip(?:3|x)? install((?: +(?:-[\w-]+|'[^'\n]+'|\"[^\"\n]+\"|[^\s'\"`;&|)]+))+)")
_WORD = re.compile(r"'([^']+)'|\"([^\"]+)\"|(\S+)")
_NAMED = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*?)?(?:\[(?P<extras>[\w,-]+)\])?(?:[=<>~!].*)?[.,:;]?")


def pages() -> Iterator[Path]:
    """Whatever a user may read: pages, code, settings."""
    for path in sorted(ROOT.iterdir()):
        if path.is_file():
            yield path
    for folder in (".ci", ".github", "benchmarks", "docs", "fuzz", "src", "tests"):
        yield from (path for path in sorted((ROOT / folder).rglob("*")) if path.is_file())


def lines_that_install() -> list[tuple[str, str]]:
    found = []
    for path in pages():
        if path.suffix in (".md", ".py", ".toml", ".yaml", ".yml", ".sh", ".in", ".txt", "") and path != Path(__file__):
            text = path.read_text(encoding="utf-8", errors="ignore")
            found += [(f"{path.relative_to(ROOT)}", match[1]) for match in _INSTALLED.finditer(text)]
    return found


def test_lines_that_install_it_are_found() -> None:
    assert {file for file, _ in lines_that_install()} >= {
        "README.md",
        "docs/client.md",
        "docs/nightly.md",
        "src/trackparse/cli/__init__.py",
        "src/trackparse/cli/output.py",
        "src/trackparse/sources/http.py",
    }


def test_every_line_that_installs_it_names_the_distribution_or_a_path() -> None:
    extras = set(PROJECT["optional-dependencies"])
    for file, words in lines_that_install():
        for quoted, doubly, bare in _WORD.findall(words):
            word = _NAMED.fullmatch(quoted or doubly or bare)
            if word is None:
                continue
            assert word["name"] != "trackparse", f"{file}: pip install{words}"
            if word["name"] == NAME or (quoted or doubly or bare).startswith((".[", "trackparse")):
                assert set((word["extras"] or "").split(",")) <= {*extras, ""}, f"{file}: pip install{words}"


def test_no_extra_is_one_of_the_other_package() -> None:
    other = re.compile(r"(?<![\w.-])trackparse\[[a-z,]+\]")
    for path in pages():
        if path.suffix in (".md", ".py", ".toml"):
            assert not other.search(path.read_text(encoding="utf-8")), path


def installed_beside(folder: Path, *others: str) -> subprocess.CompletedProcess[str]:
    """The import of a copy of the package that is installed in ``folder`` beside distributions of these names."""
    package = Path(trackparse.__file__).parent
    shutil.copytree(package, folder / "trackparse", ignore=shutil.ignore_patterns("__pycache__", "cli", "client"))
    for other in others:
        (folder / f"{other}.dist-info").mkdir()
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import trackparse; print(trackparse.__file__)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_other_package_of_this_name_beside_it_is_told_on_import(tmp_path: Path) -> None:
    done = installed_beside(tmp_path, "trackparse-0.3.3", "trackparse_pushwoosh-0.1.0", "pyarrow-26.0.1")
    assert done.stdout == f"{tmp_path / 'trackparse' / '__init__.py'}\n"
    assert f"RuntimeWarning: another package, trackparse 0.3.3, is installed in {tmp_path} as well" in done.stderr
    assert f"uninstall both (pip uninstall trackparse {NAME}), then install {NAME} again" in done.stderr


def test_nothing_is_told_where_it_is_installed_alone(tmp_path: Path) -> None:
    done = installed_beside(tmp_path, "trackparse_pushwoosh-0.1.0", "trackparser-1.0")
    assert (done.stdout, done.stderr) == (f"{tmp_path / 'trackparse' / '__init__.py'}\n", "")


def test_the_command_keeps_its_name() -> None:
    assert PROJECT["scripts"] == {"trackparse": "trackparse.cli:main"}
    assert NAME == distribution.NAME == "trackparse-pushwoosh"


def test_without_isal_zlib_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "log.zip"
    write_sample(path, rows=100)
    code = "import sys; sys.modules['isal'] = None; import trackparse; from trackparse.archive import inflate; "
    code += "print(inflate.igzip_lib, trackparse.read_log(sys.argv[1])['tracking_code'].to_pylist())"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == f"None {trackparse.read_log(path)['tracking_code'].to_pylist()}\n"


@pytest.mark.skipif(find_spec("setuptools") is None, reason="setup.py is for setuptools")
def test_a_free_threaded_interpreter_is_refused_in_words() -> None:
    code = (
        "import runpy, sysconfig\n"
        "ask = sysconfig.get_config_var\n"
        "sysconfig.get_config_var = lambda name: 1 if name == 'Py_GIL_DISABLED' else ask(name)\n"
        "runpy.run_path('setup.py')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("trackparse does not support free-threaded Python")
    assert done.stderr.count("\n") == 1


def test_actions_are_pinned_by_hash() -> None:
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    used = [line for path in workflows for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert len(used) > 5
    for line in used:
        pinned = r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+"
        assert re.fullmatch(rf" *(?:- )?uses: (?:{pinned}|\./\.github/workflows/\w+\.yml)", line), line


def test_hooks_run_the_tools_of_the_environment_and_fetch_none() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert hooks.count("- repo:") == hooks.count("- repo: local") > 0
    assert hooks.count("- id:") == hooks.count("language: system") == hooks.count("entry: .venv/bin/")


@pytest.mark.parametrize(
    ("module", "missing", "needs"), [("polars", "polars", "polars"), ("spark", "pyspark", "pyspark 4 or newer")]
)
def test_without_its_engine_a_module_says_what_to_install(module: str, missing: str, needs: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import trackparse; trackparse.{module}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode
    told = f"ImportError: trackparse.{module} needs {needs}: pip install 'trackparse-pushwoosh[{module}]'"
    assert run.stderr.splitlines()[-1] == told
