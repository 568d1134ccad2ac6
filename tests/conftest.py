"""Kernels by name, and how hard hypothesis tries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from trackparse import events
from trackparse.columns import builder
from trackparse.records import indexer
from trackparse.records.kernel import chooser, reference
from trackparse.records.stream import Stats

try:
    from trackparse.records.kernel import native
except ImportError:  # no compiler was at hand
    native = None  # type: ignore[assignment]

INSTRUCTION_SETS: list[str] = native.instruction_sets() if native else []
# Sizes that a kernel a hundred times slower cannot take are divided by this.
SLOW = 10 if chooser.name == "reference" else 1
# Payload derives from the kernel that was chosen, and the C kernel makes no other.
KERNELS: list[str] = ["reference", *(INSTRUCTION_SETS if SLOW == 1 else [])]

settings.register_profile("default", max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("reduced", parent=settings.get_profile("default"), max_examples=20)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "reduced" if SLOW > 1 else "default"))


def chosen_set() -> str:
    """The instruction set that dispatch chose, or would have."""
    wanted = os.environ.get("TRACKPARSE_KERNEL", "")
    return wanted if wanted in INSTRUCTION_SETS else INSTRUCTION_SETS[0]


def kernel_named(name: str) -> ModuleType:
    """The kernel; with its instruction set selected where it is the one in C."""
    if name == "reference":
        return reference
    native.select(name)
    return native


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each kernel in turn, in place of the one that was chosen."""
    module = kernel_named(request.param)
    for user in (indexer, builder, events):
        monkeypatch.setattr(user, "kernel", module)
    yield request.param
    if INSTRUCTION_SETS:
        native.select(chosen_set())


@pytest.fixture(params=INSTRUCTION_SETS)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The C kernel with each of its instruction sets."""
    yield kernel_named(request.param)
    native.select(chosen_set())


def placed(stats: Stats) -> int:
    """Bytes of a log that are known to be something; all of them when it was read to its end."""
    return stats.bytes_in_records + stats.bytes_in_rejects + stats.bytes_in_blank_lines + stats.bytes_in_headers
