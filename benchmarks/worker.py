"""Runs one contender in this process and prints one line of JSON. Judges nothing.

python -m benchmarks.worker NAME time|check|compare LOG [DIALECT]
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.archives import remove
from benchmarks.contenders import BY_NAME, Contender
from benchmarks.corpus import compared_rows


def _timed(contender: Contender, log: Any) -> dict[str, Any]:
    """One run: the clock stands still while modules are imported and the result is counted."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    first, amount, path = _consume(contender, contender.run(log))
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "wall": wall,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "rss": _peak_memory(),
        "first": None if first is None else first - start,
        "amount": amount,
    }
    if path is not None:
        found["size"] = path.stat().st_size
        found["amount"] = _parquet_rows(path)
        remove(path)
    return found


def _peak_memory() -> int:
    """Bytes. Not ru_maxrss where it can be helped: on Linux that starts at the peak of the process that started us."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def _consume(contender: Contender, result: Any) -> tuple[float | None, int, Path | None]:
    """Take all there is and keep none of it: when the first came, how much there was, the file if it is one."""
    if contender.kind == "file":
        return None, 0, result
    if contender.kind == "rows":
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


def _checked(contender: Contender, log: Any) -> dict[str, Any]:
    """What it makes of the log, to be held against the truth."""
    result = contender.run(log)
    if contender.kind in ("bytes", "records"):
        return {"inflated" if contender.kind == "bytes" else "rows": sum(result)}
    found: Counter[str] = Counter()
    if contender.kind == "rows":
        for row in result:
            status, payload = _status_and_payload(row)
            found.update(rows=1, opened=status == "opened", payload_bytes=len(payload.encode()))
        return dict(found)
    for table in _parquet_batches(result) if contender.kind == "file" else map(_table, result):
        found.update(_sums(table))
    if contender.kind == "file":
        remove(result)
    return dict(found)


def _status_and_payload(row: Any) -> tuple[str, str]:
    if isinstance(row, dict):
        return row["status"], row["payload"]
    payload = row[7]
    return row[4], payload if isinstance(payload, str) else payload.text if payload is not None else ""


def _table(batch: Any) -> Any:
    """An Arrow table of an Arrow batch or a data frame."""
    import pyarrow as pa

    if hasattr(batch, "to_arrow"):
        return batch.to_arrow()
    if isinstance(batch, pa.RecordBatch):
        return pa.Table.from_batches([batch])
    return batch if isinstance(batch, pa.Table) else pa.Table.from_pandas(batch, preserve_index=False)


def _parquet_batches(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    yield from map(_table, pq.ParquetFile(path).iter_batches(columns=["status", "payload"]))


def _sums(table: Any) -> dict[str, int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    sums = {
        "rows": table.num_rows,
        "opened": pc.sum(pc.equal(table["status"].cast(pa.large_string()), "opened")).as_py() or 0,
    }
    if "payload" in table.column_names:
        sums["payload_bytes"] = pc.sum(pc.binary_length(table["payload"].cast(pa.large_string()))).as_py() or 0
    return sums


def _right(contender: Contender, log: Any, *, own_dialect: bool) -> dict[str, Any]:
    """How many rows of the compared log come out as they went in, in any order; the best of its attempts."""
    truth = Counter(compared_rows())
    attempts = contender.attempts[:1] if own_dialect else contender.attempts
    return {"right": max(_right_once(contender, log, options, truth) for options in attempts)}


def _right_once(contender: Contender, log: Any, options: dict[str, Any], truth: Counter[tuple[str, ...]]) -> int:
    found: Counter[tuple[str, ...]] = Counter()
    try:
        result = contender.run(log, **options)
        for rows in [result] if contender.kind == "rows" else map(_columns_as_rows, map(_table, result)):
            for row in rows:
                found[_texts(row)] += 1
    except Exception as fault:
        # What came before counts.
        print(f"{contender.name}: {type(fault).__name__}: {str(fault)[:200]}", file=sys.stderr)
    return (found & truth).total()


def _columns_as_rows(table: Any) -> Iterable[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _texts(row: Any) -> tuple[str, ...]:
    values = row.values() if isinstance(row, dict) else row
    return tuple("" if value is None else getattr(value, "text", None) or str(value) for value in values)


def main() -> None:
    """Run one contender in this process."""
    name, mode, log, *dialect = sys.argv[1:]
    contender = BY_NAME[name]
    for module in contender.imports:
        __import__(module)
    with contender.setup(Path(log)) as source:
        if mode == "time":
            found = _timed(contender, source)
        elif mode == "check":
            found = _checked(contender, source)
        else:
            found = _right(contender, source, own_dialect=contender.ours or contender.log == dialect[0])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
