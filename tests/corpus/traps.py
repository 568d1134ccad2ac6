"""Logs that are good, though they look as if they were not: whoever mends these loses rows."""

from __future__ import annotations

from support.logs import NAMES, NAMES6

from .model import Fault, Log, record, rfc4180, row, row6, rows

HEADER = "//" + ";".join(NAMES)


def _with_payload(name: str, payload: str, **more: object) -> list[Fault]:
    """In both dialects."""
    return [
        Log(writer=writer)
        .good(row(1), row(2, payload=payload), row(3), row(4, payload=payload))
        .fault(f"{name}, {said}")
        for said, writer in (("PHP", Log().writer), ("RFC 4180", rfc4180))
    ]


def faults() -> list[Fault]:
    lookalike = record(row(7), rfc4180).decode()
    bare = "2021-04-20 13:01:01;T-1;u;h;sent;;A-1;{}"
    quoted = '{"log":"\n' + lookalike * 3 + '"}'
    inside = [
        *_with_payload("records inside a payload", '{"log":"\n' + f"{bare}\n" * 3 + '"}'),
        *_with_payload("quoted records inside a payload", quoted),
        *_with_payload("a header inside a payload", f'{{"log":"\n{HEADER}\n{bare}\n"}}'),
        *_with_payload("the text of a header inside a payload", f'{{"log":"{bare}{HEADER}"}}'),
        *_with_payload("a header in a line of a payload", f'{{"a":"x{HEADER}\ny"}}'),
        *_with_payload("a log inside a payload", Log().good(*rows(2)).data.decode()),
        *_with_payload("delimiters and line ends inside a payload", '{"a":";;;\n;;;\r\n;"}'),
        *_with_payload("escaped quotes before delimiters", '{"a":"\\";\\";\\"\\n\\""}'),
        *_with_payload("backslashes before quotes", '{"p":"C:\\\\","q":"\\\\\\"\\\\"}'),
        *_with_payload("blank lines inside a payload", '{"a":"\n\n\n"}'),
        *_with_payload("a byte order mark behind a line end in a payload", '{"a":"\n\ufeff2021-04-20 13:01:01"}'),
    ]
    description = Log().good(
        row(1), row(2, description=bare), row(3, description=HEADER), row(4, description=f"\n{bare}")
    )
    six = Log(NAMES6).good(row6(1), row6(2, description=f"\n{HEADER}\n"), row6(3, description="2011-01-01 00:00:00"))
    behind = Log().good(row(1)).bad(record(row(2), rfc4180).replace(b"hw", b'"hw'), "text_after_quote")
    behind.good(row(3, payload=f'{{"log":"\n{bare}\n"}}'), row(4))
    named = Log().good(row(1, target="timestamp"), row(2, target="//timestamp"), row(3, status="tracking_code"))
    words = Log().good(row(1, target="//timestamp", status="description"), row(2, description="description"))
    words.good(row(3, payload="description"), row(4, payload="payload"))
    slashes = Log().good(
        row(1, description="//"), row(2, description="//comment"), row(3, target="http://x//timestamp")
    )
    signed = Log().good(row(1, payload="PK\x03\x04"), row(2, payload="\x1f\x8b"))
    many = Log(writer=rfc4180).good(
        *(row(i, description='"' * (i % 7), payload='{"a":"' + '\\"' * i + '"}') for i in range(30))
    )
    backs = Log().good(*(row(i, payload='{"a":"' + "\\\\" * i + '"}') for i in range(30)))
    return [
        *inside,
        description.fault("a record and a header for descriptions"),
        six.fault("a header inside the last of six columns"),
        behind.fault("records inside a payload, behind a bad record"),
        named.fault("values that are names of columns"),
        words.fault("values that are the last names of headers"),
        slashes.fault("values that begin with slashes"),
        signed.fault("values that are the signatures of archives"),
        many.fault("runs of quotes of every length"),
        backs.fault("runs of backslashes of every length"),
        Log().good(*(row(0) for _ in range(50))).fault("fifty times the same record"),
        Log().good(*(row(i, payload=None) for i in range(50))).fault("no payload at all"),
    ]
