"""The logs that a command reads: files, globs, URLs, standard input. Each is opened when its turn comes."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from trackparse import TrackparseError
from trackparse.convert.outputs import shown
from trackparse.sources.listing import file_of, is_log, key_of, logs_of, matches_of
from trackparse.sources.urls import STORES, local_path, scheme_of

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Input:
    """One log to read.

    text: as it was typed, or as a glob found it.
    listed: of a file in an object store, its size and time as the store lists them; None if that is not known.
    below: its path from the folder on, or the glob, by which it was found; empty if it was named itself.
    """

    text: str
    listed: tuple[int | None, int | None] = field(default=(None, None), compare=False)
    below: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The name in messages."""
        return "<stdin>" if self.is_stdin else shown(self.text)

    @property
    def is_stdin(self) -> bool:
        """Whether it is standard input."""
        return self.text == STDIN

    @property
    def is_url(self) -> bool:
        """Whether it is a URL."""
        return bool(scheme_of(self.text))

    @property
    def path(self) -> Path | None:
        """The path of a file. None for a URL and for standard input."""
        return None if self.is_stdin or self.is_url else Path(self.text)

    @property
    def file(self) -> Any:
        """The open file or the path, to compare it with other files. None for a URL."""
        return sys.stdin if self.is_stdin else self.path

    @property
    def size(self) -> int | None:
        """Bytes; None if the size is not known."""
        status = self._status()
        return self.listed[0] if status is None else status.st_size

    @property
    def time(self) -> int | None:
        """When it was last changed, in nanoseconds; None if that is not known."""
        status = self._status()
        if status is None:
            return self.listed[1]
        return None if self.is_stdin else status.st_mtime_ns

    def _status(self) -> os.stat_result | None:
        """What the system tells of a file; None for anything else."""
        if self.is_url:
            return None
        try:
            status = os.fstat(sys.stdin.fileno()) if self.path is None else self.path.stat()
        except (OSError, ValueError, AttributeError):
            return None
        return status if stat.S_ISREG(status.st_mode) else None

    @contextmanager
    def source(self) -> Iterator[Any]:
        """A source for ``trackparse.open_log``. UsageError for a URL that is not valid, and for a terminal."""
        if self.is_stdin:
            if sys.stdin is None:
                raise click.ClickException("<stdin>: standard input is closed: name a file")
            if sys.stdin.isatty():
                raise click.UsageError("standard input is a terminal: pipe a log into it, or name a file")
            yield sys.stdin.buffer
        elif self.text.lower().startswith(("https://", "http://")):
            from trackparse.client import open_url

            try:
                opened = open_url(self.text, allow_http=self.text.lower().startswith("http://"))
            except ValueError as error:
                raise click.UsageError(str(error)) from None
            with opened as source:
                yield source
        else:
            yield self.text


def inputs_of(texts: Sequence[str], *, sized: bool = False) -> list[Input]:
    """The logs that were named, each once: one with two names, by a link say, has the first. A folder becomes its logs,
    a glob the files that it matches.

    ``sized``: a store is asked for the size and the time of a log that is named alone, too.
    """
    found: dict[Path | str, Input] = {}
    for text in texts:
        if scheme_of(text) in STORES and not (text and Path(text).is_dir()):
            logs = _stored(text, sized)
        else:
            logs = _globbed(text)
        for log in logs:
            # Named twice, by its folder and by itself say, it has one name, whichever comes first.
            name = log.path or key_of(log.text)
            found[name] = max(found.get(name, log), log, key=lambda one: (one.below.count("/"), one.below))
    return each_once(found.values())


def each_once(logs: Iterable[Input]) -> list[Input]:
    """The logs without those that are the same file as one before, by another name."""
    found: dict[Hashable, Input] = {}
    for log in logs:
        found.setdefault(_file_of(log), log)
    return [*found.values()]


def _file_of(log: Input) -> Hashable:
    """What all names of a file have in common, links of any kind, too."""
    path = local_path(log.text) if log.is_url else log.path
    # What cannot be a path, such as one with a NUL, is told when its turn comes.
    with suppress(ValueError):
        if path is not None:
            return file_of(path)
    return key_of(log.text)


def _globbed(text: str) -> list[Input]:
    if text and Path(text).is_dir():
        return [Input(log.name, below=log.below) for log in logs_of(text)]
    if text == STDIN or Input(text).is_url or not glob.has_magic(text) or os.path.lexists(text):
        return [Input(text)]
    return [Input(name, below=below) for name, below in sorted(matches_of(text))]


def _stored(url: str, sized: bool) -> list[Input]:
    """The logs that a URL of a store stands for: a folder need not end with a slash."""
    base = url.partition("?")[0]
    is_many = glob.has_magic(base) or base.endswith("/")
    if not (is_many or sized) and is_log(base):
        return [Input(url)]
    try:
        logs = [log for log in logs_of(url) if log.place is not None]
        return [Input(log.place or "", (log.size, log.time), log.below) for log in logs]
    except (OSError, TrackparseError):
        if is_many:
            raise
        # It is told when its turn comes: it does not stop the others.
        return [Input(url)]


def total_size(inputs: Sequence[Input]) -> int | None:
    """Bytes of all logs; None if one of the sizes is not known."""
    sizes = [log.size for log in inputs]
    return None if None in sizes else sum(size for size in sizes if size is not None)
