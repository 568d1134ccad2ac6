"""Engines, and how each of them takes a log: what docs/lake.md's table says of them is found out with these."""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from operator import attrgetter, methodcaller
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from support.spark import spark_session
from trackparse.schema import COLUMNS


class Engine(ABC):
    """One engine. ``take`` is its usual work: a count by status, or for a lake an append."""

    name: ClassVar[str]
    module: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        """What it writes goes to a folder of its own."""
        self.folder = folder
        self.started = ExitStack()
        self._taken = 0

    @abstractmethod
    def take(self, source: Any) -> Any:
        """What it makes of a source: a dataset, an open log, a ``RecordBatchReader`` or a table."""

    @abstractmethod
    def values(self, taken: Any) -> pa.Table:
        """All values of what ``take`` made."""

    @abstractmethod
    def parquet(self, path: Path) -> pa.Table:
        """All values of a Parquet file, by its own reader."""

    def work(self, source: Any) -> None:
        """What memory is measured with."""
        self.take(source)

    def close(self) -> None:
        """End what it has started."""
        self.started.close()

    def new_name(self) -> str:
        self._taken += 1
        return f"table{self._taken}"


class DuckDB(Engine):
    name, module = "DuckDB", "duckdb"

    def take(self, source: Any) -> Any:
        connection = import_module("duckdb").connect()
        connection.register("source", source)
        return connection.sql("FROM source")

    def work(self, source: Any) -> None:
        self.take(source).aggregate("status, count(*)").fetchall()

    def values(self, taken: Any) -> pa.Table:
        return taken.to_arrow_table()

    def parquet(self, path: Path) -> pa.Table:
        return import_module("duckdb").connect().sql(f"FROM '{path}'").to_arrow_table()


class PolarsFrame(Engine):
    name, module = "Polars, `pl.DataFrame`", "polars"

    def take(self, source: Any) -> Any:
        return import_module("polars").DataFrame(source)

    def values(self, taken: Any) -> pa.Table:
        return taken.to_arrow()

    def parquet(self, path: Path) -> pa.Table:
        return import_module("polars").read_parquet(path).to_arrow()


class PolarsScan(PolarsFrame):
    name, module = "Polars, `scan_log`", "polars"

    def take(self, source: Any) -> Any:
        return import_module("trackparse.polars").scan_log(source)

    def work(self, source: Any) -> None:
        self.take(source).sink_parquet(self.folder / self.new_name())

    def values(self, taken: Any) -> pa.Table:
        return taken.collect().to_arrow()


class Pandas(Engine):
    name, module = "pandas, `from_arrow`", "pandas"

    def take(self, source: Any) -> Any:
        return import_module("pandas").DataFrame.from_arrow(source)

    def values(self, taken: Any) -> pa.Table:
        return pa.Table.from_pandas(taken, preserve_index=False)

    def parquet(self, path: Path) -> pa.Table:
        return self.values(import_module("pandas").read_parquet(path))


class PyArrow(Engine):
    name, module = "pyarrow, `write_dataset`", "pyarrow"

    def take(self, source: Any) -> Any:
        name = self.folder / self.new_name()
        import_module("pyarrow.dataset").write_dataset(
            pa.RecordBatchReader.from_stream(source), name, format="parquet", max_rows_per_group=131_072
        )
        return name

    def values(self, taken: Any) -> pa.Table:
        return pq.read_table(taken)

    def parquet(self, path: Path) -> pa.Table:
        return pq.read_table(path)


class Delta(Engine):
    name, module = "Delta Lake", "deltalake"

    def take(self, source: Any) -> Any:
        name = str(self.folder / self.new_name())
        import_module("deltalake").write_deltalake(name, source)
        return name

    def values(self, taken: Any) -> pa.Table:
        return import_module("deltalake").DeltaTable(taken).to_pyarrow_table()

    def parquet(self, path: Path) -> pa.Table:
        """Our file becomes a table of its own, without being written again."""
        name = self.folder / self.new_name()
        name.mkdir()
        (name / path.name).symlink_to(path)
        import_module("deltalake").convert_to_deltalake(str(name))
        return self.values(str(name))


class Iceberg(Engine):
    name, module = "Iceberg", "pyiceberg"

    def _table(self, schema: pa.Schema) -> Any:
        catalog = import_module("pyiceberg.catalog.sql").SqlCatalog(
            "lake", uri=f"sqlite:///{self.folder}/catalog.db", warehouse=self.folder.as_uri()
        )
        catalog.create_namespace_if_not_exists("push")
        return catalog.create_table(f"push.{self.new_name()}", schema=schema)

    def take(self, source: Any) -> Any:
        table = self._table(source.schema)
        table.append(source)
        return table

    def values(self, taken: Any) -> pa.Table:
        return taken.scan().to_arrow()

    def parquet(self, path: Path) -> pa.Table:
        table = self._table(pq.read_schema(path).remove_metadata())
        table.add_files([path.as_uri()])
        return self.values(table)


class Dlt(Engine):
    name, module = "dlt", "dlt"

    def take(self, source: Any) -> Any:
        dlt, name = import_module("dlt"), self.new_name()
        file = self.folder / f"{name}.duckdb"
        pipeline = dlt.pipeline(
            name, destination=dlt.destinations.duckdb(str(file)), dataset_name="push", pipelines_dir=self.folder / "dlt"
        )
        columns = {"timestamp": {"timezone": False}}
        pipeline.run(dlt.resource(iter(source), name="events", columns=columns))
        return file

    def values(self, taken: Any) -> pa.Table:
        with import_module("duckdb").connect(taken, read_only=True) as connection:
            found = connection.sql("FROM push.events").to_arrow_table()
        return found.rename_columns([name.replace("app_code", "appCode") for name in found.schema.names])

    def parquet(self, path: Path) -> pa.Table:
        return self.values(self.take(pq.ParquetFile(path).iter_batches()))


class Spark(Engine):
    """It takes names: its executors open the logs."""

    name, module = "Spark", "pyspark"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._session = self.started.enter_context(spark_session(folder))

    def take(self, source: Any) -> Any:
        return self._session.read.format("trackparse").load(source)

    def work(self, source: Any) -> None:
        self.take(source).groupBy("status").count().collect()

    def values(self, taken: Any) -> pa.Table:
        return taken.toArrow()

    def parquet(self, path: Path) -> pa.Table:
        return self._session.read.parquet(str(path)).toArrow()


ENGINES: tuple[type[Engine], ...] = (DuckDB, PolarsScan, PolarsFrame, Pandas, PyArrow, Delta, Iceberg, Dlt, Spark)
# What a source may have to become first.
FORMS: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda source: source,
    "`.to_reader()`": methodcaller("to_reader"),
    "`.to_table()`": methodcaller("to_table"),
    "`.read_all()`": methodcaller("read_all"),
    "`.files`": attrgetter("files"),
}


def rows_of(table: pa.Table) -> Counter[tuple[Any, ...]]:
    """The rows, whatever their order and the types of Arrow that hold their values."""
    names = list(COLUMNS)
    columns = [table.column(name).to_pylist() for name in names]
    return Counter(zip(*([_plain(value) for value in column] for column in columns), strict=True))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return datetime.datetime(*value.timetuple()[:6], value.microsecond, tzinfo=value.tzinfo)
    return value


def form_of(engine: Engine, make: Any, expected: Counter[tuple[Any, ...]]) -> str:
    """In which form it takes a source: the first one with which all values come out."""
    for form, of in FORMS.items():
        try:
            if rows_of(engine.values(engine.take(of(make())))) == expected:
                return form
        except Exception:  # noqa: S112 - it does not take this form
            continue
    return "no"
