"""Where this package is installed, and whether another distribution writes its files to the same folder.

The package ``trackparse`` on PyPI is somebody else's. Its import name is the same: each of the two overwrites files of
the other, and removes them when it is uninstalled.
"""

from __future__ import annotations

import os
import warnings
from typing import Final

NAME: Final = "trackparse-pushwoosh"
_OTHER: Final = "trackparse"


def warn_of_another() -> None:
    """Warn if the other distribution is installed in the folder that holds this package."""
    folder = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120 -- pathlib takes milliseconds to import
    try:
        # importlib.metadata would take longer to import than all that ``import trackparse`` does.
        beside = os.listdir(folder)  # noqa: PTH208
    except OSError:  # the package is in a zip file
        return
    for entry in beside:
        if entry.startswith(f"{_OTHER}-") and entry.endswith(".dist-info"):
            version = entry.removeprefix(f"{_OTHER}-").removesuffix(".dist-info")
            warnings.warn(
                f"another package, {_OTHER} {version}, is installed in {folder} as well, and each of the two "
                f"overwrites files of the other: uninstall both (pip uninstall {_OTHER} {NAME}), then "
                f"install {NAME} again",
                RuntimeWarning,
                stacklevel=3,
            )
