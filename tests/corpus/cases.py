"""The table of cases: what a log holds, and what comes out of it. Data only; test_cases.py runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from support.logs import (
    BOM,
    EXAMPLE,
    EXAMPLE_PAYLOAD,
    EXAMPLE_RECORD,
    EXAMPLE_ROW,
    H6,
    H8,
    MOMENT,
    NAMES,
    Row,
    line,
    line6,
    row,
    row6,
)
from trackparse.errors import HeaderError, LimitError, TrackparseError
from trackparse.limits import Limits
from trackparse.options import Dialect

# Reason, line, byte offset, raw.
Rejected = tuple[str, int, int, bytes]


@dataclass(frozen=True)
class Case:
    """One log and its truth. ``rows`` are in the order of the schema: the known columns, then ``extra``."""

    name: str
    data: bytes
    rows: tuple[Row, ...] = ()
    rejects: tuple[Rejected, ...] = ()
    blank_lines: int = 0
    dialect: Dialect = "auto"
    limits: Limits = field(default_factory=Limits)
    extra: tuple[str, ...] = ()
    error: type[TrackparseError] | None = None  # raised after all that is named here

    def __str__(self) -> str:
        return self.name


def bad(reason: str, before: bytes, raw: bytes) -> Rejected:
    """The reject that stands after ``before``."""
    return reason, before.count(b"\n") + 1, len(before), raw


def between(name: str, reason: str, raw: bytes, **more: Any) -> Case:
    """One bad record, twice, between good ones."""
    data = H8 + line() + raw + line() + raw + line()
    first = H8 + line()
    rejects = (bad(reason, first, raw), bad(reason, first + raw + line(), raw))
    return Case(name, data, (row(),) * 3, rejects, **more)


def reordered(names: tuple[str, ...]) -> tuple[bytes, bytes]:
    """The header with its columns in this order, and the record of ``line`` under it."""
    fields: dict[str, bytes] = dict(zip(NAMES, line(end=b"").split(b";"), strict=True))
    return b"//" + ";".join(names).encode() + b"\n", b";".join(fields[name] for name in names) + b"\n"


def _order(name: str, *names: str) -> Case:
    header, record = reordered(names)
    return Case(name, header + record * 3, (row(),) * 3)


GENERATIONS = [
    Case("eight columns", H8 + line(b'"{""a"":1}"') + line(b'{"b":2}'), (row('{"a":1}'), row('{"b":2}'))),
    Case(
        "six columns",
        H6 + b"2011-01-01T15:03:01.012345;T-8C4A-B1F3567F-80CDFDF3;USER_111;HWID_111;created;\n",
        (
            (
                datetime(2011, 1, 1, 15, 3, 1, 12345),
                "T-8C4A-B1F3567F-80CDFDF3",
                "USER_111",
                "HWID_111",
                "created",
                "",
                None,
                None,
            ),
        ),
    ),
    Case("header without slashes", H8[2:] + line(), (row(),)),
    Case(
        "header with quotes",
        b'"//timestamp";"tracking_code";status\n"2021-04-20 13:01:01";a;b\n',
        ((MOMENT, "a", None, None, "b", None, None, None),),
    ),
    Case(
        "header with a part of the columns",
        b"//timestamp;tracking_code\n2021-04-20 13:01:01;a\n",
        ((MOMENT, "a", *[None] * 6),),
    ),
    Case("no header, eight columns", line() * 3, (row(),) * 3),
    Case("no header, six columns", line6() * 3, (row6(),) * 3),
    Case("no header, six columns, one record without its line end", line6(end=b""), (row6(),)),
    Case(
        "no header, and the first record is bad",
        line(b"{};x") + line(),
        (row(),),
        (bad("field_count", b"", line(b"{};x")),),
    ),
    Case(
        "no header, a backslash ends the first description",
        line(description=b'"a\\"') + line(),
        (row(description="a\\"), row()),
    ),
    _order("payload first", "payload", *NAMES[:-1]),
    _order("timestamp last", *NAMES[1:], "timestamp"),
    _order("timestamp second", "tracking_code", "timestamp", *NAMES[2:]),
    _order("columns backwards", *NAMES[::-1]),
    Case(
        "unknown columns come after the known",
        b'//timestamp;region;tracking_code;target_id;hwid;status;description;"""zone"" of ""10"" km";appCode;payload\n'
        b'2021-04-20 13:01:01;eu;T-1;u;h;sent;;"z ""1""";A-1;\n',
        (row(None, "eu", 'z "1"'),),
        extra=("region", '"zone" of "10" km'),
    ),
    Case("byte order mark", BOM + H8 + line(), (row(),)),
    Case("byte order mark, no header", BOM + line() + line(), (row(),) * 2),
    Case("byte order mark, header without slashes", BOM + H8[2:] + line(), (row(),)),
    Case("the published example", EXAMPLE, ((*EXAMPLE_ROW, EXAMPLE_PAYLOAD),)),
    Case("the published example, header on its own line", H8 + EXAMPLE_RECORD, ((*EXAMPLE_ROW, EXAMPLE_PAYLOAD),)),
    Case("header run into a bare timestamp", H6[:-1] + line6() + line6(), (row6(),) * 2),
    Case("header run into the only record, no line end", H6[:-1] + line6(end=b""), (row6(),)),
    Case("header only", H8),
    Case("header only, no line end", H8[:-1]),
    Case("header only, with a byte order mark", BOM + H8),
    Case("header and blank lines", H8 + b"\n\r\n", blank_lines=2),
    Case("empty", b"", error=TrackparseError),
    Case("byte order mark only", BOM, error=HeaderError),
    Case("blank lines only", b"\n\r\n\n", error=HeaderError),
    Case("not a log", b"id,name\n1,2\n", error=HeaderError),
    Case("a web page", b"<html><body>Forbidden</body></html>\n", error=HeaderError),
    Case("a column twice", b"//timestamp;tracking_code;a;a\n", error=HeaderError),
]

LINE_ENDS = [
    Case(
        "CRLF",
        (H8 + line() + line(b'"{""a"":1}"') + line(b"")).replace(b"\n", b"\r\n"),
        (row(), row('{"a":1}'), row(None)),
    ),
    Case("CRLF and LF", H8 + line() + line(end=b"\r\n") + line(), (row(),) * 3),
    Case(
        "any number of CRs before LF belong to the line end",
        H8[:-1]
        + b"\r\r\n"
        + line(end=b"\r\r\n")
        + line(b'"{""a"":1}"', end=b"\r\r\r\n")
        + line(b"", end=b"\r\r\n")
        + b"\r\r\n"
        + line(),
        (row(), row('{"a":1}'), row(None), row()),
        blank_lines=1,
    ),
    Case("CRs at the end of the log belong to the line end", H8 + line(b'"{}"', end=b"\r\r\r"), (row(),)),
    Case("a CR that no LF follows is a byte of its field", H8 + line(b"x\ry\r") + line(), (row("x\ry"), row())),
    Case("a CR inside a field is a byte of it", H8 + line(description=b"a\rb"), (row(description="a\rb"),)),
    Case(
        "a CR after a quoted field is text",
        H8 + line(description=b'"a"\r') + line(),
        (row(),),
        (bad("text_after_quote", H8, line(description=b'"a"\r')),),
    ),
    Case("no final line end", H8 + line() + line(end=b""), (row(), row())),
    Case("no final line end, quoted", H8 + line(b'"{""a"":1}"', end=b""), (row('{"a":1}'),)),
    Case("no final line end, empty payload", H8 + line(b"", end=b""), (row(None),)),
    Case("no final line end, a backslash ends it", H6 + line6(b'"a\\"', end=b""), (row6("a\\"),)),
    Case("a lone CR at the end", H8 + line(end=b"\r"), (row(),)),
    Case("a lone CR at the end, quoted", H8 + line(b'"{}"', end=b"\r"), (row(),)),
    Case("a lone CR on the last line", H8 + line() + b"\r", (row(),), blank_lines=1),
    Case("blank lines", H8 + b"\n" + line() + b"\n\r\n\n" + line() + b"\n", (row(), row()), blank_lines=5),
    Case("blank lines before the header", b"\n\r\n" + H8 + line() + b"\n", (row(),), blank_lines=3),
    Case("blank lines after the byte order mark", BOM + b"\n\n" + H8 + line(), (row(),), blank_lines=2),
    Case("blank lines before the first record", b"\n\r\n\n" + line() + line(), (row(),) * 2, blank_lines=3),
    Case("a line of blanks is a bad record", H8 + b" \n" + line(), (row(),), (bad("field_count", H8, b" \n"),)),
    Case(
        "line breaks in quotes",
        H8 + line(b'"{\n""a"":\r\n1}"', description=b'"a\nb\n"') + line(),
        (row('{\n"a":\r\n1}', description="a\nb\n"), row()),
    ),
    Case("a raw line break in a JSON string", H8 + line(b'"{""a"":""x\ny""}"') + line(), (row('{"a":"x\ny"}'), row())),
]

JOINS = [
    Case("the same header again", H8 + line() + H8 + line(), (row(),) * 2),
    Case("header again, CRLF", (H8 + line() + H8 + line()).replace(b"\n", b"\r\n"), (row(),) * 2),
    Case("the newer, then the older", H8 + line() + H6 + line6() * 2, (row(), row6(), row6())),
    Case(
        "the older, then the newer, then the older", H6 + line6() + H8 + line() + H6 + line6(), (row6(), row(), row6())
    ),
    Case("header again with a byte order mark", H8 + line() + BOM + H8 + line(), (row(),) * 2),
    Case("header again without slashes", H8 + line() + H6[2:] + line6(), (row(), row6())),
    Case("header again, run into its record", H8 + line() + H8[:-1] + line() + line(), (row(),) * 3),
    Case("header again at the end", H8 + line() + H6, (row(),)),
    Case("header again at the end, no line end", H8 + line() + H6[:-1], (row(),)),
    Case("header three times in a row", H6 + H8 + H8 + line(), (row(),)),
    Case("a byte order mark between records", line() + BOM + line(), (row(),) * 2),
    Case("a byte order mark at the end", H8 + line() + BOM, (row(),)),
    Case(
        "header again in another order",
        H8 + line() + reordered(NAMES[::-1])[0] + reordered(NAMES[::-1])[1],
        (row(), row()),
    ),
    Case(
        "header again after a bad record",
        H8 + line(b"{};x") + H6 + line6(),
        (row6(),),
        (bad("field_count", H8, line(b"{};x")),),
    ),
    Case(
        "header again after an open quote",
        H8 + line(description=b'"x') + H6 + line6(),
        (row6(),),
        (bad("unclosed_quote", H8, line(description=b'"x')),),
    ),
    Case("blank lines around a header", H8 + line() + b"\n" + H6 + b"\n" + line6(), (row(), row6()), blank_lines=2),
]

_SPACED = b"//timestamp; tracking_code; hwid; target_id; status; description\n"
_SWAPPED = b"2011-01-01T15:03:01;T-6;H6;U6;created;\n"
_DAMAGED = H6.replace(b"description", b"descriptiXn")
_TWICE = b"//timestamp;tracking_code;target_id;target_id;status;description\n"
_NAMELESS = H6.replace(b"//timestamp", b"//timestXmp")
_LATIN = H6.replace(b"hwid", b"hw\xefd")


def _refused(name: str, header: bytes) -> Case:
    """Each record below a header that cannot be used is a reject, until the next one."""
    before = H6 + line6()
    rejects = [bad("bad_header", before, header)]
    before += header
    for _ in range(2):
        rejects.append(bad("bad_header", before, line6()))
        before += line6()
    return Case(name, before + H6 + line6(), (row6(), row6()), tuple(rejects))


# A header that ``cat`` can run into a record without anything to show where it begins.
_H6_OTHER = b"timestamp;tracking_code;hwid;target_id;status;description\n"
_FIVE = b"//hwid;timestamp;status;tracking_code;description\n"
_CUT_PAYLOAD = b'2021-04-20 13:01:00;T-1;u;h;sent;ok;A-1;"{\n'
HEADERS = [
    Case("blanks around the names of a header", _SPACED + _SWAPPED, (row6(),)),
    Case("blanks around the names of a header in the middle", H6 + line6() + _SPACED + _SWAPPED, (row6(),) * 2),
    *(
        Case(f"a separator line, {name}", text + b"\n" + H8 + line() + text + b"\n" + H8 + line(), (row(),) * 2)
        for name, text in (
            ("bare", b"sep=;"),
            ("quoted", b'"sep=;"'),
            ("CR LF", b"sep=;\r"),
            ("with a mark", BOM + b"sep=;"),
        )
    ),
    Case(
        "a byte order mark between a header of two names in the middle and the record run into it",
        H6 + line6() + b"//timestamp;tracking_code" + BOM + b"2021-04-20 13:01:01;T-1\n",
        (row6(), (datetime(2021, 4, 20, 13, 1, 1), "T-1", None, None, None, None, None, None)),
    ),
    *(
        Case(
            f"a header of two names between two records on one line, {name}",
            H6 + line6() + line6(end=header) + b"2021-04-20 13:01:01;T-1\n",
            (row6(), row6(), (datetime(2021, 4, 20, 13, 1, 1), "T-1", *[None] * 6)),
        )
        for name, header in (
            ("bare", b"//timestamp;tracking_code"),
            ("with blanks and a mark", b"//timestamp; tracking_code " + BOM),
        )
    ),
    *(
        Case(
            f"a header of two quoted names between two records on one line, {name}",
            H6 + line6(b'"ok"', end=b'"//timestamp";"tracking_code"') + timestamp + b";T-1\n",
            (row6("ok"), (datetime(2021, 4, 20, 13, 1, 1), "T-1", *[None] * 6)),
        )
        for name, timestamp in (
            ("the second with a quoted timestamp", b'"2021-04-20 13:01:01"'),
            ("the second with a bare timestamp", b"2021-04-20 13:01:01"),
        )
    ),
    Case(
        "a quote and a header on one line, and behind a byte order mark a record",
        H6 + line6() + b'"//timestamp;tracking_code' + BOM + b"2021-04-20 13:01:01;T-1\n",
        (row6(), (MOMENT, "T-1", *[None] * 6)),
        (bad("unclosed_quote", H6 + line6(), b'"'),),
    ),
    Case(
        "a name that two columns have, but for a capital letter, is one name of a line",
        b"//timestamp;tracking_code;Status;d\nstatus;\n2021-04-20 13:01:01;T-1;S;D\n",
        ((MOMENT, "T-1", *[None] * 6, "S", "D"),),
        (("field_count", 2, 35, b"status;\n"),),
        extra=("Status", "d"),
    ),
    Case(
        "a header of quoted names run into a bare timestamp",
        b'"' + H6[:-1].replace(b";", b'";"') + b'"' + line6() * 2,
        (row6(),) * 2,
    ),
    *(
        Case(
            f"a header run into a record with a line that looks like a record, {name}",
            H6 + record + header + line6(),
            (row_before, row6()),
        )
        for name, record, row_before, header in (
            ("bare", line6(b'"one\n2021-04-20 13:01:01;"', end=b""), row6("one\n2021-04-20 13:01:01;"), H6),
            (
                "quoted",
                line6(b'"one\n2021-04-20 13:01:01;"', end=b""),
                row6("one\n2021-04-20 13:01:01;"),
                b'"' + H6[:-1].replace(b";", b'";"') + b'"\n',
            ),
            (
                "behind a byte order mark",
                line6(b'"one\n2021-04-20 13:01:01;"', end=BOM),
                row6("one\n2021-04-20 13:01:01;"),
                H6,
            ),
            (
                "where the other dialect ends it sooner",
                line6(b'"ok"', end=b"").replace(b"created", b'"\n2021-04-20 13:01:01;\\""\n"'),
                (*row6()[:4], '\n2021-04-20 13:01:01;\\"\n', "ok", None, None),
                H6,
            ),
            (
                "behind a bare field",
                line6(b"two", hwid=b'"one\n2021-04-20 13:01:01;"', end=b""),
                row6("two", hwid="one\n2021-04-20 13:01:01;"),
                H6,
            ),
        )
    ),
    Case(
        "a header in the middle of 64 KiB, and more of its line",
        H6 + line6() + H6[:-1] + b";" * (1 << 16) + b"\n" + H6 + line6(),
        (row6(), row6()),
        (
            bad("bad_header", H6 + line6(), (H6[:-1] + b";" * (1 << 16))[: 1 << 16]),
            ("field_count", 3, len(H6 + line6()) + (1 << 16), b";" * (len(H6) - 1) + b"\n"),
        ),
    ),
    Case(
        "a bad record below a header that adds a column",
        H6 + line6() + b"\n" + H6[:-1] + b";region\n\nx\n" + line6(end=b";eu\n"),
        (row6(),),
        blank_lines=1,
        error=HeaderError,
    ),
    Case(
        "a header in the middle in capital letters is a header, and cannot be used",
        H6 + line6() + b"TIMESTAMP;Tracking_Code;hwid;Target_Id;status;description\n" + line6(),
        (row6(),),
        (
            bad("bad_header", H6 + line6(), b"TIMESTAMP;Tracking_Code;hwid;Target_Id;status;description\n"),
            bad(
                "bad_header",
                H6 + line6() + b"TIMESTAMP;Tracking_Code;hwid;Target_Id;status;description\n",
                line6(),
            ),
        ),
    ),
    Case(
        "a line of a bad record that starts with slashes is no header",
        H6 + b'2011-01-01T15:03:01;T-6;U6;H6;"x" y\n// a; b; c; d; e; f"\n' + line6(),
        (row6(),),
        (
            bad("text_after_quote", H6, b'2011-01-01T15:03:01;T-6;U6;H6;"x" y\n'),
            bad(
                "bad_timestamp",
                H6 + b'2011-01-01T15:03:01;T-6;U6;H6;"x" y\n',
                b'// a; b; c; d; e; f"\n',
            ),
        ),
    ),
    Case(
        "a payload of many short keys before the timestamp of the record that follows",
        b"//payload;timestamp;tracking_code;target_id;status;description\n"
        b'{};2021-04-20 13:01:01;T-1;u;sent;"say \\"\nor go on"\n'
        b'"{' + b",".join(b'""k%d"":""v""' % key for key in range(60)) + b'}";2021-04-20 13:01:02;T-2;u;sent;\n',
        (
            (datetime(2021, 4, 20, 13, 1, 1), "T-1", "u", None, "sent", 'say \\"\nor go on', None, "{}"),
            (
                datetime(2021, 4, 20, 13, 1, 2),
                *("T-2", "u", None, "sent", "", None),
                "{" + ",".join(f'"k{key}":"v"' for key in range(60)) + "}",
            ),
        ),
    ),
    *(
        Case(
            f"a header run into a record in another form, {name}",
            H6 + line6() + line6()[:-1] + header + line6() + H6 + line6(),
            (row6(),) * 2,
            (
                bad("bad_header", H6 + line6(), line6()[:-1] + header),
                bad("bad_header", H6 + line6() + line6()[:-1] + header, line6()),
            ),
        )
        for name, header in (
            ("bare", b"timestamp;tracking_code;hwid;target_id;status;description\n"),
            ("quoted", b'"timestamp";"tracking_code";"hwid";"target_id";"status";"description"\n'),
            ("with a mark", BOM + b"timestamp;tracking_code;hwid;target_id;status;description\n"),
            ("in another order", b"//timestamp;hwid;target_id;tracking_code;status;description\n"),
            ("in capital letters", b"Timestamp;Tracking_Code;HWID;Target_ID;Status;Description\n"),
        )
    ),
    Case(
        "a header run into the last line of a record, in another form",
        H6 + line6() + b'2021-04-20 13:01:00;T-1;u;h;sent;"one\ntwo"' + _H6_OTHER + line6(),
        (row6(),),
        (
            bad("text_after_quote", H6 + line6(), b'2021-04-20 13:01:00;T-1;u;h;sent;"one\n'),
            bad(
                "bad_header",
                H6 + line6() + b'2021-04-20 13:01:00;T-1;u;h;sent;"one\n',
                b'two"' + _H6_OTHER,
            ),
            bad("bad_header", H6 + line6() + b'2021-04-20 13:01:00;T-1;u;h;sent;"one\ntwo"' + _H6_OTHER, line6()),
        ),
    ),
    Case(
        "a header of five columns, run into the last line of a payload in another form",
        H8 + line() + _CUT_PAYLOAD + b'}"' + _FIVE + b"h;2021-04-20 13:01:00;sent;T-1;ok\n",
        (row(),),
        (
            bad("text_after_quote", H8 + line(), _CUT_PAYLOAD),
            bad("bad_header", H8 + line() + _CUT_PAYLOAD, b'}"' + _FIVE),
            bad("bad_header", H8 + line() + _CUT_PAYLOAD + b'}"' + _FIVE, b"h;2021-04-20 13:01:00;sent;T-1;ok\n"),
        ),
    ),
    Case(
        "a header of five columns, run into text",
        H8 + line() + b"text" + _FIVE + b"h;2021-04-20 13:01:00;sent;T-1;ok\n",
        (row(),),
        (
            bad("bad_header", H8 + line(), b"text" + _FIVE),
            bad("bad_header", H8 + line() + b"text" + _FIVE, b"h;2021-04-20 13:01:00;sent;T-1;ok\n"),
        ),
    ),
    Case(
        "a header run into a record that was cut, in another form, with as many fields as a record",
        H8 + line() + b"2021-04-20 13:01:00;T-1;u" + _H6_OTHER + line6() + H8 + line(),
        (row(),) * 2,
        (
            bad("bad_header", H8 + line(), b"2021-04-20 13:01:00;T-1;u" + _H6_OTHER),
            bad("bad_header", H8 + line() + b"2021-04-20 13:01:00;T-1;u" + _H6_OTHER, line6()),
        ),
    ),
    Case(
        "a header behind an escaped quote, in a value",
        H6 + b'2011-01-01 15:03:01;T-1;u;h;sent;"say \\"\n' + H8 + b'now"\n' + line6(),
        ((*row6()[:1], "T-1", "u", "h", "sent", f'say \\"\n{H8.decode()}now', None, None), row6()),
    ),
    Case("a separator line, and no header", b"sep=;\n" + line(), (row(),)),
    _refused("a damaged name in a header in the middle", _DAMAGED),
    _refused("a name twice in a header in the middle", _TWICE),
    _refused("a header in the middle without its timestamp", _NAMELESS),
    _refused("a header in the middle that is not UTF-8", _LATIN),
    Case(
        "a header in the middle with a slash too many and two of its names in one",
        H6 + b"///timestamp;tracking_code;target_id;hwidstatus;description;appCode\n" + line6(),
        (),
        (
            bad("bad_header", H6, b"///timestamp;tracking_code;target_id;hwidstatus;description;appCode\n"),
            bad("bad_header", H6 + b"///timestamp;tracking_code;target_id;hwidstatus;description;appCode\n", line6()),
        ),
    ),
    Case(
        "a damaged header, run into its record",
        H6 + line6() + _DAMAGED[:-1] + line6() + H6 + line6(),
        (row6(), row6()),
        (bad("bad_header", H6 + line6(), _DAMAGED[:-1]), bad("bad_header", H6 + line6() + _DAMAGED[:-1], line6())),
    ),
    Case("a header that was cut, and another one run into it", H6 + line6() + H6[:40] + H6 + line6(), (row6(), row6())),
    Case(
        "a byte order mark between a header and its record run into it",
        H6[:-1] + BOM + line6() + line6(),
        (row6(), row6()),
    ),
    Case(
        "names of columns in a bad record are no header",
        H6 + line6() + b"2011-01-01T15:03:01;status\n" + line6(),
        (row6(), row6()),
        (bad("field_count", H6 + line6(), b"2011-01-01T15:03:01;status\n"),),
    ),
    Case("a header with blanks run into the record before it", H6 + line6()[:-1] + _SPACED + _SWAPPED, (row6(),) * 2),
    Case(
        "a header with quotes run into the record before it",
        H6
        + line6(b'"a b"')[:-1]
        + b'"//timestamp";"tracking_code";"hwid";"target_id";"status";"description"\n'
        + _SWAPPED,
        (row6("a b"), row6()),
    ),
    _refused("a header in capitals in the middle", H6.upper()),
    _refused("a wrong byte in place of a ';' of a header", H6.replace(b"hwid;", b"hwid:")),
    _refused("a ';' in place of a byte of a name", H6.replace(b"hwid", b"hw;d")),
    _refused("a ';' in a name", H6.replace(b"hwid", b"hw;id")),
    _refused("a ';' that is missing in a header", H6.replace(b"hwid;", b"hwid")),
    _refused("a ';' before a header", b";" + H6),
    _refused("a ';' in place of a slash before a header", b"/;" + H6[2:]),
    _refused("two ';' in a header", H6.replace(b"hwid;", b"hwid;;")),
    _refused("a ';' too many at the end of a header", H6[:-1] + b";\n"),
    _refused("a header that is cut off inside a name", H6[: H6.index(b"wid")] + b"\n"),
    _refused("a header that is cut off behind a ';'", H6[: H6.index(b"status")] + b"\n"),
    *(
        Case(
            f"a damaged name in a header that no log had before, {name}",
            H6 + line6() + header + b"2021-04-20 13:01:01;T-1;sent\n" + H6 + line6(),
            (row6(), row6()),
            (
                bad("bad_header", H6 + line6(), header),
                bad(reason, H6 + line6() + header, b"2021-04-20 13:01:01;T-1;sent\n"),
            ),
        )
        for name, header, reason in (
            ("another letter", b"//timestamp;tracking_code;stXtus\n", "bad_header"),
            ("no letter", b"//timestamp;tracking_code;tatus\n", "bad_header"),
            ("a letter more", b"//timestamp;tracking_code;statuss\n", "bad_header"),
            ("divided", b"//timestamp;tracking_code;sta;us\n", "field_count"),
            ("two together", b"//timestamp;tracking_code;hwid:status\n", "bad_header"),
            ("cut off", b"//timestamp;tracking_code;sta\n", "bad_header"),
        )
    ),
    Case(
        "a damaged name of its own in a header that only the first log had",
        H6[:-1]
        + b";region\n"
        + line6()[:-1]
        + b";EU\n"
        + H6
        + line6()
        + H6[:-1]
        + b";regiXn\n"
        + line6()[:-1]
        + b";EU\n",
        ((*row6(), "EU"), (*row6(), None)),
        (
            bad("bad_header", H6[:-1] + b";region\n" + line6()[:-1] + b";EU\n" + H6 + line6(), H6[:-1] + b";regiXn\n"),
            bad(
                "bad_header",
                H6[:-1] + b";region\n" + line6()[:-1] + b";EU\n" + H6 + line6() + H6[:-1] + b";regiXn\n",
                line6()[:-1] + b";EU\n",
            ),
        ),
        extra=("region",),
    ),
    Case(
        "a line break in a name of a header",
        H6 + line6() + H6.replace(b"hwid", b"hw\nid") + line6() + H6 + line6(),
        (row6(), row6()),
        (
            bad("bad_header", H6 + line6(), H6[: H6.index(b"id;status")] + b"\n"),
            bad("field_count", H6 + line6() + H6[: H6.index(b"id;status")] + b"\n", H6[H6.index(b"id;status") :]),
            bad("bad_header", H6 + line6() + H6.replace(b"hwid", b"hw\nid"), line6()),
        ),
    ),
    Case(
        "a damaged header of columns that are not known",
        b"//timestamp;tracking_code;a;b\n2021-04-20 13:01:01;T-1;A;B\n//timestamp;trackXng_code;b;a\n"
        b"2021-04-20 13:01:01;T-1;B;A\n",
        ((MOMENT, "T-1", *[None] * 6, "A", "B"),),
        (
            ("bad_header", 3, 58, b"//timestamp;trackXng_code;b;a\n"),
            ("bad_header", 4, 88, b"2021-04-20 13:01:01;T-1;B;A\n"),
        ),
        extra=("a", "b"),
    ),
    Case(
        "a damaged timestamp in a header of another order",
        H6 + line6() + b"//tracking_code;timestXmp;status\nT-1;2021-04-20 13:01:01;sent\n",
        (row6(),),
        (
            bad("bad_header", H6 + line6(), b"//tracking_code;timestXmp;status\n"),
            bad("bad_header", H6 + line6() + b"//tracking_code;timestXmp;status\n", b"T-1;2021-04-20 13:01:01;sent\n"),
        ),
    ),
    Case(
        "no header, and the first record has a bad timestamp and two lines",
        line(b"{}", time=b"2021-02-30 10:00:00", description=b'"two\nlines"') + line() * 3,
        (row(),) * 3,
        (bad("bad_timestamp", b"", line(b"{}", time=b"2021-02-30 10:00:00", description=b'"two\nlines"')),),
    ),
    Case(
        "no header, and the first two records could be one of eight columns",
        line6(b'"no; C:\\dir\\"') + line6(b"ok", hwid=b'";x"') + line6() * 3,
        (row6("no; C:\\dir\\"), row6("ok", hwid=";x"), *(row6(),) * 3),
    ),
    Case(
        "a timestamp behind a field that may close in two places",
        b"//payload;timestamp;tracking_code\nbad\n" + b'"{""a"":""x\\"; y""}";"2021-04-20 13:01:01";T-1\n' * 3,
        ((MOMENT, "T-1", *[None] * 5, '{"a":"x\\"; y"}'),) * 3,
        (("field_count", 2, 34, b"bad\n"),),
    ),
    Case(
        "a record that goes on, before one whose first field may close in two places",
        b'//description;timestamp;tracking_code\none;"2021-04-20 13:01:01";"a\\"\nb"\n'
        b'"x\\";y";"2021-04-20 13:01:01";T-2\n',
        (
            (MOMENT, 'a\\"\nb', None, None, None, "one", None, None),
            (MOMENT, "T-2", None, None, None, 'x\\";y', None, None),
        ),
    ),
    Case(
        "a line break in the first field, behind a bad record",
        b'//description;timestamp;tracking_code\nbad line\n"two\nlines";"2021-04-20 13:01:01";T-2\n',
        ((MOMENT, "T-2", None, None, None, "two\nlines", None, None),),
        (("field_count", 2, 38, b"bad line\n"),),
    ),
    Case(
        "many quotes that may close, in little room",
        b"//timestamp;tracking_code;payload;description\n"
        b'"2021-04-20 13:01:01";T-1;"{""p"":""' + b"x" * 1000 + b'"",""js"":""' + b'a\\"\\";' * 20 + b'z""}";ok\n',
        ((MOMENT, "T-1", None, None, None, "ok", None, '{"p":"' + "x" * 1000 + '","js":"' + 'a\\"\\";' * 20 + 'z"}'),),
        limits=Limits(max_record_bytes=4096),
    ),
]

# {"a":"say \"x\""} as each writer writes it.
_SAY = '{"a":"say \\"x\\""}'
_RFC = b'"{""a"":""say \\""x\\""""}"'
_PHP = b'"{""a"":""say \\"x\\"""}"'
_CUT = '{"a":"x\\";\\"y"}'
_RFC_CUT = b'"{""a"":""x\\"";\\""y""}"'
_PHP_CUT = b'"{""a"":""x\\";\\"y""}"'
_EVEN = '{"p":"C:\\\\"}'

DIALECTS = [
    Case("PHP", H8 + line(_PHP) * 3, (row(_SAY),) * 3),
    Case("RFC 4180", H8 + line(_RFC) * 3, (row(_SAY),) * 3),
    Case("PHP, said so", H8 + line(_PHP) * 3, (row(_SAY),) * 3, dialect="php"),
    Case("RFC 4180, said so", H8 + line(_RFC) * 3, (row(_SAY),) * 3, dialect="rfc4180"),
    Case("both, by turns", H8 + (line(_PHP) + line(_RFC)) * 3, (row(_SAY),) * 6),
    Case("PHP joined to RFC 4180", H8 + line(_RFC) * 3 + H8 + line(_PHP) * 3, (row(_SAY),) * 6),
    between("RFC 4180 read as PHP", "text_after_quote", line(_RFC), dialect="php"),
    between("PHP read as RFC 4180", "text_after_quote", line(_PHP), dialect="rfc4180"),
    Case("a delimiter behind an escaped quote, PHP", H8 + line(_PHP_CUT) * 2, (row(_CUT),) * 2),
    Case("a delimiter behind an escaped quote, RFC 4180", H8 + line(_RFC_CUT) * 2, (row(_CUT),) * 2),
    Case(
        "a payload need not be JSON where there is one reading only",
        H8 + line(b'"{""a"":""x\\"";""y"":1}"') + line(_PHP),
        (row('{"a":"x\\";"y":1}'), row(_SAY)),
    ),
    Case(
        "a line break behind an escaped quote",
        H8 + line(b'"{""a"":""x\\"\ny""}"') + line(),
        (row('{"a":"x\\"\ny"}'), row()),
    ),
    Case(
        "a backslash ends the description",
        H8 + line(description=b'"C:\\dir\\"') + line(),
        (row(description="C:\\dir\\"), row()),
    ),
    Case(
        "a backslash ends the description, said RFC 4180",
        H8 + line(description=b'"C:\\dir\\"') + line(),
        (row(description="C:\\dir\\"), row()),
        dialect="rfc4180",
    ),
    Case(
        "a backslash ends the description, and the payload escapes quotes",
        H8 + line(_PHP, description=b'"C:\\dir\\"') + line(_PHP),
        (row(_SAY, description="C:\\dir\\"), row(_SAY)),
    ),
    Case(
        "a backslash ends the description, and the payload cuts",
        H8 + line(_PHP_CUT, description=b'"C:\\dir\\"') * 2,
        (row(_CUT, description="C:\\dir\\"),) * 2,
    ),
    Case(
        "backslashes end both",
        H8 + line(b'"{""p"":""C:\\\\""}"', description=b'"a\\\\"') + line(),
        (row(_EVEN, description="a\\\\"), row()),
    ),
    Case(
        "a backslash ends two fields",
        H8 + line(_PHP, target=b'"t\\"', description=b'"d\\"') * 2,
        (row(_SAY, target="t\\", description="d\\"),) * 2,
    ),
    Case("a backslash ends the last field", H6 + line6(b'"a\\"') + line6(b'"b\\"'), (row6("a\\"), row6("b\\"))),
    Case(
        "a backslash ends the last field, CRLF",
        (H6 + line6(b'"a\\"') + line6()).replace(b"\n", b"\r\n"),
        (row6("a\\"), row6()),
    ),
    Case("an escaped quote in a bare field", H8 + line(target=b'a\\"b') + line(), (row(target='a\\"b'), row())),
    Case("a bare backslash", H8 + line(target=b"a\\") + line(_PHP), (row(target="a\\"), row(_SAY))),
    Case(
        "a quote alone in quotes",
        H8 + line(description=b'""""') + line(description=b'"a"""'),
        (row(description='"'), row(description='a"')),
    ),
    Case(
        "an escaped quote alone in quotes",
        H8 + line(_PHP) + line(description=b'"\\""') + line(_PHP),
        (row(_SAY), row(description='\\"'), row(_SAY)),
    ),
    Case(
        "a quote inside a bare field",
        H8 + line(description=b'5" screen') + line(description=b'a""'),
        (row(description='5" screen'), row(description='a""')),
    ),
    Case("the quotes of RFC 4180 where PHP has them, too", H8 + line(b'"{""a"":""b""}"') * 2, (row('{"a":"b"}'),) * 2),
]

# {"a":"x\""⏎}: a string that ends in an escaped quote at the end of a line.
_PRETTY = '{"a":"x\\""\n}'
_RFC_PRETTY = b'"{""a"":""x\\""""\n}"'
_PHP_PRETTY = b'"{""a"":""x\\"""\n}"'
_DIALECTS: tuple[Dialect, ...] = ("auto", "php", "rfc4180")
_SEMICOLON = '{"a":"x\\"; y"}'


# The rule of the writer: which of several readings is taken.
WRITERS = [
    Case("RFC 4180, an escaped quote ends a line", H8 + line(_RFC_PRETTY) * 100, (row(_PRETTY),) * 100),
    Case(
        "RFC 4180, an escaped quote ends a line, said so",
        H8 + line(_RFC_PRETTY) * 3,
        (row(_PRETTY),) * 3,
        dialect="rfc4180",
    ),
    Case("PHP, an escaped quote ends a line", H8 + line(_PHP_PRETTY) * 3, (row(_PRETTY),) * 3),
    Case("PHP, an escaped quote ends a line, said so", H8 + line(_PHP_PRETTY) * 3, (row(_PRETTY),) * 3, dialect="php"),
    Case(
        "PHP after RFC 4180, an escaped quote ends a line",
        H8 + line(_RFC) + line(_PHP_PRETTY),
        (row(_SAY), row(_PRETTY)),
    ),
    Case(
        "RFC 4180 after PHP, an escaped quote ends a line",
        H8 + line(_PHP) + line(_RFC_PRETTY),
        (row(_SAY), row(_PRETTY)),
    ),
    *(
        Case(
            f"a backslash ends a line, and the next description begins with a line break, {dialect}",
            H6 + line6(b'"no file in C:\\dir\\"') + line6(b'"\nx"'),
            (row6("no file in C:\\dir\\"), row6("\nx")),
            dialect=dialect,
        )
        for dialect in _DIALECTS
    ),
    *(
        Case(
            f"blank lines inside a description, behind a quote that might close it, {dialect}",
            H6 + line6(b'"a\\"\n\r\n\nx"') + line6(b'"y"'),
            (row6('a\\"\n\r\n\nx'), row6("y")),
            dialect=dialect,
        )
        for dialect in ("auto", "php")
    ),
    Case(
        "blank lines inside a description of RFC 4180, behind a quote that might close it in PHP",
        H6 + line6(b'"a\\""\n\n"') + line6(b'"y"'),
        (row6('a\\"\n\n'), row6("y")),
    ),
    *(
        Case(
            f"a blank line behind a backslash and a quote, {dialect}",
            H6 + line6(b'"C:\\dir\\"') + b"\n\r\n" + line6(b'"\nx"'),
            (row6("C:\\dir\\"), row6("\nx")),
            blank_lines=2,
            dialect=dialect,
        )
        for dialect in ("auto", "php")
    ),
    *(
        Case(
            f"a backslash ends a line, and a later field of the next record closes, {dialect}",
            H6 + line6(b'"C:\\"') + line6(b'"z"', target=b'"C:\\x"', hwid=b'"y"'),
            (row6("C:\\"), row6("z", target="C:\\x", hwid="y")),
            dialect=dialect,
        )
        for dialect in _DIALECTS
    ),
    *(
        Case(
            f"nobody leaves a quote in a bare field, {dialect}",
            H8 + line(hwid=b'"C:\\Users\\x\\"', description=b'"; retry; later"') * 2,
            (row(hwid="C:\\Users\\x\\", description="; retry; later"),) * 2,
            dialect=dialect,
        )
        for dialect in _DIALECTS
    ),
    Case(
        "a PHP record after RFC 4180, with a delimiter behind an escaped quote",
        H8 + line(_RFC) + line(b'"{""a"":""x\\"; y""}"') + line(_RFC),
        (row(_SAY), row(_SEMICOLON), row(_SAY)),
    ),
    *(
        Case(
            f"a payload that is {what}, and a field that ends in a backslash, {dialect}",
            H8 + line(description=b'"C:\\dir\\"', payload=payload) * 3,
            (row(description="C:\\dir\\", payload=text),) * 3,
            dialect=dialect,
        )
        for dialect in _DIALECTS
        for what, payload, text in (("text", b"x", "x"), ("cut off", b'"{""a"":1"', '{"a":1'), ("missing", b"", None))
    ),
    Case(
        "a good last record without a line end, resolved by another reading",
        H8 + line(description=b'"C:\\dir\\"', payload=b"")[:-1],
        (row(description="C:\\dir\\", payload=None),),
    ),
    *(
        Case(
            f"the fault told is that of the reading that got furthest, {name}",
            H8 + first + short + line(),
            (row(_SAY), row()),
            (bad("field_count", H8 + first, short),),
        )
        for name, first, short in (
            ("RFC 4180 after PHP", line(_PHP), b'2021-04-20 13:01:01;T-1;"a\\""b";h;sent;ok;A-1\n'),
            ("PHP after RFC 4180", line(_RFC), b'2021-04-20 13:01:01;T-1;"a\\"b";h;sent;ok;A-1\n'),
        )
    ),
    Case(
        "bytes that are not UTF-8 end no other record",
        H6 + line6(b'"C:\\dir\\"') + line6(b'19"', target=b"caf\xe9") + line6(b'"C:\\dir\\"'),
        (row6("C:\\dir\\"),) * 2,
        (bad("bad_utf8", H6 + line6(b'"C:\\dir\\"'), line6(b'19"', target=b"caf\xe9")),),
    ),
]

# What an export with another date or another character set becomes.
_TIMES = {
    "day first": b"20.04.2021 13:01:00",
    "a zone": b"2021-04-20 13:01:01Z",
    "zeros": b"0000-00-00 00:00:00",
    "epoch seconds": b"1618923661",
}
_SAVED: tuple[tuple[str, bytes, str, tuple[Dialect, ...]], ...] = (
    ("RFC 4180", _RFC, _SAY, ("auto", "rfc4180")),
    ("PHP", _PHP, _SAY, ("auto", "php")),
    ("RFC 4180, pretty", _RFC_PRETTY, _PRETTY, ("auto", "rfc4180")),
    ("PHP, pretty", _PHP_PRETTY, _PRETTY, ("auto", "php")),
)
SAVED_AGAIN = [
    *(
        Case(
            f"saved again with {what}, {name}, {dialect}",
            H8 + line(payload, time=time) * 3 + line(payload),
            (row(text),),
            tuple(bad("bad_timestamp", H8 + line(payload, time=time) * i, line(payload, time=time)) for i in range(3)),
            dialect=dialect,
        )
        for what, time in _TIMES.items()
        for name, payload, text, dialects in _SAVED
        for dialect in dialects
    ),
    *(
        Case(
            f"saved again in cp1252, {name}",
            H8 + line(payload, description=b"caf\xe9") * 3 + line(payload),
            (row(text),),
            tuple(
                bad("bad_utf8", H8 + line(payload, description=b"caf\xe9") * i, line(payload, description=b"caf\xe9"))
                for i in range(3)
            ),
        )
        for name, payload, text in (
            ("RFC 4180", _RFC, _SAY),
            ("PHP", _PHP, _SAY),
            ("RFC 4180, pretty", _RFC_PRETTY, _PRETTY),
            ("PHP, pretty", _PHP_PRETTY, _PRETTY),
        )
    ),
]

CONTENT = [
    Case(
        "a status that is not in the list",
        H8 + line(status=b"bounced") + line(status=b""),
        (row(status="bounced"), row(status="")),
    ),
    Case(
        "a payload that is not JSON",
        H8 + line(b"hello") + line(b'"{""a"": oops"') + line(b"[1]"),
        (row("hello"), row('{"a": oops'), row("[1]")),
    ),
    Case("a payload that is not JSON, RFC 4180", H8 + line(_RFC) + line(b'"say \\""x"'), (row(_SAY), row('say \\"x'))),
    Case("an empty payload is none", H8 + line(b"") + line(b'""') + line(b" "), (row(None), row(None), row(" "))),
    Case(
        "empty fields",
        H8 + line(target=b"", status=b'""') + b"2021-04-20 13:01:01;;;;;;;\n",
        (row(target="", status=""), (MOMENT, "", "", "", "", "", "", None)),
    ),
    Case("NUL bytes", H8 + line(b'"{\x00}"', target=b"a\x00b") + line(), (row("{\x00}", target="a\x00b"), row())),
    Case("control characters", H8 + line(target=b"a\x01\x1b\x7f\t") + line(), (row(target="a\x01\x1b\x7f\t"), row())),
    Case(
        "every kind of UTF-8",
        H8 + line("é€🎁\x7f\x80߿ࠀ퟿\ue000￿\U00010000\U0010ffff".encode()) + line(),
        (row("é€🎁\x7f\x80߿ࠀ퟿\ue000￿\U00010000\U0010ffff"), row()),
    ),
    Case(
        "line separators of Unicode are text",
        H8 + line("a\u2028b\u0085c".encode()) + line(),
        (row("a\u2028b\u0085c"), row()),
    ),
    Case("a byte order mark inside a field", H8 + line(target=BOM + b"x"), (row(target="\ufeffx"),)),
    Case(
        "a long value",
        H8 + line(b'"' + b"x" * 5000 + b'""' + b"y" * 5000 + b'"') + line(),
        (row("x" * 5000 + '"' + "y" * 5000), row()),
    ),
]

_GOOD_TIMES = {
    b"2021-04-20 13:01:01": datetime(2021, 4, 20, 13, 1, 1),
    b"2021-04-20T13:01:01": datetime(2021, 4, 20, 13, 1, 1),
    b'"2021-04-20T13:01:01.5"': datetime(2021, 4, 20, 13, 1, 1, 500000),
    b"2021-04-20 13:01:01.25": datetime(2021, 4, 20, 13, 1, 1, 250000),
    b"2021-04-20 13:01:01.125": datetime(2021, 4, 20, 13, 1, 1, 125000),
    b"2021-04-20 13:01:01.0001": datetime(2021, 4, 20, 13, 1, 1, 100),
    b"2021-04-20 13:01:01.00001": datetime(2021, 4, 20, 13, 1, 1, 10),
    b"2021-04-20T13:01:01.000001": datetime(2021, 4, 20, 13, 1, 1, 1),
    b"1970-01-01 00:00:00": datetime(1970, 1, 1),
    b"1969-12-31 23:59:59.999999": datetime(1969, 12, 31, 23, 59, 59, 999999),
    b"2000-02-29 00:00:00": datetime(2000, 2, 29),
    b"2024-02-29 23:59:59": datetime(2024, 2, 29, 23, 59, 59),
    b"0001-01-01 00:00:00": datetime(1, 1, 1),
    b"9999-12-31 23:59:59.999999": datetime(9999, 12, 31, 23, 59, 59, 999999),
}
_BAD_TIMES = [
    b"",
    b'""',
    b"2021-02-30 00:00:00",
    b"2021-02-29 00:00:00",
    b"1900-02-29 00:00:00",
    b"2021-13-01 00:00:00",
    b"2021-00-01 00:00:00",
    b"2021-01-00 00:00:00",
    b"2021-04-31 00:00:00",
    b"2021-04-20 13:01:01Z",
    b"2021-04-20 13:01:01+03:00",
    b"2021-04-20T13:01:01.123456Z",
    b"0000-01-01 00:00:00",
    b"2021-04-20 24:00:00",
    b"2021-04-20 13:60:00",
    b"2021-04-20 13:00:60",
    b"12:61",
    b"2021-04-20",
    b"2021-04-20 13:01",
    b"2021-04-20 13:01:01.",
    b"2021-04-20 13:01:01.1234567",
    b"2021-04-20_13:01:01",
    b"2021/04/20 13:01:01",
    b" 2021-04-20 13:01:01",
    b"2021-04-20 13:01:01 ",
    b"+021-04-20 13:01:01",
    b"2021-04-20 13:01:0x",
    "٢٠٢١-٠٤-٢٠ 13:01:01".encode(),
    b"1618923661",
]
TIMESTAMPS = [
    *(
        Case(f"timestamp {text.decode()}", H8 + line(time=text) * 2, (row(time=time),) * 2)
        for text, time in _GOOD_TIMES.items()
    ),
    *(between(f"no timestamp: {text.decode()}", "bad_timestamp", line(time=text)) for text in _BAD_TIMES),
]

_BAD_UTF8 = {
    "a continuation alone": b"\x80",
    "a lead alone": b"\xc3",
    "a lead before a delimiter": b"\xe2\x82",
    "two bytes overlong": b"\xc0\xaf",
    "two bytes overlong, C1": b"\xc1\xbf",
    "three bytes overlong": b"\xe0\x80\xaf",
    "three bytes overlong, the last": b"\xe0\x9f\xbf",
    "four bytes overlong": b"\xf0\x80\x80\xaf",
    "four bytes overlong, the last": b"\xf0\x8f\xbf\xbf",
    "a surrogate": b"\xed\xa0\x80",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "a lead F5": b"\xf5\x80\x80\x80",
    "a byte FF": b"\xff",
    "one continuation too many": b"\xc3\xa9\xa9",
    "three of four bytes": b"\xf0\x9f\x8e",
    "Latin-1": "é".encode("latin-1"),
}
UTF8 = [
    *(between(f"not UTF-8: {name}", "bad_utf8", line(target=b"a" + text + b"b")) for name, text in _BAD_UTF8.items()),
    *(
        between(f"not UTF-8, at the end of the field: {name}", "bad_utf8", line(b"{}" + text))
        for name, text in _BAD_UTF8.items()
    ),
    between("not UTF-8 in quotes", "bad_utf8", line(b'"{""a"":""\xff""}"')),
    between("not UTF-8 across a line end", "bad_utf8", line(b"\xe2\x82")),
    Case(
        "the parts of one character in two records",
        H8 + line(b"\xe2") + b"\x82\xac;b\n" + line(),
        (row(),),
        (bad("bad_utf8", H8, line(b"\xe2")), bad("field_count", H8 + line(b"\xe2"), b"\x82\xac;b\n")),
    ),
    Case(
        "not UTF-8 at the end of the log",
        H8 + line() + line(b"\xe2\x82", end=b""),
        (row(),),
        (bad("bad_utf8", H8 + line(), line(b"\xe2\x82", end=b"")),),
    ),
]

# No quotes in it: an open one finds no other.
_PLAIN = line(time=b"2021-04-20 13:01:01")
_OPEN = line(description=b'"oops', time=b"2021-04-20 13:01:01")
_LOOKALIKE = b'"{""a"":""x\n2021-04-20 13:01:01;T-1;u;h;sent;;A-1;{}\n""2021-04-20 13:01:01"";T-1\n//timestamp;x\ny""}"'
_LOOKALIKE_TEXT = '{"a":"x\n2021-04-20 13:01:01;T-1;u;h;sent;;A-1;{}\n"2021-04-20 13:01:01";T-1\n//timestamp;x\ny"}'
_SMALL = Limits(max_record_bytes=200)

REJECTS = [
    between("one field too few", "field_count", b"2021-04-20 13:01:01;T-1;u;h;sent;;A-1\n"),
    between("one field too many", "field_count", line(b"{};")),
    between("a line of text", "field_count", b"garbage\n"),
    between("a record of the other generation", "field_count", line6()),
    between("a payload cut by its line break", "field_count", b"2021-04-20 13:01:01;T-1;u;h;sent;;A-1\n ; x\n"),
    between("text after a quote", "text_after_quote", line(description=b'"a"b')),
    between("a blank after a quote", "text_after_quote", line(description=b'"a" ')),
    Case(
        "an open quote before quoted timestamps",
        H8 + line() + line(description=b'"oops') + line() * 3,
        (row(),) * 4,
        (bad("text_after_quote", H8 + line(), line(description=b'"oops')),),
    ),
    Case(
        "an open quote, and no other",
        H8 + _PLAIN + _OPEN + _PLAIN * 3,
        (row(),) * 4,
        (bad("unclosed_quote", H8 + _PLAIN, _OPEN),),
    ),
    Case(
        "an open quote in the last record", H8 + _PLAIN + _OPEN, (row(),), (bad("unclosed_quote", H8 + _PLAIN, _OPEN),)
    ),
    Case(
        "an open quote ends the log",
        H8 + _PLAIN + _OPEN[:40],
        (row(),),
        (bad("unclosed_quote", H8 + _PLAIN, _OPEN[:40]),),
    ),
    Case(
        "an open quote that closes in the wrong place",
        H8 + _PLAIN + _OPEN + line(time=b"2021-04-20 13:01:01", target=b'x"') + _PLAIN,
        (row(), row(target='x"'), row()),
        (bad("field_count", H8 + _PLAIN, _OPEN),),
    ),
    Case(
        "two open quotes",
        H8 + _OPEN + _PLAIN + _OPEN + _PLAIN,
        (row(),) * 2,
        (bad("text_after_quote", H8, _OPEN), bad("unclosed_quote", H8 + _OPEN + _PLAIN, _OPEN)),
    ),
    Case(
        "an open quote and lines that start no record",
        H8 + _OPEN + b"more\n2021-04\n" + _PLAIN,
        (row(),),
        (bad("unclosed_quote", H8, _OPEN + b"more\n2021-04\n"),),
    ),
    Case("a cut record", H8 + line() + line()[:30], (row(),), (bad("field_count", H8 + line(), line()[:30]),)),
    Case(
        "a cut quoted field",
        H8 + line() + line(b'"{""a"":1', end=b""),
        (row(),),
        (bad("unclosed_quote", H8 + line(), line(b'"{""a"":1', end=b"")),),
    ),
    Case(
        "records inside a quoted payload",
        H8 + line() + line(_LOOKALIKE) * 2 + line(),
        (row(), row(_LOOKALIKE_TEXT), row(_LOOKALIKE_TEXT), row()),
    ),
    Case(
        "records inside a quoted payload, behind a bad record",
        H8 + line(b"{};x") + line(_LOOKALIKE) + line(),
        (row(_LOOKALIKE_TEXT), row()),
        (bad("field_count", H8, line(b"{};x")),),
    ),
    Case(
        "bad records first and last",
        H8 + b"x\n" + line() + b"y\n",
        (row(),),
        (bad("field_count", H8, b"x\n"), bad("field_count", H8 + b"x\n" + line(), b"y\n")),
    ),
    Case(
        "only bad records",
        H8 + line(b";") * 3,
        (),
        tuple(bad("field_count", H8 + line(b";") * i, line(b";")) for i in range(3)),
    ),
    Case(
        "bad records and blank lines",
        H8 + b"\n" + line(b";") + b"\n" + line() + b"\n",
        (row(),),
        (bad("field_count", H8 + b"\n", line(b";") + b"\n"),),
        blank_lines=2,
    ),
    Case(
        "an open quote, the timestamp not first",
        b'//tracking_code;timestamp;status\na;2021-04-20 13:01:01;"x\nb;2021-04-20 13:01:01;y\n',
        ((MOMENT, "b", None, None, "y", None, None, None),),
        (("unclosed_quote", 2, 33, b'a;2021-04-20 13:01:01;"x\n'),),
    ),
    Case(
        "an open quote longer than the limit",
        H8 + _OPEN + _PLAIN * 6,
        (row(),) * 6,
        (bad("too_long", H8, _OPEN),),
        limits=_SMALL,
    ),
    Case(
        "a quoted field longer than the limit",
        H8 + line() + line(b'"' + b"x" * 100 + b"\n" + b"y" * 200 + b'"') + line(),
        (row(),),
        error=LimitError,
        limits=_SMALL,
    ),
    Case(
        "a record longer than the limit, with a record in it",
        H8 + line(b'"x\n' + _PLAIN + b"y" * 150 + b'"') + line(),
        (row(), row()),
        (
            bad("too_long", H8, line(b'"x\n', end=b"")),
            bad("field_count", H8 + line(b'"x\n', end=b"") + _PLAIN, b"y" * 150 + b'"\n'),
        ),
        limits=_SMALL,
    ),
    Case(
        "no line end within the limit",
        H8 + line() + b"2021" + b"x" * 300 + b"\n" + line(),
        (row(),),
        error=LimitError,
        limits=_SMALL,
    ),
    Case(
        "a record as long as the limit",
        H8 + line(b"x" * 144) + line(),
        (row("x" * 144), row()),
        limits=Limits(max_record_bytes=len(line(b"x" * 144))),
    ),
]

# What spoils the right reading of a record. Another one ends at a backslash and a quote inside a value, and breaks no
# rule. Nothing of the record may come out as a row.
_CUT_PAYLOAD = b'"{\n ""a"": ""x"",\n ""sound"": ""C:\\sounds\\"%s\n}"'
_H8_QUOTED = b'"//' + b'";"'.join(H8[2:-1].split(b";")) + b'"\n'
_CUT_VALUE = b'"cannot open C:\\dir\\"\nrefused"'


def _cut_record(quote: bytes, behind: bytes = b"\n") -> bytes:
    return b"2021-04-20 13:01:01;T-1;u;h;sent;;A-1;" + _CUT_PAYLOAD % quote + behind


_CUT_TEXT = '{\n "a": "x",\n "sound": "C:\\sounds\\"\n}'


_SPOILT = [
    case
    for dialect, quote in (("PHP", b""), ("RFC 4180", b'"'))
    for case in (
        Case(
            f"text that is not UTF-8 behind a backslash and a quote, {dialect}",
            H8 + _cut_record(quote).replace(b'"x"', b'"caf\xe9"') * 2 + line(),
            (row(),),
            (
                bad("bad_utf8", H8, _cut_record(quote).replace(b'"x"', b'"caf\xe9"')),
                bad(
                    "bad_utf8",
                    H8 + _cut_record(quote).replace(b'"x"', b'"caf\xe9"'),
                    _cut_record(quote).replace(b'"x"', b'"caf\xe9"'),
                ),
            ),
        ),
        Case(
            f"one field more behind a backslash and a quote, {dialect}",
            H8 + _cut_record(quote, b";\n") + line(),
            (row(),),
            (bad("field_count", H8, _cut_record(quote, b";\n")),),
        ),
        Case(
            f"one byte more behind a backslash and a quote, at the end, {dialect}",
            H8 + line() + _cut_record(quote, b"\x1a"),
            (row(),),
            (bad("text_after_quote", H8 + line(), _cut_record(quote, b"\x1a")),),
        ),
        Case(
            f"cut behind a backslash and a quote, {dialect}",
            H8 + line() + _cut_record(quote)[:-2],
            (row(),),
            (bad("unclosed_quote", H8 + line(), _cut_record(quote)[:-2]),),
        ),
        *(
            Case(
                f"a header run in behind a backslash and a quote, {name}, {dialect}",
                H8 + line() + _cut_record(quote, b"") + header + line(),
                (row(), (datetime(2021, 4, 20, 13, 1, 1), "T-1", "u", "h", "sent", "", "A-1", _CUT_TEXT), row()),
            )
            for name, header in (("bare", H8), ("behind a mark", BOM + H8), ("quoted", _H8_QUOTED))
        ),
    )
]
_RFC_ENDS_IN_BACKSLASH = b'2021-04-20 13:01:01;T-1;u;h;sent;"no file in ""C:\\dir\\"""\n'
_SAY_RFC = b'"say \\""hi\\"" now"'
# A reading that goes on may end in a value like this one, however far behind.
_BREAK_FIRST = b'2021-04-20 13:01:02;T-3;u;h;sent;"\nfirst"\n'
_ROW_BREAK_FIRST = (datetime(2021, 4, 20, 13, 1, 2), "T-3", "u", "h", "sent", "\nfirst", None, None)
READINGS = [
    *_SPOILT,
    Case(
        "text that is not UTF-8 behind a backslash and a quote, six columns",
        H6 + b"2021-04-20 13:01:01;T-1;u;h;sent;" + _CUT_VALUE.replace(b"refused", b"refus\xe9") + b"\n" + line6(),
        (row6(),),
        (
            bad(
                "bad_utf8",
                H6,
                b"2021-04-20 13:01:01;T-1;u;h;sent;" + _CUT_VALUE.replace(b"refused", b"refus\xe9") + b"\n",
            ),
        ),
    ),
    Case(
        "a header run in behind a backslash and a quote, six columns",
        H6 + line6() + b"2021-04-20 13:01:01;T-1;u;h;sent;" + _CUT_VALUE + H6 + line6(),
        (
            row6(),
            (
                datetime(2021, 4, 20, 13, 1, 1),
                *("T-1", "u", "h", "sent", 'cannot open C:\\dir\\"\nrefused', None, None),
            ),
            row6(),
        ),
    ),
    Case(
        "a header run into the last line of a record with an empty payload",
        H8 + line() + b'2021-04-20 13:01:01;T-1;u;h;failed;"one\ntwo";A-1;' + H8 + line(),
        (
            row(),
            (datetime(2021, 4, 20, 13, 1, 1), "T-1", "u", "h", "failed", "one\ntwo", "A-1", None),
            row(),
        ),
    ),
    *(
        Case(
            f"a header run into the quote at the end of a record, {name}",
            H6 + line6() + b'2021-04-20 13:01:01;T-1;u;h;failed;"one\ntwo\n"' + header + line6(),
            (
                row6(),
                (datetime(2021, 4, 20, 13, 1, 1), "T-1", "u", "h", "failed", "one\ntwo\n", None, None),
                row6(),
            ),
        )
        for name, header in (("bare", H6), ("quoted", b'"//timestamp";"tracking_code";' + H6[26:]))
    ),
    *(
        Case(
            f"a header run in behind a backslash and a quote, {name}, before a value that begins with a line break",
            H6 + b"2021-04-20 13:01:01;T-1;u;h;sent;" + value + mark + H6 + line6() * 2 + _BREAK_FIRST,
            (
                (datetime(2021, 4, 20, 13, 1, 1), "T-1", "u", "h", "sent", text, None, None),
                *(row6(),) * 2,
                _ROW_BREAK_FIRST,
            ),
        )
        for name, value, text, mark in (
            ("PHP", b'"C:\\my dir\\"', "C:\\my dir\\", b""),
            ("PHP, with a mark", b'"C:\\my dir\\"', "C:\\my dir\\", BOM),
            ("RFC 4180", b'"no file in ""C:\\dir\\"""', 'no file in "C:\\dir\\"', b""),
        )
    ),
    *(
        Case(
            f"a header run into a record of PHP after RFC 4180, {name}, and a value that begins with a line break",
            H6 + line6(_SAY_RFC) + line6(b'"say \\""', end=b"") + mark + H6 + _BREAK_FIRST,
            (row6('say \\"hi\\" now'), row6('say \\"'), _ROW_BREAK_FIRST),
        )
        for name, mark in (("bare", b""), ("with a mark", BOM))
    ),
    *(
        Case(
            f"{name} behind a backslash and three quotes, before a value that begins with a line break",
            H6 + _RFC_ENDS_IN_BACKSLASH + bad_line + line6() * 2 + _BREAK_FIRST,
            (
                (datetime(2021, 4, 20, 13, 1, 1), "T-1", "u", "h", "sent", 'no file in "C:\\dir\\"', None, None),
                *(row6(),) * 2,
                _ROW_BREAK_FIRST,
            ),
            (bad(reason, H6 + _RFC_ENDS_IN_BACKSLASH, bad_line),),
        )
        for name, bad_line, reason in (
            ("a line that is no record", b"garbage\n", "field_count"),
            ("a date in another format", b"20.04.2021 13:01:00;T-2;u;h;sent;ok\n", "bad_timestamp"),
        )
    ),
    Case(
        "dates in another format in all records, behind a backslash and three quotes",
        H6
        + _RFC_ENDS_IN_BACKSLASH.replace(b"2021-04-20", b"20.04.2021") * 2
        + _BREAK_FIRST.replace(b"2021-04-20", b"2.1"),
        (),
        (
            bad("bad_timestamp", H6, _RFC_ENDS_IN_BACKSLASH.replace(b"2021-04-20", b"20.04.2021")),
            bad(
                "bad_timestamp",
                H6 + _RFC_ENDS_IN_BACKSLASH.replace(b"2021-04-20", b"20.04.2021"),
                _RFC_ENDS_IN_BACKSLASH.replace(b"2021-04-20", b"20.04.2021"),
            ),
            bad(
                "bad_timestamp",
                H6 + _RFC_ENDS_IN_BACKSLASH.replace(b"2021-04-20", b"20.04.2021") * 2,
                _BREAK_FIRST.replace(b"2021-04-20", b"2.1"),
            ),
        ),
    ),
    Case(
        "a header of eight names run into a record of nine columns that was cut in its second field",
        H8[:-1] + b";region\n" + line()[:-1] + b";eu\n2021-04-20 13:01:01;T-1" + H8 + line(),
        ((*row(), "eu"), (*row(), None)),
        (bad("field_count", H8[:-1] + b";region\n" + line()[:-1] + b";eu\n", b"2021-04-20 13:01:01;T-1"),),
        extra=("region",),
    ),
    *(
        Case(
            f"a record inside an open quote, between {name} and a header run in behind the next quote",
            H8 + line() + start + line6(b"ok", end=b";A-1;\n") + b'";' + H6 + line6(),
            (row(), (*row6("ok")[:6], "A-1", None), row6()),
            (
                bad("field_count", H8 + line(), start),
                bad("unclosed_quote", H8 + line() + start + line6(b"ok", end=b";A-1;\n"), b'";'),
            ),
        )
        for name, start in (
            ("a timestamp", b'2021-04-20 13:01:00;"\n'),
            ("a date in another format", b'20.04.2021 13:01:00;"\n'),
        )
    ),
    Case(
        "a bad timestamp, a line of text and a good record, where another quote ends at a header run in",
        b"//timestamp;tracking_code;target_id;hwid;a;b\n"
        b'20.4;T;"\\";;;\ntext\n2021-04-20 13:01:01;T-1;u;h;A;B\n";;//timestamp;tracking_code\n',
        ((MOMENT, "T-1", "u", "h", *[None] * 4, "A", "B"),),
        (
            ("bad_timestamp", 2, 45, b'20.4;T;"\\";;;\n'),
            ("field_count", 3, 59, b"text\n"),
            ("unclosed_quote", 5, 96, b'";;'),
        ),
        extra=("a", "b"),
    ),
    Case(
        "a line of names that ends with the header at which a reading of the record before it ends",
        H6 + b'2021-04-20 13:01:00;T-1;"\n\\"";;//timestamp;tracking_code\n2021-04-20 13:01:01;T-1\n',
        ((MOMENT, "T-1", *[None] * 6),),
        (bad("field_count", H6, b'2021-04-20 13:01:00;T-1;"\n\\"";;'),),
    ),
    Case(
        "a header inside a value of one reading, run into a record in the other, with text behind it",
        H6 + b'2021-04-20 13:01:01;T-1;u;"\\";//timestamp;tracking_code\n";s;""\ntext\n' + line6(),
        ((MOMENT, "T-1", "u", '\\";//timestamp;tracking_code\n', "s", "", None, None), row6()),
        (bad("field_count", H6 + b'2021-04-20 13:01:01;T-1;u;"\\";//timestamp;tracking_code\n";s;""\n', b"text\n"),),
    ),
    Case(
        "a value that ends with a name on the line above two values that are names",
        H6 + b'2021-04-20 13:01:01;T-1;u;"hwid\n";status;description\n',
        ((MOMENT, "T-1", "u", "hwid\n", "status", "description", None, None),),
    ),
    Case(
        "a record that no dialect reads is a bad record of its own, if its timestamp is in its place",
        b"//tracking_code;timestamp;status\n" + b"x\n" + b'"a\\"b\\""";2021-04-20 13:01:01;sent\n',
        (),
        (
            ("field_count", 2, 33, b"x\n"),
            ("unclosed_quote", 3, 35, b'"a\\"b\\""";2021-04-20 13:01:01;sent\n'),
        ),
    ),
]
CASES = [
    *GENERATIONS,
    *LINE_ENDS,
    *JOINS,
    *HEADERS,
    *DIALECTS,
    *READINGS,
    *WRITERS,
    *SAVED_AGAIN,
    *CONTENT,
    *TIMESTAMPS,
    *UTF8,
    *REJECTS,
]
