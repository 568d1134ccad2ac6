"""Tries the targets on damaged input until their time is over, or until one finds something.

Every execution has a seed of its own: the first one's is --seed, the next one's is one more. The seed that a finding
prints finds it again at once.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
import traceback
from random import Random

from targets import TARGETS, Target

_SHRINK_SECONDS = 20.0


def main() -> int:
    """Run; 1 if there is a finding."""
    parser = argparse.ArgumentParser(description="Fuzz trackparse.")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (60); 0: one execution")
    parser.add_argument("--seed", type=int, default=0, help="of the first execution (0)")
    parser.add_argument("--target", choices=TARGETS, help="only this one")
    args = parser.parse_args()
    faulthandler.enable()
    found = False
    for name in [args.target] if args.target else TARGETS:
        executions, seed = _run(TARGETS[name], args.seed, args.seconds)
        if seed is not None:
            found = True
            _report(name, TARGETS[name], seed)
        print(f"{name}: {executions} executions", flush=True)
    return int(found)


def _run(target: Target, seed: int, seconds: float) -> tuple[int, int | None]:
    """How many executions there were, and the seed of the one that found something."""
    until = time.monotonic() + seconds
    executions = 0
    while not executions or time.monotonic() < until:
        current = seed + executions
        executions += 1
        if _fault(target, target.make(Random(current)), current):
            return executions, current
    return executions, None


def _fault(target: Target, data: bytes, seed: int) -> BaseException | None:
    try:
        target.check(data, Random(seed))
    except Exception as fault:
        return fault
    return None


def _report(name: str, target: Target, seed: int) -> None:
    data = _shrunk(target, target.make(Random(seed)), seed)
    fault = _fault(target, data, seed)
    print(f"{name}: finding, --target {name} --seed {seed} --seconds 0")
    print(f"invariant: {(target.check.__doc__ or '').strip()}")
    print(f"input: {data!r}")
    if fault:
        print("".join(traceback.format_exception(fault)))


def _shrunk(target: Target, data: bytes, seed: int) -> bytes:
    """The input without what the finding does not need."""
    until = time.monotonic() + _SHRINK_SECONDS
    size = len(data) // 2
    while size:
        at = 0
        while at < len(data):
            smaller = data[:at] + data[at + size :]
            if time.monotonic() > until:
                return data
            if _fault(target, smaller, seed):
                data = smaller
            else:
                at += size
        size //= 2
    return data


if __name__ == "__main__":
    sys.exit(main())
