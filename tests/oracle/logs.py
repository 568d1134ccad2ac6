"""Logs to compare the oracle and trackparse on: from good ones to bytes at random. The same seed gives the same log."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

NAMES8 = ("timestamp", "tracking_code", "target_id", "hwid", "status", "description", "appCode", "payload")
NAMES6 = NAMES8[:6]
BOM = b"\xef\xbb\xbf"
LINE_ENDS = (b"\n", b"\n", b"\n", b"\n", b"\r\n", b"\r\r\n")

Names = tuple[str, ...]
Writer = Callable[[list[str], "Random"], bytes]


def log(seed: int) -> bytes:
    random = Random(seed)
    kind = random.random()
    if kind < 0.15:
        return soup(random)
    if kind < 0.35:
        return riddle(random)
    made = joined_log(random) if random.random() < 0.4 else one(random, first=True)
    damage = random.random()
    if damage < 0.3:
        made = cut(made, random)
    elif damage < 0.5:
        made = edited(made, random)
    elif damage < 0.6:
        made = lines_mixed(made, random)
    return made


def joined_log(random: Random) -> bytes:
    """Logs after one another, as of `cat`."""
    logs = [one(random, first=number == 0) for number in range(random.randint(2, 3))]
    if random.random() < 0.1:
        # A record that was cut has the right number of fields, with the header run into it.
        logs[0] = f"{';'.join(NAMES8)}\n2021-04-20 13:01:01;T;{plain(random)}//{';'.join(NAMES6)}\n".encode()
    return b"".join(logs)


def one(random: Random, first: bool) -> bytes:
    names = some_names(random)
    writer = random.choice(WRITERS)
    end = random.choice(LINE_ENDS)
    parts = [header(names, random, first, end)]
    for _ in range(random.choice((0, 1, 1, 2, 2, 3, 4, 6))):
        if random.random() < 0.1:
            writer = random.choice(WRITERS)
        parts.append(item(names, writer, random, end))
    made = b"".join(parts)
    return made.removesuffix(end) if random.random() < 0.3 else made


# Headers


def some_names(random: Random) -> Names:
    kind = random.random()
    if kind < 0.35:
        return NAMES8
    if kind < 0.55:
        return NAMES6
    if kind < 0.8:  # short ones are quick to read, and easy to look at
        return random.choice((("timestamp", "tracking_code", "payload"), ("timestamp", "tracking_code", "status")))
    names = ["timestamp", "tracking_code", *random.sample(NAMES8[2:], random.randint(0, 6))]
    if random.random() < 0.4:
        names.insert(
            random.randint(0, len(names)), random.choice(("region", "zone", "", "naïve", 'q"q', "a b", "x" * 1100))
        )
    if random.random() < 0.5:
        random.shuffle(names)
    return tuple(names)


def header(names: Names, random: Random, first: bool, end: bytes) -> bytes:
    if random.random() < 0.07:
        return b""
    fields = list(names)
    if random.random() < 0.1:
        fields = [f'"{field}"' if random.random() < 0.7 else field for field in fields]
    if random.random() < 0.75:
        fields[0] = "//" + fields[0] if fields[0][:1] != '"' or random.random() < 0.5 else '"//' + fields[0][1:]
    if random.random() < 0.05:
        spot = random.randrange(len(fields))
        fields[spot] = random.choice(
            (" {}", "{} ", "\t{}\t", "//{}", "// {}", '"{}"', '" {}"', '""{}""', "/{}")
        ).format(fields[spot])
    made = ";".join(fields).encode()
    if random.random() < (0.03 if first else 0.15):
        made = damaged(made, random)
    before = random.random()
    if before < 0.08:
        made = BOM + made
    elif before < 0.12:
        made = b"sep=;" + end + made
    elif before < 0.14:
        made = BOM + b"sep=;" + end + BOM + made
    elif before < 0.17:
        made = end + made
    behind = random.random()
    return made + (b"" if behind < 0.08 else b" " if behind < 0.09 else end)


def damaged(made: bytes, random: Random) -> bytes:
    fields = made.split(b";")
    spot = random.randrange(len(fields))
    kind = random.randrange(8)
    if kind == 0:
        fields[spot] = fields[spot][:-2] + b"X" + fields[spot][-1:]
    elif kind == 1:
        del fields[spot]
    elif kind == 2:
        fields.insert(spot, random.choice(fields))
    elif kind == 3:
        fields[spot] += random.choice((b"\xff", b'"', b"\0", b"\n"))
    elif kind == 4:
        return made[: random.randint(0, len(made))]
    elif kind == 5:
        end = random.randint(0, len(made))
        return made[:end] + random.choice((b";", b":", b"\n", b"")) + made[end + random.randrange(2) :]
    elif kind == 6:
        fields[spot : spot + 2] = [random.choice((b"", b":", b"_", b"/")).join(fields[spot : spot + 2])]
    else:
        return edited(made, random)
    return b";".join(fields)


# Records


def item(names: Names, writer: Writer, random: Random, end: bytes) -> bytes:
    kind = random.random()
    if kind < 0.04:
        return end * random.randint(1, 2)
    if kind < 0.06:
        return (
            random.choice(
                (
                    b"Killed",
                    b"garbage;here",
                    b"\xff\xfe",
                    b'"',
                    b";",
                    b"//",
                    b"//x;y",
                    b"sep=;",
                    BOM,
                    b"status;hwid",
                    b"\r",
                )
            )
            + end
        )
    row = [value(name, random) for name in names]
    if random.random() < 0.02:
        row.append(plain(random))
    elif random.random() < 0.03:
        row.pop(random.randrange(len(row)))
    made = writer(row, random)
    kind = random.random()
    if kind < 0.04:
        made = made[: random.randint(0, len(made))]
    elif kind < 0.08:
        made = edited(made, random)
    elif kind < 0.10:
        made = BOM * random.randint(1, 2) + made
    return made + (random.choice(LINE_ENDS) if random.random() < 0.05 else b"" if random.random() < 0.01 else end)


def value(name: str, random: Random) -> str:
    if name == "timestamp":
        return moment(random)
    if name == "payload":
        return payload(random)
    return nasty(random) if random.random() < 0.35 else plain(random)


def moment(random: Random) -> str:
    if random.random() < 0.06:
        return random.choice(
            (
                "",
                "2021-02-30 10:00:00",
                "2021-04-20T13:01:01Z",
                "20.04.2021 13:01",
                "2021-04-20",
                "0000-01-01 00:00:00",
                "2021-04-20 24:00:00",
                "2021-04-20 13:01:01.1234567",
                "2021-04-20 13:01:60",
                " 2021-04-20 13:01:01",
                "2021-04-20 13:01:01.",
                "2021-04-20t13:01:01",
                "２021-04-20 13:01:01",
                "2021-04-20 13:01:01 ",
                "timestamp",
            )
        )
    day = f"20{random.randint(10, 30)}-0{random.randint(1, 9)}-1{random.randint(0, 9)}"
    return day + random.choice(" T") + f"13:01:0{random.randint(0, 9)}" + random.choice(("", "", "", ".5", ".012345"))


def plain(random: Random) -> str:
    return random.choice(
        ("", "T-1", "x", "Success", "delivered", "caf\xe9", "3B-2", "a b", "0", "{}", "null", "/", "\0")
    )


PIECES = (
    '"',
    '"',
    "\\",
    "\\",
    '\\"',
    '""',
    ";",
    '";',
    '";"',
    '\\";',
    '\\";"',
    "\n",
    "\r",
    "\r\n",
    '"\n',
    '\\"\n',
    "\n\n",
    "x",
    "é",
    "{}",
    "\\\\",
    '\\"\r\n',
    "//",
    "//timestamp;tracking_code",
    "\n//timestamp;tracking_code;payload\n",
    "timestamp;tracking_code",
    "2021-04-20 13:01:01",
    "\n2021-04-20 13:01:01;",
    '\n"2021-04-20 13:01:01";T;',
    "\n2021-04-20 13:01:01;T;t;h;s;d\n",
    "\ufeff",
    "sep=;",
    "status;hwid",
)


def nasty(random: Random) -> str:
    return "".join(random.choice(PIECES) for _ in range(random.choice((1, 1, 2, 3, 5))))


def payload(random: Random) -> str:
    kind = random.random()
    if kind < 0.15:
        return ""
    if kind < 0.3:
        return nasty(random)
    if kind < 0.35:
        return random.choice(
            ("null", "1", '"x"', "{", "[", "[1]", "NaN", "[NaN]", '{"a":1}x', " {} ", "[1,]", '{"a":"\t"}', "\ufeff{}")
        )
    text = "".join(
        random.choice(
            (r"\"", r"\\", r"\n", "; ", r"\"hi\"", r"\";", r"\\\"", "é", "x", r"\";\"", "//timestamp;tracking_code")
        )
        for _ in range(random.randint(0, 3))
    )
    made = (
        random.choice(
            ('{"a":"%s"}', '{"a": "%s", "b": [1, {}]}', '[{"a":"%s"}]', '{\n  "a": "%s"\n}', '{"%s":"C:\\\\"}')
        )
        % text
    )
    return made[: random.randint(0, len(made))] if random.random() < 0.08 else made


# Writers


def fputcsv(row: list[str], random: Random) -> bytes:
    return ";".join(php_quoted(text) if any(sign in text for sign in ';"\\\n\r\t ') else text for text in row).encode()


def fputcsv_all(row: list[str], random: Random) -> bytes:
    return ";".join(map(php_quoted, row)).encode()


def rfc4180(row: list[str], random: Random) -> bytes:
    return ";".join(rfc_quoted(text) if any(sign in text for sign in ';"\n\r') else text for text in row).encode()


def rfc4180_all(row: list[str], random: Random) -> bytes:
    return ";".join(map(rfc_quoted, row)).encode()


def either(row: list[str], random: Random) -> bytes:
    """Each field by another writer, which nobody would do."""
    return ";".join(random.choice((php_quoted, rfc_quoted, str))(text) for text in row).encode()


def naive(row: list[str], random: Random) -> bytes:
    return ";".join(f'"{text}"' if random.random() < 0.4 else text for text in row).encode()


WRITERS: tuple[Writer, ...] = (fputcsv, fputcsv, fputcsv_all, rfc4180, rfc4180, rfc4180_all, either, naive)


def rfc_quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def php_quoted(text: str) -> str:
    """As fputcsv does with its default escape character: a quote is doubled unless it follows an escape."""
    made, escaped = [], False
    for sign in text:
        if sign == "\\":
            escaped = True
        elif sign == '"' and not escaped:
            made.append('"')
        elif sign == '"' or sign != "\\":
            escaped = False
        made.append(sign)
    return '"' + "".join(made) + '"'


# Bytes at random, of those that mean something


SOUP = (
    b'"',
    b'"',
    b'"',
    b'\\"',
    b'\\"',
    b";",
    b";",
    b"\n",
    b"\n",
    b'""',
    b'";',
    b'\\";',
    b'"\n',
    b'\\"\n',
    b"\\",
    b"\r",
    b"x",
    b"{}",
    b"[",
    b"]",
    b'";"',
    b'"{}"',
    b"2021-04-20 13:01:01;",
    b"\n2021-04-20 13:01:01;",
    b'\n"2021-04-20 13:01:01";',
    b"//",
    b"//timestamp;tracking_code",
    BOM,
    b"\xc3",
    b"status",
    b"hwid;",
)


def soup(random: Random) -> bytes:
    header = random.choice(
        (b"timestamp;tracking_code;payload\n", b"timestamp;tracking_code\n", b"status;timestamp;tracking_code\n", b"")
    )
    record = random.choice((b"2021-04-20 13:01:01;T;", b'"2021-04-20 13:01:01";T;"', b"", b'"'))
    return header + record + b"".join(random.choice(SOUP) for _ in range(random.randint(1, 24)))


# Records that can be read in more than one way, good ones all


def riddle(random: Random) -> bytes:
    last = random.random() < 0.4  # the field that can be closed in two places; else the one before it
    names = random.choice(
        ("timestamp;tracking_code;payload", "timestamp;payload;tracking_code", "timestamp;hwid;tracking_code")
    )
    made = [names + "\n"]
    if random.random() < 0.5:
        # A record that changes the dialect, or does not.
        made.append(
            "2021-04-20 13:01:01;" + random.choice((r'"a\"b";c', r'"a\""b";c', r'"a\"";c', r'"a\""";c', "a;b")) + "\n"
        )
    made.append(random.choice(("2021-04-20 13:01:01;", '"2021-04-20 13:01:01";', "2021-04-20 25:01:01;")))
    if last:
        made.append(random.choice(("T;", '"T";', 'T"T;', r'"T\";', r'"T\"T";')))
    made.append(
        '"' + random.choice(('[""v', '{""k"":""v', "x", '[NaN,""v', "", '""', '[1,{""k"":""v', r"\\", r"v\";x"))
    )
    made.append(random.choice(('\\"', '\\"', '\\""', '\\"""')))
    if not last:
        made.append(";" + random.choice(('""', "x", 'x""', "", '""""', r"\x", r'"\"', r'x\""')))
    made.append(random.choice(("\n", "\n", "\r\n")))
    for _ in range(random.choice((1, 1, 2))):
        made.append(
            random.choice(
                (
                    "\n",
                    "2021-04-20 13:01:02;T;",
                    "//x",
                    "\ufeff",
                    "x",
                    "x;y",
                    "]",
                    "}",
                    "sep=;",
                    "status;hwid;",
                    'x""',
                    "\r\n",
                )
            )
        )
        made.append(random.choice(("", "", "\n", "]", "}", "\n]", "\n}", "}]")))
    made.append('"' if last else '";' + random.choice(("T", "", '"T"', 'T"', "{}")))
    made.append(
        random.choice(
            ("\n", "\n", "", "\n\n", "\nx\n", "\n2021-04-20 13:01:03;T;{}\n", "\n//timestamp;tracking_code\n")
        )
    )
    return "".join(made).encode()


# Damage


def cut(made: bytes, random: Random) -> bytes:
    if random.random() < 0.5:
        return made[: random.randint(0, len(made))]
    start = random.randint(0, len(made))
    return made[:start] + made[start + random.randint(1, 30) :]


EDITS = (
    b'"',
    b'"',
    b";",
    b"\n",
    b"\\",
    b"\r",
    b"\xff",
    b"\xe9",
    b"\0",
    b"/",
    b"//",
    BOM,
    b"x",
    b"0",
    b"",
    b'\\"',
    b'""',
    b'\\";',
)


def edited(made: bytes, random: Random) -> bytes:
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randint(0, len(made))
        made = made[:at] + random.choice(EDITS) + made[at + random.randint(0, 1) :]
    return made


def lines_mixed(made: bytes, random: Random) -> bytes:
    """A line lost, written twice, or out of place."""
    lines = made.splitlines(keepends=True) or [b""]
    kind, at = random.randrange(3), random.randrange(len(lines))
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(random.randint(0, len(lines)), lines[at])
    else:
        lines.insert(random.randint(0, len(lines)), lines.pop(at))
    return b"".join(lines)
