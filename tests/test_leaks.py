"""A thousand logs opened and left early, refused or converted leave no thread, no descriptor and no memory behind."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import trackparse
from support.archives import python_zip
from support.kernels import SLOW
from support.logs import H8, line

TIMES = 1000 // SLOW
SLACK = 512 << 10  # bytes; one block of each log in a quarter would be twice as much
LOG = H8 + line(b'"{""a"":""' + b"x" * 500 + b'""}"') * 250
ZIP = python_zip({"log.csv": LOG})

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")


def resident() -> int:
    """Bytes of memory in use, without what allocators keep for the next time."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("trackparse")]


def state() -> tuple[list[str], int]:
    """What is open, and bytes of memory in use, when all threads of ours have ended."""
    for thread in threads():
        # After an error nobody waits for it: it is on its way out.
        thread.join(5)
    assert not threads()
    return descriptors(), resident()


def leave_nothing(use: Callable[[], object], times: int = TIMES) -> None:
    """Run ``use`` so often, and look at what is there before and after each quarter."""
    for _ in range(times // 5):
        use()
    opened, memory = state()
    growths: list[int] = []
    while len(growths) < 4 or (min(growths) >= SLACK and len(growths) < 12):
        for _ in range(times // 4):
            use()
        opened_after, memory_after = state()
        assert opened_after == opened
        growths.append(memory_after - memory)
        memory = memory_after
    # A leak shows in each quarter; what an allocator takes for itself does not.
    assert min(growths) < SLACK


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log.zip"
    path.write_bytes(ZIP)
    return path


def closed(path: Path) -> None:
    with trackparse.open_log(path, block_size=20_000) as log:
        next(log)


def dropped(path: Path) -> None:
    next(trackparse.iter_events(path, block_size=20_000))


def dropped_stream(path: Path) -> None:
    trackparse.open_log(path, block_size=20_000).to_reader().read_next_batch()


def never_read(path: Path) -> None:
    trackparse.open_log(path)


@pytest.mark.parametrize("use", [closed, dropped, dropped_stream, never_read], ids=lambda use: use.__name__)
def test_a_thousand_early_ends(use: Callable[[Path], None], path: Path) -> None:
    leave_nothing(lambda: use(path), TIMES if use is closed else TIMES // 2)


BAD: dict[str, tuple[Any, dict[str, Any]]] = {
    "no log": (b"id;name\n1;2\n", {}),
    "cut": (ZIP[: len(ZIP) // 2], {}),
    "no directory": (ZIP[:-30], {}),
    "flipped": (ZIP[:200] + bytes([ZIP[200] ^ 255]) + ZIP[201:], {}),
    "bad record": (H8 + line() * 50 + b"x;y\n" + line() * 50, {}),
    "limit": (ZIP, {"limits": trackparse.Limits(max_inflated_bytes=100_000)}),
    "no such column": (ZIP, {"columns": ["nope"]}),
    "no such member": (ZIP, {"members": ["nope"]}),
    "cut LZMA": (python_zip({"log.csv": LOG}, method=zipfile.ZIP_LZMA)[:-200], {}),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_thousand_bad_inputs(kind: str, tmp_path: Path) -> None:
    data, options = BAD[kind]
    path = tmp_path / "log"
    path.write_bytes(data)

    def use() -> None:
        with pytest.raises((trackparse.TrackparseError, ValueError)):
            for _ in trackparse.open_log(path, block_size=20_000, **options):
                pass

    leave_nothing(use, TIMES // 5)


def test_conversions(path: Path, tmp_path: Path) -> None:
    log, dest = tmp_path / "tiny.csv", tmp_path / "out.parquet"
    log.write_bytes(H8 + line() * 3 + b"x;y\n")

    def use() -> None:
        trackparse.convert_log(log, dest, on_error="quarantine")
        with pytest.raises(trackparse.RecordError):
            trackparse.convert_log(log, dest)

    leave_nothing(use, TIMES // 10)
