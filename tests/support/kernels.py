"""The kernels by name, and which of them tests run on."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any

from trackparse.records.kernel import chooser, reference

native: Any = None
with suppress(ImportError):  # built without a C compiler
    native = import_module("trackparse.records.kernel.native")

INSTRUCTION_SETS: list[str] = native.instruction_sets() if native else []
# The reference is a hundred times slower: large sizes are divided by this.
SLOW = 10 if chooser.name == "reference" else 1
# Payload derives from the kernel that was chosen, and the C kernel makes no other.
KERNELS: list[str] = ["reference", *(INSTRUCTION_SETS if SLOW == 1 else [])]


def chosen_set() -> str:
    """The instruction set that the chooser took, or would have taken."""
    wanted = os.environ.get("TRACKPARSE_KERNEL", "")
    return wanted if wanted in INSTRUCTION_SETS else INSTRUCTION_SETS[0]


def kernel_named(name: str) -> ModuleType:
    """The kernel of this name; an instruction set's name selects it in the C kernel."""
    if name == "reference":
        return reference
    native.select(name)
    module: ModuleType = native
    return module
