"""A file in its place only when it is whole, and errors that name that place. Imports nothing of trackparse's."""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

try:
    import fcntl
except ImportError:  # not on Windows, where an open file could not be renamed either
    fcntl = None  # type: ignore[assignment]

_TEMPORARY: Final = re.compile(r"\..{1,32}\.\d+-[0-9a-f]{8}\.trackparse\.tmp", re.DOTALL)
# Where a lock that is free says that its owner is dead. A network file system may keep the locks of other machines to
# itself, so what is there stays there.
_LOCAL: Final = {b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"zfs", b"f2fs", b"bcachefs", b"overlay", b"tmpfs"}
_SHARE: Final = 100  # a folder with very many files is looked through for a hundredth of the time at most
# Where objects of the standard library, and those made like them, keep the file that they read from.
_WRAPPED: Final = ("fileobj", "raw", "buffer", "_fileobj", "_file", "_fp", "_buffer", "file", "stream", "f")
_INSIDE: Final = 64  # objects that are looked at
_TRIES: Final = 100  # names
_look_again: dict[Path, float] = {}  # when to look through a folder again


def identity(file: Any) -> tuple[int, int] | None:
    """What tells a file from others, whatever it is called: device and inode; None if there is no file.

    ``file`` is a path, a descriptor or an open file; for anything else, such as bytes, the answer is None. Of an object
    that reads from a file inside of it, such as a member of a ZIP, it is that file.
    """
    queue = [file]
    for one in queue:
        if found := _identity(one):
            return found
        # Bounded: objects may lead to each other.
        if len(queue) < _INSIDE and not isinstance(one, str | os.PathLike | int):
            found_in = (_attribute(one, name) for name in _WRAPPED)
            queue += [inner for inner in found_in if inner is not None and not isinstance(inner, str | bytes | int)]
    return None


def _identity(file: Any) -> tuple[int, int] | None:
    if (fileno := _attribute(file, "fileno")) is not None:
        try:
            file = fileno()
        except Exception:  # it has none, or is closed; whose it is, it may fail as it likes
            return None
    if not isinstance(file, str | os.PathLike | int):
        return None
    try:
        status = os.stat(file)  # noqa: PTH116 - Path knows no descriptors
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _attribute(one: Any, name: str) -> Any:
    """None where there is none, or it cannot be had."""
    try:
        return getattr(one, name, None)
    except Exception:  # a text wrapper that was detached, say
        return None


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; renamed at the end, removed after an error."""
    with atomic_all([path]) as [file]:
        yield file.temporary


@contextmanager
def atomic_all(paths: Sequence[Path]) -> Iterator[list[Coming]]:
    """``Coming`` files for ``paths``; all renamed at the end, the first one last, or all removed after an error.

    If one of them cannot be renamed or removed, or somebody else removed what was written, the others are as they were
    before. A symbolic link stays one: the file that it leads to is written. OSError, with the path that it was about,
    for a place where no file can be.

    Temporary files that killed processes left in these folders are removed.
    """
    files = [Coming(path) for path in paths]
    try:
        for folder in {file.place.parent for file in files}:
            _clear(folder)
        for file in files:
            # Where nothing can be written that is known before all is read.
            file.create()
        try:
            yield files
        except FileNotFoundError:
            for file in files:
                file.check()
            raise
        for file in files:
            file.sync()
        _undisturbed(partial(_put_in_place, files))
    except BaseException:
        _undisturbed(partial(_discard, files))
        raise
    finally:
        for file in files:
            file.unlock()


def check_place(path: Path) -> None:
    """OSError, with the path that it was about, where no file can be: for whoever has long to wait for its content."""
    file = Coming(path)
    try:
        file.create()
    finally:
        _discard([file])
        file.unlock()


@contextmanager
def name_errors_after(path: str | os.PathLike[str]) -> Iterator[None]:
    """An OSError in it names ``path``, whatever the name was that was written to."""
    try:
        yield
    except OSError as error:
        told = str(error) if error.errno is None else os.strerror(error.errno)
        raise OSError(error.errno or errno.EIO, told, str(path)) from error


class Coming:
    """A file that is written under another name, ``temporary``.

    That name is locked as long as its process lives, so that others can tell a file that nobody will finish.
    """

    def __init__(self, path: Path) -> None:
        self.path = path  # as messages call it
        self.place = _place(path)
        self.temporary = _temporary_for(self.place)
        self.stays_empty = False  # there is to be no file: an old one goes, too
        self._old: Path | None = None  # a second name of the file that is replaced
        self._was_there = False
        self._locks: list[IO[bytes]] = []

    def create(self) -> None:
        """Make the empty file to write to."""
        with name_errors_after(self.path):
            for _ in range(_TRIES):
                if self._lock(self.temporary.open("xb", buffering=0), self.temporary):
                    return
                # Somebody who looks through the folder came between the two, and takes it for a dead one.
                self.temporary.unlink(missing_ok=True)
                self.temporary = _temporary_for(self.place)
        raise OSError(errno.EBUSY, "others lock or remove each new file in its folder", str(self.path))

    def sync(self) -> None:
        """On the disk before it has its name: a power cut must not leave an empty file under it."""
        self.check()
        if not self.stays_empty:
            with name_errors_after(self.path), self.temporary.open("rb") as file:
                os.fsync(file.fileno())

    def put_in_place(self, *, keep_old: bool) -> None:
        """Rename it; or remove the old file, where there is to be none."""
        self.check()
        with name_errors_after(self.path):
            if keep_old:
                self._keep_old()
            if self.stays_empty:
                self.place.unlink()
            else:
                self.temporary.replace(self.place)

    def put_back(self) -> None:
        """Make it as if it had not been put in place, where that can be done."""
        old, self._old = self._old, None
        with suppress(OSError):
            if old is not None:
                old.replace(self.place)
            elif not self._was_there:
                self.place.unlink(missing_ok=True)

    def forget_old(self) -> None:
        """Remove the second name of the old file, if it has one."""
        if self._old is not None:
            self._old.unlink(missing_ok=True)

    def unlock(self) -> None:
        """Let go of what was opened here."""
        for file in self._locks:
            with suppress(OSError):
                file.close()

    def check(self) -> None:
        """OSError if what was written is not there any more."""
        if not self.stays_empty and not _is_at(self._locks[-1], self.temporary):
            raise OSError(
                errno.ENOENT,
                f"somebody removed {self.temporary.name}, the file that was written to become this one; "
                "what was here before stays",
                str(self.path),
            )

    def _lock(self, file: IO[bytes], name: Path) -> bool:
        """Whether nobody takes the new file for a dead one: it is locked now, where locks are known, and there."""
        self._locks.append(file)
        try:
            _lock(file)
        except BlockingIOError:
            return False
        return _is_at(file, name)

    def _keep_old(self) -> None:
        self._was_there = self.place.exists()
        # Not every file system has links: without one there is no way back.
        with suppress(OSError):
            for tries_left in reversed(range(_TRIES if self._was_there else 0)):
                old = _temporary_for(self.place)
                old.hardlink_to(self.place)
                self._old = old
                # Whoever has a lock on the old file itself keeps others from removing its second name, too.
                if self._lock(old.open("rb", buffering=0), old) or not tries_left:
                    return
                old.unlink(missing_ok=True)


def _put_in_place(files: Sequence[Coming]) -> None:
    todo = [*reversed([file for file in files if not file.stays_empty])]
    todo += [file for file in files if file.stays_empty and file.place.exists()]
    done: list[Coming] = []
    try:
        for file in todo:
            # Behind the last one nothing can fail.
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


def _discard(files: Sequence[Coming]) -> None:
    for file in files:
        with suppress(OSError):
            file.temporary.unlink()


def _undisturbed(work: Callable[[], object]) -> None:
    """Do the work to its end, whatever signals come meanwhile; what their handlers raise is raised behind it.

    Handlers run in the main thread only, so another one does the work.
    """
    if threading.current_thread() is not threading.main_thread():
        work()
        return
    begun, ended = threading.Lock(), threading.Event()
    faults: list[BaseException] = []

    def body() -> None:
        if not begun.acquire(blocking=False):
            return
        try:
            work()
        except BaseException as fault:
            faults.append(fault)
        ended.set()

    while not ended.is_set():
        try:
            # Interrupted while it starts, a thread may run or not. A second one does no harm: it finds the work begun.
            thread = threading.Thread(target=body, name="trackparse-files")
            thread.start()
            ended.wait()
            thread.join()
        except (RuntimeError, MemoryError):  # no thread can be had
            body()
        except BaseException as interruption:
            faults.insert(0, interruption)
    if faults:
        fault = faults[0]
        faults.clear()  # its traceback leads to this list
        raise fault


def _place(path: Path) -> Path:
    """Where the file is to be: links are followed."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: name the file to write")
    if path.exists() and not path.is_file():
        # A rename would put a file where the pipe or the device was.
        raise OSError(f"{path} is a pipe or a device: name the file to write")
    place = Path(os.path.realpath(path))
    if place.is_symlink():
        # They lead to each other. A rename would put the file in the place of one of them.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return place


# ---- temporary files, and what others left of theirs ---------------------------------------------------------


def _temporary_for(place: Path) -> Path:
    # A long name has no room for more.
    return place.with_name(f".{place.name[:32]}.{os.getpid()}-{os.urandom(4).hex()}.trackparse.tmp")


def _lock(file: IO[bytes]) -> bool:
    """Whether the file is locked now; it is until it is closed, which the end of the process does, too.

    BlockingIOError if another one has the lock; without it, False means that there are no locks here.
    """
    if fcntl is None:
        file.close()
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # the file system knows none
        return False
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether the file has that name still. Where there are no locks it was closed, and any that has it will do."""
    return path.exists() if file.closed else identity(file) == identity(path)


def _clear(folder: Path) -> None:
    """Remove the temporary files of processes that are dead. A folder that cannot be read stays as it is."""
    start = time.monotonic()
    if start < _look_again.get(folder, start):
        return
    with suppress(OSError):
        found = [name for name in os.listdir(folder) if _TEMPORARY.fullmatch(name)]  # noqa: PTH208 - names will do
        if found and _is_local(folder):
            for name in found:
                with suppress(OSError):
                    _remove_dead(folder / name)
    end = time.monotonic()
    _look_again[folder] = end + _SHARE * (end - start)


def _remove_dead(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(opened, "rb", buffering=0) as file:  # noqa: PTH123
        if stat.S_ISREG(os.fstat(opened).st_mode) and _lock(file) and identity(opened) == identity(path):
            path.unlink()


def _is_local(folder: Path) -> bool:
    """Whether the folder is on a file system that no other machine writes to."""
    wanted = os.fsencode(folder)
    found = longest = b""
    with open("/proc/self/mountinfo", "rb") as mounts:  # noqa: PTH123 - not there, not known
        for line in mounts:
            left, _, right = line.partition(b" - ")
            point = re.sub(rb"\\(\d{3})", lambda octal: bytes([int(octal[1], 8)]), left.split()[4])
            inside = wanted == point or wanted.startswith(point.rstrip(b"/") + b"/")
            # Of several on one point the last one is seen.
            if inside and len(point) >= len(longest):
                found, longest = right.split()[0], point
    return found in _LOCAL
