"""dlt, by docs/lake.md: each log is loaded once, whatever happens."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from support.pages import examples_with, prepare

pytest.importorskip("dlt", reason="dlt is not installed: make engines")
(EXAMPLE,) = examples_with("lake.md", "dlt")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    return prepare(tmp_path)


def stored(folder: Path) -> list[tuple[str, int]]:
    with import_module("duckdb").connect(folder / "loaded.duckdb", read_only=True) as connection:
        found: list[tuple[str, int]] = connection.sql(
            "SELECT typeof(timestamp), count(*) FROM push.events GROUP BY ALL"
        ).fetchall()
    return found


def test_a_log_is_loaded_once_with_its_time_as_it_is(folder: Path) -> None:
    assert EXAMPLE.run(folder) == EXAMPLE.output
    assert stored(folder) == [("TIMESTAMP", 20_000)]


def test_a_log_that_breaks_is_loaded_whole_by_the_next_run(folder: Path) -> None:
    log = folder / "logs" / "2021-04-21.zip"
    whole = log.read_bytes()
    log.write_bytes(whole[:-20_000])
    with pytest.raises(AssertionError, match=r"2021-04-21\.zip.*truncated|TruncatedError|cut"):
        EXAMPLE.run(folder)
    log.write_bytes(whole)
    EXAMPLE.run(folder)
    assert stored(folder) == [("TIMESTAMP", 20_000)]
