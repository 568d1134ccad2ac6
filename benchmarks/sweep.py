"""Looks for each peer's best settings: one after the other, each kept at its best before the next one is tried.

What it prints goes into ``peers.SETTINGS``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks import runner
from benchmarks.contenders import BY_NAME
from benchmarks.peers import SWEPT
from benchmarks.runner import Entry


def sweep(names: Sequence[str], kinds: Sequence[str], rows: int, runs: int) -> Iterator[str]:
    """Lines to read, and at the end the settings as Python."""
    best: dict[str, dict[str, dict[str, Any]]] = {}
    for kind in kinds:
        for name in names:
            settings: dict[str, Any] = {setting: values[0] for setting, values in SWEPT[name].items()}
            for setting, values in SWEPT[name].items():
                found = _tried((BY_NAME[name], kind), settings, setting, values, rows, runs)
                settings[setting] = min(found, key=found.__getitem__)
                told = ", ".join(f"{value} {wall:.3f} s (CPU {cpu:.3f})" for value, (wall, cpu) in found.items())
                yield f"{name}, {kind}: {setting}: {told}"
            best.setdefault(name, {})[kind] = settings
    yield ""
    for name, by_kind in best.items():
        yield f'"{name}": {{'
        yield from (f'    "{kind}": {settings},' for kind, settings in by_kind.items())
        yield "},"


def _tried(
    entry: Entry, settings: Mapping[str, Any], setting: str, values: Sequence[Any], rows: int, runs: int
) -> dict[Any, tuple[float, float]]:
    """The least wall and CPU seconds of each value of one setting, by turns: what disturbs only adds to them."""
    found: dict[Any, list[dict[str, Any]]] = {value: [] for value in values}
    for turn in range(runs):
        for value, those in found.items():
            runner.say(f"sweep {entry[0].name}, {entry[1]}, {setting}={value}, {turn + 1}/{runs}")
            those.append(runner.timed(entry, rows, {**settings, setting: value}))
    runner.say("")
    return {
        value: (min(run["wall"] for run in those), min(run["cpu"] for run in those)) for value, those in found.items()
    }
