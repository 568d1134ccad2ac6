"""Looks for logs that cost memory: random shapes, and the worst ones changed a little; each is read in a fresh process.

python fuzz/bombs.py --seconds 600
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.bombs import BAD, FILLS, WAYS, Shape, measure

_T = TypeVar("_T")
_SHOWN = 10


def some_shape(dice: random.Random) -> Shape:
    """A shape of a few things at once."""

    def now_and_then(often: float, *choices: _T, otherwise: _T) -> _T:
        return dice.choice(choices) if dice.random() < often else otherwise

    def size() -> int:
        return int(2 ** dice.uniform(0, 24))

    def value() -> str:
        kind = dice.choice(["", "same", "each", "each", "turn", "some", "json"])
        most = min(size(), 15 << 20)
        return {
            "": "",
            "same": f"same:{most}",
            "each": f"each:{most}",
            "turn": f"turn:{int(2 ** dice.uniform(0, 18))}:{most}",
            "some": f"some:{dice.choice([2, 3, 5, 20, 300])}:{most}",
            "json": f"json:{min(most, 1 << 20)}:{dice.choice(['[],', '{},', '1,', '[[[[]]]],'])}",
        }[kind]

    columns = now_and_then(0.5, 3, 9, 30, 100, 300, 1024, otherwise=8)
    names = now_and_then(0.3, 10, 50, 60_000 // columns, otherwise=0)
    bad = now_and_then(0.5, *BAD, otherwise="")
    return Shape(
        mib=dice.choice([30, 60, 100]),
        columns=columns,
        name_bytes=min(names, 60_000 // columns),
        values=tuple(value() for _ in range(dice.choice([1, 1, 2, 7]))),
        fill=now_and_then(0.4, *FILLS, otherwise="x"),
        quoted=dice.random() < 0.2,
        bad=bad,
        bad_every=dice.choice([1, 2, 100]) if bad else 0,
        bad_run=dice.choice([1, 10, 10_000, 1_000_000]),
        headers_every=now_and_then(0.3, 1, 10, 1000, otherwise=0),
        narrow=now_and_then(0.2, 1, 100, 1600, otherwise=0),
        blanks_every=now_and_then(0.2, 1, 100, otherwise=0),
        marks_every=now_and_then(0.2, 1, 100, otherwise=0),
        members=now_and_then(0.2, 10, 1000, otherwise=1),
        packing=dice.choice(["gzip", "gzip", "gzip", "zip", "chunks", "drops"]),
    )


def record_bytes(shape: Shape) -> int:
    """Of the longest record, about."""
    sizes = [int(part) for kind in shape.values for part in kind.split(":")[1:] if part.isdigit()]
    return max(sizes, default=0) * shape.columns


def changed(shape: Shape, dice: random.Random) -> Shape:
    """The same but for one or two things, taken from another shape."""
    other = some_shape(dice)
    fields = ["mib", "columns", "values", "fill", "quoted", "headers_every", "narrow", "packing"]
    names = dice.sample(fields, dice.choice([1, 1, 2]))
    shape = replace(shape, **{name: getattr(other, name) for name in names})
    return replace(shape, name_bytes=min(shape.name_bytes, 60_000 // shape.columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    dice = random.Random(asked.seed)
    found: list[tuple[int, str, Shape, str]] = []
    shapes = late = died = 0
    end = time.monotonic() + asked.seconds
    while time.monotonic() < end:
        best = sorted({(mib, repr(shape)): shape for mib, _, shape, _ in found}.items(), reverse=True)[:5]
        shape = changed(dice.choice(best)[1], dice) if best and dice.random() < 0.6 else some_shape(dice)
        if record_bytes(shape) > 32 << 20:
            continue  # some of them are made in the process that is measured
        shapes += 1
        with tempfile.TemporaryDirectory() as folder:
            for way in [dice.choice(WAYS[:3]), *dice.sample(WAYS[3:], 2)]:
                try:
                    outcome, mib = measure(shape, way, Path(folder), timeout=60)
                except subprocess.TimeoutExpired:
                    late += 1
                    print(f"more than a minute: {way}: {shape}", flush=True)
                    break
                if outcome.startswith("died"):
                    died += 1
                found.append((mib, way, shape, outcome))
                print(f"{mib:5} MiB  {way}: {outcome}: {shape}", flush=True)
    print(f"\n{shapes} shapes, {len(found)} processes, {late} of more than a minute, {died} died")
    print("the worst, each shape once:")
    shown: dict[Shape, str] = {}
    for mib, way, shape, outcome in sorted(found, key=lambda item: -item[0]):
        shown.setdefault(shape, f"{mib:5} MiB  {way}: {outcome}: {shape}")
    print("\n".join([*shown.values()][:_SHOWN]))
    if died or any(mib > 256 for mib, *_ in found):
        sys.exit(1)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
