"""What a log holds is said in one table."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trackparse
from trackparse.records.header import names_a_log, parse_header
from trackparse.schema import COLUMNS, KNOWN

PACKAGE = Path(trackparse.__file__).parent
READ = """
import trackparse
log = (
    b"//timestamp;tracking_code;target_id;hwid;status;description;appCode;payload;region"
    b"\\n2021-04-20 13:01:01;T-1;u;h;sent;;A-1;{};eu\\n2021-04-20 13:01:01;T-1;u;h;sent;;A-1;{};\\n"
    b"//timestamp;tracking_code\\n2021-04-20 13:01:01;T-2\\n"
)
assert trackparse.read_log(log)["region"].to_pylist() == ["eu", None, None]
assert trackparse.read_log(log, columns=["region"]).num_rows == 3
assert [event.region for event in trackparse.iter_events(log)] == ["eu", None, None]
assert [event.payload for event in trackparse.iter_events(log)] == [{}, {}, None]
"""
READ_WITHOUT_HEADER = """
import trackparse
from trackparse.schema import COLUMNS
record = b"2021-04-20 13:01:01;T-1;u;h;sent;d;A-1;{};eu"
for width in (9, 8, 6):
    good = b";".join(record.split(b";")[:width]) + b"\\n"
    table = trackparse.read_log(2 * good)
    assert table.num_rows == 2
    assert table["region"].to_pylist() == 2 * ["eu" if width == 9 else None]
    assert table["appCode"].to_pylist() == 2 * ["A-1" if width > 6 else None]
    with trackparse.open_log(good.replace(b";u", b';"u"x') + 2 * good, on_error="quarantine") as log:
        table = log.read_all()
        assert log.rejects["reason"].to_pylist() == ["text_after_quote"]
    assert [name for name in COLUMNS if table[name].null_count == 0] == [*COLUMNS[:width]]
with trackparse.open_log(b"2021-04-20 13:01:01;T-1\\n", on_error="quarantine") as log:
    assert log.read_all().num_rows == 0
    assert log.rejects["reason"].to_pylist() == ["field_count"]
"""


def with_ninth_column(folder: Path, *edits: tuple[str, str, str]) -> None:
    """A copy of the package with a column ``region``, and other edits: a file, a text in it, and what replaces that."""
    shutil.copytree(PACKAGE, folder / "trackparse", ignore=shutil.ignore_patterns("__pycache__"))
    payload = 'Column("payload", "json", null_if_empty=True),'
    for name, old, new in (
        ("schema.py", payload, payload + '\n    Column("region", null_if_empty=True),'),
        ("events.py", "    payload: Payload | None\n", "    payload: Payload | None\n    region: str | None\n"),
        *edits,
    ):
        source = folder / "trackparse" / name
        text = source.read_text(encoding="utf-8")
        assert text.count(old) == 1
        source.write_text(text.replace(old, new), encoding="utf-8")


def run(script: str, folder: Path, kernel: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(folder), "TRACKPARSE_KERNEL": kernel}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kernel", ["", "reference"])
def test_a_ninth_column_is_two_edits(tmp_path: Path, kernel: str) -> None:
    """A row of the table, and a field of the event."""
    with_ninth_column(tmp_path)
    run(READ, tmp_path, kernel)


@pytest.mark.parametrize("kernel", ["", "reference"])
def test_a_ninth_column_of_logs_without_a_header_is_one_more(tmp_path: Path, kernel: str) -> None:
    """A generation. The older ones are told from it by the number of fields, also where the first record is bad."""
    with_ninth_column(tmp_path, ("schema.py", "(COLUMNS[:8], ", "(COLUMNS, COLUMNS[:8], "))
    run(READ_WITHOUT_HEADER, tmp_path, kernel)


def test_an_event_has_a_field_for_each_column() -> None:
    assert len(trackparse.Event._fields) == len(KNOWN)
    assert [name.replace("_", "").lower() for name in trackparse.Event._fields] == [
        name.replace("_", "").lower() for name in COLUMNS
    ]


# ---- what is a header -----------------------------------------------------------------------------------------

BLANKS = st.text(" \t", max_size=2)
AROUND = st.sampled_from(["", "//", '"', '"//', "// ", '//"'])


@st.composite
def header_lines(draw: st.DrawFn) -> bytes:
    """Names in any order, with anything that may stand around them, and much that may not."""
    names = draw(st.permutations(COLUMNS))[: draw(st.integers(0, 8))]
    names = [*names, *draw(st.lists(st.sampled_from(["region", "timestamp", "x y", "", "hw;id"]), max_size=2))]
    fields = []
    for name in names:
        around = draw(AROUND)
        closing = '"' if '"' in around and draw(st.booleans()) else ""
        fields.append(draw(BLANKS) + around + draw(BLANKS) + name + draw(BLANKS) + closing + draw(BLANKS))
    return (draw(st.sampled_from(["//", "", "// "])) + ";".join(fields)).encode()


def first_columns(line: bytes) -> tuple[str, ...] | None:
    """The columns of a log that starts with this line, None if it is no log."""
    try:
        with trackparse.open_log(line + b"\n") as log:
            return tuple(log.schema.names)
    except trackparse.HeaderError:
        return None


@given(header_lines(), st.sampled_from(["\n", "\r\n", "\r\r\n"]))
def test_what_is_a_header_first_is_one_in_the_middle(line: bytes, end: str) -> None:
    header = b"//" + ";".join(COLUMNS[:6]).encode() + b"\n"
    record = b"2021-04-20 13:01:01;T;u;h;s;d\n"
    columns = first_columns(line)
    # So that its columns have a place in the schema.
    wanted = ["timestamp", "tracking_code", "target_id", "hwid", "status", "description"]
    with trackparse.open_log(header + record + line + end.encode(), on_error="quarantine", columns=wanted) as log:
        table, rejects, stats = log.read_all(), log.rejects, log.stats
    assert table.num_rows == 1
    taken = stats.bytes_in_headers - len(header) == len(line) + len(end)
    if columns is None:
        assert not taken
    elif taken:
        assert rejects.num_rows == 0
    else:
        # A name that nobody knows in place of one: damaged, as far as anybody can tell.
        assert rejects["reason"].to_pylist() == ["bad_header"]
        assert not set(parse_header(line).columns) <= set(COLUMNS)
    assert names_a_log(parse_header(line)) or columns is None
