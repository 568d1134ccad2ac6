"""Logs that mean harm: what they may cost in memory, and that nothing in them is ever obeyed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import trackparse
from support.archives import files_in, python_zip
from support.kernels import SLOW
from support.logs import H6, H8, line, line6

MIB = 1 << 20
PACKAGE = Path(trackparse.__file__).parent

# Reads a log in a given way and prints what came of it, and by how many MiB memory rose above where it was before.
_READ = """
import resource, sys
import pyarrow, pyarrow.parquet
import trackparse, trackparse.reader, trackparse.convert.parquet

def peak():
    # Of this process alone: what getrusage says includes the parent before the exec.
    with open("/proc/self/status") as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmHWM")))

path, how = sys.argv[1:]
trackparse.read_log(b"//timestamp;tracking_code\\n")
before = peak()
rows = 0
try:
    if how.startswith("convert"):
        rejects = {"rejects": how.partition(" ")[2]} if " " in how else {}
        report = trackparse.convert_log(path, path + ".parquet", on_error="quarantine", **rejects)
        rows = report.records
    elif how == "events":
        for event in trackparse.iter_events(path, on_error="skip"):
            rows += 1
    else:
        with trackparse.open_log(path, on_error=how) as log:
            for batch in log:
                rows += batch.num_rows
            log.rejects
except trackparse.TrackparseError as error:
    print(type(error).__name__, end=" ")
print(rows, (peak() - before) // 1024)
"""


def read(path: Path, how: str) -> tuple[str, int]:
    """The outcome in words, and MiB."""
    # As users have it: the allocators of development mode take more, of memory and of time.
    plain = {**os.environ, "PYTHONDEVMODE": ""}
    run = subprocess.run(
        [sys.executable, "-c", _READ, path, how], capture_output=True, text=True, check=True, env=plain
    )
    outcome, _, mib = run.stdout.strip().rpartition(" ")
    return outcome, int(mib)


def gzipped(path: Path, parts: Iterator[bytes]) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        for part in parts:
            file.write(packer.compress(part))
        file.write(packer.flush())


def endless_field() -> Iterator[bytes]:
    yield H8 + line() * 3 + b'2021-04-20 13:01:01;T-1;u;h;sent;;A;"'
    for _ in range(160):
        yield b"x" * MIB


def wide_header() -> Iterator[bytes]:
    yield b"//timestamp;tracking_code;" + b";".join(b"%060d" % i for i in range(1000)) + b"\n"
    yield b"2011-01-01T15:03:01\n" * 100_000


def bad_records() -> Iterator[bytes]:
    yield H6
    yield b"2011-01-01T15:03:01\n" * 200_000


def blank_lines() -> Iterator[bytes]:
    yield H6 + line6()
    for _ in range(200):
        yield b"\n" * MIB


def quotes() -> Iterator[bytes]:
    yield H6 + line6()
    for _ in range(8):
        yield b'";"\n' * (MIB // 4)


def headers() -> Iterator[bytes]:
    yield (H6 + H8) * 10_000


def long_records() -> Iterator[bytes]:
    yield H8
    for i in range(300):
        yield line(b"%d" % i + b"x" * MIB)


# What it is, its parts, how it is read, the outcome, MiB at most.
@pytest.mark.skipif(SLOW > 1, reason="the slow kernel takes minutes")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
@pytest.mark.parametrize(
    ("parts", "how", "outcome", "most"),
    [
        (endless_field, "raise", "LimitError 3", 256),
        (endless_field, "convert", "LimitError 0", 256),
        (endless_field, "events", "LimitError 3", 256),
        (wide_header, "quarantine", "0", 192),
        (wide_header, "convert rejects.jsonl", "0", 192),
        (bad_records, "skip", "0", 96),
        (bad_records, "convert rejects.parquet", "0", 192),
        (blank_lines, "raise", "1", 64),
        (quotes, "skip", "1", 128),
        (headers, "raise", "0", 192),
        (long_records, "events", "300", 96),
        (long_records, "convert", "300", 256),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_memory_is_bounded(
    parts: Callable[[], Iterator[bytes]], how: str, outcome: str, most: int, tmp_path: Path
) -> None:
    path = tmp_path / "log.csv.gz"
    gzipped(path, parts())
    found, mib = read(path, how.replace("rejects.", f"{tmp_path}/rejects."))
    assert found == outcome
    assert mib < most


@pytest.mark.parametrize("name", ["wide", "long"])
def test_a_name_is_not_repeated_for_each_bad_record(name: str) -> None:
    """20 bytes of log must not become 64 KiB of rejects."""
    bad = b"2011-01-01T15:03:01\n" * 500
    header = b"".join(wide_header()).partition(b"\n")[0] + b"\n" if name == "wide" else H6
    archive = python_zip({"x" * 65_000 + ".csv" if name == "long" else "log.csv": header + bad})
    with trackparse.open_log(archive, on_error="quarantine") as log:
        log.read_all()
        assert log.rejects["raw"].to_pylist() == [b"2011-01-01T15:03:01\n"] * 500
        assert log.rejects.nbytes < MIB
        again = trackparse.mended_log(log.rejects)
    with trackparse.open_log(again, on_error="quarantine") as log:
        log.read_all()
        assert log.rejects.num_rows == 500
        # It says what it was read for, once.
        assert log.rejects["header"][0].as_py() == header.decode().strip()


@pytest.mark.parametrize(
    "name", ["../../escape.csv", "/tmp/escape.csv", "C:\\escape.csv", "a/../../escape.csv", "log.csv\0.exe", "\n.csv"]
)
def test_the_name_of_a_member_never_becomes_a_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    (inner / "log.zip").write_bytes(python_zip({name: H8 + line() + line(b"{};")}))
    report = trackparse.convert_log("log.zip", "log.parquet", on_error="quarantine", rejects="bad.jsonl")
    assert report.records == 1
    assert files_in(tmp_path) == ["a"]
    assert files_in(tmp_path / "a") == ["b"]
    assert files_in(inner) == ["bad.jsonl", "log.parquet", "log.zip"]
    assert not Path("/tmp/escape.csv").exists()


def test_nothing_in_the_library_runs_what_it_reads() -> None:
    dangerous = {"pickle", "marshal", "shelve", "subprocess", "ctypes", "code", "codeop", "runpy", "pty"}
    calls = {"eval", "exec", "compile", "__import__", "system", "popen"}
    # It starts workers: our own program, with nothing of a log among its words.
    allowed = {"processes.py": {"subprocess"}}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: set[str] = set()
            if isinstance(node, ast.Import):
                names = {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").partition(".")[0]}
            elif isinstance(node, ast.Call):
                function = node.func
                name = function.id if isinstance(function, ast.Name) else ""
                if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
                    name = function.attr if function.value.id == "os" else ""
                assert name not in calls, f"{path.name}: line {node.lineno}"
            found = names & dangerous - allowed.get(path.name, set())
            assert not found, f"{path.name}: {found}"


def test_a_payload_nested_without_end_is_an_error_where_it_is_looked_into() -> None:
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    (event,) = trackparse.iter_events(H8 + line(b'"' + deep.replace(b'"', b'""') + b'"'))
    assert event.payload is not None
    assert event.payload.text == deep.decode()
    with pytest.raises(trackparse.PayloadError):
        event.payload["a"]
