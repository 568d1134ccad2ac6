"""The table of docs/lake.md: what each engine takes, and whether memory grows with the log, is as it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trackparse
from support.engines import ENGINES, Engine, form_of, rows_of
from support.peaks import peak
from support.service import sample
from support.tools import here
from trackparse.testing.sample import write_sample

for module in ("deltalake", "pyiceberg", "dlt", "pyspark"):
    pytest.importorskip(module, reason=f"{module} is not installed: make engines")

PAGE = (Path(__file__).parents[2] / "docs" / "lake.md").read_text(encoding="utf-8")
ROWS = 3_000
# Rows of two logs; between them are 110 MB of text.
FEW, MANY = 100_000, 400_000
_GROWS = 365 * 0.6  # bytes for each row more: of 365 bytes of text


def table() -> dict[str, dict[str, str]]:
    """By engine, the cells by the words above them."""
    lines = PAGE[PAGE.index("<!-- engines") : PAGE.index("<!-- /engines -->")].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


TABLE = table()


def test_each_engine_has_its_row() -> None:
    assert {engine.name for engine in ENGINES} == TABLE.keys()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engines") / "2021-04-20.zip"
    path.write_bytes(sample(ROWS))
    trackparse.convert_log(path, path.with_suffix(".parquet"))
    return path


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    if request.param.name == "Spark" and not here("java"):
        pytest.skip("no java found, which Spark needs (Debian: default-jre-headless)")
    made: Engine = request.param(tmp_path)
    yield made
    made.close()


# What Spark does in this process.
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_what_it_takes_is_as_the_table_says(engine: Engine, path: Path) -> None:
    expected = rows_of(trackparse.read_log(path))
    days = trackparse.dataset(path)
    forms = [form_of(engine, lambda: days, expected) for _ in range(2)]
    found = {
        "a dataset": forms[0],
        "an open log": form_of(engine, lambda: trackparse.open_log(path), expected),
        "our Parquet": "yes" if rows_of(engine.parquet(path.with_suffix(".parquet"))) == expected else "no",
        "twice the same": "yes" if forms[0] == forms[1] != "no" else "no",
    }
    said = TABLE[engine.name]
    assert found == {name: said[name] for name in found}


# Others have buffers that few rows do not fill: their word follows from the figures alone.
@pytest.mark.parametrize("name", ["DuckDB", "Polars, `pl.DataFrame`", "pandas, `from_arrow`", "Iceberg"])
def test_memory_grows_or_not_as_the_table_says(name: str, logs: tuple[Path, ...]) -> None:
    small, few, many = logs
    grown = (peak(name, many, small)[1] - peak(name, few, small)[1]) << 10
    assert TABLE[name]["memory"] == ("grows" if grown > _GROWS * (MANY - FEW) else "flat")


def test_figures_of_memory_fit_its_word_and_have_a_date() -> None:
    assert re.search(r"`make peaks` .*20\d\d-\d\d-\d\d", PAGE)
    for name in (engine.name for engine in ENGINES):
        less, more = (
            int(TABLE[name][f"{rows} rows"].removesuffix(" MiB")) << 20 for rows in ("1,000,000", "4,000,000")
        )
        assert TABLE[name]["memory"] == ("grows" if more - less > _GROWS * 3_000_000 else "flat"), name


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder = tmp_path_factory.mktemp("logs")
    made: list[Any] = []
    for rows in (1_000, FEW, MANY):
        made.append(folder / f"{rows}.zip")
        write_sample(made[-1], rows=rows)
    return tuple(made)
