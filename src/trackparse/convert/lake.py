"""A folder of Hive partitions: the names of its folders, and the list of the files that a log made in it."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from trackparse.convert.outputs import NULL_VALUE, OWN_FOLDER
from trackparse.convert.places import Folder, check_no_link
from trackparse.errors import TrackparseError, printable
from trackparse.sources.urls import scheme_of

logger: Final = logging.getLogger("trackparse")

# What Hive escapes in the name of a folder. No path can hold the first one.
_ESCAPED: Final = {ord(char): f"%{ord(char):02X}" for char in (*map(chr, range(0x20)), "\x7f", *"\"#%'*/:=?\\{[]^")}
_LONGEST_NAME: Final = 255  # bytes, of a folder


def folder_name(column: str, value: str | None) -> str:
    """The name of a folder, as Hive writes it: null and empty text have a name of their own.

    TrackparseError for a value that is too long.
    """
    name = f"{column}={value.translate(_ESCAPED) if value else NULL_VALUE}"
    if len(name.encode()) > _LONGEST_NAME:
        raise TrackparseError(
            f"partition_by: the {column} {(value or '')[:40]!r}... is too long for the name of a folder, which has at "
            f"most {_LONGEST_NAME} bytes",
            advice="partition by other columns",
            option="partition_by",
        )
    return name


def tell_of_other_log(before: Mapping[str, Any], now: Mapping[str, Any], name: str, source: str | None) -> None:
    """Warn where files that were made of another log are written over: one of the same name, from another folder.

    ``now`` is what the new ones are made of, empty if that is not known, and ``name`` how the log is called then. Where
    ``before`` does not name the old log, ``source`` does, as messages called it: no more is known of one from the web.
    A log that was moved is not another one. Nothing is told where nobody knows what the old files were made of.
    """
    old = before.get("name", source)
    if old is None or old in (now.get("name"), printable(name)):
        return
    is_alike = now and (before.get("size"), before.get("time")) == (now.get("size"), now.get("time"))
    if not (is_alike and isinstance(old, str) and was_moved(old, now["name"])):
        shown = map(printable, (now.get("name", name), str(old)))
        logger.warning("%s: in place of the files of another log, %s", *shown)


def was_moved(old: str, new: str) -> bool:
    """Whether a log on this machine may be the old one, of the same size and time: that one is gone, or is this file.

    A log that is still there is another one: archives have many files of one size and time.
    """
    if Path(old).name != Path(new).name or scheme_of(old) or scheme_of(new):
        return False
    try:
        return Path(old).samefile(new)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class FileList:
    """The files that a log made.

    made_of: what the log and the options were, as the metadata of its files say it.
    files: for each file its rows and its bytes; both are -1 where they are not known.
    whole: whether all of them are there.
    partial: the damage of the log, empty for a sound one.
    rejects: the SHA-256 of the files of rejects that were written with them, perhaps several if not all are there; None
        if it is not known.
    """

    made_of: Mapping[str, Any]
    files: Mapping[str, tuple[int, int]]
    whole: bool
    partial: str = ""
    rejects: tuple[str, ...] | None = None

    @property
    def rows(self) -> int:
        return sum(rows for rows, _ in self.files.values())

    @property
    def size(self) -> int:
        return sum(size for _, size in self.files.values())

    def to_json(self) -> bytes:
        """What ``file_list_of`` reads."""
        told = {"made_of": self.made_of, "whole": self.whole, "partial": self.partial}
        told |= {"rejects_sha256": self.rejects, "files": self.files}
        return json.dumps(told, indent=1).encode() + b"\n"


def file_list_of(data: bytes, file_name: str) -> FileList | None:
    """The list of the files of a log, all called ``file_name``; None if the bytes hold something else.

    Files of the list may be removed, so a name that leads out of the partitions makes it something else, too.
    """
    is_ours = re.compile(rf"(?:[^/\\\0-\x1f]+=[^/\\\0-\x1f]+/)+{re.escape(file_name)}").fullmatch
    try:
        told = json.loads(data)
        files = {name: (int(rows), int(size)) for name, (rows, size) in told["files"].items()}
        if not all(is_ours(name) and os.fsencode(name) for name in files):
            return None
        sums = told.get("rejects_sha256")
        rejects = None if sums is None else tuple(map(str, sums))
        return FileList(dict(told["made_of"]), files, bool(told["whole"]), str(told["partial"]), rejects)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def list_name(name: str) -> str:
    """Where the list of the files of this name stands, from the folder on."""
    return f"{OWN_FOLDER}/{PurePosixPath(name).with_suffix('.json')}"


class Lake:
    """The partitions that one log is written to, in a folder that it shares with other logs.

    folder: the folder. name: that of the files of this log. by: the columns.
    """

    def __init__(self, folder: Folder, name: str, by: tuple[str, ...]) -> None:
        self.folder = folder
        self.name = name
        self.by = by
        self.list_name = list_name(name)

    def old_list(self, *, anew: bool = False) -> FileList | None:
        """The list of the files that this log, or another one of this name, made before. If the file in its place is no
        such list, it is made ``anew``, of the files of this name in all partitions; or it is a TrackparseError.
        """
        place = self.folder.place(self.list_name)
        file = place.open_old()
        if file is None:
            return None
        with file:
            found = file_list_of(file.read(), self.name)
        if found is None:
            check_no_link(place)
        if found is None and anew:
            return FileList({}, dict.fromkeys(self._all_files(), (-1, -1)), whole=False)
        if found is None:
            raise TrackparseError(
                f"{place.name}: not a list of the files of a log",
                advice="convert the log again with existing='replace'",
                option="existing",
            )
        return found

    def old_rejects(self) -> AbstractSet[str] | None:
        """The SHA-256 of the files of rejects that were written with the files of the list; None if it does not say."""
        file = self.folder.place(self.list_name).open_old()
        if file is None:
            return None
        with file:
            found = file_list_of(file.read(), self.name)
        return None if found is None or found.rejects is None else {*found.rejects}

    def unlisted(self, names: Iterable[str]) -> list[str]:
        """The files of this name, where somebody removed their list, and the new ones are to be ``names``.

        There may be thousands of folders, so all are looked into only if there is one such file in the first of the new
        ones: the log had records there before, too. Folders of another column are there if a log was partitioned
        otherwise.
        """
        first = sorted(name.partition("/")[0] for name in names)[:1]
        others = [name for name in self.folder.folders() if "=" in name and not name.startswith(f"{self.by[0]}=")]
        return self._all_files() if any(self.folder.named(self.name, below) for below in (*first, *others)) else []

    def _all_files(self) -> list[str]:
        """The files of this name in all partitions."""
        return [name for name in self.folder.named(self.name) if "=" in name.partition("/")[0]]

    def lost_or_changed(self, found: FileList) -> tuple[list[str], list[str]]:
        """The files of the list that are missing, and those whose size has changed."""
        sizes = self.folder.sizes(found.files)
        pairs = [*zip(found.files.items(), sizes, strict=True)]
        lost = [name for (name, _), size in pairs if size is None]
        return lost, [name for (name, (_, before)), size in pairs if size is not None and size != before]

    def file_name(self, values: Iterable[str | None]) -> str:
        """The file of the partition with these values, from the folder on."""
        return "/".join([*map(folder_name, self.by, values), self.name])
