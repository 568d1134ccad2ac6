"""Writes Parquet: row groups as they fill, by a thread of its own while the next one is read, or by the caller's."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from trackparse.atomic import name_errors_after
from trackparse.columns.builder import ColumnBuilder
from trackparse.convert.places import Place
from trackparse.convert.row_groups import RowGroups
from trackparse.errors import OptionError, suggestion
from trackparse.options import ConvertOptions
from trackparse.records.kernel.chooser import kernel
from trackparse.records.segments import Segment

# What readers filter by. The bounds of random device names, or of JSON, exclude nothing.
STATISTICS_COLUMNS: Final = ("timestamp", "tracking_code", "status", "appCode")
# The share of row groups that a query reads for nothing: they lack the value, and the filter does not say so. With one
# in a hundred a filter takes about ten bits for each value.
_FALSE_HITS: Final = 0.01
_ROWS_A_VALUE: Final = 32  # a filter is made for at least one different value for so many rows
# A column of a row group with more text in its distinct values is written plain from there on: look-ups of values that
# hardly repeat cost more than they save. The devices of a row group of an ordinary log fit.
_DICTIONARY_BYTES: Final = 3 << 20
SOURCE: Final = "trackparse.source"  # the metadata that name the log, as messages call it
_BLOOM_FILTERS: Final = "bloom_filter_options"  # of pyarrow's writer, in newer versions only


def check_bloom_filters(names: Iterable[str], schema: pa.Schema) -> None:
    """OptionError if these columns cannot have Bloom filters."""
    for name in names:
        if name not in schema.names:
            raise OptionError(f"bloom_filters: no column {name!r} is written{suggestion(name, schema.names)}")
        if pa.types.is_boolean(schema.field(name).type):
            raise OptionError(f"bloom_filters: column {name!r} has two values only: leave it out")
        if _BLOOM_FILTERS not in inspect.signature(pq.ParquetWriter).parameters:
            raise OptionError(
                f"bloom_filters: pyarrow {pa.__version__} cannot write Bloom filters",
                advice="install a newer one (pyarrow 26 can), or leave bloom_filters out",
            )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_dictionary(kind))


def _values_of(column: pa.ChunkedArray) -> int:
    """For how many different values a row group's filter is made: those of this one, the first, or a few more.

    A day may begin with few messages: the other row groups have the same number, whatever they hold.
    """
    values = rows = max(1, len(column))
    if pa.types.is_dictionary(column.type):
        values = len(column.chunk(0).dictionary)
    elif column.type == pa.string():
        distinct = kernel.Dictionary()
        for chunk in column.chunks:
            distinct.encode_strings(len(chunk), *chunk.buffers())
        values = len(distinct)
    return min(rows, max(values, rows // _ROWS_A_VALUE, 1))


def read_footer(file: Any) -> pq.FileMetaData | None:
    """What the end of an open Parquet file says; None if it is no such file. OSError if it cannot be read."""
    try:
        return pq.read_metadata(file)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError):  # the last one: of a damaged name
        return None
    except OSError as error:
        # pyarrow has this error for a footer that is not one.
        if "deserialize" not in str(error):
            raise
        return None


def source_in(metadata: pq.FileMetaData) -> str | None:
    """The log of which a Parquet file was made, as messages called it; None if others made the file."""
    found = (metadata.metadata or {}).get(SOURCE.encode())
    return None if found is None else found.decode(errors="replace")


class ParquetSink:
    """A Parquet file of the records that it is given. Its errors name ``output``."""

    def __init__(
        self, builder: ColumnBuilder, output: Place, options: ConvertOptions, metadata: Mapping[str, str]
    ) -> None:
        self._groups = RowGroups(builder, options["row_group_size"], STATISTICS_COLUMNS)
        check_bloom_filters(options["bloom_filters"], builder.schema)
        self._file = _NewFile(output, options, metadata)
        self._alone = options["threads"] == 1
        self._executor: ThreadPoolExecutor | None = None  # a log of one row group needs none
        self._writing: Future[None] | None = None  # the last row group that was handed over

    def write(self, segments: list[Segment]) -> None:
        """Collect the records of these; a row group that is full is written, or handed to the thread that does."""
        groups = self._groups
        segments = [segment for segment in segments if segment.records]
        while segments:
            if self._writing is not None and groups.crowded:
                self._writing.result()
            segments = groups.add(segments)
            if groups.full:
                _then_free_memory(self._write_here) if self._alone else self._hand_over()

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write what is left, and end the file, with metadata that were not known before."""
        if self._writing is not None:
            if len(self._groups):
                self._hand_over()
            self._writing.result()
        elif len(self._groups) or not self._file.is_begun:
            self._write_here()
        self._file.add_metadata(metadata)
        self._end()

    def abort(self) -> None:
        """Close the file after an error, in whatever state it is: it will be removed."""
        with suppress(Exception):
            self._end()

    def _end(self) -> None:
        if self._executor is None:
            self._file.close()
            return
        # By the thread, too: after Ctrl-C a row group may still be under way.
        with self._executor:
            self._executor.submit(_then_free_memory, self._file.close).result()

    def _write_here(self) -> None:
        """Write what there is, in this thread."""
        table = self._groups.take()
        if not self._file.is_begun:
            self._file.begin(table)
        if len(table):
            self._file.write([table])

    def _hand_over(self) -> None:
        """Give a full row group to the thread. Wait for the one before first: two are in memory, never three."""
        if self._writing is not None:
            self._writing.result()
        table = self._groups.take()
        if self._writing is None:
            self._file.begin(table)
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "trackparse-parquet")
        self._writing = self._executor.submit(_then_free_memory, self._file.write, [table])


def _then_free_memory(work: Callable[..., None], *arguments: object) -> None:
    """Do the work, and give back what the writer took for it.

    The writer's allocator would keep it: as much as a row group, and more from one conversion to the next.
    """
    try:
        work(*arguments)
    finally:
        pa.default_memory_pool().release_unused()


class _NewFile:
    """A Parquet file that is written; its errors name ``output``."""

    def __init__(self, output: Place, options: ConvertOptions, metadata: Mapping[str, str]) -> None:
        self._dest = output.name
        self._metadata = metadata
        self._options = options
        self._writer: Any = None
        # If Ctrl-C comes while the executor starts its thread, the executor forgets that thread, and starts another.
        self._one_thread = threading.Lock()
        with name_errors_after(self._dest):
            self._sink = output.open()

    @property
    def is_begun(self) -> bool:
        """Whether ``begin`` was called."""
        return self._writer is not None

    def begin(self, first: pa.Table) -> None:
        """Before all row groups. ``first`` is the first of them: it has the schema of all."""
        schema = first.schema
        filters = {
            name: {"ndv": _values_of(first[name]), "fpp": _FALSE_HITS} for name in self._options["bloom_filters"]
        }
        numbers = (field for field in schema if pa.types.is_temporal(field.type) or pa.types.is_integer(field.type))
        deltas = {field.name: "DELTA_BINARY_PACKED" for field in numbers}
        with name_errors_after(self._dest):
            self._writer = pq.ParquetWriter(
                self._sink,
                schema,
                compression=self._options["compression"],
                # Timestamps come in order: their differences take two or three bits, and no look-up.
                use_dictionary=[field.name for field in schema if _is_text(field.type)] or False,
                dictionary_pagesize_limit=_DICTIONARY_BYTES,
                column_encoding=deltas or None,
                write_statistics=[name for name in schema.names if name in STATISTICS_COLUMNS] or False,
                # Both together cost less than can be measured. A checksum tells of a damaged page; by the bounds in the
                # index, engines that read it pass over pages.
                write_page_checksum=True,
                write_page_index=True,
                # A stored schema would make readers of the file hand out its text as dictionaries.
                store_schema=False,
                **({_BLOOM_FILTERS: filters} if filters else {}),
            )
        self.add_metadata(self._metadata)

    def write(self, tables: list[pa.Table]) -> None:
        """Write the only table of the list as a row group, and take it out of the list: the executor keeps the list."""
        table = tables.pop()
        with self._one_thread, name_errors_after(self._dest):
            # An upload goes on behind, from memory: the row group before this one has to be gone.
            self._sink.flush()
            self._writer.write_table(table, table.num_rows)

    def add_metadata(self, metadata: Mapping[str, str]) -> None:
        self._writer.add_key_value_metadata(metadata)

    def close(self) -> None:
        with self._one_thread, name_errors_after(self._dest), self._sink:
            if self._writer is not None:
                self._writer.close()
