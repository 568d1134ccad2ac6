"""What is there already: whether the file of a log, or its partitions, were made of it as it is now.

The metadata of a file say what it was made of. Nothing is replaced that was made of another log, or by somebody else.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from trackparse.convert.conversion import PARTIAL, ConversionReport
from trackparse.convert.jobs import Job, lake_of, partitions_told, report_of, sha256_of
from trackparse.convert.lake import Lake
from trackparse.convert.outputs import PathOrUrl, shown
from trackparse.convert.parquet import read_footer
from trackparse.convert.places import place_of
from trackparse.errors import ArchiveError, TrackparseError, printable
from trackparse.sources.urls import name_of, scheme_of

# The metadata that says what a file was made of: JSON of the log's name, size and time, and a digest of the options.
MADE_OF: Final = "trackparse.made_of"
# Options that say nothing about what is in the file.
_NOT_IN_FILE: Final = (
    *("on_rejects", "rejects", "progress", "limits", "block_size", "string_type", "dictionary", "filesystem"),
    "threads",
)


def origin_of(job: Job) -> dict[str, str]:
    """The metadata that tell what the file is made of; empty if that is not known."""
    if job.size is None or job.time is None:
        return {}
    # Of several logs it is the file that has a name.
    place = name_of(job.dest) if job.logs_digest else job.name
    stored = scheme_of(place) or job.options["filesystem"] is not None
    name = printable(place if stored else os.path.abspath(place))  # noqa: PTH100
    options = {**job.options, **({"partition_by": job.partition_by} if job.partition_by else {})}
    log: dict[str, Any] = {"name": name, "size": job.size, "time": job.time, "options": options_digest(options)}
    return {MADE_OF: json.dumps({**log, **({"logs": job.logs_digest} if job.logs_digest else {})}, sort_keys=True)}


def options_digest(options: Mapping[str, Any]) -> str:
    """What tells whether two files were made with the same options."""
    # A filter may name a hundred thousand codes.
    return sha256_of({name: _plain(value) for name, value in options.items() if name not in _NOT_IN_FILE})


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
    if job.existing == "replace":
        return None
    made_of = origin_of(job)
    lake = lake_of(job)
    if lake is not None:
        return _found_partitions(job, lake, made_of)
    old = place_of(job.dest, job.options["filesystem"]).open_old()
    if old is None:
        return None
    with old:
        if job.existing == "error":
            raise _in_the_way(job.dest, "the file exists")
        before, records, size, damage = _read_made_of(old)
    if not _is_same(before, made_of, job.dest):
        return None
    report = report_of(job, records=records, bytes_out=size, damage=damage, skipped=True)
    return dataclasses.replace(report, files=(report.path,))


def _is_same(before: Mapping[str, Any], made_of: Mapping[str, str], place: PathOrUrl) -> bool:
    """Whether what stands in the place was made of this log, with these options, as it is now.

    TrackparseError if it was made of another log, or if nobody knows.
    """
    now = json.loads(made_of.get(MADE_OF, "{}"))
    if not now:
        raise _in_the_way(place, "the file exists, and the size or the time of the log is not known")
    if not isinstance(before.get("name"), str):
        raise _in_the_way(place, "the file exists, and does not say of which log it was made")
    # It may have been moved, or be named from another folder.
    is_like_it = {**before, "name": ""} == {**now, "name": ""} and Path(before["name"]).name == Path(now["name"]).name
    if is_like_it and not _are_two(before["name"], now["name"]):
        return True
    if before["name"] != now["name"]:
        raise _in_the_way(place, f"the file was made of another log, {before['name']}")
    return False


def _are_two(before: str, now: str) -> bool:
    """Whether two names of logs are those of two files of this machine: the first one was not moved then."""
    try:
        return before != now and not Path(before).samefile(now)
    except (OSError, ValueError):
        return False


def _read_made_of(file: Any) -> tuple[dict[str, Any], int, int, ArchiveError | None]:
    """What a Parquet file was made of, its rows, its bytes, and the damage of its log. Nothing if others made it."""
    metadata = read_footer(file)
    if metadata is None:
        return {}, 0, 0, None
    try:
        pairs = metadata.metadata or {}
        told = json.loads(pairs[MADE_OF.encode()])
        partial_of = pairs.get(PARTIAL.encode(), b"").decode()
        damage = ArchiveError(partial_of) if partial_of else None
        return dict(told), metadata.num_rows, file.seek(0, os.SEEK_END), damage
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}, 0, 0, None


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
    if not _is_same(old.made_of, made_of, name) or not old.whole:
        return None
    lost, changed = lake.lost_or_changed(old)
    if changed:
        raise _in_the_way(lake.folder.shown(changed[0]), "the file has changed since it was made")
    damage = ArchiveError(old.partial) if old.partial else None
    return None if lost else report_of(job, records=old.rows, damage=damage, skipped=True, **partitions_told(lake, old))
