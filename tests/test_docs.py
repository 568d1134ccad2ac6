"""The pages do what they say: steps run one after the other, examples in docstrings run, each message is explained."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import datetime
import doctest
import inspect
import io
import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import trackparse
from test_readme import BLOCK, DOCS, ROOT, without_measurements
from trackparse.cli import cli
from trackparse.client import TrackingLogClient
from trackparse.testing import TOKEN, FakeService
from trackparse.testing.sample import write_sample

PACKAGES = (
    "trackparse",
    "trackparse.client",
    "trackparse.polars",
    "trackparse.aio",
    "trackparse.testing",
    "trackparse.testing.sample",
)


# ---- steps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["start", "mending"])
def test_each_step_prints_what_stands_behind_it(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_steps(page, monkeypatch)


def check_steps(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of a page, in the current folder, prints what stands behind it."""
    monkeypatch.delenv("PYTHONDEVMODE", raising=False)  # the commands are run as a user runs them
    shell = f'set -euo pipefail\ntrackparse() {{ "{sys.executable}" -m trackparse.cli "$@"; }}\n'
    steps = [step for step in BLOCK.findall(DOCS[page]) if step[0] in ("sh", "python")]
    assert len(steps) > 4
    for language, code, output in steps:
        if language == "sh":
            printed = subprocess.run(
                ["bash", "-c", shell + code], check=True, stdout=subprocess.PIPE, encoding="utf-8"
            ).stdout
        else:
            with contextlib.redirect_stdout(io.StringIO()) as text:
                exec(compile(code, page, "exec"), {"__name__": "__main__"})  # noqa: S102
            printed = text.getvalue()
        assert without_measurements(printed) == without_measurements(output), code


# ---- the API reference ------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES)
def test_the_reference_has_every_public_name(package: str) -> None:
    listed = set(re.findall(r"^\.\. (?:auto|py:)\w+:: ([\w.]+)", DOCS["api"], re.MULTILINE))
    for name in import_module(package).__all__:
        assert f"{package}.{name}" in listed, f"docs/api.md: no {package}.{name}"
    # Its example runs with the other tests of Spark, where that is installed.
    assert "trackparse.spark.register" in listed


# ---- examples in docstrings -------------------------------------------------------------------------------

YESTERDAY = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)


def documented() -> Iterator[tuple[str, str]]:
    """Each public name, and each method of a public class, with its docstring."""
    for package in PACKAGES:
        module = import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            members = {}
            if inspect.isclass(value):
                members = {key: member for key, member in vars(value).items() if not key.startswith("_")}
            if inspect.isclass(value) or inspect.isfunction(value):
                for key, one in {"": value, **members}.items():
                    yield f"{package}:{name}{key and '.'}{key}", inspect.getdoc(one) or ""


def examples(docstring: str) -> list[tuple[str, str]]:
    """The code of each example, and what it prints: empty where that is not shown."""
    blocks = re.findall(r"^Example::\n\n((?: {4}.*\n|\n)+)", docstring + "\n", re.MULTILINE)
    found = [(example.source, example.want) for example in doctest.DocTestParser().get_examples(docstring)]
    return found + [(textwrap.dedent(block).strip(), "") for block in blocks]


EXAMPLES = {name: found for name, docstring in documented() if (found := examples(docstring))}


@pytest.fixture(scope="module")
def service() -> Iterator[FakeService]:
    with FakeService(rows=100) as running:
        yield running


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, service: FakeService) -> Iterator[dict[str, Any]]:
    """The names that examples use, with files for them in the current folder."""
    folder = tmp_path_factory.mktemp("docstrings")
    write_sample(folder / "log.zip", rows=1000)
    (folder / "days").mkdir()
    for name in ("tracking_log.zip", "days/1.zip", "days/2.zip", "days/3.zip"):
        shutil.copy(folder / "log.zip", folder / name)
    bad = b'//timestamp;tracking_code;hwid\n2021-04-20 13:01:01;T-1;"user\n'
    log = trackparse.open_log(bad, on_error="quarantine")
    trackparse.convert_log(
        bad, folder / "x.parquet", on_error="quarantine", rejects=folder / "tracking_log.rejects.jsonl"
    )
    log.read_all()
    mended = {"member": "a.csv", "header": "//timestamp;tracking_code"}
    rows = [{**mended, "raw": f"2021-04-20 13:01:0{second};T-1\n"} for second in (1, 2)]
    (folder / "day.rejects.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    import_module("pyarrow.dataset")
    client = partial(TrackingLogClient, base_url=service.url, allow_http=True)
    with contextlib.chdir(folder):
        yield {
            "trackparse": trackparse,
            "TrackingLogClient": client,
            "client": client(TOKEN),
            "service": service,
            "url": service.file_url(str(YESTERDAY)),
            "token": TOKEN,
            "day": YESTERDAY,
            "days": trackparse.dataset("days/*.zip", columns=["status", "log"]),
            "log": log,
            "report": trackparse.convert_log("log.zip", "report.parquet"),
            "rows": log.rejects.to_pylist(),
            "date": datetime.date,
            "datetime": datetime.datetime,
            **{name: import_module(name) for name in ("duckdb", "httpx", "json", "os", "polars", "pyarrow")},
            "pl": import_module("polars"),
        }


ELSEWHERE = re.compile(r"s3://|https://example\.com")  # what these examples read is not on this machine


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_in_a_docstring_runs(name: str, known: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKPARSE_TOKEN", TOKEN)
    package = import_module(name.partition(":")[0])
    own = {} if package is trackparse else {public: getattr(package, public) for public in package.__all__}
    names = {**known, **own, "TrackingLogClient": known["TrackingLogClient"]}
    for code, wanted in EXAMPLES[name]:
        if ELSEWHERE.search(code):
            continue
        mode = "single" if wanted else "exec"
        compiled = compile(code, name, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if compiled.co_flags & inspect.CO_COROUTINE:
                asyncio.run(eval(compiled, names))  # noqa: S307
            else:
                exec(compiled, names)  # noqa: S102
        assert not wanted or printed.getvalue() == wanted


def test_no_example_asks_the_service_for_a_day_that_it_no_longer_keeps() -> None:
    """The pages' examples in Python run; these are commands."""
    helps = {name: command.help or "" for name, command in {"": cli, **cli.commands}.items()}
    for name, text in {**DOCS, **helps}.items():
        for line in re.findall(r"^.*trackparse (?:fetch|sync) .*$", text, re.MULTILINE):
            assert not re.search(r"20\d\d-\d\d-\d\d", line), f"{name}: {line}"


def test_every_public_function_has_an_example() -> None:
    functions = {
        f"{package}:{name}"
        for package in PACKAGES
        for name in import_module(package).__all__
        if inspect.isfunction(getattr(import_module(package), name))
    }
    assert functions <= EXAMPLES.keys()


# ---- troubleshooting --------------------------------------------------------------------------------------

_ROWS = re.findall(r"^\| (`.+?`) \| ", DOCS["troubleshooting"], re.MULTILINE)
EXPLAINED = [text for row in _ROWS for text in row[1:-1].split("`, `")]
# Those of wrong options say all by themselves.
ERRORS = (
    "ApiError",
    "ArchiveError",
    "AuthError",
    "DownloadError",
    "ExhaustedError",
    "HeaderError",
    "LimitError",
    "NotReadyError",
    "PayloadError",
    "RecordError",
    "TruncatedError",
)


def template(node: ast.expr) -> str:
    """The text of a message, with … for what is only known when it is raised."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(template, node.values))
    if isinstance(node, ast.Call) and node.args:  # one_line(...)
        return template(node.args[0])
    return "…"


def messages(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS and node.args:
                yield template(node.args[0])


def is_in(explained: str, message: str) -> bool:
    """Whether the words of one are in the other, in their order."""
    return re.search(".*".join(map(re.escape, explained.split("…"))), message) is not None


def test_the_page_explains_every_message() -> None:
    found = {message for message in messages(ROOT / "src" / "trackparse") if re.search("[a-z]", message)}
    assert len(found) > 60
    missing = sorted(message for message in found if not any(is_in(text, message) for text in EXPLAINED))
    assert not missing, "\n".join(("docs/troubleshooting.md does not explain these messages:", *missing))


def test_every_message_of_the_page_is_one_of_the_library() -> None:
    texts = "\n".join(
        template(node).replace("\n", " ")
        for path in (*(ROOT / "src" / "trackparse").rglob("*.py"), ROOT / "setup.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant | ast.JoinedStr)
    )
    assert not [text for text in EXPLAINED if not is_in(text, texts)]


# ---- stability --------------------------------------------------------------------------------------------


def test_the_page_has_every_warning_that_is_logged() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "trackparse").rglob("*.py"))
    assert sources.count("logger.warning(") == DOCS["stability"].count("\n| `WARNING` |")
    assert set(re.findall(r"getLogger\((.*?)\)", sources)) == {'"trackparse"', "message.name"}


def test_the_page_has_every_environment_variable() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "trackparse").rglob("*.py"))
    for name in set(re.findall(r"\bTRACKPARSE_[A-Z_]+", sources)):
        assert f"`{name}`" in DOCS["stability"], name
