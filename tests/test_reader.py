"""The reader: what it promises about errors, order, batches and its own end."""

from __future__ import annotations

import dataclasses
import gc
import gzip
import inspect
import io
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from traceback import TracebackException
from typing import Any, Literal, get_args

import duckdb
import orjson
import polars
import pyarrow as pa
import pytest

import trackparse
from support.archives import Unseekable, python_zip, random_chunks
from support.kernels import SLOW
from support.logs import BOM, H6, H8, MOMENT, line, line6, placed, row
from trackparse.options import StringType
from trackparse.records import indexer
from trackparse.records.kernel.codes import MOST_REJECTS
from trackparse.testing.sample import encode_row, sample_rows, write_sample

ROWS = 100_000
SMALL = H8 + b"".join(encode_row(fields) for fields in sample_rows(300))


def stray(rows: int, at: int, bare: bool = True) -> tuple[bytes, bytes, int]:
    """A log with one stray opening quote in front of a field of record ``at``: it, the bad record, its offset."""
    time = b"2011-01-01T15:03:01" if bare else b'"2011-01-01 15:03:01"'
    good = [line6(b"%d" % i, time=time) for i in range(rows)]
    bad = line6(b'"oops', time=time)
    data = H6 + b"".join(good[:at])
    return data + bad + b"".join(good[at:]), bad, len(data)


def ipc(batches: list[pa.RecordBatch]) -> bytes:
    """The bytes of a stream of batches, boundaries and all."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


# How a log can be read to its end. Each gives the number of records.
WAYS: dict[str, Callable[[trackparse.LogReader], int]] = {
    "for": lambda log: sum(batch.num_rows for batch in log),
    "events": lambda log: sum(1 for _ in log.events()),
    "read_all": lambda log: log.read_all().num_rows,
    "to_reader": lambda log: log.to_reader().read_all().num_rows,
    "an Arrow stream": lambda log: pa.table(log).num_rows,
}


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread is not threading.main_thread()]


class TestBadRecords:
    @pytest.mark.parametrize("bare", [True, False], ids=["bare", "quoted"])
    def test_one_stray_quote_costs_one_record_of_100_000(self, bare: bool) -> None:
        data, bad, offset = stray(ROWS, ROWS // 2, bare)
        with trackparse.open_log(python_zip({"log.csv": data}), on_error="quarantine") as log:
            table = log.read_all()
            rejects = log.rejects.to_pylist()
            assert log.stats.records == ROWS
            assert log.stats.rejected == 1
        assert table["description"].to_pylist() == [str(i) for i in range(ROWS)]
        assert rejects == [
            {
                "member": "<bytes>: member 'log.csv'",
                "record": ROWS // 2,
                "line": ROWS // 2 + 2,
                "byte_offset": offset,
                "reason": "unclosed_quote" if bare else "text_after_quote",
                "raw": bad,
                "header": H6.decode().strip(),
            }
        ]

    def test_raise_delivers_every_record_before_the_first(self, tmp_path: Path) -> None:
        data, bad, offset = stray(ROWS, ROWS // 2)
        numbers: list[str] = []
        path = tmp_path / "day.zip"
        path.write_bytes(python_zip({"day.csv": data}))
        with trackparse.open_log(path) as log:
            with pytest.raises(trackparse.RecordError) as caught:
                numbers.extend(text for batch in log for text in batch["description"].to_pylist())
            assert log.stats.records == ROWS // 2
        assert numbers == [str(i) for i in range(ROWS // 2)]
        error = caught.value
        assert error.position == trackparse.Position(f"{path}: member 'day.csv'", ROWS // 2, ROWS // 2 + 2, offset)
        assert (error.reason, error.raw) == ("unclosed_quote", bad)
        place = f"{path}: member 'day.csv': record {ROWS // 2}, line {ROWS // 2 + 2} (byte {offset})"
        for part in (place, "unclosed_quote", "oops", "quarantine"):
            assert part in str(error)
        assert isinstance(error, ValueError)

    def test_the_error_is_raised_again_and_never_looks_like_the_end(self) -> None:
        with trackparse.open_log(H8 + line() + line(b"{};") + line()) as log:
            assert next(log).num_rows == 1
            for _ in range(3):
                with pytest.raises(trackparse.RecordError):
                    next(log)
            with pytest.raises(trackparse.RecordError):
                log.read_all()
            with pytest.raises(trackparse.RecordError):
                next(log.events())

    def test_skip_counts_and_keeps_nothing(self) -> None:
        with trackparse.open_log(H8 + line() + line(b"{};") * 3 + line(), on_error="skip") as log:
            assert log.read_all().num_rows == 2
            assert (log.stats.records, log.stats.rejected) == (2, 3)
            assert log.rejects.num_rows == 0

    def test_the_table_of_rejects_has_its_schema_even_when_empty(self) -> None:
        expected = pa.schema(
            [
                ("member", pa.string()),
                ("record", pa.int64()),
                ("line", pa.int64()),
                ("byte_offset", pa.int64()),
                ("reason", pa.string()),
                ("raw", pa.binary()),
                ("header", pa.string()),
            ]
        )
        for data in (H8, H8 + line(b"{};")):
            with trackparse.open_log(data, on_error="quarantine") as log:
                log.read_all()
                assert log.rejects.schema == expected

    def test_rejects_are_placed_by_their_own_member(self) -> None:
        one = H8 + line() + line(b"{};")
        archive = python_zip({"a.csv": one, "b.csv": H6 + line6() + b"x\n" + line6(), "c.csv": one})
        with trackparse.open_log(archive, on_error="quarantine", block_size=64) as log:
            assert log.read_all().num_rows == 4
            places = [tuple(bad.values())[:4] for bad in log.rejects.to_pylist()]
        assert places == [
            ("<bytes>: member 'a.csv'", 1, 3, len(H8 + line())),
            ("<bytes>: member 'b.csv'", 1, 3, len(H6 + line6())),
            ("<bytes>: member 'c.csv'", 1, 3, len(H8 + line())),
        ]

    def test_the_bytes_of_rejects_and_records_make_up_the_log(self) -> None:
        data, bad, _ = stray(50, 20)
        with trackparse.open_log(data, on_error="quarantine", block_size=100) as log:
            log.read_all()
            assert log.stats.bytes_inflated == len(data)
            assert log.rejects["raw"].to_pylist() == [bad]


class TestBatches:
    @pytest.mark.parametrize("string_type", ["string", "string_view"])
    @pytest.mark.parametrize("block_size", [7, 1000, 1 << 20])
    def test_the_source_makes_no_difference(self, block_size: int, string_type: Any, tmp_path: Path) -> None:
        data = (SMALL + line(b"{};") + b"\n" + SMALL)[: 60_000 // SLOW]
        if block_size == 7:
            data = data[:8000]
        options: dict[str, Any] = {"block_size": block_size, "on_error": "skip", "string_type": string_type}
        with trackparse.open_log(data, **options) as log:
            expected = list(log)
        path = tmp_path / "log.csv"
        path.write_bytes(data)
        packed = python_zip({"log.csv": data})
        for source in (
            path,
            Unseekable(data, 100),
            (data[at : at + 1] for at in range(len(data))),
            random_chunks(data),
            packed,
            Unseekable(packed, 99),
            python_zip({"log.csv": data}, method=0),
            gzip.compress(data),
        ):
            with trackparse.open_log(source, **options) as log:
                batches = list(log)
            assert [batch.num_rows for batch in batches] == [batch.num_rows for batch in expected]
            assert all(one.equals(other) for one, other in zip(batches, expected, strict=True))
            if string_type == "string":
                assert ipc(batches) == ipc(expected)

    def test_no_batch_is_empty_and_each_is_about_a_block(self) -> None:
        data = H6 + line6() * 20_000
        with trackparse.open_log(data, block_size=10_000) as log:
            sizes = [batch.num_rows for batch in log]
        assert sum(sizes) == 20_000
        assert min(sizes) > 0
        assert max(sizes) <= 2 * 10_000 // len(line6())

    def test_iterating_goes_on_where_it_stopped(self) -> None:
        with trackparse.open_log(SMALL, block_size=2000) as log:
            whole = [batch.num_rows for batch in log]
        with trackparse.open_log(SMALL, block_size=2000) as log:
            first = next(iter(log))
            events = log.events()
            event = next(events)
            rest = log.read_all()
            # An iterator of events holds the batch that it is in.
            assert first.num_rows + len([event, *events]) + rest.num_rows == sum(whole) == 300

    @pytest.mark.parametrize("end", WAYS)
    @pytest.mark.parametrize("again", WAYS)
    def test_read_to_its_end_it_is_no_empty_log(self, again: str, end: str) -> None:
        with trackparse.open_log(SMALL, block_size=2000) as log:
            assert WAYS[end](log) == 300
            with pytest.raises(
                (ValueError, pa.ArrowInvalid), match=r"<bytes>: it was read to its end.*trackparse\.dataset"
            ):
                WAYS[again](log)
            assert next(log, None) is None  # as every iterator
            assert log.stats.records == 300
            assert log.schema.names[0] == "timestamp"
            assert pa.schema(log).equals(log.schema)

    @pytest.mark.parametrize("way", WAYS)
    def test_a_log_without_records_is_empty_once(self, way: str) -> None:
        with trackparse.open_log(H8) as log:
            assert WAYS[way](log) == 0
            with pytest.raises(trackparse.ExhaustedError):
                log.read_all()

    def test_two_streams_do_not_share_the_records(self) -> None:
        with trackparse.open_log(SMALL, block_size=2000) as log:
            first, second = log.to_reader(), log.to_reader()
            rows = first.read_next_batch().num_rows
            with pytest.raises(trackparse.ExhaustedError, match=r"another Arrow stream has read some of it"):
                second.read_all()
            assert rows + first.read_all().num_rows == 300

    def test_a_stream_that_is_dropped_half_way_does_not_close_the_log(self) -> None:
        with trackparse.open_log(SMALL, block_size=2000) as log:
            stream = log.to_reader()
            rows = stream.read_next_batch().num_rows
            del stream
            assert rows + sum(batch.num_rows for batch in log) == 300

    def test_a_schema_asked_for_by_a_stream_takes_nothing(self) -> None:
        with trackparse.open_log(SMALL) as log:
            assert pa.RecordBatchReader.from_stream(log).schema == log.schema
            assert log.read_all().num_rows == 300

    def test_a_thread_that_begins_late_finds_nothing_left(self) -> None:
        with trackparse.open_log(SMALL, block_size=2000) as log:
            rows: list[int] = []
            for _ in range(3):
                thread = threading.Thread(target=lambda: rows.append(sum(batch.num_rows for batch in log)))
                thread.start()
                thread.join()
            assert rows == [300, 0, 0]

    def test_engines_are_told(self) -> None:
        with trackparse.open_log(SMALL) as log:
            assert duckdb.execute("SELECT count(*) FROM log").fetchall() == [(300,)]
            with pytest.raises(duckdb.Error, match=r"trackparse\.dataset"):
                duckdb.execute("SELECT count(*) FROM log").fetchall()
            with pytest.raises(trackparse.ExhaustedError, match=r"trackparse\.dataset"):
                polars.DataFrame(log)

    @pytest.mark.parametrize("limit", ["", "LIMIT 5"])
    def test_a_relation_that_is_shown_twice_is_told(self, limit: str) -> None:
        with trackparse.open_log(SMALL, block_size=2000) as log:
            assert log.schema
            relation = duckdb.sql(f"SELECT status FROM log {limit}")  # noqa: S608
            assert "status" in str(relation)
            with pytest.raises(duckdb.Error, match=r"trackparse\.dataset"):
                str(relation)

    def test_to_reader_is_a_reader(self) -> None:
        with trackparse.open_log(SMALL, block_size=2000) as log:
            reader = log.to_reader()
            assert isinstance(reader, pa.RecordBatchReader)
            assert reader.read_all().num_rows == 300

    def test_a_batch_outlives_its_reader(self) -> None:
        for string_type in get_args(StringType):
            with trackparse.open_log(iter([SMALL]), string_type=string_type, block_size=3000) as log:
                batches = list(log)
            del log
            gc.collect()
            [batch.validate(full=True) for batch in batches]
            codes = [code for batch in batches for code in batch["tracking_code"].to_pylist()]
            assert codes == [fields[1] for fields in sample_rows(300)]


class TestArchives:
    def zipped(self, tmp_path: Path, rows: int = 4000 // SLOW) -> bytes:
        write_sample(tmp_path / "log.zip", rows=rows)
        return (tmp_path / "log.zip").read_bytes()

    @pytest.mark.parametrize("kind", ["bytes", "pipe", "path"])
    def test_a_truncated_archive_gives_its_complete_records_and_then_the_error(self, kind: str, tmp_path: Path) -> None:
        data = self.zipped(tmp_path)
        truth = list(sample_rows(4000 // SLOW))
        cut = data[: len(data) // 2]
        path = tmp_path / "cut.zip"
        path.write_bytes(cut)
        source: Any = {"bytes": cut, "pipe": Unseekable(cut), "path": path}[kind]
        hwids: list[str] = []
        # A file that can be sought may be refused at once, by its missing directory, but never silently cut short.
        with pytest.raises(trackparse.TruncatedError) as caught:
            read_hwids(source, hwids)
        assert str(caught.value)
        assert len(truth) // 4 < len(hwids) < len(truth)
        assert hwids == [fields[3] for fields in truth[: len(hwids)]]

    def test_a_truncated_archive_raises_for_events_too(self, tmp_path: Path) -> None:
        data = self.zipped(tmp_path)
        events: list[trackparse.Event] = []
        with pytest.raises(trackparse.TruncatedError):
            events.extend(trackparse.iter_events(Unseekable(data[: len(data) // 2])))

    def test_what_is_left_of_the_last_record_is_kept(self, tmp_path: Path) -> None:
        data = self.zipped(tmp_path)
        with trackparse.open_log(Unseekable(data[: len(data) // 2]), on_error="quarantine") as log:
            with pytest.raises(trackparse.TruncatedError):
                log.read_all()
            assert log.rejects["reason"].to_pylist() == ["truncated"]
            (raw,) = log.rejects["raw"].to_pylist()
            assert log.rejects["byte_offset"].to_pylist() == [log.stats.bytes_inflated - len(raw)]

    def test_members_are_read_one_after_the_other(self) -> None:
        archive = python_zip({"a.csv": H8 + line(), "readme.txt": b"hello", "b.csv": H6 + line6()})
        with trackparse.open_log(archive) as log:
            assert log.read_all()["tracking_code"].to_pylist() == ["T-1", "T-6"]
            assert log.stats.members == 2
        assert trackparse.read_log(archive, members=["b.csv"])["tracking_code"].to_pylist() == ["T-6"]
        assert trackparse.read_log(archive, members=["a*"])["tracking_code"].to_pylist() == ["T-1"]

    def test_an_archive_without_a_log_is_an_error(self) -> None:
        # The only file is taken for the log, whatever its name.
        with pytest.raises(trackparse.HeaderError, match=r"<bytes>: member 'readme\.txt': not a tracking log"):
            trackparse.open_log(python_zip({"readme.txt": b"hello"}))
        with pytest.raises(trackparse.ArchiveError):
            trackparse.open_log(python_zip({}))


def read_hwids(source: Any, hwids: list[str]) -> None:
    with trackparse.open_log(source, block_size=10_000) as log:
        for batch in log:
            hwids += batch["hwid"].to_pylist()


class TestLife:
    def test_after_close_it_says_so(self) -> None:
        log = trackparse.open_log(SMALL)
        log.close()
        log.close()
        for use in (lambda: next(log), log.read_all, lambda: next(log.events())):
            with pytest.raises(ValueError, match="closed"):
                use()
        assert log.schema.names[0] == "timestamp"
        assert log.rejects.num_rows == 0

    def test_close_ends_the_thread(self) -> None:
        packed = python_zip({"log.csv": SMALL * 30})
        before = threads()
        with trackparse.open_log(packed, block_size=1000) as log:
            next(log)
        assert threads() == before

    def test_dropping_it_ends_the_thread(self) -> None:
        packed = python_zip({"log.csv": SMALL * 30})
        before = threads()
        log = trackparse.open_log(packed, block_size=1000)
        next(log)
        del log
        gc.collect()
        assert threads() == before

    def test_dropping_an_iterator_of_events_ends_the_thread(self) -> None:
        before = threads()
        events = trackparse.iter_events(python_zip({"log.csv": SMALL * 30}), block_size=1000)
        next(events)
        del events
        gc.collect()
        assert threads() == before

    def test_reading_to_the_end_ends_the_thread(self) -> None:
        before = threads()
        log = trackparse.open_log(python_zip({"log.csv": SMALL}), block_size=1000)
        log.read_all()
        log.close()
        assert threads() == before

    def test_an_error_at_opening_ends_the_thread_and_closes_the_file(self, tmp_path: Path) -> None:
        before = threads()
        path = tmp_path / "log.csv"
        path.write_bytes(b"id,name\n" * 10_000)
        with pytest.raises(trackparse.HeaderError, match=r"log\.csv"):
            trackparse.open_log(path, block_size=1000)
        with pytest.raises(ValueError, match="nope"):
            trackparse.open_log(SMALL, columns=["nope"])
        gc.collect()
        assert threads() == before

    def test_an_error_in_the_with_block_is_its_own(self) -> None:
        def use() -> None:
            with trackparse.open_log(SMALL, block_size=1000) as log:
                next(log)
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            use()

    def test_an_error_of_the_source_comes_through_after_what_it_gave(self) -> None:
        def failing() -> Iterator[bytes]:
            yield SMALL
            raise ConnectionResetError("the peer hung up")

        hwids: list[str] = []
        with trackparse.open_log(failing(), block_size=1000) as log:
            with pytest.raises(ConnectionResetError, match="hung up"):
                hwids.extend(text for batch in log for text in batch["hwid"].to_pylist())
            with pytest.raises(ConnectionResetError):
                next(log)
        assert hwids == [fields[3] for fields in sample_rows(300)]

    def test_two_threads_may_share_it(self) -> None:
        counts: list[int] = []
        with trackparse.open_log(SMALL * 10, block_size=5000) as log:
            workers = [threading.Thread(target=lambda: counts.extend(b.num_rows for b in log)) for _ in range(4)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        assert sum(counts) == 3000


class TestStats:
    def test_they_add_up(self) -> None:
        data = b"\n" + H8 + line() * 3 + b"\n\n" + line(b"{};") + line()
        packed = python_zip({"log.csv": data})
        with trackparse.open_log(packed, on_error="quarantine") as log:
            log.read_all()
            stats = log.stats
        assert stats == trackparse.Stats(
            records=4,
            rejected=1,
            blank_lines=3,
            bytes_read=len(packed),
            bytes_total=len(packed),
            bytes_inflated=len(data),
            members=1,
            bytes_in_records=4 * len(line()),
            bytes_in_rejects=len(line(b"{};")),
            bytes_in_blank_lines=3,
            bytes_in_headers=len(H8),
        )

    def test_every_byte_has_its_place(self) -> None:
        """With headers in the middle and at the end, marks, blank lines of both kinds, and in each of two members."""
        log = BOM + b"\r\n\n" + H8 + line() + line(b"{};") + BOM + H6 + line6() + b"\r\n" + line6(end=b"") + b"\r"
        parts = {"a.csv": log, "b.csv": H8 + b"\n" + BOM + line() + H6}
        for on_error in ("quarantine", "skip"):
            with trackparse.open_log(python_zip(parts), on_error=on_error, block_size=7) as read:
                read.read_all()
                stats = read.stats
            assert stats.bytes_in_records == 2 * len(line()) + 2 * len(line6())
            assert stats.bytes_in_rejects == len(line(b"{};"))
            assert stats.bytes_in_blank_lines == 3 + 2 + 1
            assert stats.bytes_in_headers == 3 * len(BOM) + 2 * len(H8 + H6)
            assert placed(stats) == stats.bytes_inflated == len(parts["a.csv"]) + len(parts["b.csv"])

    def test_every_byte_of_a_log_that_was_cut_off_has_its_place(self) -> None:
        packed = gzip.compress(SMALL)[:-4000]
        with trackparse.open_log(packed, on_error="quarantine", block_size=1000) as log:
            with pytest.raises(trackparse.TruncatedError):
                log.read_all()
            assert log.stats.rejected == 1
            assert 0 < placed(log.stats) == log.stats.bytes_inflated

    def test_an_error_counts_the_bytes_before_it(self) -> None:
        data = H8 + line() * 3 + b"\n" + line(b"{};") + line()
        with trackparse.open_log(data) as log:
            with pytest.raises(trackparse.RecordError):
                log.read_all()
            assert log.stats.bytes_in_records == 3 * len(line())
            assert log.stats.bytes_in_rejects == len(line(b"{};"))

    def test_a_bare_log_is_read_as_it_stands(self) -> None:
        with trackparse.open_log(SMALL) as log:
            log.read_all()
            assert log.stats.bytes_read == log.stats.bytes_inflated == len(SMALL)

    def test_progress_is_told_of_each_block(self) -> None:
        told: list[trackparse.Progress] = []
        trackparse.read_log(SMALL, block_size=5000, progress=told.append)
        assert len(told) >= len(SMALL) // 5000
        records = [progress.stats.records for progress in told]
        assert records == sorted(records)
        last = told[-1]
        assert (last.step, last.name, last.number, last.count) == ("reading", "<bytes>", 1, 1)
        assert last.bytes_read == last.bytes_total == last.stats.bytes_inflated == len(SMALL)
        assert last.stats.records == 300

    def test_an_error_in_progress_is_raised(self) -> None:
        def stop(_: trackparse.Progress) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            trackparse.read_log(SMALL, block_size=1000, progress=stop)


class TestLimits:
    def test_a_limit_is_raised_after_what_came_before_it(self) -> None:
        limits = trackparse.Limits(max_inflated_bytes=20_000)
        hwids: list[str] = []
        with (
            trackparse.open_log(python_zip({"log.csv": SMALL}), limits=limits, block_size=1000) as log,
            pytest.raises(trackparse.LimitError, match="max_inflated_bytes"),
        ):
            hwids.extend(text for batch in log for text in batch["hwid"].to_pylist())
        assert len(hwids) > 20
        assert hwids == [fields[3] for fields in sample_rows(300)][: len(hwids)]

    def test_the_longest_record_is_a_limit(self) -> None:
        limits = trackparse.Limits(max_record_bytes=1000)
        data = H8 + line() + line(b'"' + b"x" * 2000 + b'"') + line()
        with trackparse.open_log(data, limits=limits) as log:
            assert next(log).num_rows == 1
            with pytest.raises(trackparse.LimitError, match=r"record 1, line 3 \(byte \d+\).*max_record_bytes"):
                next(log)

    def test_rejects_that_are_kept_are_a_limit(self) -> None:
        limits = trackparse.Limits(max_rejects_bytes=100_000)
        data = H8 + (line() + line(b"{};")) * 40_000 + line()
        with trackparse.open_log(data, limits=limits, on_error="quarantine", block_size=1 << 16) as log:
            batches: list[int] = []
            with pytest.raises(trackparse.LimitError, match="max_rejects_bytes"):
                batches.extend(batch.num_rows for batch in log)
            rows = sum(batches)
            assert log.rejects.num_rows == log.stats.rejected
            assert 0 <= rows - log.stats.rejected <= 1
            assert 0 < rows < 20_000
            assert log.rejects.nbytes < 100_000 + (1 << 16), "more than those of a block came behind the limit"
        assert trackparse.read_log(data, limits=limits, on_error="skip").num_rows == 40_001

    def test_an_endless_header_is_no_log(self) -> None:
        with pytest.raises(trackparse.HeaderError, match="longer than 65536 bytes"):
            trackparse.open_log(iter([b"//timestamp;tracking_code;" + b"x" * (1 << 20)] * 4))
        with pytest.raises(trackparse.HeaderError, match="not a tracking log"):
            trackparse.open_log(iter([b"x" * (1 << 20)] * 4))


class TestRepr:
    def test_a_reader_shows_its_name_its_columns_and_how_far_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        path.write_bytes(SMALL)
        with trackparse.open_log(path, columns=["status", "hwid"], block_size=5000) as log:
            assert repr(log) == f"<LogReader '{path}': columns status, hwid; 0 records so far>"
            read = next(log).num_rows
            assert repr(log) == f"<LogReader '{path}': columns status, hwid; {read} records so far>"
        assert repr(log).endswith(" records so far, closed>")

    def test_a_reader_that_could_not_be_made_is_shown_in_a_traceback_with_local_variables(self) -> None:
        with pytest.raises(trackparse.HeaderError) as caught:
            trackparse.open_log(b"no log")
        told = TracebackException.from_exception(caught.value, capture_locals=True)
        assert "<LogReader '<bytes>': columns none; 0 records so far, closed>" in "".join(told.format())

    def test_of_many_columns_the_first_are_shown(self) -> None:
        header = H8.strip() + b"".join(b";column%d" % number for number in range(500)) + b"\n"
        with trackparse.open_log(header) as log:
            assert "payload and 500 more; 0 records so far" in repr(log)
            assert len(repr(log)) < 200

    @pytest.mark.parametrize("name", ["a.parquet", "caf\udce9.parquet"])
    def test_a_report_fits_on_two_lines_and_in_json(self, name: str, tmp_path: Path) -> None:
        packed = python_zip({"a.csv": SMALL + line(b"{};")})
        rejects = tmp_path / "rejects.jsonl"
        report = trackparse.convert_log(packed, tmp_path / name, on_error="quarantine", rejects=rejects)
        assert repr(report).count("\n") == 1
        assert "records=300, filtered=0, rejected=1 in " in repr(report)
        facts = json.loads(orjson.dumps(report.to_dict()))
        assert facts == json.loads(json.dumps(report.to_dict()))
        assert (facts["records"], facts["rejected"], facts["damage"]) == (300, 1, None)
        assert facts["rejects_path"] == str(rejects)
        assert facts["path"].startswith(str(tmp_path))
        fields = {field.name for field in dataclasses.fields(trackparse.ConversionReport)}
        assert {*facts} == fields - {"rejects"}

    def test_a_report_of_a_damaged_archive_says_so(self, tmp_path: Path) -> None:
        packed = gzip.compress(SMALL)[:-4000]
        report = trackparse.convert_log(packed, tmp_path / "a.parquet", on_error="skip", on_damage="keep")
        assert "damage=TruncatedError" in repr(report)
        assert report.to_dict()["damage"] == str(report.damage)


@pytest.mark.parametrize("kind", ["ConversionReport", "Event", "Filter", "Stats"])
def test_every_field_is_documented_where_help_shows_it(kind: str) -> None:
    public: Any = getattr(trackparse, kind)
    names = getattr(public, "_fields", None) or [field.name for field in dataclasses.fields(public)]
    for name in names:
        assert re.search(rf"^ *{name}: \S", public.__doc__, re.MULTILINE), name


@pytest.mark.parametrize(
    "name",
    [
        "ConversionReport",
        "Event",
        "Filter",
        "LogReader",
        "Payload",
        "convert_log",
        "convert_rejects",
        "iter_events",
        "mended_log",
        "open_log",
        "read_log",
        "read_rejects",
    ],
)
def test_every_public_name_has_an_example(name: str) -> None:
    assert "\n>>> " in (inspect.getdoc(getattr(trackparse, name)) or "")


def test_a_record_across_very_many_blocks() -> None:
    text = b"x" * 30_000
    table = trackparse.read_log(H8 + line() + line(text) + line(), block_size=7)
    assert table["payload"].to_pylist() == ["{}", text.decode(), "{}"]
    assert table["timestamp"].to_pylist() == [MOMENT] * 3
    assert tuple(table.to_pylist()[0].values()) == row()


def test_the_first_header_makes_the_schema_wherever_the_blocks_end() -> None:
    log = b"//timestamp;tracking_code;a\n//timestamp;tracking_code;b\n"
    for block_size in (7, 1 << 20):
        with trackparse.open_log(log, block_size=block_size) as reader:
            assert reader.schema.names[8:] == ["a"]


def test_records_before_a_header_with_a_new_column_are_delivered_first() -> None:
    log = H8 + line() + b"//timestamp;tracking_code;b\n2021-04-20 13:01:01;x;y\n"
    for block_size in (7, 1 << 20):
        with trackparse.open_log(log, block_size=block_size) as reader:
            assert next(reader).num_rows == 1
            with pytest.raises(trackparse.HeaderError, match="first header"):
                next(reader)


def test_a_header_longer_than_max_record_bytes_is_read_whole_wherever_the_blocks_end() -> None:
    log = H8 + line() + H8 + line()
    limits = trackparse.Limits(max_record_bytes=len(line()) + 1)
    assert limits.max_record_bytes < len(H8)
    for size in (1, 7, len(H8), len(H8) + len(line()) + limits.max_record_bytes + 3):
        chunks = (log[at : at + size] for at in range(0, len(log), size))
        assert trackparse.read_log(chunks, limits=limits, block_size=size).num_rows == 2, size


def test_more_bad_records_in_a_block_than_the_kernel_returns_at_once(kernel: str) -> None:
    count = 2 * MOST_REJECTS + 7
    bad = [line(b"%d" % number).replace(b"-04-", b"-13-") for number in range(count)]
    with trackparse.open_log(H8 + line() + b"".join(bad) + line(), on_error="quarantine") as log:
        assert log.read_all().num_rows == 2
        assert log.stats.rejected == count
        assert log.rejects["raw"].to_pylist() == bad
        assert log.rejects["record"].to_pylist() == [*range(1, count + 1)]
        assert log.rejects["line"].to_pylist() == [*range(3, count + 3)]


@pytest.mark.parametrize("fed", [1, 100, 333])
def test_blocks_larger_than_the_kernel_takes_are_fed_in_pieces(fed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = H8 + b"".join(line(b"x" * (37 * number % 500)) for number in range(40))
    expected = trackparse.read_log(data)
    monkeypatch.setattr(indexer, "_FED_BYTES", fed)
    assert trackparse.read_log(data).equals(expected)


@pytest.mark.parametrize("string_type", ["string", "string_view"])
def test_a_batch_of_very_many_columns_has_few_rows(string_type: Literal["string", "string_view"]) -> None:
    """Below a second header of two names, a record of 22 bytes has a value in each of the columns of the first."""
    names = b"".join(b";c%d" % number for number in range(300))
    rows = b"2021-04-20 13:01:01;T\n" * 30_000
    data = b"//timestamp;tracking_code" + names + b"\n//timestamp;tracking_code\n" + rows
    with trackparse.open_log(data, string_type=string_type) as log:
        batches = [*log]
        assert log.stats.records == 30_000
    assert sum(batch.num_rows for batch in batches) == 30_000
    assert max(batch.num_rows * batch.num_columns for batch in batches) <= 2 << 20


def test_events_go_on_behind_a_batch_of_very_many_columns() -> None:
    """What was read for the next batches is not lost where events are asked for instead, and the other way round."""
    names = b"".join(b";c%d" % number for number in range(300))
    rows = b"".join(b"2021-04-20 13:01:01;T-%d\n" % number for number in range(30_000))
    data = b"//timestamp;tracking_code" + names + b"\n//timestamp;tracking_code\n" + rows
    with trackparse.open_log(data) as log:
        found = next(log)["tracking_code"].to_pylist()
        assert 0 < len(found) < 30_000
        events = log.events()
        found += [event.tracking_code for event in itertools.islice(events, 20_000)]
        found += [event.tracking_code for event in events]
    assert found == [f"T-{number}" for number in range(30_000)]


class TestManyDamagedHeaders:
    """Each costs a call of the kernel, so a log may not hold very many; but none of them is overlooked."""

    DAMAGED = H8.replace(b"description", b"descriptiXn")
    SWAPPED = H8.replace(b"target_id;hwid", b"hwid;target_id")

    def test_a_good_header_behind_one_is_found_whatever_the_limits(self) -> None:
        limits = trackparse.Limits(max_record_bytes=200)
        with trackparse.open_log(H8 + self.DAMAGED + H8 + line() * 50, on_error="quarantine", limits=limits) as log:
            assert log.read_all().num_rows == 50

    def test_too_many_of_them_are_a_limit_and_no_row_under_a_wrong_header(self) -> None:
        swapped = self.SWAPPED + line(hwid=b"TARGET") * 3
        data = H8 + (self.DAMAGED + H8) * 6000 + b'2021-04-20 13:01:01;T-1;"x\n' + swapped
        with (
            trackparse.open_log(data, on_error="skip") as log,
            pytest.raises(trackparse.LimitError, match="too many headers that cannot be used; look at"),
        ):
            assert all(row["target_id"] != "TARGET" for batch in log for row in batch.to_pylist())


def test_too_many_headers_on_one_line_are_a_limit() -> None:
    with (
        trackparse.open_log(H8 + line() + (H6[:-1] + H8[:-1]) * 10_000, on_error="skip") as log,
        pytest.raises(trackparse.LimitError, match="too many headers without a line end; look at"),
    ):
        log.read_all()


def test_the_parts_of_a_split_log_have_the_columns_of_its_header() -> None:
    header = b"//timestamp;tracking_code;hwid;target_id;status;description;region\n"
    record = b"2021-04-20 13:01:01;T-1;device;user;sent;ok;eu\n"
    whole = header + record * 6
    parts = python_zip({"log-1.csv": header + record * 2, "log-2.csv": record * 2, "log-3.csv": record * 2})
    assert trackparse.read_log(parts) == trackparse.read_log(whole)
    # A generation that fits better goes before them.
    mixed = python_zip({"a.csv": header + record, "b.csv": line6() * 2, "c.csv": line() * 2})
    with trackparse.open_log(mixed) as log:
        rows = log.read_all().to_pylist()
    assert [row["hwid"] for row in rows] == ["device", "H6", "H6", "h", "h"]


@pytest.mark.parametrize("other", [b"", b"\n", b"name;value\na;1\n", H8 + b"timestamp"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_member_that_is_no_log_costs_itself(other: bytes, place: int) -> None:
    logs = [H8 + line() * 2, H8 + line() * 3]
    logs.insert(place, other)
    data = python_zip({f"{number}.csv": log for number, log in enumerate(logs)})
    rows: list[Any] = []
    with trackparse.open_log(data, on_error="quarantine") as log:
        if other.startswith(H8):
            assert len(log.read_all()) == 5
            assert log.stats.rejected == 1
            return
        with pytest.raises(trackparse.HeaderError, match=rf"{place}\.csv"):
            rows.extend(log)
        assert sum(len(batch) for batch in rows) == 5
        assert log.stats.members == 3


def test_of_several_members_that_are_no_logs_the_first_is_told() -> None:
    data = python_zip({"a.csv": b"", "b.csv": H8 + line(), "c.csv": b"x\n"})
    with trackparse.open_log(data) as log:
        assert next(log).num_rows == 1
        with pytest.raises(trackparse.HeaderError, match=r"a\.csv"):
            next(log)
    with pytest.raises(trackparse.HeaderError, match=r"a\.csv"):
        trackparse.open_log(python_zip({"a.csv": b"", "b.csv": b"x\n"}))
