"""Line ends of other systems, missing, doubled, and inside fields."""

from __future__ import annotations

from trackparse.errors import HeaderError

from .model import Fault, Log, between, record, refused, row, rows, same


def _mixed() -> Log:
    log = Log()
    for i in range(6):
        log.good(row(i), end=b"\r\n" if i % 2 else b"\n")
    return log


def faults() -> list[Fault]:
    crlf = Log(end=b"\r\n").good(*rows(4))
    crlf_bad = Log(end=b"\r\n").good(row(1))
    crlf_bad.bad(record(row(2), end=b";x\r\n"), "field_count").good(row(3))
    cr_only = Log(end=b"\r")
    cr_only.bad(b"".join(record(row(i), end=b"\r") for i in range(3)), "text_after_quote")
    cr_bare = Log(end=b"\r")
    cr_bare.bad(b"".join(record(row(i, payload="{}"), end=b"\r") for i in range(3)), "field_count")
    one_cr = Log(end=b"\r").good(row(1))
    doubled = Log(end=b"\r\r\n")
    for i in range(3):
        doubled.good(row(i, payload=('{"a":"x y"}', "{}", None)[i]))
    blanks = Log().raw(b"\n\n").good(row(1)).raw(b"\n\r\n").good(row(2)).raw(b"\n\n\n")
    nuls = Log().good(*rows(3)).bad(bytes(4096), "field_count")
    nul_lines = Log().good(row(1)).bad(bytes(512) + record(row(2)), "bad_timestamp").good(row(3))
    text = "line one\nline two\r\nline three\rline four"
    quoted = Log().good(row(1, description=text, payload='{"a":\n1}'), row(2), row(3, description="\n"))
    broken = record(row(9, description="@")).replace(b'"@"', b"@")
    return [
        crlf.fault("CRLF throughout"),
        crlf_bad.fault("CRLF and a bad record"),
        _mixed().fault("LF and CRLF by turns"),
        Log(end=b"\r\n").good(*rows(2)).good(row(3), end=b"").fault("CRLF, and none at the end"),
        Log().good(*rows(2)).good(row(3), end=b"").fault("no line end at the end"),
        Log().good(*rows(2)).good(row(3), end=b"\r").fault("a lone CR at the end"),
        cr_only.fault("CR alone ends lines"),
        cr_bare.fault("CR alone ends lines, payloads bare"),
        one_cr.fault("CR alone, and one record"),
        doubled.fault("CR CR LF throughout"),
        same("CR CR LF behind a quote", record(row(9), end=b"\r\r\n"), row(9)),
        between("LF CR", b"\r" + record(row(9)), "bad_timestamp"),
        blanks.fault("blank lines everywhere", blank_lines=7),
        Log().good(*rows(3)).raw(b"\n" * 500).fault("many blank lines at the end", blank_lines=500),
        between("a line of blanks", b"   \n", "field_count"),
        between("a line of one tab", b"\t\n", "field_count"),
        quoted.fault("line ends of all kinds inside quotes"),
        between("a line end in a bare field", broken.replace(b"@", b"one\ntwo"), "field_count"),
        between("a form feed between records", b"\x0c\n", "field_count"),
        same(
            "separators of Unicode are text",
            broken.replace(b"@", "a\u2028b\u2029c\u0085d\x0be".encode()),
            row(9, description="a\u2028b\u2029c\u0085d\x0be"),
        ),
        Log().good(*rows(3)).bad(b"\x1a", "field_count").fault("Control-Z at the end"),
        nuls.fault("NUL bytes at the end of a file made too large"),
        nul_lines.fault("a hole of NUL bytes in the middle"),
        refused("nothing but NUL bytes", bytes(1000), HeaderError),
        refused("nothing but line ends", b"\r\n" * 50, HeaderError),
    ]
