"""Runs one contender in this process and prints one line of JSON. Judges nothing.

python -m benchmarks.worker NAME time|check|compare KIND ROWS [SETTINGS]
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import corpus, generator, same
from benchmarks.archives import remove
from benchmarks.contenders import BY_NAME, Contender
from benchmarks.corpus import Log
from benchmarks.peers import SETTINGS

Run = Callable[[Any], Any]


def _timed(contender: Contender, run: Run, log: Log) -> dict[str, Any]:
    """The medians of its runs here; the clock stands still while the result is counted."""
    _warm_up(contender, run, log.kind)
    with contender.setup(log) as source:
        runs = [_once(contender, run, source) for _ in range(contender.repeats)]
    # Of what ran inside the clock and should not have.
    imported = sorted(set().union(*(one.pop("imported") for one in runs)))
    found = {name: median(one[name] for one in runs) for name in runs[0] if runs[0][name] is not None}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {**found, "parallel": found["wall"] * cores / found["cpu"], "imported": imported}


def _warm_up(contender: Contender, run: Run, kind: str) -> None:
    """Run it on a small log: whatever it imports, however late, is imported then."""
    if contender.gives == "nothing" or contender.once:
        return
    with contender.setup(corpus.log(kind, contender.form, corpus.SMALL)) as source:
        _, _, path = _consume(contender, run(source))
        if path is not None:
            remove(path)


def _once(contender: Contender, run: Run, source: Any) -> dict[str, Any]:
    loaded = set(sys.modules)
    cpu = _cpu()
    start = time.perf_counter()
    first, amount, path = _consume(contender, run(source))
    wall = time.perf_counter() - start
    found: dict[str, Any] = {"wall": wall, "cpu": _cpu() - cpu, "rss": peak_memory(), "amount": amount}
    found["first"] = None if first is None else (first - start) / wall
    found["imported"] = set(sys.modules) - loaded
    if path is not None:
        found["size"] = path.stat().st_size
        found["amount"] = _parquet_rows(path)
        remove(path)
    return found


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def peak_memory() -> int:
    """Bytes. Not ru_maxrss where it can be helped: on Linux that starts at the peak of the process that started us."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def _consume(contender: Contender, result: Any) -> tuple[float | None, int, Path | None]:
    """Take all there is and keep none of it: when the first came, how much there was, the file if it is one."""
    if contender.gives == "nothing":
        return None, 0, None
    if contender.gives == "file":
        return None, 0, result
    if contender.gives == "rows":
        numbers = count()
        deque(zip(result, numbers), maxlen=0)  # noqa: B905 - the numbers never end
        return None, next(numbers), None
    first = None
    amount = 0
    for item in result:
        if first is None:
            first = time.perf_counter()
        amount += item if isinstance(item, int) else len(item)
    return first, amount, None


def _parquet_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _checked(contender: Contender, run: Run, log: Log) -> dict[str, Any]:
    """What is wrong with what it makes of the log, field by field; nothing if all is right."""
    with contender.setup(log) as source:
        result = run(source)
        if contender.gives in ("bytes", "records"):
            found, wanted = sum(result), log.inflated if contender.gives == "bytes" else log.rows
            return {"wrong": "" if found == wanted else f"{found} {contender.gives}, and not {wanted}"}
        if contender.gives == "rows":
            return {"wrong": same.rows(result, log.tables(), len(generator.KINDS[log.kind].columns))}
        tables = _parquet_tables(result) if contender.gives == "file" else map(_table, result)
        columns = contender.columns or generator.KINDS[log.kind].columns
        return {"wrong": same.tables(tables, log.tables(), columns, nulls=contender.ours)}


def _table(batch: Any) -> Any:
    """An Arrow table of an Arrow batch or a data frame."""
    import pyarrow as pa

    if hasattr(batch, "to_arrow"):
        return batch.to_arrow()
    if isinstance(batch, pa.RecordBatch):
        return pa.Table.from_batches([batch])
    return batch if isinstance(batch, pa.Table) else pa.Table.from_pandas(batch, preserve_index=False)


def _parquet_tables(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        remove(path)  # it is open
        yield from map(_table, file.iter_batches())


def _right(contender: Contender, kind: str, rows: int) -> dict[str, Any]:
    """How many rows come out as they went in, in any order, of the log as either writer writes it.

    In the dialect that a peer does not know, the best of its attempts counts.
    """
    truth = Counter(generator.rows(generator.KINDS[kind], rows))
    found = {}
    for form in ("php", "rfc4180"):
        known = contender.ours or contender.form == form
        attempts = contender.attempts[:1] if known else contender.attempts
        log = corpus.log(kind, form, rows)
        found[form] = max(_right_once(contender, log, options, truth) for options in attempts)
    return found


def _right_once(contender: Contender, log: Log, options: dict[str, Any], truth: Counter[tuple[str, ...]]) -> int:
    found: Counter[tuple[str, ...]] = Counter()
    try:
        result = contender.run(log, **options)
        for rows in [result] if contender.gives == "rows" else map(_columns_as_rows, map(_table, result)):
            for row in rows:
                found[_texts(row)] += 1
    except Exception as fault:
        # What came before counts.
        print(f"{contender.name}: {type(fault).__name__}: {str(fault)[:200]}", file=sys.stderr)
    return (found & truth).total()


def _columns_as_rows(table: Any) -> Iterable[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _texts(row: Any) -> tuple[str, ...]:
    return tuple("" if value is None else getattr(value, "text", None) or str(value) for value in row)


def main() -> None:
    """Run one contender in this process."""
    name, mode, kind, rows, *given = sys.argv[1:]
    contender = BY_NAME[name]
    settings = json.loads(given[0]) if given else SETTINGS.get(name, {}).get(kind, {})

    def run(source: Any) -> Any:
        return contender.run(source, **settings)

    if mode == "compare":
        found = _right(contender, kind, int(rows))
    else:
        log = corpus.log(kind, contender.form, int(rows))
        found = (_timed if mode == "time" else _checked)(contender, run, log)
    print(json.dumps(found), flush=True)
    # pyarrow's CSV stream over a Python file has threads that now and then abort a process that ends by itself.
    os._exit(0)


if __name__ == "__main__":
    main()
