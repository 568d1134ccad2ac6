"""Where a conversion spends its CPU time, by step, and what memory it takes. Reaches inside; judges nothing.

python -m benchmarks.profile KIND ROWS [CONVERSIONS]
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from benchmarks import corpus, own
from benchmarks.archives import remove
from benchmarks.worker import peak_memory


@contextmanager
def steps_timed() -> Iterator[dict[str, float]]:
    """Seconds of CPU time by step, while the context lasts. Steps with a thread of their own run beside the others."""
    from trackparse.archive import readahead
    from trackparse.convert import parquet, row_groups
    from trackparse.reader import LogReader

    seconds: dict[str, float] = defaultdict(float)
    steps: list[tuple[str, Any, str]] = [
        ("inflate (its thread)", readahead, "_run"),
        ("index", LogReader, "_next_group"),
        ("collect", row_groups.RowGroups, "add"),
        ("hand over", row_groups.RowGroups, "take"),
        ("write (its thread)", parquet, "_then_free_memory"),
    ]
    with ExitStack() as patched:
        for step, owner, name in steps:
            timed = _timed(getattr(owner, name), seconds, step)
            patched.enter_context(mock.patch.object(owner, name, timed))
        yield seconds


def _timed(function: Any, seconds: dict[str, float], step: str) -> Any:
    def run(*arguments: Any) -> Any:
        start = time.thread_time()
        try:
            return function(*arguments)
        finally:
            seconds[step] += time.thread_time() - start

    return run


def main(kind: str, rows: str, conversions: str = "5") -> None:
    """Print a line for each conversion."""
    log = corpus.log(kind, "php", int(rows))
    corpus.warm(log.path)
    for number in range(int(conversions)):
        with steps_timed() as seconds:
            wall, cpu = time.perf_counter(), time.process_time()
            path = own.convert(log)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        told = ", ".join(f"{step} {spent:.3f}" for step, spent in sorted(seconds.items()))
        size = path.stat().st_size
        remove(path)
        print(
            f"{number + 1}: wall {wall:.2f} s, CPU {cpu:.3f} s: {told}; peak {peak_memory() >> 20} MiB, {size:,} bytes",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
