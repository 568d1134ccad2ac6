"""Chooses the kernel: the C extension, or the reference where it is missing. Decides nothing else.

``TRACKPARSE_KERNEL`` forces one: ``reference``, ``c``, or an instruction set of the C kernel (``avx512``, ``avx2``,
``sse2``, ``neon``, ``portable``).
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from trackparse import _reference

    kernel = _reference


def _choose() -> tuple[ModuleType, str]:
    wanted = os.environ.get("TRACKPARSE_KERNEL", "")
    if wanted == "reference":
        from trackparse import _reference

        return _reference, "reference"
    try:
        from trackparse import _kernel
    except ImportError:
        if wanted:
            raise
        warnings.warn(
            "trackparse runs without its C kernel, at about a hundredth of the speed: "
            "install a C compiler and reinstall it",
            RuntimeWarning,
            stacklevel=2,
        )
        from trackparse import _reference

        return _reference, "reference"
    if wanted in ("", "c"):
        return _kernel, f"c ({_kernel.instruction_sets()[0]})"
    if wanted not in _kernel.instruction_sets():
        known = ", ".join(["reference", "c", *_kernel.instruction_sets()])
        raise ImportError(f"TRACKPARSE_KERNEL={wanted}: not to be had here, there are {known}")
    _kernel.select(wanted)
    return _kernel, f"c ({wanted})"


name: str
if not TYPE_CHECKING:
    kernel, name = _choose()
