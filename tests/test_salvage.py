"""Salvage: what a damaged archive still holds comes out, then the error; ``on_damage="keep"`` keeps it."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import trackparse
from support.archives import Unseekable, files_in, python_zip
from support.kernels import SLOW
from support.logs import H6, H8, line, line6
from support.zips import inflate_prefix
from trackparse.testing.sample import encode_row, sample_rows

ROWS = list(sample_rows(400 // SLOW))
LOG = H8 + b"".join(encode_row(fields) for fields in ROWS)
HWIDS = [fields[3] for fields in ROWS]
STORED = python_zip({"log.csv": LOG}, method=zipfile.ZIP_STORED)
PACKED = python_zip({"log.csv": LOG})
DATA_AT = 30 + len("log.csv")  # where the member's data begins


def sources(data: bytes, path: Path) -> Iterator[tuple[str, Any]]:
    path.write_bytes(data)
    yield "path", path
    yield "bytes", data
    yield "pipe", Unseekable(data, 999)
    yield "chunks", iter([data[at : at + 1000] for at in range(0, len(data), 1000)])


def read(source: Any, **options: Any) -> tuple[list[str], list[dict[str, Any]], Exception | None]:
    """Devices, rejects and the error in the end."""
    hwids: list[str] = []
    with trackparse.open_log(source, on_error="quarantine", **options) as log:
        try:
            for batch in log:
                hwids += batch["hwid"].to_pylist()
        except Exception as fault:
            return hwids, log.rejects.to_pylist(), fault
        return hwids, log.rejects.to_pylist(), None


def keep(source: Any, dest: Path, **options: Any) -> trackparse.ConversionReport:
    given: dict[str, Any] = {"on_error": "quarantine", "on_damage": "keep", **options}
    return trackparse.convert_log(source, dest, **given)


def partial(path: Path) -> str | None:
    """What the file says of its being partial, by both ways to ask."""
    footer = pq.read_metadata(path).metadata.get(b"trackparse.partial")
    assert (pq.read_schema(path).metadata or {}).get(b"trackparse.partial") == footer
    return None if footer is None else footer.decode()


def whole_records(prefix: bytes) -> int:
    """How many of LOG's records are whole in its beginning, and have shown that they end."""
    ends = [len(H8)]
    for fields in ROWS:
        ends.append(ends[-1] + len(encode_row(fields)))
    return sum(end <= len(prefix) for end in ends[1:])


class TestEveryCompleteRecord:
    @pytest.mark.parametrize("block_size", [500, 1 << 20])
    @pytest.mark.parametrize("archive", [STORED, PACKED], ids=["stored", "packed"])
    def test_wherever_it_is_cut(self, archive: bytes, block_size: int, tmp_path: Path) -> None:
        start = DATA_AT + len(H8) + 40
        for cut in range(start, len(archive), 1 + (len(archive) - start) // 10):
            data = archive[DATA_AT:cut]
            prefix = data[: len(LOG)] if archive is STORED else inflate_prefix(data)
            expected = whole_records(prefix)
            for name, source in sources(archive[:cut], tmp_path / "cut.zip"):
                try:
                    hwids, rejects, fault = read(source, block_size=block_size)
                except trackparse.TruncatedError:
                    assert expected == 0, (cut, name)
                    continue
                assert isinstance(fault, trackparse.ArchiveError), (cut, name)
                assert hwids == HWIDS[:expected], (cut, name)
                left = prefix[len(H8) + sum(len(encode_row(fields)) for fields in ROWS[:expected]) :]
                assert [bad["raw"] for bad in rejects] == ([left] if left else []), (cut, name)
                assert {bad["reason"] for bad in rejects} <= {trackparse.Reason.TRUNCATED}

    @pytest.mark.parametrize("block_size", [7, 64, 1 << 20])
    def test_a_stray_quote_in_front_of_the_cut_costs_its_record(self, block_size: int) -> None:
        bad = line6(b'"oops')
        log = H6 + line6() * 3 + bad + line6() * 50 + line6()[:20]
        archive = python_zip({"log.csv": log + line6() * 9}, method=0)[: DATA_AT + len(log)]
        with trackparse.open_log(Unseekable(archive), on_error="quarantine", block_size=block_size) as opened:
            with pytest.raises(trackparse.TruncatedError):
                for _ in opened:
                    pass
            rejects = [tuple(row.values())[:6] for row in opened.rejects.to_pylist()]
            stats = opened.stats
        at = len(H6 + line6() * 3)
        assert rejects == [
            ("<stream>: member 'log.csv'", 3, 5, at, "unclosed_quote", bad),
            ("<stream>: member 'log.csv'", 54, 56, len(log) - 20, "truncated", line6()[:20]),
        ]
        assert (stats.records, stats.rejected) == (53, 2)
        counted = stats.bytes_in_records + stats.bytes_in_rejects + stats.bytes_in_headers
        assert counted == stats.bytes_inflated == len(log)

    @pytest.mark.parametrize("block_size", [7, 64, 1 << 20])
    @pytest.mark.parametrize(
        ("end", "rejects"),
        [
            (b"", []),
            (b"\n", []),
            (b"x", [b"x"]),
            (b"x\n", [b"x\n"]),
            (b"x\ny", [b"x\ny"]),
            (b"x\n\n2021", [b"x\n\n2021"]),
            (b'x\n"2021-04-20 13:01:01";', [b"x\n", b'"2021-04-20 13:01:01";']),
            (line(b'"{\n') + b"y\n", [line(b'"{\n') + b"y\n"]),
            (line(b'"{\n') + line(), [line(b'"{\n')]),
            (line()[:-1], [line()[:-1]]),
            (H6[:-5], [H6[:-5]]),
        ],
    )
    def test_what_comes_last(self, end: bytes, rejects: list[bytes], block_size: int) -> None:
        log = H8 + line() + end
        archive = python_zip({"log.csv": log + line() * 9}, method=0)[: DATA_AT + len(log)]
        with trackparse.open_log(Unseekable(archive), on_error="quarantine", block_size=block_size) as opened:
            with pytest.raises(trackparse.TruncatedError):
                for _ in opened:
                    pass
            rows = opened.rejects.to_pylist()
            stats = opened.stats
        assert [row["raw"] for row in rows] == rejects
        for row in rows:
            assert log[row["byte_offset"] :].startswith(row["raw"])
            assert row["line"] == log.count(b"\n", 0, row["byte_offset"]) + 1
        assert stats.records == 1 + (end == line(b'"{\n') + line())
        assert (
            stats.bytes_in_records + stats.bytes_in_rejects + stats.bytes_in_blank_lines + stats.bytes_in_headers
            == stats.bytes_inflated
            == len(log)
        )

    def test_a_cut_in_the_header_of_a_later_member(self) -> None:
        archive = python_zip({"a.csv": H8 + line(), "b.csv": H8 + line() * 9}, method=0)
        cut = archive[: archive.index(b"tracking_code", archive.index(b"b.csv"))]
        hwids, rejects, fault = read(Unseekable(cut))
        assert isinstance(fault, trackparse.TruncatedError)
        assert hwids == ["h"]
        assert [(bad["reason"], bad["header"]) for bad in rejects] == [("truncated", None)]


class TestKeep:
    @pytest.mark.parametrize("archive", [STORED, PACKED, gzip.compress(LOG)], ids=["stored", "packed", "gzip"])
    def test_a_truncated_archive(self, archive: bytes, tmp_path: Path) -> None:
        dest = tmp_path / "out" / "log.parquet"
        dest.parent.mkdir()
        cut = archive[: len(archive) * 2 // 3]
        for name, source in sources(cut, tmp_path / "cut"):
            hwids, rejects, _ = read(cut, block_size=5000)
            assert len(HWIDS) // 2 < len(hwids) < len(HWIDS)
            report = keep(source, dest, block_size=5000, row_group_size=50, rejects=dest.with_suffix(".jsonl"))
            assert pq.read_table(dest)["hwid"].to_pylist() == hwids == HWIDS[: len(hwids)], name
            assert report.records == len(hwids)
            assert isinstance(report.damage, trackparse.ArchiveError)
            assert report.damage.__traceback__ is None
            assert partial(dest) == str(report.damage)
            assert pq.read_schema(dest).metadata[b"trackparse.version"].decode() == trackparse.__version__
            assert report.rejected == 1
            kept = trackparse.read_rejects(dest.with_suffix(".jsonl")).to_pylist()
            assert [tuple(bad.values())[1:] for bad in kept] == [tuple(bad.values())[1:] for bad in rejects]
            assert kept[0]["reason"] == trackparse.Reason.TRUNCATED
            assert files_in(dest.parent) == ["log.jsonl", "log.parquet"]

    def test_what_was_cut_off_is_counted_whatever_becomes_of_bad_records(self, tmp_path: Path) -> None:
        for on_error in ("raise", "skip"):
            report = keep(STORED[: len(STORED) // 2], tmp_path / "log.parquet", on_error=on_error)
            assert report.rejected == 1
            assert isinstance(report.damage, trackparse.TruncatedError)

    def test_a_checksum_that_does_not_fit(self, tmp_path: Path) -> None:
        at = STORED.index(b"sent")
        archive = STORED[:at] + b"sunt" + STORED[at + 4 :]
        dest = tmp_path / "log.parquet"
        report = keep(archive, dest)
        assert report.records == len(ROWS) == pq.read_metadata(dest).num_rows
        assert "CRC" in str(report.damage)
        assert not isinstance(report.damage, trackparse.TruncatedError)

    def test_a_directory_that_is_gone(self, tmp_path: Path) -> None:
        archive = python_zip({"a.csv": LOG, "b.csv": H6 + line6()})
        report = keep(archive[: archive.index(b"PK\x01\x02")], tmp_path / "log.parquet")
        assert (report.records, report.members, report.rejected) == (len(ROWS) + 1, 2, 0)
        assert isinstance(report.damage, trackparse.ArchiveError)

    def test_the_members_around_the_damaged_one(self, tmp_path: Path) -> None:
        archive = python_zip({"a.csv": LOG, "b.csv": LOG, "c.csv": LOG}, method=0)
        at = archive.index(b"sent", len(LOG) + 200)
        report = keep(archive[:at] + b"sunt" + archive[at + 4 :], tmp_path / "log.parquet")
        assert (report.records, report.members) == (3 * len(ROWS), 3)
        assert "b.csv" in str(report.damage)

    def test_a_whole_archive_is_not_partial(self, tmp_path: Path) -> None:
        report = keep(PACKED, tmp_path / "log.parquet")
        assert report.damage is None
        assert partial(tmp_path / "log.parquet") is None

    def test_the_next_whole_one_is_not_partial_either(self, tmp_path: Path) -> None:
        dest = tmp_path / "log.parquet"
        keep(STORED[:-200], dest)
        assert partial(dest)
        keep(PACKED, dest)
        assert partial(dest) is None

    @pytest.mark.parametrize(
        ("source", "error", "options"),
        [
            # Without a record there is nothing to keep.
            (STORED[: DATA_AT + len(H8) + 9], trackparse.TruncatedError, {}),
            (STORED[: DATA_AT + 9], trackparse.TruncatedError, {}),
            (b"PK\x03\x04", trackparse.TruncatedError, {}),
            # These are no damage of the archive.
            (H8 + line() + b"x\n" + line(), trackparse.RecordError, {"on_error": "raise"}),
            (python_zip({"a.csv": H8 + line(), "b.csv": b"id,name\n"}), trackparse.HeaderError, {}),
            (H8 + line() * 99, trackparse.LimitError, {"limits": trackparse.Limits(max_inflated_bytes=500)}),
            (STORED[:-200], trackparse.TruncatedError, {"on_damage": "raise"}),
            (PACKED, ValueError, {"on_damage": "ignore"}),
        ],
    )
    def test_what_is_not_kept(
        self, source: bytes, error: type[Exception], options: dict[str, Any], tmp_path: Path
    ) -> None:
        dest = tmp_path / "log.parquet"
        files = {} if options.get("on_error") == "raise" else {"rejects": tmp_path / "rejects.parquet"}
        for old in ([], ["log.parquet", "rejects.parquet"]):
            if old:
                trackparse.convert_log(
                    H8 + line() + b"x\n", dest, on_error="quarantine", rejects=tmp_path / "rejects.parquet"
                )
            before = {name: (tmp_path / name).read_bytes() for name in old}
            with pytest.raises(error):
                keep(source, dest, **options, **files)
            assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_a_source_that_fails_is_not_kept(self, tmp_path: Path) -> None:
        def failing() -> Iterator[bytes]:
            yield LOG
            raise ConnectionResetError("the peer hung up")

        with pytest.raises(ConnectionResetError):
            keep(failing(), tmp_path / "log.parquet")
        assert files_in(tmp_path) == []
