"""The Parquet files that ``convert`` wrote, as ``stats`` reads them: like logs, by batches. Prints nothing."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import click

from trackparse import TrackparseError
from trackparse.cli.inputs import Input, each_once, inputs_of
from trackparse.convert.outputs import NULL_VALUE, in_folder, possible_names, shown
from trackparse.schema import COLUMNS
from trackparse.sources.listing import is_log
from trackparse.sources.urls import STORES, plain_url, scheme_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from trackparse import Filter, LogReader, Progress, Stats

_BATCH_ROWS: Final = 1 << 14
_PIECE_BYTES: Final = 16 << 20  # of text in the rows that are counted at once
_NEEDED: Final = ("timestamp", "status")
_REJECTS: Final = re.compile(r"\.rejects(\.new(-[0-9]+)?)?\.parquet\Z")
_HIDDEN: Final = (".", "_", "~")


def files_of(texts: Sequence[str]) -> list[Input]:
    """The logs and Parquet files that were named, each once. A folder becomes its logs, or its Parquet files if
    it has no logs.

    Files of rejects are left out, unless they are named one by one.

    UsageError for a folder that has both: the same records would be counted twice.
    """
    found: dict[Input, None] = {}
    for text in texts:
        if text and Path(text).is_dir():
            tables = _tables_in(Path(text))
        else:
            tables = _stored_tables(text) if scheme_of(text) in STORES else []
        try:
            logs = inputs_of([text])
        except FileNotFoundError:
            if not tables:
                raise
            logs = []
        if tables and logs == [Input(text)]:
            logs = []  # the folder itself, which may lack the slash at its end
        if logs and tables:
            folder = shown(text)
            raise click.UsageError(
                f"{folder} has logs and Parquet files, perhaps of the same records: name one kind, such as "
                f"'{in_folder(folder if scheme_of(folder) else Path(folder), '*.parquet')}'"
            )
        logs = [log for log in logs if log.text == text or not _REJECTS.search(log.text)]
        found.update(dict.fromkeys(logs or tables))
    return each_once(found)


def _tables_in(folder: Path) -> list[Input]:
    """The Parquet files in a folder and below it, but for rejects, and for names that mean a hidden file."""
    names = (path for path in folder.rglob("*.parquet") if _is_records(path.name))
    return [Input(name) for name in sorted(str(path) for path in names if not _is_hidden(path.relative_to(folder)))]


def _stored_tables(url: str) -> list[Input]:
    """As ``_tables_in``, of a folder in a store. A glob, and what is called a log or Parquet, is no folder."""
    base = url.partition("?")[0]
    is_named = base.endswith("/")
    if not is_named and (is_log(base) or base.endswith(".parquet") or glob.has_magic(base)):
        return []
    from trackparse.sources.filesystem import listed, resolve

    try:
        found, _ = listed(url, *resolve(url), _is_records, _HIDDEN)
        return [Input(name, (size, time)) for name, size, time, _ in sorted(found, key=itemgetter(0)) if name != url]
    except FileNotFoundError:
        return []
    except (OSError, TrackparseError):
        if is_named:
            raise
        return []  # it is told when its turn comes


def _is_records(name: str) -> bool:
    return name.endswith(".parquet") and not _REJECTS.search(name)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(_HIDDEN) for part in path.parts)


def counted_twice(logs: Iterable[Input], tables: Iterable[Input]) -> tuple[Input, Input] | None:
    """A log and a Parquet file that has a name that ``convert`` gives it, and so perhaps its records."""
    named = {name: log for log in logs for name in possible_names(str(log.path.absolute()) if log.path else log.name)}
    pairs = ((named.get(Path(table.name).name), table) for table in tables)
    return next(((log, table) for log, table in pairs if log), None)


class Overlaps:
    """Whether a file that was made of several logs is counted together with another one that has one of these logs.

    found: the first two such files, and the name of the log.
    """

    def __init__(self) -> None:
        self.found: tuple[Input, Input, str] | None = None
        self._files: dict[object, tuple[Input, bool]] = {}  # by the logs in them; whether there are several in it

    def add(self, file: Input, reader: TableReader | LogReader) -> None:
        """``file`` is a Parquet file, or a log itself."""
        from trackparse.convert.existing import logs_in

        if isinstance(reader, TableReader):
            of_several, logs = "logs" in reader.made_of, logs_in(reader.made_of)
        else:
            name = plain_url(file.name) if file.is_url else os.path.realpath(file.path or file.name)
            of_several, logs = False, [(name, file.size or 0, file.time or 0)]
        for name, size, time in logs:
            # A log may be moved, or fetched again.
            for key in (name, (Path(name).name, size, time)):
                earlier, was_of_several = self._files.setdefault(key, (file, of_several))
                # Two files of one log alone are two of its partitions, say.
                if earlier != file and (of_several or was_of_several):
                    self.found = self.found or (earlier, file, Path(name).name)


def is_table(file: Input) -> bool:
    """Whether it is a Parquet file of records: by its first bytes on this machine, by its name in an object store."""
    if _REJECTS.search(file.text.partition("?")[0]):
        return False  # read as a log, it is told what it is
    if file.is_url:
        return scheme_of(file.text) in STORES and file.text.partition("?")[0].lower().endswith(".parquet")
    if file.path is None or not file.path.is_file():
        return False
    with file.path.open("rb") as opened:
        return opened.read(4) == b"PAR1"


class TableReader:
    """The records of a Parquet file. It has what a work for a ``LogReader`` needs, if it does not ask for rejects.

    A column that is neither in the file nor in the names of its folders (``app=A-1/``) is null, if that is no column
    that is needed.
    """

    def __init__(
        self,
        name: str,
        path: str,
        file: pq.ParquetFile,
        size: int | None,
        columns: Sequence[str],
        where: Filter | None,
        progress: Callable[[Progress], object],
    ) -> None:
        self._name = name
        self._file = file
        self._progress = progress
        self._size = size
        self._where = where if where and where.columns else None
        self._columns = dict.fromkeys((*columns, *(self._where.columns if self._where else ())))
        self._folders = _keys_of(path)
        self._rows = self._filtered = 0

    @property
    def stats(self) -> Stats:
        """What was read so far."""
        from trackparse import Stats

        rows = self._file.metadata.num_rows
        read = (self._size or 0) * self._rows // rows if rows else self._size or 0
        return Stats(self._rows, self._filtered, bytes_read=read, bytes_total=self._size)

    @property
    def made_of(self) -> dict[str, Any]:
        """What the file says that it was made of."""
        from trackparse.convert.existing import made_of_in

        return made_of_in(self._file.metadata)

    def check(self, needed: Sequence[str]) -> None:
        """ClickException if it lacks one of the columns, or if it is not a file of records."""
        import pyarrow as pa

        from trackparse.columns.pieces import named_twice

        schema = self._file.schema_arrow
        if twice := named_twice(schema, self._columns):
            raise click.ClickException(f"it has two columns {twice!r}: expected a file that trackparse wrote")
        for name in dict.fromkeys((*_NEEDED, *needed, *(self._where.columns if self._where else ()))):
            if name not in (*schema.names, *self._folders):
                raise click.ClickException(f"there is no column {name!r}: convert the log with it, or count the log")
        for name in self._columns:
            if name not in schema.names:
                continue
            kind = schema.field(name).type
            wanted = pa.types.is_timestamp if name == "timestamp" else _is_text
            if not wanted(kind):
                raise click.ClickException(f"the column {name!r} is {kind}: expected a file that trackparse wrote")

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        from trackparse import Progress
        from trackparse.columns.pieces import pieces_of

        names = [name for name in self._columns if name in self._file.schema_arrow.names]
        for group in range(self._file.num_row_groups):
            found = self._file.iter_batches(_BATCH_ROWS, [group], names, use_threads=False)
            for batch in chain.from_iterable(pieces_of(one, _PIECE_BYTES) for one in found):
                rows = batch.num_rows
                columns = [batch[name] if name in names else self._constant(name, rows) for name in self._columns]
                made = pa.RecordBatch.from_arrays(columns, names=[*self._columns])
                if self._where is not None:
                    made = made.filter(self._where.mask(made))
                self._rows += rows
                self._filtered += rows - made.num_rows
                yield made
                stats = self.stats
                self._progress(Progress("reading", self._name, 1, 1, stats.bytes_read, stats.bytes_total, stats=stats))

    def _constant(self, name: str, rows: int) -> pa.Array:
        import pyarrow as pa

        return pa.repeat(pa.scalar(self._folders.get(name), pa.string()), rows)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_one = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(check(kind) for check in is_one)


def _keys_of(path: str) -> dict[str, str | None]:
    """The values that the names of its folders give for all of its records. ``path`` is no URL: those escape twice."""
    parts = (part.split("=", 1) for part in path.split("/")[:-1] if "=" in part)
    return {unquote(key): None if value == NULL_VALUE else unquote(value) for key, value in parts}


@contextmanager
def open_table(
    file: Input,
    columns: Sequence[str],
    needed: Sequence[str],
    where: Filter | None,
    progress: Callable[[Progress], object],
) -> Iterator[TableReader]:
    """Open a Parquet file. ClickException if it cannot be read, and if it lacks one of the columns that are needed."""
    import pyarrow as pa

    from trackparse.columns.pieces import open_parquet
    from trackparse.sources.filesystem import resolve

    try:
        files, path = resolve(file.text) if file.is_url else (None, file.text)
        size = file.size if files is None else files.get_file_info(path).size
        with open_parquet(path, {*COLUMNS} - {"timestamp"}, files) as opened:
            reader = TableReader(file.text, path, opened, size, columns, where, progress)
            reader.check(needed)
            yield reader
    except OverflowError:
        raise click.ClickException(
            "a 'timestamp' in it is no date of the years 1 to 9999: convert the log again"
        ) from None
    except (pa.ArrowException, UnicodeDecodeError) as error:  # the latter: of a name
        text = " ".join(str(error).split())
        raise click.ClickException(f"it cannot be read as Parquet: {text}: convert the log again") from None
