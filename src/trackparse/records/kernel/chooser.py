"""Chooses the kernel: the C extension, or the reference if that is missing. Decides nothing else.

The environment variable ``TRACKPARSE_KERNEL`` forces one: ``reference``, ``c``, or an instruction set of the C kernel
(``avx512``, ``avx2``, ``sse2``, ``neon``, ``portable``). OptionError at import for one that is not there. Empty, or not
set, it forces none.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from trackparse.errors import OptionError, one_line

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
    except ImportError as error:
        if wanted:
            raise _not_here(wanted, ["reference"]) from error
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
        raise _not_here(wanted, ["reference", "c", *native.instruction_sets()])
    native.select(wanted)
    return native, f"c ({wanted})"


def _not_here(wanted: str, known: list[str]) -> OptionError:
    return OptionError(
        f"TRACKPARSE_KERNEL={one_line(wanted)}: not available here; expected one of: {', '.join(known)}",
        advice="without this variable the best one is taken",
    )


name: str
if not TYPE_CHECKING:
    kernel, name = _choose()
