"""The logs that a user names as the sources of a dataset, by paths, globs and directories. Reads none of them."""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from trackparse.errors import OptionError
from trackparse.sources.opening import is_in_no_filesystem, open_anywhere
from trackparse.sources.source import Source, open_source
from trackparse.sources.urls import check_is_no_collapsed_url, name_of, scheme_of

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
                before = named.get(key := log.place or log.name, log)
                named[key] = max(before, log, key=lambda one: (one.below.count("/"), one.below))
        else:
            memory.append(_buffer(source))
    if not (memory or named):
        raise OptionError("no sources: name at least one log")
    # A file with two names, by a link to the latest day say, would give its rows twice.
    files: dict[str, Log] = {}
    for place in sorted(named):
        files.setdefault(place if _is_stored(place, filesystem) else os.path.realpath(place), named[place])
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


def _named(place: str | os.PathLike[str], filesystem: Any) -> list[Log]:
    """The logs that a file, a directory or a glob stands for."""
    name = os.fsdecode(place)
    if is_in_no_filesystem(place):
        return [Log(name_of(name), partial(open_anywhere, name), None, name)]
    if _is_stored(place, filesystem):
        # pyarrow.fs takes a while to import, and most logs are local.
        from trackparse.sources.filesystem import is_local, listed, resolve

        files, inside = resolve(place, filesystem)
        if not is_local(files):
            # All are paths in the file system of the caller, so that a log with two spellings is read once.
            stored = listed(place if filesystem is None else inside, files, inside, is_log, _PASSED_OVER)
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

    FileNotFoundError if there is none.
    """
    parts = Path(pattern).parts
    base = Path(*takewhile(lambda part: not glob.has_magic(part), parts))
    found = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path knows no absolute globs
    files = [match for match in found if not Path(match).is_dir()]
    if not files:
        why = f"only folders match this pattern: name the logs in them, {pattern}/*.zip" if found else _NO_MATCH
        raise FileNotFoundError(errno.ENOENT, why, pattern)
    return [(match, Path(match).relative_to(base).as_posix()) for match in files]


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
