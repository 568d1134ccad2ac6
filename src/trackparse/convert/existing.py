"""What is there already: whether the file of a log, or its partitions, were made of it as it is now.

The metadata of a file say what it was made of. Nothing is replaced that was made of another log, or by somebody else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from datetime import datetime
from typing import Any, Final

import pyarrow.parquet as pq

from trackparse.convert.conversion import PARTIAL, VERSION, ConversionReport
from trackparse.convert.jobs import Job, full_name, is_stored, lake_of, partitions_told, report_of
from trackparse.convert.lake import Lake, file_list_of, list_name, tell_of_other_log, was_moved
from trackparse.convert.outputs import OWN_FOLDER, PathOrUrl, name_in, possible_names, shown
from trackparse.convert.parquet import SOURCE, read_footer, source_in
from trackparse.convert.places import Folder, Place, place_of
from trackparse.errors import ArchiveError, TrackparseError, printable
from trackparse.options import CONVERT_DEFAULTS
from trackparse.sources.urls import name_of

logger: Final = logging.getLogger("trackparse")

# The metadata that says what a file was made of: JSON of the log's name, size and time, and a digest of the options. A
# file of several logs says it of each, and has a name, a size and a time of its own.
MADE_OF: Final = "trackparse.made_of"
# Options that say nothing about what is in the file.
_NOT_IN_FILE: Final = (
    *("on_rejects", "rejects", "progress", "limits", "block_size", "string_type", "dictionary", "filesystem"),
    "threads",
)


def origin_of(job: Job) -> dict[str, str]:
    """The metadata that tell what the file is made of: of which log only, if no more is known."""
    if job.size is None or job.time is None:
        return {SOURCE: printable(job.name)}  # a download knows the last part of its URL only
    # Of several logs it is the file that has a name.
    name = full_name(job, name_of(job.dest) if job.logs else job.name)
    options = {**job.options, **({"partition_by": job.partition_by} if job.partition_by else {})}
    told: dict[str, Any] = {"name": name, "size": job.size, "time": job.time, "options": options_digest(options)}
    if job.logs:
        told["logs"] = [(full_name(job, log), size, time) for log, size, time in job.logs]
    # JSON has escapes for bytes of a name that are not UTF-8, and reads them as what they were.
    return {MADE_OF: json.dumps(told, sort_keys=True)}


def made_of_in(metadata: pq.FileMetaData) -> dict[str, Any]:
    """What the metadata of a Parquet file say that it was made of; empty if others made it."""
    try:
        return dict(json.loads((metadata.metadata or {})[MADE_OF.encode()]))
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}


def logs_in(made_of: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """The logs that a file was made of, each with its size and its time; empty if that cannot be read."""
    try:
        found = made_of.get("logs", [(made_of["name"], made_of["size"], made_of["time"])])
        return [(str(name), int(size), int(time)) for name, size, time in found]
    except (KeyError, TypeError, ValueError, OverflowError):
        return []


def options_digest(options: Mapping[str, Any]) -> str:
    """What tells whether two files were made with the same options.

    Those that have their default values do not count: an option that a later version adds makes no file anew.
    """
    asked = {name: value for name, value in options.items() if value != CONVERT_DEFAULTS.get(name)}
    told = {name: _plain(value) for name, value in asked.items() if name not in _NOT_IN_FILE}
    # A filter may name a hundred thousand codes.
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


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


def earlier_report(job: Job) -> ConversionReport | None:
    """The report of a log that is converted already. None if it has to be converted; an error if it must not be."""
    if job.fault is not None:
        raise job.fault
    made_of = origin_of(job)
    lake = lake_of(job)
    if job.existing == "replace":
        return None
    if lake is not None:
        return _found_partitions(job, lake, made_of)
    old = place_of(job.dest, job.options["filesystem"]).open_old()
    if old is None:
        return None
    with old:
        if job.existing == "error":
            raise _in_the_way(job.dest, "the file exists")
        before, records, size, damage = _read_made_of(old)
    if not _is_same(before, job, made_of, job.dest):
        return None
    report = report_of(job, records=records, bytes_out=size, damage=damage, skipped=True)
    return dataclasses.replace(report, files=(report.path,))


def tell_of_old_file(job: Job, made_of: Mapping[str, str]) -> None:
    """Warn if the Parquet of another log, or of somebody else, is written over.

    A file that cannot be read, or is no Parquet file, is written over without a word.
    """
    if job.existing != "replace" or job.is_new:
        return
    with suppress(OSError, TrackparseError):
        old = place_of(job.dest, job.options["filesystem"]).open_old()
        if old is None:
            return
        with old:
            metadata = read_footer(old)
        if metadata is None:
            return
        before, now = made_of_in(metadata), json.loads(made_of.get(MADE_OF, "{}"))
        tell_of_other_log(before, now, job.name, None if now else source_in(metadata))
        # What was made of standard input, say, never says of what.
        is_foreign = "name" not in before if now else VERSION.encode() not in (metadata.metadata or {})
        if is_foreign:
            shown_names = map(printable, (now.get("name", job.name), shown(job.dest)))
            logger.warning("%s: in place of Parquet that convert did not make, %s", *shown_names)


class OtherNames:
    """Finds logs that a folder has already, under another name: another folder above them was named then."""

    def __init__(self) -> None:
        self._files: dict[PathOrUrl, set[str] | None] = {}  # by the folder they are in; None if nobody may list it

    def is_new(self, job: Job) -> bool:
        """Whether the folder was listed, and has no file of the name that the log gets."""
        files = None if job.folder is None else self._files[job.folder]
        return files is not None and name_in(job.dest) not in files

    def check(self, job: Job) -> None:
        """TrackparseError if the records of the log are there, in one file or in partitions."""
        if job.folder is None:
            return
        if job.folder not in self._files:
            self._files[job.folder] = _files_in(Folder(job.folder, job.options["filesystem"]))
        files = self._files[job.folder] or ()
        own = name_in(job.dest)
        # A folder above the log may have been named as it is, or through a link.
        places = {full_name(job, job.name), job.name if is_stored(job, job.name) else os.path.abspath(job.name)}  # noqa: PTH100
        for name, above in sorted({pair for place in places for pair in possible_names(place).items()}):
            for found in {name, list_name(name)}.intersection(files) if name != own else ():
                place = Folder(job.folder, job.options["filesystem"]).place(found)
                if _has_log(_named_made_of(place, name), job):
                    named = f"the folder {above}" if above else "the log by the same folder as before"
                    raise TrackparseError(
                        f"{place.name}: made of the log {job.name}, too, which would now become {own}: readers of the "
                        "folder would find each record twice",
                        advice=f"name {named}, or write to another folder",
                    )


def _named_made_of(place: Place, name: str) -> Mapping[str, Any]:
    """What a Parquet file of this name, or a list of files of this name, was made of; empty if there is none."""
    old = place.open_old()
    if old is None:
        return {}
    with old:
        if name_in(place.name) == name:
            return _read_made_of(old)[0]
        files = file_list_of(old.read(), name)
        return {} if files is None else files.made_of


def _has_log(before: Mapping[str, Any], job: Job) -> bool:
    """Whether what was made of these logs was made of the log of the job, too."""
    if before.get("name") == full_name(job, job.name):
        return True
    now = json.loads(origin_of(job).get(MADE_OF, "{}"))
    return any(_is_same_log(then, there, job) for then in logs_in(before) for there in logs_in(now))


def _files_in(folder: Folder) -> set[str] | None:
    """The files in the folder, and the lists of partitions; None if a store does not tell.

    OSError if a folder on this machine cannot be listed. A store may let somebody write who may not list: then nobody
    but him knows what is there.
    """
    with nullcontext() if folder.local_path is not None else suppress(OSError):
        return {*folder.files(), *(f"{OWN_FOLDER}/{name}" for name in folder.files(OWN_FOLDER))}
    return None


def _is_same(before: Mapping[str, Any], job: Job, made_of: Mapping[str, str], place: PathOrUrl) -> bool:
    """Whether what stands in the place was made of this log, with these options, as it is now.

    TrackparseError if it was made of another log, or if nobody knows.
    """
    now = json.loads(made_of.get(MADE_OF, "{}"))
    if not now:
        raise _in_the_way(place, "the file exists, and the size or the time of the log is not known")
    if not isinstance(before.get("name"), str):
        raise _in_the_way(place, "the file exists, and does not say of which log it was made")
    if before.get("options") == now["options"] and ("logs" in before) == ("logs" in now):
        then, there = logs_in(before), logs_in(now)
        if len(then) == len(there) and all(_is_same_log(*pair, job) for pair in zip(then, there, strict=True)):
            return True
    if before["name"] != now["name"]:
        raise _in_the_way(place, f"the file was made of another log, {printable(before['name'])}")
    return False


def _is_same_log(before: tuple[str, int, int], now: tuple[str, int, int], job: Job) -> bool:
    """Whether it is the log as it was. On this machine it may have been moved, or be named from another folder."""
    if before == now:
        return True
    (old, *seen), (new, *seen_now) = before, now
    # In a store a file that is moved gets another time; two files with the same second are two.
    return seen == seen_now and not is_stored(job, new) and was_moved(old, new)


def _read_made_of(file: Any) -> tuple[dict[str, Any], int, int, ArchiveError | None]:
    """What a Parquet file was made of, its rows, its bytes, and the damage of its log. Nothing if others made it."""
    metadata = read_footer(file)
    if metadata is None:
        return {}, 0, 0, None
    partial_of = (metadata.metadata or {}).get(PARTIAL.encode(), b"").decode(errors="replace")
    damage = ArchiveError(partial_of) if partial_of else None
    return made_of_in(metadata), metadata.num_rows, file.seek(0, os.SEEK_END), damage


def _in_the_way(place: PathOrUrl, why: str) -> TrackparseError:
    return TrackparseError(
        f"{shown(place)}: {why}",
        advice="write to another folder, or write over it with existing='replace'",
        option="existing",
    )


def _found_partitions(job: Job, lake: Lake, made_of: Mapping[str, str]) -> ConversionReport | None:
    """As ``earlier_report``, of a log that is partitioned."""
    if (old := lake.old_list()) is None:
        return None
    name = lake.folder.shown(lake.list_name)
    if job.existing == "error" and old.whole:
        raise _in_the_way(name, "the log was converted before: this is the list of its files")
    if not _is_same(old.made_of, job, made_of, name) or not old.whole:
        return None
    lost, changed = lake.lost_or_changed(old)
    if changed:
        raise _in_the_way(lake.folder.shown(changed[0]), "the file has changed since it was made")
    damage = ArchiveError(old.partial) if old.partial else None
    return None if lost else report_of(job, records=old.rows, damage=damage, skipped=True, **partitions_told(lake, old))
