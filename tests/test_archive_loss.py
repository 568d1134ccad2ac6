"""Archives of several logs: damage of one is never silent, costs that one alone, and sound archives stay sound."""

from __future__ import annotations

import io
import logging
import random
import shutil
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from archives_common import contents, python_zip, read_members
from faults.zips import CENTRAL, END, Member, archive, deflate
from torture.mutations import FLIPPED, LOGS, WAYS, Form, by_archive, by_rows, flips, forms, lost, mutation

import trackparse
from trackparse.errors import ArchiveError, HeaderError, TruncatedError

FORMS = forms()
NAMES = ["a.csv", "b.csv", "c.csv"]
EACH = dict(zip(NAMES, LOGS, strict=True))
each_way = pytest.mark.parametrize("way", WAYS)


def found_in(data: bytes, way: str, **options: Any) -> tuple[dict[str, bytes], Exception | None]:
    """What comes out of each member, and the error in the end."""
    found, error = read_members(WAYS[way](data), **options)
    return {name: b"".join(blocks) for name, blocks in found}, error


class TestSilence:
    @pytest.mark.parametrize("form", FORMS)
    @each_way
    def test_each_form_is_sound(self, form: str, way: str) -> None:
        data, logs = FORMS[form]
        if form.startswith(("a program", "bytes before")) and way == "stream" and "bytes" not in form:
            return
        assert by_archive(WAYS[way](data)) == by_rows(WAYS[way](data))
        assert not lost(data, logs, way, by_archive)

    @pytest.mark.parametrize("form", FLIPPED)
    def test_no_flipped_bit_loses_a_log_in_silence(self, form: str) -> None:
        for what, data in flips(FORMS[form].data):
            for way in WAYS:
                assert not lost(data, FORMS[form].logs, way, by_archive), f"{what}, {way}"

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
        monkeypatch.setattr("trackparse.zipstream._UNKNOWN16", 1)
        data = archive(*(Member(log, name.encode()) for name, log in EACH.items()), end={"entries": 1})
        for way in WAYS:
            assert found_in(data, way) == (EACH, None)


class TestLeftOut:
    FILES = {"a.csv": LOGS[0], "b.txt": LOGS[1], "README.txt": b"made by a service", "d/": b"", ".b": LOGS[2]}

    @pytest.mark.parametrize("streamed", [False, True], ids=["sized", "streamed"])
    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    @each_way
    def test_they_are_counted_and_those_like_a_log_named(
        self, way: str, method: int, streamed: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        for files in (self.FILES, dict(reversed(self.FILES.items()))):
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

    @each_way
    def test_who_chose_is_not_told(self, way: str, caplog: pytest.LogCaptureFixture) -> None:
        with trackparse.open_log(WAYS[way](python_zip(self.FILES)), members=["a.csv"]) as log:
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
        codes: list[str] = []
        with trackparse.open_log(WAYS[way](damaged(how).data), on_error="quarantine") as log:
            with pytest.raises((ArchiveError, HeaderError) if way == "stream" else ArchiveError) as caught:
                for batch in log:
                    codes += batch["tracking_code"].to_pylist()
        if way == "stream" and how in ("header of the log", "its local header", "all of it"):
            # What else may be there is known behind the damage only.
            assert codes == ["T-0"]
            return
        assert [code for code in codes if code in ("T-0", "T-2")] == ["T-0", "T-2"]
        assert "'b.csv'" in str(caught.value)
        assert "'c.csv'" not in str(caught.value)

    @each_way
    def test_its_rows_before_the_damage_come(self, way: str) -> None:
        rows = b"".join(b"2021-04-20 13:01:01;N-%d\n" % i for i in range(1000))
        log = LOGS[1] + rows
        data = archive(
            Member(LOGS[0], b"a.csv"),
            Member(log, b"b.csv", packed=deflate(log)[:-9] + bytes(9)),
            Member(LOGS[2], b"c.csv"),
        )
        codes: list[str] = []
        with trackparse.open_log(WAYS[way](data), on_error="quarantine") as opened:
            with pytest.raises(ArchiveError, match=r"'b\.csv'"):
                for batch in opened:
                    codes += batch["tracking_code"].to_pylist()
            rejects = opened.rejects.to_pylist()
        assert codes[:900] == ["T-0", "T-1", *(f"N-{i}" for i in range(898))]
        assert codes[-1] == "T-2"
        # What was cut off belongs to its own member.
        assert {reject["member"] for reject in rejects} <= {"b.csv"}

    @each_way
    def test_of_several_each_is_named(self, way: str) -> None:
        members = [Member(LOGS[0], b"%d.csv" % i, local={"crc": i}, central={"crc": i}) for i in range(4)]
        found, error = found_in(archive(*members, Member(LOGS[1], b"good.csv")), way)
        assert list(found.values()) == [*[LOGS[0]] * 4, LOGS[1]]
        assert all(f"'{i}.csv'" in str(error) for i in range(4))
        assert "good" not in str(error)

    @each_way
    def test_of_a_file_that_is_no_log_costs_no_log(self, way: str) -> None:
        readme = Member(b"x" * 99, b"README.txt", descriptor="signed 32", packed=deflate(b"x" * 98 + b"y"))
        found, error = found_in(archive(Member(LOGS[0], b"a.csv"), readme, Member(LOGS[1], b"b.csv")), way)
        assert list(found.values()) == LOGS[:2]
        assert error is None or "README" in str(error)

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
        report = trackparse.convert_log(damaged("data").data, tmp_path / "log.parquet", on_damage="keep", on_error="skip")
        assert report.members == 3
        assert "'b.csv'" in str(report.damage)
