"""Where reading or a conversion spends its time: CPU by step and thread, and who waits for whom. Judges nothing.

python -m benchmarks.profile WHAT KIND ROWS [TIMES]

WHAT: ``batches``, ``events`` or ``convert``; KIND: ``today``, ``old`` or ``few``. Reaches inside.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from benchmarks import corpus, own
from benchmarks.archives import remove
from benchmarks.corpus import Log
from benchmarks.worker import peak_memory


@contextmanager
def steps_timed() -> Iterator[dict[str, float]]:
    """Seconds of CPU time by step, while the context lasts; of a wait, those of the clock.

    Steps with a thread of their own run beside the others. What a thread needs beyond its steps and waits is the
    interpreter's.
    """
    from trackparse.archive import readahead
    from trackparse.columns.builder import ColumnBuilder
    from trackparse.convert import parquet, row_groups
    from trackparse.records.indexer import Indexer
    from trackparse.records.kernel.chooser import kernel

    seconds: dict[str, float] = defaultdict(float)
    steps: list[tuple[str, Callable[[], float], Any, str]] = [
        ("inflating thread", time.thread_time, readahead._Shared, "_run"),
        ("inflating thread: waits for the reader", time.perf_counter, readahead._Lane, "wait_for_room"),
        ("reader: waits for a block", time.perf_counter, readahead, "_wait_for"),
        ("reader: index", time.thread_time, Indexer, "_ask"),
        ("reader: columns", time.thread_time, ColumnBuilder, "build"),
        ("reader: events", time.thread_time, kernel, "events"),
        ("reader: collect a row group", time.thread_time, row_groups.RowGroups, "add"),
        ("reader: hand it over", time.thread_time, row_groups.RowGroups, "take"),
        ("reader: waits for the writer", time.perf_counter, Future, "result"),
        ("writing thread", time.thread_time, parquet, "_then_free_memory"),
    ]
    with ExitStack() as patched:
        for step, clock, owner, name in steps:
            timed = _timed(getattr(owner, name), clock, seconds, step)
            patched.enter_context(mock.patch.object(owner, name, timed))
        yield seconds


def _timed(function: Any, clock: Callable[[], float], seconds: dict[str, float], step: str) -> Any:
    def run(*arguments: Any, **keywords: Any) -> Any:
        start = clock()
        try:
            return function(*arguments, **keywords)
        finally:
            seconds[step] += clock() - start

    return run


def _read(make: Callable[[Log], Iterator[Any]]) -> Callable[[Log], str]:
    def read(log: Log) -> str:
        for _ in make(log):
            pass
        return ""

    return read


def _convert(log: Log) -> str:
    path = own.convert(log)
    size = path.stat().st_size
    remove(path)
    return f", {size:,} bytes"


WORK = {"batches": _read(own.batches), "events": _read(own.events), "convert": _convert}


def main(what: str, kind: str, rows: str, times: str = "5") -> None:
    """Print a paragraph for each time."""
    log = corpus.log(kind, "php", int(rows))
    corpus.warm(log.path)
    for number in range(int(times)):
        with steps_timed() as seconds:
            wall, cpu, reader = time.perf_counter(), time.process_time(), time.thread_time()
            made = WORK[what](log)
            wall, cpu, reader = time.perf_counter() - wall, time.process_time() - cpu, time.thread_time() - reader
        print(f"{number + 1}: wall {wall:.3f} s, CPU {cpu:.3f} s, peak {peak_memory() >> 20} MiB{made}")
        for step, spent in sorted({**seconds, "reader": reader}.items()):
            print(f"   {step:40} {spent:.3f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
