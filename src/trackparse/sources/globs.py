"""The paths on this machine that match a glob, and the folders in which there may be more. Reads no file.

It matches what ``glob.glob`` with ``recursive=True`` matches, but tells what that passes over without a word; and
``**`` goes into no folder twice: two links to a folder above them would have it walk 2**40 paths.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
from collections.abc import Iterable
from itertools import takewhile
from typing import Final, NamedTuple

# Nothing is there that could be looked into: what was a folder was removed, or it is a link to itself.
_NO_FOLDER: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_HIDDEN: Final = "."


class Globbed(NamedTuple):
    """paths: those that match, files and folders. unlisted: folders that could not be looked into, and why."""

    paths: list[str]
    unlisted: dict[str, OSError]


def globbed(pattern: str) -> Globbed:
    """What a path with wildcards stands for.

    ``*``, ``?`` and ``[`` match no name that begins with a dot unless they stand behind one. A part ``**`` stands for
    any number of folders, links to folders among them, but no hidden ones; at the end for all that is in these, too.
    A folder that ``**`` reaches on several ways counts once, without links on its way if that is possible.
    """
    parts = pattern.replace(os.sep, "/").split("/")
    fixed = [*takewhile(lambda part: not glob.has_magic(part), parts)]
    found = [os.path.dirname("/".join([*fixed, ""]))]  # noqa: PTH120 - a Path drops the dot of ./*.zip
    rest = parts[len(fixed) :]
    unlisted: dict[str, OSError] = {}
    for at, part in enumerate(rest):
        is_last = at == len(rest) - 1
        if part == "**":
            found = _below(found, unlisted, folders_only=not is_last)
        elif glob.has_magic(part):
            found = [path for folder in found for path in _matching(folder, part, unlisted, folders_only=not is_last)]
        elif part:
            found = [path for folder in found for path in _named(folder, part, unlisted)]
        elif is_last:
            found = [os.path.join(path, "") for path in found if os.path.isdir(path)]  # noqa: PTH112, PTH118
    # Behind the ``**`` of ``**/**`` a path may be found once more.
    return Globbed([*dict.fromkeys(path for path in found if path)], unlisted)


def _entries(folder: str, unlisted: dict[str, OSError]) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing if there is no such folder, or if it cannot be listed."""
    try:
        with os.scandir(folder or os.curdir) as entries:
            return [*entries]
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            unlisted[_shown(folder)] = error
        return []


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one, or nobody may know: that shows when it is looked into."""
    try:
        return entry.is_dir()
    except OSError as error:
        return error.errno not in _NO_FOLDER


def _matching(folder: str, part: str, unlisted: dict[str, OSError], *, folders_only: bool) -> list[str]:
    entries = _entries(folder, unlisted)
    names = [entry.name for entry in entries if not folders_only or _may_be_folder(entry)]
    shown = [name for name in names if part.startswith(_HIDDEN) or not name.startswith(_HIDDEN)]
    return [os.path.join(folder, name) for name in fnmatch.filter(shown, part)]  # noqa: PTH118


def _named(folder: str, part: str, unlisted: dict[str, OSError]) -> list[str]:
    path = os.path.join(folder, part)  # noqa: PTH118
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            unlisted[_shown(folder)] = error
        return []
    return [path]


def _shown(folder: str) -> str:
    return folder or os.curdir


def _below(folders: Iterable[str], unlisted: dict[str, OSError], *, folders_only: bool) -> list[str]:
    """The folders and those below them, or with them all that is in them.

    What has been looked into is known by its path without links: not every file system has numbers of files that tell
    them apart. Links come last, so that what can be reached without them is.
    """
    # Those on whose way there is no link come first.
    ways_in = sorted(folders, key=lambda path: (os.path.realpath(path) != os.path.abspath(path), path))  # noqa: PTH100
    found = [] if folders_only else [os.path.join(path, "") if path else "" for path in ways_in]  # noqa: PTH118
    looked_into: set[str] = set()
    while ways_in:
        links: list[str] = []
        for way_in in ways_in:
            todo = [(way_in, os.path.realpath(way_in))]
            while todo:
                folder, real = todo.pop()
                if real in looked_into:
                    continue
                looked_into.add(real)
                if folders_only:
                    found.append(folder)
                for entry in _entries(folder, unlisted):
                    if entry.name.startswith(_HIDDEN):
                        continue
                    path = os.path.join(folder, entry.name)  # noqa: PTH118
                    if not folders_only:
                        found.append(path)
                    if _may_be_folder(entry):
                        if entry.is_symlink():
                            links.append(path)
                        else:
                            todo.append((path, os.path.join(real, entry.name)))  # noqa: PTH118
        ways_in = sorted(links)
    return found
