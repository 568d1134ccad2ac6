"""The C kernel says what the reference says: same arguments, same answers, with every instruction set."""

from __future__ import annotations

import base64
import ctypes
import json
import mmap
import os
import random
import signal
from array import array
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from itertools import accumulate
from types import ModuleType
from typing import Any

import orjson
import pytest

from corpus.cases import CASES
from support.kernel_calls import MAX, Made, indexed, question, rejects_of, run_of
from support.logs import H6, H8, line, line6
from support.payloads import payload_run, random_payload, random_wanted
from trackparse.records.kernel import reference, values
from trackparse.records.kernel.codes import (
    Indexed,
    JsonColumn,
    PayloadBuffers,
    Question,
    Run,
    TextBuffers,
    Wanted,
)
from trackparse.records.kernel.grammar import is_utf8
from trackparse.testing.sample import encode_row, sample_rows

ROUNDS = 20 if os.environ.get("HYPOTHESIS_PROFILE") == "reduced" else 160
SCAN = 32 << 10  # bytes of one structural scan, at most
ALPHABET = b'";\\\n\r a0{}:,\x00/-T' + "é".encode()
PIECES = [
    b'"',
    b'""',
    b'\\"',
    b'\\""',
    b"\\",
    b";",
    b"\n",
    b"\r\n",
    b"\r",
    b"\xff",
    b"\xe2\x82\xac",
    b"\xe2\x82",
    "🎁".encode(),
    b"\xef\xbb\xbf",
    b"\x00",
    b'"2021-04-20 13:01:01"',
    b"2021-04-20 13:01:01;",
    b"\n2021-04-20T13:01:01.25;",
    b'\n"2021-04-20 13:01:01";T',
    b"2021-02-30 00:00:00",
    b'"{""a"":""b""}"',
    b'"{""a"":""\\"b\\"""}"',
    b'"{""a"":""\\""b\\""""}"',
    b'"C:\\dir\\"',
    H8,
    H6,
    b"//",
    b"timestamp;",
    line(),
    line6(),
]
RECORDS = [
    line(),
    line6(),
    line(b'"{""a"":""\\"b\\"""}"'),
    line(b'"{""a"":""\\""b\\""""}"', end=b"\r\n"),
    line(b'"{""a"":""x\\";\\"y""}"', description=b'"C:\\dir\\"'),
    line(b'"{\n""a"":1}"', target="Доставка".encode()),
    line(time=b"2021-04-20T13:01:01.123456", description=b'"x ""y"" z"'),
    b"\n",
]


def mutated(dice: random.Random, records: int) -> bytes:
    """A log that went through bad hands."""
    data = bytearray(b"".join(dice.choice(RECORDS) for _ in range(records)))
    for _ in range(dice.choice([0, 0, 1, 1, 2, 5, 12])):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(4):
            case 0:
                data[at:at] = dice.choice(PIECES)
            case 1:
                del data[at : at + dice.choice([1, 1, 2, 5, 40])]
            case 2:
                data[at : at + 1] = bytes([dice.choice(ALPHABET)])
            case _:
                data[at : at + dice.randrange(8)] = dice.choice(PIECES)
    return bytes(data)


def noise(dice: random.Random, size: int) -> bytes:
    """What no writer writes."""
    out = bytearray()
    while len(out) < size:
        out += dice.choice(PIECES) if dice.random() < 0.3 else bytes([dice.choice(ALPHABET)])
    return bytes(out)


def shape(dice: random.Random) -> tuple[int, int, int]:
    """Width, timestamp, payload."""
    width = dice.choice([8, 8, 8, 6, 1, 2, 3])
    timestamp = dice.choice([0, 0, 0, dice.randrange(width)])
    return width, timestamp, 7 if width == 8 else dice.choice([-1, dice.randrange(width)])


def indexes(dice: random.Random, data: bytes) -> Iterator[Question]:
    """Arguments of ``index`` for one block."""
    for automatic, dialect in ((True, 0), (True, 1), (False, 0), (False, 1)):
        width, timestamp, payload = shape(dice)
        start = dice.choice([0, 0, 0, dice.randrange(len(data) + 1)])
        stop = dice.choice([len(data), len(data), dice.randrange(len(data) + 2), len(data) + 7])
        most = dice.choice([MAX, MAX, 1, 60, 100, 200, len(data) or 1])
        asked = question(
            data,
            start=start,
            stop=stop,
            final=dice.random() < 0.5,
            width=width,
            timestamp=timestamp,
            payload=payload,
            automatic=automatic,
            dialect=dialect,
            max_record_bytes=most,
        )
        if dice.random() < 0.2:
            asked = asked._replace(trusted=False)
        yield asked if dice.random() < 0.8 else asked._replace(credit=dice.choice([0, -9, min(300, asked.credit)]))


@cache  # each instruction set is asked the same, and the reference is slow
def index_of_reference(asked: Question) -> Indexed:
    return reference.index(asked)


@cache
def payloads_of_reference(runs: tuple[Run, ...], wanted: tuple[Wanted, ...]) -> list[PayloadBuffers]:
    return reference.payload_columns([*runs], [*wanted])


def compare(kernel: ModuleType, asked: Question) -> Indexed:
    """Index with both; what the reference says."""
    expected = index_of_reference(asked._replace(data=bytes(asked.data)))
    found = kernel.index(asked)
    assert found == expected, asked
    assert type(found) is Indexed
    return expected


def used(answer: TextBuffers) -> TextBuffers:
    """The buffers of a column of text, without the room behind the data."""
    assert type(answer) is TextBuffers
    return answer._replace(data=answer.data[: answer.used])


def compare_columns(kernel: ModuleType, runs: list[Any]) -> None:
    """All that is made of an index."""
    for empty_is_null in (False, True):
        for name in ("strings", "views"):
            expected = getattr(reference, name)(runs, empty_is_null)
            answer = getattr(kernel, name)(runs, empty_is_null)
            assert used(answer) == used(expected), (name, runs)
        c, python = kernel.Dictionary(), reference.Dictionary()
        for _ in range(2):
            codes = c.encode(runs, empty_is_null)
            assert codes == python.encode(runs, empty_is_null), runs
            assert kernel.validity_of(codes) == reference.validity_of(codes)
            assert len(c) == len(python)
            assert c.strings() == python.strings()


def events(
    kernel: ModuleType, data: Any, found: Indexed, columns: tuple[int, ...], kinds: str = "mtttsttj"
) -> list[Any]:
    """The events of an index, told by the kernel."""
    width = len(found.fields) // 4 // found.records - 1

    class Field(kernel.Field):  # type: ignore[name-defined, misc]
        __slots__ = ()

    made = kernel.events(
        run_of(data, found, width, -1),
        columns=columns,
        kinds=kinds,
        timestamps=found.timestamps,
        moment=lambda *parts: parts,
        statuses={"sent": 1, "created": 2},
        event=Made,
        payload=Field,
        member="log.csv",
        first_record=1 << 40,
        rejects=[before for before, *_ in rejects_of(found)],
    )
    assert all(type(event) is Made for event in made)
    return [
        (*event[:7], event.field and (event.field.raw, event.field._dialect, event.field._member, event.field._record))
        for event in made
    ]


def compare_events(kernel: ModuleType, data: Any, found: Indexed, columns: tuple[int, ...]) -> None:
    for kinds in ("mtttsttj", "mtntstnj"):
        ours, theirs = events(kernel, data, found, columns, kinds), events(reference, data, found, columns, kinds)
        assert ours == theirs, (data, columns, kinds)


def check_block(kernel: ModuleType, dice: random.Random, data: bytes) -> None:
    for asked in indexes(dice, data):
        found = compare(kernel, asked)
        if found.records:
            fields = [-1, *range(asked.width)]
            compare_columns(kernel, [run_of(data, found, asked.width, field) for field in fields])
            compare_events(kernel, data, found, tuple(dice.choice(fields) for _ in range(8)))


def test_mutated_logs(instruction_set: ModuleType) -> None:
    dice = random.Random(1)
    for _ in range(ROUNDS * 3):
        check_block(instruction_set, dice, mutated(dice, dice.choice([1, 2, 3, 6])))


def test_noise(instruction_set: ModuleType) -> None:
    dice = random.Random(2)
    for _ in range(ROUNDS * 3):
        check_block(instruction_set, dice, noise(dice, dice.choice([1, 5, 30, 64, 65, 150, 300])))


def test_blocks_of_many_scans(instruction_set: ModuleType) -> None:
    dice = random.Random(3)
    for _ in range(ROUNDS // 20):
        data = mutated(dice, 800)
        for asked in indexes(dice, data):
            compare(instruction_set, asked._replace(width=8, timestamp=0, payload=7, max_record_bytes=MAX))
            compare(instruction_set, asked._replace(width=6, timestamp=0, payload=-1, max_record_bytes=MAX))


def test_faults_at_the_edges_of_scans_and_steps(instruction_set: ModuleType) -> None:
    dice = random.Random(4)
    long = line(b'"' + b"x" * 300 + b'"') * 120
    for _ in range(ROUNDS):
        edge = dice.choice([64, 128, SCAN])
        at = edge + dice.randrange(-3, 4)
        data = long[:at] + dice.choice(PIECES) + long[at + dice.randrange(3) :]
        data = data[: dice.choice([len(data), edge + 400])]
        for automatic, dialect in ((True, 1), (True, 0), (False, 1), (False, 0)):
            compare(instruction_set, question(data, final=dice.random() < 0.5, automatic=automatic, dialect=dialect))


def test_one_record_longer_than_a_scan(instruction_set: ModuleType) -> None:
    dice = random.Random(5)
    for size in (SCAN, SCAN + 1, 50_000):
        text = dice.choice(['\\"', '""', "é", "x\n"]).encode() * (size // 2)
        for data in (line() + line(b'"' + text + b'"') + line(), line(text) * 2):
            for final in (False, True):
                compare(instruction_set, question(data, final=final))


@pytest.mark.parametrize(("width", "good", "unresolved"), [(64, 2, 0), (65, 0, 2)])
def test_many_columns_have_one_reading(width: int, good: int, unresolved: int, instruction_set: ModuleType) -> None:
    """As many are weighed as 64 columns may have; C has room for no more."""
    data = (b'2021-04-20 13:01:01;"a\\";"b"' + b";" * (width - 3) + b"\n") * 2
    found = compare(instruction_set, question(data, width=width, payload=-1))
    assert (found.records, found.unresolved) == (good, unresolved)


def test_bytes_that_are_no_utf8_anywhere_in_a_scan(instruction_set: ModuleType) -> None:
    dice = random.Random(6)
    for width in (1, 30, 300):
        lines = [line(b'"' + b"x" * width + b'"', description="é".encode())] * (2 * SCAN // (width + 80))
        for _ in range(ROUNDS // 20):
            bad = dict.fromkeys(dice.sample(range(len(lines)), dice.choice([1, 2, 9])), line(description=b"\xff"))
            data = b"".join(bad.get(number, good) for number, good in enumerate(lines))
            compare(instruction_set, question(data))


def test_every_start_and_stop(instruction_set: ModuleType) -> None:
    data = line(b'"{""a"":""\\"b\\"""}"', end=b"\r\n") + b"\n" + line(b"x;") + line(description=b'"x') + line() * 2
    for position in range(len(data) + 1):
        compare(instruction_set, question(data, start=position))
        compare(instruction_set, question(data, stop=position, final=False))
        compare(instruction_set, question(data[:position], final=False))
        compare(instruction_set, question(data[:position], dialect=0))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_cases(case: Any, instruction_set: ModuleType) -> None:
    compare(instruction_set, question(case.data))
    # Where a header stands first the kernel stops at it, and sees nothing of what the case is about.
    asked = question(case.data, start=case.data.find(b"\n") + 1)
    for automatic, dialect in ((True, 0), (True, 1), (False, 0), (False, 1)):
        for width, payload in ((8, 7), (6, -1), (6, 3)):
            for final in (False, True):
                shape = asked._replace(final=final, width=width, payload=payload)
                compare(instruction_set, shape._replace(automatic=automatic, dialect=dialect))


@pytest.mark.parametrize("dialect", ["php", "rfc4180"])
def test_samples(dialect: Any, instruction_set: ModuleType) -> None:
    data = b"".join(encode_row(fields, dialect) for fields in sample_rows(150))
    for automatic in (False, True):
        found = compare(instruction_set, question(data, automatic=automatic, dialect=1 - (dialect == "rfc4180")))
        assert found.records == 150
        compare_columns(instruction_set, [run_of(data, found, 8, field) for field in range(8)])
        compare_events(instruction_set, data, found, tuple(range(8)))


def test_runs_of_several_blocks(instruction_set: ModuleType) -> None:
    dice = random.Random(6)
    for _ in range(ROUNDS):
        runs = []
        for _ in range(dice.randrange(4)):
            data = mutated(dice, 4)
            found = index_of_reference(question(data))
            runs.append(run_of(data, found, 8, dice.choice([-1, 0, 5, 7])))
        compare_columns(instruction_set, runs)


def test_dictionaries_that_grow(instruction_set: ModuleType) -> None:
    dice = random.Random(7)
    c, python = instruction_set.Dictionary(), reference.Dictionary()
    for count in (1, 10, 100, 1000, 3000):
        data = b"".join(line(b"%d" % dice.randrange(count)) for _ in range(count))
        found = index_of_reference(question(data))
        runs = [run_of(data, found, 8, 7)]
        assert c.encode(runs, True) == python.encode(runs, True)
        assert c.strings() == python.strings()


def test_values_with_the_same_hash_are_told_apart() -> None:
    """Of 300,000 values about ten pairs share the 32 bits of their hash that are compared first."""
    native = pytest.importorskip("trackparse.records.kernel.native")
    data = b"".join(b"2021-04-20 13:01:01;%06d\n" % number for number in range(300_000))
    found = indexed(native, data, width=2, payload=-1)
    dictionary = native.Dictionary()
    dictionary.encode([run_of(data, found, 2, 1)], True)
    assert len(dictionary) == found.records == 300_000


def test_unescape(instruction_set: ModuleType) -> None:
    dice = random.Random(8)
    for _ in range(ROUNDS * 20):
        # What stands in a field: quotes come in pairs, or behind a backslash.
        pieces = [b'""', b"x", b"\\", "é".encode(), b"yz" * 20]
        size = dice.choice([0, 1, 5, 30, 60, 200])
        rfc = b"".join(dice.choice(pieces) for _ in range(size))
        assert instruction_set.unescape(rfc, 0) == reference.unescape(rfc, 0) == rfc.replace(b'""', b'"')
        php = b""
        for _ in range(size):
            piece = dice.choice([*pieces, b'\\"'])
            php += b'"' if php.endswith(b"\\") and piece == b'""' else piece
        assert instruction_set.unescape(php, 1) == reference.unescape(php, 1), php


def test_count_lines(instruction_set: ModuleType) -> None:
    dice = random.Random(9)
    for _ in range(ROUNDS * 5):
        data = bytes(dice.choice(b"\n\r\x0b\x8a ") for _ in range(dice.choice([0, 1, 63, 64, 65, 300])))
        start, stop = dice.randrange(len(data) + 1), dice.randrange(len(data) + 1)
        assert instruction_set.count_lines(data, start, stop) == reference.count_lines(data, start, stop)


def test_timestamps(instruction_set: ModuleType) -> None:
    dice = random.Random(10)
    good = b"2021-04-20 13:01:01.123456"
    for _ in range(ROUNDS * 40):
        text = bytearray(good[: dice.choice([0, 10, 18, 19, 19, 19, 20, 21, 22, 25, 26])])
        for _ in range(dice.choice([0, 1, 1, 2])):
            if text:
                text[dice.randrange(len(text))] = dice.choice(b"0123456789-T: .Z+\x00/\xb2")
        text += dice.choice([b"", b"", b"", b"7", b"Z", b" "])
        assert instruction_set.parse_timestamp(text) == reference.parse_timestamp(text), text
    for year in (1, 4, 99, 100, 200, 400, 1600, 1900, 1969, 1970, 2000, 2023, 2024, 2100, 9999):
        for month in range(14):
            for day in (0, 1, 28, 29, 30, 31, 32):
                date = b"%04d-%02d-%02d 23:59:59" % (year, month, day)
                assert instruction_set.parse_timestamp(date) == reference.parse_timestamp(date), date


def random_json(dice: random.Random, depth: int = 0) -> Any:
    kind = dice.randrange(9 if depth < 4 else 6)
    if kind < 2:
        return "".join(dice.choice('ab"\\/\n\t\x00é€🎁\x7f') for _ in range(dice.choice([0, 1, 3, 40])))
    if kind < 4:
        return dice.choice([0, -1, 12, 1.5, -0.25, 1e30, 2e-9, 123456789012345678])
    if kind < 6:
        return dice.choice([True, False, None])
    if kind < 8:
        return {str(dice.random()): random_json(dice, depth + 1) for _ in range(dice.randrange(4))}
    return [random_json(dice, depth + 1) for _ in range(dice.randrange(4))]


def python_says(text: bytes) -> bool:
    """Whether the standard library takes it for JSON; NaN and Infinity are its own."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        json.loads(text.decode(), parse_constant=refuse)
    except ValueError:
        return False
    return not text.startswith(b"\xef\xbb\xbf")


def test_is_json(instruction_set: ModuleType) -> None:
    dice = random.Random(11)
    verdicts = []
    for _ in range(ROUNDS * 20):
        text = json.dumps(random_json(dice), ensure_ascii=dice.random() < 0.5, indent=dice.choice([None, 1])).encode()
        broken = bytearray(text)
        for _ in range(dice.choice([0, 1, 1, 2])):
            at = dice.randrange(len(broken) + 1)
            broken[at : at + dice.randrange(2)] = dice.choice(
                [b"", b",", b"]", b"}", b":", b'"', b"0", b"-", b".", b"e", b"\\", b"\\u12", b"\n", b" ", b"t", b"\x00"]
            )
        data = bytes(broken)
        try:
            data.decode()
        except UnicodeDecodeError:
            continue
        verdicts.append(python_says(data))
        assert reference.is_json(data) == instruction_set.is_json(data) == verdicts[-1], data
    assert verdicts.count(True) > len(verdicts) // 5
    assert verdicts.count(False) > len(verdicts) // 5


def test_a_string_of_json_holds_any_byte_but_the_first_32(instruction_set: ModuleType) -> None:
    for number in range(128):
        text = b'"a%cb"' % number
        assert reference.is_json(text) == instruction_set.is_json(text) == python_says(text), text


def test_json_may_nest_1024_deep_and_no_deeper(instruction_set: ModuleType) -> None:
    for kernel in (reference, instruction_set):
        assert kernel.is_json(b"[" * 1024 + b"]" * 1024)
        assert not kernel.is_json(b"[" * 1025 + b"]" * 1025)
        assert kernel.is_json(b'{"a":' * 1023 + b"[]" + b"}" * 1023)


WANTED = [Wanted((b"a",), "t"), Wanted((b"a", b"0"), "q"), Wanted((), "t"), Wanted((b"b",), "?"), Wanted((b"c",), "d")]


def test_payload_columns(instruction_set: ModuleType) -> None:
    dice = random.Random(13)
    found = 0
    for _ in range(ROUNDS):
        payloads = [random_payload(dice) for _ in range(dice.choice([0, 1, 7, 8, 20]))]
        wanted = random_wanted(dice)
        run = payload_run(payloads)
        runs = [run, Run(b"", b"", 3, 1, -1), run][: dice.choice([1, 1, 3])]
        expected = payloads_of_reference((*runs,), (*wanted,))
        answer = instruction_set.payload_columns(runs, wanted)
        assert answer == expected, (payloads, wanted)
        assert all(type(column) is PayloadBuffers for column in answer)
        found += sum(sum(one.records for one in runs) - column.nulls for column in answer)
    assert found > ROUNDS


def test_payload_columns_of_large_payloads(instruction_set: ModuleType) -> None:
    """What the marks are found in has 4,096 bytes, and signals are looked for behind 4 MiB."""
    dice = random.Random(14)
    parts = [random_payload(dice) for _ in range(ROUNDS)]
    large = b'{"b":[%s],"a":[1,"%s"]}' % (b",".join(part for part in parts if reference.is_json(part)), b"x" * 5000)
    for payloads in ([large], [large, large[:-1], b"{ %s" % large[1:]]):
        runs = [payload_run(payloads)]
        answer = instruction_set.payload_columns(runs, WANTED)
        assert answer == payloads_of_reference((*runs,), (*WANTED,))
        assert answer[0].nulls == len(payloads) // 3
    payloads = [b'{"a":[%d],"b":"%s"}' % (number, b"x" * (1 << 20)) for number in range(10)]
    numbers = instruction_set.payload_columns([payload_run(payloads)], WANTED[1:2])[0].first
    assert memoryview(numbers).cast("q").tolist() == list(range(10))


def test_signals_are_heard_during_a_long_call(instruction_set: ModuleType) -> None:
    heard: list[int] = []
    run = payload_run([b'{"a":"%s"}' % (b"x" * (1 << 20))])
    # Under the sanitizers a byte takes several times as long.
    records = 80 if os.environ.get("TRACKPARSE_SANITIZED") else 200
    run = run._replace(fields=bytes(run.fields) * records, records=records)
    before = signal.signal(signal.SIGVTALRM, lambda number, _: heard.append(number))
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.004, 0.004)  # of CPU time, so that other processes do not matter
        instruction_set.payload_columns([run], WANTED[3:])
        assert len(heard) > 2
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_a_signal_may_end_a_long_call(instruction_set: ModuleType) -> None:
    def stop(*_: object) -> None:
        raise KeyError("stop")

    run = payload_run([b'{"a":"%s"}' % (b"x" * (1 << 20))])
    run = run._replace(fields=bytes(run.fields) * 200, records=200)
    before = signal.signal(signal.SIGVTALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.004)
        with pytest.raises(KeyError, match="stop"):
            instruction_set.payload_columns([run], WANTED[3:])
    finally:
        signal.signal(signal.SIGVTALRM, before)


def test_payload_columns_of_texts_that_are_no_json_at_all(instruction_set: ModuleType) -> None:
    dice = random.Random(15)
    for _ in range(ROUNDS):
        data = mutated(dice, 3)
        found = index_of_reference(question(data))
        runs = [run_of(data, found, 8, field) for field in (-1, 5, 7)]
        assert instruction_set.payload_columns(runs, WANTED) == payloads_of_reference((*runs,), (*WANTED,)), data


def test_payloads_at_the_end_of_memory(instruction_set: ModuleType) -> None:
    page = GuardedPage(2)
    dice = random.Random(16)
    for size in range(1, 300):
        text = (b'{""a"":[1,""\\u00e9""],""b"":""' + b"x" * size)[:size]
        for payload in (
            text,
            text + b'""}',
            bytes(dice.choice(b'{}[]:," 1\\u') for _ in range(size)).replace(b'"', b'""'),
        ):
            data = line(b'"' + payload + b'"', end=b"")
            found = index_of_reference(question(data))
            run = Run(data, found.fields, found.records, 8, 7)
            answer = instruction_set.payload_columns([run._replace(data=page.hold(data))], WANTED)
            assert answer == payloads_of_reference((run,), (*WANTED,)), payload


def test_wanted_that_cannot_be_made_is_refused(instruction_set: ModuleType) -> None:
    runs = [payload_run([b"{}"])]
    for wrong in ((), ((b"a",), "x"), ((b"a",), "tt"), ((b"a",), ""), ([b"a"], "t"), (("a",), "t"), ((b"a",), 1), b"a"):
        with pytest.raises((ValueError, TypeError)):
            instruction_set.payload_columns(runs, [Wanted((b"a",), "t"), wrong])


def test_strings_that_were_made_already_are_encoded(instruction_set: ModuleType) -> None:
    dice = random.Random(17)
    c, python = instruction_set.Dictionary(), reference.Dictionary()
    for count in (0, 1, 31, 32, 33, 200):
        payloads = [dice.choice([b'{"a":"%d"}' % dice.randrange(count), b"{}", b'{"a":""}']) for _ in range(count)]
        column = instruction_set.payload_columns([payload_run(payloads)], WANTED[:1])[0]
        strings = (count, column.validity, column.first, column.data)
        assert c.encode_strings(*strings) == python.encode_strings(*strings)
        assert (c.strings(), c.size) == (python.strings(), python.size)
    ends = memoryview(b"".join(end.to_bytes(4, "little") for end in (0, 2, 1)))
    for wrong in (
        (-1, None, ends, b"ab"),
        (3, None, ends, b"ab"),
        (1, None, ends, b"a"),
        (2, None, ends, b"ab"),
        (1, b"", ends, b"ab"),
    ):
        with pytest.raises(ValueError, match="encode_strings: "):
            c.encode_strings(*wrong)


def test_tables_that_do_not_fit_their_block_are_refused(instruction_set: ModuleType) -> None:
    data = line()
    fields = index_of_reference(question(data)).fields
    for block, table, records, width, field in (
        (data[:-3], fields, 1, 8, 7),
        (data, fields, 2, 8, 7),
        (data, fields[:-4], 1, 8, 7),
        (data, fields, 1, 8, 8),
        (data, fields, 1, 8, -2),
        (data, fields, -1, 8, 0),
        (data, fields, 1, 0, 0),
        (data, b"\xff" * len(fields), 1, 8, 3),
    ):
        run = Run(block, table, records, width, field)
        calls: tuple[Callable[[Run], object], ...] = (
            lambda run: instruction_set.strings([run], True),
            lambda run: instruction_set.views([run], True),
            lambda run: instruction_set.Dictionary().encode([run], True),
            lambda run: instruction_set.payload_columns([run], WANTED),
            lambda run: instruction_set.events(
                run,
                columns=(run.field,) * 8,
                kinds="mtttsttj",
                timestamps=b"\0" * 16,
                moment=datetime,
                statuses={},
                event=Made,
                payload=instruction_set.Field,
                member="",
                first_record=0,
                rejects=[],
            ),
        )
        for call in calls:
            with pytest.raises(ValueError, match=r"(run|events): "):
                call(run)


def test_arguments_out_of_range_are_refused(instruction_set: ModuleType) -> None:
    good = question(line(), stop=10)
    bad: list[dict[str, Any]] = [
        {"start": -1},
        {"stop": -1},
        {"width": 0},
        {"timestamp": 8},
        {"timestamp": -1},
        {"payload": 8},
        {"payload": -2},
        {"dialect": 2},
        {"max_record_bytes": 0},
        {"names": b";" * 64},
        {"credit": 1 << 62},
        {"record": -1},
        {"line": -1},
        {"byte_offset": 1 << 62},
    ]
    for wrong in bad:
        with pytest.raises(ValueError, match="index:"):
            instruction_set.index(good._replace(**wrong))


class GuardedPage:
    """Memory whose next page cannot be read: one byte too far is a crash."""

    def __init__(self, pages: int) -> None:
        page = mmap.PAGESIZE
        self._map = mmap.mmap(-1, (pages + 1) * page)
        self._end = pages * page
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        if libc.mprotect(address + self._end, page, 0):
            pytest.skip("no mprotect here")
        self._view = memoryview(self._map)

    def hold(self, data: bytes) -> memoryview:
        """The data, ending right before the forbidden page."""
        self._map[self._end - len(data) : self._end] = data
        return self._view[self._end - len(data) : self._end]


def test_nothing_is_read_past_the_buffer(instruction_set: ModuleType) -> None:
    page = GuardedPage(8)
    dice = random.Random(12)
    long = line(b'"{""a"":""\\"b\\"""}"') + line6() + line(b'"x""y"', target="é".encode()) * 60
    for size in [*range(1, 201), 255, 256, 257, 4096, 16384, 16385]:
        log = (long * 4)[:size]
        for data in (log, b'"' * size, noise(dice, size)[:size], log.replace(b"\n", b"\xc3")):
            block = page.hold(data)
            for final in (False, True):
                for dialect in (0, 1):
                    found = indexed(instruction_set, block, final=final, dialect=dialect)
                    for field in (0, 2, 5, 7):
                        run = run_of(block, found, 8, field)
                        instruction_set.strings([run], True)
                        instruction_set.views([run], True)
                        instruction_set.Dictionary().encode([run], True)
                    if found.records:
                        events(instruction_set, block, found, (0, 1, 2, 3, 4, 5, 6, 7))
            for dialect in (0, 1):
                instruction_set.unescape(block, dialect)
            instruction_set.count_lines(block, 0, size)
            instruction_set.is_json(block)
            instruction_set.parse_timestamp(block)


def test_the_last_field_of_a_block_ends_at_its_end(instruction_set: ModuleType) -> None:
    page = GuardedPage(2)
    for size in range(1, 200):
        value = (b'x""y' * 50)[: size // 2 * 2].replace(b'"', b"q") + b'""' * (size % 3)
        data = line(b'"' + value + b'"', end=b"")
        block = page.hold(data)
        found = compare(instruction_set, question(block))
        assert found.records == 1
        compare_columns(instruction_set, [run_of(block, found, 8, field) for field in (6, 7)])


def test_records_that_have_so_many_bytes(instruction_set: ModuleType) -> None:
    data = b"".join(line(b"x" * size) for size in (3, 0, 200, 7)) + line()[:-1]
    found = index_of_reference(question(data))
    for records in range(6):
        for size in (0, 1, len(line(b"xxx")), len(line(b"xxx")) + 1, 300, MAX):
            arguments = (found.fields, min(records, 5), 8, size)
            assert instruction_set.records_in(*arguments) == reference.records_in(*arguments)
    # A line end counts, also where the member ends without one.
    assert instruction_set.records_in(found.fields, 5, 8, MAX) == (5, len(data) + 1)
    with pytest.raises(ValueError, match="out of range"):
        instruction_set.records_in(found.fields, 6, 8, 1)


def test_the_longest_value(instruction_set: ModuleType) -> None:
    for sizes in ([], [0], [0, 5, 0, 12, 3], [7, 1], [1, 7], [2**30, 2**30 - 1]):
        most = max(sizes, default=0)
        offsets = array("i", accumulate(sizes, initial=0))
        for kernel in (instruction_set, reference):
            assert kernel.longest(offsets) == kernel.longest(offsets.tobytes()) == most
    for kernel in (instruction_set, reference):
        assert kernel.longest(b"") == 0
        for size in (1, 7):
            with pytest.raises((ValueError, TypeError)):
                kernel.longest(bytes(size))


def test_records_in_the_order_of_their_parts(instruction_set: ModuleType) -> None:
    page = GuardedPage(2)
    dice = random.Random(1)
    lines = [line(b"x" * size) for size in (3, 0, 200, 7)] + [line(b'"a""";b"', end=b"\r\n"), line(b'"path\\"')]
    for rest in (b"", line(), line()[:-1]):
        data = b"".join(lines) + rest
        block = page.hold(data)
        found = index_of_reference(question(data))
        for parts in (1, 2, 5):
            codes = array("i", (dice.randrange(parts) for _ in range(2 * found.records)))
            runs = [run_of(block, found, 8, 0), run_of(bytes(data), found, 8, 7)]
            times = array("q", (dice.randrange(-(1 << 50), 1 << 50) for _ in codes)).tobytes()
            made = instruction_set.parted(runs, times, codes.tobytes(), parts)
            assert made == reference.parted(runs, times, codes.tobytes(), parts)
            assert instruction_set.days(times) == reference.days(times)
            # They are the same records, in another order.
            order = sorted(range(len(codes)), key=lambda record: codes[record])
            for field in (0, 4, 7):
                before = values.values_of([run._replace(field=field) for run in runs])
                after = values.values_of([Run(made[0], made[1], len(codes), 8, field)])
                assert after == [before[record] for record in order]
            assert array("I", made[3]).tolist() == [codes.tolist().count(part) for part in range(parts)]
            # Among records of other widths.
            narrow = Run(page.hold(b"a;b\n"), array("I", [0, 1, 3]).tobytes(), 1, 2, 0)
            mixed, more = [narrow, runs[1], narrow], codes[:1] + codes[: found.records] + codes[-1:]
            these = times[: 8 * len(more)]
            made = instruction_set.parted(mixed, these, more.tobytes(), parts)
            assert made == reference.parted(mixed, these, more.tobytes(), parts)
            assert len(made[1]) == 4 * (2 * 3 + found.records * 9)
    with pytest.raises(ValueError, match="parted"):
        instruction_set.parted(runs, times, codes.tobytes()[:-4], parts)


def test_arguments_that_do_not_fit_parts_are_refused_by_the_reference_too(instruction_set: ModuleType) -> None:
    block = line() * 2
    found = index_of_reference(question(block))
    run, narrow = run_of(block, found, 8, 0), Run(b"a\n", array("I", [0, 1]).tobytes(), 1, 1, 0)
    times, codes = array("q", [1, 2]).tobytes(), array("i", [0, 1]).tobytes()
    wrong: list[tuple[Any, ...]] = [
        ([run], times, array("i", [0, -1]).tobytes(), 2),
        ([run], times, array("i", [0, 2]).tobytes(), 2),
        ([], b"", b"", 0),
        ([run._replace(field=-1)], times, codes, 2),
        ([run, narrow], times, codes, 2),
        ([run._replace(data=block[: len(line())])], times, codes, 2),
    ]
    for kernel in (instruction_set, reference):
        for arguments in wrong:
            with pytest.raises(ValueError, match=r"parted|run"):
                kernel.parted(*arguments)
        for size in (1, 7, 9):
            with pytest.raises((ValueError, TypeError)):
                kernel.days(bytes(size))
        with pytest.raises((ValueError, TypeError)):
            kernel.parted([run], times + b"x", codes, 2)
    with pytest.raises(TypeError):
        instruction_set.parted((run,), times, codes, 2)


def test_a_day_begins_at_midnight(instruction_set: ModuleType) -> None:
    day = 86_400_000_000
    times = array("q", (0, day - 1, day, -1, -day, -day - 1, 4 * day)).tobytes()
    for kernel in (instruction_set, reference):
        assert array("i", kernel.days(times)).tolist() == [0, 0, 1, -1, -1, -2, 4]


def test_what_a_dictionary_lent_stays_as_it_is_while_it_grows(instruction_set: ModuleType) -> None:
    c = instruction_set.Dictionary()
    lent, texts = [], []
    for number in range(12):
        data = b"".join(line(b"%d" % row) for row in range(2**number))
        found = index_of_reference(question(data))
        c.encode([run_of(data, found, 8, 7)], True)
        lent.append(c.strings())
        texts.append(b"".join(b"%d" % row for row in range(2**number)))
        if number == 6:
            del lent[:], texts[:]
    assert [bytes(text) for _, text in lent] == texts
    assert [memoryview(offsets).cast("i")[-1] for offsets, _ in lent] == [len(text) for text in texts]
    del c
    assert bytes(lent[0][1]) == texts[0]


JSON_TEXTS = [
    b"",
    b"log.csv",
    bytes(range(0x20)),
    b'"\\/\x7f',
    "é;€😀".encode(),
    b"x" * 300,
    *(bytes([c, 65]) for c in range(128)),
]
NOT_UTF8 = [b"\xff", b"caf\xe9", b"\xed\xa0\x80", b"ab\xff", b"\0\xff\n"]
JSON_NUMBERS = [0, 7, 10, -1, -(1 << 63), (1 << 63) - 1]


def json_column(dice: random.Random, name: str, values: list[Any]) -> JsonColumn:
    """The buffers of a column with these values, or null in their place."""
    bits = sum((value is not None) << row for row, value in enumerate(values))
    validity = bits.to_bytes(len(values) // 8 + 1, "little") if None in values or dice.random() < 0.5 else None
    if any(isinstance(value, int) for value in values):
        return JsonColumn(name, "q", validity, array("q", (value or 0 for value in values)).tobytes(), b"")
    start = dice.choice([0, 3])
    offsets = array("i", accumulate((len(value or b"") for value in values), initial=start)).tobytes()
    data = b"..."[:start] + b"".join(value or b"" for value in values)
    text = all(value is None or is_utf8(value) for value in values) and dice.random() < 0.5
    return JsonColumn(name, "t" if text else "b", validity, offsets, data)


def test_lines_of_json_are_those_of_others(instruction_set: ModuleType) -> None:
    dice, page = random.Random(3), GuardedPage(4)
    for rows in [0, 1, 2, 7, 8, 9, *[30] * 20]:
        pools: list[list[Any]] = [JSON_TEXTS, [*JSON_TEXTS[:3], *NOT_UTF8], JSON_NUMBERS, JSON_TEXTS[:2]]
        values = [[dice.choice([dice.choice(pool), pool[0], None]) for _ in range(rows)] for pool in pools]
        names = ["text", "raw", "number", 'a "name"']
        columns = [json_column(dice, name, own) for name, own in zip(names, values, strict=True)]
        columns[1] = columns[1]._replace(data=page.hold(bytes(columns[1].data)))
        expected = b""
        for row in zip(*values, strict=True):
            members: dict[str, Any] = {}
            for name, value in zip(names, row, strict=True):
                if isinstance(value, bytes) and not is_utf8(value):
                    members[f"{name}_base64"] = base64.b64encode(value).decode()
                else:
                    members[name] = value.decode() if isinstance(value, bytes) else value
            expected += orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)
        assert instruction_set.json_lines(columns, rows) == expected
        assert reference.json_lines(columns, rows) == expected


def test_columns_that_do_not_fit_are_not_made_lines_of_json(instruction_set: ModuleType) -> None:
    offsets = array("i", [0, 1, 2]).tobytes()
    good = JsonColumn("a", "t", b"\3", offsets, b"xy")
    wrong: list[tuple[JsonColumn, int]] = [
        (good, 3),
        (good, -1),
        (good._replace(kind="x"), 2),
        (good._replace(data=b"x"), 2),
        (good._replace(validity=b""), 2),
        (good._replace(first=array("i", [0, 2, 1]).tobytes()), 2),
        (good._replace(first=array("i", [-1, 1, 2]).tobytes()), 2),
        (good._replace(first=b""), 0),
        (good._replace(kind="q", first=bytes(8)), 2),
    ]
    for kernel in (instruction_set, reference):
        assert kernel.json_lines([good], 2) == b'{"a":"x"}\n{"a":"y"}\n'
        for column, rows in wrong:
            with pytest.raises(ValueError, match="json_lines: arguments out of range"):
                kernel.json_lines([good._replace(name="first"), column], rows)
