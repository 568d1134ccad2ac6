"""Logs at random are read as the oracle reads them, which knows docs/format.md and nothing of the library.

`make oracle` compares many more.
"""

from __future__ import annotations

import pytest

from oracle import grammar
from oracle.compare import BLOCKS, CHUNKS, KNOWN, Campaign, Known, Way, compare, described
from support.kernels import KERNELS

# Together about 1,500 logs, in parts that pytest-xdist can share out.
PARTS = range(10)
LOGS = 150 if len(KERNELS) > 1 else 50


@pytest.mark.parametrize("part", PARTS)
def test_logs_are_read_as_the_page_says(part: int) -> None:
    campaign = Campaign(most_ways=2)
    for seed in range(part * LOGS, (part + 1) * LOGS):
        campaign.log(seed)
    new = [it for it in campaign.differences if it.known is None]
    assert not new, f"{len(new)} logs are read in another way, such as\n{described(new[0])}"
    # It compares what is worth comparing.
    assert campaign.counts["times read"] > 1.9 * LOGS
    assert campaign.counts["of them with rejects"] > LOGS / 4
    assert campaign.counts["of them with a record of more than one reading"] > LOGS / 20


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.rule)
def test_what_is_known_to_differ_still_does(known: Known) -> None:
    """If this fails, the fault is mended: take the entry out of KNOWN."""
    log = grammar.read(known.example)
    assert known.rule in log.used
    ways = [Way(kernel, chunk, block) for kernel in KERNELS for chunk in CHUNKS for block in (BLOCKS[0], BLOCKS[-1])]
    assert any(compare(known.example, way, log)[0] for way in ways)
