"""How many processes convert logs: what the cores, the logs and the threads of each make of ``jobs=``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest

from trackparse import cores
from trackparse.convert import sharing
from trackparse.convert.jobs import Job
from trackparse.convert.sharing import useful_processes
from trackparse.cores import usable_cores
from trackparse.options import convert_options

MILLION = 48_900_000  # bytes of a packed log of 1,000,000 rows
SMALL = 46_300  # of 1,000 rows
AS_MANY_AS_LOGS = 1 << 20


def job(size: int | None, name: str = "day.zip", lake: str | None = None, **options: Any) -> Job:
    return Job(name, size, 0, open, "day.parquet", None, convert_options(options), "skip", lake=lake)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    def has(number: int) -> None:
        monkeypatch.setattr(sharing, "usable_cores", lambda: number)

    has(2)
    return has


# By logs and threads of each (None: as many as help): the processes on 1, 2, 4, 8 and 16 cores.
LARGE_LOGS = {
    (1, None): (1, 1, 1, 1, 1),
    (2, None): (1, 1, 1, 2, 2),
    (3, None): (1, 1, 1, 3, 3),
    (4, None): (1, 2, 4, 4, 4),
    (8, None): (1, 2, 4, 8, 8),
    (16, None): (1, 2, 4, 8, 16),
    (365, None): (1, 2, 4, 8, 16),
    (1, 1): (1, 1, 1, 1, 1),
    (2, 1): (1, 2, 2, 2, 2),
    (3, 1): (1, 2, 3, 3, 3),
    (8, 1): (1, 2, 4, 8, 8),
    (16, 1): (1, 2, 4, 8, 16),
    (3, 2): (1, 1, 3, 3, 3),
    (16, 2): (1, 2, 4, 8, 16),
}


@pytest.mark.parametrize(("logs", "threads"), LARGE_LOGS)
def test_processes_for_large_logs(logs: int, threads: int | None, machine: Any) -> None:
    found = []
    for number in (1, 2, 4, 8, 16):
        machine(number)
        found.append(useful_processes([job(MILLION, threads=threads)] * logs, AS_MANY_AS_LOGS))
    assert tuple(found) == LARGE_LOGS[logs, threads]


@pytest.mark.parametrize(
    ("logs", "processes"), [(10, (1, 1, 1, 1, 1)), (1_000, (1, 1, 4, 8, 16)), (10_000, (1, 1, 4, 8, 16))]
)
def test_processes_for_small_logs(logs: int, processes: tuple[int, ...], machine: Any) -> None:
    found = []
    for number in (1, 2, 4, 8, 16):
        machine(number)
        found.append(useful_processes([job(SMALL)] * logs, AS_MANY_AS_LOGS))
    assert tuple(found) == processes


def test_there_are_no_more_than_the_caller_allows(machine: Any) -> None:
    machine(16)
    logs = [job(MILLION)] * 16
    assert [useful_processes(logs, most) for most in (1, 2, 5, 8, 16)] == [1, 2, 4, 8, 16]


def test_a_log_that_takes_longer_than_all_others_is_read_with_all_cores() -> None:
    assert useful_processes([job(MILLION)] * 10 + [job(30 * MILLION)], 2) == 1
    assert useful_processes([job(MILLION)] * 40, 2) == 2
    assert useful_processes([job(MILLION, threads=1)] * 10 + [job(30 * MILLION, threads=1)], 2) == 2


def test_a_bare_log_counts_as_if_it_were_packed() -> None:
    assert useful_processes([job(MILLION // 4, threads=1)] * 2, 2) == 1
    assert useful_processes([job(MILLION, threads=1)] * 2, 2) == 2
    assert useful_processes([job(MILLION, "day.csv", threads=1)] * 2, 2) == 1
    assert useful_processes([job(8 * MILLION, "day.csv", threads=1)] * 2, 2) == 2


def test_a_log_of_partitions_leaves_more_of_a_core_to_others() -> None:
    assert useful_processes([job(MILLION)] * 2, 2) == 1
    assert useful_processes([job(MILLION, lake="lake")] * 2, 2) == 2


@pytest.mark.parametrize(
    "far",
    [
        job(1_000_000, "s3://logs/day.zip"),
        job(1_000_000, lake="s3://lake"),
        job(1_000_000, filesystem=pafs.LocalFileSystem()),
        job(None, "pipe.csv"),
    ],
    ids=["from a store", "to a store", "filesystem=", "a pipe"],
)
def test_where_each_waits_for_others_there_may_be_more_than_cores(far: Job) -> None:
    assert useful_processes([far] * 32, 32) > 2
    assert useful_processes([job(MILLION)] * 32, 32) == 2
    assert useful_processes([far] * 32, 2) == 2


class TestUsableCores:
    @pytest.fixture
    def group(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        """A process that may run on eight cores, in control groups with these limits, the outermost first."""
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
        monkeypatch.setattr(cores, "_GROUPS", tmp_path)
        monkeypatch.setattr(cores, "_OWN_GROUP", tmp_path / "own")

        def limited(*limits: str | None) -> None:
            folder = tmp_path
            for number, limit in enumerate(limits):
                folder = folder / f"group{number}" if number else folder
                folder.mkdir(exist_ok=True)
                if limit is not None:
                    (folder / "cpu.max").write_text(limit)
            own = folder.relative_to(tmp_path).as_posix().removeprefix(".")
            (tmp_path / "own").write_text(f"9:name=systemd:/\n0::/{own}\n")

        cores._quota.cache_clear()
        yield limited
        cores._quota.cache_clear()

    @pytest.mark.parametrize(
        ("limits", "usable"),
        [
            (("200000 100000\n",), 2),
            (("150000 100000\n",), 2),
            (("50000 100000\n",), 1),
            (("max 100000\n",), 8),
            (("1600000 100000\n",), 8),
            ((None, "max 100000\n", "300000 100000\n"), 3),
            ((None, "100000 100000\n", "max 100000\n"), 1),
            (("what is this\n",), 8),
            (("100000 0\n",), 8),
            ((None,), 8),
        ],
        ids=str,
    )
    def test_they_are_those_that_it_may_run_on_and_has_the_time_for(
        self, limits: tuple[str | None, ...], usable: int, group: Any
    ) -> None:
        group(*limits)
        assert usable_cores() == usable

    def test_without_control_groups_the_affinity_counts(self, group: Any) -> None:
        assert usable_cores() == 8
