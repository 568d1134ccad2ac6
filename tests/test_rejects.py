"""Rejects worth having: why, where and what, in a file, and on their way back into a log."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import duckdb
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import trackparse
from support.archives import files_in, python_zip
from support.kernels import SLOW
from support.logs import BOM, H6, H8, line, line6
from trackparse import Limits, Reason
from trackparse.records.header import header_line, parse_header
from trackparse.rejects.kept import SCHEMA

FORMAT = Path(__file__).resolve().parent.parent / "docs" / "format.md"
HEADER = H8.decode().strip()
FORMATS = ["rejects.parquet", "rejects.jsonl"]
# One log for each reason, and what is bad in it.
BAD = {
    Reason.UNCLOSED_QUOTE: line6(b'"oops'),
    Reason.TEXT_AFTER_QUOTE: line6(b'"oops" '),
    Reason.FIELD_COUNT: b"2011-01-01T15:03:01;T-6;U6\n",
    Reason.BAD_UTF8: line6(b"caf\xe9"),
    Reason.BAD_TIMESTAMP: line6(time=b"2011-02-30T15:03:01"),
    Reason.TOO_LONG: line6(b'"oo'),
}
PIECES = st.lists(
    st.sampled_from(
        [
            line(),
            line6(),
            *BAD.values(),
            line(target=b"\xff\x00\xf0"),
            line(b"{};x", end=b"\r\n"),
            b"\n",
            b"\xe9\n\n",
            BOM,
            H8,
            H6,
            b'"//tracking_code";timestamp;a b\n',
            b"T-1;2021-04-20 13:01:01\n",
        ]
    )
    | st.binary(max_size=4),
    max_size=12,
).map(b"".join)


def quarantined(data: Any, **options: Any) -> pa.Table:
    with trackparse.open_log(data, on_error="quarantine", **options) as log:
        log.read_all()
        return log.rejects


def converted(data: Any, folder: Path, name: str, **options: Any) -> trackparse.ConversionReport:
    options = {"on_error": "quarantine", "rejects": folder / name, **options}
    return trackparse.convert_log(data, folder / "log.parquet", **options)


class TestReasons:
    def test_the_format_explains_each_of_them(self) -> None:
        section = FORMAT.read_text(encoding="utf-8").partition("## What makes a record bad\n")[2]
        assert re.findall(r"^\| `(\w+)` \|", section.partition("\n##")[0], re.MULTILINE) == [*Reason]

    def test_the_format_names_their_columns(self) -> None:
        section = FORMAT.read_text(encoding="utf-8").partition("### Rejects\n")[2].partition("\n##")[0]
        told = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.MULTILINE)
        assert told == [(field.name, str(field.type)) for field in quarantined(H8 + b"x\n").schema]

    @pytest.mark.parametrize("reason", BAD)
    def test_what_makes_a_record_bad(self, reason: Reason) -> None:
        data = H6 + line6() + BAD[reason] + line6() * 9
        limits = Limits(max_record_bytes=200 if reason == Reason.TOO_LONG else len(data))
        (bad,) = quarantined(data, limits=limits).to_pylist()
        assert (bad["reason"], bad["raw"], bad["record"], bad["line"]) == (reason, BAD[reason], 1, 3)
        with pytest.raises(trackparse.RecordError) as caught:
            trackparse.read_log(data, limits=limits)
        assert caught.value.reason is reason
        assert f"{reason.explanation} ({reason})" in str(caught.value)

    def test_the_codes_are_plain_text(self) -> None:
        found = Reason("bad_utf8")  # a value's lookup, which mypy takes for __new__
        assert found is Reason.BAD_UTF8
        assert json.dumps([*Reason]) == json.dumps([reason.value for reason in Reason])
        assert all(re.fullmatch("[a-z_0-9]+", reason) for reason in Reason)


class TestFiles:
    @pytest.mark.parametrize("name", FORMATS)
    def test_they_are_read_as_they_were_kept(self, name: str, tmp_path: Path) -> None:
        data = H8 + b"".join(line() + bad for bad in BAD.values()) + H6 + line6() + BAD[Reason.BAD_UTF8]
        kept = quarantined(data)
        report = converted(data, tmp_path, name)
        assert report.rejects_path == tmp_path / name
        assert report.rejected == kept.num_rows > len(BAD)
        assert report.rejects.num_rows == 0
        assert report.rejects.schema == kept.schema
        assert trackparse.read_rejects(tmp_path / name) == kept
        assert trackparse.read_rejects(str(tmp_path / name)).schema == kept.schema
        assert files_in(tmp_path) == ["log.parquet", name]

    @given(data=PIECES, block_size=st.sampled_from([7, 1 << 20]))
    @example(data=line(description="\u2028\x85\x00".encode(), target=b"\xff"), block_size=7)
    def test_every_byte_of_them_comes_back(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes, block_size: int
    ) -> None:
        data = H8 + line() + data
        try:
            kept = quarantined(data, columns=["hwid"])
        except trackparse.HeaderError:
            return
        folder = tmp_path_factory.mktemp("rejects")
        for name in FORMATS:
            report = converted(data, folder, name, columns=["hwid"], block_size=block_size)
            assert (folder / name).exists() == bool(kept.num_rows)
            assert report.rejects_path == (folder / name if kept.num_rows else None)
            if kept.num_rows:
                assert trackparse.read_rejects(folder / name) == kept

    def test_others_read_them(self, tmp_path: Path) -> None:
        data = H8 + line() + line(b"{};") + line(target=b"caf\xe9")
        for name in FORMATS:
            converted(data, tmp_path, name)
        rows = trackparse.read_rejects(tmp_path / FORMATS[0]).to_pylist()
        assert pl.read_parquet(tmp_path / "rejects.parquet").to_dicts() == rows
        with duckdb.connect() as database:
            raws = database.read_parquet(str(tmp_path / "rejects.parquet")).fetchall()
        assert [raw[5] for raw in raws] == [row["raw"] for row in rows]
        frame = pl.read_ndjson(tmp_path / "rejects.jsonl")
        assert frame["raw"].to_list() == [rows[0]["raw"].decode(), None]
        assert frame.drop("raw", "raw_base64").to_dicts() == [
            {name: value for name, value in row.items() if name != "raw"} for row in rows
        ]
        metadata = pq.read_schema(tmp_path / "rejects.parquet").metadata
        assert metadata[b"trackparse.version"].decode() == trackparse.__version__
        assert metadata[b"trackparse.source"] == b"<bytes>"

    def test_each_line_is_what_an_encoder_of_json_makes_of_its_row(self, tmp_path: Path) -> None:
        raws = [b"a%c%cb;x\n" % (byte, byte) for byte in range(256)] + [b"\xed\xa0\x80\n", "é€😀".encode() * 99 + b"\n"]
        log = tmp_path / 'a "log" of \t\\ é.csv'
        log.write_bytes(H8 + b"".join(BAD.values()) + line().join(raws) + H6 + b"".join(BAD.values()))
        expected = b""
        for row in quarantined(log).to_pylist():
            try:
                row["raw"] = row["raw"].decode()
            except UnicodeDecodeError:
                row = {("raw_base64" if name == "raw" else name): value for name, value in row.items()}
                row["raw_base64"] = base64.b64encode(row["raw_base64"]).decode()
            expected += orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        assert converted(log, tmp_path, "rejects.jsonl").rejected == expected.count(b"\n") > 256
        assert (tmp_path / "rejects.jsonl").read_bytes() == expected

    @pytest.mark.parametrize("name", FORMATS)
    def test_without_rejects_there_is_no_file_and_no_old_one(self, name: str, tmp_path: Path) -> None:
        assert converted(H8 + line() + b"x\n", tmp_path, name).rejects_path == tmp_path / name
        report = converted(H8 + line(), tmp_path, name)
        assert (report.rejected, report.rejects_path) == (0, None)
        assert files_in(tmp_path) == ["log.parquet"]

    @pytest.mark.parametrize("name", FORMATS)
    def test_a_failure_changes_nothing(self, name: str, tmp_path: Path) -> None:
        archive = python_zip({"log.csv": H8 + line() * 5000 + b"x\n" * 50_000})
        with pytest.raises(trackparse.TruncatedError):
            converted(archive[: len(archive) // 2], tmp_path, name)
        assert files_in(tmp_path) == []
        converted(H8 + line() + b"x\n", tmp_path, name)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(trackparse.TruncatedError):
            converted(archive[: len(archive) // 2], tmp_path, name)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    @pytest.mark.parametrize("name", FORMATS)
    def test_a_log_of_nothing_else_is_not_held_in_memory(self, name: str, tmp_path: Path) -> None:
        held: list[int] = []

        def look(_: trackparse.Progress) -> None:
            held.append(tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes())

        bad = b"2011-01-01T15:03:01;T-1;" + b"x" * 700 + b"\n"
        rows = 24_000 // SLOW
        tracemalloc.start()
        try:
            report = converted((H6 + line6(), *[bad * 100] * (rows // 100)), tmp_path, name, progress=look)
        finally:
            tracemalloc.stop()
        assert report.rejected == rows
        # Three batches of 4 MiB, twice over while they are packed; all of it is 17 MB, and more as objects.
        assert max(held) - held[0] < 16 << 20
        assert trackparse.read_rejects(tmp_path / name)["raw"].to_pylist() == [bad] * rows

    @pytest.mark.parametrize("name", FORMATS)
    def test_a_long_header_is_written_once_a_change(self, name: str, tmp_path: Path) -> None:
        wide = b"//timestamp;tracking_code;" + b";".join(b"a column of its own %04d" % n for n in range(30)) + b"\n"
        # The same columns in another order: a new one would be an error.
        other = b"//tracking_code;timestamp;" + wide.partition(b"tracking_code;")[2]
        x, y = b"2011-01-01T15:03:01;T-1;x\n", b"T-1;2011-01-01T15:03:01;y\n"
        data = wide + x * 3 + other + y * 2 + wide + x + H8 + x * 2
        report = converted(data, tmp_path, name, block_size=7)
        assert report.rejected == 8
        first, second, short = (header.decode().strip() for header in (wide, other, H8))
        rejects = trackparse.read_rejects(tmp_path / name)
        assert rejects["raw"].to_pylist() == [x] * 3 + [y] * 2 + [x] * 3
        assert rejects["header"].to_pylist() == [first, None, None, second, None, first, short, short]
        # On the way back each stands under its own again.
        again = quarantined(trackparse.mended_log(rejects))
        assert again["raw"].to_pylist() == rejects["raw"].to_pylist()
        assert [*dict.fromkeys(header for header in again["header"].to_pylist() if header)] == [first, second, short]

    @pytest.mark.parametrize("name", FORMATS)
    def test_a_long_header_does_not_make_the_file_large(self, name: str, tmp_path: Path) -> None:
        """A reject costs its place and its bytes, whatever stands above all of them."""
        rows, wide = 20_000 // SLOW, b"//timestamp;tracking_code;" + b"x" * 900 + b"\n"
        converted(wide + b"//\n" * rows, tmp_path, name)
        assert (tmp_path / name).stat().st_size < 150 * rows
        # Also where the next batch begins.
        headers = trackparse.read_rejects(tmp_path / name)["header"]
        assert (headers[0].as_py(), headers.null_count) == (wide.decode().strip(), rows - 1)

    def test_they_come_in_batches_of_16384_rows_or_4_mib(self) -> None:
        two = b"//timestamp;tracking_code\n"
        for unit, rows in ((b";\n", 40_000), (b";" + b"x" * 698 + b"\n", 14_000)):
            batches: list[pa.RecordBatch] = []
            with trackparse.open_log(
                two + unit + two + unit * (rows - 1), on_error="quarantine", on_rejects=batches.append
            ) as log:
                log.read_all()
            assert sum(batch.num_rows for batch in batches) == rows
            assert max(batch.num_rows for batch in batches) <= 16_384
            for batch in batches[:-1]:
                assert batch.num_rows == 16_384 or 4.0 < batch.nbytes / (1 << 20) < 4.2

    @pytest.mark.parametrize("name", FORMATS)
    def test_the_file_has_a_limit(self, name: str, tmp_path: Path) -> None:
        converted(H8 + line() + b"old\n", tmp_path, name)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        data = H8 + line() + b"".join(b"2011-01-01T15:03:01;%d\n" % n**3 for n in range(60_000))
        with pytest.raises(trackparse.LimitError, match="max_rejects_file_bytes") as caught:
            converted(data, tmp_path, name, limits=Limits(max_rejects_file_bytes=50_000))
        assert str(tmp_path / name) in str(caught.value)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        assert converted(data, tmp_path, name, limits=Limits(max_rejects_file_bytes=None)).rejected == 60_000

    def test_where_they_cannot_go(self, tmp_path: Path) -> None:
        data = H8 + line()
        for name, options, match in (
            ("rejects.csv", {}, r"\*\.parquet or \*\.jsonl"),
            ("rejects", {}, r"\*\.parquet or \*\.jsonl"),
            ("rejects.jsonl", {"on_error": "raise"}, "quarantine"),
            ("rejects.jsonl", {"on_error": "skip"}, "quarantine"),
            ("log.parquet", {}, "name another"),
        ):
            with pytest.raises(ValueError, match=match):
                converted(data, tmp_path, name, **options)
        with pytest.raises(FileNotFoundError):
            converted(data, tmp_path, "none/rejects.jsonl")
        assert files_in(tmp_path) == []
        (tmp_path / "folder.jsonl").mkdir()
        with pytest.raises(IsADirectoryError):
            converted(data, tmp_path, "folder.jsonl")
        assert files_in(tmp_path) == ["folder.jsonl"]

    def test_a_name_that_is_not_text(self, tmp_path: Path) -> None:
        path = Path(os.fsdecode(os.fsencode(tmp_path / "day") + b"\xff.csv"))
        path.write_bytes(H8 + line() + b"x\n")
        for name in FORMATS:
            report = converted(path, tmp_path, name)
            (bad,) = trackparse.read_rejects(tmp_path / name).to_pylist()
            assert bad["member"].endswith(r"/day\udcff.csv")
            assert report.rejected == 1

    def test_of_a_long_name_the_beginning_and_the_end(self, tmp_path: Path) -> None:
        (tmp_path / "day.zip").write_bytes(python_zip({"n" * 300 + "/tracking_log.csv": H8 + line() + b"x\n"}))
        (bad,) = quarantined(tmp_path / "day.zip").to_pylist()
        assert bad["member"].startswith(str(tmp_path)[:47])
        assert bad["member"].endswith("nnn/tracking_log.csv'")
        assert len(bad["member"]) == 95


class TestReading:
    def test_a_person_mends_a_line(self, tmp_path: Path) -> None:
        path = tmp_path / "rejects.jsonl"
        converted(H8 + line() + line(target=b"caf\xe9") + line(b"{};x"), tmp_path, path.name)
        first, second = path.read_text().splitlines()
        row = json.loads(first)
        assert row.pop("raw_base64")
        row["raw"] = "\n".join(["mended", "\u2028"])
        path.write_text(f"{json.dumps(row)}\n\n{second.replace('{};x', '{}')}")
        assert trackparse.read_rejects(path)["raw"].to_pylist() == ["mended\n\u2028".encode(), line()]

    def test_little_is_needed(self, tmp_path: Path) -> None:
        path = tmp_path / "rejects.jsonl"
        path.write_text('{"raw":"a","ticket":7}\n')
        (row,) = trackparse.read_rejects(path).to_pylist()
        assert row.pop("raw") == b"a"
        assert set(row.values()) == {None}
        path = tmp_path / "rejects.parquet"
        pl.DataFrame({"raw": ["a"]}).write_parquet(path)
        assert trackparse.read_rejects(path).to_pylist() == [row | {"raw": b"a"}]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{", "line 1"),
            ('{"raw":"a"}\n[1]', "line 2: not a reject: expected a JSON object"),
            ('{"raw":7}', "neither 'raw' nor 'raw_base64'"),
            ('{"raw_base64":"~"}', "line 1"),
            ('{"raw":"a","line":"two"}', "line 1"),
            ('{"raw":"a","record":false}', "line 1: not a reject: 'record' is 'False', not a whole number"),
            ('{"raw":"a","record":true}', "line 1: not a reject: 'record' is 'True', not a whole number"),
            ('{"raw":"\\ud800"}', "line 1"),
            ("PAR1", "line 1"),
        ],
    )
    def test_a_file_of_something_else_is_an_error(self, text: str, said: str, tmp_path: Path) -> None:
        path = tmp_path / "rejects.jsonl"
        path.write_text(text)
        with pytest.raises(trackparse.TrackparseError, match=rf"rejects\.jsonl: {said}|rejects\.jsonl: .*{said}"):
            trackparse.read_rejects(path)

    def test_a_parquet_file_of_something_else_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "rejects.parquet"
        for content in (b"", b"PAR1", b'{"raw":"a"}'):
            path.write_bytes(content)
            with pytest.raises(trackparse.TrackparseError, match=r"rejects\.parquet: not a file of rejects"):
                trackparse.read_rejects(path)
        pl.DataFrame({"a": [1]}).write_parquet(path)
        with pytest.raises(trackparse.TrackparseError, match="no column 'raw'"):
            trackparse.read_rejects(path)
        pl.DataFrame({"raw": [b"a"], "line": ["two"]}).write_parquet(path)
        with pytest.raises(trackparse.TrackparseError, match="not a file of rejects"):
            trackparse.read_rejects(path)

    @pytest.mark.parametrize("name", SCHEMA.names)
    def test_a_parquet_file_with_two_columns_of_one_name_is_an_error(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "rejects.parquet"
        table = pa.table({"raw": [b"a"], "header": ["//timestamp;tracking_code"], "x": [1], "y": [2]})
        table = table.append_column(name, pa.array([None], SCHEMA.field(name).type))
        if name not in ("raw", "header"):
            table = table.append_column(name, pa.array([None], SCHEMA.field(name).type))
        pq.write_table(table, path)
        said = rf"rejects\.parquet: not a file of rejects: it has two columns '{name}'"
        with pytest.raises(trackparse.TrackparseError, match=said):
            trackparse.read_rejects(path)
        with pytest.raises(trackparse.TrackparseError, match=said):
            trackparse.convert_rejects(path, tmp_path / "mended.parquet")

    def test_no_file_is_no_file(self, tmp_path: Path) -> None:
        for name in FORMATS:
            with pytest.raises(FileNotFoundError):
                trackparse.read_rejects(tmp_path / name)
        with pytest.raises(ValueError, match=r"\*\.parquet or \*\.jsonl"):
            trackparse.read_rejects(tmp_path / "rejects.csv")


# A good record of either generation, how it is broken, and how that is mended.
GOOD = st.integers(0, 10**6).map(
    lambda n: (H8, line(b"{}", description=b"%d" % n)) if n % 2 else (H6, line6(b"%d" % n))
)
FAULTS = {
    "none": (lambda raw: raw),
    "one field more": (lambda raw: raw.replace(b"\n", b";~\n")),
    "no time": (lambda raw: raw.replace(b"20", b"~20", 1)),
    "not UTF-8": (lambda raw: raw.replace(b";T", b";\xe9T")),
    "no end": (lambda raw: raw.replace(b";T", b';"T')),
}


def mended(raw: bytes) -> bytes:
    return raw.replace(b";~\n", b"\n").replace(b"~20", b"20").replace(b";\xe9T", b";T").replace(b';"T', b";T")


class TestTheWayBack:
    @given(st.lists(st.tuples(GOOD, st.sampled_from([*FAULTS])), max_size=12), st.sampled_from(FORMATS))
    def test_what_was_mended_is_a_row_again(
        self, tmp_path_factory: pytest.TempPathFactory, records: list[tuple[tuple[bytes, bytes], str]], name: str
    ) -> None:
        folder = tmp_path_factory.mktemp("mended")
        data = H8 + b"".join(header + FAULTS[fault](record) for (header, record), fault in records)
        expected = H8 + b"".join(header + record for (header, record), fault in records if fault != "none")
        report = converted(data, folder, name)
        rows = trackparse.read_rejects(folder / name).to_pylist() if report.rejects_path else []
        assert len(rows) == sum(fault != "none" for _, fault in records)
        for row in rows:
            row["raw"] = mended(row["raw"])
        assert trackparse.read_log(trackparse.mended_log(rows)) == trackparse.read_log(expected)

    @given(PIECES)
    def test_what_was_not_mended_is_bad_again(self, data: bytes) -> None:
        # Each by itself: what follows a stray quote may end it.
        data = H8 + line() + data
        try:
            rejects = quarantined(data, columns=["hwid"])
        except trackparse.HeaderError:
            return
        for at in range(rejects.num_rows):
            one = rejects.slice(at, 1)
            try:
                log = trackparse.mended_log(one)
            except trackparse.HeaderError:
                assert "bad_header" in rejects["reason"][: at + 1].to_pylist()
                continue
            again = quarantined(log, columns=["hwid"])
            assert again["raw"][0].as_py().rstrip(b"\r\n") == one["raw"][0].as_py().rstrip(b"\r\n")
            assert again["header"] == one["header"]

    @pytest.mark.parametrize(
        "damage",
        [
            (b"description", b"descriptiXn"),
            (b"hwid", b"target_id"),
            (b"timestamp", b"tXme"),
            (b"hwid;", b"hwid:"),
            (b"hwid", b"hw;id"),
        ],
    )
    @pytest.mark.parametrize("where", ["raw", "header", "nowhere"])
    def test_a_damaged_header_is_mended_once_or_below(self, damage: tuple[bytes, bytes], where: str) -> None:
        rows = b"".join(line6(b"%d" % number) for number in range(5))
        rejects = quarantined(H6 + line6() + H6.replace(*damage) + rows + H6 + line6())
        assert rejects["reason"].to_pylist() == ["bad_header"] * 6
        mended = rejects.to_pylist()
        if where == "raw":
            mended[0]["raw"] = H6
        elif where == "header":
            for row in mended:
                row["header"] = H6.decode().strip()
        if where == "nowhere":
            with pytest.raises(trackparse.HeaderError, match="mend it in 'raw'"):
                trackparse.mended_log(mended)
            return
        data = trackparse.mended_log(mended[where == "header" :])
        assert trackparse.read_log(data)["description"].to_pylist() == [*"01234"]

    def test_a_table_its_rows_and_text_are_all_the_same(self) -> None:
        rejects = quarantined(H8 + line() + b"x\n" + line(b"{};"))
        rows = rejects.to_pylist()
        expected = H8 + b"x\n" + line(b"{};")
        assert trackparse.mended_log(rejects) == trackparse.mended_log(rows) == expected
        assert trackparse.mended_log(row | {"raw": row["raw"].decode().strip()} for row in rows) == expected
        assert trackparse.mended_log([rows[0] | {"raw": None}, rows[1]]) == H8 + line(b"{};")
        assert trackparse.mended_log([{"raw": line()}]) == H8 + line()

    def test_nothing_makes_an_empty_log(self) -> None:
        assert trackparse.read_log(trackparse.mended_log([])).num_rows == 0
        assert trackparse.read_log(trackparse.mended_log(quarantined(H8))).num_rows == 0

    def test_the_columns_are_those_of_all_headers(self) -> None:
        log = b"//timestamp;tracking_code;region\n2021-04-20 13:01:01;x\n" + H6 + b"2021-04-20 13:01:01\n"
        log += b"//timestamp;tracking_code;region\n2021-04-20 13:01:02;y\n"
        rows = quarantined(log).to_pylist()
        rows[0]["raw"] = b"2021-04-20 13:01:01;x;EU"
        rows[1]["raw"] = line6()
        rows[2]["raw"] = b"2021-04-20 13:01:02;y;US"
        for order in (rows, rows[::-1], rows[1:]):
            table = trackparse.read_log(trackparse.mended_log(order))
            assert sorted(table["region"].to_pylist(), key=str) == sorted(
                [{b"EU": "EU", b"US": "US"}.get(row["raw"][-2:]) for row in order], key=str
            )

    @pytest.mark.parametrize("damage", [(b"status", b"statuX"), (b"status", b"st;atus"), (b"status", b"tatus")])
    @pytest.mark.parametrize(
        "names", ["", ";region", "few", "swapped"], ids=["older", "a column more", "few", "in another order"]
    )
    def test_a_damaged_header_of_any_columns_is_mended_in_its_own_row(
        self, names: str, damage: tuple[bytes, bytes]
    ) -> None:
        header = H6[:-1] + names.encode() + b"\n" if names[:1] in ("", ";") else b"//timestamp;tracking_code;status\n"
        if names == "swapped":
            header = b"//tracking_code;timestamp;hwid;status;target_id;description\n"
        values = {"timestamp": "2021-04-20 13:01:01"}
        row = ";".join(values.get(name, name.upper()) for name in header[2:-1].decode().split(";")).encode() + b"\n"
        whole = trackparse.read_log(header + row * 3)
        rows = quarantined(header + row + header.replace(*damage) + row * 3 + header + row).to_pylist()
        assert len(rows) == 4
        with pytest.raises(trackparse.HeaderError, match="mend it in 'raw'"):
            trackparse.mended_log(rows)
        rows[0]["raw"] = header
        assert trackparse.read_log(trackparse.mended_log(rows)).select(whole.column_names) == whole

    def test_a_damaged_name_of_its_own_is_an_error_until_it_is_mended(self) -> None:
        header, row = H6[:-1] + b";region\n", line6()[:-1] + b";EU\n"
        rows = quarantined(header + row + header.replace(b"region", b"regiXn") + row + header + row).to_pylist()
        with pytest.raises(trackparse.HeaderError, match="mend it in 'raw'"):
            trackparse.mended_log(rows)
        rows[0]["raw"] = header
        assert trackparse.read_log(trackparse.mended_log(rows))["region"].to_pylist() == ["EU"]

    def test_one_wrong_byte_in_a_header_costs_the_rows_below_it_and_no_more(self) -> None:
        header, row = H8, line()
        whole = trackparse.read_log(header + row * 5)
        for at in range(len(header) - 1):
            here, behind = header[at : at + 1], header[at + 1 :]
            flipped = [bytes([here[0] ^ 1 << bit]) for bit in range(8)]
            for new in (*flipped, b";", b":", b"\n", b"", here + b";", here + b"\n"):
                log = header + row + header[:at] + new + behind + row * 3 + header + row
                with trackparse.open_log(log, on_error="quarantine") as opened:
                    rows = opened.read_all()
                    read, rejects = rows.num_rows, opened.rejects
                assert rows == whole[:read], (at, new)
                # A line break between the slashes is a line of its own.
                assert (read, rejects.num_rows) in ((5, 0), (5, 1)) or (read == 2 and rejects.num_rows >= 4), (at, new)

    def test_a_name_with_a_quote_is_damaged_only_where_no_writer_wrote_it(self) -> None:
        good = b'//timestamp;tracking_code;"size ""in"""\n2021-04-20 13:01:01;x\n'
        rows = quarantined(good).to_pylist()
        rows[0]["raw"] = b"2021-04-20 13:01:01;x;5"
        assert trackparse.read_log(trackparse.mended_log(rows))['size "in"'].to_pylist() == ["5"]
        run_in = b'}"hwid;timestamp;status;tracking_code;description\nh;2021-04-20 13:01:01;sent;T-1;ok\n'
        with pytest.raises(trackparse.HeaderError, match="was damaged"):
            trackparse.read_log(trackparse.mended_log(quarantined(H8 + run_in)))

    def test_a_header_that_is_none_is_an_error(self) -> None:
        rows = [{"raw": line(), "header": HEADER}, {"raw": line(), "header": "a;b"}]
        with pytest.raises(ValueError, match="a;b"):
            trackparse.mended_log(rows)


HEADER_NAMES = st.text('/" a;\r', max_size=5) | st.text(max_size=3)


@example(['""""'], 0)
@example(['""x""'], 2)
@example(['" //"'], 0)
@given(st.lists(HEADER_NAMES, max_size=4), st.integers(0, 4))
def test_a_header_line_names_the_columns_that_it_was_read_for(names: list[str], at: int) -> None:
    names[at:at] = ["tracking_code", "timestamp"]
    try:
        parsed = parse_header(";".join(names).encode().partition(b"\n")[0])
    except UnicodeEncodeError:
        return
    if parsed.problem:
        return
    written = header_line(parsed.columns)
    assert parse_header(written.encode())[:3] == (parsed.columns, len(written.encode()), "")


class TestCounts:
    """What is counted and set aside is what was handed out."""

    LOG = H8 + line() + b"x\n" + line() * 2 + b"\n"
    NEW = b"//timestamp;tracking_code;new\n"

    @pytest.mark.parametrize("block_size", [1, 7, 64, 1 << 20])
    @pytest.mark.parametrize("behind", [b"\n2021-04-20 13:01:01;a;b\n\n" + line() + b"y\n", b"y\n" + H8 + line()])
    def test_nothing_behind_a_new_column_is_counted(self, block_size: int, behind: bytes) -> None:
        rows = 0
        with trackparse.open_log(self.LOG + self.NEW + behind, on_error="quarantine", block_size=block_size) as log:
            with pytest.raises(trackparse.HeaderError, match="'new'"):
                rows = sum(batch.num_rows for batch in log)
            with pytest.raises(trackparse.HeaderError, match="'new'"):
                next(log)
            stats = log.stats
            assert log.rejects["raw"].to_pylist() == [b"x\n"]
        assert rows == 0
        assert (stats.records, stats.rejected, stats.blank_lines) == (3, 1, 1)
        assert stats.bytes_in_records == 3 * len(line())
        assert stats.bytes_in_headers == len(H8)

    @pytest.mark.parametrize("block_size", [1, 7, 1 << 20])
    def test_a_new_column_without_records_is_no_fault(self, block_size: int) -> None:
        data = self.LOG + self.NEW + b"\n" + self.NEW + H8 + line() + self.NEW + b"\n"
        with trackparse.open_log(data, on_error="quarantine", block_size=block_size) as log:
            assert log.read_all().num_rows == 4
            stats = log.stats
        assert (stats.records, stats.rejected, stats.blank_lines) == (4, 1, 3)
        assert stats.bytes_in_headers == 2 * len(H8) + 3 * len(self.NEW)

    def test_events_read_on_behind_it(self) -> None:
        data = self.LOG + self.NEW + b"2021-04-20 13:01:01;a;b\n"
        with trackparse.open_log(data, on_error="quarantine") as log:
            assert len(list(log.events())) == 4
            assert (log.stats.records, log.stats.rejected) == (4, 1)

    def test_nothing_is_counted_before_it_is_handed_out(self) -> None:
        with trackparse.open_log(self.LOG, on_error="quarantine") as log:
            assert (log.stats.records, log.stats.rejected, log.rejects.num_rows) == (0, 0, 0)
            next(log)
            assert (log.stats.records, log.stats.rejected, log.rejects.num_rows) == (3, 1, 1)
            assert (log.rejects.num_rows, log.rejects.num_rows) == (1, 1)

    def test_blank_lines_behind_a_record_without_an_end_are_its_own(self) -> None:
        # Who could tell? A quoted field may hold them. A known end leaves them be.
        for bad, blank in ((b'2021-04-20 13:01:01;"x\n', 0), (line(time=b"never"), 2)):
            data = H8 + line() + bad + b"\n\n" + line()
            with trackparse.open_log(data, on_error="quarantine") as log:
                log.read_all()
                (raw,) = log.rejects["raw"].to_pylist()
                stats = log.stats
            assert raw == (bad if blank else bad + b"\n\n")
            assert stats.blank_lines == blank
            assert stats.bytes_in_rejects == len(raw)
            assert (
                stats.bytes_in_records + stats.bytes_in_rejects + stats.bytes_in_blank_lines + stats.bytes_in_headers
                == stats.bytes_inflated
                == len(data)
            )


def test_pandas_is_not_imported_for_them() -> None:
    """Where it is installed, pa.array would: for longer than most logs take."""
    code = f"import sys, trackparse; log = trackparse.open_log({H8 + line(b'{};')!r}, on_error='quarantine'); "
    code += "log.read_all(); assert log.rejects.num_rows == 1; assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "wrong", ["day.rejects.jsonl", b"x", 5, None, [5], [{"line": 1}], pa.table({"a": [1]})], ids=str
)
def test_what_is_no_rejects_is_not_made_a_log_of(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected a table as read_rejects gives it, or its rows"):
        trackparse.mended_log(wrong)


def test_writing_rejects_adds_no_functions_to_pyarrow(tmp_path: Path) -> None:
    """Another thread writes row groups meanwhile: now and then a conversion ended with "No function registered"."""
    code = (
        "import sys, trackparse; trackparse.convert_log(*sys.argv[1:3], on_error='quarantine', rejects=sys.argv[3]);"
        "assert 'pyarrow._compute' not in sys.modules"
    )
    log = tmp_path / "log.csv"
    log.write_bytes(H8 + line() + b"bad\n" + H6 + b"worse\n" + line6() + b"worst\n")
    names = [str(tmp_path / name) for name in ("log.csv", "log.parquet", "log.rejects.jsonl")]
    subprocess.run([sys.executable, "-c", code, *names], check=True)
    headers = trackparse.read_rejects(names[2])["header"].to_pylist()
    assert headers == [H8.decode()[:-1], *[H6.decode()[:-1]] * 2]
