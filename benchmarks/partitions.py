"""Days of logs to hive partitions, beside ``pyarrow.dataset.write_dataset`` at its best settings. Makes its own logs.

    python -m benchmarks.partitions --runs 3 --check

Each run is a process of its own; they take turns. What they write is removed at the end: to make files takes ext4
longer where thousands were removed in the minutes before, which would be the files of another contender. CPU time is
that of the process and of the workers that it starts. Memory is that of all of these at once, where they are several in
a run of its own, as looking at it takes time. What the peer gets are our batches: nothing of this measures who reads
the logs faster. Of one job and two the faster one is judged, as of the peers the fastest is: it has a thread for each
core. With ``--check`` the exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks import corpus, generator
from benchmarks.worker import peak_memory

_FIRST_DAY: Final = datetime(2021, 4, 20)
_BY: Final = ("date", "appCode")
# Days, rows of all, apps (None: as they are, twelve).
CASES: Final = {
    "30 days, 12 apps": (30, 4_000_000, None),
    "20 days, 100 apps": (20, 4_000_000, 100),
    "2,000 partitions in one log": (1, 1_000_000, 2_000),
}
_MIB: Final = 1 << 20
# The bars: seconds by those of the fastest peer; MiB of memory; bytes by those without partitions; row groups a file.
_OF_PEER: Final = {"30 days, 12 apps": 0.8, "20 days, 100 apps": 0.5}
_PEAK: Final = 400
_OF_UNPARTITIONED: Final = 1.05
_GROUPS: Final = 1


def logs(days: int, rows: int, apps: int | None) -> Path:
    """A folder with the logs; written if it is not there. All days have the same rows, each at its own date."""
    folder = corpus.FOLDER / "partitions" / f"{days}-{rows}-{apps}"
    if folder.exists():
        return folder
    unfinished = folder.with_suffix(".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    kind = generator.KINDS["today"]
    lines = []
    for row in generator.rows(kind, rows // days):
        if apps is not None:
            row = (*row[:6], f"{zlib.crc32(row[3].encode()) % apps:05X}-APP", row[7])
        lines.append(corpus.encoded(row, "php"))
    body = b"".join(lines)
    del lines
    for number in range(days):
        day = f"{_FIRST_DAY + timedelta(days=number):%Y-%m-%d}"
        with zipfile.ZipFile(unfinished / f"{day}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            lines_of_day = body.replace(b'"2021-04-20 ', f'"{day} '.encode())
            archive.writestr("tracking_log.csv", corpus.header("today") + lines_of_day)
    unfinished.rename(folder)
    return folder


# ---- contenders -----------------------------------------------------------------------------------------------


def ours(days: Path, lake: Path, *, jobs: int = 1, by: tuple[str, ...] = _BY) -> None:
    """``convert_logs``."""
    import trackparse

    for report in trackparse.convert_logs(days, lake, partition_by=by, jobs=jobs):
        if report.error:
            raise report.error


def unpartitioned(days: Path, lake: Path) -> None:
    """The same logs, a file each."""
    ours(days, lake, by=())


def peer(days: Path, lake: Path, *, dictionary: bool, group: int, open_files: int) -> None:
    """``write_dataset``, fed by us."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    import trackparse

    log = trackparse.dataset(days, dictionary=("status", "description", "appCode") if dictionary else ())
    schema = log.schema.append(pa.field("date", pa.string()))

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in log.to_batches():
            dates = pc.strftime(batch["timestamp"], "%Y-%m-%d")
            yield pa.RecordBatch.from_arrays([*batch.columns, dates], schema=schema)

    parquet = ds.ParquetFileFormat()
    ds.write_dataset(
        pa.RecordBatchReader.from_batches(schema, batches()),
        lake,
        format=parquet,
        file_options=parquet.make_write_options(compression="zstd"),
        partitioning=ds.partitioning(pa.schema([(name, pa.string()) for name in _BY]), flavor="hive"),
        max_partitions=10_000,
        max_open_files=open_files,
        min_rows_per_group=group,
        max_rows_per_group=max(group, 1 << 20),
    )


CONTENDERS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "trackparse": ours,
    "trackparse, 2 jobs": lambda days, lake: ours(days, lake, jobs=2),
    "trackparse, no partitions": unpartitioned,
    "pyarrow": lambda days, lake: peer(days, lake, dictionary=False, group=0, open_files=900),
    "pyarrow, large row groups": lambda days, lake: peer(days, lake, dictionary=False, group=1 << 15, open_files=900),
    "pyarrow, dictionaries": lambda days, lake: peer(days, lake, dictionary=True, group=0, open_files=900),
}


# The way to write partitions, and how many processes do it.
OURS: Final = {"trackparse": 1, "trackparse, 2 jobs": 2}


def run(name: str, days: Path, lake: Path) -> dict[str, Any]:
    """Convert, in this process, and say what it took."""
    import pyarrow.parquet as pq

    import trackparse.convert.running  # noqa: F401

    before = cpu_seconds()
    start = time.perf_counter()
    CONTENDERS[name](days, lake)
    seconds = time.perf_counter() - start
    cpu = cpu_seconds() - before
    files = [*lake.rglob("*.parquet")]
    found = [pq.read_metadata(file) for file in files]
    return {
        "seconds": seconds,
        "cpu": cpu,
        "peak": peak_memory() / _MIB,
        "rows": sum(one.num_rows for one in found),
        "files": len(files),
        "groups": sum(one.num_row_groups for one in found),
        "most_groups": max(one.num_row_groups for one in found),
        "bytes": sum(file.stat().st_size for file in files),
    }


def memory_of_all(name: str, days: Path, lake: Path) -> float:
    """MiB that the process of ``run`` and those that it starts have at once; what they share counts once."""
    most = 0
    with subprocess.Popen(_words(name, days, lake), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, sum(map(_share_of_memory, _descendants(process.pid))))
            time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{name}: exit code {process.returncode}")
    if not most:
        raise SystemExit("the memory of processes is read from Linux's /proc")
    return most / 1024


def _descendants(process: int) -> list[int]:
    """The process and all that it started. They may end at any moment."""
    found = [process]
    for number in found:
        with suppress(OSError):
            for task in Path(f"/proc/{number}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _share_of_memory(process: int) -> int:
    """KiB of a process: what it shares with others is shared out."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def cpu_seconds() -> float:
    """Seconds of this process and of those that it started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measured(name: str, days: Path, lake: Path, files: int | None = None) -> dict[str, Any]:
    """``run`` in a process of its own, which may have ``files`` open."""
    words = _words(name, days, lake)
    limited = words if files is None else ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *words]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: exit code {done.returncode}\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _words(name: str, days: Path, lake: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.partitions", "--run", name, str(days), str(lake)]


def verdicts(case: str, found: dict[str, dict[str, float]]) -> Iterator[tuple[str, float, float]]:
    """What is judged of a case, its figure, and the bar. ``found`` are the medians of each contender that ran."""
    if (own := found.get("trackparse")) is None:
        return
    peers = [one["seconds"] for name, one in found.items() if name.startswith("pyarrow")]
    if case in _OF_PEER and peers:
        best = min(found[name]["seconds"] for name in OURS if name in found)
        yield "seconds by those of the fastest peer", best / min(peers), _OF_PEER[case]
    for name in OURS:
        if name in found:
            yield f"MiB of memory, {name}", found[name]["peak"], _PEAK
    if "trackparse, no partitions" in found:
        unpartitioned = found["trackparse, no partitions"]["bytes"]
        yield "bytes by those without partitions", own["bytes"] / unpartitioned, _OF_UNPARTITIONED
    yield "row groups of a file", own["most_groups"], _GROUPS


def main() -> int:
    """Measure all contenders by turns, and print the medians; 1 if a bar is missed, and somebody wants to know."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--only", choices=CONTENDERS, action="append")
    parser.add_argument("--check", action="store_true", help="exit code 1 if a bar is missed")
    parser.add_argument("--run", nargs=3, metavar=("NAME", "DAYS", "LAKE"), help="one run, in this process")
    args = parser.parse_args()
    if args.run:
        print(json.dumps(run(args.run[0], Path(args.run[1]), Path(args.run[2]))))
        return 0
    missed = False
    for case in args.case or CASES:
        days, rows, apps = CASES[case]
        folder = logs(days, rows, apps)
        names = args.only or [*CONTENDERS]
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        with tempfile.TemporaryDirectory(prefix="trackparse-bench-", dir=corpus.FOLDER) as lakes:
            for turn in range(args.runs):
                for name in names:
                    lake = Path(lakes) / f"{turn}-{names.index(name)}"
                    found[name].append(measured(name, folder, lake, files=1024))
            of_all = {
                name: memory_of_all(name, folder, Path(lakes) / "memory")
                for name, jobs in OURS.items()
                if jobs > 1 and name in names
            }
        print(f"\n{case}, {rows:,} rows; medians of {args.runs} turns, 1,024 open files at most")
        print(f"{'':28}{'wall s':>8}{'CPU s':>8}{'peak MiB':>10}{'files':>8}{'groups':>8}{'most':>6}{'MB':>8}")
        medians = {}
        for name, results in found.items():
            assert Counter(result["rows"] for result in results) == {rows // days * days: args.runs}, (name, results)
            middle = {key: statistics.median(result[key] for result in results) for key in results[0]}
            middle["peak"] = of_all.get(name, middle["peak"])
            medians[name] = middle
            print(
                f"{name:28}{middle['seconds']:8.2f}{middle['cpu']:8.2f}{middle['peak']:10.0f}{middle['files']:8.0f}"
                f"{middle['groups']:8.0f}{middle['most_groups']:6.0f}{middle['bytes'] / 1e6:8.1f}",
                flush=True,
            )
        for what, figure, bar in verdicts(case, medians):
            missed |= figure > bar
            print(f"  {what}: {figure:.2f} (bar: {bar}){'' if figure <= bar else ', missed'}", flush=True)
    return 1 if args.check and missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
