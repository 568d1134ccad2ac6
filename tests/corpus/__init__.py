"""The fault corpus: damaged, odd and hostile logs, made anew each time, and what an ideal reader makes of each."""

from __future__ import annotations

from . import archives, boundaries, content, encoding, headers, line_ends, quoting, runs, shape, traps
from .model import Bad, Fault, Log, Outcome

__all__ = ["COUNTS", "FAMILIES", "Bad", "Fault", "Log", "Outcome"]

FAMILIES: dict[str, list[Fault]] = {
    module.__name__.rpartition(".")[2]: module.faults()
    for module in (quoting, line_ends, encoding, shape, headers, content, boundaries, archives, traps)
}
# Too large to be kept: they are made where they are read.
COUNTS = {**{name: len(family) for name, family in FAMILIES.items()}, "runs": len(runs.KINDS)}
