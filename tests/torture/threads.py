"""ThreadSanitizer over the kernel while threads read: make tsan. Needs gcc with its libtsan.

The kernel alone is instrumented. A race is two threads that use the same memory in it, one of them to write, with
nothing that keeps them apart. Python and pyarrow are not instrumented, but their locks are known. First a race is
planted in a copy of the kernel: if that is not found, it means nothing that no other race is found.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import trackparse
from trackparse.testing.sample import write_sample

TESTS: Final = Path(__file__).resolve().parent.parent
# Test files, and which of their tests. gcc's libtsan ends a child that was forked beside threads and starts one of its
# own: "dup thread with used id".
FILES: Final = {
    "test_readahead.py": "",
    "test_fork.py": "not any_moment and not client_made_before",
    "test_lifetimes.py": "",
    "test_kernels.py": "",
}
READERS: Final = 4  # at a time
ROWS: Final = 20_000
FLAGS: Final = ("-fsanitize=thread", "-fno-omit-frame-pointer", "-O1", "-g", "-std=c11", "-fno-strict-aliasing")
LONGEST: Final = 600  # seconds for each run: a forked child may hang in the sanitizer itself
# Python's lock is released around this line: several threads run it at once.
CALL: Final = "status = index_records(x, &position, &f);"
PLANTED: Final = "static int planted; planted++; " + CALL


def library(name: str) -> str:
    """Where gcc keeps it; an end with a message if it does not."""
    found = subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(found).is_absolute():
        sys.exit(f"tsan: gcc's {name} is missing")
    return found


def build(folder: Path, *, planted: bool = False) -> Path:
    """A copy of the package with its kernel built by ThreadSanitizer."""
    package = folder / "trackparse"
    shutil.copytree(Path(trackparse.__file__).parent, package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    kernel = package / "records" / "kernel"
    if planted:
        source = kernel / "native_index.h"
        text = source.read_text()
        if text.count(CALL) != 1:
            sys.exit(f"tsan: {source.name} has no line to plant a race in: mend CALL in {__file__}")
        source.write_text(text.replace(CALL, PLANTED))
    python = ("-DPy_LIMITED_API=0x030B0000", f"-I{sysconfig.get_paths()['include']}", "-shared", "-fPIC")
    subprocess.run(["gcc", *FLAGS, *python, str(kernel / "native.c"), "-o", str(kernel / "native.abi3.so")], check=True)
    return folder


def run(folder: Path, *arguments: str) -> tuple[int, str, list[str]]:
    """Run Python with the package there: its exit code, what it printed, and the reports of all its processes."""
    reports = folder / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("TRACKPARSE_", "PYTHON"))}
    variables |= {
        "PYTHONPATH": str(folder),
        # pyarrow throws: without libstdc++ beside it, the sanitizer finds no one to hand that to.
        "LD_PRELOAD": f"{library('libtsan.so')} {library('libstdc++.so.6')}",
        # A report is no reason for another exit code: the code is that of the tests. A fork beside threads is allowed.
        "TSAN_OPTIONS": f"ignore_noninstrumented_modules=1:die_after_fork=0:exitcode=0:log_path={reports}/report",
        # Memory that is handed on from thread to thread by an allocator which is not looked at would look like a race.
        "PYTHONMALLOC": "malloc",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "HYPOTHESIS_PROFILE": "reduced",
        "TRACKPARSE_SANITIZED": "1",
    }
    command = ["timeout", str(LONGEST), sys.executable, *arguments]
    merged: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    done = subprocess.run(command, env=variables, cwd=TESTS.parent, check=False, **merged)
    return done.returncode, done.stdout, [path.read_text() for path in sorted(reports.iterdir())]


def read_side_by_side() -> None:
    """Threads that read the same bytes each for itself, in all ways, and threads that share one reader."""
    print(trackparse.kernel, trackparse.__file__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sample(folder / "log.zip", rows=ROWS)
        data = (folder / "log.zip").read_bytes()

        def batches() -> int:
            with trackparse.open_log(data, dictionary=["hwid", "status"]) as log:
                return sum(batch.num_rows for batch in log)

        def views() -> int:
            return int(trackparse.read_log(data, string_type="string_view").num_rows)

        def events() -> int:
            return sum(1 for _ in trackparse.iter_events(data))

        def filtered() -> int:
            wanted = trackparse.Filter(statuses=["sent", "opened"])
            return int(trackparse.read_log(data, where=wanted).num_rows)

        def converted() -> int:
            return trackparse.convert_log(data, folder / f"{threading.get_ident()}.parquet").records

        for way in (batches, views, events, filtered, converted):
            found = together([way] * READERS)
            print(f"{way.__name__}: {found}")
            assert len(set(found)) == 1, found
        with trackparse.open_log(data) as log:

            def share() -> int:
                return sum(batch.num_rows for batch in log)

            assert sum(together([share] * READERS)) == ROWS


def together(ways: list[Callable[[], int]]) -> list[int]:
    """What each of them gives, in threads."""
    found: list[int] = []
    threads = [threading.Thread(target=lambda way=way: found.append(way())) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(ways)
    return found


def main() -> int:
    """Say what ran and what was found; 1 if there is a race, a failed test, or the planted race was not found."""
    parser = argparse.ArgumentParser(description="ThreadSanitizer over the kernel.")
    parser.add_argument("--read", action="store_true", help="only read in threads, in this process")
    parser.add_argument("--file", choices=FILES, help="of the tests only these")
    asked = parser.parse_args()
    if asked.read:
        read_side_by_side()
        return 0
    if shutil.which("gcc") is None:
        sys.exit("tsan: gcc is missing")
    with tempfile.TemporaryDirectory() as name:
        planted = build(Path(name, "planted"), planted=True)
        _, said, reports = run(planted, __file__, "--read")
        found = any("'planted" in report for report in reports)
        print(f"the planted race: {'found' if found else 'NOT FOUND'}", flush=True)
        if not found:
            print(said)
            return 1
        folder = build(Path(name, "kernel"))
        clean = _is_clean("readers side by side", folder, __file__, "--read")
        for file in [asked.file] if asked.file else FILES:
            clean &= _is_clean(
                file,
                folder,
                "-m",
                "pytest",
                "-q",
                "-n",
                "0",
                "-p",
                "no:cacheprovider",
                "-k",
                FILES[file],
                str(TESTS / file),
            )
    return int(not clean)


def _is_clean(what: str, folder: Path, *arguments: str) -> bool:
    """Run it and say what came of it."""
    start = time.monotonic()
    code, said, reports = run(folder, *arguments)
    last = said.strip().rpartition("\n")[2]
    print(f"{what}: exit code {code}, {len(reports)} reports, {time.monotonic() - start:.0f} s: {last}", flush=True)
    if code or reports:
        print("\n".join([*reports[:3], said[-3000:]]))
    return not code and not reports


if __name__ == "__main__":
    sys.exit(main())
