"""The reference and every instruction set of the C kernel say the same: indexes, columns, values."""

from __future__ import annotations

from typing import Any, Final

from harness import MAX, Knobs, counted, fuzz

with counted():
    from trackparse.records.kernel import codes, native, reference
    from trackparse.records.kernel.codes import Question, Run
    from trackparse.records.kernel.index import credit_limit
    from trackparse.schema import COLUMNS

SETS: Final = native.instruction_sets()
KNOWN: Final = ";".join(COLUMNS).encode()


def check(data: bytes, knobs: Knobs) -> None:
    """One stretch of a block, indexed as it might be, with the columns of what was found."""
    size = len(data)
    width = knobs.choice((8, 8, 8, 6, 1, 2, 3, 12))
    timestamp = 0 if knobs.often() else knobs.randrange(width)
    payload = width - 1 if knobs.often() else knobs.randrange(width + 1) - 1
    start = 0 if knobs.often() else knobs.randrange(size + 1)
    stop = size if knobs.often() else knobs.randrange(size + 2)
    most = knobs.choice((MAX, MAX, 60, 200, size or 1))
    final, automatic, dialect = knobs.choice((True, False)), knobs.often(), knobs.randrange(2)
    trusted = knobs.often()
    limit = credit_limit(most)
    credit = limit if knobs.often() else min(limit, knobs.randrange(1000) - 100)
    question = Question(
        data,
        start,
        stop,
        final,
        width,
        timestamp,
        payload,
        names=KNOWN,
        trusted=trusted,
        automatic=automatic,
        dialect=dialect,
        max_record_bytes=most,
        credit=credit,
        record=0,
        line=1,
        byte_offset=start,
    )
    expected = reference.index(question)
    field = knobs.randrange(width + 1) - 1
    runs = [Run(data, expected.fields, expected.records, width, field)] * knobs.choice((1, 1, 2))
    empty_is_null = knobs.choice((False, True))
    columns = made(reference, runs, empty_is_null)
    values = values_of(reference, data, dialect)
    for name in SETS:
        native.select(name)
        found = native.index(question)
        assert found == expected, f"index({question}): {name} says {found}, the reference {expected}"
        same = made(native, runs, empty_is_null)
        assert same == columns, f"field {field}: {name} makes {same}, the reference {columns}"
        ours = values_of(native, data, dialect)
        assert ours == values, f"{name} says {ours}, the reference {values}"


def made(kernel: Any, runs: list[Run], empty_is_null: bool) -> list[Any]:
    """The column, in each of its forms."""
    found: list[Any] = []
    for function in (kernel.strings, kernel.views):
        first, data, size, validity, nulls = function(runs, empty_is_null)
        found.append((bytes(first), bytes(memoryview(data).cast("B")[:size]), validity, nulls))
    dictionary = kernel.Dictionary()
    codes = dictionary.encode(runs, empty_is_null)
    found += (codes, kernel.validity_of(codes), dictionary.strings(), len(dictionary), dictionary.size)
    return [*found, dictionary.encode(runs[::-1], empty_is_null), dictionary.strings()]


def values_of(kernel: Any, data: bytes, dialect: int) -> list[Any]:
    """What the small functions say of the data; unescaping is for quotes that come in pairs."""
    said: list[Any] = [kernel.is_json(data), kernel.count_lines(data, 0, len(data)), kernel.parse_timestamp(data)]
    escaped = data.replace(b'\\"', b"") if dialect == codes.PHP else data
    if b'"' not in escaped.replace(b'""', b""):
        said.append(kernel.unescape(data, dialect))
    return said


if __name__ == "__main__":
    fuzz(check)
