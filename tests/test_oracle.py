"""Logs at random are read as the oracle reads them, which knows docs/format.md and nothing of the library.

`make oracle` compares many more.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType

import pytest

from corpus.cases import CASES, Case
from oracle import grammar, logs
from oracle.compare import Campaign, described
from support.kernels import KERNELS
from trackparse.limits import Limits

# Together about 1,500 logs, in parts that pytest-xdist can share out.
PARTS = range(10)
LOGS = 150 if len(KERNELS) > 1 else 50


@pytest.mark.parametrize("part", PARTS)
def test_logs_are_read_as_the_page_says(part: int) -> None:
    campaign = Campaign(most_ways=2)
    for seed in range(part * LOGS, (part + 1) * LOGS):
        campaign.log(seed)
    found = campaign.differences
    assert not found, f"{len(found)} logs are read in another way, such as\n{described(found[0])}"
    # It compares what is worth comparing.
    assert campaign.counts["times read"] > 1.9 * LOGS
    assert campaign.counts["of them with rejects"] > LOGS / 4
    assert campaign.counts["of them with a record of more than one reading"] > LOGS / 20


@pytest.mark.parametrize("case", [case for case in CASES if case.limits == Limits()], ids=str)
def test_the_oracle_finds_in_a_case_what_is_in_it(case: Case) -> None:
    log = grammar.read(case.data, case.dialect)
    assert bool(log.error) == bool(case.error)
    assert log.rows == list(case.rows)
    assert [(it.reason, it.line, it.byte_offset, it.raw) for it in log.rejects] == list(case.rejects)
    assert log.blank_lines == case.blank_lines


@pytest.mark.parametrize("module", [grammar, logs], ids=["grammar", "logs"])
def test_it_imports_nothing_but_the_standard_library(module: ModuleType) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("its own package" if node.level else str(node.module).partition(".")[0])
    assert imported <= sys.stdlib_module_names
