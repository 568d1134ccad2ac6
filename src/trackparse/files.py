"""A file in its place only when it is whole, and errors that name that place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; renamed at the end, removed after an error."""
    with atomic_all([path]) as [temporary]:
        yield temporary


@contextmanager
def atomic_all(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Names beside ``paths`` to write to; all renamed at the end, the first one last, or all removed after an error.

    One that was removed by then means that there is to be no file: an old one goes, too. A symbolic link stays one:
    the file that it leads to is written. OSError, with the path that it was about, for a place where no file can be.
    """
    places = [_place(path) for path in paths]
    # A long name has no room for more.
    temporaries = [
        place.with_name(f".{place.name[:32]}.{os.getpid()}-{os.urandom(4).hex()}.tmp") for place in places
    ]
    try:
        for path, temporary in zip(paths, temporaries, strict=True):
            # Where nothing can be written that is known before all is read.
            with naming(path):
                temporary.touch()
        yield temporaries
        written = [temporary for temporary in temporaries if temporary.exists()]
        for path, temporary in zip(paths, temporaries, strict=True):
            if temporary in written:
                with naming(path):
                    _sync(temporary)
        for path, place, temporary in reversed([*zip(paths, places, temporaries, strict=True)]):
            with naming(path):
                if temporary in written:
                    temporary.replace(place)
                else:
                    place.unlink(missing_ok=True)
    except BaseException:
        for temporary in temporaries:
            with suppress(OSError):
                temporary.unlink()
        raise


def check_place(path: Path) -> None:
    """OSError, with the path that it was about, where no file can be: for whoever has long to wait for its content."""
    place = _place(path)
    probe = place.with_name(f".{place.name[:32]}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    with naming(path):
        probe.touch()
        probe.unlink()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError in it names ``path``, whatever the name was that was written to."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _place(path: Path) -> Path:
    """Where the file is to be: links are followed."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: name the file to write")
    if path.exists() and not path.is_file():
        # A rename would put a file where the pipe or the device was.
        raise OSError(f"{path} is a pipe or a device: name the file to write")
    return Path(os.path.realpath(path))


def _sync(path: Path) -> None:
    """On the disk before it has its name: a power cut must not leave an empty file under it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
