"""Dagster, Ray Data and Dask: the examples of docs/lake.md print what stands behind them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.pages import Example, examples_with, prepare

for package in ("dagster", "ray", "dask"):
    pytest.importorskip(package, reason=f"{package} is not installed: make recipes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("recipes"))


@pytest.mark.parametrize(
    "example", examples_with("lake.md", "dagster", "ray", "dask"), ids=lambda example: "-".join(sorted(example.imports))
)
def test_an_example_prints_what_stands_behind_it(example: Example, folder: Path) -> None:
    assert example.run(folder) == example.output
