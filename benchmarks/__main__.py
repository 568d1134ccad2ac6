"""Runs the contenders by turns, each in a process of its own, and prints what came out.

What is timed: opening the ZIP, inflating, and all that follows, to the last batch, row or byte of Parquet. What is
not: starting Python, imports, and the first read of the file from the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import corpus, report
from benchmarks.contenders import BY_NAME, CONTENDERS, Contender

_ROOT = Path(__file__).parent.parent
_PACKAGES = ("trackparse", "pyarrow", "polars", "duckdb", "pandas", "isal")
_FULL_ONLY = ("memory",)
_DIALECTS = ("php", "rfc4180")


def main() -> int:
    """Run; 1 if a contender's answer is wrong."""
    args = _arguments()
    contenders = _chosen(args.only, full=args.full)
    logs = _logs(args.rows, full=args.full)
    facts = _facts()
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    wrong = [one.name for one in contenders if not _is_right(one, logs[one.log]())]
    if wrong:
        print(f"wrong answers, so no clock for anybody: {', '.join(wrong)}", file=sys.stderr)
        return 1
    right = {one.name: _rows_right(one) for one in contenders if one.compared}
    runs = _run_by_turns(contenders, logs, args.runs)
    results = {name: report.Result(name, tuple(found), right.get(name, {})) for name, found in runs.items()}
    verdicts = report.verdicts(results)
    print(f"\n{args.rows:,} rows, medians of {args.runs} runs; right: share of {corpus.COMPARED:,} rows\n")
    print(*report.table(results, corpus.COMPARED), "", *report.summary(verdicts), sep="\n")
    if args.json:
        found = {"facts": facts, "rows": args.rows, "results": [asdict(result) for result in results.values()]}
        found["verdicts"] = [asdict(verdict) | {"good": verdict.good} for verdict in verdicts]
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    if args.svg:
        caption = f"Seconds for {args.rows:,} rows, medians of {args.runs} runs; {facts['CPU']}"
        args.svg.write_text(report.chart(results, caption))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N", help="rows of the log (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs of each (%(default)s)")
    parser.add_argument("--full", action="store_true", help="also 8 times the rows: for memory and the first batch")
    parser.add_argument("--only", metavar="NAME,...", help=f"these alone: {', '.join(BY_NAME)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write a chart there")
    args = parser.parse_args()
    if args.rows < 1 or args.runs < 1:
        parser.error("at least one row and one run")
    if args.only and (unknown := set(args.only.split(",")) - set(BY_NAME)):
        parser.error(f"--only: no {', '.join(sorted(unknown))}; there are {', '.join(BY_NAME)}")
    return args


def _chosen(only: str | None, *, full: bool) -> list[Contender]:
    if only:
        return [BY_NAME[name] for name in only.split(",")]
    return [one for one in CONTENDERS if full or one.name not in _FULL_ONLY]


def _logs(rows: int, *, full: bool) -> dict[str, Callable[[], corpus.Log]]:
    """How each log is had: written when it is first asked for."""
    return {
        name: cache(partial(make, rows, *more))
        for name, make, *more in (
            ("php", corpus.php),
            ("rfc4180", corpus.rfc4180),
            ("bad", corpus.with_bad_records),
            ("long", corpus.repeated, 8 if full else 2),
            ("times8", corpus.repeated, 8),
        )
    }


def _facts() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    return {
        "CPU": f"{_processor()}, {os.cpu_count()} cores",
        # Two threads want two cores: what else runs takes from them first.
        "load": f"{os.getloadavg()[0]:.1f}",
        "kernel": _python("-c", "import trackparse; print(trackparse.kernel)").strip(),
        "Python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _is_right(contender: Contender, log: corpus.Log) -> bool:
    """Hold what the contender makes of the log against what is in it."""
    _say(f"check {contender.name}")
    found = _measure(contender, "check", log.path)
    truth = asdict(log.truth)
    wrong = {name: value for name, value in found.items() if value != truth[name]}
    if wrong or not found:
        print(f"{contender.name}: {wrong or 'nothing'}, in the log: {truth}", file=sys.stderr)
    return bool(found) and not wrong


def _rows_right(contender: Contender) -> dict[str, int]:
    _say(f"compare {contender.name}")
    logs = {dialect: corpus.compared(dialect).path for dialect in _DIALECTS}
    return {dialect: _measure(contender, "compare", log, dialect)["right"] for dialect, log in logs.items()}


def _run_by_turns(
    contenders: Iterable[Contender], logs: dict[str, Callable[[], corpus.Log]], runs: int
) -> dict[str, list[dict[str, Any]]]:
    """A B C A B C: what disturbs the machine for a while disturbs all alike."""
    found: dict[str, list[dict[str, Any]]] = {one.name: [] for one in contenders}
    for turn in range(runs):
        for contender in map(BY_NAME.__getitem__, found):
            _say(f"run {turn + 1}/{runs} {contender.name}")
            log = logs[contender.log]()
            corpus.warm(log.path)
            run = _measure(contender, "time", log.path)
            expected = log.truth.inflated if contender.kind == "bytes" else log.truth.rows
            if run["amount"] != expected:
                raise SystemExit(f"{contender.name}: {run['amount']} this time, there are {expected}")
            found[contender.name].append(run)
    _say("")
    return found


def _measure(contender: Contender, mode: str, log: Path, *more: str) -> dict[str, Any]:
    out = _python("-m", "benchmarks.worker", contender.name, mode, str(log), *more)
    return dict(json.loads(out.splitlines()[-1]))


def _python(*arguments: str) -> str:
    # NumPy, which pyarrow imports, has threads that spin for a while before they sleep: on a core that is timed.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=_ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"python {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
