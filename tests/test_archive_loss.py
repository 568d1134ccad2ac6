"""Archives of several logs: damage of one is never silent, costs that one alone, and sound archives stay sound."""

from __future__ import annotations

import gzip
import logging
import mmap
import os
import random
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest

import trackparse
from support.archives import python_zip, read_members
from support.kernels import SLOW
from support.tools import here, need
from support.zips import CENTRAL, END, LOCAL, Member, archive, deflate, local_part
from torture import large
from torture.mutations import (
    FLIPPED,
    HEADER,
    LOGS,
    WAYS,
    Form,
    by_archive,
    by_rows,
    flips,
    forms,
    joined_archives,
    lost,
    mutation,
    with_zip64_end,
)
from trackparse.archive import zip_directory
from trackparse.archive.header_search import find_header
from trackparse.errors import ArchiveError, HeaderError

TESTS = Path(__file__).parent
FORMS = forms()
JOINED = joined_archives()
NAMES = ["a.csv", "b.csv", "c.csv"]
EACH = dict(zip(NAMES, LOGS, strict=True))
each_way = pytest.mark.parametrize("way", WAYS)


def found_in(data: bytes, way: str, **options: Any) -> tuple[dict[str, bytes], Exception | None]:
    """What comes out of each member, and the error in the end."""
    found, error = read_members(WAYS[way](data), **options)
    return {name: b"".join(blocks) for name, blocks in found}, error


def rows_of(source: Any) -> tuple[list[str], list[dict[str, Any]], Exception | None]:
    """The tracking codes, the rejects, and the error in the end."""
    codes: list[str] = []
    error = None
    with trackparse.open_log(source, on_error="quarantine") as log:
        try:
            for batch in log:
                codes += batch["tracking_code"].to_pylist()
        except trackparse.TrackparseError as fault:
            error = fault
        return codes, log.rejects.to_pylist(), error


class TestSilence:
    @pytest.mark.parametrize("form", FORMS)
    @each_way
    def test_each_form_is_sound(self, form: str, way: str) -> None:
        data, logs = FORMS[form]
        if form.startswith("a program") and way == "stream":
            with pytest.raises(HeaderError, match=f"a ZIP begins at byte {data.index(b'PK')}"):
                by_rows(WAYS[way](data))
            return
        assert by_archive(WAYS[way](data)) == by_rows(WAYS[way](data))
        assert not lost(data, logs, way, by_archive)

    @pytest.mark.parametrize("form", FLIPPED)
    def test_no_flipped_bit_loses_a_log_in_silence(self, form: str) -> None:
        for what, data in flips(FORMS[form].data):
            for way in WAYS:
                # Both names of a member cannot have it: a warning would be too little.
                assert not lost(data, FORMS[form].logs, way, by_archive, warned=False), f"{what}, {way}"

    @pytest.mark.parametrize("form", JOINED)
    def test_no_flipped_bit_hides_a_joined_archive(self, form: str) -> None:
        data, logs = JOINED[form]
        for what, changed in [("no bit", data), *flips(data)]:
            for way in WAYS:
                assert not lost(changed, logs, way, by_archive, warned=False), f"{what}, {way}"

    @pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["bare", "gzip"])
    @each_way
    def test_a_log_joined_to_an_archive_is_an_error(self, pack: Callable[[bytes], bytes], way: str) -> None:
        inside = archive(Member(LOGS[0], b"0.csv"), comment=b"a comment")
        for log in (LOGS[1], LOGS[1].removeprefix(HEADER), b"\xef\xbb\xbfsep=;\r\n" + LOGS[1]):
            at = len(inside)
            found, error = found_in(inside + pack(log), way)
            assert list(found.values()) == LOGS[:1]
            assert isinstance(error, ArchiveError)
            assert f"byte {at};" in str(error)
        _, error = found_in(pack(LOGS[1]) + inside, "file")
        assert isinstance(error, ArchiveError)
        assert "byte 0;" in str(error)

    def test_no_cut_hides_a_joined_archive(self) -> None:
        one, other = (archive(Member(log, b"%d.csv" % day)) for day, log in enumerate(LOGS[:2]))
        for before in (b"", b"\r\n"):
            for comment in (b"", b"a comment"):
                first = archive(Member(LOGS[0], b"0.csv"), comment=comment)
                # Of fewer bytes nobody knows what they were.
                for length in range(4, len(other)):
                    for way in WAYS:
                        assert not lost(before + first + other[:length], LOGS[:2], way, by_archive), (length, way)
        for length in (1, 30, len(one) - 22):
            assert not lost(one[length:] + other, LOGS[:2], "file", by_archive), length

    @pytest.mark.parametrize("prefix", [b"", b"\n", b"#!/bin/sh\nexit\n"])
    @pytest.mark.parametrize("index", range(3))
    @pytest.mark.parametrize("method", [0, 8])
    @pytest.mark.parametrize("descriptor", ["", "signed 32"])
    def test_a_member_that_the_directory_lacks_is_an_error(
        self, prefix: bytes, index: int, method: int, descriptor: str
    ) -> None:
        members = [Member(log, name.encode(), method, descriptor=descriptor) for name, log in EACH.items()]
        whole = archive(*members, prefix=prefix)
        start = whole.index(CENTRAL)
        listed = [CENTRAL + one for one in whole[start : whole.index(END)].split(CENTRAL)[1:]]
        directory = b"".join(listed[:index] + listed[index + 1 :])
        end = struct.pack("<4H2LH", 0, 0, 2, 2, len(directory), start - len(prefix), 0)
        found, error = found_in(whole[:start] + directory + END + end, "file")
        assert isinstance(error, ArchiveError)
        assert {name: log for name, log in EACH.items() if name != NAMES[index]}.items() <= found.items()
        if prefix or index:
            at = len(prefix) + sum(len(local_part(member)) for member in members[:index])
            assert f"byte {at} " in str(error)

    def test_no_mutation_loses_a_log_in_silence(self) -> None:
        dice = random.Random(20)
        for number in range(100):
            for name, form in FORMS.items():
                what, data = mutation(form.data, dice)
                for way in WAYS:
                    loss = lost(data, form.logs, way, by_archive if number else by_rows)
                    assert not loss, f"{name}, {what}, {way}: {loss}"

    def test_a_loss_would_be_seen(self) -> None:
        """What the tests above are worth."""
        without = archive(Member(LOGS[0], b"0.csv"), Member(b"nothing", b"1.txt"))
        for way in WAYS:
            assert lost(without, LOGS[:2], way, by_archive)
            assert lost(without, LOGS[:2], way, by_rows)


class TestNames:
    def with_names(self, local: bytes, listed: bytes) -> bytes:
        """Three logs; the second has two names, of the same length."""
        data = archive(*(Member(log, name.encode()) for name, log in EACH.items()))
        first, second = data.index(b"b.csv"), data.rindex(b"b.csv")
        data = data[:first] + local + data[first + 5 :]
        return data[:second] + listed + data[second + 5 :]

    @pytest.mark.parametrize(("local", "listed"), [(b"b.csr", b"b.csv"), (b"b.csv", b"b.csr"), (b".bcsv", b"b.csv")])
    @each_way
    def test_two_names_of_which_one_is_a_log_are_an_error(self, local: bytes, listed: bytes, way: str) -> None:
        found, error = found_in(self.with_names(local, listed), way)
        assert isinstance(error, ArchiveError)
        assert "names" in str(error)
        # From a file it is read nevertheless; in a stream it has gone by if its own header does not call it a log.
        expected = LOGS if way == "file" or local == b"b.csv" else [LOGS[0], LOGS[2]]
        assert list(found.values()) == expected

    @pytest.mark.parametrize(("local", "listed"), [(b"x.csv", b"b.csv"), (b"b.csv", b"b.CSV")])
    @each_way
    def test_other_differences_are_none(self, local: bytes, listed: bytes, way: str) -> None:
        found, error = found_in(self.with_names(local, listed), way)
        assert error is None
        assert list(found.values()) == LOGS

    def test_two_names_that_are_cut_to_nothing_are_an_error(self) -> None:
        data = bytearray(self.with_names(b"b.csv", b"\0.csv"))
        at = data.index(b"b.csv")
        data[at - 4 : at] = struct.pack("<HH", 0, 0)
        found, error = found_in(bytes(data), "file")
        assert list(found.values()) == [LOGS[0], LOGS[2]]
        assert isinstance(error, ArchiveError)

    @pytest.mark.parametrize("members", [None, ["жур.csv"], ["жур*"]])
    @pytest.mark.parametrize(("local", "listed"), [(0x800, 0), (0, 0x800), (0x800, 0x800)])
    def test_an_encoding_is_no_difference(self, local: int, listed: int, members: list[str] | None) -> None:
        data = archive(
            Member(LOGS[0], "жур.csv".encode(), local={"flags": local}, central={"flags": listed}),
            Member(LOGS[1], b"README.txt"),
        )
        # The directory's name counts from a file, the header's in a stream.
        for way, marked in (("file", listed), ("stream", local)):
            if members is None or marked:
                found, error = found_in(data, way, members=members)
                assert error is None
                assert list(found.values()) == LOGS[:1]

    def test_a_name_in_two_encodings_is_the_same(self) -> None:
        name = "müll.csv"
        data = archive(Member(LOGS[0], name.encode("cp437")), Member(LOGS[1], b"b.csv"))
        at = data.rindex(name.encode("cp437"))
        wide = name.encode()
        # One byte more in the directory: its name, its size.
        flagged = bytearray(data[:at] + wide + data[at + len(wide) - 1 :])
        flagged[at - 38 : at - 36] = struct.pack("<H", 0x800)
        flagged[at - 18 : at - 16] = struct.pack("<H", len(wide))
        end = flagged.index(END)
        size = int.from_bytes(flagged[end + 12 : end + 16], "little") + 1
        flagged[end + 12 : end + 16] = struct.pack("<L", size)
        for way in WAYS:
            found, error = found_in(bytes(flagged), way)
            assert error is None
            assert list(found.values()) == LOGS[:2]

    @each_way
    def test_a_name_in_the_extra_field_for_unicode_is_its_name(self, way: str) -> None:
        raw, name = b"zhur.csv", "жур.csv"
        for given, wanted in ((raw, raw), (b"\x81.csv", name.encode())):
            extra = b"\1" + struct.pack("<L", zlib.crc32(given)) + name.encode()
            extra = struct.pack("<HH", 0x7075, len(extra)) + extra
            found, error = found_in(archive(Member(LOGS[0], given, extra=extra, central_extra=extra)), way)
            assert error is None
            assert list(found) == [wanted.decode()]


class TestCounts:
    """What the record at the end says, against what is there."""

    @pytest.mark.parametrize("entries", [1, 2, 4, 0x103])
    @each_way
    def test_another_number_of_members_is_an_error(self, entries: int, way: str) -> None:
        data = archive(*(Member(log, name.encode()) for name, log in EACH.items()), end={"entries": entries})
        found, error = found_in(data, way)
        assert found == EACH
        assert isinstance(error, ArchiveError)
        assert f"counts {entries}" in str(error)

    @each_way
    def test_a_comment_that_swallows_the_next_entry_is_an_error(self, way: str) -> None:
        data = bytearray(archive(*(Member(log, name.encode()) for name, log in EACH.items())))
        at = data.index(CENTRAL)
        data[at + 32 : at + 34] = struct.pack("<H", 46 + len("b.csv"))
        found, error = found_in(bytes(data), way)
        assert found == EACH
        assert isinstance(error, ArchiveError)

    def test_more_members_than_its_sixteen_bits_hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # With as few bits as three members need: 65,537 take seconds.
        monkeypatch.setattr("trackparse.archive.zip_headers._MAX16", 1)
        data = archive(*(Member(log, name.encode()) for name, log in EACH.items()), end={"entries": 1})
        for way in WAYS:
            assert found_in(data, way) == (EACH, None)


FILES = {"a.csv": LOGS[0], "b.txt": LOGS[1], "README.txt": b"made by a service", "d/": b"", ".b": LOGS[2]}


class TestLeftOut:
    @pytest.mark.parametrize("streamed", [False, True], ids=["sized", "streamed"])
    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    @each_way
    def test_they_are_counted_and_those_like_a_log_named(
        self, way: str, method: int, streamed: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        for files in (FILES, dict(reversed(FILES.items()))):
            caplog.clear()
            data = python_zip(files, method=method, streamed=streamed)
            with trackparse.open_log(WAYS[way](data)) as log, caplog.at_level(logging.WARNING):
                assert log.read_all().num_rows == 1
                assert log.stats.members == 1
                assert log.stats.members_left_out == 3
            [line] = [record.getMessage() for record in caplog.records]
            assert "'b.txt'" in line
            assert "'.b'" in line
            assert "README" not in line
            assert "members=" in line

    @pytest.mark.parametrize("before", [b"sep=;\n", b'"sep=;"\r\n', b"\xef\xbb\xbfsep=;\r\n\r\n", b"\n\nsep=;\n \n"])
    @each_way
    def test_what_excel_puts_before_a_log_hides_none(
        self, way: str, before: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        for log in (LOGS[1], LOGS[1].removeprefix(HEADER)):
            caplog.clear()
            table = trackparse.read_log(WAYS[way](python_zip({"a.csv": LOGS[0], "b.txt": before + log})))
            assert table.num_rows == 1
            assert "'b.txt'" in caplog.text

    @pytest.mark.parametrize("streamed", [False, True], ids=["sized", "streamed"])
    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    @each_way
    def test_a_log_named_like_a_folder_is_counted_and_named(
        self, way: str, method: int, streamed: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        data = python_zip({"a.csv": LOGS[0], "b.csv/": LOGS[1], "c/": b""}, method=method, streamed=streamed)
        with trackparse.open_log(WAYS[way](data)) as log:
            assert log.read_all().num_rows == 1
            assert log.stats.members_left_out == 1
        assert "'b.csv/'" in caplog.text

    @each_way
    def test_who_chose_is_not_told(self, way: str, caplog: pytest.LogCaptureFixture) -> None:
        with trackparse.open_log(WAYS[way](python_zip(FILES)), members=["a.csv"]) as log:
            log.read_all()
            assert log.stats.members_left_out == 3
        assert not caplog.records

    @each_way
    def test_a_log_alone_leaves_nothing_out(self, way: str) -> None:
        with trackparse.open_log(WAYS[way](python_zip({"d/": b"", "log.txt": LOGS[0]}))) as log:
            assert log.read_all().num_rows == 1
            assert log.stats.members_left_out == 0


def damaged(how: str) -> Form:
    """Three logs of which the second is damaged; and what comes of them, each in its place."""
    second = Member(LOGS[1], b"b.csv")
    members = {
        "checksum": Member(LOGS[1], b"b.csv", local={"crc": 1}, central={"crc": 1}),
        "checksum in a descriptor": Member(
            LOGS[1] + b"?", b"b.csv", packed=deflate(LOGS[1]), central={"size": len(LOGS[1])}, descriptor="signed 32"
        ),
        "size": Member(LOGS[1], b"b.csv", local={"size": 9}, central={"size": 9}),
        "data": Member(LOGS[1], b"b.csv", packed=deflate(LOGS[1])[:20] + b"\xff" * 40),
        "first byte of the data": Member(LOGS[1], b"b.csv", packed=b"\xff" + deflate(LOGS[1])[1:]),
        "stored data": Member(LOGS[1], b"b.csv", method=0, packed=LOGS[1][:-3] + b"?" + LOGS[1][-2:]),
        "header of the log": Member(LOGS[1], b"b.csv", method=0, packed=b"X" + LOGS[1][1:].replace(b"_", b"-")),
        "encrypted": Member(LOGS[1], b"b.csv", flags=1),
        "a method that nobody knows": Member(LOGS[1], b"b.csv", method=77),
        "its local header": second,
        "all of it": second,
    }
    data = archive(Member(LOGS[0], b"a.csv"), members[how], Member(LOGS[2], b"c.csv"))
    at = data.index(b"b.csv") - 30
    if how == "its local header":
        data = data[:at] + bytes(35) + data[at + 35 :]
    if how == "all of it":
        end = data.index(b"c.csv") - 30
        data = data[:at] + b"\xee" * (end - at) + data[end:]
    return Form(data, LOGS)


DAMAGES = [
    "checksum",
    "checksum in a descriptor",
    "size",
    "data",
    "first byte of the data",
    "stored data",
    "header of the log",
    "encrypted",
    "a method that nobody knows",
    "its local header",
    "all of it",
]


class TestDamageOfOne:
    @pytest.mark.parametrize("how", DAMAGES)
    @each_way
    def test_costs_that_one_alone_and_is_told_in_the_end(self, how: str, way: str) -> None:
        codes, _, error = rows_of(WAYS[way](damaged(how).data))
        if way == "stream" and how in ("header of the log", "its local header", "all of it"):
            # What else may be there is known behind the damage only.
            assert codes == ["T-0"]
            assert isinstance(error, (ArchiveError, HeaderError))
            return
        assert isinstance(error, ArchiveError)
        assert [code for code in codes if code in ("T-0", "T-2")] == ["T-0", "T-2"]
        assert "'b.csv'" in str(error)
        assert "'c.csv'" not in str(error)

    @each_way
    def test_its_rows_before_the_damage_come(self, way: str) -> None:
        rows = b"".join(b"2021-04-20 13:01:01;N-%d\n" % i for i in range(1000))
        log = LOGS[1] + rows
        data = archive(
            Member(LOGS[0], b"a.csv"),
            Member(log, b"b.csv", packed=deflate(log)[:-9] + bytes(9)),
            Member(LOGS[2], b"c.csv"),
        )
        codes, rejects, error = rows_of(WAYS[way](data))
        assert isinstance(error, ArchiveError)
        assert "'b.csv'" in str(error)
        assert codes[:900] == ["T-0", "T-1", *(f"N-{i}" for i in range(898))]
        assert codes[-1] == "T-2"
        # What was cut off belongs to its own member.
        assert all(reject["member"].endswith(": member 'b.csv'") for reject in rejects)

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    @pytest.mark.parametrize("crc", [1, zlib.crc32(LOGS[0])], ids=["of none", "of another one"])
    def test_a_crc_that_only_the_directory_tells_of_names_its_member(self, crc: int, method: int) -> None:
        members = [Member(log, b"%d.csv" % i, method) for i, log in enumerate(LOGS)]
        members[1] = Member(LOGS[1], b"1.csv", method, central={"crc": crc})
        found, error = found_in(archive(*members), "stream")
        assert list(found.values()) == LOGS
        assert isinstance(error, ArchiveError)
        assert "checksums" in error.message
        assert error.message.endswith(": '1.csv'")

    @pytest.mark.parametrize("at", range(0, 16, 4))
    def test_a_damaged_descriptor_names_its_member(self, at: int) -> None:
        data = bytearray(python_zip(EACH, method=zipfile.ZIP_DEFLATED, streamed=True))
        start = data.index(b"PK\x07\x08", data.index(b"PK\x07\x08") + 4)
        data[start + at] ^= 1
        found, error = found_in(bytes(data), "stream")
        assert list(found.values())[:2] == LOGS[:2]
        assert isinstance(error, ArchiveError)
        assert "member 'b.csv': no matching data descriptor behind its data" in error.message
        # One that is longer than it should be.
        data[start + at] ^= 1
        data[start + 16 : start + 16] = bytes(4)
        _, error = found_in(bytes(data), "stream")
        assert isinstance(error, ArchiveError)
        assert "member 'b.csv': expected a ZIP header behind its data" in error.message

    @each_way
    def test_of_several_each_is_named(self, way: str) -> None:
        members = [Member(LOGS[0], b"%d.csv" % i, local={"crc": i}, central={"crc": i}) for i in range(4)]
        found, error = found_in(archive(*members, Member(LOGS[1], b"good.csv")), way)
        assert list(found.values()) == [*[LOGS[0]] * 4, LOGS[1]]
        assert isinstance(error, ArchiveError)
        assert all(f"'{i}.csv'" in error.message for i in range(4))
        assert error.advice == "fetch the archive again"
        assert "good" not in str(error)

    @each_way
    def test_of_a_file_that_is_no_log_costs_no_log(self, way: str) -> None:
        readme = Member(b"x" * 99, b"README.txt", descriptor="signed 32", packed=deflate(b"x" * 98 + b"y"))
        logs = [Member(LOGS[0], b"a.csv"), Member(LOGS[1], b"b.csv")]
        for place in range(3):
            found, error = found_in(archive(*logs[:place], readme, *logs[place:]), way)
            assert list(found.values()) == LOGS[:2]
            # Nobody reads it from a file.
            assert way == "file" or "README" in str(error)

    @each_way
    def test_of_the_only_log_is_told_once(self, way: str) -> None:
        log = Member(LOGS[0] + b"?", b"log.txt", descriptor="signed 32", packed=deflate(LOGS[0]))
        found, error = found_in(archive(Member(b"", b"d/", method=0), log), way)
        assert list(found.values()) == LOGS[:1]
        assert str(error).count("'log.txt'") == 1

    @pytest.mark.parametrize("field", ["offset", "packed"])
    def test_a_wrong_place_in_the_directory_costs_nothing(self, field: str) -> None:
        for method in (0, 8):
            members = [Member(log, name.encode(), method) for name, log in EACH.items()]
            for index in range(3):
                for value in (0, 7, 1 << 20):
                    wrong = Member(LOGS[index], NAMES[index].encode(), method, central={field: value})
                    made = archive(*members[:index], wrong, *members[index + 1 :])
                    found, error = found_in(made, "file")
                    assert found == EACH, (index, value)
                    assert isinstance(error, ArchiveError) or (field, index, value) == ("offset", 0, 0)

    def test_the_limits_are_no_damage(self) -> None:
        for way in WAYS:
            found, error = found_in(
                FORMS["three logs"].data, way, limits=trackparse.Limits(max_inflated_bytes=len(LOGS[0]) + 5)
            )
            assert isinstance(error, trackparse.LimitError)
            assert list(found.values()) == [LOGS[0], LOGS[1][:5]]

    def test_what_is_kept_of_it(self, tmp_path: Path) -> None:
        dest = tmp_path / "log.parquet"
        report = trackparse.convert_log(damaged("data").data, dest, on_damage="keep", on_error="skip")
        assert report.members == 3
        assert "'b.csv'" in str(report.damage)


PHP = """
$zip = new ZipArchive();
$zip->open('out.zip', ZipArchive::CREATE);
$zip->addEmptyDir('empty');
foreach (['a.csv', 'b.csv', 'жур.csv', 'README.txt'] as $name) { $zip->addFile($name); }
$zip->setArchiveComment('made on Monday');
$zip->setEncryptionName('README.txt', ZipArchive::EM_AES_256, 'secret');
$zip->close();
"""
PIPED = " | cat > ../piped.zip && mv ../piped.zip out.zip"
SHELL = {
    "zip": "zip -q -r out.zip .",
    "zip with a comment": "zip -q -r out.zip . && echo 'PK is sound' | zip -q -z out.zip",
    "zip, zip64": "zip -q -r -fz out.zip .",
    "zip to a pipe": "zip -q -r - ." + PIPED,
    "zip with a prefix, adjusted": "zip -q -r in.zip . && printf '#!/bin/sh\\nexit\\n' | cat - in.zip > out.zip && "
    "rm in.zip && zip -q -A out.zip",
    "zip, a member deleted and one added": "echo x > x.txt && zip -q -r out.zip . && zip -q -d out.zip x.txt && "
    "echo y > y.txt && zip -q out.zip y.txt",
    "zip, UTF-8 names": "zip -q -r -UN=UTF8 out.zip .",
    "zip, bzip2": "zip -q -r -Z bzip2 out.zip .",
    "7z": "7z a -bd out.zip . > /dev/null",
    "7z, another member encrypted": "7z a -bd out.zip *.csv empty > /dev/null && "
    "7z a -bd -psecret out.zip README.txt > /dev/null",
    "7z, stored": "7z a -bd -mx=0 out.zip . > /dev/null",
    "bsdtar": "bsdtar -c --format zip -f out.zip *",
    "bsdtar to a pipe": "bsdtar -c --format zip -f - *" + PIPED,
    "bsdtar, stored": "bsdtar -c --format zip --options zip:compression=store -f - *" + PIPED,
    "python": "python3 -m zipfile -c out.zip *",
}


class TestSoundForms:
    """What writers in use make, and what unzip calls sound, gives every log and no error."""

    def folder(self, path: Path) -> dict[str, bytes]:
        files = {"a.csv": LOGS[0], "b.csv": LOGS[1], "жур.csv": LOGS[2], "README.txt": b"made by a service"}
        for name, data in files.items():
            (path / name).write_bytes(data)
        (path / "empty").mkdir()
        return {name: data for name, data in files.items() if name.endswith(".csv")}

    @pytest.mark.parametrize("tool", [*SHELL, "php"])
    def test_by_the_tools_in_use(self, tool: str, tmp_path: Path) -> None:
        # Into a folder beside: a pipe's end opens its file before the archiver has listed the folder, or after.
        folder = tmp_path / "logs"
        folder.mkdir()
        files = self.folder(folder)
        program = tool.split()[0].strip(",")
        part = {"php": "php's class ZipArchive", "zip, bzip2": "zip's bzip2", "python": "python3"}
        need(part.get(tool, program))
        command = ["php", "-r", PHP] if tool == "php" else ["sh", "-c", SHELL[tool]]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        data = (folder / "out.zip").read_bytes()
        for way in WAYS:
            if "prefix" in tool and way == "stream":
                continue
            found, error = found_in(data, way)
            assert error is None, (way, error)
            assert sorted(found.values()) == sorted(files.values()), way
            # Where a name has no mark of its encoding, nobody knows it.
            assert {"a.csv", "b.csv"} <= {name.removeprefix("./") for name in found}

    @pytest.mark.parametrize(
        ("before", "behind"),
        [
            (b"\xef\xbb\xbf", b""),
            (b"\n", b""),
            (b"\r\n\r\n", b""),
            (b"\xef\xbb\xbf\r\n", b"\r\n"),
            (b" " * 5000, bytes(300)),
            (b"#!/bin/sh\nexit\n", b"\n"),
            (b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n0\r\n"),
            (b"x" * 70_000, b""),
            (b"PK", b"PK"),
            (b"", b"\r\n" * 100),
        ],
    )
    @pytest.mark.parametrize("zip64", [False, True])
    @pytest.mark.parametrize("counted", [False, True])
    def test_behind_and_before_other_bytes(
        self, before: bytes, behind: bytes, zip64: bool, counted: bool, tmp_path: Path
    ) -> None:
        members = [Member(log, name.encode()) for name, log in EACH.items()]
        whole = archive(*members, prefix=before, shift=len(before) if counted else 0)
        if zip64:
            at = whole.index(END)
            offset = at if counted else at - len(before)
            whole = with_zip64_end(whole)
            # The locator counts as the other offsets do.
            place = whole.index(b"PK\6\7") + 8
            whole = whole[:place] + struct.pack("<Q", offset) + whole[place + 8 :]
        data = whole + behind
        path = tmp_path / "log.zip"
        path.write_bytes(data)
        if here("unzip"):
            # It warns of what is before and behind, with 1.
            assert subprocess.run(["unzip", "-tqq", path], capture_output=True, check=False).returncode in (0, 1)
        for source in (data, path):
            found, error = read_members(source)
            assert error is None
            assert {name: b"".join(blocks) for name, blocks in found} == EACH
        if not before.strip(b"\xef\xbb\xbf \r\n"):
            assert found_in(data, "stream") == (EACH, None)
        else:
            with pytest.raises(HeaderError, match="not a tracking log") as caught:
                trackparse.read_log([data])
            assert f"begins at byte {len(before)}," in str(caught.value)

    @pytest.mark.parametrize(
        "chance",
        [
            b"PK\3\4 and PK\1\2 and PK\5\6 begin the parts of a ZIP, of which this program knows four",
            (b"PK\3\4" + bytes(60)) * 3,
            (b"PK\1\2" + bytes(60)) * 3,
            (b"PK\5\6" + bytes(60)) * 3,
            b"PK\3\4\x14\0\0\0\x08\0" + bytes(60),  # a name of no bytes
            b"PK\3\4\x14\0\0\0\x08\0" + bytes(16) + b"\5\0\0\0" + b"\0\1\2\3\4" + bytes(30),  # none of letters
            b"PK\3\4\x14\0\0\0\x07\0" + bytes(16) + b"\5\0\0\0a.csv" + bytes(30),  # a method that is none
            b"PK\3\4" + b"\xff" * 60,
            random.Random(1).randbytes(60_000).replace(b"x", b"PK\3\4").replace(b"y", b"PK\1\2"),
        ],
    )
    def test_signatures_by_chance_are_no_archive(self, chance: bytes) -> None:
        members = [Member(log, name.encode()) for name, log in EACH.items()]
        # Behind other bytes: it would be read forward else, from the first header that looks like one.
        for data in (
            archive(*members, prefix=b"MZ" + chance),
            archive(*members, comment=b"a comment " + chance),
            archive(*members, suffix=b"\n" + chance),
        ):
            assert found_in(data, "file") == (EACH, None)
        for data in (archive(*members, comment=chance), archive(*members, suffix=b"\n" + chance)):
            assert found_in(data, "stream") == (EACH, None)

    @each_way
    def test_an_archive_in_an_archive_is_a_member(self, way: str) -> None:
        inner = archive(Member(LOGS[2], b"inner.csv"))
        for descriptor in ("", "signed 32"):
            members = [
                Member(LOGS[0], b"a.csv"),
                Member(inner, b"inner.zip", 0, descriptor=descriptor),
                Member(LOGS[1], b"b.csv"),
            ]
            assert list(found_in(archive(*members), "file")[0].values()) == LOGS[:2]
        found, error = found_in(archive(members[0], Member(inner, b"inner.zip", 0), members[2]), way)
        assert error is None
        assert list(found.values()) == LOGS[:2]

    def test_a_stream_that_goes_on_behind_its_archive_has_a_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("trackparse.archive.zip_forward._BEHIND_MOST", 1 << 20)
        data = FORMS["three logs"].data
        assert read_members(iter([data, bytes(1 << 20)]))[1] is None
        passed = 0

        def endless() -> Iterator[bytes]:
            nonlocal passed
            yield data
            while True:
                passed += 1
                yield bytes(1 << 16)

        found, error = read_members(endless())
        assert [b"".join(blocks) for _, blocks in found] == LOGS
        assert isinstance(error, ArchiveError)
        assert f"at byte {len(data)}" in str(error)
        assert passed < 20

    def test_a_damaged_directory_behind_other_bytes_costs_no_log(self) -> None:
        data = archive(*(Member(log, name.encode()) for name, log in EACH.items()), prefix=b"#!/bin/sh\n")
        found, error = found_in(data.replace(CENTRAL, b"PK\1\3"), "file")
        assert found == EACH
        assert isinstance(error, ArchiveError)

    def test_a_log_that_mentions_an_archive_is_a_log(self) -> None:
        header = archive(Member(b"x"))[:40]
        log = HEADER + b"2021-04-20 13:01:01;" + header + b"\n2021-04-20 13:01:01;PK\5\6" + bytes(18) + b"\n"
        for way in WAYS:
            with trackparse.open_log(WAYS[way](log), on_error="quarantine") as opened:
                assert opened.read_all().num_rows + opened.rejects.num_rows >= 1

    def test_a_comment_full_of_ends(self) -> None:
        for comment in (END * 1000, (END + bytes(18)) * 100, END + b"\xff" * 18 + END):
            data = archive(*(Member(log, name.encode()) for name, log in EACH.items()), comment=comment)
            for way in WAYS:
                assert found_in(data, way) == (EACH, None)


class TestModulo:
    """macOS writes sizes and offsets modulo 2^32, and no zip64."""

    @pytest.mark.skipif(SLOW > 1, reason="the slow kernel takes minutes")
    def test_a_log_of_more_than_four_gigabytes(self, tmp_path: Path) -> None:
        path = tmp_path / "log.zip"
        with path.open("wb") as file:
            file.writelines(large.archive())
        with trackparse.open_log(path, columns=["status"]) as log:
            assert sum(batch.num_rows for batch in log) == large.ROWS * large.PIECES + 1
            assert log.stats.members == 2
            assert log.stats.bytes_inflated > 1 << 32

    @pytest.mark.parametrize("method", [0, 8])
    def test_offsets_beyond_it(self, method: int, tmp_path: Path) -> None:
        """In a file with a hole between its members."""
        first = local_part(Member(LOGS[0], b"a.csv", method))
        second = local_part(Member(LOGS[1], b"b.csv", method))
        third = local_part(Member(LOGS[2], b"c.csv", method))
        for hole in ((1 << 32) + 5, 3 << 32):
            places = [0, len(first) + hole, len(first) + hole + len(second)]
            members = [
                Member(log, name.encode(), method, central={"offset": place % (1 << 32)})
                for (name, log), place in zip(EACH.items(), places, strict=True)
            ]
            start = places[2] + len(third)
            tail = archive(*members, end={"offset": start % (1 << 32)})
            path = tmp_path / f"{hole}.zip"
            with path.open("wb") as file:
                for place, part in zip(places, (first, second, third), strict=True):
                    file.seek(place)
                    file.write(part)
                file.write(tail[tail.index(CENTRAL) :])
            found, error = read_members(path)
            assert error is None
            assert {name: b"".join(blocks) for name, blocks in found} == EACH


class TestLimitsOfWhatIsSkipped:
    def bomb(self, mebibytes: int) -> Iterator[bytes]:
        """A member of unknown size that is no log, and has to be inflated to find its end."""
        yield b"PK\3\4" + struct.pack("<3H4x3L2H", 20, 8, 8, 0, 0, 0, 5, 0) + b"a.bin"
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        for _ in range(mebibytes):
            yield packer.compress(bytes(1 << 20))
        yield packer.flush()

    def test_its_inflated_bytes_count(self) -> None:
        passed = 0

        def counted() -> Iterator[bytes]:
            nonlocal passed
            for part in self.bomb(64):
                passed += 1
                yield part

        with pytest.raises(trackparse.LimitError, match="max_inflated_bytes"):
            trackparse.read_log(counted(), limits=trackparse.Limits(max_inflated_bytes=5 << 20), members=["*.csv"])
        assert passed < 50

    def test_what_several_of_them_have_is_added_up(self) -> None:
        files = {f"{number}.bin": bytes(1 << 20) for number in range(4)}
        data = python_zip({**files, "a.csv": LOGS[0]}, streamed=True)
        found, error = found_in(data, "stream", limits=trackparse.Limits(max_inflated_bytes=(2 << 20) + 1))
        assert not found
        assert isinstance(error, trackparse.LimitError)
        assert "'2.bin'" in str(error)

    @pytest.mark.parametrize("streamed", [False, True])
    def test_the_only_log_counts_once(self, streamed: bool) -> None:
        data = python_zip({"log.txt": LOGS[0]}, streamed=streamed)
        for way in WAYS:
            for most in (len(LOGS[0]) - 1, len(LOGS[0])):
                found, error = found_in(data, way, limits=trackparse.Limits(max_inflated_bytes=most))
                assert found["log.txt"] == LOGS[0][:most]
                assert (error is None) is (most == len(LOGS[0]))

    @pytest.mark.parametrize("described", [False, True])
    def test_what_is_skipped_behind_the_only_log_counts_as_well(self, described: bool) -> None:
        log, other = LOGS[0], bytes(10_000)
        first = Member(log, b"log", descriptor="signed 32" if described else "")
        data = archive(first, Member(other, b"__MACOSX/._x", descriptor="signed 32"))
        for missing in (1, 0):
            limits = trackparse.Limits(max_inflated_bytes=len(log) + len(other) - missing)
            found, error = found_in(data, "stream", limits=limits)
            assert isinstance(error, trackparse.LimitError) if missing else error is None
            # A descriptor has it inflated first, to find its end.
            assert found["log"] == (log if described else log[: len(log) - missing])


class TestSmallGzipMembers:
    """They are taken many at a time, and nothing shows it."""

    def contents(self) -> list[bytes]:
        dice = random.Random(7)
        sizes = [0, 1, 2, 30, 200, 300, 5000]
        return [dice.randbytes(dice.choice(sizes)) if i % 3 else bytes(dice.choice(sizes)) for i in range(300)]

    @pytest.mark.parametrize("block_size", [1, 50, 1 << 20])
    @pytest.mark.parametrize("cut_at", [0, 7, 5000])
    def test_their_content_comes_in_order(self, block_size: int, cut_at: int) -> None:
        parts = [HEADER, *self.contents()[: 30 if block_size == 1 else 300]]
        data = b"".join(gzip.compress(part) + bytes(len(part) % 3) for part in parts)
        source = [data[at : at + cut_at] for at in range(0, len(data), cut_at)] if cut_at else data
        found, error = read_members(source, block_size)
        assert error is None
        assert b"".join(found[0][1]) == b"".join(parts)
        assert all(len(block) == block_size for block in found[0][1][:-1])

    @pytest.mark.parametrize("at", [0, 2, 3, 8, -8, -1])
    @each_way
    def test_a_damaged_one_is_told_behind_those_before_it(self, at: int, way: str) -> None:
        bad = bytearray(gzip.compress(b"worse\n", mtime=0))
        bad[at] ^= 0xE0
        data = gzip.compress(HEADER) + gzip.compress(b"good\n") * 1000 + bytes(bad) + gzip.compress(b"good\n") * 9
        found, error = read_members(WAYS[way](data))
        content = b"".join(found[0][1])
        if at == 8:
            # What it says of how it was packed means nothing.
            assert error is None
            return
        assert isinstance(error, ArchiveError)
        assert content.removesuffix(b"worse\n") == HEADER + b"good\n" * 1000

    @pytest.mark.parametrize("way", WAYS)
    def test_a_cut_one_is_told(self, way: str) -> None:
        data = gzip.compress(HEADER) + gzip.compress(b"good\n") * 1000
        for length in (1, 8, 9, 15, 23):
            found, error = read_members(WAYS[way](data[:-length]))
            assert isinstance(error, trackparse.TruncatedError)
            assert b"".join(found[0][1])[: len(HEADER) + 4995] == HEADER + b"good\n" * 999

    def test_their_bytes_count(self) -> None:
        data = gzip.compress(HEADER) + gzip.compress(b"good\n") * 1000
        for most in (len(HEADER), len(HEADER) + 7, len(HEADER) + 4999, len(HEADER) + 5000):
            found, error = read_members(data, limits=trackparse.Limits(max_inflated_bytes=most))
            assert len(b"".join(found[0][1])) == most
            assert isinstance(error, trackparse.LimitError) is (most < len(HEADER) + 5000)


NAMES_IN_MEMORY = """
import sys, trackparse
from support.zips import Member, local_part
def peak():
    with open("/proc/self/status") as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmHWM")))
def read(count):
    try:
        trackparse.read_log(local_part(Member(b"x", b"%05d" % i + b"n" * 60_000, 0)) for i in range(count))
    except trackparse.ArchiveError:
        return
    sys.exit("read")
read(9)
before = peak()
read(int(sys.argv[1]))
print((peak() - before) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_long_names_in_a_stream_are_not_kept() -> None:
    commands = ([sys.executable, "-c", NAMES_IN_MEMORY, number] for number in ("500", "1500"))
    # In development mode every allocation of Python's is larger.
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONDEVMODE"}
    few, lots = (
        int(subprocess.run(one, check=True, capture_output=True, cwd=TESTS, env=plain).stdout) for one in commands
    )
    assert lots < few + 16  # MiB; there are 57 more of names


def test_a_closed_log_lets_go_of_its_source() -> None:
    data = bytearray(python_zip({"a.csv": LOGS[0]}))
    with trackparse.open_log(data) as log:
        batches = list(log)
    data += b"it can grow again"
    assert batches[0].num_rows == 1
    for early in (bytearray(LOGS[0]), bytearray(LOGS[0] * 1000)):
        opened = trackparse.open_log(early, block_size=100)
        opened.close()
        early.clear()
    with mmap.mmap(-1, len(LOGS[0])) as mapped:
        mapped.write(LOGS[0])
        assert trackparse.read_log(mapped).num_rows == 1
    whole = bytes(data)
    with trackparse.open_log(python_zip({"a.csv": LOGS[0]}, method=0), string_type="string_view") as log:
        [batch] = log
    assert whole
    assert batch["tracking_code"].to_pylist() == ["T-0"]


def many(name: bytes, data: bytes, method: int = 0, **more: Any) -> Callable[[int], bytes]:
    """As many small members as there is room for."""
    one = len(archive(Member(data, b"10000" + name, method, **more)))
    return lambda size: archive(*(Member(data, b"%05d%b" % (i, name), method, **more) for i in range(size // one)))


def unsized(filling: bytes) -> Callable[[int], bytes]:
    """A stored member without a size, full of what may end it."""
    head = b"PK\3\4" + struct.pack("<3H4x3L2H", 20, 8, 0, 0, 0, 0, 5, 0) + b"a.csv" + HEADER
    return lambda size: head + filling * (size // len(filling))


def lying_descriptors(size: int) -> bytes:
    """Descriptors whose sizes are right, and whose checksums are not."""
    data = bytearray(unsized(b"P")(0))
    while len(data) < size:
        at = len(data) - 35
        data += b"PK\7\10" + struct.pack("<3L", 1, at, at)
    return bytes(data)


def damaged_members(size: int) -> bytes:
    """Members whose data holds an invalid deflate block: each is inflated a second time up to that block."""
    log = HEADER + b"".join(b"2021-04-20 13:01:01;%d\n" % (i * i * 7919 % 100_003) for i in range(6000))
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(log) + packer.flush(zlib.Z_FULL_FLUSH) + b"\xff" * 100
    return many(b".csv", log, 8, packed=packed)(size)


NAMED_GZIP = b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 60_000 + b"\0" + gzip.compress(b"")[10:]
FIELDS = (b"\xfe\xca\0\0" * 16_000)[:64_000]

# Bytes of each construct that a source of so many bytes holds.
CONSTRUCTS: dict[str, Callable[[int], bytes]] = {
    **{f"stored, unsized, full of {mark!r}": unsized(mark) for mark in (b"PK\7\10", b"PK\3\4", b"PK\1\2", b"P")},
    "stored, unsized, descriptors that lie": lying_descriptors,
    "small members that are no logs": many(b".txt", b"x"),
    "small members that are no logs, unsized": many(b".txt", b"x", descriptor="signed 32"),
    "small members that are no logs, unsized, packed": many(b".txt", b"x", 8, descriptor="signed 32"),
    "small members": many(b".csv", HEADER),
    "small members, all damaged": many(b".csv", HEADER, local={"crc": 1}, central={"crc": 1}),
    "members that are damaged inside": damaged_members,
    "a directory that points to nothing": many(b".csv", HEADER, central={"offset": 7}),
    "long names": lambda size: archive(*(Member(b"", b"%d" % i + b"n" * 60_000, 0) for i in range(size // 120_000))),
    "long extra fields": lambda size: archive(
        *(Member(b"x", b"\xff%d" % i, 0, extra=FIELDS, central_extra=FIELDS) for i in range(size // 128_000))
    ),
    "empty deflate blocks": lambda size: archive(
        Member(HEADER, packed=b"\0\0\0\xff\xff" * (size // 5) + deflate(HEADER))
    ),
    "ends in a comment": lambda size: bytes(size) + archive(Member(HEADER, b"a.csv"), comment=END * 16_000),
    "gzip of nothing, again and again": lambda size: gzip.compress(HEADER) + gzip.compress(b"") * (size // 20),
    "gzip of one byte, again and again": lambda size: gzip.compress(HEADER) + gzip.compress(b"\n") * (size // 21),
    "gzip of nothing, between zeros": lambda size: (
        gzip.compress(HEADER) + (bytes(9) + gzip.compress(b"")) * (size // 29)
    ),
    "gzip members, small and not so small": lambda size: (
        gzip.compress(HEADER) + (gzip.compress(b"") + gzip.compress(random.Random(1).randbytes(300))) * (size // 343)
    ),
    "headers behind": lambda size: archive(Member(HEADER, b"a.csv")) + b"PK\3\4\x14\0\0\0\x08\0" * (size // 10),
    "long names in gzip": lambda size: gzip.compress(HEADER) + NAMED_GZIP * (size // len(NAMED_GZIP)),
    "blank bytes in front": lambda size: b"\n" * size + archive(Member(HEADER, b"a.csv")),
    "headers in front": lambda size: b"PK\3\4" * (size // 4) + archive(Member(HEADER, b"a.csv")),
}


@pytest.mark.skipif(SLOW > 1, reason="the bar is that of the kernel in C")
@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_the_work_is_linear_and_small(construct: str) -> None:
    """Seconds of CPU of the archive alone: at most 0.5 for a megabyte, and no more for each of four times as many."""
    limits = trackparse.Limits(max_members=1 << 20)
    for way in ("bytes", "pieces"):
        sources = []
        for size in (50_000, 200_000):
            data = CONSTRUCTS[construct](size)
            source = data if way == "bytes" else [data[at : at + 65536] for at in range(0, len(data), 65536)]
            sources.append((source, len(data)))
        costs = [inf, inf]
        # The clock of a busy machine is not exact: what is quadratic is four times as much here, and the best of three
        # counts. Development mode makes what calls Python for each small member up to eight times slower.
        for _ in range(3):
            for number, (source, size) in enumerate(sources):
                start = time.process_time()
                read_members(source, 1 << 20, limits)
                costs[number] = min(costs[number], (time.process_time() - start) / size * 1e6)
            is_small = min(costs) < (4 if sys.flags.dev_mode else 0.5)
            is_linear = costs[1] < 3 * max(costs[0], 0.05)
            if is_small and is_linear:
                break
        else:
            pytest.fail(f"{way}: {costs}")


@pytest.mark.parametrize("kind", [LOCAL, CENTRAL, END])
def test_a_header_is_found_wherever_the_pieces_that_are_searched_end(kind: bytes) -> None:
    packed = archive(Member(b"a log"))
    at = packed.index(kind)
    header = packed[at : packed.index(b"log.csv", at) + 7] if kind != END else packed[at:]
    before, behind = bytes(3000), bytes(3000)
    data = before + header + behind
    for end in range(len(before) - 1, len(before) + len(header) + 1):
        assert find_header((data[:end], data[end:]), whole=True) == len(before), end


def test_a_header_in_the_middle_of_a_gap_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_directory, "_SEARCHED", 1000)
    lost = local_part(Member(b"a log"))
    found = Member(b"//timestamp;tracking_code\n2021-04-20 06:07:08;A-1\n")
    for before in range(1000 - len(lost), 1001):
        data = archive(found, prefix=bytes(before) + lost + bytes(700))
        with pytest.raises(ArchiveError, match=f"byte {before}"):
            trackparse.read_log(data)
