"""Looks for each peer's best settings: one after the other, each kept at its best before the next one is tried.

What it prints goes into ``peers.SETTINGS``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks import runner
from benchmarks.contenders import BY_NAME
from benchmarks.peers import SWEPT


def sweep(names: Sequence[str], kinds: Sequence[str], rows: int, runs: int) -> Iterator[str]:
    """Lines to read, and at the end the settings as Python."""
    best: dict[str, dict[str, Any]] = {}
    for name in names:
        for kind in kinds:
            settings: dict[str, Any] = {setting: values[0] for setting, values in SWEPT[name].items()}
            for setting, values in SWEPT[name].items():
                seconds = _tried((name, kind), settings, setting, values, rows, runs)
                settings[setting] = min(seconds, key=seconds.__getitem__)
                told = ", ".join(f"{value} {took:.3f}" for value, took in seconds.items())
                yield f"{name}, {kind}: {setting}: {told}"
            best.setdefault(name, {})[kind] = settings
    yield ""
    for name, found in best.items():
        yield f'"{name}": {{'
        yield from (f'    "{kind}": {settings},' for kind, settings in found.items())
        yield "},"


def _tried(
    place: tuple[str, str], settings: Mapping[str, Any], setting: str, values: Sequence[Any], rows: int, runs: int
) -> dict[Any, float]:
    """The least seconds of each value of one setting, by turns: what disturbs only adds, and differences are small."""
    name, kind = place
    took: dict[Any, list[float]] = {value: [] for value in values}
    for turn in range(runs):
        for value, found in took.items():
            runner.say(f"sweep {name}, {kind}, {setting}={value}, {turn + 1}/{runs}")
            found.append(runner.timed((BY_NAME[name], kind), rows, {**settings, setting: value})["wall"])
    runner.say("")
    return {value: min(found) for value, found in took.items()}
