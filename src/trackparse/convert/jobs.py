"""Converts many logs, each to a file: one after the other, or several at a time in processes of their own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, Unpack, get_args

import pyarrow as pa

from trackparse.atomic import kept
from trackparse.convert.conversion import ConversionReport, convert
from trackparse.convert.outputs import Output, check_places, make_folder, name_in, named_after, rejects_beside, shown
from trackparse.convert.places import place_of
from trackparse.datasets import DatasetSource
from trackparse.errors import ArchiveError, OptionError, TrackparseError, printable, suggestion
from trackparse.options import ConvertOptions, convert_options
from trackparse.rejects.kept import SCHEMA
from trackparse.signals import signals_held
from trackparse.sources.listing import logs_of
from trackparse.sources.urls import name_of, scheme_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Existing: TypeAlias = Literal["skip", "replace", "error"]

# Bytes of a packed log from which on it keeps two cores busy: one thread inflates, one reads, one writes.
_LARGE: Final = 4 << 20
# A worker is handed its connection as a descriptor, which Windows cannot do.
_HAS_WORKERS: Final = os.name != "nt"
_CLEANUP: Final = 12.0  # seconds that workers have to remove their files; they take 10 s at most
# A worker imports the same modules from the same places as this process.
_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[2:]; from trackparse.convert.worker import work; work(int(sys.argv[1]))"
)
# The metadata that says what a file was made of: JSON of the log's name, size and time, and a digest of the options.
MADE_OF: Final = "trackparse.made_of"
# Made at import: when a report says that there is no memory left, there is none to make it with.
_NO_REJECTS: Final = pa.Table.from_batches([], schema=SCHEMA)
# Options that say nothing about what is in the file.
_NOT_IN_FILE: Final = (
    *("on_rejects", "rejects", "progress", "limits", "block_size", "string_type", "dictionary", "filesystem"),
)
# What belongs to one log, or cannot be sent to another process.
_NOT_FOR_MANY: Final = {
    "rejects": "each log has a file of its own for its bad records, beside its Parquet file",
    "on_rejects": "read the files of rejects, or convert the logs one by one",
    "progress": "on_report is called as logs are done",
}


def is_expected(error: Exception) -> bool:
    """Whether a log or a disk is to blame. Any other error is raised."""
    return isinstance(error, TrackparseError | OSError | MemoryError)


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One log to convert. It can be sent to another process.

    name: as messages call the log.
    size: in bytes, and time: when it was last changed, in nanoseconds; None if that is not known.
    source: gives what the log is read from.
    dest: the Parquet file.
    rejects: the file for bad records. None: a bad record is an error, or skipped.
    options: all other options of ``convert_log``.
    existing: what to do if the Parquet file exists.
    expected: whether an error ends this job only.
    """

    name: str
    size: int | None
    time: int | None
    source: Callable[[], AbstractContextManager[Any]]
    dest: Output
    rejects: Output | None
    options: ConvertOptions
    existing: Existing
    expected: Callable[[Exception], bool] = is_expected


def run_jobs(
    jobs: Sequence[Job], processes: int, advance: Callable[[int], object]
) -> Generator[tuple[int, ConversionReport]]:
    """The number and the report of each job as it ends. ``advance`` is called with the bytes read so far, of all.

    If you close the generator, running jobs stop and leave no file. Large logs get a process for two cores, even if
    ``processes`` is more.
    """
    if processes > 1 and not _HAS_WORKERS:
        processes = 1
        logging.getLogger("trackparse").warning("on Windows logs are converted one after the other")
    if all((job.size or 0) >= _LARGE for job in jobs):
        processes = min(processes, max(1, _cores() // 2))
    # A log may be named like a temporary file beside the output of another one.
    with kept(job.name for job in jobs):
        if processes > 1 and len(jobs) > 1:
            yield from _side_by_side(jobs, processes, advance)
            return
        before = 0
        for number, job in enumerate(jobs):
            yield number, run_job(job, lambda done, before=before: advance(before + done))  # type: ignore[misc]
            before += job.size or 0


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_job(job: Job, advance: Callable[[int], object]) -> ConversionReport:
    """The report of one job. ``advance`` is called with the number of bytes read so far."""
    try:
        made_of = _made_of(job)
        if (done := _found(job, made_of)) is not None:
            return done
        options: ConvertOptions = {
            **job.options,
            "rejects": job.rejects,
            "progress": lambda stats: advance(stats.bytes_read),
        }
        with job.source() as source:
            return dataclasses.replace(convert(source, job.dest, options, made_of), source=job.name)
    except Exception as error:
        if not job.expected(error):
            raise
        if isinstance(error, MemoryError):
            # Its traceback holds all that filled the memory.
            error = error.with_traceback(None)
        return _report(job, error=error)


def _report(job: Job, **more: Any) -> ConversionReport:
    """The report of a job that converted nothing."""
    numbers = {field.name: 0 for field in dataclasses.fields(ConversionReport) if field.type in ("int", "float")}
    given: dict[str, Any] = {**numbers, "rejects": _NO_REJECTS, "rejects_path": None, "damage": None, **more}
    return ConversionReport(source=job.name, path=job.dest, **given)


# ---- what is there already ----------------------------------------------------------------------------------


def _made_of(job: Job) -> dict[str, str]:
    """The metadata that tell what the file is made of; empty if that is not known."""
    if job.size is None or job.time is None:
        return {}
    stored = scheme_of(job.name) or job.options["filesystem"] is not None
    name = printable(job.name if stored else os.path.abspath(job.name))  # noqa: PTH100
    log = {"name": name, "size": job.size, "time": job.time}
    options = {name: _plain(value) for name, value in job.options.items() if name not in _NOT_IN_FILE}
    # A filter may name a hundred thousand codes.
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()
    return {MADE_OF: json.dumps({**log, "options": digest}, sort_keys=True)}


def _plain(value: Any) -> Any:
    """The value of an option as JSON has it, the same for the same value."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        # Their order is that of the columns.
        return [[str(name), _plain(one)] for name, one in value.items()]
    if isinstance(value, frozenset | set):
        return sorted(map(_plain, value))
    if isinstance(value, Iterable):
        return [*map(_plain, value)]
    return repr(value)


def _found(job: Job, made_of: Mapping[str, str]) -> ConversionReport | None:
    """The report of a log that is converted already. None if it has to be converted; an error if it must not be."""
    if job.existing == "replace":
        return None
    old = place_of(job.dest, job.options["filesystem"]).open_old()
    if old is None:
        return None
    with old:
        if job.existing == "error":
            raise _in_the_way(job, "the file exists")
        before, records, size, damage = _read_made_of(old)
    now = json.loads(made_of.get(MADE_OF, "{}"))
    if not now:
        raise _in_the_way(job, "the file exists, and the size or the time of the log is not known")
    if not before:
        raise _in_the_way(job, "the file exists, and does not say of which log it was made")
    # It may have been moved, or be named from another folder.
    if {**before, "name": ""} == {**now, "name": ""} and Path(before["name"]).name == Path(now["name"]).name:
        return _report(job, records=records, bytes_out=size, damage=damage, skipped=True)
    if before["name"] != now["name"]:
        raise _in_the_way(job, f"the file was made of another log, {before['name']}")
    return None


def _read_made_of(file: Any) -> tuple[dict[str, Any], int, int, ArchiveError | None]:
    """What a Parquet file was made of, its rows, its bytes, and the damage of its log. Nothing if others made it."""
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(file)
        pairs = metadata.metadata or {}
        told = json.loads(pairs[MADE_OF.encode()])
        partial_of = pairs.get(b"trackparse.partial", b"").decode()
        damage = ArchiveError(partial_of) if partial_of else None
        return ({}, 0, 0, None) if "name" not in told else (told, metadata.num_rows, file.seek(0, os.SEEK_END), damage)
    except (pa.ArrowInvalid, KeyError, ValueError, TypeError):
        return {}, 0, 0, None


def _in_the_way(job: Job, why: str) -> TrackparseError:
    return TrackparseError(
        f"{shown(job.dest)}: {why}",
        advice="write to another folder, or write over it with existing='replace'",
        option="existing",
    )


# ---- several processes --------------------------------------------------------------------------------------


def _side_by_side(
    jobs: Sequence[Job], processes: int, advance: Callable[[int], object]
) -> Generator[tuple[int, ConversionReport]]:
    from multiprocessing.connection import wait

    left = deque(enumerate(jobs))
    done = [0] * len(jobs)  # bytes
    started: list[_Worker] = []
    at_work: dict[Any, _Worker] = {}
    try:
        while left or at_work:
            while left and len(at_work) < processes:
                # A signal now would end the new process with a traceback, or be raised before it is in ``started``.
                with signals_held():
                    started.append(_Worker())
                at_work[started[-1].connection] = started[-1]
                started[-1].begin(*left.popleft())
            for connection in wait(list(at_work)):
                worker = at_work[connection]
                message = worker.receive()
                if isinstance(message, int):
                    done[worker.number] = message
                    advance(sum(done))
                    continue
                if isinstance(message, logging.LogRecord):
                    logging.getLogger(message.name).handle(message)
                    continue
                if message is None or not left:
                    del at_work[connection]
                number, report = worker.number, message or _died(worker)
                if connection in at_work:
                    worker.begin(*left.popleft())
                yield number, report
    finally:
        deadline = time.monotonic() + _CLEANUP
        for worker in started:
            worker.connection.close()
        for worker in started:
            worker.wait(deadline)


def _died(worker: _Worker) -> ConversionReport:
    """The report of a job whose process ended without one."""
    code = worker.wait(time.monotonic() + _CLEANUP)
    process = f"{worker.job.name}: the process that converted it"
    if code < 0:
        error = TrackparseError(
            f"{process} was killed by signal {-code}, perhaps for lack of memory",
            advice="try fewer jobs",
            option="jobs",
        )
    else:
        error = TrackparseError(f"{process} ended with an unexpected error: its traceback is printed above")
    return _report(worker.job, error=error)


class _Worker:
    """A worker process. It ends when its connection is closed. Start it while signals are held."""

    connection: Connection
    job: Job
    number: int  # which job it is, 0-based

    def __init__(self) -> None:
        from multiprocessing import Pipe

        self.connection, its_end = Pipe()
        with its_end:
            descriptor = its_end.fileno()
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-c", _PROGRAM, str(descriptor), *sys.path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[descriptor],
            )

    def begin(self, number: int, job: Job) -> None:
        """Send it a job."""
        self.number, self.job = number, job
        with suppress(OSError):  # it is dead: the next ``receive`` says so
            self.connection.send(job)

    def receive(self) -> int | logging.LogRecord | ConversionReport | None:
        """Wait for its next message: bytes read so far, what it logs, the report of its job, or None if it is dead."""
        try:
            message: int | logging.LogRecord | ConversionReport = self.connection.recv()
        except (EOFError, OSError):
            return None
        return message

    def wait(self, deadline: float) -> int:
        """Wait until it has ended, and kill it after the deadline. Its exit code; negative for a signal."""
        try:
            return self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


# ---- the call -----------------------------------------------------------------------------------------------


def _folder(dest: str | os.PathLike[str], filesystem: Any) -> Output:
    """The folder to write to. In a store that has folders it is made. OptionError if nothing can be written there."""
    # pyarrow.fs takes a while to import, and the command line does without it.
    from trackparse.sources.filesystem import errors_named, is_local, key_of, resolve

    place_of(dest, filesystem)
    files, path = resolve(dest, filesystem)
    if is_local(files):
        return Path(path)
    if key_of(files, path)[0] not in ("s3", "gs"):  # these have no folders
        with errors_named(name_of(dest)):
            files.create_dir(path, recursive=True)
    return os.fspath(dest)


def convert_logs(
    sources: DatasetSource | Iterable[DatasetSource],
    dest: str | os.PathLike[str],
    *,
    jobs: int = 1,
    existing: Existing = "skip",
    on_report: Callable[[ConversionReport], object] | None = None,
    **options: Unpack[ConvertOptions],
) -> list[ConversionReport]:
    """Write each of many logs as a Parquet file in a folder, and return a report of each, in the order of the logs.

    ``sources`` are those of ``dataset``, but for bytes, which have no name. ``dest`` is a folder, by its path or its
    URL; it is made if it is missing. A file has the name of its log with ``.parquet`` in place of ``.zip``, ``.csv`` or
    ``.csv.gz``.

    - ``jobs``: how many logs are converted at a time, each in a process of its own; at most one for two cores where all
      logs are larger than 4 MiB, since one log keeps two cores busy. Default: 1, in this process.
    - ``existing``: what to do if the Parquet file of a log exists. ``"skip"`` (default): leave the log out if its file
      was made of it with the same options, and convert it again if its size or time, or the options, have changed. A
      file that this call did not make, or made of another log, is an error. ``"replace"``: convert it again.
      ``"error"``: an error.
    - ``on_report``: a function that is called with each report when its log is done.

    The other options are those of ``convert_log``. With ``on_error="quarantine"`` the bad records of ``day.zip`` go to
    ``day.rejects.jsonl`` beside ``day.parquet``; ``rejects``, ``on_rejects`` and ``progress`` are not taken.

    A log that cannot be converted does not stop the others: its report has the ``error``, which is an OSError or a
    TrackparseError. Each file appears when it is complete, so a run that is repeated, or killed and repeated, never
    has a row twice. Raises what ``dataset`` raises for sources; OptionError and TypeError for options; OptionError if
    two logs would become one file.

    >>> reports = trackparse.convert_logs("days/", "lake/", jobs=2, on_error="quarantine")
    >>> [report.source for report in reports if report.error]
    []
    """
    asked = convert_options(options)
    for name, advice in _NOT_FOR_MANY.items():
        if asked[name] is not None:  # type: ignore[literal-required]
            raise OptionError(f"{name}: not for several logs: {advice}")
    if existing not in get_args(Existing):
        raise OptionError(f"existing={existing!r}{suggestion(str(existing), get_args(Existing))}")
    if not isinstance(jobs, int) or jobs < 1:
        raise OptionError(f"jobs={jobs!r}: expected 1 or more processes")
    filesystem = asked["filesystem"]
    folder = _folder(dest, filesystem)
    quarantined = asked["on_error"] == "quarantine"
    todo = []
    for log in logs_of(sources, filesystem):
        if log.place is None:
            raise OptionError("a log in memory has no name: convert it with trackparse.convert_log")
        file = named_after(Path(name_in(log.name)), folder)
        rejects = rejects_beside(file) if quarantined else None
        todo.append(Job(log.name, log.size, log.time, partial(nullcontext, log.place), file, rejects, asked, existing))
    elsewhere = "write to another folder"
    check_places([(job.name, job.name, {elsewhere: job.dest}) for job in todo])
    check_places([(job.name, job.name, {elsewhere: job.rejects}) for job in todo])
    make_folder(folder)
    reports: dict[int, ConversionReport] = {}
    with closing(run_jobs(todo, jobs, lambda _: None)) as done:
        for number, report in done:
            reports[number] = report
            if on_report is not None:
                on_report(report)
    return [reports[number] for number in range(len(todo))]
