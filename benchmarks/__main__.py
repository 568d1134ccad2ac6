"""Runs the contenders by turns, each in a process of its own, and prints what came out.

What is timed: opening the ZIP, inflating, and all that follows, to the last batch, row or byte of Parquet. What is
not: starting Python, imports, and the first read of the file from the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from benchmarks import budgets, corpus, report, runner
from benchmarks.contenders import BY_NAME, CONTENDERS, MAIN
from benchmarks.peers import SWEPT
from benchmarks.runner import Entry
from benchmarks.sweep import sweep

_PACKAGES = ("pyarrow", "polars", "duckdb", "pandas", "isal")
_QUICK_ROWS, _QUICK_RUNS = 100_000, 3
_ROWS, _RUNS = 1_000_000, 5


def main() -> int:
    """Run; 1 if an answer is wrong, or if ``--check`` finds a budget that is not met."""
    args = _arguments()
    facts = _facts()
    print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    if args.sweep:
        names = [name for name in SWEPT if not args.only or name in args.only.split(",")]
        for line in sweep(names, MAIN if args.full else MAIN[:1], args.rows, args.runs):
            print(line, flush=True)
        return 0
    entries = _chosen(args.only, full=args.full)
    if not _all_right(entries, args.rows):
        return 1
    right = {one.name: runner.compare((one, kind)) for one, kind in entries if one.compared and kind == "today"}
    runs = runner.by_turns(entries, args.rows, args.runs)
    results = {place: budgets.Result(*place, tuple(found)) for place, found in runs.items()}
    verdicts = list(budgets.verdicts(results))
    size = f"{args.rows:,} rows, medians of {args.runs} turns"
    print(f"\n{size}; right: share of {corpus.COMPARED:,} rows\n")
    print(*report.table(results, right), "", *report.summary(verdicts), sep="\n")
    if args.json:
        found = {"facts": facts, "rows": args.rows, "results": [asdict(result) for result in results.values()]}
        found["right"] = right
        found["verdicts"] = [asdict(verdict) | {"met": verdict.met} for verdict in verdicts]
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    if args.markdown:
        report.write_markdown(args.markdown, verdicts, right, f"{size}; {', '.join(map(' '.join, facts.items()))}")
    if args.svg:
        args.svg.write_text(report.chart(results, f"Seconds for {size} of today's log; {facts['CPU']}"))
    return 0 if not args.check or all(verdict.met for verdict in verdicts) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, metavar="N", help=f"rows of a log ({_ROWS})")
    parser.add_argument("--runs", type=int, metavar="N", help=f"turns ({_RUNS})")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_ROWS} rows, {_QUICK_RUNS} turns")
    parser.add_argument("--full", action="store_true", help="all three logs, and memory, for 8 times the rows")
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit with 1 if a budget of budgets.toml is not met, or not measured: only --full measures all",
    )
    parser.add_argument("--sweep", action="store_true", help="look for the peers' best settings instead")
    parser.add_argument("--only", metavar="NAME,...", help=f"these alone: {', '.join(BY_NAME)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the table between the marks in this page")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write a chart there")
    args = parser.parse_args()
    args.rows = args.rows or (_QUICK_ROWS if args.quick else _ROWS)
    args.runs = args.runs or (_QUICK_RUNS if args.quick else _RUNS)
    if args.rows < corpus.SMALL or args.runs < 1:
        parser.error(f"expected {corpus.SMALL} rows or more, and one turn or more")
    if args.only and (unknown := set(args.only.split(",")) - set(BY_NAME)):
        parser.error(f"--only: no {', '.join(sorted(unknown))}; expected some of: {', '.join(BY_NAME)}")
    return args


def _chosen(only: str | None, *, full: bool) -> list[Entry]:
    """By log: what is set against each other runs soon after each other."""
    left_out = set() if full else set(MAIN[1:])
    names = only.split(",") if only else [one.name for one in CONTENDERS if full or not one.only_full]
    chosen = [(BY_NAME[name], kind) for name in names for kind in BY_NAME[name].kinds if kind not in left_out]
    return sorted((entry for entry in chosen if budgets.is_built(entry[0].needs)), key=lambda entry: entry[1])


def _all_right(entries: Sequence[Entry], rows: int) -> bool:
    """Hold what each makes of its log against what is in it: an answer comes before its clock."""
    wrong = {}
    for entry in entries:
        contender, kind = entry
        if contender.gives != "nothing" and not contender.once:
            runner.say(f"check {contender.name}, {kind}")
            wrong[contender.name, kind] = runner.check(entry, rows)
    runner.say("")
    for (name, kind), what in wrong.items():
        if what:
            print(f"{name}, {kind}: {what}", file=sys.stderr)
    if any(wrong.values()):
        print("wrong answers, so nothing is timed", file=sys.stderr)
    return not any(wrong.values())


def _facts() -> dict[str, str]:
    own = "import trackparse; print(trackparse.__version__, trackparse.kernel)"
    version, kernel = runner.python("-c", own).strip().split(" ", 1)
    versions = {"trackparse": version}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    return {
        "CPU": f"{_processor()}, {os.cpu_count()} cores",
        # Two threads want two cores: what else runs takes from them first.
        "load": f"{os.getloadavg()[0]:.1f}",
        "kernel": kernel,
        "Python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
