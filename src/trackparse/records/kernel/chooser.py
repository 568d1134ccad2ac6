"""Chooses the kernel: the C extension, or the reference if that is missing. Decides nothing else.

The environment variable ``TRACKPARSE_KERNEL`` forces one: ``reference``, ``c``, or an instruction set of the C kernel
(``avx512``, ``avx2``, ``sse2``, ``neon``, ``portable``).
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from trackparse.records.kernel import reference

    kernel = reference


def _choose() -> tuple[ModuleType, str]:
    wanted = os.environ.get("TRACKPARSE_KERNEL", "")
    if wanted == "reference":
        from trackparse.records.kernel import reference

        return reference, "reference"
    try:
        from trackparse.records.kernel import native
    except ImportError:
        if wanted:
            raise
        warnings.warn(
            "trackparse runs without its C kernel, about a hundred times slower: install a C compiler, and then "
            "trackparse again (pip install --force-reinstall --no-deps --no-cache-dir trackparse-pushwoosh)",
            RuntimeWarning,
            stacklevel=2,
        )
        from trackparse.records.kernel import reference

        return reference, "reference"
    if wanted in ("", "c"):
        return native, f"c ({native.instruction_sets()[0]})"
    if wanted not in native.instruction_sets():
        known = ", ".join(["reference", "c", *native.instruction_sets()])
        raise ImportError(f"TRACKPARSE_KERNEL={wanted}: not available here; expected one of: {known}")
    native.select(wanted)
    return native, f"c ({wanted})"


name: str
if not TYPE_CHECKING:
    kernel, name = _choose()
