"""How late an event loop is while a log of 1,000,000 rows passes it, and how much of the log the first batch takes.

python tests/torture/loop_lag.py --rows 1000000
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from trackparse.aio import batches
from trackparse.testing.sample import write_sample

_CHUNK = 64 << 10  # bytes
_TICK = 0.001  # seconds
_P99_MOST, _MOST = 10, 50  # ms
_FIRST_MOST = 2 << 20  # bytes of the source given before the first batch: it comes before the second MiB is complete


async def _ticks(late: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(_TICK)
        late.append(time.perf_counter() - before - _TICK)


async def _chunks(path: Path, given: list[int]) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            given.append(given[-1] + len(chunk))
            yield chunk
            await asyncio.sleep(0)


async def _read(path: Path) -> tuple[int, int]:
    rows, first, given = 0, 0, [0]
    async for batch in batches(_chunks(path, given)):
        first = first or given[-1]
        rows += batch.num_rows
    return rows, first


async def _lags(path: Path | None) -> tuple[list[float], tuple[int, int]]:
    late: list[float] = []
    ticking = asyncio.create_task(_ticks(late))
    if path is None:
        await asyncio.sleep(2)
        found = (0, 0)
    else:
        found = await _read(path)
    ticking.cancel()
    return sorted(late), found


def _told(late: list[float]) -> tuple[float, float]:
    return late[len(late) * 99 // 100] * 1000, late[-1] * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.zip"
        write_sample(path, rows=rows)
        alone, _ = asyncio.run(_lags(None))
        late, (found, first) = asyncio.run(_lags(path))
    assert found == rows, f"{found} rows came out of {rows}"
    print("with nothing to do: p99 {:.1f} ms, at most {:.1f} ms".format(*_told(alone)))
    p99, most = _told(late)
    print(f"while {rows:,} rows pass: p99 {p99:.1f} ms (bar: {_P99_MOST}), at most {most:.1f} ms (bar: {_MOST})")
    print(f"first batch after {first / (1 << 20):.2f} MiB of the source (bar: {_FIRST_MOST >> 20})")
    return int(p99 >= _P99_MOST or most > _MOST or first >= _FIRST_MOST)


if __name__ == "__main__":
    sys.exit(main())
