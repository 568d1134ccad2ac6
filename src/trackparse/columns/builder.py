"""Arrow columns straight from the structural index. No records are read here, no bytes decoded in Python."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa

from trackparse.columns.payload import NO_PAYLOAD_COLUMNS, PayloadBuilder
from trackparse.errors import HeaderError, LimitError, OptionError, printable, suggestion
from trackparse.limits import Limits
from trackparse.records.kernel.chooser import kernel
from trackparse.records.kernel.codes import DIALECT_SHIFT, NO_COLUMN, RFC4180, Buffer, Run
from trackparse.records.segments import Segment
from trackparse.schema import COLUMNS, LOG, NULL_IF_EMPTY

# What a dictionary holds for each value beside its bytes: an offset, and two to four slots of a hash table.
VALUE_BYTES: Final = 40


class ColumnBuilder:
    """Turns segments into record batches of one schema."""

    schema: pa.Schema

    def __init__(
        self,
        found: Sequence[str],
        columns: Iterable[str] | None,
        string_type: str,
        dictionary: Iterable[str],
        limits: Limits,
        payload: PayloadBuilder = NO_PAYLOAD_COLUMNS,
    ) -> None:
        """``found`` are the columns of the first header, or LOG; ``columns`` those asked for, None for all.

        Those that ``payload`` makes stand behind them.
        """
        known = (*COLUMNS, *(name for name in found if name not in COLUMNS))
        self._all = columns is None
        names = known if columns is None else tuple(columns)
        dictionary = tuple(dictionary)
        for name in (*names, *dictionary):
            if name not in known:
                raise OptionError(f"no column {name!r} in this log{suggestion(name, known)}")
        if len(set(names)) < len(names):
            raise OptionError(f"columns={list(names)}: a column is named twice")
        if "timestamp" in dictionary:
            raise OptionError("dictionary: 'timestamp' is not a column of text")
        self._views = string_type == "string_view"
        self._string = pa.string_view() if self._views else pa.string()
        self._dictionaries = {name: kernel.Dictionary() for name in names if name in dictionary}
        self._nulls: dict[pa.DataType, pa.Array] = {}  # for columns that no record of a batch has
        self._limits = limits
        for field in payload.fields:
            if field.name in names:
                raise OptionError(f"payload column {field.name!r}: the log has a column of this name: take another one")
        self._names = frozenset(names)
        self.names = names  # of the columns of the log; the others are those of the payload
        self.payload = payload
        self.schema = pa.schema([*((name, self._type(name)) for name in names), *payload.fields])

    @property
    def dictionary_bytes(self) -> int:
        """What the dictionaries of all columns hold."""
        return sum(map(_cost, self._dictionaries.values()))

    def _type(self, name: str) -> pa.DataType:
        if name == "timestamp":
            return pa.timestamp("us")
        if name in self._dictionaries:
            return pa.dictionary(pa.int32(), pa.string())
        return self._string

    def build(self, segments: Sequence[Segment]) -> pa.RecordBatch:
        """One batch with the records of the segments, in their order."""
        records = sum(segment.records for segment in segments)
        found = self.arrays(segments)
        arrays = [found[name] if name in found else self.nulls(name, records) for name in self.schema.names]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def arrays(self, segments: Sequence[Segment]) -> dict[str, pa.Array]:
        """The columns of ``build`` that any of the segments has, by their names."""
        runs = Runs(segments)
        arrays = {name: self._array(name, segments, runs) for name in self.names if runs.any_has(name)}
        arrays.update(zip((field.name for field in self.payload.fields), self.payload.arrays(runs.of), strict=True))
        return arrays

    def nulls(self, name: str, records: int) -> pa.Array:
        """A column that none of the records has. All of them share their memory: there may be a thousand."""
        codes = name in self._dictionaries
        kind = pa.int32() if codes else self._string
        nulls = self._nulls.get(kind)
        if nulls is None or len(nulls) < records:
            nulls = self._nulls[kind] = pa.nulls(records, kind)
        found = nulls.slice(0, records)
        return pa.DictionaryArray.from_arrays(found, self._values(name), safe=False) if codes else found

    def matching_schema(self, segments: Sequence[Segment]) -> int:
        """How many segments come before the first that has a column without a place in the schema.

        HeaderError if that is the first of them, OptionError if the schema has no column at all.
        """
        if not len(self.schema):  # its ``names`` is a new list each time
            # pyarrow counts rows by columns: without one there is no batch to hand out.
            raise OptionError("columns=[]: name at least one column, here or in payload_columns")
        if segments and segments[0].log and LOG in segments[0].columns:
            raise HeaderError(
                f"{segments[0].member}: a column {LOG!r} of its own, so the name of the log has no column to stand in",
                advice=f"leave {LOG!r} out of columns=, or rename the column in the log's header",
                option="columns",
            )
        for number, segment in enumerate(segments if self._all else ()):
            if not (segment.trusted and (segment.records or segment.rejects)):
                continue
            for name in segment.columns:
                if name not in self._names:
                    if number:
                        return number
                    raise HeaderError(
                        f"{segment.member}: column {name!r} is not in the first header, so it has no place in the "
                        "schema",
                        advice="name the columns that you want with columns=, or read its member alone with members=",
                        option="columns",
                    )
        return len(segments)

    def _array(self, name: str, segments: Sequence[Segment], runs: Runs) -> pa.Array:
        """One column of the log for the batch."""
        records = runs.records
        if name == "timestamp":
            data = (
                segments[0].timestamps[: records * 8]
                if len(segments) == 1
                else b"".join(segment.timestamps[: segment.records * 8] for segment in segments)
            )
            return pa.Array.from_buffers(pa.timestamp("us"), records, [None, pa.py_buffer(data)])
        empty_is_null = name in NULL_IF_EMPTY
        own = runs.of(name)
        if name in self._dictionaries:
            return self._dictionary_column(name, segments[0].member, own, empty_is_null)
        if self._views:
            made, blocks = kernel.views(own, empty_is_null), [pa.py_buffer(run.data) for run in own]
        else:
            made, blocks = kernel.strings(own, empty_is_null), []
        data = pa.py_buffer(made.data).slice(0, made.used)
        buffers = [_buffer(made.validity), pa.py_buffer(made.first), *blocks, data]
        return pa.Array.from_buffers(self._string, records, buffers, made.nulls)

    def _dictionary_column(self, name: str, member: str, runs: list[Run], empty_is_null: bool) -> pa.Array:
        dictionary = self._dictionaries[name]
        before = len(dictionary)
        try:
            codes = dictionary.encode(runs, empty_is_null)
        except OverflowError as fault:
            raise LimitError(
                f"{member}: column {name!r}: {fault}", advice="leave it out of dictionary=", option="dictionary"
            ) from None
        most = self._limits.max_dictionary_bytes
        if most is not None and len(dictionary) > before and self.dictionary_bytes > most:
            raise LimitError(
                f"{member}: column {name!r} has too many distinct values: all dictionaries together fill more than "
                f"{most} bytes",
                advice="leave it out of dictionary=, or raise Limits.max_dictionary_bytes",
                option="dictionary",
            )
        return encoded(codes, self._values(name))

    def _values(self, name: str) -> pa.Array:
        dictionary = self._dictionaries[name]
        return pa.StringArray.from_buffers(len(dictionary), *map(pa.py_buffer, dictionary.strings()))


class Runs:
    """The runs of each column of some segments.

    Stretches of segments that lack the column are one run, so that many short segments under many columns cost no more
    than their headers' bytes.
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        # Of each column: number of the segment, number of the field.
        self._places: dict[str, list[tuple[int, int]]] = {}
        self._ends = [0]  # records before each segment, and behind the last
        self._logs = False
        for number, segment in enumerate(segments):
            self._ends.append(self._ends[-1] + segment.records)
            self._logs = self._logs or bool(segment.log)
            for field, name in enumerate(segment.columns):
                self._places.setdefault(name, []).append((number, field))

    def any_has(self, name: str) -> bool:
        """Whether records may have a value in this column; that of their time always has one."""
        return name in self._places or name == "timestamp" or (name == LOG and self._logs)

    @property
    def records(self) -> int:
        """How many records all segments have."""
        return self._ends[-1]

    def of(self, name: str) -> list[Run]:
        """The runs of this column."""
        if name == LOG and self._logs:
            return [_constant(segment.log, segment.records) for segment in self._segments]
        ends = self._ends
        found: list[Run] = []
        past = 0
        for number, field in self._places.get(name, ()):
            if ends[number] > ends[past]:
                found.append(Run(b"", b"", ends[number] - ends[past], 1, NO_COLUMN))
            segment = self._segments[number]
            found.append(Run(segment.data, segment.fields, segment.records, len(segment.columns), field))
            past = number + 1
        if ends[-1] > ends[past]:
            found.append(Run(b"", b"", ends[-1] - ends[past], 1, NO_COLUMN))
        return found


def _constant(text: str, records: int) -> Run:
    """A run of records whose only field is this text."""
    field = b'"%s"' % printable(text).encode().replace(b'"', b'""')
    row = array("I", (RFC4180 << DIALECT_SHIFT, len(field)))
    return Run(field, row.tobytes() * records, records, 1, 0)


def with_last_dictionaries(table: pa.Table) -> pa.Table:
    """The table whose batches one builder made, with the last dictionary of each column in all its chunks.

    It has the values of those before it, in the same order. pandas merges dictionaries that differ, one by one.
    """
    for number, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) and table.num_rows:
            chunks = table.column(number).chunks
            last = chunks[-1].dictionary
            shared = [pa.DictionaryArray.from_arrays(chunk.indices, last, safe=False) for chunk in chunks]
            table = table.set_column(number, field, pa.chunked_array(shared, field.type))
    return table


def _cost(dictionary: kernel.Dictionary) -> int:
    return dictionary.size + VALUE_BYTES * len(dictionary)


def encoded(codes: Buffer, values: pa.Array) -> pa.DictionaryArray:
    """A dictionary column of the kernel's codes."""
    validity, nulls = kernel.validity_of(codes)
    buffers = [_buffer(validity), pa.py_buffer(codes)]
    indices = pa.Array.from_buffers(pa.int32(), len(codes) // 4, buffers, nulls)
    return pa.DictionaryArray.from_arrays(indices, values, safe=False)


def _buffer(data: bytes | None) -> pa.Buffer | None:
    return None if data is None else pa.py_buffer(data)
