"""Records cut short, run together, and lines that are none."""

from __future__ import annotations

from support.logs import NAMES6

from .model import Fault, Log, between, fputcsv, record, rfc4180, row, row6, rows, same, texts


def _cut_inside() -> list[Fault]:
    """The last row as a writer that died left it: cut in each of its fields."""
    whole = record(row(9, target="device"), end=b"")
    places = {
        "in its timestamp": (9, "unclosed_quote"),
        "behind its timestamp": (21, "field_count"),
        "in its tracking code": (25, "field_count"),
        "in its target": (whole.index(b"device") + 3, "field_count"),
        "in its status": (whole.index(b"delivered") + 3, "field_count"),
        "behind its appCode": (whole.index(b"C90C0") + 11, "field_count"),
        "behind the payload's first quote": (whole.index(b'"{') + 1, "unclosed_quote"),
        "in its payload": (whole.index(b"alert"), "unclosed_quote"),
        "before its last quote": (len(whole) - 1, "unclosed_quote"),
    }
    return [
        Log().good(*rows(3)).bad(whole[:at], reason).fault(f"the last record is cut {name}")
        for name, (at, reason) in places.items()
    ]


def _died_and_went_on() -> list[Fault]:
    """A writer that died in a row, and another that went on behind it, without a line end between."""
    whole, after = record(row(9)), record(row(10))
    faults = []
    for name, at, reason in (
        ("in a bare field", whole.index(b"delivered") + 3, "field_count"),
        ("in the timestamp", 9, "text_after_quote"),
        ("in the payload", len(whole) - 9, "field_count"),
    ):
        log = Log().good(*rows(2)).bad(whole[:at] + after, reason)
        faults.append(log.good(row(11), row(12)).fault(f"a record is cut {name} and the next one follows at once"))
    for name, at, reason in (
        ("in a bare field", whole.index(b"delivered") + 3, "field_count"),
        ("in the payload", len(whole) - 7, "text_after_quote"),
    ):
        log = Log().good(*rows(2)).bad(whole[:at] + b"\n", reason)
        faults.append(log.good(row(11), row(12)).fault(f"a record is cut {name}, then its line ends"))
    return faults


def faults() -> list[Fault]:
    one, two = record(row(8)), record(row(9))
    bare = record(row(9, payload="{}"), rfc4180)
    six = record(row6(9), names=NAMES6)
    without = fputcsv([t for name, t in zip(Log().names, texts(row(9)), strict=True) if name != "status"]) + b"\n"
    interleaved = one[:40] + two[:50] + one[40:] + two[50:]
    numbers = Log()
    for i in range(5):
        numbers.bad(b"2021-04-20 13:01:01;" + b"x;" * i + b"\n", "field_count").good(row(i))
    only = Log()
    for _ in range(5):
        only.bad(b"2021-04-20 13:01:01;only\n", "field_count")
    return [
        between("a field missing", without, "field_count"),
        between("a field too many", bare[:-1] + b";more\n", "field_count"),
        between("a delimiter too many", bare[:-1] + b";\n", "field_count"),
        between("a delimiter before the record", b";" + bare, "field_count"),
        between("the timestamp missing", bare[bare.index(b";") + 1 :], "field_count"),
        between("the timestamp empty", bare[bare.index(b";") :], "bad_timestamp"),
        between("nothing but delimiters", b";;;;;;;\n", "bad_timestamp"),
        between("a thousand fields", bare[:-1] + b";x" * 1000 + b"\n", "field_count"),
        between("one field", b"x\n", "field_count"),
        between("a record of six columns among those of eight", six, "field_count"),
        between("a record of eight columns among those of six", two, "field_count", names=NAMES6),
        between("commas for delimiters", bare.replace(b";", b","), "field_count"),
        between("tabs for delimiters", bare.replace(b";", b"\t"), "field_count"),
        between("a line of text", b"Rotated at midnight\n", "field_count"),
        between("a PHP warning", b"Warning: fputcsv() expects parameter 1 in /srv/log.php on line 7\n", "field_count"),
        between(
            "a PHP warning of two lines", b"PHP Fatal error: out of memory\n  thrown in /srv/log.php\n", "field_count"
        ),
        between("a line of JSON", b'{"status_code":500,"status_message":"oops"}\n', "field_count"),
        between("a piece of HTML", b"<html>\n<body>502; Bad Gateway</body>\n</html>\n", "field_count"),
        between("the line end lost between two records", bare[:-1] + one, "field_count"),
        between("the line end lost behind quotes", two[:-1] + one, "field_count"),
        between("two writers at once", interleaved, "field_count"),
        between("a conflict mark", b"<<<<<<< HEAD\n", "field_count"),
        between("wrapped at 40 bytes", bare[:40] + b"\n" + bare[40:], "field_count"),
        same("the same record twice", record(row(2)), row(2)),
        same("empty fields", b'"2021-04-20 13:01:10";;;;;;;\n', (row(9)[0], "", "", "", "", "", "", None)),
        same(
            "blanks around fields are theirs",
            bare.replace(b"delivered", b" delivered "),
            row(9, status=" delivered ", payload="{}"),
        ),
        numbers.fault("short records of every length"),
        only.fault("nothing but short records"),
        Log().bad(b"x\n", "field_count").good(*rows(3)).fault("the first record is a line of text"),
        Log().good(*rows(3)).bad(b"x", "field_count").fault("the last record is a letter"),
        *_cut_inside(),
        *_died_and_went_on(),
    ]
