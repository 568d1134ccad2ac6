"""``convert_logs``: many logs to Parquet files in a folder, to partitions, or to one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Final, Unpack, get_args

from trackparse.convert.conversion import ConversionReport
from trackparse.convert.jobs import Existing, jobs_of, joined_job
from trackparse.convert.outputs import check_is_parquet, check_partition_by, is_file, rejects_beside
from trackparse.convert.places import Folder, place_of
from trackparse.convert.running import run_jobs
from trackparse.datasets import DatasetSource
from trackparse.errors import OptionError
from trackparse.options import ConvertOptions, convert_options, function, one_of, whole_number

# What belongs to one log, or cannot be sent to another process.
_NOT_FOR_MANY: Final = {
    "rejects": "each log has a file of its own for its bad records, beside its Parquet file",
    "on_rejects": "read the files of rejects, or convert the logs one by one",
    "progress": "on_report is called as logs are done",
}


def convert_logs(
    sources: DatasetSource | Iterable[DatasetSource],
    dest: str | os.PathLike[str],
    *,
    jobs: int = 1,
    partition_by: Iterable[str] = (),
    existing: Existing = "skip",
    on_report: Callable[[ConversionReport], object] | None = None,
    **options: Unpack[ConvertOptions],
) -> list[ConversionReport]:
    """Write each of many logs as a Parquet file in a folder, and return a report of each, in the order of the logs.

    ``sources`` are those of ``dataset``, but for bytes, which have no name. ``dest`` is a folder, by its path or its
    URL; it is made if it is missing, and removed if nothing comes into it. A file has the name of its log with
    ``.parquet`` in place of ``.zip``, ``.csv`` or ``.csv.gz``. A log that is found in a folder, or by a glob, is called
    by its path from there: ``2021-04-20-app.parquet`` for ``days/2021-04-20/app.zip`` of ``days/``. If ``dest`` is the
    name of a file, ``*.parquet``, all logs go into that one, as below; a name such as ``all.arrow`` is an error, unless
    that folder exists or the name ends in a slash. A warning of the logger ``trackparse`` names a log whose file begins
    with ``_`` or ``.``, since Spark, Hive and pyarrow.dataset pass over such files.

    - ``jobs``: how many logs are converted at a time, at most, each in a process of its own. There are as many as take
      the least time, reckoned from the cores, the threads and the sizes of the logs. One log keeps two cores busy, and
      a process takes time to start: so on two cores a few large logs, or small ones, are converted one after the
      other, in this process, as with 1. There are never more than cores, unless logs or files are elsewhere than on
      this machine. Unless you name ``threads``, the processes share the cores: with as many of them as cores, each has
      one thread. Default: 1, in this process.
    - ``partition_by``: names of columns whose values become folders, as Hive, Spark, DuckDB, Polars and pyarrow read
      them: with ``("date", "appCode")`` the records of ``day.zip`` go to ``date=2021-04-20/appCode=C90C0-0E786/
      day.parquet`` and so on, one file for each partition that the log has. ``"date"`` is made of the timestamp; the
      others are known columns of text. These columns do not stand in the files. Default: no partitions.
    - ``existing``: what to do if the Parquet file of a log exists. ``"skip"`` (default): leave the log out if its file
      was made of it with the same options, and convert it again if its size or time, or the options, have changed. A
      file that this call did not make, or made of another log, is an error. ``"replace"``: convert it again.
      ``"error"``: an error.
    - ``on_report``: a function that is called with each report when its log is done.

    The other options are those of ``convert_log``. With ``on_error="quarantine"`` the bad records of ``day.zip`` go to
    ``day.rejects.jsonl`` beside ``day.parquet``, or to ``day.rejects.new.jsonl`` if somebody may have changed that one;
    ``rejects``, ``on_rejects`` and ``progress`` are not taken.

    A log that cannot be converted does not stop the others: its report has the ``error``, which is an OSError or a
    TrackparseError. Each file appears when it is complete, so a run that is repeated, or killed and repeated, never
    has a row twice. Raises what ``dataset`` raises for sources; OptionError and TypeError for options; OptionError if
    two logs would become one file; if that is so because of their folders, ``a-b/c.zip`` and ``a/b-c.zip``, it is an
    error of these two. A log that ``dest`` has by another name, because it was named by another folder, is
    an error of that log.

    With ``partition_by`` a folder ``_trackparse`` beside the partitions has a list of the files of each log,
    ``day.json``, and ``day.rejects.jsonl``; readers of Hive partitions pass over it. A log counts as converted only
    when all its files and the list are there. Its files get their names when it has been read to its end. If it was
    converted before, files of partitions that it no longer has are removed. Null and empty text are one partition,
    ``__HIVE_DEFAULT_PARTITION__``, which is read as null; characters that no folder may have are written as ``%XX``.
    Memory does not grow with the log or with the number of partitions: what does not fit goes to a temporary file, in
    ``dest`` or, for a store, where ``tempfile`` puts it. A value that is too long for the name of a folder, more
    partitions than ``Limits.max_partitions`` and a column ``date`` of the log's own are errors of that log.

    All logs in one file are read as a ``dataset`` in the order of their names, by one process, and there is one report:
    with ``columns=`` there may be a column ``log``, and rejects, in ``all.rejects.jsonl`` beside ``all.parquet``, name
    the log beside its member. A log that cannot be read is an error of all, unless ``on_damage="keep"``.

    >>> reports = trackparse.convert_logs("days/", "lake/", jobs=2, on_error="quarantine")
    >>> [report.source for report in reports if report.error]
    []
    >>> trackparse.convert_logs("days/", "apps/", partition_by=("date", "appCode"))[0].files[0]
    PosixPath('apps/date=2021-04-20/appCode=67A9C-EB116/1.parquet')
    """
    asked = convert_options(options)
    for name, advice in _NOT_FOR_MANY.items():
        if asked[name] is not None:  # type: ignore[literal-required]
            raise OptionError(f"{name}: not for several logs: {advice}")
    one_of(*get_args(Existing))("existing", existing)
    whole_number("processes")("jobs", jobs)
    if on_report is not None:
        function("a ConversionReport")("on_report", on_report)
    by = check_partition_by(partition_by)
    filesystem = asked["filesystem"]
    quarantined = asked["on_error"] == "quarantine"
    place_of(dest, filesystem)  # an error if nothing can be written there
    folder = Folder(dest, filesystem)
    is_folder = os.fspath(dest).endswith("/")
    if not is_folder:
        check_is_parquet(folder.dest)
    if is_file(folder.dest) and not is_folder:
        if by:
            raise OptionError(f"partition_by: {folder.shown()} is one file: name a folder")
        rejects = rejects_beside(folder.dest) if quarantined else None
        todo = [joined_job(sources, folder.dest, rejects, asked, existing)]
    else:
        todo = [*jobs_of(sources, folder.dest, by, asked, existing)]
    reports: dict[int, ConversionReport] = {}
    with closing(run_jobs(todo, jobs, lambda _: None)) as done:
        for number, report in done:
            reports[number] = report
            if on_report is not None:
                on_report(report)
    return [reports[number] for number in range(len(todo))]
