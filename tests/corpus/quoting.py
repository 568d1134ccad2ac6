"""Quotes lost, left over, and where nobody expects them."""

from __future__ import annotations

from support.logs import NAMES6

from .model import Fault, Log, between, record, rfc4180, row, row6, same

_ESCAPED = '{"aps":{"alert":"Sale: \\"all\\" must go"}}'
_NESTED = '{"a":"{\\"b\\":\\"c\\"}"}'


def _closing_lost(data: bytes) -> bytes:
    """The record without the last quote in it."""
    at = data.rindex(b'"')
    return data[:at] + data[at + 1 :]


def _in_description(text: bytes) -> bytes:
    return record(row(9, description="@")).replace(b'"@"', b"@").replace(b"@", text)


def _dialects() -> list[Fault]:
    php, rfc = Log(), Log(writer=rfc4180)
    for i in range(6):
        php.good(row(i, payload=_ESCAPED if i % 2 else _NESTED))
        rfc.good(row(i, payload=_ESCAPED if i % 2 else _NESTED))
    turns = Log()
    for i in range(8):
        turns.as_written(row(i, payload=_ESCAPED), record(row(i, payload=_ESCAPED), rfc4180 if i % 2 else turns.writer))
    path = Log()
    for i in range(4):
        path.good(row(i, description="C:\\logs\\", payload=_ESCAPED if i % 2 else None))
    two = Log().good(row(1), row(2, target="a\\", description="b\\", payload=_ESCAPED), row(3))
    last = Log(NAMES6).good(row6(1), row6(2, description="at \\"), row6(3, description="\\"), row6(4))
    return [
        php.fault("quotes behind backslashes, as PHP writes them"),
        rfc.fault("quotes behind backslashes, doubled"),
        turns.fault("both dialects by turns"),
        path.fault("values that end in a backslash"),
        two.fault("two values that end in a backslash in one record"),
        last.fault("the last field ends in a backslash"),
    ]


def _lost() -> list[Fault]:
    full = record(row(9, payload=_ESCAPED))
    plain = record(row(9), rfc4180)
    faults = [
        between("the payload lost its closing quote", _closing_lost(full), "text_after_quote"),
        between(
            "the payload lost its closing quote, timestamps bare",
            _closing_lost(plain),
            "text_after_quote",
            writer=rfc4180,
        ),
        between("the payload lost its last two quotes", full.replace(b'""}}"', b"}}"), "text_after_quote"),
        between("a timestamp lost its closing quote", full.replace(b'";T-', b";T-"), "text_after_quote"),
        between("a timestamp lost its opening quote", full[1:], "bad_timestamp"),
        between("an inner quote is not doubled", full.replace(b'""aps""', b'"aps""'), "text_after_quote"),
        between("the quotes of a key are not doubled", full.replace(b'""alert""', b'"alert"'), "text_after_quote"),
        between("JSON in quotes, none of them doubled", _in_description(b'"{"a":1}"'), "text_after_quote"),
    ]
    end = Log().good(row(1), row(2))
    end.bad(_closing_lost(record(row(3))), "unclosed_quote")
    faults.append(end.fault("the last payload lost its closing quote"))
    cut = Log().good(row(1), row(2)).bad(record(row(3))[:-8], "unclosed_quote")
    faults.append(cut.fault("the log ends inside quotes"))
    # Nothing tells it from a value with quotes in it: it is delivered as it stands.
    bare = '{""aps"":{""alert"":""Hi""}}"'
    faults.append(same("the payload lost its opening quote", record(row(9)).replace(b'"{', b"{"), row(9, payload=bare)))
    return faults


def _stray() -> list[Fault]:
    plain = record(row(9), rfc4180)
    six = record(row6(9), names=NAMES6)
    faults = [
        between("a stray opening quote", _in_description(b'"Success'), "text_after_quote"),
        between(
            "a stray opening quote, timestamps bare",
            plain.replace(b"Success", b'"Success'),
            "text_after_quote",
            writer=rfc4180,
        ),
        between(
            "a stray opening quote in the target", plain.replace(b"hw", b'"hw'), "text_after_quote", writer=rfc4180
        ),
        between(
            "six columns, a stray opening quote, and no other quote",
            six.replace(b'"', b"")[:-1] + b'"oops\n',
            "unclosed_quote",
            names=NAMES6,
            writer=rfc4180,
        ),
        between("six columns, a stray opening quote", six[:-1] + b'"oops\n', "text_after_quote", names=NAMES6),
        between("text behind a closing quote", _in_description(b'"Success"ful'), "text_after_quote"),
        between("a blank behind a closing quote", _in_description(b'"Success" '), "text_after_quote"),
        between("a tab behind a closing quote", _in_description(b'"Success"\t'), "text_after_quote"),
        between("three quotes for a value", _in_description(b'"""'), "text_after_quote"),
        between("the whole record in quotes", b'"' + plain.replace(b'"', b'""')[:-1] + b'"\n', "field_count"),
        same("a blank before an opening quote", _in_description(b' "x"'), row(9, description=' "x"')),
        same("an inch in a bare field", _in_description(b'5" screen'), row(9, description='5" screen')),
        same("a bare field that ends in a quote", _in_description(b'x"'), row(9, description='x"')),
        same("quotes in a bare field", _in_description(b'a""b"c'), row(9, description='a""b"c')),
        same("an escaped quote in a bare field", _in_description(b'a\\"b'), row(9, description='a\\"b')),
        same("a value that is one quote", _in_description(b'""""'), row(9, description='"')),
        same("a value that is two quotes", _in_description(b'""""""'), row(9, description='""')),
        same("an empty quoted value", _in_description(b'""'), row(9, description="")),
        same("single quotes are text", _in_description(b"'it';".replace(b";", b"")), row(9, description="'it'")),
        same("typographic quotes are text", _in_description("“it”".encode()), row(9, description="“it”")),
        between(
            "a timestamp in typographic quotes",
            record(row(9)).replace(b'"2021', "“2021".encode()).replace(b'";T', "”;T".encode()),
            "bad_timestamp",
        ),
    ]
    both = Log().good(row(1)).bad(_in_description(b'"oops'), "text_after_quote")
    both.bad(_closing_lost(record(row(8))), "text_after_quote").good(row(2), row(3))
    faults.append(both.fault("two faults in a row"))
    turns = Log()
    for i in range(10):
        turns.good(row(i)).bad(_in_description(b'"oops'), "text_after_quote")
    faults.append(turns.good(row(11)).fault("every other record has a stray quote"))
    first = Log().bad(_in_description(b'"oops'), "text_after_quote").good(row(1), row(2))
    faults.append(first.fault("the first record has a stray quote"))
    only = Log().bad(_closing_lost(record(row(1))), "unclosed_quote")
    faults.append(only.fault("the only record lost its closing quote"))
    return faults


def faults() -> list[Fault]:
    return [*_dialects(), *_lost(), *_stray()]
