"""Writes files under a temporary name and renames them when they are complete; errors name the final place.

``atomic`` is for one file, ``atomic_all`` for several that appear together. A ``PendingFile`` is one of them.
``all_or_none`` is for files of any kind, on this machine or elsewhere. Imports nothing of trackparse.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, Protocol, TypeVar

try:
    import fcntl
except ImportError:  # Windows, where an open file could not be renamed, either
    fcntl = None  # type: ignore[assignment]

# The last number is the file's own inode: a file that somebody else gave such a name has another one. While a file is
# empty it may be 0.
_TEMPORARY: Final = re.compile(r"\..{1,32}\.\d+-[0-9a-f]{8}-(\d+)\.trackparse\.tmp", re.DOTALL)
# File systems on which a free lock means that its owner is dead. On a network file system the locks of other machines
# may not be visible, so temporary files stay there.
_LOCAL_FILE_SYSTEMS: Final = {
    b"ext2",
    b"ext3",
    b"ext4",
    b"xfs",
    b"btrfs",
    b"zfs",
    b"f2fs",
    b"bcachefs",
    b"overlay",
    b"tmpfs",
}
# A folder is searched for old temporary files again only after a pause: this many times as long as the last search
# took. So searching takes a hundredth of the time at most, even in a folder with very many files.
_SEARCH_INTERVAL: Final = 100
# Attributes in which file objects, such as those of the standard library, keep the file that they read from.
_INNER_FILE_ATTRIBUTES: Final = (
    "fileobj",
    "raw",
    "buffer",
    "_fileobj",
    "_file",
    "_fp",
    "_buffer",
    "file",
    "stream",
    "f",
    "fp",
    "_stream",
    "wrapped",
    "fd",  # a descriptor
)
_OBJECTS_MOST: Final = 64  # objects in which the file is searched for
_NAMES_MOST: Final = 100  # temporary names that are tried
_next_search: dict[Path, float] = {}  # by folder: when to search it again


def identity(file: Any) -> tuple[int, int] | None:
    """Device and inode, which two names of the same file share; None if there is no file.

    ``file`` is a path, a descriptor, an open file, or an object that reads from a file inside it, such as a member of a
    ZIP. For anything else, such as bytes, the result is None.
    """
    queue = [file]
    for one in queue:
        if found := _identity(one):
            return found
        # The number of objects is bounded, because they may refer to each other.
        if len(queue) < _OBJECTS_MOST and not isinstance(one, str | os.PathLike | int):
            found_in = [(name, _attribute(one, name)) for name in _INNER_FILE_ATTRIBUTES]
            queue += [
                inner
                for name, inner in found_in
                if inner is not None and (name == "fd" or not isinstance(inner, str | bytes | int))
            ]
    return None


def _identity(file: Any) -> tuple[int, int] | None:
    if (fileno := _attribute(file, "fileno")) is not None:
        try:
            file = fileno()
        except Exception:  # it has no descriptor, or is closed; objects of others may raise anything
            return None
    if not isinstance(file, str | os.PathLike | int):
        return None
    try:
        status = os.stat(file)  # noqa: PTH116 - Path knows no descriptors
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def is_read_here(file: tuple[int, int]) -> bool:
    """Whether this process has the file with this ``identity`` open for reading. False if the system does not tell."""
    if fcntl is None:
        return False
    with suppress(OSError):
        for name in os.listdir("/dev/fd"):  # noqa: PTH208 - only names are needed
            # The descriptor of the listing itself is closed by now.
            with suppress(OSError):
                writes_only = fcntl.fcntl(int(name), fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
                if not writes_only and _identity(int(name)) == file:
                    return True
    return False


@contextmanager
def kept(paths: Iterable[Any]) -> Iterator[None]:
    """While it lasts no run removes these files, even those that a killed run left. What is no path is ignored."""
    with ExitStack() as locked:
        for path in paths if fcntl is not None else ():
            if isinstance(path, str | os.PathLike) and _TEMPORARY.fullmatch(os.path.basename(os.fsdecode(path))):  # noqa: PTH119
                with suppress(OSError):
                    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # it may be a pipe
                    _lock(locked.enter_context(open(opened, "rb", buffering=0)), shared=True)  # noqa: PTH123
        yield


def _attribute(one: Any, name: str) -> Any:
    """The attribute; None if there is no such attribute, or if it raises an error."""
    try:
        return getattr(one, name, None)
    except Exception:  # a text wrapper that was detached, say
        return None


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Gives a temporary name beside ``path`` to write to. It is renamed at the end, or removed after an error."""
    with atomic_all([path]) as [file]:
        yield file.temporary


@contextmanager
def atomic_all(paths: Sequence[Path]) -> Iterator[list[PendingFile]]:
    """Gives a ``PendingFile`` for each of ``paths``. At the end all are renamed, the first one last.

    After an error all are removed. If one cannot be renamed or removed, or if somebody else removed what was written,
    the old files are put back. A symbolic link stays a link: the file to which it leads is replaced. OSError with the
    path that it is about, if no file can be written there.

    Temporary files that killed processes left in these folders are removed.
    """
    with all_or_none([PendingFile(path) for path in paths]) as files:
        yield files


@contextmanager
def all_or_none(files: list[_Pending], *, before_names: Callable[[], object] | None = None) -> Iterator[list[_Pending]]:
    """Makes the files as ``atomic_all`` does, of whatever kind each of them is.

    ``before_names`` is called when all are synced and none has its name; no signal comes between it and the names. A
    file that was created may be moved from the list of one ``all_or_none`` to that of another.
    """
    try:
        for file in files:
            # First of all: a place that cannot be written is an error before anything is read.
            file.create()
        try:
            yield files
        except FileNotFoundError:
            for file in files:
                file.check()
            raise
        for file in files:
            file.sync()
        if before_names is None and len(files) == 1 and isinstance(files[0], PendingFile):
            # One rename, which no signal divides: a thread would only take time.
            _put_in_place(files)
        else:
            uninterrupted(partial(_put_in_place, files, before_names))
    except BaseException:
        uninterrupted(partial(_discard, files))
        raise
    finally:
        for file in files:
            file.unlock()


@contextmanager
def name_errors_after(path: str | os.PathLike[str]) -> Iterator[None]:
    """Makes an OSError in it name ``path``, and not the temporary name."""
    try:
        yield
    except OSError as error:
        if error.filename == str(path):
            raise
        text = str(error) if error.errno is None else os.strerror(error.errno)
        raise OSError(error.errno or errno.EIO, text, str(path)) from error


class Pending(Protocol):
    """A file that is being written somewhere, and gets its name when it is complete.

    The calls come in this order: ``create``; ``sync``, ``put_in_place`` and ``forget_old``, or ``put_back``, if all
    goes well; ``discard`` if not, at any time; ``unlock``. None of them leaves the file open.
    """

    stays_empty: bool  # set by the caller to have no file in the end; an old file is removed

    def create(self) -> None:
        """Be ready to be written, or raise an OSError with the name."""

    def check(self) -> None:
        """OSError if what was written does not exist any more."""

    def sync(self) -> None:
        """Bring all that was written to the place where it is kept."""

    def exists(self) -> bool:
        """Whether there is an old file in the place."""
        ...

    def put_in_place(self, *, keep_old: bool) -> None:
        """Give it its name; or remove the old file, if there is to be no file. ``keep_old``: for ``put_back``."""

    def put_back(self) -> None:
        """Undo ``put_in_place``, if that is possible."""

    def forget_old(self) -> None:
        """Remove what ``put_in_place`` kept of the old file."""

    def discard(self) -> None:
        """Remove what was written."""

    def unlock(self) -> None:
        """Close what still is open."""


_Pending = TypeVar("_Pending", bound=Pending)


class PendingFile:
    """A file that is written under a temporary name, and renamed when it is complete.

    path: the name that the caller gave, for messages.
    place: the file that is replaced, from ``create`` on; ``path`` with links followed.
    temporary: the name to write to, from ``create`` on. It is locked as long as this process lives, so that other
        processes see whether somebody will finish the file.
    stays_empty: set by the caller to have no file in the end; an old file is removed.
    """

    def __init__(self, path: Path, *, follow: bool = True) -> None:
        """``follow``: whether a symbolic link stays, and the file to which it leads is replaced."""
        self.path = self.place = self.temporary = self._first_name = path
        self.stays_empty = False
        self._follow = follow
        self._old: Path | None = None  # a second name (hard link) of the file that is replaced
        self._replaces = False  # there was a file in the place
        self._locks: list[IO[bytes]] = []

    def create(self) -> None:
        """Make the empty file to write to. Temporary files that killed processes left beside it are removed."""
        self.check_name()
        self.place = _place(self.path, follow=self._follow)
        self.temporary = self._first_name = _temporary_for(self.place)  # until the inode is known
        _remove_abandoned(self.place.parent)
        with name_errors_after(self.path):
            for _ in range(_NAMES_MOST):
                file = self.temporary.open("xb", buffering=0)
                if self._lock(file, self.temporary):
                    self._name_by_inode()
                    return
                # Before it was locked another process took it for an abandoned file.
                self.temporary.unlink(missing_ok=True)
                self.temporary = _temporary_for(self.place)
        raise OSError(errno.EBUSY, "other processes lock or remove each new file in its folder", str(self.path))

    def check_name(self) -> None:
        """OSError for a name that is too long. That of the temporary file is not, whatever the name is."""
        with suppress(FileNotFoundError, NotADirectoryError), name_errors_after(self.path):
            self.path.lstat()

    def sync(self) -> None:
        """Bring it to the disk, before it is renamed: a power failure must not leave an empty file in its place."""
        self.check()
        if not self.stays_empty:
            # For writing, too: Windows brings no other file to the disk.
            with name_errors_after(self.path), self.temporary.open("r+b") as file:
                os.fsync(file.fileno())

    def exists(self) -> bool:
        """Whether there is an old file in the place."""
        return self.place.exists()

    def put_in_place(self, *, keep_old: bool) -> None:
        """Rename it; or remove the old file, if there is to be no file. ``keep_old``: so that it can be put back."""
        self.check()
        with name_errors_after(self.path):
            if keep_old:
                self._keep_old()
            if self.stays_empty:
                self.place.unlink()
            else:
                self.temporary.replace(self.place)

    def put_back(self) -> None:
        """Undo ``put_in_place``, if that is possible."""
        old, self._old = self._old, None
        with suppress(OSError):
            if old is not None:
                old.replace(self.place)
            elif not self._replaces:
                self.place.unlink(missing_ok=True)

    def forget_old(self) -> None:
        """Remove the second name of the old file, if there is one."""
        if self._old is not None:
            self._old.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what was written."""
        for name in {self.temporary, self._first_name} - {self.path}:
            with suppress(OSError):
                name.unlink()

    def unlock(self) -> None:
        """Close the files that hold the locks."""
        for file in self._locks:
            with suppress(OSError):
                file.close()

    def check(self) -> None:
        """OSError if what was written does not exist any more."""
        if not self.stays_empty and not _is_at(self._locks[-1], self.temporary):
            raise OSError(
                errno.ENOENT,
                f"somebody removed {self.temporary.name}, the file that was written to become this one; "
                "what was here before stays",
                str(self.path),
            )

    def _lock(self, file: IO[bytes], name: Path) -> bool:
        """Lock the new file; whether it still exists then, and no other process had locked it."""
        self._locks.append(file)
        try:
            _lock(file)
        except BlockingIOError:
            return False
        return _is_at(file, name)

    def _name_by_inode(self) -> None:
        named = _temporary_for(self.place, self.temporary.stat().st_ino)
        # Both names are known before: a signal may come at any moment.
        self._first_name, self.temporary = self.temporary, named
        self._first_name.rename(named)

    def _keep_old(self) -> None:
        self._replaces = self.place.exists()
        # Not every file system has hard links; without one the old file cannot be put back.
        with suppress(OSError):
            for names_left in reversed(range(_NAMES_MOST if self._replaces else 0)):
                old = _temporary_for(self.place, self.place.stat().st_ino)
                old.hardlink_to(self.place)
                self._old = old
                # If the old file itself is locked by another process, that lock protects its second name, too.
                if self._lock(old.open("rb", buffering=0), old) or not names_left:
                    return
                old.unlink(missing_ok=True)


def _put_in_place(files: Sequence[Pending], before: Callable[[], object] | None = None) -> None:
    """Rename the files; those that are to be removed come last. ``before`` is called first."""
    if before is not None:
        before()
    todo = [*reversed([file for file in files if not file.stays_empty])]
    todo += [file for file in files if file.stays_empty and file.exists()]
    done: list[Pending] = []
    try:
        for file in todo:
            # After the last one nothing can fail, so its old file is not needed.
            file.put_in_place(keep_old=file is not todo[-1])
            done.append(file)
    except OSError:
        for file in reversed(done):
            file.put_back()
        raise
    finally:
        for file in todo:
            with suppress(OSError):
                file.forget_old()
        _discard([file for file in files if file.stays_empty])


def _discard(files: Sequence[Pending]) -> None:
    for file in files:
        file.discard()


def uninterrupted(work: Callable[[], object]) -> None:
    """Do the work to its end, whatever signals come meanwhile; what their handlers raise is raised afterwards.

    Handlers run in the main thread only, so another thread does the work.
    """
    if threading.current_thread() is not threading.main_thread():
        work()
        return
    begun, ended = threading.Lock(), threading.Event()
    errors: list[BaseException] = []

    def body() -> None:
        if not begun.acquire(blocking=False):
            return
        try:
            work()
        except BaseException as error:
            errors.append(error)
        ended.set()

    while not ended.is_set():
        try:
            # If its start is interrupted, a thread may run or not. A second one does no harm: it finds the work begun.
            thread = threading.Thread(target=body, name="trackparse-files")
            thread.start()
            ended.wait()
            thread.join()
        except (RuntimeError, MemoryError):  # no thread can be started
            body()
        except BaseException as interruption:
            errors.insert(0, interruption)
    if errors:
        error = errors[0]
        # The error's traceback refers to this list: without this line they keep each other alive.
        errors.clear()
        raise error


def _place(path: Path, *, follow: bool) -> Path:
    """The file to replace, with links followed if ``follow``; OSError if there is something else than a file."""
    if not os.path.lexists(path) or (path.is_symlink() and not follow):
        # Not resolved, for it takes a while where there are thousands of files: its folder stays the same.
        return path.absolute()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: name the file to write")
    if path.exists() and not path.is_file():
        # A rename would put a file where the pipe or the device was.
        raise OSError(f"{path} is a pipe or a device: name the file to write")
    place = Path(os.path.realpath(path))
    if place.is_symlink():
        # Links that lead to each other. A rename would replace one of them.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return place


# ---- temporary files, and those that killed processes left ----------------------------------------------------


def _temporary_for(place: Path, inode: int = 0) -> Path:
    # Shortened: a name has at most 255 bytes.
    return place.with_name(f".{place.name[:32]}.{os.getpid()}-{os.urandom(4).hex()}-{inode}.trackparse.tmp")


def _lock(file: IO[bytes], *, shared: bool = False) -> bool:
    """Lock the file until it is closed, as the end of the process does; False if there are no locks here.

    BlockingIOError if another process has locked it, unless both locks are shared.
    """
    if fcntl is None:
        file.close()
        return False
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # the file system has no locks
        return False
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether the file still has that name. Without locks it was closed, and any file with the name is taken for it."""
    return path.exists() if file.closed else identity(file) == identity(path)


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary files of dead processes. A folder that cannot be read stays as it is."""
    start = time.monotonic()
    if start < _next_search.get(folder, start):
        return
    with suppress(OSError):
        found = [match for name in os.listdir(folder) if (match := _TEMPORARY.fullmatch(name))]  # noqa: PTH208 - names only
        if found and _is_local(folder):
            for match in found:
                with suppress(OSError):
                    _remove_unlocked(folder / match[0], int(match[1]))
    end = time.monotonic()
    _next_search[folder] = end + _SEARCH_INTERVAL * (end - start)


def _remove_unlocked(path: Path, inode: int) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(opened, "rb", buffering=0) as file:  # noqa: PTH123
        status = os.fstat(opened)
        ours = stat.S_ISREG(status.st_mode) and (status.st_ino == inode or not status.st_size)
        if ours and _lock(file) and identity(opened) == identity(path):
            path.unlink()


def _is_local(folder: Path) -> bool:
    """Whether the folder is on a file system that no other machine writes to."""
    wanted = os.fsencode(os.path.realpath(folder))
    found = longest = b""
    with open("/proc/self/mountinfo", "rb") as mounts:  # noqa: PTH123 - an OSError where there is none
        for line in mounts:
            left, _, right = line.partition(b" - ")
            point = re.sub(rb"\\(\d{3})", lambda octal: bytes([int(octal[1], 8)]), left.split()[4])
            inside = wanted == point or wanted.startswith(point.rstrip(b"/") + b"/")
            # If several are mounted at the same point, the last one is visible.
            if inside and len(point) >= len(longest):
                found, longest = right.split()[0], point
    return found in _LOCAL_FILE_SYSTEMS
