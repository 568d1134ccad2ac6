"""Logs that the order of two criteria settles: each stands for a pair, with RFC 4180 or PHP in force before the record.

All other criteria leave the two readings equal, so a case fails when its two criteria change places, and for nothing
else. The truth is ``rows``; ``instead`` is what comes out with the two exchanged. Rows are text, one value a field.
The criteria are numbered as in ``readings``: the sixth is closing a field before going on, the seventh its opposite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .readings import EIGHT, ORDER, PHP, RFC4180, SIX, Columns
from .soup import NAMES, Row

_H8: Final = b"//" + ";".join(NAMES).encode() + b"\n"
_H6: Final = b"//" + ";".join(NAMES[:6]).encode() + b"\n"
# A record that exists in RFC 4180 only: behind it RFC 4180 is in force.
_R6: Final = b'2021-04-20 13:01:00;T-0;u;h;sent;"say \\""hi\\"" now"\n'
_R8: Final = b'2021-04-20 13:01:00;T-0;u;h;sent;"say \\""hi\\"" now";A-1;{}\n'
_ROW6: Final = ("2021-04-20 13:01:00", "T-0", "u", "h", "sent", 'say \\"hi\\" now')
_ROW8: Final = (*_ROW6, "A-1", "{}")
_ONE: Final = "2021-04-20 13:01:01"
_TWO: Final = "2021-04-20 13:01:02"
# A field that exists in PHP only: with it in a record, criterion 5 leaves the readings equal, whatever is in force.
_PHP_ONLY: Final = 'x\\"y'


@dataclass(frozen=True)
class Case:
    """A whole log, and what two criteria make of it."""

    stronger: int
    weaker: int
    in_force: str
    log: bytes
    columns: Columns
    rows: tuple[Row, ...]
    instead: tuple[Row, ...]

    def __str__(self) -> str:
        return f"{self.stronger} before {self.weaker}, {self.in_force} in force, {self.columns}"

    @property
    def names(self) -> list[str]:
        """The columns in their order."""
        return self.log.partition(b"\n")[0].decode().removeprefix("//").split(";")

    @property
    def other_order(self) -> tuple[int, ...]:
        """The order with the two criteria exchanged."""
        exchanged = {self.stronger: self.weaker, self.weaker: self.stronger}
        return tuple(exchanged.get(number, number) for number in ORDER)


def _case(
    stronger: int, weaker: int, records: bytes, rows: tuple[Row, ...], instead: tuple[Row, ...], rfc: bool = False
) -> Case:
    """Behind a header with as many names as the rows have values, and a record that puts the dialect in force."""
    six = len(rows[0]) == 6
    before = () if not rfc else (_ROW6,) if six else (_ROW8,)
    log = (_H6 if six else _H8) + (b"" if not rfc else _R6 if six else _R8) + records
    dialect = RFC4180 if rfc else PHP
    return Case(stronger, weaker, dialect, log, SIX if six else EIGHT, before + rows, before + instead)


def _in_columns(columns: Columns, pair: tuple[int, int], log: bytes, rows: tuple[Row, ...], *instead: Row) -> Case:
    """A log with its columns in another order; rows in that order."""
    return Case(*pair, PHP, log, columns, rows, instead)


def _in_both(
    stronger: int, weaker: int, log_of: Callable[[str, bytes], tuple[bytes, tuple[Row, ...], tuple[Row, ...]]]
) -> tuple[Case, Case]:
    """The same case with either dialect in force.

    ``log_of`` takes a target and how it is written. Where RFC 4180 is in force, the target exists in PHP only.
    """
    return (
        _case(stronger, weaker, *log_of("u", b"u")),
        _case(stronger, weaker, *log_of(_PHP_ONLY, b'"x\\"y"'), rfc=True),
    )


CASES: Final = (
    # A bare field with a quote, before what follows: behind the record stands a date in another format.
    *_in_both(
        1,
        2,
        lambda target, written: (
            b"2021-04-20 13:01:01;T-1;" + written + b';"a\\";";sent;ok\n20.04.2021 13:01:02;T-2;u;h;sent;"; retry"\n',
            ((_ONE, "T-1", target, 'a\\";', "sent", "ok"),),
            ((_ONE, "T-1", target, "a\\", ";sent;ok\n20.04.2021 13:01:02;T-2;u;h;sent;", ' retry"'),),
        ),
    ),
    # A bare field with a quote, before JSON: one reading swallows the second record, whose payload is empty.
    *_in_both(
        1,
        3,
        lambda target, written: (
            b"2021-04-20 13:01:01;T-1;"
            + written
            + b';"C:\\dir\\";sent;";";A-1;text\n2021-04-20 13:01:02;T-2;u;h;sent;"; retry";A-1;\n',
            (
                (_ONE, "T-1", target, "C:\\dir\\", "sent", ";", "A-1", "text"),
                (_TWO, "T-2", "u", "h", "sent", "; retry", "A-1", ""),
            ),
            (
                (
                    _ONE,
                    "T-1",
                    target,
                    'C:\\dir\\";sent;',
                    ";A-1;text\n2021-04-20 13:01:02;T-2;u;h;sent;",
                    ' retry"',
                    "A-1",
                    "",
                ),
            ),
        ),
    ),
    # A bare field with a quote, before the dialect in force: written by RFC 4180, and by PHP.
    _case(
        1,
        5,
        b'2021-04-20 13:01:01;T-1;u;h;"5\\""";"; retry"\n',
        ((_ONE, "T-1", "u", "h", '5\\"', "; retry"),),
        ((_ONE, "T-1", "u", "h", '5\\"";', ' retry"'),),
    ),
    _case(
        1,
        5,
        b'2021-04-20 13:01:01;T-1;u;h;"5\\"";"; retry"\n',
        ((_ONE, "T-1", "u", "h", '5\\"', "; retry"),),
        ((_ONE, "T-1", "u", "h", '5\\";', ' retry"'),),
        rfc=True,
    ),
    # What follows, before JSON: the reading with an empty payload is followed by the rest of the record.
    *_in_both(
        2,
        3,
        lambda target, written: (
            b"2021-04-20 13:01:01;T-1;" + written + b';h;sent;"a\\";;\nb";A-1;text\n',
            ((_ONE, "T-1", target, "h", "sent", 'a\\";;\nb', "A-1", "text"),),
            ((_ONE, "T-1", target, "h", "sent", "a\\", "", ""),),
        ),
    ),
    # What follows, before the dialect in force: written by RFC 4180, and by PHP.
    _case(
        2,
        5,
        b'2021-04-20 13:01:01;T-1;u;h;sent;"a\\""\nb"\n',
        ((_ONE, "T-1", "u", "h", "sent", 'a\\"\nb'),),
        ((_ONE, "T-1", "u", "h", "sent", 'a\\"'),),
    ),
    _case(
        2,
        5,
        b'2021-04-20 13:01:01;T-1;u;h;sent;"a\\"\nb"\n',
        ((_ONE, "T-1", "u", "h", "sent", 'a\\"\nb'),),
        ((_ONE, "T-1", "u", "h", "sent", "a\\"),),
        rfc=True,
    ),
    # JSON, before the dialect in force: written by RFC 4180, and by PHP; what follows is a date in another format.
    _case(
        3,
        5,
        b'2021-04-20 13:01:01;T-1;u;h;sent;;A-1;"{""a"":""x\\""""\n}"\n20.04.2021 13:01:02;T-2;u;h;sent;;A-1;{}\n',
        ((_ONE, "T-1", "u", "h", "sent", "", "A-1", '{"a":"x\\""\n}'),),
        ((_ONE, "T-1", "u", "h", "sent", "", "A-1", '{"a":"x\\""'),),
    ),
    _case(
        3,
        5,
        b'2021-04-20 13:01:01;T-1;u;h;sent;;A-1;"{""a"":""x\\"""\n}"\n20.04.2021 13:01:02;T-2;u;h;sent;;A-1;{}\n',
        ((_ONE, "T-1", "u", "h", "sent", "", "A-1", '{"a":"x\\""\n}'),),
        ((_ONE, "T-1", "u", "h", "sent", "", "A-1", '{"a":"x\\"'),),
        rfc=True,
    ),
    # A header that follows comes after all of these: a bare field with a quote, what follows, JSON.
    *_in_both(
        1,
        4,
        lambda target, written: (
            b"2021-04-20 13:01:01;T-1;"
            + written
            + b';"a\\";";sent;ok\n'
            + _H6
            + b'2021-04-20 13:01:02;T-2;u;h;sent;"; retry"\n',
            ((_ONE, "T-1", target, 'a\\";', "sent", "ok"), (_TWO, "T-2", "u", "h", "sent", "; retry")),
            (
                (
                    _ONE,
                    "T-1",
                    target,
                    "a\\",
                    f";sent;ok\n{_H6.decode()}2021-04-20 13:01:02;T-2;u;h;sent;",
                    ' retry"',
                ),
            ),
        ),
    ),
    *_in_both(
        2,
        4,
        lambda target, written: (
            b"2021-04-20 13:01:01;T-1;"
            + written
            + b';h;sent;"C:\\dir\\"\n'
            + _H6
            + b'2021-04-20 13:01:02;T-2;u;h;sent;"\nretry"\n',
            ((_ONE, "T-1", target, "h", "sent", "C:\\dir\\"), (_TWO, "T-2", "u", "h", "sent", "\nretry")),
            (
                (
                    _ONE,
                    "T-1",
                    target,
                    "h",
                    "sent",
                    f'C:\\dir\\"\n{_H6.decode()}2021-04-20 13:01:02;T-2;u;h;sent;',
                ),
            ),
        ),
    ),
    *_in_both(
        3,
        4,
        lambda target, written: (
            b"2021-04-20 13:01:01;T-1;"
            + written
            + b';h;sent;"a\\";;text\n2021-04-20 13:01:09;T-9;u;h;sent;";A-1;{}\n'
            + _H8
            + b"2021-04-20 13:01:02;T-2;u;h;sent;;A-1;{}\n",
            (
                (
                    _ONE,
                    "T-1",
                    target,
                    "h",
                    "sent",
                    'a\\";;text\n2021-04-20 13:01:09;T-9;u;h;sent;',
                    "A-1",
                    "{}",
                ),
                (_TWO, "T-2", "u", "h", "sent", "", "A-1", "{}"),
            ),
            (
                (_ONE, "T-1", target, "h", "sent", "a\\", "", "text"),
                (_TWO, "T-2", "u", "h", "sent", "", "A-1", "{}"),
            ),
        ),
    ),
    # It comes before the dialect in force: written by RFC 4180, and by PHP.
    _case(
        4,
        5,
        b'2021-04-20 13:01:01;T-1;u;h;sent;"a\\""\n' + _H6 + b'b"\n',
        ((_ONE, "T-1", "u", "h", "sent", f'a\\"\n{_H6.decode()}b'),),
        ((_ONE, "T-1", "u", "h", "sent", 'a\\"'),),
    ),
    _case(
        4,
        5,
        b'2021-04-20 13:01:01;T-1;u;h;sent;"a\\"\n' + _H6 + b'b"\n',
        ((_ONE, "T-1", "u", "h", "sent", f'a\\"\n{_H6.decode()}b'),),
        ((_ONE, "T-1", "u", "h", "sent", "a\\"),),
        rfc=True,
    ),
    # Each of the first five, before closing a field.
    *_in_both(
        4,
        6,
        lambda target, written: (
            b"2021-04-20 13:01:01;T-1;" + written + b';h;sent;"a\\"\n' + _H6 + b'b"\n',
            ((_ONE, "T-1", target, "h", "sent", f'a\\"\n{_H6.decode()}b'),),
            ((_ONE, "T-1", target, "h", "sent", "a\\"),),
        ),
    ),
    *_in_both(
        1,
        6,
        lambda target, written: (
            b"2021-04-20 13:01:01;T-1;" + written + b';"a\\";";sent;"; retry"\n',
            ((_ONE, "T-1", target, 'a\\";', "sent", "; retry"),),
            ((_ONE, "T-1", target, "a\\", ";sent;", ' retry"'),),
        ),
    ),
    *_in_both(
        2,
        6,
        lambda target, written: (
            b"2021-04-20 13:01:01;T-1;" + written + b';h;sent;"a\\"\nb"\n',
            ((_ONE, "T-1", target, "h", "sent", 'a\\"\nb'),),
            ((_ONE, "T-1", target, "h", "sent", "a\\"),),
        ),
    ),
    *_in_both(
        3,
        6,
        lambda target, written: (
            b"2021-04-20 13:01:01;T-1;"
            + written
            + b';h;sent;"a\\";;text\nb";A-1;{}\n20.04.2021 13:01:02;T-2;u;h;sent;;A-1;{}\n',
            ((_ONE, "T-1", target, "h", "sent", 'a\\";;text\nb', "A-1", "{}"),),
            ((_ONE, "T-1", target, "h", "sent", "a\\", "", "text"),),
        ),
    ),
    # A record that exists in both dialects, between, leaves RFC 4180 in force.
    _case(
        5,
        6,
        b'2021-04-20 13:01:01;T-1;u;h;sent;"C:\\dir\\"\n'
        b'2021-04-20 13:01:02;T-2;u;h;sent;"a\\""\n2021-04-20 13:01:09 b"\n',
        ((_ONE, "T-1", "u", "h", "sent", "C:\\dir\\"), (_TWO, "T-2", "u", "h", "sent", 'a\\"\n2021-04-20 13:01:09 b')),
        ((_ONE, "T-1", "u", "h", "sent", "C:\\dir\\"), (_TWO, "T-2", "u", "h", "sent", 'a\\"')),
        rfc=True,
    ),
    # Closing a field, before going on: the second line of the second record's description looks like a record.
    *_in_both(
        6,
        7,
        lambda target, written: (
            b"2021-04-20 13:01:01;T-1;"
            + written
            + b';h;sent;"C:\\dir\\"\n2021-04-20 13:01:02;T-2;u;h;sent;"\n2021-04-20 13:01:09 retry"\n',
            (
                (_ONE, "T-1", target, "h", "sent", "C:\\dir\\"),
                (_TWO, "T-2", "u", "h", "sent", "\n2021-04-20 13:01:09 retry"),
            ),
            ((_ONE, "T-1", target, "h", "sent", 'C:\\dir\\"\n2021-04-20 13:01:02;T-2;u;h;sent;'),),
        ),
    ),
    # What follows starts like a record in the second column, where its timestamp stands.
    _in_columns(
        Columns(6, 1, -1),
        (2, 6),
        b"//tracking_code;timestamp;target_id;hwid;status;description\n"
        b'T-1;2021-04-20 13:01:01;u;h;sent;"a\\"\nb"\nT-2;2021-04-20 13:01:02;u;h;sent;ok\n',
        (("T-1", _ONE, "u", "h", "sent", 'a\\"\nb'), ("T-2", _TWO, "u", "h", "sent", "ok")),
        ("T-1", _ONE, "u", "h", "sent", "a\\"),
        ("T-2", _TWO, "u", "h", "sent", "ok"),
    ),
    # JSON in a payload that is not the last column.
    _in_columns(
        Columns(8, 0, 6),
        (3, 6),
        b"//timestamp;tracking_code;target_id;hwid;status;description;payload;appCode\n"
        b'2021-04-20 13:01:01;T-1;u;h;sent;;"{""a"":""x\\";""\n}";A-1\n20.04.2021 13:01:02;T-2;u;h;sent;;{};A-1\n',
        ((_ONE, "T-1", "u", "h", "sent", "", '{"a":"x\\";"\n}', "A-1"),),
        (_ONE, "T-1", "u", "h", "sent", "", '{"a":"x\\', ""),
    ),
)
