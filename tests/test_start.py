"""The page for the first ten minutes: each step, one after the other in one folder, prints what stands behind it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from test_readme import BLOCK, DOCS, without_measurements


def test_each_step_prints_what_stands_behind_it(tmp_path: Path) -> None:
    steps = [(match[1], match[2], match[3]) for match in BLOCK.finditer(DOCS["start"])]
    assert [language for language, _, _ in steps if language != "console"] == ["sh", "sh", "sh", "python", "python"]
    # As a user runs them: the development mode of the tests takes half as long again.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDEVMODE"}
    for language, code, output in steps:
        if language == "console":  # what is installed is what is tested
            continue
        program = [sys.executable, "-c", code]
        if language == "sh":
            shell = f'set -euo pipefail\ntrackparse() {{ "{sys.executable}" -m trackparse.cli "$@"; }}\n'
            program = ["bash", "-c", shell + code]
        done = subprocess.run(
            program, cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
        )
        assert done.returncode == 0, done.stderr
        assert without_measurements(done.stdout) == without_measurements(output), code


def test_the_page_installs_the_distribution_that_is_ours() -> None:
    assert re.search(r"pip install '(trackparse-pushwoosh)\[cli\]'", DOCS["start"])
