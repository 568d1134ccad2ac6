"""The logs that a user names as the sources of a dataset, by paths, globs and directories. Reads none of them."""

from __future__ import annotations

import errno
import glob
import logging
import os
import stat
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from trackparse.atomic import identity
from trackparse.errors import OptionError, printable
from trackparse.sources.globs import globbed
from trackparse.sources.opening import is_in_no_filesystem, open_anywhere
from trackparse.sources.source import Source, open_source
from trackparse.sources.urls import (
    STORES,
    check_has_no_nul,
    check_is_no_collapsed_url,
    name_of,
    plain_url,
    scheme_of,
)

logger: Final = logging.getLogger("trackparse")

# What counts as a log in a directory, by the end of its name.
_LOGS: Final = (".zip", ".csv", ".csv.gz")
_NO_MATCH: Final = "no file matches this pattern"
_PATTERNS: Final = ", ".join(f"*{end}" for end in _LOGS)
# Hidden and temporary files and folders; ``_`` as pyarrow's datasets do. ``~`` begins the lock files of spreadsheets.
_PASSED_OVER: Final = (".", "_", "~")


class Log(NamedTuple):
    """One log, which can be opened again and again.

    name: as messages call it. size: in bytes, and time: when it was last changed, in nanoseconds since 1970; None if
    that is not known. place: its path or URL; None for a buffer. below: its path from the folder on that was named, or
    from the last folder before the first wildcard of a glob; with ``/`` between parts. Its own name if it was named
    itself; empty for a buffer and for https.
    """

    name: str
    open: Callable[[], Source]
    size: int | None
    place: str | None = None
    time: int | None = None
    below: str = ""


def logs_of(sources: Any, filesystem: Any = None) -> list[Log]:
    """The logs that are named, each once, in the order of their names. Buffers come first, in the order given.

    ``sources`` is a path, a URL, a glob, a directory, a bytes-like object, or an iterable of these; with ``filesystem``
    paths are paths in it. Raises FileNotFoundError if nothing is there, OptionError for what can be read only once,
    TypeError for anything else.
    """
    memory: list[Log] = []
    named: dict[str, Log] = {}
    for source in [sources] if _is_one(sources) else sources:
        if isinstance(source, str | os.PathLike):
            for log in _named(source, filesystem):
                # Named twice, by its folder and by itself say, it has one name, whichever comes first.
                before = named.get(key := key_of(log.place or log.name, filesystem), log)
                named[key] = max(before, log, key=lambda one: (one.below.count("/"), one.below))
        else:
            memory.append(_buffer(source))
    if not (memory or named):
        raise OptionError("no sources: name at least one log")
    # A file with two names, by a link to the latest day say, would give its rows twice.
    files: dict[Hashable, Log] = {}
    for log in sorted(named.values(), key=lambda one: one.place or one.name):
        key = key_of(log.place or log.name, filesystem)
        files.setdefault(key if scheme_of(key) else file_of(key), log)
    return [*memory, *files.values()]


def _is_one(sources: object) -> bool:
    """Whether it is one source, or of a kind that holds no sources."""
    return (
        isinstance(sources, str | os.PathLike | Mapping)
        or not isinstance(sources, Iterable)
        or hasattr(sources, "read")
        or _is_memory(sources)
        # An open log, say: to look for sources in it would take its first batch.
        or (isinstance(sources, Iterator) and hasattr(sources, "__arrow_c_stream__"))
    )


def _is_memory(source: Any) -> bool:
    try:
        memoryview(source).release()
    except TypeError:
        return False
    return True


def _buffer(source: Any) -> Log:
    if _is_memory(source):
        return Log("<bytes>", partial(open_source, source), memoryview(source).nbytes)
    if hasattr(source, "read") or isinstance(source, Iterator):
        raise TypeError(
            f"{type(source).__name__} can be read only once, but a dataset opens its logs anew at each use: give paths "
            "or bytes, or read it with trackparse.open_log"
        )
    raise TypeError(
        f"a source of a dataset is a path, a glob, a directory, bytes, or a list of these, not {type(source).__name__}"
    )


def _is_stored(place: str | os.PathLike[str], filesystem: Any) -> bool:
    """Whether a place is a URL or a path in a file system of the caller, and no path of this machine."""
    return filesystem is not None or bool(scheme_of(place))


def key_of(place: str, filesystem: Any = None) -> str:
    """What all spellings of a URL, or of a path in the file system, have in common; anything else as it is."""
    if filesystem is not None and not is_in_no_filesystem(place):
        from trackparse.sources.filesystem import name_in_store

        return name_in_store(place, filesystem)
    # The query may name another store.
    return f"{plain_url(place)}?{place.partition('?')[2]}" if scheme_of(place) in STORES else place


def file_of(path: str | os.PathLike[str]) -> Hashable:
    """What all names of a file on this machine have in common, hard links, too."""
    with suppress(OSError):
        # Not every file system has numbers of files that can be relied on; one that counts names has.
        if Path(path).stat().st_nlink > 1 and (found := identity(path)):
            return found
    return os.path.realpath(path)


def _named(place: str | os.PathLike[str], filesystem: Any) -> list[Log]:
    """The logs that a file, a directory or a glob stands for."""
    name = os.fsdecode(place)
    check_has_no_nul(place)
    if is_in_no_filesystem(place):
        return [Log(name_of(name), partial(open_anywhere, name), None, name)]
    if _is_stored(place, filesystem):
        # pyarrow.fs takes a while to import, and most logs are local.
        from trackparse.sources.filesystem import is_local, listed, resolve

        files, inside = resolve(place, filesystem)
        if not is_local(files):
            # All are paths in the file system of the caller, so that a log with two spellings is read once.
            stored, not_read = listed(place if filesystem is None else inside, files, inside, is_log, _PASSED_OVER)
            _tell_of_folders(name_of(name), not_read)
            return [
                Log(name_of(one), partial(open_anywhere, one, filesystem), size, one, time, below)
                for one, size, time, below in stored
            ]
        name = inside
    else:
        check_is_no_collapsed_url(place)
    if not name:
        raise FileNotFoundError(errno.ENOENT, "no name of a log", name)
    path = Path(name)
    if path.is_dir():
        return _in_directory(path)
    if not glob.has_magic(name) or os.path.lexists(name):
        return [_file(path)]
    return [_file(Path(match), below) for match, below in matches_of(name)]


def matches_of(pattern: str) -> list[tuple[str, str]]:
    """The files that match a glob: the path, and what it is from the last folder on that has no wildcard.

    FileNotFoundError if there is none. It warns of what it may lack: folders that cannot be listed, and logs in folders
    that match. OptionError for ``..`` behind a wildcard: no path from a folder on would come of it.
    """
    parts = Path(pattern).parts
    fixed = [*takewhile(lambda part: not glob.has_magic(part), parts)]
    if ".." in parts[len(fixed) :]:
        raise OptionError(f"{pattern}: '..' stands behind a wildcard: name the folder to which it leads")
    matches, unlisted = globbed(pattern)
    # Of what is in a folder that may be listed, but not looked into, nobody could tell whether it is a file.
    found = [match for match in matches if match not in unlisted]
    files = [match for match in found if not Path(match).is_dir()]
    if not files:
        if unlisted:
            raise next(iter(unlisted.values()))
        why = f"only folders match this pattern: name the logs in them, {pattern}/*.zip" if found else _NO_MATCH
        raise FileNotFoundError(errno.ENOENT, why, pattern)
    if unlisted:
        error = next(iter(unlisted.values()))
        logger.warning(
            "%s: logs may be missing: nobody may look into %s: %s",
            *(pattern, _shortened([*unlisted]), printable(error.strerror or str(error))),
        )
    _tell_of_folders(pattern, _with_more_logs(found))
    return [(match, Path(match).relative_to(Path(*fixed)).as_posix()) for match in files]


def _with_more_logs(matches: list[str]) -> list[str]:
    """The folders among the matches of a glob that hold logs which it does not match: ``days/*`` reads no folders.

    What ``_in_directory`` passes over does not count.
    """
    all_folders = sorted(match for match in matches if Path(match).is_dir())
    read = {os.path.realpath(match) for match in matches} if all_folders else set()
    seen: set[str] = set()
    found = []
    for match in all_folders:
        for place, folders, names in os.walk(os.path.realpath(match)):
            if place in seen or Path(match).name.startswith(_PASSED_OVER):
                break
            seen.add(place)
            folders[:] = [name for name in folders if not name.startswith(_PASSED_OVER)]
            logs = (name for name in names if is_log(name) and not name.startswith(_PASSED_OVER))
            if any(os.path.realpath(f"{place}/{name}") not in read for name in logs):
                found.append(match)
                break
    return found


def _tell_of_folders(pattern: str, folders: list[str]) -> None:
    """Warn of folders that match a pattern, whose logs it does not match."""
    if folders:
        logger.warning("%s: matches %s, too, but not the logs in it: name the folder", pattern, _shortened(folders))


def _shortened(folders: list[str]) -> str:
    """The first of the folders, and how many there are besides."""
    more = f" and {len(folders) - 1} more" if len(folders) > 1 else ""
    return f"the folder {printable(folders[0])}{more}"


def is_log(name: str) -> bool:
    """Whether a file in a folder counts as a log, by the end of its name."""
    return name.lower().endswith(_LOGS)


def _in_directory(folder: Path) -> list[Log]:
    """The logs in a directory and in those below it. Links to other directories are not followed.

    OSError for a link that leads nowhere: it is a log that is missing.
    """
    found = []
    for place, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(_PASSED_OVER)]
        logs = [name for name in names if is_log(name) and not name.startswith(_PASSED_OVER)]
        paths = [path for path in (Path(place, name) for name in logs) if path.is_symlink() or path.is_file()]
        found += [_file(path, path.relative_to(folder).as_posix()) for path in paths]
    if not found:
        raise FileNotFoundError(errno.ENOENT, f"no log in this directory ({_PATTERNS})", str(folder))
    return found


def _raise(error: OSError) -> NoReturn:
    raise error


def _file(path: Path, below: str = "") -> Log:
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        raise OptionError(
            f"{path} can be read only once, but a dataset opens its logs anew at each use: read it with "
            "trackparse.open_log"
        )
    source = partial(open_source, str(path))
    return Log(str(path), source, status.st_size, str(path), status.st_mtime_ns, below or path.name)
