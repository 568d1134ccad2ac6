"""Logs as a source of Spark: a log is a partition, whose record batches go to Spark as they are. Needs pyspark."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa

from trackparse.columns.payload import PayloadColumns, payload_columns_of
from trackparse.datasets import LogDataset, dataset
from trackparse.errors import ArchiveError, HeaderError, LimitError, OptionError, Position, Reason, TrackparseError
from trackparse.limits import Limits
from trackparse.options import DatasetOptions
from trackparse.reader import LogReader
from trackparse.records.stream import Stats
from trackparse.schema import COLUMNS, LOG
from trackparse.sources.urls import check_is_no_collapsed_url, scheme_of

try:
    from pyspark.sql import types
    from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
except ModuleNotFoundError as error:
    told = "trackparse.spark needs pyspark 4 or newer: pip install 'trackparse-pushwoosh[spark]'"
    raise ImportError(told, name="pyspark") from error

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from trackparse.records.stream import OnError

__all__ = ["register"]

logger: Final = logging.getLogger("trackparse")

# Which ``on_error`` of a dataset each mode of Spark stands for.
_MODES: Final[Mapping[str, OnError]] = {"FAILFAST": "raise", "DROPMALFORMED": "quarantine", "PERMISSIVE": "quarantine"}
_LIMITS: Final[Mapping[str, Callable[[str], float]]] = {
    "max_record_bytes": int,
    "max_inflated_bytes": int,
    "max_ratio": float,
    "max_members": int,
}
# Bytes of bad records that may wait for a good one: Spark takes them when the next batch of good ones is read.
_WAITING_MOST: Final = 128 << 20
# The options, as users of Spark write them. Spark hands over the argument of load() as ``path``, and a list as
# ``paths``, in JSON.
_KNOWN: Final = (
    *("path", "paths", "columns", "payload_columns", "dialect", "members"),
    *("mode", "columnNameOfCorruptRecord", "ignoreCorruptFiles"),
    *_LIMITS,
)
_TYPES: Final[Mapping[pa.DataType, types.DataType]] = {
    pa.timestamp("us"): types.TimestampNTZType(),
    pa.string(): types.StringType(),
    pa.bool_(): types.BooleanType(),
    pa.int8(): types.ByteType(),
    pa.int16(): types.ShortType(),
    pa.int32(): types.IntegerType(),
    pa.int64(): types.LongType(),
    pa.float32(): types.FloatType(),
    pa.float64(): types.DoubleType(),
}
# What Spark calls types that are asked for in ``payload_columns``.
_CALLED: Final[Mapping[str, str]] = {
    "boolean": "bool",
    "byte": "int8",
    "tinyint": "int8",
    "short": "int16",
    "smallint": "int16",
    "int": "int32",
    "integer": "int32",
    "long": "int64",
    "bigint": "int64",
    "float": "float32",
    "real": "float32",
    "double": "float64",
}
# For errors about these options of the library: the advice in terms of Spark's options.
_ADVICE: Final = {
    "on_error": "the option mode keeps bad records in a column (PERMISSIVE), or leaves them out (DROPMALFORMED)",
    "limits": f"if that is right, raise the limit by an option: {', '.join(_LIMITS)}",
    "members": "name the logs in the archive with the option members",
    # Columns are always named, so this is about a column "log" of the log's own.
    "columns": "leave 'log' out of the option columns, or rename the column in the log's header",
    "filesystem": "write s3:// for s3a://; copy logs of another store to one of these places",
}


def register(spark: SparkSession) -> None:
    """Make ``trackparse`` a format that a Spark session reads, also in SQL.

    ``load`` takes a path, a URL, a glob, a directory, or a list of these, as ``trackparse.dataset`` does; each log is a
    partition, which an executor opens by its name. Options, all given as text; upper and lower case in their names do
    not matter:

    - ``columns``: names with commas between them. Default: the known columns. ``log`` is the name of the log. Only what
      is named is built: Spark does not tell a source which columns a query needs.
    - ``payload_columns``: columns of values inside the payloads, such as ``alert=/aps/alert,uid=/md/uid:int64``.
    - ``mode``: what to do about a bad record. ``FAILFAST`` (default): fail. ``DROPMALFORMED``: leave it out; a warning
      in the executor's log counts them. ``PERMISSIVE``: a row with the record in the column ``_corrupt_record``, and
      nulls in the others; ``columnNameOfCorruptRecord`` gives that column another name.
    - ``ignoreCorruptFiles``: ``true`` for the records before the damage of a log, and a warning; else damage is an
      error in every mode.
    - ``dialect``, ``members``: as for ``trackparse.open_log``; names of members have commas between them.
    - ``max_record_bytes``, ``max_inflated_bytes``, ``max_ratio``, ``max_members``: as in ``trackparse.Limits``.

    TypeError for anything but a session of Spark 4 or newer. ``load`` raises errors in options, and those of a path or
    a glob without a log, as an AnalysisException of Spark with our message. What runs the query raises the errors of
    logs.

    >>> trackparse.spark.register(spark)
    >>> log = spark.read.format("trackparse").option("columns", "timestamp,status").load("days/*.zip")
    >>> log.groupBy("status").count().show()
    """
    if not hasattr(spark, "dataSource"):
        raise TypeError(f"{type(spark).__name__}: expected a SparkSession of Spark 4 or newer")
    spark.dataSource.register(_LogSource)


class _LogSource(DataSource):
    """What ``load`` makes, in a process of its own on the driver's machine; Spark finds the class by its name."""

    @classmethod
    def name(cls) -> str:
        return "trackparse"

    def schema(self) -> types.StructType:
        with _advice_of_spark():
            asked = _Asked.of(self.options)
            return asked.schema(asked.logs())

    def reader(self, schema: types.StructType) -> DataSourceReader:
        with _advice_of_spark():
            return _Reader(_Asked.of(self.options), schema)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the options of Spark ask for. corrupt: the name of the column for bad records; empty for none."""

    sources: list[str]
    options: DatasetOptions
    corrupt: str
    ignores_damage: bool

    @classmethod
    def of(cls, options: Mapping[str, str]) -> _Asked:
        given = {name.lower(): value for name, value in options.items()}
        if "provider" in given:
            raise OptionError(
                "Spark hands over no options when it reads a table of a catalog: make it a view, with CREATE TEMPORARY "
                "VIEW name USING trackparse OPTIONS (...)"
            )
        known = {name.lower() for name in _KNOWN}
        for name in given:
            if name not in known:
                raise OptionError(f"unknown option {name!r}: expected one of: {', '.join(_KNOWN)}")
        mode = _one_of("mode", given.get("mode", "FAILFAST").upper(), tuple(_MODES))
        corrupt = given.get("columnnameofcorruptrecord", "_corrupt_record")
        if not corrupt:
            raise OptionError(
                "columnNameOfCorruptRecord='': expected a name; to leave bad records out take DROPMALFORMED"
            )
        ignores = _one_of("ignoreCorruptFiles", given.get("ignorecorruptfiles", "false").lower(), ("true", "false"))
        asked: DatasetOptions = {
            "columns": _names(given, "columns") or COLUMNS,
            "payload_columns": _payload_columns(given),
            "dialect": cast("Any", given.get("dialect", "auto").lower()),
            "on_error": _MODES[mode],
            "members": _names(given, "members") or None,
            "limits": _limits(given),
            # So planning looks for columns in the other logs. ``read`` opens each log with "raise", and catches it.
            "on_damage": "keep" if ignores == "true" else "raise",
        }
        return cls(
            _sources(given),
            asked,
            corrupt if mode == "PERMISSIVE" else "",
            ignores == "true",
        )

    def logs(self) -> LogDataset:
        """The logs that are there now."""
        return dataset(self.sources, **self.options)

    def schema(self, logs: LogDataset) -> types.StructType:
        """The schema that Spark sees. If only known columns are asked for, no log is opened."""
        fields = []
        for field in logs.schema:
            if field.type not in _TYPES:
                raise OptionError(
                    f"payload_columns: {field.name!r}: Spark has no type {field.type}: expected one of: string, bool, "
                    "int8, int16, int32, int64, float32, float64"
                )
            if field.name == self.corrupt:
                raise OptionError(
                    f"columnNameOfCorruptRecord: there is a column {field.name!r} already: take another name"
                )
            fields.append(types.StructField(field.name, _TYPES[field.type]))
        if self.corrupt:
            fields.append(types.StructField(self.corrupt, types.StringType()))
        return types.StructType(fields)


class _Reader(DataSourceReader):
    """Says which partitions there are, on the driver; each of them is read by a copy of it, on an executor.

    It has no ``pushFilters``: where that is defined, every query fails unless a setting of Spark is on.
    """

    def __init__(self, asked: _Asked, schema: types.StructType) -> None:
        self._asked = asked
        self._schema = schema

    def partitions(self) -> list[InputPartition]:
        with _advice_of_spark():
            logs = self._asked.logs()
            made = self._asked.schema(logs)
            if _columns_of(self._schema) != _columns_of(made):
                raise OptionError(
                    f"a schema was given, {self._schema.simpleString()}, but the options make {made.simpleString()}: "
                    "give no schema, and name the columns that you want with the option columns"
                )
            return [InputPartition(log) for log in logs.get_fragments()]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        log: LogDataset = partition.value
        bad = _BadRecords(log, self._asked.corrupt)
        reader: LogReader | None = None
        with _advice_of_spark():
            try:
                on_rejects = bad.add if self._asked.options["on_error"] == "quarantine" else None
                with log.open(on_damage="raise", on_rejects=on_rejects) as reader:
                    for batch in reader:
                        yield bad.beside(batch)
                        yield from bad.rows()
            except (ArchiveError, HeaderError) as error:
                if not self._asked.ignores_damage:
                    raise
                logger.warning("%s; its records before that are kept", error.message)
        yield from bad.rows()
        if reader is not None:
            bad.tell(reader.stats)


class _BadRecords:
    """The bad records of a log: rows for Spark if there is a column for them; else only the first one is kept."""

    def __init__(self, log: LogDataset, column: str) -> None:
        self._log = log
        self._column = column
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0  # of these
        self._first = ""  # where the first one is, and why it is bad

    def add(self, rejects: pa.RecordBatch) -> None:
        """Take rejects; LimitError for too many of them without a good record in between."""
        if not self._first:
            row = rejects.slice(0, 1).to_pylist()[0]
            place = Position(row["member"], row["record"], row["line"], row["byte_offset"])
            self._first = f"{place}: {Reason(row['reason']).explanation}"
        if self._column:
            self._waiting.append(rejects)
            self._bytes += rejects.nbytes
            if self._bytes > _WAITING_MOST:
                raise LimitError(
                    f"{self._first}; more than {_WAITING_MOST} bytes of bad records follow each other",
                    advice="look at what is wrong with the log, or leave bad records out with the mode DROPMALFORMED",
                )

    def beside(self, good: pa.RecordBatch) -> pa.RecordBatch:
        """The batch of good records, with the column for bad ones, if there is one."""
        if not self._column:
            return good
        return good.append_column(pa.field(self._column, pa.string()), pa.nulls(good.num_rows, pa.string()))

    def rows(self) -> Iterator[pa.RecordBatch]:
        """The bad records that came since the last call."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        for rejects in waiting:
            count = rejects.num_rows
            columns = [pa.nulls(count, field.type) for field in self._log.schema]
            if (place := self._log.schema.get_field_index(LOG)) >= 0 and LOG not in self._log.payload_columns:
                columns[place] = pa.array(self._log.files * count)
            texts = [raw.decode(errors="backslashreplace").rstrip("\r\n") for raw in rejects["raw"].to_pylist()]
            schema = self._log.schema.append(pa.field(self._column, pa.string()))
            yield pa.RecordBatch.from_arrays([*columns, pa.array(texts, pa.string())], schema=schema)

    def tell(self, stats: Stats) -> None:
        """Warn of what is missing in the rows."""
        (name,) = self._log.files
        if self._first and not self._column:
            total = stats.records + stats.rejected
            logger.warning(
                "%s: %d of %d records are bad and left out; the first one: %s", name, stats.rejected, total, self._first
            )
        if stats.misfits:
            logger.warning("%s: %d values do not fit the types of payload_columns: they are null", name, stats.misfits)


@contextmanager
def _advice_of_spark() -> Iterator[None]:
    try:
        yield
    except TrackparseError as error:
        if error.option:
            error.advice = _ADVICE.get(error.option, "")
        raise


def _columns_of(schema: types.StructType) -> list[tuple[str, types.DataType]]:
    return [(field.name, field.dataType) for field in schema.fields]


def _sources(given: Mapping[str, str]) -> list[str]:
    sources = json.loads(given.get("paths", "[]"))
    if "path" in given:
        sources.append(given["path"])
    if not sources:
        raise OptionError("no path: name the logs in load(), or in SQL with OPTIONS (path '...')")
    return [_absolute(source) for source in sources]


def _absolute(source: str) -> str:
    """The URL as it is, a path from the root: an executor has a working directory of its own."""
    if not source or scheme_of(source):
        return source
    check_is_no_collapsed_url(source)
    here = str(Path.cwd())
    is_glob = has_magic(source) and not os.path.lexists(source)
    return os.path.join(escape(here) if is_glob else here, source)  # noqa: PTH118 - a Path drops what a glob needs


def _names(given: Mapping[str, str], option: str) -> list[str]:
    """The names that an option has, with commas between them; no names if it is not given."""
    if option not in given:
        return []
    names = [name.strip() for name in given[option].split(",")]
    if not all(names):
        raise OptionError(f"{option}={given[option]!r}: expected names with commas between them")
    return names


def _payload_columns(given: Mapping[str, str]) -> PayloadColumns:
    texts = _names(given, "payload_columns")
    for text in texts:
        # As a part of the key it would be a column of nulls.
        if (word := text.rpartition(":")[2].lower()) in _CALLED:
            raise OptionError(
                f"payload_columns: {text!r}: write {_CALLED[word]} for {word}; if it is part of the key, write :string "
                "behind it"
            )
    return payload_columns_of(texts)


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise OptionError(f"{option}={value!r}: expected one of: {', '.join(choices)}")
    return value


def _limits(given: Mapping[str, str]) -> Limits:
    limits: dict[str, Any] = {}
    for name, number in _LIMITS.items():
        if name in given:
            try:
                limits[name] = number(given[name])
            except ValueError:
                raise OptionError(f"{name}={given[name]!r}: expected a number") from None
    return Limits(**limits)
