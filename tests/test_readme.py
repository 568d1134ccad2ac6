"""Examples do what their page says they do: blocks of Python run, their output is the block behind them."""

from __future__ import annotations

import ast
import builtins
import contextlib
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import trackparse
from support.cli import ended, good
from support.logs import H8, line
from trackparse import options
from trackparse.cli import cli
from trackparse.testing.sample import write_sample

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
USAGE = DOCS["usage"]
COMMAND_LINE = DOCS["command-line"]
# Pages whose blocks of Python run one after the other in one folder, with tracking_log.zip in it.
PAGES = [
    README,
    *(DOCS[name] for name in ("usage", "client", "asyncio", "comparison", "from-pandas", "hostile", "stability")),
]

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
BLOCKS = [(match[1], match[2], match[3]) for page in PAGES for match in BLOCK.finditer(page)]
EXAMPLES = [(code, output) for language, code, output in BLOCKS if language == "python"]
COMMANDS = re.findall(r"^ {4}trackparse (.+)$", COMMAND_LINE, re.MULTILINE)


def marked(name: str, page: str = README) -> tuple[str, str]:
    """The shell block behind a comment, and its output."""
    match = BLOCK.match(page, page.index(f"<!-- {name} -->\n") + len(f"<!-- {name} -->\n"))
    assert match
    assert match[1] == "sh"
    return match[2], match[3]


def trackparse_command(*arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-m", "trackparse.cli", *arguments]
    result = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, encoding="utf-8")
    assert result.stderr == ""
    return result.stdout


def without_measurements(text: str) -> str:
    """Sizes of packed files are the packer's business, seconds the machine's."""
    return re.sub(r"\d[\d.,]*(?= (?:[kM]B|s)\b)", "N", text)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readme") / "tracking_log.zip"
    write_sample(path, rows=1000)
    return path


@pytest.mark.parametrize(("code", "output"), EXAMPLES, ids=[f"example{n}" for n in range(len(EXAMPLES))])
def test_an_example_prints_what_stands_behind_it(
    code: str, output: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "bloom_filters" in code and "bloom_filter_options" not in inspect.signature(pq.ParquetWriter).parameters:
        pytest.skip("this pyarrow cannot write Bloom filters")
    monkeypatch.chdir(log.parent)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "example", "exec"), {"__name__": "__main__"})  # noqa: S102
    assert printed.getvalue() == output


def test_every_example_shows_its_output() -> None:
    assert len(EXAMPLES) == sum(page.count("```python\n") for page in PAGES) > 0
    assert all(output for _, output in EXAMPLES)


def test_the_first_command_shows_what_it_makes(tmp_path: Path) -> None:
    code, output = marked("try")
    install, *steps = code.replace("\\\n", "").split("&&\n")
    assert install.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    printed = ""
    for step in steps:
        program, *arguments = shlex.split(step)
        if program == ".venv/bin/trackparse":
            printed += trackparse_command(*arguments, cwd=tmp_path)
        else:
            assert program == ".venv/bin/python"
            result = subprocess.run(
                [sys.executable, *arguments],
                cwd=tmp_path,
                check=True,
                capture_output=True,
                text=True,
                encoding="utf-8",
                env={**os.environ, "PYTHONUTF8": "1"},
            )
            printed += result.stdout
    assert without_measurements(printed) == without_measurements(output)


def test_the_commands_print_what_stands_behind_them(log: Path) -> None:
    code, output = marked("cli", COMMAND_LINE)
    program = f'trackparse() {{ "{sys.executable}" -m trackparse.cli "$@"; }}\n'
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", program + code], cwd=log.parent, check=True, capture_output=True, text=True
    )
    assert without_measurements(result.stdout) == without_measurements(output)
    assert result.stderr == ""


def test_the_test_command_installs_what_the_tests_need() -> None:
    code, _ = marked("test")
    assert ".[test]" in code
    assert "pytest" in code


def test_commands_and_their_options_exist(tmp_path: Path) -> None:
    listed = trackparse_command("--help", cwd=tmp_path)
    names = {command.split()[0] for command in COMMANDS}
    assert names == set(re.findall(r"^  (\w+) ", listed.partition("Commands:\n")[2], re.MULTILINE))
    for command in COMMANDS:
        name, *_ = command.split()
        told = trackparse_command(name, "--help", cwd=tmp_path)
        for option in re.findall(r"(?<!\w)--?\w[\w-]*", command):
            assert re.search(rf"(?<![\w-]){option}\b", told), (name, option)


def test_verbs_and_files_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for verb in re.findall(r"\bmake (\w+)`?$|`make (\w+)`", README, re.MULTILINE):
        assert re.search(rf"^{''.join(verb)}:", makefile, re.MULTILINE), verb
    for folder, page in ((ROOT, README), (ROOT / "docs", USAGE)):
        for target in re.findall(r"\]\(([^)#]+)[)#]", page):
            assert (folder / target).exists(), target


def test_names_of_the_library_exist() -> None:
    text = README + USAGE
    for name in re.findall(r"\btrackparse\.(\w+)", re.sub(r"https?://\S+", "", text)):
        assert name in (*trackparse.__all__, "aio", "cli", "client", "polars", "spark", "testing"), name
    for name in re.findall(r"`(\w+Error)`", text):
        assert hasattr(trackparse, name) or hasattr(builtins, name), name


def test_limits_are_as_the_table_says() -> None:
    rows = dict(re.findall(r"^\| `(max_\w+)` \| ([^|]+?) \|", USAGE, re.MULTILINE))
    assert set(rows) == set(trackparse.Limits.__slots__)
    for name, told in rows.items():
        value = getattr(trackparse.Limits(), name)
        shown = "none" if value is None else f"{value:,}" if value % (1 << 20) else f"{value >> 20} MiB"
        assert told == shown, name


def test_defaults_are_as_the_table_says(tmp_path: Path) -> None:
    table = USAGE[USAGE.index("<!-- defaults -->") : USAGE.index("<!-- /defaults -->")]
    library, command_line = zip(
        *re.findall(r"^\| [^|]+ \| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)[1:], strict=True
    )
    many = inspect.signature(trackparse.convert_logs).parameters
    known = {**options.CONVERT_DEFAULTS, **{name: one.default for name, one in many.items()}}
    told = re.findall(r"`(\w+)=([^`]+)`", " ".join(library))
    assert {name for name, _ in told} == {"on_error", "on_damage", "existing", "jobs"}
    for name, value in told:
        assert known[name] == ast.literal_eval(value), name
    defaults = {name: parameter.default for parameter in cli.commands["convert"].params for name in parameter.opts}
    told = [pair for pair in re.findall(r"`(--\w+) (\w+)`", " ".join(command_line)) if pair[0] in defaults]
    assert told == [("--existing", "replace"), ("--existing", "replace"), ("--existing", "replace"), ("--jobs", "1")]
    assert {name: str(defaults[name]) for name, _ in told} == dict(told)
    bad = tmp_path / "bad.csv"
    bad.write_bytes(H8 + line() + b"x\n")
    for words, code, said in (
        (("convert",), 0, "1 bad record set aside in"), (("convert", "--strict"), 3, "field_count"),
        (("cat",), 0, "1 bad record left out"), (("cat", "--strict"), 3, "field_count"),
        (("head",), 0, "1 bad record found and left out"),
    ):  # fmt: skip
        assert said in ended(code, *words, bad).stderr
    good("convert", bad)
    (tmp_path / "bad.mended.parquet").touch()
    assert "the file exists" in ended(1, "mend", tmp_path / "bad.rejects.jsonl").stderr
