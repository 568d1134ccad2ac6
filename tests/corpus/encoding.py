"""Bytes that are not UTF-8, and marks of encodings."""

from __future__ import annotations

from support.logs import BOM
from trackparse.errors import HeaderError

from .model import Fault, Log, between, record, refused, row, rows, same

_BROKEN = {
    "a name in Latin-1": "Jürgen".encode("latin-1"),
    "a name in Windows-1251": "Юрий".encode("cp1251"),
    "a name in Shift JIS": "山田".encode("shift_jis"),
    "a continuation byte alone": b"a\x80b",
    "a lead byte alone": b"\xc3",
    "half an emoji": "🎁".encode()[:2],
    "three quarters of an emoji": "🎁".encode()[:3] + b"!",
    "an overlong slash": b"\xc0\xaf",
    "an emoji as two surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond the last code point": b"\xf4\x90\x80\x80",
    "a byte FF": b"\xff",
    "a byte FE": b"\xfe",
    "one continuation too many": "é".encode() + b"\xa9",
}


def _described(text: bytes) -> bytes:
    return record(row(9, description="@@")).replace(b"@@", text)


def faults() -> list[Fault]:
    log = Log().good(*rows(3))
    marked = Log(None).raw(BOM).header(Log().names).good(*rows(3))
    twice = Log(None).raw(BOM * 2).header(Log().names).good(*rows(3))
    middle = Log().good(row(1)).raw(BOM).header(Log().names).good(row(2), row(3))
    before = Log().good(row(1)).raw(BOM).good(row(2), row(3))
    several = Log().good(row(1)).raw(BOM * 3).good(row(2)).raw(BOM).good(row(3)).raw(BOM)
    cut = Log().good(row(1), row(2)).bad(_described("🎁".encode())[:-40].rpartition(b";")[0], "field_count")
    last = Log().good(row(1), row(2)).bad(record(row(9, payload="@"), end=b"").replace(b"@", b"\xf0\x9f"), "bad_utf8")
    in_time = record(row(9)).replace(b"2021", b"2\xff21")
    mojibake = "Jürgen".encode().decode("latin-1")
    kept = "\ufffd \ufeff \u200b \x00 \x1b[0m \x7f \x80 \U0010ffff"
    return [
        *(between(name, _described(text), "bad_utf8") for name, text in _BROKEN.items()),
        between("a byte FF in the payload", record(row(9)).replace(b"Hi", b"H\xff"), "bad_utf8"),
        between("a byte FF in the timestamp", in_time, "bad_timestamp"),
        between("a byte FF and too many fields", _described(b"\xff;x"), "field_count"),
        marked.fault("a byte order mark at the start"),
        twice.fault("two byte order marks at the start"),
        middle.fault("a byte order mark and a header in the middle"),
        before.fault("a byte order mark before a record"),
        several.fault("byte order marks wherever a record may start"),
        same("a byte order mark inside a field", _described(BOM + b"x"), row(9, description="\ufeffx")),
        cut.fault("cut inside an emoji's record"),
        last.fault("cut inside an emoji"),
        same("mojibake is valid", _described(mojibake.encode()), row(9, description=mojibake)),
        same("odd characters are kept", _described(b'"' + kept.encode() + b'"'), row(9, description=kept)),
        same("emoji with joiners", _described("👩‍👩‍👧‍👦🇩🇪".encode()), row(9, description="👩‍👩‍👧‍👦🇩🇪")),
        refused(
            "UTF-16 with its mark", "\ufeff".encode("utf-16-le") + log.data.decode().encode("utf-16-le"), HeaderError
        ),
        refused(
            "UTF-16, big end first", "\ufeff".encode("utf-16-be") + log.data.decode().encode("utf-16-be"), HeaderError
        ),
        refused("UTF-16 without a mark", log.data.decode().encode("utf-16-le"), HeaderError),
        refused("UTF-32", log.data.decode().encode("utf-32"), HeaderError),
        refused("EBCDIC", log.data.decode().encode("cp500"), HeaderError),
        refused("a header that is not UTF-8", log.data.replace(b"hwid", b"hw\xfc", 1), HeaderError),
    ]
