"""Builds the targets and runs each for some seconds: executions, coverage, and what was found, if anything.

The C targets are libFuzzer's, the Python ones atheris', with the C kernel built for them: the kernel runs under
AddressSanitizer and UBSan in all.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

FUZZ: Final = Path(__file__).resolve().parent
ROOT: Final = FUZZ.parent
PACKAGE: Final = ROOT / "src" / "trackparse"
# Name and bytes of the largest input: what is small is tried more often.
C_TARGETS: Final = {"kernel_index": 4096, "kernel_values": 1024}
PYTHON_TARGETS: Final = {"kernels": 1024, "log": 2048, "archive": 4096, "written": 512, "payload": 512}
TARGETS: Final = {**C_TARGETS, **PYTHON_TARGETS}
FLAGS: Final = (
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"),
    *("-O1", "-g", "-fno-strict-aliasing"),
)
SEEDS_PER_SECOND: Final = 20  # so that a short run gets to inputs of its own


class Run(NamedTuple):
    """What came of a target."""

    executions: int
    edges: int  # branches reached
    finding: str  # what it printed, empty if nothing was found


def missing() -> str:
    """What is not at hand; empty if nothing is."""
    if shutil.which("clang") is None:
        return "clang is missing"
    resources = subprocess.run(["clang", "-print-resource-dir"], capture_output=True, text=True, check=True).stdout
    if not any(Path(resources.strip()).rglob("libclang_rt.fuzzer*")):
        return "clang's libFuzzer is missing"
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        return "Python.h is missing"
    return "" if find_spec("atheris") else "atheris is not installed"


def build(target: str, folder: Path, package: Path) -> list[str]:
    """The command that runs the target with the package's kernel."""
    folder.mkdir(parents=True, exist_ok=True)
    if target in C_TARGETS:
        headers = f"-I{package / 'records' / 'kernel'}"
        _compile(["-fsanitize=fuzzer", "-std=gnu11", headers, str(FUZZ / f"{target}.c")], folder / target)
        return [str(folder / target)]
    copy = folder / "package" / "trackparse"
    kernel = copy / "records" / "kernel"
    if not copy.exists():
        shutil.copytree(package, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        python = [f"-I{sysconfig.get_paths()['include']}", "-DPy_LIMITED_API=0x030B0000", "-shared", "-fPIC"]
        flags = ["-fsanitize=fuzzer-no-link", "-std=c11", *python]
        _compile([*flags, str(kernel / "native.c")], kernel / "native.abi3.so")
    return [sys.executable, str(FUZZ / f"{target}.py")]


def _compile(arguments: list[str], out: Path) -> None:
    # A run of seconds is over sooner with CFLAGS="-O0 -g0": what that leaves out takes longer than it saves.
    more = os.environ.get("CFLAGS", "").split()
    subprocess.run(["clang", *FLAGS, *more, *arguments, "-o", str(out)], check=True)


def _environment(target: str, folder: Path) -> dict[str, str]:
    """In which the package is the sanitized copy."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("TRACKPARSE_", "PYTHON"))}
    own = variables.get("ASAN_OPTIONS", "")
    variables["UBSAN_OPTIONS"] = "print_stacktrace=1"
    if target in C_TARGETS:
        return variables
    spec = find_spec("atheris")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("atheris is not installed")
    # pyarrow throws: without libstdc++ beside it, the sanitizer finds no one to hand that to.
    ask = ["clang", "-print-file-name=libstdc++.so.6"]
    library = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    variables["LD_PRELOAD"] = f"{Path(spec.origin).parent.parent / 'asan_with_fuzzer.so'} {library}"
    variables["PYTHONPATH"] = str(folder / "package")
    # The interpreter frees less than all at its end. The rest is for speed: to note where memory is allocated takes
    # half of the time. With ASAN_OPTIONS=malloc_context_size=30 a finding says it.
    variables["ASAN_OPTIONS"] = f"detect_leaks=0:malloc_context_size=0:quarantine_size_mb=4:{own}"
    if target in ("kernels", "payload"):
        # Small buffers, too, end where they end.
        variables["PYTHONMALLOC"] = "malloc"
    return variables


def seed(targets: list[str], seconds: int, folder: Path) -> None:
    """Put seeds into the corpus of each target; with the package as it stands, whatever is tried."""
    arguments = [str(folder / "corpus"), str(SEEDS_PER_SECOND * seconds), *targets]
    variables = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    subprocess.run([sys.executable, str(FUZZ / "seeds.py"), *arguments], check=True, env=variables)


def run(target: str, seconds: int, folder: Path, package: Path = PACKAGE, inputs: tuple[str, ...] = ()) -> Run:
    """Run it on its corpus, which grows; or on these inputs only."""
    command = build(target, folder, package)
    corpus, findings = folder / "corpus" / target, folder / "findings"
    findings.mkdir(exist_ok=True)
    options = [
        *(f"-max_total_time={seconds}", f"-dict={FUZZ / 'tokens.dict'}", f"-artifact_prefix={findings}/{target}-"),
        *(f"-max_len={TARGETS[target]}", "-timeout=60", "-print_final_stats=1", "-use_value_profile=1"),
    ]
    done = subprocess.run(
        [*command, *options, *(inputs or [str(corpus)])],
        env=_environment(target, folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    executions = re.findall(r"number_of_executed_units: (\d+)", done.stdout)
    edges = re.findall(r" cov: (\d+) ", done.stdout)
    finding = _finding(done.stdout) if done.returncode else ""
    return Run(max(map(int, executions), default=0), max(map(int, edges), default=0), finding)


def _finding(output: str) -> str:
    """What was said of it, without libFuzzer's progress."""
    progress = re.compile(r"#\d+\s|INFO: |\t(?:NEW|REDUCE|pulse)|0x[0-9a-f]{2},|ParseDictionaryFile|Dictionary: ")
    lines = [line[:2000] for line in output.splitlines() if not progress.match(line)]
    return "\n".join(lines) or f"it ended without a word: {output[-1000:]}"


def main() -> int:
    """Run; 1 if there is a finding."""
    parser = argparse.ArgumentParser(description="Fuzz trackparse.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--target", choices=TARGETS, help="only this one")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fuzz", help="for what is built and found")
    parser.add_argument("--package", type=Path, default=PACKAGE, help="what is tried")
    parser.add_argument("inputs", nargs="*", help="of one target: these, and nothing else")
    args = parser.parse_args()
    if args.inputs and not args.target:
        parser.error("inputs are those of one target: name it with --target")
    if lacking := missing():
        sys.exit(f"fuzz: {lacking}")
    folder = args.folder.resolve()
    shutil.rmtree(folder / "package", ignore_errors=True)
    targets = [args.target] if args.target else [*TARGETS]
    if not args.inputs:
        seed(targets, args.seconds, folder)
    found = False
    for target in targets:
        result = run(target, args.seconds, folder, args.package.resolve(), tuple(args.inputs))
        print(f"{target:14}{result.executions:>12,} executions{result.edges:>8,} edges", flush=True)
        if result.finding:
            found = True
            print(f"{target}: a finding, kept in {folder / 'findings'}:\n{result.finding}", flush=True)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
