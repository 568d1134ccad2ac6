"""File systems, by URL or as the caller hands them over, and a file in one of them as a source.

Retries, timeouts and credentials are those of the file system.
"""

from __future__ import annotations

import copy
import errno
import fnmatch
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.fs as pafs

from trackparse.errors import OptionError, TrackparseError, one_line, printable
from trackparse.sources.source import Buffer, Source, StreamSource, open_source
from trackparse.sources.urls import (
    STORES,
    check_has_no_nul,
    check_is_no_collapsed_url,
    name_of,
    plain_url,
    redacted_url,
    scheme_of,
    stored_url,
    unknown_scheme,
)

# Bytes of one request. Each costs tens of milliseconds before its first byte comes.
PIECE: Final = 8 << 20
_MAGIC: Final = re.compile(r"[*?[]")
_STREAMS: Final = 2  # places of one file that are read on from by turns, such as two members of a ZIP
# Bytes of one request for a few bytes somewhere: the directory of a ZIP, the header of a member.
_LOOK: Final = 64 << 10
# What may stand in a URL as it is; pyarrow takes neither blanks nor brackets nor letters that are not ASCII.
_SAFE_IN_PATH: Final = "/%:@!$&'()*+,;=~"
_SAFE_IN_QUERY: Final = _SAFE_IN_PATH + "?"
# How file systems call themselves, and what URLs call them.
_TYPES: Final = {"s3": "s3", "s3a": "s3", "gcs": "gs", "gs": "gs", "hdfs": "hdfs", "local": "file", "file": "file"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# What ``info`` of fsspec calls the time of a file on S3 and Azure; ``modified`` would ask the store once more.
_TIMES: Final = ("LastModified", "last_modified")
_ERRNOS: Final = {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES, FileExistsError: errno.EEXIST}


# What differs between two versions of a file in ``info`` of some file system of fsspec; small letters only.
_OF_A_VERSION: Final = {
    *("size", "etag", "generation", "versionid", "created", "updated", "modified", "lastmodified", "mtime"),
    *("modificationtime", "lastwritetime", "modify"),
}
_NO_LETTER: Final = re.compile("[^a-z]")

_NOT_A_FILE: Final = "Not a regular file"  # pyarrow, of a bucket
_NO_FILE: Final = os.strerror(errno.ENOENT)
_CHANGED: Final = "the file was written over while it was read; read it again"
_NO_BUCKET: Final = re.compile("NO_SUCH_BUCKET|NoSuchBucket|bucket does not exist")
_NO_BUCKET_TEXT: Final = "its bucket does not exist: make it, or correct its name"


def is_filesystem(value: object) -> bool:
    """Whether it is a file system of pyarrow or of fsspec."""
    return isinstance(value, pafs.FileSystem) or _is_fsspec(value)


def resolve(place: str | os.PathLike[str], filesystem: Any = None) -> tuple[pafs.FileSystem, str]:
    """The file system in which a place is, and the path there.

    ``place`` is a path, or a URL: ``s3://``, ``gs://``, ``hdfs://`` or ``file://``. ``filesystem`` is one of pyarrow or
    of fsspec; ``place`` is then a path in it, or a URL of its kind. A ``file://`` URL is a local path all the same.

    OptionError for a scheme that is not known, and for a URL that cannot be used. No message shows user or query of a
    URL.
    """
    check_has_no_nul(place)
    scheme = scheme_of(place)
    if filesystem is not None and scheme != "file":
        files = _wrapped(filesystem)
        return files, _path_in(files, os.fspath(place), scheme)
    if not scheme:
        check_is_no_collapsed_url(place)
        return pafs.LocalFileSystem(), os.fspath(place)
    url = os.fspath(place)
    if scheme not in STORES:
        raise unknown_scheme(url)
    if scheme != "file":
        check_is_utf8(url)
    try:
        files, path = pafs.FileSystem.from_uri(_encoded(url))
    except (pa.ArrowException, OSError) as error:
        raise OptionError(f"{redacted_url(url)}: {_without_secrets(one_line(str(error)), url)}") from None
    check_has_no_nul(path)  # it may have been %00
    # From a URL, pyarrow makes an S3 client that tries a dead connection thirty times, for minutes, and after an answer
    # such as "slow down" not once. A copy is made as S3FileSystem(...) is, with AWS's standard of three attempts.
    return (copy.copy(files) if scheme == "s3" else files), path


def check_is_utf8(name: str) -> None:
    """TrackparseError for a name that no store takes. A file on this machine may have it."""
    if printable(name) != name:
        raise TrackparseError(
            f"{printable(redacted_url(name))}: a store takes no name that is not UTF-8: use another one"
        )


def is_local(files: pafs.FileSystem) -> bool:
    """Whether its paths are those of this machine."""
    return isinstance(files, pafs.LocalFileSystem)


def fsspec_of(files: pafs.FileSystem) -> Any:
    """The file system of fsspec that is wrapped in it; None if it is one of pyarrow."""
    handler = files.handler if isinstance(files, pafs.PyFileSystem) else None
    return handler.fs if isinstance(handler, pafs.FSSpecHandler) else None


def forget_listing(files: pafs.FileSystem, path: str | None = None) -> None:
    """Have fsspec ask the store again: it keeps what it saw in a folder, and the file may be another one by now.

    With a path it forgets that and the folders above it only; without one all, as it must before a listing of a folder
    with those below it.
    """
    if (inner := fsspec_of(files)) is not None:
        inner.invalidate_cache(path)


def key_of(files: pafs.FileSystem, path: str) -> tuple[str, str]:
    """What two names of one file have in common, whichever file system reaches it.

    Kind of store and path only: the same bucket under two addresses is taken for one.
    """
    if isinstance(files, pafs.SubTreeFileSystem):
        return key_of(files.base_fs, f"{files.base_path}/{path}")
    # Of fsspec it is "py::fsspec+memory", or "py::fsspec+('s3', 's3a')".
    kind = re.split("[:+]", files.type_name)[-1].strip("('").partition("'")[0]
    return _TYPES.get(kind, kind), "/".join(part for part in path.split("/") if part)


def name_in_store(place: str, filesystem: Any = None) -> str:
    """What all names of a file in a store have in common, as a URL; of a path of this machine the real path.

    ``place`` and ``filesystem`` are those of ``resolve``, or it is the URL of a web server. No store is asked.
    """
    if filesystem is None or scheme_of(place) in ("http", "https"):
        return plain_url(place) if scheme_of(place) else os.path.realpath(place)
    files, path = resolve(place, filesystem)
    return os.path.realpath(path) if is_local(files) else stored_url(*key_of(files, path))


@contextmanager
def errors_named(name: str) -> Iterator[None]:
    """Makes an error of a file system in it an OSError with this name."""
    try:
        yield
    except OSError as error:
        if _NO_BUCKET.search(str(error)):
            raise FileNotFoundError(errno.ENOENT, _NO_BUCKET_TEXT, name) from error
        number = error.errno or next((number for kind, number in _ERRNOS.items() if isinstance(error, kind)), None)
        text = os.strerror(number) if number else str(error)
        raise OSError(number or errno.EIO, text, name) from error
    except Exception as error:  # file systems of fsspec raise what the libraries below them do
        raise OSError(errno.EIO, one_line(str(error)) or type(error).__name__, name) from error


def listed(
    place: str | os.PathLike[str],
    files: pafs.FileSystem,
    path: str,
    is_log: Callable[[str], bool],
    passed_over: tuple[str, ...],
) -> tuple[list[tuple[str, int | None, int | None, str]], list[str]]:
    """The files that a file, a glob or a folder in a store stands for: how to name each again, its size, its time, and
    its path from the folder on, or from the last folder before the first wildcard. Then folders that match a glob, too,
    with logs that do not.

    ``files`` and ``path`` are what ``resolve`` makes of ``place``. Of a folder and those below it: the files that are
    logs by their names, and not hidden. FileNotFoundError if there is none.
    """
    name = name_of(place)
    with errors_named(name):
        forget_listing(files, path)
        info, time = _looked_up(files, path)
    if info.is_file:
        # Named as a listing of its folder names it: of two spellings of one file a dataset reads one.
        return [(_with_path(os.fspath(place), info.path), info.size, time, info.base_name)], []
    magic = _MAGIC.search(path)
    folder = path[: magic.start()].rpartition("/")[0] if magic else path.rstrip("/")
    with errors_named(name):
        forget_listing(files)
        found = files.get_file_info(pafs.FileSelector(folder, allow_not_found=True, recursive=True))
    kept = []
    not_read: dict[str, None] = {}
    for one in found:
        below = one.path.removeprefix(folder).strip("/").split("/")
        is_shown_log = is_log(below[-1]) and not any(part.startswith(passed_over) for part in below)
        if one.is_file and (_matches(one.path, path) if magic else is_shown_log):
            kept.append((_with_path(os.fspath(place), one.path), one.size, _time_of(files, one), "/".join(below)))
        elif one.is_file and is_shown_log:
            above = ("/".join(one.path.split("/")[:-up]) for up in range(1, len(below)))
            not_read |= dict.fromkeys(name for name in above if _matches(name, path))
    if not kept:
        why = "no file matches this pattern" if magic else "no log is there"
        raise _not_found(files, path, name, why)
    return kept, [*not_read]


def _looked_up(files: pafs.FileSystem, path: str) -> tuple[pafs.FileInfo, int | None]:
    """What is at a path, and when it was last changed, as ``_time_of``. With s3fs that is one request."""
    inner = fsspec_of(files)
    if inner is None:
        info = files.get_file_info(path)
        return info, info.mtime_ns
    try:
        told: dict[str, Any] = inner.info(path)
    except FileNotFoundError:
        return pafs.FileInfo(path, pafs.FileType.NotFound), None
    if told["type"] != "file":
        return pafs.FileInfo(path, pafs.FileType.Directory), None
    info = pafs.FileInfo(path, pafs.FileType.File, size=told["size"], mtime=told.get("mtime"))
    time = next((told[name] for name in _TIMES if isinstance(told.get(name), datetime)), None)
    return info, _time_of(files, info) if time is None or info.mtime_ns is not None else _nanoseconds(time)


def _time_of(files: pafs.FileSystem, info: pafs.FileInfo) -> int | None:
    """When a file was last changed, in nanoseconds since 1970; None if the file system does not tell."""
    inner = fsspec_of(files)
    if info.mtime_ns is not None or inner is None:
        return info.mtime_ns  # type: ignore[no-any-return]
    # pyarrow does not ask fsspec for it; fsspec has it from the listing.
    with suppress(Exception):
        return _nanoseconds(inner.modified(info.path))
    return None


def _nanoseconds(time: datetime) -> int:
    """Since 1970. A time without a zone is in UTC."""
    return (time.replace(tzinfo=time.tzinfo or UTC) - _EPOCH) // timedelta(microseconds=1) * 1000


def _not_found(files: pafs.FileSystem, path: str, name: str, why: str) -> OSError:
    """The error for a path where no file was found. It asks the store what is there instead."""
    in_bucket = not isinstance(files, pafs.SubTreeFileSystem) and key_of(files, path)[0] in ("s3", "gs")
    try:
        info, bucket = files.get_file_info([path, path.strip("/").partition("/")[0]])
    except Exception:  # without the right to look, say
        return FileNotFoundError(errno.ENOENT, why, name)
    if in_bucket and bucket.type == pafs.FileType.NotFound:
        return FileNotFoundError(errno.ENOENT, _NO_BUCKET_TEXT, name)
    if info.type == pafs.FileType.Directory and why == _NO_FILE:
        return IsADirectoryError(errno.EISDIR, "a folder: name a log in it", name)
    return FileNotFoundError(errno.ENOENT, why, name)


def _matches(path: str, pattern: str) -> bool:
    """Whether a path matches a glob, part by part; ``**`` stands for any number of parts."""
    parts, patterns = path.split("/"), pattern.split("/")
    reached = {0}
    for wanted in patterns:
        if wanted == "**":
            reached = {at for first in reached for at in range(first, len(parts) + 1)}
        else:
            reached = {at + 1 for at in reached if at < len(parts) and fnmatch.fnmatchcase(parts[at], wanted)}
    return len(parts) in reached


def _with_path(place: str, path: str) -> str:
    """A place in the same file system: a path as it is, or the URL of one."""
    scheme = scheme_of(place)
    if not scheme:
        return path
    base, mark, query = place.partition("?")
    authority = base.partition("://")[2].partition("/")[0]
    # The first part of a path on S3 is its bucket, which stands in the place of a host.
    user, at, _ = authority.rpartition("@")
    before = f"{user}{at}" if scheme in ("s3", "gs") else authority
    return f"{scheme}://{before}{path.replace('%', '%25').replace('?', '%3F')}{mark}{query}"


def open_stored(place: str | os.PathLike[str], filesystem: Any = None) -> Source:
    """The file as a source. OSError, with its name, if it cannot be opened."""
    files, path = resolve(place, filesystem)
    if is_local(files):
        return open_source(path)
    name = name_of(place)
    try:
        return _open(files, path, name)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or _NOT_A_FILE in str(error):
            raise _not_found(files, path, name, _NO_FILE) from None
        raise


def _open(files: pafs.FileSystem, path: str, name: str) -> Source:
    with errors_named(name):
        inner = fsspec_of(files)
        if inner is None:
            file = files.open_input_file(path)
            return StoredSource(
                name,
                file.size(),
                lambda at, n: file.read_at(n, at),
                file.close,
                partial(_version_of, files, path),
                file.metadata(),
            )
        info = _fresh_info(inner, path)
        size = info["size"]
        if size is None:
            return StreamSource(inner.open(path, "rb"), name, owned=True)
        # Not through an open file of it: that reads ahead as much as it likes, 50 MiB for S3, and keeps it.
        return StoredSource(
            name,
            size,
            lambda at, n: inner.cat_file(path, start=at, end=at + n),
            lambda: None,
            lambda: _version_in(_fresh_info(inner, path)),
            _version_in(info),
        )


def _version_of(files: pafs.FileSystem, path: str) -> object:
    """What tells one version of a file from the next: its metadata, or else its size and its time.

    On S3 the metadata have the ETag, at the cost of one request. Size and time would cost as much, and say less: the
    time has whole seconds only.
    """
    with files.open_input_file(path) as file:
        if told := file.metadata():
            return told
    info = files.get_file_info(path)
    return info.size, info.mtime_ns


def _fresh_info(inner: Any, path: str) -> dict[str, Any]:
    """What a file system of fsspec tells of a file as it is now."""
    inner.invalidate_cache(path)
    info: dict[str, Any] = inner.info(path)
    return info


def _version_in(info: dict[str, Any]) -> object:
    """What of it tells one version of the file from the next."""
    return {name: value for name, value in info.items() if _NO_LETTER.sub("", name.lower()) in _OF_A_VERSION}


class StoredSource(Source):
    """A file in an object store, read in pieces of 8 MiB, each with one request.

    A smaller file is one request. Of a larger one, what is looked at out of order (the directory of a ZIP, headers of
    members) are requests of 64 KiB or a little more. After each request but the first one the store is asked whether
    the file is still the same: parts of two versions never go together.
    """

    seekable = True

    def __init__(
        self,
        name: str,
        size: int,
        read: Callable[[int, int], bytes],
        close: Callable[[], object],
        ask_version: Callable[[], object],
        version: object,
    ) -> None:
        """``read`` is called with a position and a number of bytes, and may give fewer at the end only.

        ``ask_version`` gives what tells one version of the file from the next, as it is now. ``version`` is that of
        the file that was opened; if it says nothing, the store is asked now, unless one request is enough.
        """
        super().__init__(name, size)
        self._end = size
        self._read = read
        self._close = close
        self._ask_version = ask_version
        self._version = version or (ask_version() if size > PIECE else None)
        self._is_read = False  # a part of it
        self._pieces: list[tuple[int, bytes]] = []  # where each begins, and its bytes; the one used last is the last
        self._seen: tuple[int, bytes] = (0, b"")  # looked at last

    def close(self) -> None:
        with errors_named(self.name):
            self._close()

    def look(self, position: int, n: int) -> bytes:
        n = max(0, min(n, self._end - position))
        found = self._kept(position, n)
        if n and len(found) < n:
            if self._end <= PIECE:
                self._pieces = [self._fetched(0, self._end)]
                return bytes(self._kept(position, n))
            start = max(0, min(position, self._end - _LOOK))
            self._seen = self._fetched(start, max(position + n, min(start + _LOOK, self._end)))
            found = memoryview(self._seen[1])[position - start :][:n]
        return bytes(found)

    def _read_at(self, position: int, n: int) -> Buffer:
        if position >= self._end:
            return b""
        held = self._kept(position, n)
        if not held:
            # Let go of the piece that is read to its end first: it and the next one would be in memory.
            going_on = [piece for piece in self._pieces if piece[0] + len(piece[1]) != position]
            self._pieces = going_on[1 - _STREAMS :]
            self._pieces.append(self._fetched(position, min(position + PIECE, self._end)))
            held = self._kept(position, n)
        return held

    def _kept(self, position: int, n: int) -> memoryview:
        """At most n bytes from this byte on, of what is in memory; empty if it is not."""
        for index, (start, piece) in enumerate((self._seen, *self._pieces), -1):
            if start <= position < start + len(piece):
                if index >= 0:
                    self._pieces.append(self._pieces.pop(index))
                return memoryview(piece)[position - start : position - start + n]
        return memoryview(b"")

    def _fetched(self, start: int, stop: int) -> tuple[int, bytes]:
        try:
            with errors_named(self.name):
                data = bytes(self._read(start, stop - start))
        except OSError:
            self._check_version()  # it may have no byte there any more
            raise
        if self._is_read:
            self._check_version()
        self._is_read = True
        return start, data

    def _check_version(self) -> None:
        """OSError if the file is another one than that which was opened."""
        with errors_named(self.name):
            is_same = self._version is None or self._ask_version() == self._version
        if not is_same:
            raise OSError(errno.ESTALE, _CHANGED, self.name)


def _wrapped(filesystem: Any) -> pafs.FileSystem:
    if isinstance(filesystem, pafs.FileSystem):
        return filesystem
    if not _is_fsspec(filesystem):
        raise TypeError(f"filesystem={filesystem!r}: expected a pyarrow.fs.FileSystem, or a file system of fsspec")
    if "file" in _protocols(filesystem):
        return pafs.LocalFileSystem()
    return pafs.PyFileSystem(pafs.FSSpecHandler(filesystem))


def _is_fsspec(value: object) -> bool:
    """By its class: fsspec need not be installed."""
    return any(f"{kind.__module__}.{kind.__name__}" == "fsspec.spec.AbstractFileSystem" for kind in type(value).__mro__)


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _path_in(files: pafs.FileSystem, path: str, scheme: str) -> str:
    """The path in the file system. OptionError if it is a URL of another kind of store."""
    inner = fsspec_of(files)
    if scheme:
        kinds = {files.type_name} if inner is None else {*_protocols(inner)}
        if scheme not in kinds | {_TYPES[kind] for kind in kinds if kind in _TYPES}:
            raise OptionError(
                f"{redacted_url(path)}: not a path in the file system that filesystem= names, which is of another kind",
                advice="leave filesystem= out, or name a path in it",
            )
        path = redacted_url(path).partition("://")[2] if inner is None else path
    return path if inner is None else str(inner._strip_protocol(path))


def _encoded(url: str) -> str:
    """The URL with escapes for what pyarrow does not take; a ``%`` that begins no escape is a character of the name."""
    scheme, _, rest = url.partition("://")
    place, mark, query = rest.partition("?")
    place = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", place)
    return f"{scheme.lower()}://{quote(place, safe=_SAFE_IN_PATH)}{mark}{quote(query, safe=_SAFE_IN_QUERY)}"


def _without_secrets(text: str, url: str) -> str:
    """The message of pyarrow about a URL, if it shows no more of it than we do."""
    text = text.replace(_encoded(url), redacted_url(url))
    rest = url.partition("://")[2]
    secrets = [rest.rpartition("@")[0], *re.split("[:@]", rest.rpartition("@")[0])]
    secrets += [part.partition("=")[2] for part in rest.partition("?")[2].split("&")]
    if any(secret and (secret in text or quote(secret, safe="") in text) for secret in secrets):
        return "the URL cannot be used"
    return text
