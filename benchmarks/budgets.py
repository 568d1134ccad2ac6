"""Holds measurements against ``budgets.toml``. Measures nothing."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from benchmarks.contenders import BY_NAME

_FILE = Path(__file__).with_name("budgets.toml")
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Result:
    """All runs of one contender on one log."""

    name: str
    kind: str
    runs: tuple[Mapping[str, Any], ...]

    def middle(self, what: str) -> float:
        """The median of ``what`` over the runs."""
        return median(float(run[what]) for run in self.runs)


Results = Mapping[tuple[str, str], Result]


@dataclass(frozen=True, slots=True)
class Budget:
    """A figure, and its bar. ``budgets.toml`` says what the fields are."""

    what: str
    of: str
    than: str = ""
    over: tuple[str, ...] = ()
    figure: Literal["wall", "cpu", "size", "rss", "first", "parallel"] = "wall"
    at_most: float | None = None
    at_least: float | None = None

    @property
    def unit(self) -> str:
        """Of the figure and the bar; ratios have none."""
        return " MiB" if self.figure == "rss" and not self.over else ""

    @property
    def bar(self) -> str:
        """As text."""
        sign, value = ("≤", self.at_most) if self.at_least is None else ("≥", self.at_least)
        return f"{sign} {value:g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out for a budget on one log."""

    budget: Budget
    kind: str
    value: float | None  # None: not measured in this run
    over: str = ""  # the contender that it was measured against
    built: bool = True

    @property
    def met(self) -> bool:
        """What was not measured is not met."""
        if self.value is None:
            return False
        least, most = self.budget.at_least, self.budget.at_most
        return (least is None or self.value >= least) and (most is None or self.value <= most)

    @property
    def shown(self) -> str:
        """The value as text."""
        if self.value is None:
            return "not run" if self.built else "not built"
        return f"{self.value:.0f}{self.budget.unit}" if self.budget.unit else f"{self.value:.2f}"


def load() -> tuple[Budget, ...]:
    """All of ``budgets.toml``."""
    rows = tomllib.loads(_FILE.read_text(encoding="utf-8"))["budget"]
    return tuple(Budget(**{**row, "over": tuple(row.get("over", ()))}) for row in rows)


def is_built(needs: str) -> bool:
    """Whether ``open_log`` has the option that a contender needs."""
    from trackparse.options import ReadOptions

    return not needs or needs in ReadOptions.__annotations__


def verdicts(results: Results) -> Iterator[Verdict]:
    """A verdict for each budget on each log that it is for."""
    for budget in load():
        contender = BY_NAME[budget.of]
        for kind in contender.kinds:
            if not is_built(contender.needs):
                yield Verdict(budget, kind, None, built=False)
            else:
                yield _verdict(budget, kind, results)


def _verdict(budget: Budget, kind: str, results: Results) -> Verdict:
    if not budget.over:
        one = results.get((budget.of, kind))
        value = None if one is None else one.middle(budget.figure)
        return Verdict(budget, kind, value / _MIB if value is not None and budget.unit else value)
    rivals = [results[name, kind] for name in budget.over if (name, kind) in results]
    # Without one of them it is not known which is the fastest.
    if (budget.of, kind) not in results or len(rivals) < len(budget.over):
        return Verdict(budget, kind, None)
    rival = min(rivals, key=lambda one: one.middle("wall"))
    return Verdict(budget, kind, _ratio(results[budget.of, kind].runs, rival.runs, budget.figure), rival.name)


def _ratio(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], figure: str) -> float:
    """The median of the turns' ratios."""
    return median(float(one[figure]) / float(other[figure]) for one, other in zip(ours, theirs, strict=True))
