"""Mending: what a person corrected in a file of rejects becomes Parquet, and the rest keeps its place."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import trackparse
from support.archives import files_in
from support.cli import PLAIN, PROGRAM, ended, failed, good, with_bad
from support.logs import H6, H8, line, line6
from trackparse.records.header import MAX_COLUMNS
from trackparse.schema import COLUMNS

PLACE = ("member", "record", "line", "byte_offset")
OPEN = line6(b'"oops')  # a field that is not closed
SHORT = b"2011-01-01T15:03:01;T-6;U6\n"
QUARANTINE: Any = {"on_error": "quarantine"}


def rejected(folder: Path, data: bytes, name: str = "day.rejects.jsonl") -> Path:
    """The file of rejects of a log with this content."""
    (folder / "day.csv").write_bytes(data)
    trackparse.convert_log(folder / "day.csv", folder / "day.parquet", rejects=folder / name, **QUARANTINE)
    return folder / name


def edited(path: Path, *changes: tuple[str, str]) -> Path:
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def descriptions(path: Path) -> list[str]:
    found: list[str] = pq.read_table(path)["description"].to_pylist()
    return found


def below_headers(folder: Path, count: int) -> Path:
    """A file of rejects of as many records, each under a header of its own with a column that no other one has."""
    path = folder / "day.rejects.jsonl"
    row = '{"raw":"2021-04-20 13:01:01;T-%d;x\\n","header":"//timestamp;tracking_code;c%d"}\n'
    path.write_text("".join(row % (number, number) for number in range(count)))
    return path


class TestManyHeaders:
    def test_their_columns_are_those_of_one_log_at_most(self, tmp_path: Path) -> None:
        report = trackparse.convert_rejects(below_headers(tmp_path, MAX_COLUMNS), tmp_path / "m.parquet")
        assert report.records == MAX_COLUMNS
        assert len(pq.read_schema(tmp_path / "m.parquet")) == len(COLUMNS) + MAX_COLUMNS
        path = below_headers(tmp_path, MAX_COLUMNS + 1)
        with pytest.raises(trackparse.LimitError, match=r"day\.rejects\.jsonl: .* more than 1024 columns.*columns="):
            trackparse.convert_rejects(path, tmp_path / "m.parquet")
        assert "--columns" in failed(1, "mend", path)

    def test_columns_that_are_named_are_found_below_any_number(self, tmp_path: Path) -> None:
        path = below_headers(tmp_path, 3_000)
        trackparse.convert_rejects(path, tmp_path / "m.parquet", columns=["tracking_code", "c2999", "c0"])
        rows = pq.read_table(tmp_path / "m.parquet").to_pylist()
        assert [row for row in rows if row["c0"]] == [{"tracking_code": "T-0", "c2999": None, "c0": "x"}]
        assert [row for row in rows if row["c2999"]] == [{"tracking_code": "T-2999", "c2999": "x", "c0": None}]
        with pytest.raises(trackparse.OptionError, match="no column 'c3000' in this log"):
            trackparse.convert_rejects(path, tmp_path / "m.parquet", columns=["c3000"])


class TestRecords:
    @pytest.mark.parametrize("block_size", [7, 1 << 20])
    def test_what_is_good_is_a_row_and_what_is_bad_keeps_its_place(self, block_size: int, tmp_path: Path) -> None:
        path = rejected(tmp_path, H6 + line6() + OPEN + line6() * 2 + SHORT + H8 + line() + line(b"{};x"))
        before = trackparse.read_rejects(path).to_pylist()
        edited(path, ('\\"oops', "mended"))
        rest = tmp_path / "rest.jsonl"
        report = trackparse.convert_rejects(
            path, tmp_path / "m.parquet", rejects=rest, block_size=block_size, **QUARANTINE
        )
        assert (report.records, report.rejected, report.rejects_path) == (1, 2, rest)
        assert descriptions(tmp_path / "m.parquet") == ["mended"]
        assert pq.read_schema(tmp_path / "m.parquet").names == pq.read_schema(tmp_path / "day.parquet").names
        after = trackparse.read_rejects(rest).to_pylist()
        assert after == before[1:]
        assert [row["line"] for row in after] == [6, 9]

    def test_no_record_swallows_the_next_one(self, tmp_path: Path) -> None:
        # Joined, these two are one good record.
        path = rejected(tmp_path, H6 + line6() + SHORT)
        rows = [b'2011-01-01T15:03:01;T-6;"U6\n', b'2011-01-01T15:03:01";HWID;created;\n', line6(b"good")]
        first = json.loads(path.read_text())
        path.write_text("".join(json.dumps({**first, "raw": raw.decode()}) + "\n" for raw in rows))
        mended = trackparse.read_log(trackparse.mended_log(trackparse.read_rejects(path)), on_error="skip")
        assert mended.num_rows == 2
        report = trackparse.convert_rejects(path, tmp_path / "m.parquet", **QUARANTINE)
        assert report.records == 1
        assert report.rejects["raw"].to_pylist() == rows[:2]

    def test_a_row_may_hold_several_records_or_none(self, tmp_path: Path) -> None:
        path = rejected(tmp_path, H6 + line6() + SHORT * 3)
        first, second, third = map(json.loads, path.read_text().splitlines())
        first["raw"] = (line6(b"1") + SHORT + line6(b"2")).decode()
        second["raw"] = "\n"
        third["raw"] = line6(b"3").decode().rstrip()
        # An editor of Windows puts a mark in front, and blank lines do no harm.
        path.write_text("\ufeff" + "\r\n\r\n".join(map(json.dumps, (first, second, third))))
        report = trackparse.convert_rejects(path, tmp_path / "m.parquet", **QUARANTINE)
        assert descriptions(tmp_path / "m.parquet") == ["1", "2", "3"]
        (bad,) = report.rejects.to_pylist()
        assert ({name: bad[name] for name in PLACE}, bad["raw"]) == ({name: first[name] for name in PLACE}, SHORT)
        assert report.blank_lines == 1

    def test_a_header_is_mended_once_or_its_records_stay_bad(self, tmp_path: Path) -> None:
        wrong = H6.replace(b"hwid", b"hwiX")
        path = rejected(tmp_path, H6 + line6() + wrong + line6(b"1") + line6(b"2") + H6 + SHORT)
        before = trackparse.read_rejects(path)
        fixed = edited(path, ("U6\\n", "U6;H;created;3\\n"))
        report = trackparse.convert_rejects(fixed, tmp_path / "a.parquet", **QUARANTINE)
        assert descriptions(tmp_path / "a.parquet") == ["3"]
        assert report.rejects == before.slice(0, 3)
        # In "raw" of its own row, which is the only place where it ends with a line break.
        fixed = edited(path, ("hwiX;status;description\\n", "hwid;status;description\\n"))
        trackparse.convert_rejects(fixed, tmp_path / "b.parquet")
        assert descriptions(tmp_path / "b.parquet") == ["1", "2", "3"]

    def test_columns_of_other_headers_have_a_place(self, tmp_path: Path) -> None:
        other = b"//timestamp;tracking_code;region\n"
        path = rejected(tmp_path, other + b"2021-04-20 13:01:01;T-1;EU;\n" + H6 + SHORT)
        edited(path, ("EU;", "EU"), ("U6\\n", "U6;H;created;\\n"))
        trackparse.convert_rejects(path, tmp_path / "m.parquet")
        table = pq.read_table(tmp_path / "m.parquet")
        assert table["region"].to_pylist() == ["EU", None]
        assert table["hwid"].to_pylist() == [None, "H"]

    def test_records_below_a_long_header_that_is_written_once_are_read_under_it(self, tmp_path: Path) -> None:
        names = b";".join(b"a column of its own %04d" % number for number in range(50)) + b"\n"
        first, other = b"//timestamp;tracking_code;" + names, b"//tracking_code;timestamp;" + names
        path = rejected(tmp_path, first + b"2011-01-01T15:03:01;T-1;a\n" + other + b"T-2;2011-01-01T15:03:01;a\n" * 2)
        assert [bool(header) for header in trackparse.read_rejects(path)["header"].to_pylist()] == [True, True, False]
        edited(path, (";a\\n", ";a" + ";" * 49))
        report = trackparse.convert_rejects(path, tmp_path / "m.parquet", **QUARANTINE)
        assert report.rejected == 0
        assert pq.read_table(tmp_path / "m.parquet")["tracking_code"].to_pylist() == ["T-1", "T-2", "T-2"]

    def test_the_options_are_those_of_a_conversion(self, tmp_path: Path) -> None:
        path = rejected(tmp_path, H8 + line() + line(b'{"a":1};') + line(b'{"a":2};', status=b"opened"))
        edited(path, ("};", "}"))
        report = trackparse.convert_rejects(
            path,
            tmp_path / "m.parquet",
            columns=["status"],
            payload_columns={"a": "/a"},
            where=trackparse.Filter(statuses=["opened"]),
        )
        assert (report.records, report.filtered) == (1, 1)
        assert pq.read_table(tmp_path / "m.parquet").to_pylist() == [{"status": "opened", "a": "2"}]
        refused: list[dict[str, Any]] = [{"members": ["x"]}, {"on_damage": "keep"}]
        for option in refused:
            with pytest.raises(trackparse.OptionError, match=next(iter(option))):
                trackparse.convert_rejects(path, tmp_path / "m.parquet", **option)

    def test_a_bad_record_is_an_error_of_its_place_if_nothing_else_is_said(self, tmp_path: Path) -> None:
        path = rejected(tmp_path, H6 + line6() + OPEN + SHORT)
        with pytest.raises(trackparse.RecordError, match=r"day\.csv: record 1, line 3 \(byte \d+\)"):
            trackparse.convert_rejects(path, tmp_path / "m.parquet")
        assert "m.parquet" not in files_in(tmp_path)

    @pytest.mark.parametrize("name", ["m.rejects.parquet", "m.rejects.jsonl"])
    def test_a_place_that_the_file_does_not_say_stays_unknown(self, name: str, tmp_path: Path) -> None:
        places: list[dict[str, int]] = [{}, {"line": 7}, {"record": 3, "line": 8, "byte_offset": 90}]
        path = tmp_path / "r.jsonl"
        raws = [(b"still bad\n", place) for place in places] + [(line6(), {})]
        lines = (json.dumps({"raw": raw.decode(), "header": H6.decode().strip()} | place) for raw, place in raws)
        path.write_text("\n".join(lines))
        report = trackparse.convert_rejects(path, tmp_path / "m.parquet", rejects=tmp_path / name, **QUARANTINE)
        assert (report.records, report.rejected) == (1, 3)
        found = trackparse.read_rejects(tmp_path / name).select(["record", "line", "byte_offset"]).to_pylist()
        assert found == [{"record": None, "line": None, "byte_offset": None} | place for place in places]

    @pytest.mark.parametrize("name", ["r.parquet", "r.jsonl"])
    def test_sources_of_all_kinds(self, name: str, tmp_path: Path) -> None:
        path = rejected(tmp_path, H6 + line6() + SHORT + line6(b"\xe9"), name)
        rows = trackparse.read_rejects(path).to_pylist()
        assert [row["raw"] for row in rows] == [SHORT, line6(b"\xe9")]
        if name == "r.jsonl":
            edited(path, ("U6\\n", "U6;H;created;\\n"))
        else:
            table = pq.read_table(path)
            raws = [SHORT.replace(b"\n", b";H;created;\n"), line6(b"\xe9")]
            pq.write_table(table.set_column(5, table.schema.field("raw"), [raws]), path)

        class Pipe(io.BytesIO):
            def seekable(self) -> bool:
                return False

        data = path.read_bytes()
        for source in (path, str(path), path.as_uri(), io.BytesIO(data), Pipe(data)):
            report = trackparse.convert_rejects(source, tmp_path / "m.parquet", **QUARANTINE)
            assert (report.records, report.rejects.to_pylist()) == (1, rows[1:])
        with pytest.raises(trackparse.LimitError, match="held in memory; save them as a file"):
            trackparse.convert_rejects(
                Pipe(data), tmp_path / "m.parquet", limits=trackparse.Limits(max_rejects_bytes=9)
            )


class TestCommand:
    def test_it_writes_beside_the_file_and_says_what_is_left(self, tmp_path: Path) -> None:
        path = edited(rejected(tmp_path, H6 + line6() + OPEN + SHORT), ('\\"oops', "mended"))
        result = good("mend", path)
        assert result.stdout.startswith(f"{tmp_path}/day.mended.parquet: 1 row, ")
        rest = tmp_path / "day.mended.rejects.jsonl"
        assert result.stderr == f"trackparse: {path}: 1 record still bad, set aside in {rest}\n"
        assert trackparse.read_rejects(rest)["line"].to_pylist() == [4]
        # Next the rest of it.
        edited(rest, ("U6\\n", "U6;H;created;second\\n"))
        assert good("mend", rest).stderr == ""
        assert descriptions(tmp_path / "day.mended.mended.parquet") == ["second"]
        assert ended(3, "mend", path, "--strict", "-o", tmp_path / "x.parquet").stdout == ""

    def test_rejects_of_partitions_do_not_become_a_file_that_readers_pass_over(self, tmp_path: Path) -> None:
        path = tmp_path / "lake/_trackparse/day.rejects.jsonl"
        path.parent.mkdir(parents=True)
        edited(rejected(tmp_path, H6 + OPEN), ('\\"oops', "mended")).rename(path)
        told = "readers of the partitions pass over _trackparse: name a file in another folder with -o"
        assert told in failed(2, "mend", path)
        assert [*path.parent.iterdir()] == [path]
        good("mend", path, "-o", tmp_path / "m.parquet")
        assert descriptions(tmp_path / "m.parquet") == ["mended"]

    def test_nothing_is_written_over_without_a_word(self, tmp_path: Path) -> None:
        path = edited(rejected(tmp_path, H6 + line6() + OPEN + SHORT), ('\\"oops', "mended"))
        for name in ("day.mended.parquet", "day.mended.rejects.jsonl"):
            (tmp_path / name).write_bytes(b"")
            assert f"{name}: the file exists" in failed(1, "mend", path)
            (tmp_path / name).unlink()
        good("mend", path)
        good("mend", path, "--existing", "replace")
        before = path.read_bytes()
        for more in (["-o", path], ["-o", tmp_path / "x.parquet", "--rejects", path]):
            assert "that is the file of rejects itself" in failed(2, "mend", path, *more, "--existing", "replace")
        assert path.read_bytes() == before
        (tmp_path / "link.jsonl").symlink_to(path)
        failed(
            2, "mend", path, "-o", tmp_path / "x.parquet", "--rejects", tmp_path / "link.jsonl", "--existing=replace"
        )
        with path.open("rb") as stdin:
            done = subprocess.run(
                [*PROGRAM, "mend", "-", "-o", str(path), "--existing", "replace"],
                stdin=stdin,
                capture_output=True,
                env=PLAIN,
                text=True,
            )
        assert (done.returncode, path.read_bytes()) == (2, before), done.stderr

    def test_standard_input_and_output(self, tmp_path: Path) -> None:
        path = edited(rejected(tmp_path, H6 + line6() + OPEN + SHORT), ('\\"oops', "mended"))
        rest = tmp_path / "rest.jsonl"
        command = [*PROGRAM, "mend", "-", "-o", "-", "--rejects", str(rest)]
        done = subprocess.run(command, input=path.read_bytes(), capture_output=True, env=PLAIN, check=True)
        assert pq.read_table(io.BytesIO(done.stdout))["description"].to_pylist() == ["mended"]
        assert done.stderr.decode() == f"trackparse: <stdin>: 1 record still bad, set aside in {rest}\n"
        assert "name the file to write with -o" in failed(2, "mend", "-", stdin=b"")
        assert "--rejects" in failed(2, "mend", path, "-o", "-")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "there are no rejects in it"),
            (b'{"raw":"x","li', "line 1: it breaks off: the file was cut"),
            (b'{"raw":"x"}\n{"raw":"a"b"}\n', "line 2: not a reject: not JSON"),
            (b'{"raw":7}\n', "line 1: not a reject: neither 'raw' nor 'raw_base64' is a text"),
            (b'{"raw_base64":"~"}\n', "line 1: not a reject: 'raw_base64' is not base64"),
            (b'{"raw":"x","line":"two"}\n', "line 1: not a reject: 'line' is 'two', not a whole number"),
            (b'{"id":1,"name":"x"}\n', "it has 'id', 'name'"),
            (b'{"raw":"x"}\n', "none of its 1 records is good"),
            (b"PAR1", "line 1: not a reject"),
        ],
    )
    def test_a_file_that_cannot_be_mended_is_one_clear_error(self, content: bytes, said: str, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_bytes(content)
        assert f"{path}: {said}" in (line := failed(1, "mend", path)) or said in line
        assert files_in(tmp_path) == ["a.jsonl"]

    def test_an_unchanged_file_is_an_error_and_changes_nothing(self, tmp_path: Path) -> None:
        path = rejected(tmp_path, H6 + line6() + OPEN + SHORT)
        (tmp_path / "m.parquet").write_bytes(b"old")
        message = failed(1, "mend", path, "-o", tmp_path / "m.parquet", "--existing", "replace")
        assert f"{path}: none of its 2 records is good, so nothing was written; mend them in 'raw'" in message
        assert (tmp_path / "m.parquet").read_bytes() == b"old"
        assert "a file of rejects is named" in failed(2, "mend", tmp_path / "day.csv")

    @pytest.mark.parametrize("command", ["convert", "check", "stats", "head", "cat"])
    @pytest.mark.parametrize("spaced", [False, True])
    def test_a_file_of_rejects_is_called_one_whatever_its_name(
        self, command: str, spaced: bool, tmp_path: Path
    ) -> None:
        path = tmp_path / "bad.rejects.jsonl"
        good("convert", with_bad(tmp_path / "log.csv"), "--rejects", path)
        data = path.read_bytes()
        data = json.dumps(json.loads(data)).encode() + b"\n" if spaced else data
        output = ["-o", tmp_path / "x.parquet"] if command == "convert" else []
        line = failed(1, command, "-", *output, stdin=data)
        assert "it is a file of rejects (bad records)" in line
        assert "trackparse mend" in line


def test_the_example_with_sed_in_the_help_works(tmp_path: Path) -> None:
    rejected(tmp_path, H6 + line6() + b'2021-04-20 13:01:02;T-1;"user;device;sent;\n')
    example = next(line for line in good("mend", "--help").stdout.splitlines() if "sed " in line)
    program = " ".join(map(shlex.quote, PROGRAM))
    command = example.replace("trackparse", program)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path, env=PLAIN)  # noqa: S602 - the command is that of the help
    assert pq.read_table(tmp_path / "day.mended.parquet")["target_id"].to_pylist() == ["user"]


def test_the_library_says_it_too(tmp_path: Path) -> None:
    path = rejected(tmp_path, H6 + line6() + SHORT)
    with pytest.raises(trackparse.HeaderError, match=r"file of rejects \(bad records\).*trackparse\.convert_rejects"):
        trackparse.open_log(path.read_bytes())


def test_rejects_in_parquet_with_text_that_is_not_utf_8_are_an_error(tmp_path: Path) -> None:
    path = rejected(tmp_path, H6 + line6() + SHORT, "day.rejects.parquet")
    path.write_bytes(path.read_bytes().replace(b"field_count", b"\xe6ield_count"))
    assert "day.rejects.parquet: not a file of rejects" in failed(1, "mend", path)
