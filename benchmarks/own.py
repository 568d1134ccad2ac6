"""What is ours to measure, each step on top of the one before, and the baseline below them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.archives import READ, locate, output


def inflate(log: Path) -> Iterator[int]:
    """The baseline: the member's bytes, thrown away. 256 KiB of output stay in the cache: no size was faster."""
    from isal import igzip_lib

    offset, _ = locate(log)
    decompressor = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
    with log.open("rb", buffering=0) as file:
        file.seek(offset)
        while not decompressor.eof:
            data = file.read(READ) if decompressor.needs_input else b""
            yield len(decompressor.decompress(data, READ))


def scan(log: Path) -> Iterator[int]:
    from trackparse.archive.opening import open_archive
    from trackparse.archive.readahead import MemberStart, ReadAhead
    from trackparse.limits import Limits
    from trackparse.options import BLOCK_SIZE
    from trackparse.records.indexer import Indexer
    from trackparse.sources.source import open_source

    indexer = Indexer("auto", Limits(), BLOCK_SIZE)
    with ReadAhead(open_archive(open_source(log), Limits()), BLOCK_SIZE) as ahead:
        for item in ahead:
            if isinstance(item, MemberStart):
                indexer.start(item.name)
                continue
            segments = indexer.feed(item) if isinstance(item, bytes | memoryview) else indexer.finish()
            yield sum(segment.records for segment in segments)


def batches(log: Path, **options: Any) -> Iterator[Any]:
    import trackparse

    with trackparse.open_log(log, **options) as reader:
        yield from reader


def events(log: Path) -> Iterator[Any]:
    import trackparse

    return trackparse.iter_events(log)


def convert(log: Path) -> Path:
    import trackparse

    return trackparse.convert_log(log, output()).path


@contextmanager
def served(log: Path) -> Iterator[str]:
    """The link to the log on a server of its own process, asked for and waited for as the client does."""
    from trackparse.client import TrackingLogClient
    from trackparse.testing import TOKEN

    command = [sys.executable, "-m", "trackparse.testing", "--log", str(log)]
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

    return trackparse.convert_log(open_url(link, allow_http=True), output()).path


def default_file(log: Path) -> Path:
    """Not a rival: the size of what pyarrow writes by itself, of the same rows."""
    import pyarrow.parquet as pq

    import trackparse

    path = output()
    pq.write_table(trackparse.read_log(log), path, compression="zstd")
    return path
