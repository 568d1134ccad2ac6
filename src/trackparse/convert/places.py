"""Where files are written: on this machine, in an object store, or to a file that the caller opened.

A ``Place`` is one of them; ``place_of`` chooses. Another kind of place is one more class here.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, Protocol, TypeAlias

import pyarrow as pa
import pyarrow.fs as pafs

from trackparse.atomic import Pending, PendingFile, all_or_none, identity
from trackparse.convert.outputs import OWN_FOLDER, PathOrUrl, in_folder, name_in
from trackparse.errors import OptionError, TrackparseError, one_line
from trackparse.options import Destination
from trackparse.sources.filesystem import (
    check_is_utf8,
    errors_named,
    forget_listing,
    fsspec_of,
    is_local,
    key_of,
    resolve,
)
from trackparse.sources.opening import is_in_no_filesystem
from trackparse.sources.urls import STORES, name_of, redacted_url, scheme_of, unknown_scheme

logger: Final = logging.getLogger("trackparse")

# Bytes that are collected before they are written: the writer of Parquet makes some fifty writes for a small file.
_BUFFER: Final = 64 << 10
# Bytes of a part of an upload by s3fs, whose own size is 50 MiB: S3 takes 10,000 parts.
_PART: Final = 16 << 20
# Seconds before each further attempt to remove what is not wanted any more. A file system gives up after some attempts
# of its own: on S3, pyarrow after ten seconds without an answer, and a busy server may take longer.
_PAUSES: Final = (0.5, 1.0, 2.0)

IS_LINK: Final = "it is a link to another file, which is not written over"
# What two names of one file have in common.
Key: TypeAlias = tuple[str, str]


class Place(Pending, Protocol):
    """A file to write, of any kind. Its errors name it as the caller does.

    name: how messages and the report call it: a ``Path``, or for a URL, a path in a file system and an open file a str.
    size: its bytes, after ``sync``.
    """

    name: Path | str
    size: int

    def open(self) -> pa.NativeFile:
        """The stream to write to, once. Whoever writes closes it."""

    def abandon(self) -> None:
        """Write nothing more: what was written is half a file, and must not get an end that makes it look whole."""

    def open_old(self) -> Any:
        """The old file, open for reading; None if there is none."""

    def is_same(self, other: object) -> bool:
        """Whether the other place, or what a user names as source, is the same file, as far as names tell."""
        ...


class LocalPlace(PendingFile):
    """A file on this machine: written beside its place, and renamed."""

    def __init__(self, path: Path, *, follow: bool = True) -> None:
        super().__init__(path, follow=follow)
        self.name: Path | str = path
        self.size = 0

    def open(self) -> pa.NativeFile:
        # As bytes: as text, pyarrow takes no name that is not UTF-8.
        return pa.BufferedOutputStream(pa.OSFile(os.fsencode(self.temporary), "wb"), _BUFFER)

    def sync(self) -> None:
        super().sync()
        self.size = 0 if self.stays_empty else self.temporary.stat().st_size

    def abandon(self) -> None:
        pass  # it is removed

    def open_old(self) -> IO[bytes] | None:
        return self.path.open("rb") if self.path.is_file() else None

    def is_same(self, other: object) -> bool:
        if isinstance(other, LocalPlace):
            other = other.path
        found = identity(self.path)
        if found is not None:
            return found == identity(other)
        return isinstance(other, str | os.PathLike) and os.path.realpath(self.path) == os.path.realpath(other)


class _Stored:
    """What is the same for all files in an object store, under whatever name they are written."""

    def __init__(self, files: Any, path: str, name: str) -> None:
        self.name: Path | str = name
        self.size = 0
        self.stays_empty = False
        self.key: Key = key_of(files, path)
        self._files = files
        self._path = path
        self._stream: pa.NativeFile | None = None
        self._old = ""  # where a copy of the old file is kept
        self._replaces = False

    def create(self) -> None:
        # A path without a folder is that of a bucket. pyarrow takes a slash off the end of a URL.
        if str(self.name).endswith("/") or ("/" not in self._path.strip("/") and self.key[0] in ("s3", "gs")):
            raise IsADirectoryError(f"{self.name} is a folder or a bucket: name the file to write")

    def check(self) -> None:
        pass

    def abandon(self) -> None:
        pass  # it gets no name

    def exists(self) -> bool:
        with errors_named(str(self.name)):
            forget_listing(self._files, self._path)
            return bool(self._files.get_file_info(self._path).is_file)

    def open_old(self) -> Any:
        with errors_named(str(self.name)):
            forget_listing(self._files, self._path)
            try:
                # To ask first whether it is there would be one request more of each log.
                return self._files.open_input_file(self._path)
            except FileNotFoundError:
                return None
            except Exception:
                if self._files.get_file_info(self._path).is_file:
                    raise
                return None

    def is_same(self, other: object) -> bool:
        return isinstance(other, _Stored) and other.key == self.key

    def put_in_place(self, *, keep_old: bool) -> None:
        with errors_named(str(self.name)):
            if keep_old:
                self._replaces = self.exists()
                if self._replaces:
                    self._old = _beside(self._path)
                    self._files.copy_file(self._path, self._old)
            if self.stays_empty:
                self._files.delete_file(self._path)
            else:
                self._publish()

    def put_back(self) -> None:
        old, self._old = self._old, ""
        with suppress(Exception):
            if old:
                self._files.move(old, self._path)
            elif not self._replaces:
                self._files.delete_file(self._path)

    def forget_old(self) -> None:
        if self._old:
            self._delete(self._old)

    def unlock(self) -> None:
        pass  # ``sync`` or ``discard`` closed the stream

    def _publish(self) -> None:
        raise NotImplementedError

    def _delete(self, hidden: str) -> None:
        """Delete a file that nobody else knows of."""
        _insist(lambda: self._files.delete_file(hidden), f"{self.name}: the hidden file {hidden.rpartition('/')[2]}")


class StagedObject(_Stored):
    """A file in any store: written under a hidden name beside its own, and moved when it is whole.

    Where there is no rename, as on S3, the store copies it, and then the hidden file is deleted. It does not have its
    own name from the start because pyarrow cannot abort an upload: however the stream is closed, also by an error or by
    the garbage collector, what was written so far becomes a file.
    """

    def __init__(self, files: Any, path: str, name: str) -> None:
        super().__init__(files, path, name)
        self._staging = _beside(path)
        self._is_staged = False  # there may be a file of that name
        self._is_moving = False  # it may have its own name by now

    def open(self) -> pa.NativeFile:
        # Before the stream is opened: an interruption in there loses the stream, and so makes an empty file.
        self._is_staged = True
        try:
            with errors_named(str(self.name)):
                self._stream = self._files.open_output_stream(self._staging)
        except Exception:
            self._is_staged = False
            raise
        return self._stream

    def sync(self) -> None:
        if self._stream is None:
            return
        with errors_named(str(self.name)):
            self._stream.close()
            self.size = self._files.get_file_info(self._staging).size or 0

    def discard(self) -> None:
        if not self._is_staged:
            return
        if self._stream is not None:
            # A stream that is open when the interpreter ends keeps the process from ending.
            with suppress(Exception):
                self._stream.close()
            self._warn_of_upload()
        self._delete(self._staging)

    def _warn_of_upload(self) -> None:
        """A stream that is closed has made a file, unless the store refused it. pyarrow does not abort the upload."""
        if self.key[0] not in ("s3", "gs") or self._is_moving:
            return
        with suppress(Exception):
            if self._files.get_file_info(self._staging).type == pafs.FileType.NotFound:
                hidden = self._staging.rpartition("/")[2]
                logger.warning("%s: an unfinished upload of %s may still be there: abort it", self.name, hidden)

    def _publish(self) -> None:
        if self.key[0] == "hdfs" and self.exists():
            # A rename there replaces no file.
            self._files.delete_file(self._path)
        self._is_moving = True
        self._files.move(self._staging, self._path)
        self._is_staged = False


class UncommittedObject(_Stored):
    """A file on S3 by s3fs: an upload that is committed when it is whole. Until then there is no file of any name."""

    _upload: Any = None

    def open(self) -> pa.NativeFile:
        with errors_named(str(self.name)):
            self._upload = fsspec_of(self._files).open(self._path, "wb", block_size=_PART, autocommit=False)
            self._stream = pa.PythonFile(self._upload, mode="w")
        return self._stream

    def sync(self) -> None:
        if self._upload is None:
            return
        with errors_named(str(self.name)):
            # The size first: a file that is closed does not tell it.
            self.size = self._upload.tell()
            self._upload.close()

    def discard(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            with suppress(Exception):
                upload.close()
            _insist(upload.discard, f"{self.name}: an unfinished upload")

    def _publish(self) -> None:
        self._upload.commit()
        self._upload = None


class GivenFile:
    """A file that the caller opened. It gets bytes as they come, and stays open.

    After an error it holds the beginning of a file, without the end that makes it one.
    """

    def __init__(self, file: Any) -> None:
        name = getattr(file, "name", None)
        self.name: Path | str = name if isinstance(name, str) and name else "<stream>"
        if isinstance(file, io.TextIOBase):
            raise TypeError(f"{self.name} is a text file: open it in binary mode, open(path, 'wb')")
        self.size = 0
        self.stays_empty = False
        self._file = file
        self._gate = _Gate(file, str(self.name))

    def create(self) -> None:
        writable = getattr(self._file, "writable", None)
        if writable is not None and not writable():
            raise OptionError(f"{self.name}: the file is open for reading only: open it with mode 'wb'")

    def open(self) -> pa.NativeFile:
        return pa.PythonFile(self._gate, mode="w")

    def check(self) -> None:
        pass

    def sync(self) -> None:
        self.size = self._gate.written
        if (flush := getattr(self._file, "flush", None)) is not None:
            with errors_named(str(self.name)):
                flush()

    def exists(self) -> bool:
        return False

    def abandon(self) -> None:
        self._gate.is_shut = True

    def open_old(self) -> None:
        return None

    def is_same(self, other: object) -> bool:
        if isinstance(other, GivenFile):
            other = other._file
        if other is self._file:
            return True
        found = identity(self._file)
        return found is not None and found == identity(other.path if isinstance(other, LocalPlace) else other)

    def put_in_place(self, *, keep_old: bool) -> None:
        pass  # it is there

    def put_back(self) -> None:
        pass

    def forget_old(self) -> None:
        pass

    def discard(self) -> None:
        self._gate.is_shut = True

    def unlock(self) -> None:
        pass


class _Gate:
    """Hands writes on to a file, until it is shut. It has no name: pyarrow would open that."""

    closed = False

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self._name = name
        self.written = 0  # bytes
        self.is_shut = False

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        while rest and not self.is_shut:
            # A file without a buffer may take a part only.
            taken = self._file.write(rest)
            if taken is None and isinstance(self._file, io.RawIOBase):
                raise BlockingIOError(f"{self._name} takes no bytes now: hand over a blocking file")
            taken = len(rest) if taken is None else taken
            self.written += taken
            rest = rest[taken:]
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def place_of(dest: Destination, filesystem: Any = None) -> Place:
    """The place that a caller names. TypeError or OptionError for what cannot be written to, such as an https URL."""
    if not isinstance(dest, str | os.PathLike):
        if hasattr(dest, "write"):
            return GivenFile(dest)
        raise TypeError(
            f"a destination is a path, a URL, or a binary file that can be written, not {type(dest).__name__}"
        )
    scheme = scheme_of(dest)
    if scheme in ("http", "https"):
        raise OptionError(
            f"{redacted_url(os.fspath(dest))}: nothing can be written to a web server: name another place"
        )
    if scheme and scheme not in STORES and filesystem is None:
        raise unknown_scheme(os.fspath(dest), written=True)
    files, path = resolve(dest, filesystem)
    if is_local(files):
        return LocalPlace(Path(path))
    return _stored(files, path, name_of(dest))


def _stored(files: Any, path: str, name: str) -> Place:
    check_is_utf8(name)
    kind = UncommittedObject if _is_s3fs(fsspec_of(files)) else StagedObject
    return kind(files, path, name)


class Folder:
    """A folder on this machine or in a store, and the files in it, by their names from it on, with ``/`` between parts.

    dest: as the caller names it, or its path in the file system of the caller, which would take the escapes of a URL
    for characters of the name. local_path: its path on this machine; None in a store.
    """

    def __init__(self, dest: str | os.PathLike[str], filesystem: Any = None) -> None:
        if filesystem is None and not os.fspath(dest):
            raise OptionError("an empty name of a folder: name one; the current folder is '.'")
        self._files, self._path = resolve(dest, filesystem)
        self.local_path = self._path if is_local(self._files) else None
        in_store = os.fspath(dest) if filesystem is None else self._path
        self.dest: PathOrUrl = in_store if self.local_path is None else Path(self.local_path)

    def shown(self, name: str = "") -> Path | str:
        """How messages and reports call a file, or the folder."""
        place = in_folder(self.dest, name) if name else self.dest
        return name_of(place) if isinstance(place, str) else place

    def place(self, name: str) -> Place:
        """A file to write. It takes the place of a link of this name: what that leads to is no file of the folder."""
        if self.local_path is not None:
            return LocalPlace(Path(self.local_path) / name, follow=False)
        return _stored(self._files, f"{self._path.rstrip('/')}/{name}", str(self.shown(name)))

    def missing_folders(self, name: str) -> list[str]:
        """The folders that ``make_folder_of`` makes for a file on this machine, the outermost first."""
        found: list[str] = []
        folder = name.rpartition("/")[0]
        while self.local_path is not None and folder and not os.path.lexists(f"{self.local_path}/{folder}"):
            found.insert(0, folder)
            folder = folder.rpartition("/")[0]
        return found

    def make_folder_of(self, name: str) -> None:
        """Make the folder that a file stands in, if the store has folders."""
        if self.local_path is not None:
            (Path(self.local_path) / name).parent.mkdir(parents=True, exist_ok=True)
        elif key_of(self._files, self._path)[0] not in ("s3", "gs"):
            with errors_named(str(self.shown(name))):
                self._files.create_dir(f"{self._path.rstrip('/')}/{name}".rpartition("/")[0], recursive=True)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there. Of a link only the name is removed."""
        if self.local_path is not None:
            with suppress(FileNotFoundError, NotADirectoryError):
                (Path(self.local_path) / name).unlink()
            return
        with all_or_none([self.place(name)]) as [place]:
            place.stays_empty = True

    def linked(self, names: Iterable[str]) -> str | None:
        """A folder in it that one of the files stands in, and that is a link on this machine; None without any."""
        seen: set[str] = set()
        for name in names if self.local_path is not None else ():
            folder = name.rpartition("/")[0]
            while folder and folder not in seen:
                if (Path(self.local_path or "") / folder).is_symlink():
                    return folder
                seen.add(folder)
                folder = folder.rpartition("/")[0]
        return None

    def remove_if_empty(self, name: str) -> None:
        """Remove a folder in it, on this machine, if nothing is in that."""
        if self.local_path is not None:
            with suppress(OSError):
                (Path(self.local_path) / name).rmdir()

    def folders(self) -> list[str]:
        """The names of the folders in it."""
        return [path for path, is_file in self._listed("", recursive=False) if not is_file]

    def files(self, below: str = "") -> list[str]:
        """The names of the files in it, or in a folder in it."""
        return [path.rpartition("/")[2] for path, is_file in self._listed(below, recursive=False) if is_file]

    def named(self, name: str, below: str = "") -> list[str]:
        """All files of this name in folders below it, or below a folder in it, by their names from the folder on.

        What is below a folder that has lists of its own is that folder's.
        """
        listed = self._listed(below, recursive=True)
        own = f"/{OWN_FOLDER}/"
        others = tuple({f"{path}/".partition(own)[0] + "/" for path, _ in listed if own in f"{path}/"})
        files = [path for path, is_file in listed if is_file and not path.startswith(others)]
        return [path for path in files if path.rpartition("/")[2] == name]

    def _listed(self, below: str, *, recursive: bool) -> list[tuple[str, bool]]:
        """What is in the folder, or in a folder in it: the path from the folder on, and whether it is a file."""
        if self.local_path is not None:
            # pyarrow lists no folder with a name that is not UTF-8 in it.
            return _entries(Path(self.local_path) / below, f"{below}/" if below else "", recursive=recursive)
        base = self._path.rstrip("/")
        with errors_named(str(self.shown())):
            forget_listing(self._files, None if recursive else f"{base}/{below}".rstrip("/"))
            selector = pafs.FileSelector(f"{base}/{below}".rstrip("/"), allow_not_found=True, recursive=recursive)
            found = self._files.get_file_info(selector)
        return [(one.path.removeprefix(f"{base}/"), one.is_file) for one in found]

    def sizes(self, names: Iterable[str]) -> list[int | None]:
        """The bytes of each file, None for a file that is not there."""
        if self.local_path is not None:
            return [_size_of(Path(self.local_path) / name) for name in names]
        paths = [f"{self._path.rstrip('/')}/{name}" for name in names]
        with errors_named(str(self.shown())):
            for path in paths:
                forget_listing(self._files, path)
            return [one.size if one.is_file else None for one in self._files.get_file_info(paths)]


@contextmanager
def folder_made(dest: PathOrUrl, filesystem: Any = None) -> Iterator[None]:
    """The folder ``Folder.dest``, made if it is missing. In the end what was made of it and of those above it, on this
    machine, is removed if nothing is in it.
    """
    # Not by ``Folder``: a name that may be meant for a URL is taken for a path only if that is there.
    new = [one for one in (dest, *dest.parents) if not os.path.lexists(one)] if isinstance(dest, Path) else []
    try:
        make_folder(dest, filesystem)
        yield
    finally:
        for one in new:
            with suppress(OSError):
                one.rmdir()


def make_folder(dest: PathOrUrl, filesystem: Any = None) -> None:
    """Make the folder ``Folder.dest``, if the store has folders."""
    if isinstance(dest, Path):
        dest.mkdir(parents=True, exist_ok=True)
    else:
        Folder(dest, filesystem).make_folder_of("any")


def _entries(folder: Path, before: str, *, recursive: bool) -> list[tuple[str, bool]]:
    """What is in a folder on this machine: names with ``before`` in front of them, and whether each is a file.

    Links to folders are not followed: two that lead to a folder above them would have no end.
    """
    found: list[tuple[str, bool]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                # False for a link that leads to itself.
                found.append((f"{before}{entry.name}", os.path.isfile(entry)))  # noqa: PTH113
                if recursive and entry.is_dir(follow_symlinks=False):
                    found += _entries(Path(entry.path), f"{before}{entry.name}/", recursive=True)
    except (FileNotFoundError, NotADirectoryError):
        pass
    return found


def _size_of(path: Path) -> int | None:
    """The bytes of a file; None if there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def check_place(place: Place) -> None:
    """OSError with its name, if no file can be written there. For callers that wait long for the content."""
    if isinstance(place, GivenFile):
        place.create()
        return
    with suppress(_Enough), all_or_none([place]):
        place.open().close()
        raise _Enough


class _Enough(Exception):  # noqa: N818 - nobody sees it
    """Ends a trial to write."""


def is_link(place: Place) -> bool:
    """Whether a file on this machine is a link. If it is one of our own making, what it leads to is somebody else's."""
    return isinstance(place, LocalPlace) and place.path.is_symlink()


def check_no_link(place: Place) -> None:
    """TrackparseError if a file of our own making is a link."""
    if is_link(place):
        raise TrackparseError(f"{place.name}: {IS_LINK}", advice="remove the link")


def is_source(place: Place, source: object, filesystem: Any = None) -> bool:
    """Whether the file to write is the one that is read."""
    if isinstance(source, str | os.PathLike) and not is_in_no_filesystem(source):
        files, path = resolve(source, filesystem)
        if not is_local(files):
            return isinstance(place, _Stored) and key_of(files, path) == place.key
        source = path
    return place.is_same(source)


class Inputs:
    """The logs that a run reads. None of them may be written over or removed, whatever names it has."""

    def __init__(self, names: Iterable[str], filesystem: Any = None) -> None:
        """``names`` are paths and URLs, as in ``place_of``."""
        self._files: dict[tuple[int, int], str] = {}  # on this machine
        # By the last part of the name: a store may be asked for its region before two of its files can be compared.
        self._stored: dict[str, list[str]] = {}
        self._filesystem = filesystem
        for name in names:
            path = _local_path(name, filesystem)
            if path is None:
                self._stored.setdefault(_last_part(name), []).append(name)
            elif found := identity(path):
                self._files[found] = name

    def at(self, place: Place, *, follow: bool = True) -> str | None:
        """The log that a place is; None if it is none of them. Without ``follow`` a link is not what it leads to."""
        if isinstance(place, LocalPlace):
            if not follow and place.path.is_symlink():
                return None
            found = identity(place.path)
            return None if found is None else self._files.get(found)
        alike = self._stored.get(place.key[1].rpartition("/")[2], ()) if isinstance(place, _Stored) else ()
        return next((name_of(name) for name in alike if is_source(place, name, self._filesystem)), None)


def _local_path(name: str, filesystem: Any) -> str | None:
    """The path on this machine; None for what is elsewhere."""
    scheme = scheme_of(name)
    if scheme == "file" or (filesystem is not None and not scheme):
        try:
            files, path = resolve(name, filesystem)
        except OptionError:  # nothing can be read from there
            return None
        return path if is_local(files) else None
    return None if scheme else name


def _last_part(name: str) -> str:
    """The last part of a path or a URL. Nothing is wrong with a URL that cannot be used: opening it will say so."""
    try:
        return name_in(name)
    except ValueError:
        return name


def _insist(remove: Callable[[], object], what: str) -> None:
    """Remove something in a store, in more than one attempt if need be; a warning if it may still be there."""
    for pause in (*_PAUSES, None):
        try:
            remove()
        except FileNotFoundError:
            return
        except Exception as error:
            if pause is None:
                told = one_line(str(error))
                logger.warning("%s may still be there: delete it. The store did not remove it: %s", what, told)
            else:
                time.sleep(pause)
        else:
            return


def _beside(path: str) -> str:
    """A hidden name in the same folder. Readers of a folder of Parquet files pass over what begins with a dot."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}.{name[:32]}.{os.urandom(8).hex()}.trackparse.tmp"


def _is_s3fs(filesystem: Any) -> bool:
    """By its class: other file systems of fsspec may take ``autocommit=False`` and commit all the same."""
    return any(f"{kind.__module__}.{kind.__name__}" == "s3fs.core.S3FileSystem" for kind in type(filesystem).__mro__)
