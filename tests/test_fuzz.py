"""The fuzz targets find nothing in a few seconds, and find what is planted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import trackparse

FUZZ = Path(__file__).parent.parent / "fuzz"
PACKAGE = Path(trackparse.__file__).parent
TARGETS = ["kernel_index", "kernel_values", "kernels", "log", "archive", "written", "payload"]
# What is planted where, and what finds it.
PLANTED = {
    "a byte past the buffer": (
        "kernel_values",
        "records/kernel/isa_portable.h",
        "#define load_part(p, n, space) load64_portable(pad(p, n, space))",
        "#define load_part(p, n, space) load64_portable(((void)(n), (void)(space), p))",
        "heap-buffer-overflow",
    ),
    "one instruction set that differs": (
        "kernel_index",
        "records/kernel/isa_avx2.h",
        "#define prefix_xor prefix_xor_clmul",
        "#define prefix_xor(m) (m)",
        "avx",
    ),
    "memory that is not freed": (
        "kernel_index",
        "records/kernel/dialect.h",
        "    free(value);\n",
        "",
        "LeakSanitizer: detected memory leaks",
    ),
    "an escape that is not checked": (
        "payload",
        "records/kernel/scan.inc",
        "    s->bad |= wrong != 0;\n",
        "",
        "the reference",
    ),
    "bytes that are not counted": (
        "log",
        "records/indexer.py",
        "        self._blank_bytes += blank_bytes\n",
        "",
        "AssertionError",
    ),
}

pytestmark = pytest.mark.skipif(
    os.environ.get("TRACKPARSE_KERNEL", "c") != "c", reason="the targets try each kernel, whichever is forced"
)


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CFLAGS": "-O0 -g0"}
    return subprocess.run(
        [sys.executable, str(FUZZ / "run.py"), *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    """What the targets are built with, or a reason to skip."""
    code = "import sys; sys.path.append(sys.argv[1]); import run; print(run.missing())"
    found = subprocess.run([sys.executable, "-c", code, str(FUZZ)], capture_output=True, text=True, check=True)
    if found.stdout.strip():
        pytest.skip(found.stdout.strip())


def test_no_target_finds_anything_in_seconds(tmp_path: Path) -> None:
    done = fuzz("--seconds", "1", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.replace(",", "").split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == TARGETS
    for _, executions, _, edges, _ in lines:
        assert int(executions) >= 10
        assert int(edges) > 300


@pytest.mark.parametrize("planted", PLANTED)
def test_a_target_finds_what_is_planted(planted: str, tmp_path: Path) -> None:
    target, file, before, after, said = PLANTED[planted]
    package = tmp_path / "trackparse"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    text = (package / file).read_text()
    assert before in text
    (package / file).write_text(text.replace(before, after))
    done = fuzz("--target", target, "--seconds", "20", "--folder", str(tmp_path), "--package", str(package))
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout
