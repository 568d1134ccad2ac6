"""The paths on this machine that match a glob, and the folders in which there may be more. Reads no file.

It matches what ``glob.glob`` with ``recursive=True`` matches, but tells what that passes over without a word; and
``**`` goes into no folder twice: two links to a folder above them would have it walk 2**40 paths.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import stat
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


class _Found(NamedTuple):
    """path: as it is shown. real: the same without links; None if that is not known yet."""

    path: str
    real: str | None = None


def globbed(pattern: str) -> Globbed:
    """What a path with wildcards stands for.

    ``*``, ``?`` and ``[`` match no name that begins with a dot unless they stand behind one. A part ``**`` stands for
    any number of folders, links to folders among them, but no hidden ones; at the end for all that is in these, too.
    A folder that ``**`` reaches on several ways counts once, without links on its way if that is possible.
    """
    parts = pattern.replace(os.sep, "/").split("/")
    fixed = [*takewhile(lambda part: not glob.has_magic(part), parts)]
    found = [_Found(os.path.dirname("/".join([*fixed, ""])))]  # noqa: PTH120 - a Path drops the dot of ./*.zip
    rest = _without_repeats(parts[len(fixed) :])
    unlisted: dict[str, OSError] = {}
    for at, part in enumerate(rest):
        is_last = at == len(rest) - 1
        if part == "**":
            found = _below(found, unlisted, folders_only=not is_last)
        elif glob.has_magic(part):
            found = [one for folder in found for one in _matching(folder, part, unlisted, folders_only=not is_last)]
        elif part:
            found = [one for folder in found for one in _named(folder, part, unlisted)]
        else:
            found = [_Found(os.path.join(path, "")) for path, _ in found if os.path.isdir(path)]  # noqa: PTH112, PTH118
    return Globbed([path for path, _ in found if path], unlisted)


def _without_repeats(parts: list[str]) -> list[str]:
    """``**//**/*.zip`` is ``**/*.zip``: what is empty stands for nothing, except at the end."""
    named = [*filter(None, parts[:-1]), *parts[-1:]]
    return [part for at, part in enumerate(named) if part != "**" or named[at - 1 : at] != ["**"]]


def _entries(folder: str, unlisted: dict[str, OSError]) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing if there is no such folder, or if it cannot be listed."""
    try:
        with os.scandir(folder or os.curdir) as entries:
            return [*entries]
    except OSError as error:
        _note(error, folder, unlisted)
        return []


def _note(error: OSError, folder: str, unlisted: dict[str, OSError]) -> None:
    """Keep why a folder could not be looked into, if there is one."""
    if error.errno not in _NO_FOLDER:
        unlisted[folder or os.curdir] = error


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one, or nobody may know: that shows when it is looked into."""
    try:
        return entry.is_dir()
    except OSError as error:
        return error.errno not in _NO_FOLDER


def _may_be_link(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink()
    except OSError:
        return True


def _matching(folder: _Found, part: str, unlisted: dict[str, OSError], *, folders_only: bool) -> list[_Found]:
    return [
        _in_folder(folder, entry)
        for entry in _entries(folder.path, unlisted)
        if (part.startswith(_HIDDEN) or not entry.name.startswith(_HIDDEN))
        and fnmatch.fnmatch(entry.name, part)
        and (not folders_only or _may_be_folder(entry))
    ]


def _in_folder(folder: _Found, entry: os.DirEntry[str]) -> _Found:
    path = os.path.join(folder.path, entry.name)  # noqa: PTH118
    if folder.real is None or _may_be_link(entry):
        return _Found(path)
    return _Found(path, os.path.join(folder.real, entry.name))  # noqa: PTH118


def _named(folder: _Found, part: str, unlisted: dict[str, OSError]) -> list[_Found]:
    path = os.path.join(folder.path, part)  # noqa: PTH118
    try:
        mode = os.lstat(path).st_mode
    except OSError as error:
        _note(error, folder.path, unlisted)
        return []
    if folder.real is None or stat.S_ISLNK(mode) or part in (os.curdir, os.pardir):
        return [_Found(path)]
    return [_Found(path, os.path.join(folder.real, part))]  # noqa: PTH118


def _below(folders: Iterable[_Found], unlisted: dict[str, OSError], *, folders_only: bool) -> list[_Found]:
    """The folders and those below them, or with them all that is in them.

    What has been looked into is known by its path without links: not every file system has numbers of files that tell
    them apart. Links come last, so that what can be reached without them is.
    """
    ways_in = _by_links(folders, unlisted)
    found = [] if folders_only else [_Found(os.path.join(path, "") if path else "") for path, _ in ways_in]  # noqa: PTH118
    looked_into: set[str | None] = set()
    while ways_in:
        links: list[_Found] = []
        for way_in in ways_in:
            todo = [way_in]
            while todo:
                folder = todo.pop()
                if folder.real in looked_into:
                    continue
                looked_into.add(folder.real)
                if folders_only:
                    found.append(folder)
                for entry in _entries(folder.path, unlisted):
                    if entry.name.startswith(_HIDDEN):
                        continue
                    one = _in_folder(folder, entry)
                    if not folders_only:
                        found.append(one)
                    if _may_be_folder(entry):
                        (todo if one.real else links).append(one)
        ways_in = _by_links(links, unlisted)
    return found


def _by_links(folders: Iterable[_Found], unlisted: dict[str, OSError]) -> list[_Found]:
    """The folders with their real paths, those on whose way there is no link first.

    Without those whose real path cannot be found out: nobody may follow a link on the way, or it was just replaced.
    """
    keyed: list[tuple[bool, _Found]] = []
    for path, real in folders:
        try:
            known = real or os.path.realpath(path)
            keyed.append((known != os.path.abspath(path), _Found(path, known)))  # noqa: PTH100
        except OSError as error:
            _note(error, path, unlisted)
    return [one for _, one in sorted(keyed)]
