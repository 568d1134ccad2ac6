"""The names of the files that logs are converted to, and of partitions; no two of them are one. Opens nothing."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urlsplit

from trackparse.atomic import identity
from trackparse.errors import OptionError, suggestion
from trackparse.schema import COLUMNS
from trackparse.sources.urls import name_of, redacted_url, scheme_of, stored_url

# Of a file or a folder. A str is a URL, or a path in a file system of the caller.
PathOrUrl: TypeAlias = Path | str
# How names begin that Spark, pyarrow and Hive pass over.
HIDDEN: Final = ("_", ".")
OWN_FOLDER: Final = "_trackparse"  # in a folder of partitions, for what is no partition: it is passed over
NULL_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"  # what a folder of partitions has in place of null, as Hive writes it
# Endings of files that hold Parquet, and of files by which a user means another format.
_PARQUET: Final = (".parquet", ".parq", ".pq")
_NOT_PARQUET: Final = (
    *(".arrow", ".arrows", ".feather", ".ipc", ".orc", ".avro", ".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson"),
    *(".zip", ".gz", ".zst", ".xlsx", ".duckdb", ".sqlite"),
)
DATE: Final = "date"  # the partition column that is made of the timestamp
PARTITION_COLUMNS: Final = (DATE, *(name for name in COLUMNS if name != "timestamp"))


def shown(output: PathOrUrl) -> str:
    """The name in messages. User and query of a URL are left out: a key or a signature may stand there."""
    return name_of(output)


def name_in(output: PathOrUrl) -> str:
    """The name of the file alone. ValueError for what looks like a URL and is not one."""
    if isinstance(output, str):
        urlsplit(output)
    if isinstance(output, Path):
        return output.name
    scheme = scheme_of(output)
    name = PurePosixPath(shown(output).removeprefix(f"{scheme}://")).name
    return unquote(name) if scheme else name


def in_folder(folder: PathOrUrl, name: str) -> PathOrUrl:
    """The file of this name in the folder. The query of a URL stays at the end."""
    if isinstance(folder, Path):
        return folder / name
    if scheme_of(folder):
        name = name.replace("%", "%25").replace("?", "%3F")
    base, mark, query = _parts(folder)
    return f"{base if base.endswith('://') else base.rstrip('/')}/{name}{mark}{query}"


def _parts(place: str) -> tuple[str, str, str]:
    """What stands before the query, the question mark, and the query of a URL. In a path it is a character as any."""
    return place.partition("?") if scheme_of(place) else (place, "", "")


def beside(file: PathOrUrl, name: str) -> PathOrUrl:
    """Another file in the folder of this one, by its name from the folder on."""
    if isinstance(file, Path):
        return file.parent / name
    base, mark, query = _parts(file)
    return in_folder(f"{base.rpartition('/')[0]}{mark}{query}", name)


def with_suffix(file: PathOrUrl, suffix: str) -> PathOrUrl:
    """The file beside this one that has another suffix."""
    if isinstance(file, Path):
        return file.with_suffix(suffix)
    base, mark, query = _parts(file)
    folder, slash, name = base.rpartition("/")
    return f"{folder}{slash}{PurePosixPath(name).with_suffix(suffix)}{mark}{query}"


def named_after(log: Path) -> Path:
    """The Parquet file beside a log: its name with another suffix."""
    return (log.with_suffix("") if log.suffix == ".gz" else log).with_suffix(".parquet")


def flat_name(below: str) -> str:
    """The Parquet file of a log in a folder of all: its path below the folder that was named, its parts in one name.

    Days may all have the same file in folders of their own. The name depends on nothing else: whichever logs are added
    later, a log that was converted is found again.
    """
    return named_after(Path("-".join(PurePosixPath(below).parts))).name


def possible_names(place: str) -> dict[str, str]:
    """The names of ``flat_name`` that a log may have, one for each folder above it that can be named, with that folder.

    The folder is empty where it cannot be told.
    """
    scheme = scheme_of(place)
    if scheme in ("http", "https"):
        return {flat_name(name_in(place)): ""}
    path = unquote(name_of(place).removeprefix(f"{scheme}://")) if scheme else place
    parts = Path(path).parts
    found = {}
    for first in range(len(parts)):
        if parts[first] != os.sep:
            above = str(Path(*parts[:first])) if first else ""
            found[flat_name("/".join(parts[first:]))] = stored_url(scheme, above) if scheme and above else above
    return found


def is_file(dest: PathOrUrl) -> bool:
    """Whether a destination of several logs names one file for all of them, and no folder."""
    return _ends_in(_PARQUET, dest) and not (isinstance(dest, Path) and dest.is_dir())


def names_file(dest: PathOrUrl) -> bool:
    """Whether the name is that of a file, of whatever format, and no folder is there."""
    return _ends_in((*_PARQUET, *_NOT_PARQUET), dest) and not (isinstance(dest, Path) and dest.is_dir())


def check_is_parquet(dest: Any) -> None:
    """OptionError for a name that promises another format than the one that is written. An open file may have any."""
    if not isinstance(dest, str | os.PathLike):
        return
    place = dest if isinstance(dest, str) else Path(dest)
    if _ends_in(_NOT_PARQUET, place) and not (isinstance(place, Path) and place.is_dir()):
        raise OptionError(
            f"{shown(place)}: logs become Parquet, which the name of the file should say: end it in .parquet"
        )


def _ends_in(endings: tuple[str, ...], dest: PathOrUrl) -> bool:
    return (dest.name if isinstance(dest, Path) else _parts(dest)[0]).lower().endswith(endings)


def rejects_beside(dest: PathOrUrl, lake: PathOrUrl | None = None) -> PathOrUrl:
    """The file for bad records, beside the Parquet file. A log that is partitioned has it in the folder ``lake``."""
    suffix = ".rejects.jsonl"
    if lake is not None:
        return in_folder(in_folder(lake, OWN_FOLDER), PurePosixPath(name_in(dest)).with_suffix(suffix).name)
    return with_suffix(dest, suffix)


def check_partition_by(value: Iterable[str]) -> tuple[str, ...]:
    """The names. TypeError or OptionError for what cannot be partitioned by."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        example = f", such as ({value!r},)" if isinstance(value, str) else ""
        raise TypeError(f"partition_by={value!r}: expected a list of names{example}")
    names = tuple(value)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"partition_by: {name!r} is not a name: expected a string")
        if name == "timestamp":
            raise OptionError("partition_by: 'timestamp' has a value of its own in nearly each record: take 'date'")
        if name not in PARTITION_COLUMNS:
            raise OptionError(f"partition_by: no column {name!r}{suggestion(name, PARTITION_COLUMNS)}")
    if len(set(names)) < len(names):
        raise OptionError(f"partition_by={list(names)}: a column is named twice")
    return names


def check_places(logs: Sequence[tuple[str, Any, Mapping[str, PathOrUrl | None]]]) -> None:
    """OptionError if two logs would be written to one file, or a log would be written over.

    Of each log: its name; what it is read from; and the files to write, each under the advice to give if it is a log.
    """
    found = {key: name for name, source, _ in logs if (key := _key_of(source))}
    taken: dict[Hashable, int] = {}
    for number, (name, _, outputs) in enumerate(logs):
        for advice, output in outputs.items():
            if output is None:
                continue
            key = _key_of(output)
            if key in found:
                of = "itself" if found[key] == name else found[key]
                raise OptionError(f"{shown(output)} is the log {of}: {advice}")
            if (first := taken.setdefault(key, number)) != number:
                raise _two_in_one(logs[first][0], name, output)


def _two_in_one(first: str, second: str, output: PathOrUrl) -> OptionError:
    """The error for two logs that would be written to one file."""
    if first == second:  # the query of a URL tells them apart, which is not shown: a key may stand there
        return OptionError(
            f"{first} is named with two queries, and both logs would become {shown(output)}: "
            "write them to different folders"
        )
    advice = ""
    if _is_one_name(first, second):
        above = os.path.commonpath([first, second]) or "."
        advice = f"name the folder above them, {above}, and each is called by its path from there; or "
    return OptionError(
        f"{first} and {second} would both become {shown(output)}: {advice}"
        "give one of them another name, or write them to different folders"
    )


def _is_one_name(first: str, second: str) -> bool:
    """Whether two paths of this machine name files of the same name in different folders."""
    if scheme_of(first) or scheme_of(second) or Path(first).is_absolute() != Path(second).is_absolute():
        return False
    return Path(first).name == Path(second).name


def _key_of(place: Any) -> Hashable | None:
    """What all names of one file have in common; None for an open file that is not on a disk."""
    if scheme_of(place):
        return redacted_url(place)
    found = identity(place)
    try:
        return found or (os.path.realpath(place) if isinstance(place, str | os.PathLike) else None)
    except ValueError:  # a NUL, which no file has in its name: opening it will say so
        return None
