"""Runs contenders, each in a process of its own, by turns: A B C A B C. Counts nothing together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import corpus
from benchmarks.contenders import Contender
from benchmarks.corpus import Log

_ROOT = Path(__file__).parent.parent

Entry = tuple[Contender, str]  # and the kind of log that it reads


def log_of(entry: Entry, rows: int) -> Log:
    """The log of an entry where a whole one has ``rows`` rows."""
    contender, kind = entry
    return corpus.log(kind, contender.form, contender.rows(rows))


def check(entry: Entry, rows: int) -> str:
    """What is wrong with what it makes of its log; nothing if all is right."""
    log_of(entry, rows)  # the log is written here, and not by a process that is measured
    return str(_measure(entry, "check", entry[0].rows(rows))["wrong"])


def compare(entry: Entry) -> dict[str, int]:
    """How many of ``corpus.COMPARED`` rows it reads right, by dialect."""
    return _measure(entry, "compare", corpus.COMPARED)


def timed(entry: Entry, rows: int, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One run."""
    contender, kind = entry
    log = log_of(entry, rows)
    corpus.log(kind, contender.form, corpus.SMALL)
    corpus.warm(log.path)
    more = () if settings is None else (json.dumps(settings),)
    run = _measure(entry, "time", contender.rows(rows), *more)
    expected = {"bytes": log.inflated, "nothing": 0}.get(contender.gives, log.rows)
    if run["amount"] != expected:
        raise SystemExit(f"{contender.name}, {kind}: {run['amount']} this time, there are {expected}")
    if run["imported"] and not contender.once:
        raise SystemExit(f"{contender.name}, {kind}: imported while the clock ran: {run['imported']}")
    return run


def by_turns(entries: Sequence[Entry], rows: int, runs: int) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What disturbs the machine for a while disturbs all alike."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {(one.name, kind): [] for one, kind in entries}
    for turn in range(runs):
        for entry in entries:
            contender, kind = entry
            if turn and contender.once:
                continue
            say(f"run {turn + 1}/{runs} {contender.name}, {kind}")
            found[contender.name, kind].append(timed(entry, rows))
    say("")
    return found


def python(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """What it prints."""
    # NumPy, which pyarrow imports, has threads that spin for a while before they sleep: on a core that is timed.
    given = os.environ | {"OPENBLAS_NUM_THREADS": "1"} | dict(environment or {})
    done = subprocess.run([sys.executable, *arguments], cwd=_ROOT, env=given, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"python {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def _measure(entry: Entry, mode: str, rows: int, *more: str) -> dict[str, Any]:
    contender, kind = entry
    command = ("-m", "benchmarks.worker", contender.name, mode, kind, str(rows), *more)
    out = python(*command, environment=contender.environment)
    return dict(json.loads(out.splitlines()[-1]))


def say(text: str) -> None:
    """What is going on, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
