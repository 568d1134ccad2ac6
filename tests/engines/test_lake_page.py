"""docs/lake.md and docs/scale.md: examples print what stands behind them, and the answers of queries are right."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import trackparse
from support.pages import Example, examples, examples_with, prepare

pytest.importorskip("deltalake", reason="deltalake is not installed: make engines")
pytest.importorskip("pyiceberg", reason="pyiceberg is not installed: make engines")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "lake.md").read_text(encoding="utf-8")
HERE = examples_with("lake.md", "duckdb", "polars", "pandas", "deltalake", "pyiceberg")
SCALE = examples("scale.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("lake"))


@pytest.mark.parametrize(
    "example", [*HERE, *SCALE], ids=lambda example: "-".join(sorted(example.imports - {"trackparse"}))
)
def test_an_example_prints_what_stands_behind_it(example: Example, folder: Path) -> None:
    assert example.run(folder) == example.output


def test_every_example_shows_its_output() -> None:
    assert len(examples("lake.md")) == PAGE.count("```python\n") == PAGE.count("```text\n")


def test_the_commands_make_the_logs_of_the_examples(folder: Path, tmp_path: Path) -> None:
    found = re.search(r"<!-- try -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    assert found
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    places = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euc", found[1]], cwd=tmp_path, env=places, check=True, capture_output=True)
    made = {path.name: path.read_bytes() for path in (tmp_path / "logs").iterdir()}
    assert made == {path.name: path.read_bytes() for path in (folder / "logs").iterdir()}
    for path in (folder / "lake").iterdir():
        assert pq.read_table(tmp_path / "lake" / path.name) == pq.read_table(path)


def test_what_people_ask_first_is_answered_right(folder: Path) -> None:
    """The same from events, in plain Python."""
    first: defaultdict[tuple[str, str], dict[str, datetime]] = defaultdict(dict)
    devices: defaultdict[str, set[str]] = defaultdict(set)
    for event in trackparse.dataset(folder / "logs").events():
        first[event.tracking_code, event.hwid].setdefault(event.status, event.timestamp)
        devices[str(event.timestamp.date())].add(event.hwid)
        devices["all"].add(event.hwid)
    late = min(key for key, times in first.items() if "opened" in times and len({t.date() for t in times.values()}) > 1)
    sent = Counter(times["sent"].hour for times in first.values() if "sent" in times)
    opened = Counter(times["sent"].hour for times in first.values() if "opened" in times)
    rates = [(hour, sent[hour], opened[hour], round(100 * opened[hour] / sent[hour], 1)) for hour in sent]
    took = sorted(_minutes(times) for times in first.values() if "opened" in times)
    answers = [example.output for example in HERE if "lake/*.parquet" in example.code]
    expected: list[list[object]] = [
        [(str(time), status) for status, time in sorted(first[late].items(), key=lambda item: item[1])],
        [*sorted(rates, key=lambda rate: (-rate[3], rate[0]))[:4]],
        [[(len(took), [took[(len(took) - 1) // 2], took[-(len(took) // 10) - 1]])]],
        [(day, len(names)) for day, names in sorted(devices.items())],
    ]
    assert [[ast.literal_eval(line) for line in str(answer).splitlines()] for answer in answers] == expected


def _minutes(times: dict[str, datetime]) -> int:
    """Full minutes on the clock, as date_diff counts them."""
    return int((times["opened"].replace(second=0) - times["sent"].replace(second=0)).total_seconds()) // 60
