"""Every row that a writer wrote comes back exactly, whichever writer it was, and nobody says which.

20,000 rows of all writers and both kinds, pure, alternating between the dialects and in runs. ``make writers`` runs
the same over as many rows as one likes. The enumerator of readings, which decides what is excused, is tested first.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from support.kernels import INSTRUCTION_SETS, KERNELS, SLOW

from .logs import LOGS_A_ROUND, Log, plans, write
from .order import CASES, Case
from .readings import EIGHT, ORDER, PHP, Columns, Reading, best, readings, walk
from .soup import KINDS, NAMES, REAL, rows
from .verdict import BLOCK_SIZES, OUTPUTS, Verdict, allowed, as_read, expected, judge, read, survivors
from .writers import HAS_PHP, WRITERS, Writer, header

ROWS = 20_000
# Its rows can all be told, so that none is excused. ``make writers`` starts with round 0, which has rows that cannot.
ROUND = 1
# The reference takes a hundred times as long.
ROWS_OF_REFERENCE = 2_000

requires_php = pytest.mark.skipif(not HAS_PHP, reason="php is not installed")
each_kernel = pytest.mark.parametrize("kernel", KERNELS[:2], indirect=True)
with_and_without_php = pytest.mark.parametrize(
    "real_php", [pytest.param(True, marks=requires_php), False], ids=["php", "other writers"]
)


@functools.cache
def round_of(count: int, real_php: bool, damaged: bool = False) -> tuple[Log, ...]:
    """A log of each plan, ``count`` rows in all those that need ``php`` and those that don't."""
    chosen = [plan for plan in plans(ROUND) if plan.real_php == real_php]
    return tuple(write(plan, count // LOGS_A_ROUND, damaged=damaged) for plan in chosen)


def rows_for(kernel: str) -> int:
    return ROWS_OF_REFERENCE if kernel == "reference" else ROWS


@each_kernel
@with_and_without_php
def test_every_row_that_a_writer_wrote_comes_back(kernel: str, real_php: bool) -> None:
    total = Verdict()
    sizes = itertools.cycle(BLOCK_SIZES)
    for log in round_of(rows_for(kernel), real_php):
        next(sizes)  # so that each output meets each size
        reads = [read(log.data, output, next(sizes)) for output in OUTPUTS]
        assert reads[1] == reads[0], f"{log.name}: events differ from batches"
        assert reads[2] == reads[0], f"{log.name}: Parquet differs from batches"
        verdict = judge(log, *reads[0])
        assert not (verdict.excused and log.kind == REAL), log.name
        total.add(verdict)
    assert not total.faults, f"{total.wrong} of {total.rows} rows are wrong:\n" + "\n".join(total.faults[:3])
    assert total.excused <= allowed(total.rows)


@each_kernel
@with_and_without_php
def test_good_rows_between_damaged_ones_come_back(kernel: str, real_php: bool) -> None:
    good = back = 0
    for log, output in zip(round_of(rows_for(kernel) // 4, real_php, damaged=True), itertools.cycle(OUTPUTS)):
        found, _ = read(log.data, output, BLOCK_SIZES[1])
        good += len(log.rows)
        back += survivors(log, found)
    assert good - back <= max(1, good // 1_000), f"{good - back} of {good} good rows are lost"


_READ = """
import hashlib, json, sys
from pathlib import Path
import trackparse
for path in sys.argv[1:]:
    with trackparse.open_log(Path(path).read_bytes(), on_error="quarantine", block_size=4096) as log:
        rows = log.read_all().to_pylist()
        bad = [(x["byte_offset"], x["reason"], x["raw"]) for x in log.rejects.to_pylist()]
    print(hashlib.sha256(repr((rows, bad)).encode()).hexdigest())
"""


@requires_php
@pytest.mark.skipif(not INSTRUCTION_SETS, reason="needs a C compiler")
@pytest.mark.skipif(SLOW > 1, reason="runs both kernels in processes of their own")
def test_both_kernels_agree(tmp_path: Path) -> None:
    """Rows and rejects, also where a row is damaged, or could not be told."""
    logs = [log for damaged in (False, True) for log in round_of(1_500, True, damaged) if log.kind != REAL]
    paths = []
    for i, log in enumerate(logs):
        paths.append(str(tmp_path / f"{i}.csv"))
        Path(paths[-1]).write_bytes(log.data)
    digests = []
    for kernel in ("reference", "c"):
        done = subprocess.run(
            [sys.executable, "-c", _READ, *paths],
            env={**os.environ, "TRACKPARSE_KERNEL": kernel},
            check=True,
            capture_output=True,
            text=True,
        )
        digests.append(done.stdout.split())
    assert len(digests[0]) == len(logs)
    assert [log.name for log, a, b in zip(logs, *digests, strict=True) if a != b] == []


def tried(data: bytes, width: int) -> set[tuple[int, ...]]:
    """Where the fields of a record may end, by trying each set of quotes behind a backslash as those that close."""
    choices = [i for i in range(1, len(data)) if data[i - 1 : i + 1] == b'\\"']
    found = {ends_of(data, width, None)}
    for size in range(len(choices) + 1):
        found |= {ends_of(data, width, chosen) for chosen in itertools.combinations(choices, size)}
    return found - {()}


def ends_of(data: bytes, width: int, closing: tuple[int, ...] | None) -> tuple[int, ...]:
    """The fields' ends, byte by byte; none where a rule of quoting or the width is broken. Without ``closing``: RFC."""
    ends: list[int] = []
    state = "start"  # of a field; then bare, inside quotes, a quote that may close or be the first of two, closed
    for i, byte in enumerate(data.decode() + "\n"):
        escaped = closing is not None and state == "inside" and i > 0 and data[i - 1 : i] == b"\\"
        if state == "inside":
            if byte == '"' and not (escaped and i not in (closing or ())):
                state = "closed" if escaped else "quote"
        elif state == "quote" and byte == '"':
            state = "inside"
        elif byte in ";\n":
            ends.append(i)
            state = "start"
            if byte == "\n":
                break
        elif state == "start":
            state = "inside" if byte == '"' else "bare"
        elif state != "bare":
            return ()
    return tuple(ends) if state == "start" and len(ends) == width else ()


def test_the_enumerator_finds_what_trying_everything_finds() -> None:
    dice = random.Random(7)
    several = 0
    for _ in range(6_000):
        tail = "".join(
            dice.choice(('"', ";", "\\", "\n", "a", '\\"', '\\";', '";"', '\\";"')) for _ in range(dice.randint(2, 9))
        )
        data = b'2021-04-20 13:01:01;"' + tail.encode()
        found = {tuple(reading.fields) for reading in readings(data, 0, Columns(3, 0, -1))}
        wanted = {(data[:19], data[20:one], data[one + 1 : two]) for _, one, two in tried(data, 3)}
        assert len(found) == len(wanted), data
        assert {tuple(map(bare, values)) for values in found} == {tuple(map(bare, values)) for values in wanted}, data
        several += len(found) > 1
    assert several > 100


@pytest.mark.parametrize("value", ["\ufeff{}".encode(), "{}".encode("utf-16-le"), b"\0{\0}"])
def test_a_payload_in_another_encoding_is_no_json_for_the_enumerator(value: bytes) -> None:
    (reading,) = readings(b"2021-04-20 13:01:01;" + value + b"\n", 0, Columns(2, 0, 1))
    assert not reading.payload_fits


def bare(field: bytes) -> bytes:
    """A field or its value without quotes: what both have in common."""
    return field.replace(b'"', b"")


@with_and_without_php
def test_what_was_written_is_among_the_readings(real_php: bool) -> None:
    """The generator and the enumerator check each other: the right reading is there, and none comes before it."""
    several = tied = count = 0
    for log in round_of(ROWS, real_php):
        for row, start in zip(log.rows[:150], log.starts, strict=False):
            found = readings(log.data, start, log.columns)
            right = [reading for reading in found if texts(reading)[1:] == list(row[1:])]
            assert right, f"{log.name}: {row} is not among {found}"
            rank, top = max(reading.rank for reading in right), max(reading.rank for reading in found)
            assert rank == top, f"{log.name}: {row} comes behind another reading of {found}"
            count += 1
            several += len(found) > 1
            equal = sum(reading.rank == top for reading in found) > 1
            assert not (log.kind == REAL and equal), f"{log.name}: {row} is one of equal readings in {found}"
            tied += equal
    assert several > count // 100, "too tame"
    assert tied <= count // 500


@with_and_without_php
def test_the_order_reads_whole_logs(real_php: bool) -> None:
    """The order of the specification, applied by the enumerator itself, meets the bar that the library has to meet."""
    total = Verdict()
    for log in round_of(ROWS, real_php):
        found = {start: texts(reading) for start, reading in walk(log.data, log.columns)}
        total.rows += len(log.rows)
        total.exact += sum(found.get(at, [])[1:] == list(row[1:]) for row, at in zip(log.rows, log.starts, strict=True))
    assert total.wrong <= allowed(total.rows)


def texts(reading: Reading) -> list[str]:
    """The fields as a row has them."""
    return [value.decode() for value in reading.fields]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_order_of_the_criteria(case: Case) -> None:
    """Each case is settled by the order of two criteria alone: exchanged, they give something else."""
    for order, wanted in ((ORDER, case.rows), (case.other_order, case.instead)):
        assert [tuple(texts(reading)) for _, reading in walk(case.log, case.columns, order)] == list(wanted)
    for weak in set(ORDER) - {case.stronger, case.weaker}:
        without = tuple(number for number in ORDER if number != weak)
        assert [tuple(texts(reading)) for _, reading in walk(case.log, case.columns, without)] == list(case.rows)


@pytest.mark.parametrize("case", CASES, ids=str)
@each_kernel
def test_the_library_follows_the_order(kernel: str, case: Case) -> None:
    found, _ = read(case.log, "string", BLOCK_SIZES[0])
    assert found == [as_read(dict(zip(case.names, row, strict=True))) for row in case.rows]


@pytest.mark.parametrize(
    "writer",
    [pytest.param(one, marks=requires_php if one.real_php else ()) for one in WRITERS],
    ids=lambda one: one.name,
)
def test_a_writer_writes_its_dialect(writer: Writer) -> None:
    """A value that the dialects write differently; so a writer that changes its ways does not go unnoticed."""
    row = ("2021-04-20 13:01:01", "T-00000000", 'a\\"b', "", "sent", "", "A-1", '{"a":"\\"b"}')
    first, record = writer.write([header(8), row])
    assert first.replace(b'"', b"").rstrip(b"\r\n") == b"//" + ";".join(NAMES).encode()
    assert (b'"a\\"b";' in record) == (writer.dialect == PHP)
    assert (b'"a\\""b";' in record) == (writer.dialect != PHP)


def test_the_same_seed_gives_the_same_rows() -> None:
    for kind in KINDS:
        assert rows(kind, 50, 8, "a seed") == rows(kind, 50, 8, "a seed") != rows(kind, 50, 8, "another")
        assert all(json.dumps(row) for row in rows(kind, 50, 8, "a seed"))


def test_a_wrong_row_is_excused_only_where_nobody_could_tell() -> None:
    """Of two records whose values end in a backslash, one is followed by what looks like a record inside of a value."""
    first = b"//" + ";".join(NAMES).encode() + b"\n"
    clear = b'2021-04-20 13:01:01;T-00000000;;h;sent;"C:\\";A-1;"{""a"":1}"\n'
    told = ("2021-04-20 13:01:01", "T-00000000", "", "h", "sent", "C:\\", "A-1", '{"a":1}')
    log = Log("made up", "", "soup", EIGHT, False, first + clear, [told], [len(first)])
    (right,) = expected(log)
    assert judge(log, [right], 0).faults == []
    assert judge(log, [right], 1).faults
    for wrong in (
        [],
        [(*right[:5], "C:", *right[6:])],
        [right, right],
        [(right[0] + timedelta(seconds=1), *right[1:])],
        [(*right[:2], None, *right[3:])],
    ):
        assert (judge(log, wrong, 0).excused, len(judge(log, wrong, 0).faults) > 0) == (0, True)
    open_end = b'2021-04-20 13:01:01;T-00000000;u;h;sent;ok;A-1;"x\\"\n2021-04-20 13:01:01;T-1;\n"\n'
    text = ("2021-04-20 13:01:01", "T-00000000", "u", "h", "sent", "ok", "A-1", 'x\\"\n2021-04-20 13:01:01;T-1;\n')
    log = Log("made up", "", "soup", EIGHT, False, first + open_end, [text], [len(first)])
    (right,) = expected(log)
    verdict = judge(log, [(*right[:7], "x\\")], 1)
    assert (verdict.excused, verdict.faults) == (1, [])
    taken = best(readings(log.data, len(first), EIGHT), PHP)
    assert taken.fields[7] == b"x\\"
