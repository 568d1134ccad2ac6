"""The C kernel under AddressSanitizer and UBSan: the cases and the comparison, in a process of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import trackparse
from support.kernels import INSTRUCTION_SETS

TESTS = Path(__file__).parent
PACKAGE = Path(trackparse.__file__).parent
FLAGS = [
    "-fsanitize=address,undefined",
    "-fno-sanitize=object-size",  # libasan sees the same, and says more
    "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
    "-Og",
    "-g",
]
# Each instruction set is compared by what is made at random; the cases need only the best.
OTHERS = "".join(f" or {name}" for name in INSTRUCTION_SETS[1:])
CHOSEN = f"(test_kernels and not (the_cases and (none{OTHERS}))) or (not reference and (string_views or test_events))"


def library(name: str) -> str:
    """Where gcc keeps it; empty if it does not."""
    done = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    found = done.stdout.strip()
    return found if Path(found).is_absolute() else ""


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the package is a copy with its kernel built by the sanitizers."""
    if os.environ.get("TRACKPARSE_SANITIZED"):
        pytest.skip("this is the run under the sanitizers")
    if not (PACKAGE / "records/kernel/native.c").exists():
        pytest.skip("the sources of the kernel are not at hand")
    if shutil.which("gcc") is None or not library("libasan.so"):
        pytest.skip("gcc or its libasan is missing")
    folder = tmp_path_factory.mktemp("sanitized")
    shutil.copytree(PACKAGE, folder / "trackparse", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    include = sysconfig.get_paths()["include"]
    if not Path(include, "Python.h").exists():
        pytest.skip("Python.h is missing")
    kernel = folder / "trackparse/records/kernel"
    subprocess.run(
        [
            "gcc",
            *FLAGS,
            "-std=c11",
            "-fno-strict-aliasing",
            "-DPy_LIMITED_API=0x030B0000",
            "-shared",
            "-fPIC",
            f"-I{include}",
            str(kernel / "native.c"),
            "-o",
            str(kernel / "native.abi3.so"),
        ],
        check=True,
    )
    return {
        **{name: value for name, value in os.environ.items() if name not in ("TRACKPARSE_KERNEL", "PYTHONDEVMODE")},
        "PYTHONPATH": str(folder),
        # pyarrow throws: without libstdc++ beside it, libasan finds no one to hand that to.
        "LD_PRELOAD": " ".join(filter(None, map(library, ("libasan.so", "libstdc++.so.6")))),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=86",
        "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=86",
        "PYTHONMALLOC": "malloc",
        "HYPOTHESIS_PROFILE": "reduced",
        "TRACKPARSE_SANITIZED": "1",
    }


def with_leaks(environment: dict[str, str]) -> dict[str, str]:
    """The interpreter and other extensions leave something at their end, too: whoever asks looks for a name."""
    return {**environment, "ASAN_OPTIONS": environment["ASAN_OPTIONS"].replace("detect_leaks=0", "detect_leaks=1")}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=TESTS.parent, capture_output=True, text=True, check=False
    )


def test_the_sanitized_kernel_is_the_one_that_runs(sanitized: dict[str, str]) -> None:
    code = "import trackparse.records.kernel.native as k, trackparse; print(k.__file__, trackparse.kernel)"
    done = run(sanitized, "-c", code)
    assert done.stdout.startswith(sanitized["PYTHONPATH"]), done.stderr
    assert "c (" in done.stdout


def test_the_sanitizers_see_a_fault(sanitized: dict[str, str], tmp_path: Path) -> None:
    """Or they would be silent about the kernel, too."""
    (tmp_path / "fault.c").write_text(
        "#include <stdlib.h>\n"
        "int fault(int n) { char *p = malloc(4); p[1] = 1; int c = p[n] + p[1]; free(p); return c; }\n"
        "void forget(int n) { *(volatile char *)malloc(n) = 1; }\n"
    )
    subprocess.run(
        ["gcc", *FLAGS, "-shared", "-fPIC", str(tmp_path / "fault.c"), "-o", str(tmp_path / "fault.so")], check=True
    )
    load = f"import ctypes; library = ctypes.CDLL({str(tmp_path / 'fault.so')!r}); "
    done = run(sanitized, "-c", load + "library.fault(4)")
    assert done.returncode == 86, done.stderr
    assert "heap-buffer-overflow" in done.stderr
    done = run(with_leaks(sanitized), "-c", load + "[library.forget(99) for _ in range(99)]")
    assert "in forget" in done.stderr


@pytest.mark.parametrize("files", [["test_kernels.py"], ["test_cases.py", "test_events.py"]], ids="-".join)
def test_the_cases_and_the_comparison_run_clean(files: list[str], sanitized: dict[str, str]) -> None:
    paths = [str(TESTS / name) for name in files]
    arguments = ("-q", "-x", "--capture=no", "-p", "no:cacheprovider", "-k", CHOSEN, *paths)
    done = run(with_leaks(sanitized), "-m", "pytest", *arguments)
    said = done.stdout[-2000:] + done.stderr[:4000]
    assert done.returncode in (0, 86), said
    assert " passed" in done.stdout, said
    assert " failed" not in done.stdout, said
    assert "runtime error" not in done.stderr, said
    assert "ERROR: AddressSanitizer" not in done.stderr, said
    assert "native" not in done.stderr, said
