"""Parquet: the values, the row groups, and that a failure leaves nothing behind."""

from __future__ import annotations

import errno
import inspect
import io
import os
import random
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import trackparse
from support.archives import Unseekable, python_zip
from support.kernels import SLOW
from support.logs import H6, H8, NAMES, Row, line, line6
from support.service import sample
from trackparse.convert import conversion, parquet, partitioner, row_groups
from trackparse.testing.sample import sample_rows

ROWS = 5000 // SLOW
TRUTH: list[Row] = [
    (datetime.fromisoformat(fields[0]), *fields[1:7], fields[7] or None) for fields in sample_rows(ROWS)
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A sample, alone in a folder."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "log.zip").write_bytes(sample(ROWS))
    return folder / "log.zip"


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    """Where to write: a folder with nothing in it."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "log.parquet"


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    table = pq.read_table(path)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_the_file_holds_the_log(log: Path, dest: Path, kernel: str) -> None:
    report = trackparse.convert_log(log, dest)
    assert rows_of(dest) == TRUTH
    assert [path.name for path in dest.parent.iterdir()] == ["log.parquet"]
    assert report.path == dest
    assert (report.records, report.rejected, report.blank_lines, report.members) == (ROWS, 0, 0, 1)
    assert report.bytes_in == log.stat().st_size
    assert report.bytes_out == dest.stat().st_size
    assert report.bytes_inflated > report.bytes_in
    assert report.seconds > 0
    assert report.rejects.num_rows == 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"string_type": "string_view"},
        {"dictionary": ["status", "appCode"]},
        {"dictionary": NAMES[1:], "string_type": "string_view"},
        {"block_size": 1000},
        {"compression": "snappy", "row_group_size": 77},
        {"compression": "none"},
    ],
    ids=str,
)
def test_every_reader_reads_the_same(log: Path, dest: Path, options: dict[str, Any]) -> None:
    trackparse.convert_log(log, dest, **options)
    assert rows_of(dest) == TRUTH
    frame = pl.read_parquet(dest)
    assert frame.rows() == TRUTH
    with duckdb.connect() as database:
        assert database.read_parquet(str(dest)).fetchall() == TRUTH
    pandas = pd.read_parquet(dest)
    assert [None if pd.isna(text) else text for text in pandas["payload"]] == [r[7] for r in TRUTH]
    assert pandas["timestamp"].tolist() == [pd.Timestamp(r[0]) for r in TRUTH]
    assert pandas["status"].tolist() == [r[4] for r in TRUTH]


@pytest.mark.parametrize("block_size", [500, 1 << 20])
@pytest.mark.parametrize("size", [1, 100, ROWS - 1, ROWS, ROWS + 1])
def test_row_groups_are_of_the_size_asked_for(log: Path, dest: Path, size: int, block_size: int) -> None:
    if size == 1:
        trackparse.convert_log(H8 + line() * 3, dest, row_group_size=1)
        assert pq.ParquetFile(dest).metadata.num_row_groups == 3
        return
    trackparse.convert_log(log, dest, row_group_size=size, block_size=block_size)
    with pq.ParquetFile(dest) as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    assert sizes == [size] * (ROWS // size) + ([ROWS % size] if ROWS % size else [])
    assert rows_of(dest) == TRUTH


def column(path: Path, name: str, group: int = 0) -> Any:
    metadata = pq.ParquetFile(path).metadata.row_group(group)
    return next(found for found in map(metadata.column, range(metadata.num_columns)) if found.path_in_schema == name)


class TestDictionaries:
    """The writer looks up the values of text, and writes a column plain from where its values hardly repeat."""

    def convert(self, payloads: list[str], dest: Path, **options: Any) -> list[int]:
        """Bytes of the payload in each row group, of 1,000 rows."""
        data = H8 + b"".join(line(text.encode(), status=b"opened") for text in payloads)
        trackparse.convert_log(data, dest, row_group_size=1000, **options)
        assert [row[7] or "" for row in rows_of(dest)] == payloads
        assert "RLE_DICTIONARY" in column(dest, "status").encodings
        groups = pq.ParquetFile(dest).metadata.num_row_groups
        return [column(dest, "payload", group).total_uncompressed_size for group in range(groups)]

    def test_what_repeats_is_written_once(self, dest: Path) -> None:
        dice = random.Random(1)
        sizes = self.convert([f"{dice.randrange(300):050}" for _ in range(3000)], dest)
        assert max(sizes) < 300 * 54 + 1000 * 2

    def test_what_does_not_repeat_is_plain_when_the_dictionary_is_full(
        self, dest: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(row_groups, "_BATCH_BYTES", 10_000)
        monkeypatch.setattr(parquet, "_DICTIONARY_BYTES", 20_000)
        self.convert([f"{number:050}" for number in range(1000)], dest)
        found = column(dest, "payload")
        assert {"PLAIN", "RLE_DICTIONARY"} <= {*found.encodings}
        # Less than all values in the dictionary, and plain ones beside it.
        assert found.total_uncompressed_size < 1000 * 54 + 2_000

    def test_where_the_log_changes_the_next_row_group_has_a_dictionary(self, dest: Path) -> None:
        distinct = [f"{number:050}" for number in range(2000)]
        repeated = [f"{number % 9:050}" for number in range(2000)]
        sizes = self.convert(distinct + repeated + distinct, dest)
        assert [size < 10_000 for size in sizes] == [False, False, True, True, False, False]

    @pytest.mark.parametrize("block_size", [777, 10_000, 100_000])
    def test_the_file_does_not_depend_on_the_blocks(
        self, dest: Path, block_size: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Pages end where batches of rows do.
        monkeypatch.setattr(row_groups, "_BATCH_BYTES", 20_000)
        monkeypatch.setattr(parquet, "_DICTIONARY_BYTES", 10_000)
        dice = random.Random(2)
        payloads = [dice.choice(["", f"{number:050}", "x" * dice.randrange(9)]) for number in range(2500)]
        payloads[1100] = "x" * 50_000  # a batch of its own
        self.convert(payloads, dest, block_size=block_size)
        found = dest.read_bytes()
        self.convert(payloads, dest)
        assert dest.read_bytes() == found

    def test_after_the_first_row_group_what_repeats_is_held_once(
        self, dest: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(row_groups, "_BATCH_BYTES", 10_000)
        monkeypatch.setattr(row_groups, "GROUP_BYTES", 200_000)
        dice = random.Random(3)
        repeated, distinct = ([f"{dice.randrange(most):0400}" for _ in range(3000)] for most in (50, 10**9))
        data = H8 + b"".join(line(text.encode(), status=b"opened") for text in [*repeated, *distinct, *repeated])
        trackparse.convert_log(data, dest, row_group_size=3000)
        assert [row[7] for row in rows_of(dest)] == [*repeated, *distinct, *repeated]
        sizes = rows_of_groups(dest)
        assert sizes[0] < 500  # all of its text is held
        assert sizes[1] > 2000
        assert sorted(sizes)[len(sizes) // 2] < 500

    def test_nulls_among_them(self, dest: Path) -> None:
        self.convert([f"{number:050}" if number % 7 else "" for number in range(2500)], dest)


def test_values_new_in_a_later_row_group_and_nulls_between_them(dest: Path) -> None:
    texts = ["", "a", "", "a", "b", "", "c", "c", "", "", "", "", "", "d", "a", "d", "", "a", "a"]
    data = H8 + b"".join(line(text.encode()) for text in texts)
    for block_size in (7, 100, 1 << 20):
        for size in (1, 3, 8, 100):
            trackparse.convert_log(data, dest, row_group_size=size, block_size=block_size)
            assert [row[7] for row in rows_of(dest)] == [text or None for text in texts]


def rows_of_groups(path: Path) -> list[int]:
    metadata = pq.ParquetFile(path).metadata
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def test_where_a_row_group_ends_depends_on_the_log_alone(
    log: Path, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_groups, "GROUP_BYTES", 40_000)
    monkeypatch.setattr(row_groups, "_BATCH_BYTES", 5_000)
    with zipfile.ZipFile(log) as archive:
        text = archive.read(archive.namelist()[0])
    found = []
    for source, block_size in (
        (log, 1 << 20),
        (log, 777),
        (text, 10_000),
        ([text[at : at + 100] for at in range(0, len(text), 100)], 1 << 16),
        ([text[:70_001], text[70_001:]], 1 << 20),
    ):
        trackparse.convert_log(source, dest, block_size=block_size)
        assert rows_of(dest) == TRUTH
        found.append(rows_of_groups(dest))
    assert len(found[0]) >= 3
    assert found == [found[0]] * 5


@pytest.mark.parametrize("block_bytes", [0, 3_000])
def test_records_that_were_copied_out_of_their_blocks_give_the_same_file(
    log: Path, dest: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_groups, "GROUP_BYTES", 40_000)
    monkeypatch.setattr(row_groups, "_BATCH_BYTES", 5_000)
    with zipfile.ZipFile(log) as archive:
        text = archive.read(archive.namelist()[0])
    text += H6 + line6() * 50 + b"bad\n" + H8 + line(b'{""a"":1}') * 50 + b"bad\n" + H6 + line6() * 3
    files = []
    for most in (partitioner.BLOCK_BYTES, block_bytes):
        monkeypatch.setattr(row_groups, "BLOCK_BYTES", most)
        trackparse.convert_log(text, dest, block_size=777, on_error="skip")
        files.append(dest.read_bytes())
    assert rows_of(dest)[:ROWS] == TRUTH
    assert files[0] == files[1]


def test_too_many_row_groups_of_very_many_columns_are_a_limit(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [b"%d" % number for number in range(300)]
    data = b";".join((b"//timestamp;tracking_code", *names)) + b"\n"
    data += (b"2021-04-20 13:01:01" + b";" * 301 + b"\n") * 100
    monkeypatch.setattr(row_groups, "GROUP_BYTES", 20_000)
    monkeypatch.setattr(row_groups, "_BATCH_BYTES", 5_000)
    monkeypatch.setattr(row_groups, "DIRECTORY_BYTES", 1_500_000)
    with pytest.raises(trackparse.LimitError, match="columns="):
        trackparse.convert_log(data, dest)
    assert not dest.exists()
    trackparse.convert_log(data, dest, columns=["timestamp", "7"])
    assert rows_of_groups(dest) == [100]
    # What the caller asked for is no limit.
    monkeypatch.setattr(row_groups, "GROUP_BYTES", 1 << 20)
    trackparse.convert_log(data, dest, row_group_size=10)
    assert rows_of_groups(dest) == [10] * 10


@pytest.mark.parametrize("repeats", [False, True])
def test_bounds_of_pages_that_fill_memory_are_a_limit(
    repeats: bool, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay in memory until the file ends, and a log may have a page for each mebibyte."""
    monkeypatch.setattr(row_groups, "_BATCH_BYTES", 5_000)
    monkeypatch.setattr(row_groups, "GROUP_BYTES", 100_000)
    monkeypatch.setattr(row_groups, "DIRECTORY_BYTES", 500_000)

    def log(size: int) -> bytes:
        codes = (b"%d" % (number % (10 if repeats else 10_000)) for number in range(400))
        return b"//timestamp;tracking_code\n" + b"".join(
            b"2021-04-20 13:01:01;" + code.rjust(size, b"x") + b"\n" for code in codes
        )

    with pytest.raises(trackparse.LimitError, match="columns="):
        trackparse.convert_log(log(4000), dest)
    assert not dest.exists()
    monkeypatch.setattr(row_groups, "DIRECTORY_BYTES", 5_000_000)
    trackparse.convert_log(log(4000), dest)
    assert pq.read_table(dest).equals(trackparse.read_log(log(4000)))
    # Bounds as short as usual are not counted: there may be very many of them.
    monkeypatch.setattr(row_groups, "DIRECTORY_BYTES", 200_000)
    trackparse.convert_log(log(64) * 20, dest)


def test_columns_that_few_of_the_records_have(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the headers are, and how the log is cut: the rows are right, and the file is the same."""
    monkeypatch.setattr(row_groups, "_CELL_BYTES", 9_000)
    monkeypatch.setattr(row_groups, "_BATCH_BYTES", 4_000)
    monkeypatch.setattr(row_groups, "GROUP_BYTES", 60_000)
    rng = random.Random(0)
    names = [f"c{number}" for number in range(80)]
    log, rows, has = "", [], names
    for number in range(3000):
        if number % rng.choice([1, 7, 100, 500]) == 0:
            # All at first: they have to stand in the first header.
            has = sorted(rng.sample(names, rng.choice([0, 0, 1, 40, 80]))) if number else names
            log += ";".join(["//timestamp", "tracking_code", *has]) + "\n"
        row: dict[str, str | None] = dict.fromkeys(names)
        row.update((name, rng.choice(["", "a", f"{number}"])) for name in has)
        log += ";".join(["2021-04-20 13:01:01", f"T-{number}", *(row[name] or "" for name in has)]) + "\n"
        rows.append({"tracking_code": f"T-{number}", **row})
    files = []
    for block_size in (1 << 20, 777):
        trackparse.convert_log(log.encode(), dest, block_size=block_size, threads=1 + block_size % 2)
        files.append(dest.read_bytes())
    assert files[0] == files[1]
    assert len(rows_of_groups(dest)) > 3
    found = pq.read_table(dest, columns=["tracking_code", *names]).to_pylist()
    assert [*map(filled, found)] == [*map(filled, rows)]
    assert pq.read_table(dest).select(names).equals(trackparse.read_log(log.encode()).select(names))


def filled(row: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in row.items() if value}


def test_a_long_value_that_repeats_among_short_ones_that_do_not_is_written_once(dest: Path) -> None:
    long = b"x" * 100_000
    rows = [line(long if number % 5 == 0 else b"%d" % number) for number in range(1000)]
    trackparse.convert_log(H8 + b"".join(rows), dest)
    assert rows_of_groups(dest) == [1000]
    assert column(dest, "payload").total_uncompressed_size < 2 * len(long)
    assert [row[7] for row in rows_of(dest)][:2] == [long.decode(), "1"]


def test_reading_waits_for_a_writer_that_is_slower(log: Path, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = pq.ParquetWriter.write_table
    written, ahead = 0, []

    def slowly(writer: pq.ParquetWriter, table: pa.Table, size: int) -> None:
        nonlocal written
        time.sleep(0.02)
        write(writer, table, size)
        written += size

    monkeypatch.setattr(pq.ParquetWriter, "write_table", slowly)
    options: dict[str, Any] = {"block_size": 10_000, "row_group_size": 100}
    trackparse.convert_log(
        log, dest, **options, progress=lambda progress: ahead.append(progress.stats.records - written)
    )
    # One row group is written, one is collected, and a block of less than another one is read.
    assert written == ROWS
    assert max(ahead) < 300


@pytest.mark.skipif(SLOW > 1, reason="200 MiB of text")
def test_long_text_ends_a_row_group_before_its_rows_are_full(dest: Path) -> None:
    text = [b'{"number":%d,"text":"%s"}' % (number, b"x" * (4 << 20)) for number in range(50)]
    trackparse.convert_log(H8 + b"".join(map(line, text)), dest)
    assert [row[7].encode() for row in rows_of(dest)] == text
    metadata = pq.ParquetFile(dest).metadata
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    # The record that would make it more than 27 MiB is the next one's.
    assert sizes == [6] * 8 + [2]


def test_a_conversion_imports_no_module_that_takes_tens_of_megabytes(dest: Path) -> None:
    rows = [line(b"%d" % number if number % 9 else b"") for number in range(20_000)]
    log = dest.with_suffix(".csv")
    log.write_bytes(H8 + b"".join(rows))
    code = (
        "import sys, trackparse\n"
        "trackparse.convert_log(*sys.argv[1:])\n"
        "print(*{'pandas', 'pyarrow.compute', 'polars'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code, log, dest], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
    assert "RLE_DICTIONARY" in column(dest, "status").encodings
    assert [row[7] for row in rows_of(dest)] == [str(number) if number % 9 else None for number in range(20_000)]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.skipif(SLOW > 1, reason="the slow kernel takes minutes")
def test_the_memory_of_a_conversion_is_given_back(dest: Path) -> None:
    rows = [line(b'{"number":%d,"text":"%s"}' % (number // 2, b"x" * 200)) for number in range(150_000)]
    logs = [dest.with_name("small.csv"), dest.with_name("large.csv")]
    for log, some in zip(logs, (rows[:10], rows), strict=True):
        log.write_bytes(H8 + b"".join(some))
    code = (
        "import sys, trackparse\n"
        "from pathlib import Path\n"
        "small, large, dest = sys.argv[1:]\n"
        "for log in (small, large, large, large):\n"
        "    trackparse.convert_log(log, dest)\n"
        "    lines = Path('/proc/self/status').read_text().splitlines()\n"
        "    print(next(int(line.split()[1]) >> 10 for line in lines if line.startswith('VmRSS:')))"
    )
    done = subprocess.run([sys.executable, "-c", code, *logs, dest], check=True, capture_output=True)
    before, *after = map(int, done.stdout.split())
    # 55 MiB more: what the conversion imported, and blocks and columns whose memory glibc keeps for the next one. Not
    # given back by pyarrow: 110. The allocator of pyarrow 19 and 20 keeps more of it, however many conversions there
    # are.
    gives_back = int(pa.__version__.partition(".")[0]) >= 21
    assert max(after) <= before + (70 if gives_back else 115), (before, after)


def test_the_metadata_say_what_wrote_it_and_from_what(log: Path, dest: Path) -> None:
    trackparse.convert_log(log, dest)
    metadata = pq.ParquetFile(dest).metadata.metadata
    assert metadata[b"trackparse.version"].decode() == trackparse.__version__
    assert metadata[b"trackparse.source"].decode().endswith("log.zip")
    assert pq.ParquetFile(dest).metadata.row_group(0).column(0).compression == "ZSTD"


def test_the_types_are_those_of_the_log(log: Path, dest: Path) -> None:
    trackparse.convert_log(log, dest)
    schema = pq.read_schema(dest)
    assert schema.names == list(NAMES)
    assert schema.field("timestamp").type == pa.timestamp("us")
    assert {schema.field(name).type for name in NAMES[1:]} == {pa.string()}
    # A device is sought by what it is, a message by its code: the bounds help only for the latter.
    columns = [pq.ParquetFile(dest).metadata.row_group(0).column(i) for i in range(8)]
    assert columns[0].statistics is not None
    assert columns[0].statistics.max == max(r[0] for r in TRUTH)


def test_a_projection_is_written_as_asked(log: Path, dest: Path) -> None:
    trackparse.convert_log(log, dest, columns=["status", "timestamp"])
    assert rows_of(dest) == [(r[4], r[0]) for r in TRUTH]


def test_a_log_without_records_makes_a_file_without_rows(dest: Path) -> None:
    report = trackparse.convert_log(H8, dest)
    assert report.records == 0
    assert pq.read_table(dest).num_rows == 0
    assert pq.read_schema(dest).names == list(NAMES)


def test_rejects_are_in_the_report(dest: Path) -> None:
    data = H8 + line() + line(b"{};") + line() + b"\n"
    report = trackparse.convert_log(data, dest, on_error="quarantine")
    assert (report.records, report.rejected, report.blank_lines) == (2, 1, 1)
    assert report.rejects["raw"].to_pylist() == [line(b"{};")]
    assert trackparse.convert_log(data, dest, on_error="skip").rejected == 1


def test_members_of_both_generations(dest: Path) -> None:
    report = trackparse.convert_log(python_zip({"a.csv": H6 + line6(), "b.csv": H8 + line()}), dest)
    assert report.members == 2
    assert [r[7] for r in rows_of(dest)] == [None, "{}"]


class TestFailure:
    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_a_row_group_that_cannot_be_written(self, number: int, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write = parquet._NewFile.write
        begun = 0

        def fail(file: Any, tables: Any) -> None:
            nonlocal begun
            begun += 1
            if begun == number:
                raise OSError(errno.EIO, "the disk is broken")
            write(file, tables)

        monkeypatch.setattr(parquet._NewFile, "write", fail)
        with pytest.raises(OSError, match="the disk is broken"):
            trackparse.convert_log(H8 + line() * 30, dest, row_group_size=10)
        assert list(dest.parent.iterdir()) == []

    """Nothing is left behind, and what was there before stays as it was."""

    def check(self, dest: Path, source: Any, error: type[BaseException], **options: Any) -> None:
        for old in (None, b"the file of yesterday"):
            if old is not None:
                dest.write_bytes(old)
            given: Any = source() if callable(source) else source
            with pytest.raises(error):
                trackparse.convert_log(given, dest, **options)
            assert [path.name for path in dest.parent.iterdir()] == ([] if old is None else [dest.name])
            if old is not None:
                assert dest.read_bytes() == old

    def test_a_truncated_archive(self, log: Path, dest: Path) -> None:
        data = log.read_bytes()
        for cut in (len(data) // 2, len(data) - 30, len(data) - 1, 100):
            self.check(dest, data[:cut], trackparse.TruncatedError, block_size=10_000, row_group_size=100)
            dest.unlink()
            self.check(dest, lambda cut=cut: Unseekable(data[:cut]), trackparse.TruncatedError, block_size=10_000)
            dest.unlink()

    def test_a_bad_record(self, dest: Path) -> None:
        self.check(dest, H8 + line() * 50 + line(b"{};") + line(), trackparse.RecordError, row_group_size=10)

    def test_not_a_log(self, dest: Path) -> None:
        self.check(dest, b"id,name\n", trackparse.HeaderError)

    def test_an_interrupt(self, log: Path, dest: Path) -> None:
        def stop(progress: trackparse.Progress) -> None:
            if progress.stats.records > ROWS // 2:
                raise KeyboardInterrupt

        self.check(dest, log, KeyboardInterrupt, progress=stop, block_size=10_000, row_group_size=100)

    def test_a_writer_that_fails(self, log: Path, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
        self.check(dest, log, OSError, block_size=10_000, row_group_size=100)

    def test_a_writer_that_fails_once(self, log: Path, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write = pq.ParquetWriter.write_table
        answers = [OSError(28, "No space left on device")]

        def full_for_a_moment(writer: pq.ParquetWriter, *table: Any) -> None:
            if answers:
                raise answers.pop()
            write(writer, *table)

        monkeypatch.setattr(pq.ParquetWriter, "write_table", full_for_a_moment)
        with pytest.raises(OSError, match="No space left"):
            trackparse.convert_log(log, dest, block_size=10_000, row_group_size=100)
        assert list(dest.parent.iterdir()) == []

    def test_options_that_are_none(self, log: Path, dest: Path) -> None:
        self.check(dest, log, ValueError, row_group_size=0)
        dest.unlink()
        self.check(dest, log, ValueError, columns=["nope"])
        dest.unlink()
        self.check(dest, log, ValueError, columns=[])
        dest.unlink()
        self.check(dest, log, (ValueError, OSError, pa.ArrowException), compression="nope")  # type: ignore[arg-type]

    def test_a_folder_in_its_place(self, log: Path, dest: Path) -> None:
        with pytest.raises(IsADirectoryError):
            trackparse.convert_log(log, dest.parent)
        assert list(dest.parent.iterdir()) == []

    def test_a_folder_that_is_not_there(self, log: Path, dest: Path) -> None:
        with pytest.raises(FileNotFoundError):
            trackparse.convert_log(log, dest.parent / "none" / "log.parquet")


def test_an_old_file_is_replaced(log: Path, dest: Path) -> None:
    dest.write_bytes(b"the file of yesterday")
    trackparse.convert_log(log, str(dest))
    assert rows_of(dest) == TRUTH


def test_the_kinds_of_source(log: Path, dest: Path) -> None:
    data = log.read_bytes()
    for source in (data, Unseekable(data), iter([data[:100], data[100:]]), log.open("rb")):
        trackparse.convert_log(source, dest)
        assert rows_of(dest) == TRUTH
        if isinstance(source, io.IOBase):
            source.close()


def test_a_damaged_page_is_told(dest: Path) -> None:
    trackparse.convert_log(H8 + line(b'{"a":"needle"}') * 50, dest, compression="none")
    data = dest.read_bytes()
    assert data.count(b"needle") == 1
    dest.write_bytes(data.replace(b"needle", b"noodle"))
    assert pq.read_table(dest)["payload"][0].as_py() == '{"a":"noodle"}'
    with pytest.raises(OSError, match=r"(?i)crc|checksum"):
        pq.read_table(dest, page_checksum_verification=True)


def test_each_page_has_its_bounds_in_an_index(log: Path, dest: Path) -> None:
    trackparse.convert_log(log, dest)
    group = pq.read_metadata(dest).row_group(0)
    columns = [group.column(at) for at in range(group.num_columns)]
    assert all(column.has_offset_index for column in columns)
    assert {column.path_in_schema for column in columns if column.has_column_index} == {*parquet.STATISTICS_COLUMNS}


class TestBloomFilters:
    """A query for one value passes over the row groups that lack it, and over none that has it."""

    @pytest.fixture(autouse=True)
    def _able(self, request: pytest.FixtureRequest) -> None:
        if "bloom_filter_options" not in inspect.signature(pq.ParquetWriter).parameters:
            pytest.skip("this pyarrow cannot write Bloom filters")

    @pytest.fixture
    def database(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(config={"threads": 1}) as database:
            yield database

    @staticmethod
    def passed_over(database: duckdb.DuckDBPyConnection, path: Path, column: str, value: str) -> list[int]:
        """The row groups that need not be read for this value."""
        question = "SELECT row_group_id FROM parquet_bloom_probe($1, $2, $3) WHERE bloom_filter_excludes ORDER BY 1"
        return [group for (group,) in database.execute(question, [str(path), column, value]).fetchall()]

    def test_no_value_that_is_there_is_passed_over(self, dest: Path, database: duckdb.DuckDBPyConnection) -> None:
        size = 2000 // SLOW
        # Codes repeat, and later less so; devices do not, and so are written without codes.
        rows = [
            line(hwid=b"%032x" % (n * 0x9E3779B97F4A7C15), target=b"" if n % 2 else b"x%d" % n).replace(
                b"T-1", b"T-%d" % (n if n > 2 * size else n % 5)
            )
            for n in range(3 * size)
        ]
        columns = ["tracking_code", "hwid", "target_id"]
        trackparse.convert_log(H8 + b"".join(rows), dest, row_group_size=size, bloom_filters=columns)
        table = pq.read_table(dest)
        for column in columns:
            values = table[column].to_pylist()
            for at in range(0, len(values), len(values) // 9):
                assert at // size not in self.passed_over(database, dest, column, values[at]), (column, at)
            absent = [self.passed_over(database, dest, column, f"absent {n}") for n in range(5)]
            # A filter is made for the values of the first row group: of codes, the last one has too many for it.
            assert sum(map(len, absent)) >= 9, column

    def test_few_row_groups_are_read_for_nothing(self, dest: Path, database: duckdb.DuckDBPyConnection) -> None:
        rows = [line(hwid=b"%032x" % (n * 0x9E3779B97F4A7C15)) for n in range(1000)]
        trackparse.convert_log(H8 + b"".join(rows), dest, bloom_filters=["hwid"])
        hits = sum(not self.passed_over(database, dest, "hwid", f"absent {n}") for n in range(300))
        assert hits <= 9, hits

    def test_they_are_written_of_the_columns_named_and_take_little(
        self, log: Path, dest: Path, database: duckdb.DuckDBPyConnection
    ) -> None:
        plain = trackparse.convert_log(log, dest).bytes_out
        assert self.passed_over(database, dest, "hwid", "absent") == []
        report = trackparse.convert_log(log, dest, bloom_filters=("tracking_code", "hwid"))
        assert report.bytes_out <= 1.05 * plain
        assert rows_of(dest) == TRUTH
        question = "SELECT path_in_schema FROM parquet_metadata($1) WHERE bloom_filter_length > 0 ORDER BY 1"
        found = database.execute(question, [str(dest)]).fetchall()
        assert found == [("hwid",), ("tracking_code",)]

    def test_a_column_that_cannot_have_one_is_an_error(self, log: Path, dest: Path) -> None:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"bloom_filters": ["hwld"]}, "no column 'hwld' is written: did you mean 'hwid'"),
            ({"bloom_filters": ["hwid"], "columns": ["status"]}, "no column 'hwid' is written"),
            ({"bloom_filters": ["b"], "payload_columns": {"b": ("/b", pa.bool_())}}, "'b' has two values only"),
        ]
        for options, said in cases:
            with pytest.raises(trackparse.OptionError, match=said):
                trackparse.convert_log(log, dest, **options)
        with pytest.raises(TypeError, match=r"bloom_filters='hwid': expected a list"):
            trackparse.convert_log(log, dest, bloom_filters="hwid")
        assert not dest.exists()


def test_a_pyarrow_that_writes_no_bloom_filters_is_named(
    log: Path, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_BLOOM_FILTERS", "an option of no version")
    with pytest.raises(trackparse.OptionError, match=rf"pyarrow {pa.__version__} cannot write Bloom filters; install"):
        trackparse.convert_log(log, dest, bloom_filters=["hwid"])
    assert not dest.exists()


class TestThreads:
    @pytest.fixture
    def archive(self, tmp_path: Path) -> Path:
        """A log of several members, each of some row groups of 900 rows."""
        rows = b"".join(line(b'{"n":%d}' % n, hwid=b"%032x" % (n * 0x9E3779B97F4A7C15)) for n in range(2000))
        (tmp_path / "log.zip").write_bytes(python_zip({f"{name}.csv": H8 + rows for name in "abc"}))
        return tmp_path / "log.zip"

    @pytest.mark.parametrize("threads", [1, 2, 3, 4, 99])
    def test_the_file_does_not_depend_on_their_number(
        self, threads: int, archive: Path, dest: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trackparse.convert_log(archive, dest, row_group_size=900)
        before = dest.read_bytes()
        monkeypatch.setattr("trackparse.archive.readahead.usable_cores", lambda: 4)
        trackparse.convert_log(archive, dest, row_group_size=900, block_size=9973, threads=threads)
        assert dest.read_bytes() == before

    @pytest.mark.parametrize(
        ("threads", "inflating", "reads_here", "writes_here"),
        [(1, 0, True, True), (2, 0, True, False), (3, 1, False, False), (4, 2, False, False), (None, 2, False, False)],
    )
    def test_there_are_no_more_of_them(
        self,
        threads: int | None,
        inflating: int,
        reads_here: bool,
        writes_here: bool,
        archive: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("trackparse.archive.readahead.usable_cores", lambda: 4)
        here = threading.get_ident()
        found: list[int] = []
        packed = archive.read_bytes()

        def looked(progress: trackparse.Progress) -> None:
            found.append(sum(thread.name == "trackparse-inflate" for thread in threading.enumerate()))

        class Watched(io.BytesIO):
            def __init__(self, content: bytes = b"") -> None:
                super().__init__(content)
                self.users: list[bool] = []  # whether it was used by the thread of the caller

            def read(self, size: int | None = -1) -> bytes:
                self.users.append(threading.get_ident() == here)
                return super().read(size)

            def write(self, data: Any) -> int:
                self.users.append(threading.get_ident() == here)
                return super().write(data)

        source, dest = Watched(packed), Watched()
        options: Any = {"threads": threads, "row_group_size": 900, "block_size": 2000, "progress": looked}
        trackparse.convert_log(source, dest, **options)
        assert source.users[-1] == reads_here
        assert all(dest.users) == writes_here
        assert max(found) == inflating

    @pytest.fixture
    def started(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The names of the threads that are started."""
        names: list[str] = []
        start = threading.Thread.start

        def noted(thread: threading.Thread) -> None:
            names.append(thread.name)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", noted)
        return names

    def test_a_small_log_needs_none(
        self, archive: Path, dest: Path, started: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conversion, "SMALL_LOG", archive.stat().st_size)
        trackparse.convert_log(archive, dest)
        trackparse.convert_log(archive.read_bytes(), dest)
        assert not started
        assert pq.read_metadata(dest).num_rows == 6000

    def test_several_logs_in_one_file_need_no_more(self, archive: Path, dest: Path, started: list[str]) -> None:
        other = archive.with_name("other.zip")
        other.write_bytes(archive.read_bytes())
        (report,) = trackparse.convert_logs([archive, other], dest, threads=1, row_group_size=900)
        assert (report.error, report.records) == (None, 12_000)
        (report,) = trackparse.convert_logs(archive, dest.parent / "lake", threads=1, partition_by=["status"])
        assert (report.error, report.records) == (None, 6000)
        assert not started


def test_the_same_log_gives_the_same_bytes(tmp_path: Path, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the blocks, the pieces and the threads; test_convert_logs has the same of processes."""
    # Codes and payloads repeat, devices do not: whether a column does is decided by the first rows of a row group.
    rows = [line(b'{"n":%d}' % (n % 7), hwid=b"%032x" % (n * 0x9E3779B97F4A7C15)) for n in range(20_000 // SLOW)]
    log = tmp_path / "log.zip"
    log.write_bytes(python_zip({"log.csv": H8 + b"".join(rows)}))
    options: Any = {"row_group_size": 9000, "payload_columns": {"n": ("/n", pa.int8())}}
    if "bloom_filter_options" in inspect.signature(pq.ParquetWriter).parameters:
        options["bloom_filters"] = ["tracking_code", "hwid"]
    trackparse.convert_log(log, dest, **options)
    first = dest.read_bytes()
    for block_size in (9973, 1 << 16):
        trackparse.convert_log(log, dest, block_size=block_size, **options)
        assert dest.read_bytes() == first, block_size
    for threads in (1, 2):
        trackparse.convert_log(log, dest, threads=threads, **options)
        assert dest.read_bytes() == first, threads
    packed = log.read_bytes()
    trackparse.convert_log([packed], dest, **options)
    named_stream = dest.read_bytes()
    trackparse.convert_log((packed[at : at + 5000] for at in range(0, len(packed), 5000)), dest, **options)
    assert dest.read_bytes() == named_stream  # in the metadata it has another name than a file
    count = pa.cpu_count()
    try:
        for cpus in (1, 4):
            pa.set_cpu_count(cpus)
            monkeypatch.setattr(os, "sched_getaffinity", lambda _pid, cpus=cpus: set(range(cpus)), raising=False)
            trackparse.convert_log(log, dest, **options)
            assert dest.read_bytes() == first, cpus
    finally:
        pa.set_cpu_count(count)
