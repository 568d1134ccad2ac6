"""Each kernel in turn as a fixture, a bucket on S3, which tests are quick, and how hard hypothesis tries."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from support import tiers
from support.ends import heed_signals
from support.kernels import INSTRUCTION_SETS, KERNELS, SLOW, chosen_set, kernel_named, native
from support.s3 import Bucket, served
from support.workers import all_allowed
from trackparse import events
from trackparse.columns import builder, payload
from trackparse.convert import conversion, running, sharing
from trackparse.records import indexer

settings.register_profile("default", max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("reduced", parent=settings.get_profile("default"), max_examples=20)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "reduced" if SLOW > 1 else "default"))


# Tests start hundreds of processes: without files of bytecode each of them would compile the package again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

heed_signals()


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Generator[None, int, int]:
    """One more than cores for the whole suite: now and then a worker waits, for a process, a deadline or a disk.

    With a worker for each of two cores these were idle for a sixth of the time. The quick tests hardly wait.
    """
    cores = yield
    return cores if config.option.markexpr == "quick" else cores + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the quick tests, and put the long ones first."""
    for item in items:
        if tiers.is_quick(item):
            item.add_marker("quick")
    items.sort(key=tiers.order)


# Ten thousand tests and their data stay to the end: no collection of garbage has to look through them, neither while
# they are made nor later.
def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``-m quick`` import only the files that have some: the others take longer to import than to leave out."""
    if config.option.markexpr == "quick" and collection_path.is_file() and not tiers.has_quick_tests(collection_path):
        return True
    return None


@pytest.fixture(autouse=True, scope="module")
def _a_collection_looks_at_this_file_only() -> None:
    """What the files before it have imported stays, too: tests that collect garbage took ten seconds to look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _small_logs_are_worth_what_large_ones_are() -> Iterator[None]:
    """Logs of tests are small: without this ``jobs=2`` would start no process, and no thread would inflate."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "useful_processes", all_allowed)
        patch.setattr(sharing, "usable_cores", lambda: 4)
        patch.setattr(conversion, "SMALL_LOG", 0)
        yield


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each kernel in turn, in place of the one that was chosen."""
    module = kernel_named(request.param)
    for user in (indexer, builder, payload, events):
        monkeypatch.setattr(user, "kernel", module)
    yield request.param
    if INSTRUCTION_SETS:
        native.select(chosen_set())


@pytest.fixture(params=INSTRUCTION_SETS)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The C kernel with each of its instruction sets."""
    yield kernel_named(request.param)
    native.select(chosen_set())


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """One server for all tests of a process: to start it takes seconds."""
    with served(tmp_path_factory.mktemp("s3")) as bucket:
        yield bucket
        bucket.client.close()


@pytest.fixture
def bucket(s3_server: Bucket) -> Bucket:
    """An empty bucket on S3."""
    s3_server.empty()
    return s3_server
