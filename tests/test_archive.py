"""Archives as their writers made them, cut, flipped and forged: every good byte comes, then the right error."""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.archives import (
    LOG,
    WRITERS,
    Unseekable,
    contents,
    each_source,
    make_log,
    python_zip,
    random_chunks,
    read_members,
)
from support.logs import H8, line
from support.tools import need
from support.zips import inflate_prefix
from trackparse.archive import inflate
from trackparse.archive.opening import open_archive
from trackparse.errors import ArchiveError, LimitError, TruncatedError
from trackparse.limits import Limits
from trackparse.sources.source import open_source

SMALL = make_log(900)
BOTH: list[Callable[[bytes], Any]] = [bytes, lambda data: [data]]
both = pytest.mark.parametrize("source", BOTH, ids=["seekable", "forward"])


def content_of(found: list[tuple[str, list[bytes]]]) -> bytes:
    return b"".join(b"".join(blocks) for _, blocks in found)


@pytest.mark.parametrize("write", [make for _, make in WRITERS], ids=[name for name, _ in WRITERS])
def test_every_writer_from_every_source_in_the_same_blocks(write: Any, tmp_path: Path) -> None:
    data = write(tmp_path)
    for kind, source in each_source(data, tmp_path / "given.zip"):
        found, error = read_members(source)
        assert error is None, (kind, error)
        [(name, blocks)] = found
        assert name in ("log.csv", "-"), kind
        assert b"".join(blocks) == LOG, kind
        assert {len(block) for block in blocks[:-1]} == {4096}, kind


@pytest.mark.parametrize("block_size", [1, 7, 1000, len(LOG) - 1, len(LOG), len(LOG) + 1, 1 << 24])
def test_blocks_have_the_size_asked_for(block_size: int) -> None:
    data = LOG[:20_000] if block_size < 1000 else LOG
    for packed in (python_zip({"log.csv": data}), python_zip({"log.csv": data}, method=zipfile.ZIP_STORED), data):
        for source in (packed, random_chunks(packed)):
            [(_, blocks)], _ = read_members(source, block_size)
            assert b"".join(blocks) == data
            assert [len(block) for block in blocks[:-1]] == [block_size] * (len(blocks) - 1)


def test_stored_members_and_bare_logs_in_bytes_are_slices_of_them() -> None:
    stored = python_zip({"log.csv": LOG}, method=zipfile.ZIP_STORED)
    for data in (stored, LOG):
        with closing(open_archive(open_source(data), Limits())) as archive:
            blocks = [block for member in archive for block in member.blocks(1000)]
        assert all(isinstance(block, memoryview) and block.obj is data for block in blocks)
        assert b"".join(blocks) == LOG


@pytest.mark.parametrize("stored", [False, True])
def test_a_file_cut_while_it_is_read_is_an_error_after_what_was_left(stored: bool, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(python_zip({"log.csv": LOG}, method=zipfile.ZIP_STORED) if stored else LOG)
    with closing(open_archive(open_source(path), Limits())) as archive:
        blocks = next(iter(archive)).blocks(1000)
        found = [next(blocks)]
        os.truncate(path, 100_000)
        with pytest.raises(TruncatedError, match="again"):
            found.extend(blocks)
    data = b"".join(found)
    assert LOG.startswith(data)
    assert 99_900 < len(data) <= 100_000


# Kinds


@both
def test_an_empty_source_is_an_empty_log(source: Any) -> None:
    found, error = read_members(source(b""))
    assert [blocks for _, blocks in found] == [[]]
    assert error is None


@both
def test_a_zip_without_members_says_so(source: Any) -> None:
    _, error = read_members(source(python_zip({})))
    assert type(error) is ArchiveError
    assert "no members" in str(error)


def test_a_bare_log_is_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_bytes(LOG)
    assert contents(path) == {"day.csv": LOG}
    with path.open("rb") as file:
        assert contents(file) == {"day.csv": LOG}
    assert contents(LOG) == {"<bytes>": LOG}


@pytest.mark.parametrize("data", [LOG, gzip.compress(LOG)], ids=["bare", "gzip"])
def test_a_hidden_file_is_read_when_it_is_handed_over(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / ".day.csv"
    path.write_bytes(data)
    assert contents(path) == {".day.csv": LOG}


def test_a_bare_log_may_end_with_the_signature_of_an_end_record() -> None:
    for behind in range(64):
        log = H8 + line(description=b"PK\5\6" + b"a" * behind)
        found, error = read_members(log)
        assert error is None
        assert content_of(found) == log


def test_gzip_is_recognised_and_named_without_its_ending(tmp_path: Path) -> None:
    for kind, source in each_source(gzip.compress(LOG), tmp_path / "day.csv.gz"):
        found, error = read_members(source)
        assert error is None, kind
        assert content_of(found) == LOG, kind
        assert "path" not in kind or found[0][0] == "day.csv"


def test_gzip_members_are_joined_and_zeros_behind_them_ignored(tmp_path: Path) -> None:
    header = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x03\x00abc" + b"name\0" + b"comment\0" + b"\x12\x34"
    parts = gzip.compress(LOG) + header + gzip.compress(SMALL)[10:] + gzip.compress(b"") + bytes(100_000)
    for kind, source in each_source(parts, tmp_path / "a.gz"):
        assert content_of(read_members(source)[0]) == LOG + SMALL, kind
        assert kind == "bytewise" or contents(parts)


@both
def test_gzip_with_something_behind_it_is_an_error(source: Any) -> None:
    found, error = read_members(source(gzip.compress(SMALL) + b"\0\0more"))
    assert content_of(found) == SMALL
    assert type(error) is ArchiveError


@both
def test_a_gzip_cut_anywhere_gives_what_was_there(source: Any) -> None:
    data = gzip.compress(SMALL)
    for end in range(1, len(data)):
        found, error = read_members(source(data[:end]), 100)
        assert type(error) is TruncatedError, end
        assert content_of(found) == inflate_prefix(data[10:end]), end


@both
@pytest.mark.parametrize("at", [-1, -5])
def test_a_gzip_trailer_is_checked(source: Any, at: int) -> None:
    data = bytearray(gzip.compress(SMALL))
    data[at] ^= 1
    found, error = read_members(source(bytes(data)))
    assert content_of(found) == SMALL
    assert type(error) is ArchiveError
    assert "CRC-32" in str(error)


@both
def test_the_mark_of_a_spanned_archive_is_passed_over(source: Any) -> None:
    data = python_zip({"a.csv": SMALL})
    for mark in (b"PK\x07\x08", b"PK00"):
        assert contents(source(mark + data)) == {"a.csv": SMALL}


def test_a_program_before_the_zip_is_passed_over() -> None:
    assert contents(b"#!/bin/sh\nexit\n" + python_zip({"a.csv": SMALL})) == {"a.csv": SMALL}


def test_a_file_is_read_from_where_it_stands() -> None:
    file = io.BytesIO(b"12345" + python_zip({"a.csv": SMALL}))
    file.seek(5)
    assert contents(file) == {"a.csv": SMALL}


# Members


@both
@pytest.mark.parametrize("streamed", [False, True], ids=["sized", "streamed"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_every_csv_is_a_log_in_order(source: Any, streamed: bool, method: int) -> None:
    files = {
        "readme.txt": b"x" * 5000,
        "b.csv": SMALL,
        "folder/": b"",
        "__MACOSX/._b.csv": b"junk",
        ".hidden.csv": b"junk",
        "folder/A.CSV": LOG,
        "other.json": b"{}",
        "empty.csv": b"",
    }
    found, error = read_members(source(python_zip(files, method=method, streamed=streamed)))
    assert error is None
    assert [name for name, _ in found] == ["b.csv", "folder/A.CSV", "empty.csv"]
    assert content_of(found) == SMALL + LOG


@both
@pytest.mark.parametrize("streamed", [False, True], ids=["sized", "streamed"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_the_only_member_is_the_log_whatever_its_name(source: Any, streamed: bool, method: int) -> None:
    data = python_zip({"__MACOSX/x": b"1", "d/": b"", "log.txt": LOG}, method=method, streamed=streamed)
    assert contents(source(data)) == {"log.txt": LOG}


@both
def test_two_members_and_no_csv_is_an_error_that_lists_them(source: Any) -> None:
    found, error = read_members(source(python_zip({"a.txt": SMALL, "b.txt": SMALL})))
    assert found == []
    assert type(error) is ArchiveError
    assert "'a.txt', 'b.txt'" in str(error)
    assert "members=" in str(error)


@both
def test_nothing_but_hidden_files_is_an_error(source: Any) -> None:
    found, error = read_members(source(python_zip({".a": SMALL, "d/": b""})))
    assert found == []
    assert type(error) is ArchiveError


@both
def test_members_are_asked_for_by_name_or_pattern(source: Any) -> None:
    files = {"a.csv": b"1", "b.txt": b"2", "d/c.csv": b"3", ".d": b"4", "e[1].csv": b"5"}
    data = python_zip(files)
    for wanted, names in (
        (["b.txt"], ["b.txt"]),
        ("b.txt", ["b.txt"]),
        (["*.csv"], ["a.csv", "d/c.csv", "e[1].csv"]),
        (["d/*", "a.csv"], ["a.csv", "d/c.csv"]),
        ([".d"], [".d"]),
        (["e[1].csv"], ["e[1].csv"]),
    ):
        assert list(contents(source(data), members=wanted)) == names


@both
def test_a_member_that_is_not_there_is_an_error(source: Any) -> None:
    _, error = read_members(source(python_zip({"a.csv": b"1"})), members=["b.csv", "a.csv"])
    assert type(error) is ArchiveError
    assert "no member 'b.csv': the archive has only 'a.csv'" in str(error)


@both
def test_members_left_unread_are_passed_over(source: Any) -> None:
    data = python_zip({"a.csv": LOG, "b.csv": SMALL, "c.csv": LOG}, streamed=True)
    names = []
    for member in open_archive(open_source(source(data)), Limits()):
        names.append(member.name)
        if member.name == "a.csv":
            assert len(next(member.blocks(100))) == 100
    assert names == ["a.csv", "b.csv", "c.csv"]


def test_a_zip_in_a_zip_stays_packed() -> None:
    inner = python_zip({"a.csv": SMALL})
    assert contents(python_zip({"inner.zip": inner}, method=zipfile.ZIP_STORED)) == {"inner.zip": inner}


@both
def test_names_in_any_encoding_are_read(source: Any) -> None:
    assert contents(source(python_zip({"жур\u00a0нал.csv": SMALL}))) == {"жур\u00a0нал.csv": SMALL}


# Cuts


@both
@pytest.mark.parametrize("streamed", [False, True], ids=["sized", "streamed"])
@pytest.mark.parametrize("name", ["log.csv", "log.txt"])
def test_a_deflated_zip_cut_anywhere_gives_what_was_there(source: Any, streamed: bool, name: str) -> None:
    data = python_zip({name: SMALL}, streamed=streamed)
    for end in range(1, len(data)):
        found, error = read_members(source(data[:end]), 100)
        assert type(error) is TruncatedError or (end >= len(data) - 22 and isinstance(error, ArchiveError)), end
        assert content_of(found) == (inflate_prefix(data[37:end]) if end > 37 else b""), end


@both
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("streamed", [False, True], ids=["sized", "streamed"])
def test_other_zips_cut_anywhere_give_a_prefix(source: Any, method: int, streamed: bool) -> None:
    data = python_zip({"a.csv": SMALL, "b.csv": SMALL[:50]}, method=method, streamed=streamed)
    for end in range(1, len(data)):
        found, error = read_members(source(data[:end]), 100)
        assert isinstance(error, ArchiveError), end
        assert (SMALL + SMALL[:50]).startswith(content_of(found)), end


@both
def test_a_large_zip_cut_in_the_middle_gives_what_was_there(source: Any) -> None:
    log = make_log(3_000_000)
    data = python_zip({"log.csv": log})
    for end in (len(data) // 3, len(data) // 2, len(data) - 500):
        found, error = read_members(source(data[:end]), 1 << 16)
        assert type(error) is TruncatedError
        assert content_of(found) == inflate_prefix(data[37:end])
        assert f"byte {end}" in str(error)


def test_a_cut_zip_around_a_whole_one_is_not_taken_for_that() -> None:
    inner = python_zip({"inner.csv": b"wrong"})
    data = python_zip({"log.csv": SMALL, "x.zip": inner}, method=zipfile.ZIP_STORED)
    end = data.index(inner) + len(inner)
    found, error = read_members(data[:end])
    assert [name for name, _ in found] == ["log.csv"]
    assert isinstance(error, ArchiveError)


@both
def test_joined_archives_are_never_half_read_in_silence(source: Any) -> None:
    found, error = read_members(source(python_zip({"a.csv": SMALL}) + python_zip({"b.csv": SMALL})))
    assert [name for name, _ in found] == ["a.csv"]
    assert type(error) is ArchiveError


def test_a_source_that_breaks_gives_what_came_before() -> None:
    data = python_zip({"log.txt": LOG})

    def body() -> Any:
        yield data[:20_000]
        raise ConnectionResetError("gone")

    blocks: list[Any] = []
    archive = open_archive(open_source(body()), Limits())
    with pytest.raises(ConnectionResetError):
        blocks.extend(block for member in archive for block in member.blocks(1000))
    assert len(b"".join(blocks)) >= len(inflate_prefix(data[37:20_000])) - 2
    assert LOG.startswith(b"".join(blocks))


# Damage


@both
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("streamed", [False, True], ids=["sized", "streamed"])
def test_a_flipped_bit_in_the_data_is_always_an_error(source: Any, method: int, streamed: bool) -> None:
    data = python_zip({"log.csv": SMALL}, method=method, streamed=streamed)
    dice = random.Random(3)
    for _ in range(75):
        flipped = bytearray(data)
        at = dice.randrange(37 + 9, data.index(b"PK\x01\x02") - 24)
        flipped[at] ^= 1 << dice.randrange(8)
        found, error = read_members(source(bytes(flipped)))
        # Some bits of bzip2 and LZMA mean nothing.
        assert isinstance(error, ArchiveError) or content_of(found) == SMALL, at


@both
@pytest.mark.parametrize("streamed", [False, True], ids=["sized", "streamed"])
def test_a_flipped_bit_anywhere_raises_nothing_else_and_never_changes_the_data(source: Any, streamed: bool) -> None:
    files = {"a.csv": SMALL, "b.csv": SMALL[:90]}
    data = python_zip(files, streamed=streamed, zip64=True)
    # Without its first bytes it is a bare log for whoever cannot look at its end.
    for at in range(4, len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << (at % 8)
        found, error = read_members(source(bytes(flipped)))
        if error is None:
            # A name, a date or a version is not covered by any checksum; a name may stop being *.csv.
            assert all(b"".join(blocks) in files.values() for _, blocks in found), at


def test_every_good_byte_before_damage_comes() -> None:
    log = make_log(2_000_000)
    data = bytearray(python_zip({"log.csv": log}))
    at = 37 + (len(data) * 3) // 4
    data[at : at + 2000] = b"\xff" * 2000
    good = len(inflate_prefix(bytes(data[37:at]))) - 300
    for source in (bytes(data), random_chunks(bytes(data)), Unseekable(bytes(data))):
        found, error = read_members(source, 1 << 18)
        assert type(error) is ArchiveError
        assert content_of(found)[:good] == log[:good]
        assert len(content_of(found)) >= good


def test_little_is_lost_before_damage_far_down_a_stream() -> None:
    dice = random.Random(8)
    log = b"".join(b"%s\n" % dice.randbytes(60).hex().encode() for _ in range(100_000))
    packed = gzip.compress(log, 1)
    for before_end in (300_000, 200_000, 100_000):
        at = len(packed) - before_end
        assert at > 5 << 20
        damaged = packed[:at] + b"\xff" * 2000 + packed[at + 2000 :]
        good = len(inflate_prefix(packed[10:at])) - 300 - (128 << 10)
        found, error = read_members(Unseekable(damaged, 1 << 20), 1 << 20)
        assert type(error) is ArchiveError
        assert content_of(found)[:good] == log[:good]


@both
def test_a_wrong_checksum_is_told_after_the_data(source: Any) -> None:
    data = python_zip({"log.csv": SMALL}, method=zipfile.ZIP_STORED).replace(SMALL[:40], SMALL[:39] + b"?")
    found, error = read_members(source(data))
    assert len(content_of(found)) == len(SMALL)
    assert "CRC-32" in str(error)
    assert "'log.csv'" in str(error)


def test_a_damaged_directory_costs_no_member() -> None:
    data = python_zip({"a.csv": SMALL, "b.csv": LOG})
    for at in (data.index(b"PK\x01\x02"), data.index(b"PK\x01\x02") + 42, len(data) - 22, len(data) - 8):
        broken = bytearray(data)
        broken[at] ^= 0x55
        found, error = read_members(bytes(broken))
        assert content_of(found) == SMALL + LOG, at
        assert isinstance(error, ArchiveError), at


def test_members_that_overlap_are_refused() -> None:
    data = python_zip({"a.csv": SMALL, "b.csv": SMALL})
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    bomb = data[: second + 42] + bytes(4) + data[second + 46 :]
    _, error = read_members(bomb)
    assert isinstance(error, ArchiveError)


# Refused


@both
def test_an_unknown_method_is_named(source: Any) -> None:
    data = python_zip({"log.csv": SMALL}, method=zipfile.ZIP_STORED)
    for method, name in ((9, "Deflate64"), (98, "PPMd"), (77, "unknown")):
        directory = data.index(b"PK\x01\x02")
        changed = bytearray(data)
        changed[8:10] = changed[directory + 10 : directory + 12] = struct.pack("<H", method)
        found, error = read_members(source(bytes(changed)))
        assert type(error) is ArchiveError
        assert f"method {method} ({name})" in str(error)
        assert content_of(found) == b""


@both
@pytest.mark.parametrize("how", ["-mem=ZipCrypto", "-mem=AES256"])
def test_an_encrypted_member_is_refused(source: Any, how: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(SMALL)
    need("7z")
    subprocess.run(
        ["7z", "a", "-bd", "-psecret", how, "out.zip", "log.csv"], cwd=tmp_path, check=True, capture_output=True
    )
    found, error = read_members(source((tmp_path / "out.zip").read_bytes()))
    assert content_of(found) == b""
    assert type(error) is ArchiveError
    assert "encrypted" in str(error)


# Limits


SMALL_MEMBERS = b"".join(gzip.compress(LOG[at : at + 100]) for at in range(0, len(LOG), 100))


@pytest.mark.parametrize(
    "data",
    [python_zip({"a.csv": LOG}), gzip.compress(LOG), SMALL_MEMBERS, LOG],
    ids=["zip", "gzip", "gzip of small members", "bare"],
)
@both
def test_inflated_bytes_are_limited_to_the_byte(source: Any, data: bytes) -> None:
    assert contents(source(data), limits=Limits(max_inflated_bytes=len(LOG)))
    for most in (1, 5000, len(LOG) - 1):
        found, error = read_members(source(data), limits=Limits(max_inflated_bytes=most))
        assert type(error) is LimitError
        assert "Limits.max_inflated_bytes" in str(error)
        assert content_of(found) == LOG[:most]


@both
def test_the_limit_counts_all_members(source: Any) -> None:
    data = python_zip({"a.csv": SMALL, "b.csv": SMALL})
    found, error = read_members(source(data), limits=Limits(max_inflated_bytes=len(SMALL) + 10))
    assert type(error) is LimitError
    assert content_of(found) == SMALL + SMALL[:10]


@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
@pytest.mark.parametrize("streamed", [False, True], ids=["sized", "streamed"])
@both
def test_the_ratio_is_limited(source: Any, streamed: bool, name: str) -> None:
    bomb = python_zip({name: bytes(8 << 20)}, streamed=streamed)
    found, error = read_members(source(bomb), 1 << 18, limits=Limits(max_ratio=100))
    assert type(error) is LimitError
    assert "Limits.max_ratio" in str(error)
    assert len(content_of(found)) < 4 << 20
    assert contents(source(bomb), limits=Limits(max_ratio=2000))[name] == bytes(8 << 20)
    assert contents(source(python_zip({name: bytes(1 << 20)})), limits=Limits(max_ratio=100))


@both
def test_members_are_limited(source: Any) -> None:
    data = python_zip({f"{i}.csv": b"x" for i in range(50)})
    assert len(contents(source(data), limits=Limits(max_members=50))) == 50
    _, error = read_members(source(data), limits=Limits(max_members=49))
    assert type(error) is LimitError
    assert "Limits.max_members" in str(error)


def test_a_directory_too_large_for_its_members_is_not_read() -> None:
    data = python_zip({f"{i:0200}.csv": b"" for i in range(1000)})
    _, error = read_members(data, limits=Limits(max_members=10))
    assert type(error) is LimitError


# Hostile


@both
def test_noise_behind_a_signature_raises_nothing_else(source: Any) -> None:
    dice = random.Random(5)
    for start in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"PK00PK\x03\x04", b"\x1f\x8b", b"\x1f\x8b\x08\x00"):
        for _ in range(200):
            data = start + dice.randbytes(dice.randrange(200))
            found, error = read_members(source(data))
            assert error is not None or not content_of(found)


@both
def test_noise_in_a_header_raises_nothing_else(source: Any) -> None:
    dice = random.Random(6)
    zips = [python_zip({"a.csv": SMALL}, method=m, streamed=s, zip64=True) for m in (0, 8, 14) for s in (False, True)]
    for data in zips:
        directory = data.index(b"PK\x01\x02")
        for _ in range(150):
            changed = bytearray(data)
            at = dice.choice([dice.randrange(60), dice.randrange(directory, len(data) - 4)])
            changed[at : at + 4] = dice.choice([b"\xff" * 4, bytes(4), dice.randbytes(4), b"\xff\xff\xff\x7f"])
            read_members(source(bytes(changed)))


def test_huge_offsets_in_a_file_are_an_archive_error(tmp_path: Path) -> None:
    data = python_zip({"a.csv": SMALL})
    directory = data.index(b"PK\x01\x02")
    for offset in (0xFFFFFFFE, 0x7FFFFFFF, 1 << 63, (1 << 64) - 1):
        changed = bytearray(data)
        if offset < 1 << 32:
            changed[directory + 42 : directory + 46] = struct.pack("<L", offset)
        else:
            extra = struct.pack("<HHQ", 1, 8, offset)
            changed[directory + 42 : directory + 46] = b"\xff" * 4
            changed[directory + 30 : directory + 32] = struct.pack("<H", len(extra))
            changed[directory + 51 : directory + 51] = extra
            changed[-10:-6] = struct.pack("<L", len(changed) - 22 - directory)
        path = tmp_path / "a.zip"
        path.write_bytes(changed)
        found, error = read_members(path)
        assert content_of(found) == SMALL
        assert isinstance(error, ArchiveError)


def test_a_descriptor_inside_stored_data_does_not_end_it() -> None:
    fake = b"PK\x07\x08" + struct.pack("<LLL", 1, 2, 3)
    log = SMALL + fake + SMALL + b"PK\x07" + b"PK\x07\x08" * 20 + SMALL + b"PK\x01\x02PK\x03\x04" * 20
    data = python_zip({"log.csv": log}, method=zipfile.ZIP_STORED, streamed=True)
    for source in ([data], Unseekable(data, 5), (bytes([byte]) for byte in data)):
        assert contents(source) == {"log.csv": log}


@pytest.mark.parametrize("zeros", [1, 12, 16, 20, 24, 28, 100])
@pytest.mark.parametrize("signed", [False, True])
def test_the_descriptor_of_nothing_in_front_of_stored_data_does_not_end_it(zeros: int, signed: bool) -> None:
    log = (b"PK\x07\x08" if signed else b"") + bytes(zeros) + SMALL
    data = python_zip({"log.csv": log}, method=zipfile.ZIP_STORED, streamed=True)
    for source in ([data], (bytes([byte]) for byte in data)):
        assert contents(source) == {"log.csv": log}


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("log", [SMALL, b""])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_descriptors_come_in_four_forms(wide: bool, signed: bool, log: bytes, method: int) -> None:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(log) + packer.flush() if method else log
    header = b"PK\x03\x04" + struct.pack("<3H4x3L2H", 20, 8, method, 0, 0, 0, 5, 0) + b"a.csv"
    sums = struct.pack("<LQQ" if wide else "<LLL", zlib.crc32(log), len(packed), len(log))
    body = header + packed + (b"PK\x07\x08" if signed else b"") + sums
    directory = b"PK\x01\x02" + struct.pack(
        "<4H4x3L5H2L", 20, 20, 8, method, zlib.crc32(log), len(packed), len(log), 5, 0, 0, 0, 0, 0, 0
    )
    directory += b"a.csv"
    end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, len(directory), len(body), 0)
    data = body + directory + end
    assert contents(data) == {"a.csv": log}
    assert contents([data]) == {"a.csv": log}


def test_zlib_does_where_isal_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(inflate, "igzip_lib", None)
    for data in (python_zip({"log.csv": LOG}, streamed=True), gzip.compress(LOG)):
        for kind, source in each_source(data, tmp_path / "log"):
            assert content_of(read_members(source)[0]) == LOG, kind
        found, error = read_members(data[:5000])
        assert type(error) is TruncatedError
        assert LOG.startswith(content_of(found))


@pytest.mark.parametrize(
    ("version", "used"), [("1.8.0", False), ("0.11.1", False), ("1.9.0", True), ("1.10", True), ("2.0", True)]
)
def test_zlib_does_where_isal_is_too_old(version: str, used: bool) -> None:
    code = (
        f"import isal; isal.__version__ = {version!r}; from trackparse.archive import inflate; print(inflate.igzip_lib)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (run.stdout != "None\n") is used


_HUNGRY = """
import resource, sys, zlib
from trackparse.archive.opening import open_archive
from trackparse.limits import Limits
from trackparse.sources.source import open_source
def bomb():
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    for _ in range(int(sys.argv[1])):
        yield packer.compress(bytes(1 << 20))
    yield packer.flush()
for member in open_archive(open_source(bomb()), Limits()):
    for block in member.blocks(1 << 18):
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_stays_flat() -> None:
    few, many = (
        int(subprocess.run([sys.executable, "-c", _HUNGRY, n], check=True, capture_output=True).stdout)
        for n in ("20", "150")
    )
    assert many < few + 8192  # KiB
