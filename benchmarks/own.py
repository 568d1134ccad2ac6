"""What is ours to measure, and the baselines below it. Names are imported where they are used: each runs alone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.archives import READ, locate, output, remove
from benchmarks.corpus import Log

NARROW = ("timestamp", "status")  # the columns of the narrow read
POINTERS = {"alert": "/aps/alert", "uid": "/md/uid"}  # the payload columns
CONVERSIONS = 100


def inflate(log: Log, *, piece: int) -> Iterator[int]:
    """The baseline: the member's bytes in pieces, thrown away."""
    from isal import igzip_lib

    decompressor = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
    with log.path.open("rb", buffering=0) as file:
        file.seek(locate(log.path))
        while not decompressor.eof:
            data = file.read(READ) if decompressor.needs_input else b""
            yield len(decompressor.decompress(data, piece))


def scan(log: Log) -> Iterator[int]:
    """Inflate and structural index, no columns: the only one that reaches inside."""
    from trackparse.archive.opening import open_archive
    from trackparse.archive.readahead import MemberStart, ReadAhead
    from trackparse.limits import Limits
    from trackparse.options import BLOCK_SIZE
    from trackparse.records.indexer import Indexer
    from trackparse.sources.source import open_source

    indexer = Indexer("auto", Limits(), BLOCK_SIZE)
    with ReadAhead(open_archive(open_source(log.path), Limits()), BLOCK_SIZE) as ahead:
        for item in ahead:
            if isinstance(item, MemberStart):
                indexer.start(item.name)
                continue
            segments = indexer.feed(item) if isinstance(item, bytes | memoryview) else indexer.finish()
            yield sum(segment.records for segment in segments)


def batches(log: Log, **options: Any) -> Iterator[Any]:
    import trackparse

    with trackparse.open_log(log.path, **options) as reader:
        yield from reader


def members_in_turn(log: Log) -> Iterator[Any]:
    """Each member by a reader of its own, when the one before has been read."""
    with zipfile.ZipFile(log.path) as archive:
        names = archive.namelist()
    for name in names:
        yield from batches(log, members=[name])


def events(log: Log) -> Iterator[Any]:
    import trackparse

    return trackparse.iter_events(log.path)


def convert(log: Log) -> Path:
    import trackparse

    return Path(trackparse.convert_log(log.path, output()).path)


def convert_often(log: Log) -> Path:
    for _ in range(CONVERSIONS - 1):
        remove(convert(log))
    return convert(log)


# ---- from a server ----------------------------------------------------------------------------------------


@contextmanager
def served(log: Log) -> Iterator[str]:
    """The link to the log on a server of its own process, asked for and waited for as the client does."""
    from trackparse.client import TrackingLogClient
    from trackparse.testing import TOKEN

    command = [sys.executable, "-m", "trackparse.testing", "--log", str(log.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            base_url = server.stdout.readline().strip()
            with TrackingLogClient(TOKEN, base_url=base_url, allow_http=True) as client:
                yield client.poll(client.request_log())
        finally:
            server.terminate()


def convert_url(link: str) -> Path:
    """From the request for the file to the last byte of Parquet."""
    import trackparse
    from trackparse.client import open_url

    return Path(trackparse.convert_log(open_url(link, allow_http=True), output()).path)


# ---- a log of 1,000 rows ----------------------------------------------------------------------------------


@contextmanager
def with_its_table(log: Log) -> Iterator[tuple[Log, Any]]:
    """The log, and the table that is in it."""
    import trackparse

    yield log, trackparse.read_log(log.path)


def least_conversion(given: tuple[Log, Any]) -> Path:
    """What no conversion can leave out: read the ZIP, write the table, bring it to the disk, rename."""
    import pyarrow.parquet as pq

    log, table = given
    with zipfile.ZipFile(log.path) as archive:
        archive.read(archive.infolist()[0])
    path = output()
    unfinished = path.with_suffix(".tmp")
    repeating = ["tracking_code", "status", "description", "appCode"]
    with unfinished.open("wb") as file:
        options = {"compression": "zstd", "use_dictionary": repeating, "write_statistics": ["timestamp", *repeating]}
        with pq.ParquetWriter(file, table.schema, store_schema=False, **options) as writer:
            writer.write_table(table)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return path


# ---- a dictionary of many values --------------------------------------------------------------------------


def read_targets(log: Log, **options: Any) -> Any:
    import trackparse

    return trackparse.read_log(log.path, columns=["target_id"], **options)


def targets(log: Log, **options: Any) -> Iterator[int]:
    yield len(read_targets(log, **options))


@contextmanager
def dictionary_of_ours(log: Log) -> Iterator[Any]:
    yield read_targets(log, dictionary=["target_id"])


@contextmanager
def dictionary_of_pyarrow(log: Log) -> Iterator[Any]:
    import pyarrow as pa

    yield pa.table({"target_id": read_targets(log)["target_id"].dictionary_encode()})


def to_pandas(table: Any) -> Iterator[int]:
    yield len(table.to_pandas())


# ---- payload columns --------------------------------------------------------------------------------------


def payload_columns(log: Log) -> Iterator[Any]:
    import pyarrow as pa

    wanted = {"alert": POINTERS["alert"], "uid": (POINTERS["uid"], pa.int64())}
    return batches(log, columns=NARROW, payload_columns=wanted)


@contextmanager
def payloads(log: Log) -> Iterator[list[bytes]]:
    import trackparse

    texts = trackparse.read_log(log.path, columns=["payload"])["payload"].to_pylist()
    yield [b"{}" if text is None else text.encode() for text in texts]


def loads_loop(given: list[bytes]) -> Iterator[int]:
    """Both values of each payload, by orjson and look-ups, from memory."""
    from orjson import loads

    alerts, uids = [], []
    for payload in given:
        document = loads(payload)
        alerts.append(document.get("aps", {}).get("alert"))
        uids.append(document.get("md", {}).get("uid"))
    yield len(alerts)


# ---- starting ---------------------------------------------------------------------------------------------


def python(log: Log, *arguments: str) -> None:
    """A process from its start to its end; the log is not read."""
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
