"""Headers odd, missing, repeated; logs joined with ``cat``."""

from __future__ import annotations

from support.logs import BOM, NAMES, NAMES6
from trackparse.errors import HeaderError

from .model import Fault, Log, record, refused, rfc4180, row, row6, rows


def _joined() -> list[Fault]:
    """Two logs, one behind the other, and how the first one ended."""
    faults = []
    for name, first, second in (
        ("the same columns", NAMES, NAMES),
        ("eight columns, then six", NAMES, NAMES6),
        ("six columns, then eight", NAMES6, NAMES),
    ):
        make = {NAMES: row, NAMES6: row6}
        log = Log(first).good(make[first](1), make[first](2)).header(second).good(make[second](3), make[second](4))
        faults.append(log.fault(f"joined: {name}"))
        log = Log(first).good(make[first](1), make[first](2)).raw(BOM).header(second).good(make[second](3))
        faults.append(log.fault(f"joined: {name}, with a byte order mark"))
        # No line end at the end of the first: its last record runs into the header.
        log = Log(first).good(make[first](1)).good(make[first](2), end=b"")
        log.header(second).good(make[second](3), make[second](4))
        faults.append(log.fault(f"joined: {name}, no line end between"))
        log = Log(first).good(make[first](1)).good(make[first](2), end=b"").raw(BOM)
        log.header(second).good(make[second](3), make[second](4))
        faults.append(log.fault(f"joined: {name}, no line end between, but a byte order mark"))
        log = Log(first, end=b"\r\n").good(make[first](1)).good(make[first](2), end=b"")
        log.header(second).good(make[second](3), make[second](4))
        faults.append(log.fault(f"joined: {name}, CRLF, no line end between"))
    bare = Log(writer=rfc4180).good(row(1), row(2, payload="{}"), end=b"\n").good(row(3, payload=None), end=b"")
    bare.header(NAMES6).good(row6(4), row6(5))
    faults.append(bare.fault("joined behind an empty payload, no line end between"))
    open_ = Log().good(row(1)).bad(record(row(2))[:-7], "unclosed_quote")
    open_.header(NAMES6).good(row6(3), row6(4))
    faults.append(open_.fault("joined behind a record cut in its payload, no line end between"))
    return faults


def _cut_and_joined() -> list[Fault]:
    """The first log was cut in its last record; the header of the next one follows on the same line."""
    whole = record(row(2, target="device"), rfc4180)
    faults = []
    for number, field in enumerate(("timestamp", "tracking_code", "target", "hwid", "status", "description")):
        at = sum(len(text) + 1 for text in whole.split(b";")[:number]) + 3
        for names, make in ((NAMES, row), (NAMES6, row6)):
            log = Log(writer=rfc4180).good(row(1)).bad(whole[:at], "field_count")
            log.header(names).good(make(3), make(4))
            faults.append(log.fault(f"cut in its {field}, and joined to a log of {len(names)} columns"))
    return faults


def _odd() -> list[Fault]:
    line = b";".join(name.encode() for name in NAMES) + b"\n"
    quoted = b";".join(b'"' + name.encode() + b'"' for name in NAMES) + b"\n"
    blanks = b"// " + line.replace(b";", b" ; ")
    backwards = NAMES[::-1]
    fewer = ("timestamp", "tracking_code", "status")
    few = Log(fewer)
    for i in range(3):
        values = row(i)
        few.as_written((values[0], values[1], None, None, values[4], None, None, None), record(values, names=fewer))
    more = Log(None).raw(b"//" + line[:-1] + b";region\n")
    for i in range(3):
        more.as_written((*row(i), f"r{i}"), record(row(i), end=f";r{i}\n".encode()))
    trailing = Log(None).raw(b"//" + line[:-1] + b";\n")
    for i in range(3):
        trailing.as_written((*row(i), ""), record(row(i), end=b";\n"))
    run_in = Log(NAMES, end=b"").good(*rows(3), end=b"\n")
    run_in6 = Log(NAMES6, end=b"").good(row6(1), row6(2), end=b"\n")
    again = Log().good(row(1)).header(NAMES).header(NAMES6).header(NAMES).good(row(2))
    middle = Log().good(row(1)).header(NAMES, end=b"").good(row(2), row(3))
    after_bad = Log().good(row(1)).bad(b"oops\n", "field_count").header(NAMES6).good(row6(2))
    after_open = Log(writer=rfc4180).good(row(1))
    after_open.bad(record(row(2), rfc4180).replace(b"hw", b'"hw'), "text_after_quote").header(NAMES6).good(row6(2))
    turned = Log().good(row(1)).header(backwards).good(row(2), row(3))
    return [
        Log(None).raw(line).good(*rows(3)).fault("a header without slashes"),
        Log(None).raw(b"//" + quoted).good(*rows(3)).fault("a header with quotes"),
        Log(None).raw(quoted.replace(b'"', b'"//', 1)).good(*rows(3)).fault("a header with quotes around its slashes"),
        Log(None).raw(blanks).good(*rows(3)).fault("a header with blanks"),
        Log(None).good(*rows(3)).fault("no header"),
        refused("an empty log", b"", HeaderError),
        Log(backwards).good(*rows(3)).fault("the columns backwards"),
        few.fault("a part of the columns"),
        more.fault("a column that nobody knows", extra=("region",)),
        trailing.fault("a delimiter at the end of every line", extra=("",)),
        run_in.fault("the first record runs into the header"),
        run_in6.fault("the first record of six columns runs into the header"),
        again.fault("three headers in a row in the middle"),
        middle.fault("a header in the middle runs into its record"),
        after_bad.fault("a header behind a line of text"),
        after_open.fault("a header behind an open quote"),
        turned.fault("a header in the middle turns the columns"),
        Log().fault("a header alone"),
        Log(end=b"").fault("a header alone, no line end"),
        Log().good(row(1)).header(NAMES6).fault("a header at the end"),
        Log().good(row(1)).header(NAMES6, end=b"").fault("a header at the end, no line end"),
        refused("a byte order mark alone", BOM, HeaderError),
        refused("a cut header", b"//timestamp;tracking_c", HeaderError),
        refused("a header with commas", b"//" + line.replace(b";", b",") + record(row(1)), HeaderError),
        refused("a header with tabs", b"//" + line.replace(b";", b"\t") + record(row(1)), HeaderError),
        refused("a header that names a column twice", b"//" + line[:-1] + b";hwid\n" + record(row(1)), HeaderError),
        refused("a header of 70,000 bytes", b"//" + line[:-1] + b";" + b"x" * 70_000 + b"\n", HeaderError),
        refused(
            "a header of 5,000 columns", b"//" + line[:-1] + b";%d" * 5000 % tuple(range(5000)) + b"\n", HeaderError
        ),
        refused("somebody else's CSV", b"id;name;mail\n1;x;y\n", HeaderError),
        refused("a web page", b"<!DOCTYPE html><html><body>403 Forbidden</body></html>\n", HeaderError),
        refused("an answer of the service", b'{"status_code":210,"status_message":"Cannot parse date"}', HeaderError),
        refused("a word", b"x", HeaderError),
        refused("a Parquet file", b"PAR1" + bytes(range(256)), HeaderError),
    ]


def faults() -> list[Fault]:
    return [*_joined(), *_cut_and_joined(), *_odd()]
