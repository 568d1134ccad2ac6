"""What logs made to cost memory cost, each in a fresh process: SECURITY.md promises 256 MiB, whatever is in a log.

A few small ones here. All of them, read in all ways: make bombs.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import trackparse
from support.bombs import CONVERT, PARTITIONS, WAYS, Shape, measure, write
from support.kernels import SLOW
from support.logs import H6, line6

MOST = 256  # MiB above the start
ALL = "TRACKPARSE_BOMBS" in os.environ
DESCRIPTION = ("turn:9:2", "turn:9:2", "turn:9:2", "turn:3:4")  # what stands before it

BOMBS = {
    "an ordinary log": Shape(
        mib=150, values=("turn:50:24", "each:30", "each:30", "turn:5:6", "turn:20:10", "turn:4:10", "turn:500:250")
    ),
    "1,024 empty columns": Shape(mib=300, columns=1024, values=("",)),
    "1,024 columns of values of their own": Shape(mib=60, columns=1024, values=("each:3",)),
    "1,024 columns and two, by turns": Shape(mib=30, columns=1024, values=("",), narrow=1600),
    "1,024 columns of a value each and two, by turns": Shape(mib=30, columns=1024, values=("turn:3:1",), narrow=800),
    "1,024 columns, and two in most records": Shape(mib=60, columns=1024, values=("",), narrow=200_000),
    "1 MiB in one row of five": Shape(mib=400, values=(*DESCRIPTION, "some:5:1048576", "turn:2:2", "turn:2:2")),
    "records of 1 MiB": Shape(mib=200, values=("", "", "", "", "each:1048576", "", "")),
    "records near the limit": Shape(mib=120, values=("", "", "", "", "each:15700000", "", "")),
    "records near the limit, of emoji": Shape(mib=120, values=("", "", "", "", "same:15700000", "", ""), fill="emoji"),
    "records near the limit, of quotes": Shape(mib=120, values=("", "", "", "", "same:15700000", "", ""), fill="quote"),
    "records near the limit, that failed for an emoji": Shape(
        mib=120, values=("", "", "", "text:failed", "same:15700000", "", ""), fill="emoji"
    ),
    "payloads near the limit, of empty lists": Shape(mib=30, values=("", "", "", "", "", "", "json:15000000:[],")),
    "payloads of 1 MiB, of empty lists": Shape(mib=30, values=("", "", "", "", "", "", "json:1000000:[],")),
    "bad records of three bytes": Shape(mib=16, bad="slashes", bad_every=1, bad_run=1_000_000),
    "bad records of three bytes under a header of 1 KiB": Shape(
        mib=8, columns=20, name_bytes=74, bad="slashes", bad_every=1, bad_run=1_000_000
    ),
    "bad records of 60 KB": Shape(mib=60, bad="long", bad_every=1, bad_run=1_000_000),
    "a header before each record": Shape(mib=16, values=("",), headers_every=1),
    "byte order marks and blank lines": Shape(mib=16, values=("",), marks_every=1, blanks_every=1),
    "nothing but short values of their own": Shape(mib=60, values=("each:8",)),
    "long values of their own": Shape(mib=150, values=("", "", "", "", "each:100", "", "each:300")),
    "a name of 60 KB": Shape(mib=0.2, columns=9, name_bytes=60_000, fill="control", values=("",)),
    "chunks of 100 bytes": Shape(mib=10, values=("each:8",), packing="drops"),
    "2,000 members": Shape(mib=10, members=2000, packing="zip"),
    "4,000 partitions under headers by turns": Shape(
        mib=100, values=("", "", "", "turn:4000:4", "", "", ""), headers_every=1
    ),
    "short records of ten partitions under headers by turns": Shape(
        mib=100, columns=5, values=("", "", "", "turn:10:1"), headers_every=1
    ),
    "more than is held, in 20 partitions by turns": Shape(
        mib=300, values=("turn:50:24", "each:30", "each:30", "turn:20:6", "", "", "each:200")
    ),
    # Those that fuzz/bombs.py found to cost most.
    "found: long values in 1,024 columns, in two orders by turns": Shape(
        mib=100, columns=1024, values=("each:9648", "json:800:[[[[]]]],"), headers_every=1, blanks_every=1
    ),
    "found: values that need unescaping, and stray quotes, in 300 columns": Shape(
        mib=120, columns=300, values=("each:56",), fill="escaped", quoted=True, bad="quote", bad_every=100
    ),
    "found: records of 7 MB, half of their columns empty": Shape(mib=30, columns=300, values=("each:48900", "")),
    "found: long values by turns and short ones between bad records": Shape(
        mib=60, columns=300, values=("some:3:3", "turn:7572:498"), bad="slashes", bad_every=1
    ),
    "found: values of 10 KB in ten members": Shape(
        mib=100, values=("each:9648", "json:800:[[[[]]]],"), blanks_every=1, members=10, packing="zip"
    ),
    "found: empty columns in chunks of 100 bytes": Shape(
        mib=60, columns=1024, values=("",), blanks_every=1, packing="drops"
    ),
    "found: short values filled with quotes": Shape(mib=60, values=("each:6",), fill="quote", packing="chunks"),
    "found: records of 3 MB under headers by turns": Shape(
        mib=30,
        values=("json:10700:{},", "each:645718", "each:68", "json:3:[],", "", "each:2187005", "same:307660"),
        headers_every=10,
    ),
    "found: every other value repeats, in 300 columns": Shape(mib=120, columns=300, values=("some:2:143",)),
    "found: three values of 10 KB, of quotes": Shape(
        mib=120, values=("turn:3:9595",), fill="quote", headers_every=1000
    ),
}

QUICK = [
    ("1,024 empty columns", "convert", 45),
    ("1 MiB in one row of five", "convert", 100),
    ("records near the limit", "convert", 64),
    ("payloads near the limit, of empty lists", "check", 16),
    ("bad records of three bytes under a header of 1 KiB", "convert jsonl", 1),
    ("bad records of three bytes under a header of 1 KiB", "quarantine", 1),
    ("a name of 60 KB", "cat", 0.09),
    ("4,000 partitions under headers by turns", "partitions", 1),
    ("more than is held, in 20 partitions by turns", "partitions", 240),
]

pytestmark = [
    pytest.mark.skipif(SLOW > 1, reason="the slow kernel takes minutes"),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc"),
]


@pytest.mark.parametrize(("name", "way", "mib"), QUICK, ids=lambda value: str(value))
def test_it_costs_no_more_than_is_promised(name: str, way: str, mib: float, tmp_path: Path) -> None:
    outcome, found = measure(replace(BOMBS[name], mib=mib), way, tmp_path)
    assert outcome.startswith(("read", "LimitError")), outcome
    assert found <= MOST, outcome


def test_a_dictionary_that_is_lent_is_rarely_copied(tmp_path: Path) -> None:
    outcome, found = measure(BOMBS["records near the limit"], "dictionary", tmp_path)
    assert outcome.startswith("LimitError"), outcome
    assert found <= 230  # one more copy of 94 MiB, just before the limit, would be 257


def test_stats_does_not_decode_what_it_does_not_show(tmp_path: Path) -> None:
    outcome, found = measure(
        replace(BOMBS["records near the limit, that failed for an emoji"], mib=34), "stats", tmp_path
    )
    assert outcome.startswith("read"), outcome
    assert found <= 160  # as text of 4 bytes a character it would be 60 more


PEAK = """
import sys
import pyarrow.parquet
import trackparse
from support.bombs import peak
from trackparse.cli import main
start = peak()
try:
    main()
finally:
    print((peak() - start) // 1024, file=sys.stderr)
"""


def peak_of(*command: object) -> int:
    """MiB above the start that a command needs."""
    run = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONDEVMODE": ""},
    )
    return int(run.stderr.strip().splitlines()[-1])


@pytest.mark.parametrize("between", ["left out", "bad", "blank"])
@pytest.mark.parametrize("to", [["-o", "day.parquet"], ["--to", "lake", "--partition-by", "date"]], ids=" ".join)
def test_a_few_records_do_not_keep_their_blocks(between: str, to: list[str], tmp_path: Path) -> None:
    others = {"left out": line6(b"x" * 1000) * 1000, "bad": b"x" * (1 << 20) + b"\n", "blank": b"\n" * (1 << 20)}
    with gzip.open(tmp_path / "log.csv.gz", "wb", 1) as log:
        log.write(H6)
        for number in range(250):
            log.write(line6(b"%d" % number).replace(b"created", b"opened") + others[between])
    option, name, *more = to
    command = ["convert", tmp_path / "log.csv.gz", option, tmp_path / name, *more, "--status", "opened"]
    assert peak_of(*command) <= 120
    [path] = tmp_path.rglob("*.parquet")
    assert pq.ParquetFile(path).read()["description"].to_pylist() == [str(number) for number in range(250)]


@pytest.mark.parametrize(("value_bytes", "rows"), [(5_000_000, 40), (50_000, 4_000)])
def test_parquet_that_has_a_long_value_once_for_many_rows(value_bytes: int, rows: int, tmp_path: Path) -> None:
    shape = Shape(
        mib=value_bytes * rows / (1 << 20),
        values=("turn:2:2", "turn:2:2", "turn:2:2", "text:failed", f"turn:2:{value_bytes}", "turn:2:2", ""),
    )
    write(shape, tmp_path / "log.csv.gz")
    trackparse.convert_log(tmp_path / "log.csv.gz", tmp_path / "day.parquet")
    assert (tmp_path / "day.parquet").stat().st_size < 1 << 20
    assert peak_of("stats", tmp_path / "day.parquet") <= 160


@pytest.mark.parametrize(("value_bytes", "rows"), [(5_000_000, 40), (50_000, 4_000)])
def test_rejects_in_parquet_that_are_long_and_many(value_bytes: int, rows: int, tmp_path: Path) -> None:
    path = tmp_path / "day.rejects.parquet"
    raw = b"2021-04-20 13:01:01;T;" + b"x" * value_bytes + b"\n"
    with gzip.open(tmp_path / "log.csv.gz", "wb", 1) as log:
        log.write(H6)
        log.writelines(raw for _ in range(rows))
        log.write(line6())
    trackparse.convert_log(tmp_path / "log.csv.gz", tmp_path / "day.parquet", on_error="quarantine", rejects=path)
    assert path.stat().st_size < 2 << 20
    assert peak_of("mend", path, "-o", tmp_path / "mended.parquet") <= 240


def test_a_whole_log_in_one_row_of_a_file_of_rejects(tmp_path: Path) -> None:
    path = tmp_path / "day.rejects.jsonl"
    raw = "2021-04-20 13:01:01;T-1;sent\n" * 2_000_000
    path.write_text(json.dumps({"raw": raw, "header": "//timestamp;tracking_code;status"}))
    assert peak_of("mend", path, "-o", tmp_path / "mended.parquet") <= 220
    assert pq.read_metadata(tmp_path / "mended.parquet").num_rows == 2_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the logs: to write one takes longer than to read it, so it is written once for all ways."""
    return tmp_path_factory.mktemp("bombs")


@pytest.mark.skipif(not ALL, reason="minutes: make bombs")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BOMBS)
def test_all_of_them_in_all_ways(name: str, way: str, folder: Path) -> None:
    outcome, found = measure(BOMBS[name], way, folder, timeout=1800)
    print(f"{found} MiB: {way}: {outcome}: {name}")
    # A value may be too long for the name of a folder.
    more = ("TrackparseError",) if way == PARTITIONS else ()
    assert outcome.startswith(("read", "LimitError", *more)), outcome
    assert found <= MOST, outcome


@pytest.mark.skipif(not ALL, reason="minutes: make bombs")
@pytest.mark.parametrize("way", CONVERT[:1])
def test_more_than_2_gib_of_text_in_a_column(way: str, tmp_path: Path) -> None:
    shape = replace(BOMBS["1 MiB in one row of five"], mib=2700)
    outcome, found = measure(shape, way, tmp_path, timeout=1800)
    assert outcome.startswith("read"), outcome
    assert found <= MOST
