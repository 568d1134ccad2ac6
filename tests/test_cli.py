"""The command line as a whole: what every command promises, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import trackparse
from support.cli import PROGRAM, ROW, csv_of, failed, good, run, with_bad
from trackparse.cli import cli
from trackparse.cli.exits import Exit, exit_for, gravest
from trackparse.testing.sample import write_sample

COMMANDS = sorted(cli.commands)
READING = ["cat", "check", "convert", "head", "schema", "stats"]


@pytest.mark.parametrize("command", READING)
def test_an_expected_error_is_one_line(command: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing.zip"
    assert f"{missing}: No such file or directory" in failed(1, command, missing)
    other = tmp_path / "other.csv"
    other.write_bytes(b"name;size\nx;1\n")
    assert str(other) in failed(1, command, other)
    assert str(tmp_path) in failed(1, command, tmp_path)


@pytest.mark.parametrize("command", ["cat", "check", "head", "schema", "stats"])
def test_standard_input_is_a_log_as_any_other(command: str, tmp_path: Path) -> None:
    log = csv_of(tmp_path / "log.csv", ROW)
    named = good(command, log).stdout
    assert good(command, "-", stdin=log.read_bytes()).stdout == named.replace(str(log), "<stdin>")
    assert "<stdin>" in failed(1, command, "-", stdin=b"")


@pytest.mark.parametrize(
    "arguments",
    [
        ["unknown"],
        ["head"],
        ["cat"],
        ["head", "x", "-n", "-1"],
        ["sample", "x"],
        ["sample", "x", "--rows", "many"],
        ["convert", "x", "--jobs", "0"],
        ["convert", "x", "--row-group-size", "0"],
        ["convert", "x", "--strict", "--rejects", "y.jsonl"],
        ["convert", "x", "y", "--rejects", "y.jsonl"],
        ["cat", "x", "--format", "xml"],
        ["stats", "x", "--dialect", "excel"],
        ["stats", "x", "--since", "yesterday"],
        ["stats", "x", "--since", "2021-04-20T13:01:01Z"],
        ["stats", "x", "--since", "2021-04-20", "--until", "2021-04-20"],
        ["convert", "x", "-o", ""],
        ["convert", "x", "-o", "/"],
        ["convert", ""],
        ["convert", "http://[x"],
        ["convert", "https://u:p@[::1/"],
        ["fetch", "--days", "1000000000000000"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert "Usage: trackparse" in failed(2, *arguments)


@pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)])
def test_help_says_how_to_use_it_with_examples(command: list[str]) -> None:
    told = good(*command, "--help").stdout
    assert told.startswith(f"Usage: {' '.join(['trackparse', *command])}")
    assert "\n  Examples:\n" in told
    assert good(*command, "-h").stdout == told


EXAMPLES = [
    (name, line)
    for name, command in [("", cli), *cli.commands.items()]
    for line in re.findall(r"^ *(?:.*\| )?(?:trackparse) +(?!COMMAND)([^|<>\n]+)", command.help or "", re.MULTILINE)
]


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_the_options_of_the_examples_exist(name: str, example: str) -> None:
    command, *words = example.split()
    assert name in ("", command)
    known = {option for param in cli.commands[command].params for option in param.opts}
    assert {word for word in words if re.match(r"-\D", word)} <= known


def test_help_imports_only_what_it_needs() -> None:
    code = (
        "import sys, trackparse.cli as c\n"
        "try: c.cli(['--help'], prog_name='trackparse')\n"
        "except SystemExit: pass\n"
        "heavy = ('pyarrow', 'numpy', 'orjson', 'rich', 'urllib3', 'isal', 'multiprocessing', 'concurrent')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.startswith("Usage: ")
    assert out.endswith("\n[]\n")


def test_version_is_that_of_the_package() -> None:
    assert good("--version").stdout == f"trackparse {trackparse.__version__}\n"


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_without_click_one_line_says_what_to_install(option: str) -> None:
    code = "import sys; sys.modules['click'] = None; from trackparse.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, option], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"trackparse {trackparse.__version__}: the command line needs click: pip install 'trackparse-pushwoosh[cli]'\n"
    )


def test_the_package_can_be_run() -> None:
    done = subprocess.run([sys.executable, "-m", "trackparse", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"trackparse {trackparse.__version__}\n"


def test_without_urllib3_one_line_says_what_to_install() -> None:
    code = "import sys; sys.modules['urllib3'] = None; from trackparse.cli import main; main()"
    command = [sys.executable, "-c", code, "head", "https://localhost/log.zip"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install 'trackparse-pushwoosh[client]'" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_it(shell: str) -> None:
    script = run(_TRACKPARSE_COMPLETE=f"{shell}_source").stdout
    assert "_TRACKPARSE_COMPLETE" in script
    completed = run(
        _TRACKPARSE_COMPLETE=f"{shell}_complete",
        COMP_WORDS="trackparse stats --status ",
        COMP_CWORD="" if shell == "fish" else "3",
    ).stdout
    assert all(status in completed for status in trackparse.Status)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("t", ["timestamp", "tracking_code", "target_id"]),
        ("hwid,sta", ["hwid,status"]),
        ("timestamp,t", ["timestamp,tracking_code", "timestamp,target_id"]),
    ],
)
def test_names_of_columns_are_completed(typed: str, expected: list[str]) -> None:
    words = f"trackparse cat log.zip --columns {typed}"
    completed = run(_TRACKPARSE_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD="4").stdout
    assert completed.splitlines() == [f"plain,{name}" for name in expected]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--partition-by d", ["date", "description"]),
        ("--partition-by date,app", ["date,appCode"]),
        ("--bloom-filter t", ["timestamp", "tracking_code", "target_id"]),
    ],
)
def test_other_options_complete_names_of_columns(words: str, expected: list[str]) -> None:
    typed = f"trackparse convert log.zip {words}"
    completed = run(_TRACKPARSE_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD="4").stdout
    assert completed.splitlines() == [f"plain,{name}" for name in expected]


# ---- exit codes


def test_an_error_ends_with_its_code() -> None:
    errors = {
        trackparse.TruncatedError(""): Exit.FAILED,
        FileNotFoundError(): Exit.FAILED,
        trackparse.AuthError(""): Exit.DENIED,
        trackparse.ApiError(""): Exit.SERVICE,
        trackparse.DownloadError(""): Exit.SERVICE,
        trackparse.NotReadyError(""): Exit.NOT_READY,
    }
    assert [exit_for(error) for error in errors] == list(errors.values())


def test_the_gravest_of_several_outcomes_is_told() -> None:
    assert gravest([]) == gravest([Exit.DONE]) == 0
    for count in range(1, len(order := [Exit.PARTIAL, Exit.REJECTED, Exit.NOT_READY, Exit.SERVICE, Exit.FAILED]) + 1):
        assert gravest([Exit.DONE, *order[:count]]) is order[count - 1]


@pytest.mark.parametrize(("option", "told"), [("--status", "take filters"), ("--payload", "take\n`--payload")])
def test_the_page_names_the_commands_with_an_option(option: str, told: str) -> None:
    page = (Path(__file__).parent.parent / "docs" / "command-line.md").read_text()
    sentence = re.split(r"\.\s", page[: page.index(told)])[-1]
    taking = {name for name, command in cli.commands.items() if any(option in one.opts for one in command.params)}
    assert set(re.findall(r"`(\w+)`", sentence)) == taking


def test_every_exit_code_has_its_place_in_the_docs() -> None:
    page = (Path(__file__).parent.parent / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\d+) \| `(\w+)` \|", page, re.MULTILINE)
    assert told == [(str(int(code)), code.name) for code in Exit]
    sections = re.findall(r"^## (\d+): ", page, re.MULTILINE)
    assert sections == [str(int(code)) for code in Exit]


# ---- real processes


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "log.zip"
    write_sample(path, rows=20_000)
    for command in (["head", str(path), "-n", "20000"], ["cat", str(path), "--format", "csv"]):
        with subprocess.Popen([*PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_behind_standard_output_is_one_line(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "log.csv", ROW)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*PROGRAM, "cat", str(path)], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "trackparse: <stdout>: No space left on device\n"


def test_an_interrupt_ends_quietly_with_130(tmp_path: Path) -> None:
    out = tmp_path / "out.zip"
    command = [*PROGRAM, "sample", str(out), "--rows", "100000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while not any(path.stat().st_size for path in tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, said) == (130, b"")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"PYTHONIOENCODING": "iso-8859-1"}, b"\\u041f"),
        # click takes it for a mistake, and writes UTF-8.
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, "Привет".encode()),
    ],
)
def test_a_terminal_without_the_letters_is_no_error(environment: dict[str, str], shown: bytes, tmp_path: Path) -> None:
    path = csv_of(tmp_path / "журнал.csv", ROW)
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))}
    settings |= {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), **environment}
    done = subprocess.run([*PROGRAM, "head", str(path)], capture_output=True, env=settings, check=True)
    assert shown in done.stdout
    done = subprocess.run([*PROGRAM, "cat", str(path)], capture_output=True, env=settings, check=True)
    assert "Привет 🔥".encode() in done.stdout


def test_standard_output_that_is_closed_is_no_error(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m trackparse.cli convert '{with_bad(tmp_path / 'log.csv')}' >&- 2>&-"
    assert subprocess.run(command, shell=True, check=False).returncode == 0  # noqa: S602
    assert (tmp_path / "log.parquet").exists()
