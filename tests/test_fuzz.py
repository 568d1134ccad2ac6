"""The fuzz targets start, and find nothing in a second."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent.parent / "fuzz" / "fuzz.py"


@pytest.mark.parametrize("target", ["kernels", "cuts", "cover", "archive", "written"])
def test_a_target_finds_nothing_in_a_second(target: str) -> None:
    run = subprocess.run(
        [sys.executable, str(FUZZ), "--target", target, "--seconds", "1"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{target}: " in run.stdout
