"""A session of Spark on this machine, and the end of the processes that it starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import trackparse


@contextmanager
def spark_session(folder: Path) -> Iterator[Any]:
    """Two cores, and our format. Python that is not ours has to find the package: PYSPARK_PYTHON says which one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        session = (
            import_module("pyspark.sql")
            .SparkSession.builder.master("local[2]")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
            # Where a timestamp without a zone must not be moved.
            .config("spark.sql.session.timeZone", "Asia/Tokyo")
            .getOrCreate()
        )
        trackparse.spark.register(session)
        try:
            yield session
        finally:
            session.stop()
            _end_java()


def _end_java() -> None:
    """End the process that a session leaves behind."""
    context = import_module("pyspark").SparkContext
    context._gateway.shutdown()
    process = context._gateway.proc
    process.stdin.close()
    process.wait(60)
    context._gateway = context._jvm = None
