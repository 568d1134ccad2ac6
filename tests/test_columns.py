"""Batches: which columns, of which type, and that every consumer of Arrow takes them."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import trackparse
from support.kernels import SLOW
from support.logs import H6, H8, NAMES, Row, line, line6, row
from trackparse.testing.sample import encode_row, sample_rows

ROWS = 3000 // SLOW
TRUTH: list[Row] = [
    (datetime.fromisoformat(fields[0]), *fields[1:7], fields[7] or None) for fields in sample_rows(ROWS)
]
LOG = H8 + b"".join(encode_row(fields) for fields in sample_rows(ROWS))
BLOCK = 20_000


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_the_schema_is_known_before_the_first_batch() -> None:
    with trackparse.open_log(LOG) as log:
        expected = pa.schema([("timestamp", pa.timestamp("us")), *((name, pa.string()) for name in NAMES[1:])])
        assert log.schema == expected
        assert log.stats.records <= ROWS
        assert log.to_reader().schema == expected


def test_both_generations_have_one_schema() -> None:
    newer, older = trackparse.read_log(H8 + line()), trackparse.read_log(H6 + line6())
    assert newer.schema == older.schema
    assert older["appCode"].null_count == older["payload"].null_count == 1
    assert pa.concat_tables([newer, older]).num_rows == 2


@pytest.mark.parametrize("string_type", ["string", "string_view"])
def test_the_sample_is_read_as_it_was_written(string_type: Any, kernel: str) -> None:
    table = trackparse.read_log(LOG, string_type=string_type, block_size=BLOCK)
    table.validate(full=True)
    assert len(table["payload"].chunks) > 1
    assert rows_of(table) == TRUTH
    assert '\\"' in "".join(text or "" for text in table["payload"].to_pylist())
    assert '""all' not in "".join(text or "" for text in table["payload"].to_pylist())


@pytest.mark.parametrize("columns", [("payload",), ("status", "timestamp"), NAMES[::-1], ["appCode", "hwid"]])
def test_a_projection_comes_in_the_order_asked_for(columns: Any) -> None:
    table = trackparse.read_log(LOG, columns=columns)
    assert table.schema.names == list(columns)
    assert table.equals(trackparse.read_log(LOG).select(list(columns)))


def test_a_projection_may_be_any_iterable() -> None:
    assert trackparse.read_log(LOG, columns=(name for name in ("hwid", "status"))).schema.names == ["hwid", "status"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": ["statuss"]}, ["statuss", "did you mean 'status'?"]),
        ({"columns": ["status", "status"]}, ["twice"]),
        ({"dictionary": ["nope"]}, ["nope", "appCode"]),
        ({"dictionary": ["timestamp"]}, ["timestamp"]),
        ({"string_type": "large_string"}, ["large_string", "did you mean 'string'?"]),
        ({"dialect": "excel"}, ["excel", "rfc4180"]),
        ({"on_error": "ignore"}, ["ignore", "quarantine"]),
        ({"block_size": 0}, ["block_size=0"]),
    ],
)
def test_an_option_that_is_none_is_named_with_those_there_are(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError, match=words[0]) as caught:
        trackparse.open_log(LOG, **options)
    for word in words:
        assert word in str(caught.value)


def test_a_verdict_does_not_depend_on_the_projection() -> None:
    data = H8 + line() + line(b"\xff") + line(time=b"x") + line(b"{};") + line(description=b'"a"b') + line()
    answers = []
    for columns in (None, ["hwid"], ["payload"], ["timestamp"]):
        with trackparse.open_log(data, columns=columns, on_error="quarantine") as log:
            answers.append((log.read_all().num_rows, log.rejects.to_pylist()))
    assert answers[0][0] == 2
    assert [bad["reason"] for bad in answers[0][1]] == ["bad_utf8", "bad_timestamp", "field_count", "text_after_quote"]
    assert all(answer == answers[0] for answer in answers)


def test_string_views_point_into_the_block() -> None:
    long = b"x" * 4000
    data = H8 + line(long) + line(b'"' + long + b'""' + b'"')
    with trackparse.open_log(data, columns=["payload"], string_type="string_view") as log:
        (batch,) = log
    assert batch.schema.field("payload").type == pa.string_view()
    buffers = batch["payload"].buffers()[2:]
    # The block, and the one value that had to be unescaped.
    assert [buffer.size for buffer in buffers] == [len(data), len(long) + 1]
    assert batch["payload"].to_pylist() == [long.decode(), long.decode() + '"']


def test_unknown_columns_can_be_asked_for() -> None:
    data = b"//timestamp;region;tracking_code\n2021-04-20 13:01:01;eu;T\n"
    assert trackparse.read_log(data).schema.names == [*NAMES, "region"]
    assert trackparse.read_log(data, columns=["region"], dictionary=["region"]).to_pylist() == [{"region": "eu"}]


def test_a_later_header_may_not_bring_a_column_without_a_place() -> None:
    later = b"//timestamp;tracking_code;region\n2021-04-20 13:01:01;T;eu\n"
    with pytest.raises(trackparse.HeaderError, match="region"):
        trackparse.read_log(H8 + line() + later)
    table = trackparse.read_log(H8 + line() + later, columns=["tracking_code", "status"])
    assert rows_of(table) == [("T-1", "sent"), ("T", None)]


class TestDictionary:
    def test_values_are_the_same(self, kernel: str) -> None:
        table = trackparse.read_log(LOG, dictionary=NAMES[1:], block_size=BLOCK)
        for batch in table.to_batches():
            batch.validate(full=True)
        assert rows_of(table) == TRUTH

    def test_the_dictionary_of_a_reader_only_grows(self, kernel: str) -> None:
        dictionaries: list[list[str]] = []
        with trackparse.open_log(LOG, columns=["tracking_code"], dictionary=["tracking_code"], block_size=BLOCK) as log:
            assert log.schema.field(0).type == pa.dictionary(pa.int32(), pa.string())
            dictionaries.extend(batch.column(0).dictionary.to_pylist() for batch in log)
        assert len(dictionaries) > 1
        for earlier, later in itertools.pairwise(dictionaries):
            assert later[: len(earlier)] == earlier
        assert len(dictionaries[-1]) == len(set(dictionaries[-1])) == len({fields[1] for fields in sample_rows(ROWS)})

    def test_all_chunks_of_a_table_have_the_same_dictionary(self, kernel: str) -> None:
        """What differs is merged by pandas, value by value, for each chunk: 1,000,000 values took 15 s."""
        table = trackparse.read_log(LOG, dictionary=["tracking_code", "hwid"], block_size=BLOCK)
        for name in ("tracking_code", "hwid"):
            chunks = table[name].chunks
            assert len(chunks) > 3
            places = {chunk.dictionary.buffers()[2].address for chunk in chunks}
            assert len(places) == 1
            assert len(chunks[0].dictionary) == len(set(table[name].to_pylist()))
        assert table.cast(trackparse.read_log(LOG).schema) == trackparse.read_log(LOG)

    def test_a_table_without_rows_has_its_dictionary_columns(self) -> None:
        table = trackparse.read_log(H8, dictionary=["status"])
        assert table.num_rows == 0
        assert table.schema.field("status").type == pa.dictionary(pa.int32(), pa.string())

    def test_an_empty_payload_is_null_there_too(self, kernel: str) -> None:
        table = trackparse.read_log(H8 + line(b"") + line() + line(b'""'), dictionary=["payload", "description"])
        assert table["payload"].to_pylist() == [None, "{}", None]
        assert table["description"].to_pylist() == ["", "", ""]

    def test_it_is_usable(self) -> None:
        table = trackparse.read_log(LOG, columns=["status", "hwid"], dictionary=["status"], block_size=BLOCK)
        plain = trackparse.read_log(LOG, columns=["status", "hwid"])
        table = table.unify_dictionaries().combine_chunks()
        assert table["status"].cast(pa.string()).to_pylist() == plain["status"].to_pylist()
        sent = table.filter(pc.equal(table["status"].cast(pa.string()), "sent"))
        assert sent.num_rows == plain.filter(pc.equal(plain["status"], "sent")).num_rows > 0
        counts = pl.DataFrame(table)["status"].value_counts().sort("count")
        assert counts["count"].sum() == ROWS

    def test_it_has_a_limit(self, kernel: str) -> None:
        limits = trackparse.Limits(max_dictionary_bytes=5_000)
        hwids: list[str] = []
        with (
            trackparse.open_log(LOG, dictionary=["hwid", "status"], block_size=BLOCK, limits=limits) as log,
            pytest.raises(trackparse.LimitError, match=r"'hwid' .*max_dictionary_bytes"),
        ):
            hwids.extend(text for batch in log for text in batch["hwid"].to_pylist())
        assert hwids == [fields[3] for fields in sample_rows(ROWS)][: len(hwids)] != []
        statuses = trackparse.read_log(LOG, dictionary=["status"], limits=limits)
        assert statuses.num_rows == ROWS

    def test_it_goes_with_string_views(self) -> None:
        table = trackparse.read_log(LOG, string_type="string_view", dictionary=["status"])
        assert table.schema.field("status").type == pa.dictionary(pa.int32(), pa.string())
        assert table.schema.field("hwid").type == pa.string_view()
        assert rows_of(table) == TRUTH


class TestConsumers:
    """A LogReader goes where an Arrow stream goes."""

    def test_pyarrow(self) -> None:
        with trackparse.open_log(LOG, block_size=BLOCK) as log:
            assert rows_of(pa.table(log)) == TRUTH
        with trackparse.open_log(LOG, block_size=BLOCK) as log:
            assert pa.RecordBatchReader.from_stream(log).read_all().num_rows == ROWS
        with trackparse.open_log(LOG) as log:
            assert pa.schema(log) == log.schema

    @pytest.mark.parametrize("string_type", ["string", "string_view"])
    def test_duckdb(self, string_type: Any) -> None:
        with trackparse.open_log(LOG, string_type=string_type, block_size=BLOCK) as log, duckdb.connect() as database:
            database.register("log", log)
            found = database.sql("select status, count(*), max(timestamp) from log group by 1 order by 1").fetchall()
        expected = {status: [r[0] for r in TRUTH if r[4] == status] for status in sorted({r[4] for r in TRUTH})}
        assert found == [(status, len(times), max(times)) for status, times in expected.items()]

    @pytest.mark.parametrize("string_type", ["string", "string_view"])
    def test_polars(self, string_type: Any) -> None:
        with trackparse.open_log(LOG, string_type=string_type, block_size=BLOCK) as log:
            frame = pl.DataFrame(log)
        assert frame.rows() == TRUTH
        assert frame.schema["timestamp"] == pl.Datetime("us")

    def test_pandas(self) -> None:
        with trackparse.open_log(LOG, block_size=BLOCK) as log:
            frame = log.read_all().to_pandas()
        assert [None if pd.isna(text) else text for text in frame["payload"]] == [r[7] for r in TRUTH]
        assert frame["timestamp"].tolist() == [pd.Timestamp(r[0]) for r in TRUTH]
        if from_arrow := getattr(pd.DataFrame, "from_arrow", None):
            with trackparse.open_log(LOG, block_size=BLOCK) as log:
                assert from_arrow(log)["hwid"].tolist() == [r[3] for r in TRUTH]

    def test_nanoarrow(self) -> None:
        nanoarrow = pytest.importorskip("nanoarrow")
        with trackparse.open_log(LOG) as log:
            stream = nanoarrow.ArrayStream(log)
            assert sum(len(array) for array in stream) == ROWS

    def test_an_error_keeps_its_place_across_the_stream(self) -> None:
        with (
            trackparse.open_log(H8 + line() + line(b"{};")) as log,
            pytest.raises((trackparse.RecordError, pa.ArrowException, OSError), match="record 1, line 3"),
        ):
            pa.table(log)


def test_the_header_alone_makes_an_empty_table() -> None:
    with trackparse.open_log(H8) as log:
        assert log.schema.names == list(NAMES)
        assert list(log) == []
    assert trackparse.read_log(H8).num_rows == 0
    assert pl.DataFrame(trackparse.open_log(H8)).shape == (0, 8)


def test_ten_records_in_one_batch() -> None:
    with trackparse.open_log(H8 + line() * 10) as log:
        batches = list(log)
    assert [batch.num_rows for batch in batches] == [10]
    assert rows_of(pa.Table.from_batches(batches)) == [row()] * 10
