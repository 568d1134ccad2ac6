"""Options: every wrong value is refused with a message that says what was wanted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import trackparse
from support.logs import H8, line
from trackparse.options import CONVERT_DEFAULTS, READ_DEFAULTS, convert_options

LOG = H8 + line()
# What is given, the kind of error, and the whole message.
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"columns": "status"}, TypeError, "columns='status': expected a list of names, such as ['status']"),
    ({"columns": b"status"}, TypeError, "columns=b'status': expected a list of names"),
    ({"columns": 7}, TypeError, "columns=7: expected a list of names"),
    ({"columns": ["status", 7]}, TypeError, "columns: 7 is not a name: expected a string"),
    ({"columns": []}, trackparse.OptionError, "columns=[]: name at least one column, here or in payload_columns"),
    ({"columns": ["status"] * 2}, trackparse.OptionError, "columns=['status', 'status']: a column is named twice"),
    ({"columns": ["app_code"]}, trackparse.OptionError, "no column 'app_code' in this log: did you mean 'appCode'?"),
    (
        {"columns": ["x"]},
        trackparse.OptionError,
        "no column 'x' in this log: expected one of: timestamp, tracking_code, target_id, hwid, status, description, "
        "appCode, payload",
    ),
    (
        {"where": {"status": "opened"}},
        TypeError,
        "where={'status': 'opened'}: expected a trackparse.Filter, such as Filter(statuses=['opened'])",
    ),
    ({"members": "*.csv"}, TypeError, "members='*.csv': expected a list of names, such as ['*.csv']"),
    ({"dictionary": "status"}, TypeError, "dictionary='status': expected a list of names, such as ['status']"),
    ({"dictionary": None}, TypeError, "dictionary=None: expected a list of names"),
    ({"dictionary": ["Status"]}, trackparse.OptionError, "no column 'Status' in this log: did you mean 'status'?"),
    ({"dictionary": ["timestamp"]}, trackparse.OptionError, "dictionary: 'timestamp' is not a column of text"),
    ({"limits": {}}, TypeError, "limits={}: expected a trackparse.Limits, such as Limits(max_members=10)"),
    ({"limits": None}, TypeError, "limits=None: expected a trackparse.Limits, such as Limits(max_members=10)"),
    ({"progress": 1}, TypeError, "progress=1: expected True, or a function that takes a trackparse.Progress"),
    ({"filesystem": "s3"}, TypeError, "filesystem='s3': expected a pyarrow.fs.FileSystem, or a file system of fsspec"),
    ({"on_rejects": []}, TypeError, "on_rejects=[]: expected a function that takes a record batch"),
    (
        {"on_rejects": print},
        trackparse.OptionError,
        "on_rejects: it needs on_error='quarantine'",
    ),
    (
        {"payload_columns": ["/a"]},
        TypeError,
        "payload_columns=['/a']: expected a dict, such as {'alert': '/aps/alert', 'uid': ('/md/uid', pyarrow.int64())}",
    ),
    ({"payload_columns": {7: "/a"}}, TypeError, "payload_columns: 7 is not a name: expected a string"),
    (
        {"payload_columns": {"a": ("/a", "int64")}},
        TypeError,
        "payload_columns: 'a': ('/a', 'int64'): expected a JSON Pointer, or a tuple of a JSON Pointer and a type, such "
        "as {'alert': '/aps/alert', 'uid': ('/md/uid', pyarrow.int64())}",
    ),
    *(
        (
            {"payload_columns": {"a": pointer}},
            trackparse.OptionError,
            f"payload_columns: 'a': {pointer!r} is not a JSON Pointer: expected a / before each key, such as "
            "'/aps/alert'; in a key, ~ is written ~0 and / is written ~1",
        )
        for pointer in ("aps/alert", "/a~b", "/a~", "/a~2", "/\ud83d", "$.a")
    ),
    (
        {"payload_columns": {"a": ("/a", pa.date32())}},
        trackparse.OptionError,
        "payload_columns: 'a': date32[day]: expected one of: string, bool, int8, int16, int32, int64, uint8, uint16, "
        "uint32, uint64, float32, float64",
    ),
    (
        {"payload_columns": {"status": "/a"}},
        trackparse.OptionError,
        "payload column 'status': the log has a column of this name: take another one",
    ),
    ({"dialect": "PHP"}, trackparse.OptionError, "dialect='PHP': did you mean 'php'?"),
    ({"dialect": "excel"}, trackparse.OptionError, "dialect='excel': expected one of: auto, php, rfc4180"),
    ({"dialect": None}, TypeError, "dialect=None: expected one of: auto, php, rfc4180"),
    ({"on_error": "ignore"}, trackparse.OptionError, "on_error='ignore': expected one of: raise, quarantine, skip"),
    ({"string_type": "str"}, trackparse.OptionError, "string_type='str': did you mean 'string'?"),
    ({"block_size": 0}, trackparse.OptionError, "block_size=0: expected 1 to 1,073,741,824 bytes"),
    ({"block_size": 2 << 30}, trackparse.OptionError, "block_size=2147483648: expected 1 to 1,073,741,824 bytes"),
    ({"block_size": "1 MiB"}, TypeError, "block_size='1 MiB': expected a whole number of bytes"),
    ({"block_size": True}, TypeError, "block_size=True: expected a whole number of bytes"),
    ({"colums": ["status"]}, TypeError, "unknown option 'colums': did you mean 'columns'?"),
]
WRONG_FOR_CONVERT: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"compression": "zip"}, trackparse.OptionError, "compression='zip': did you mean 'gzip'?"),
    (
        {"compression": 3},
        TypeError,
        "compression=3: expected one of: zstd, snappy, gzip, brotli, lz4, lz4_raw, none",
    ),
    ({"threads": 0}, trackparse.OptionError, "threads=0: expected 1 or more threads"),
    ({"row_group_size": 0}, trackparse.OptionError, "row_group_size=0: expected 1 or more rows"),
    ({"row_group_size": 1.5}, TypeError, "row_group_size=1.5: expected a whole number of rows"),
    ({"bloom_filters": "hwid"}, TypeError, "bloom_filters='hwid': expected a list of names, such as ['hwid']"),
    ({"on_damage": "skip"}, trackparse.OptionError, "on_damage='skip': expected one of: raise, keep"),
    ({"rejects": 1}, TypeError, "rejects=1: expected a path or a URL"),
    (
        {"rejects": "x.txt", "on_error": "quarantine"},
        trackparse.OptionError,
        "x.txt: a file of rejects is named *.parquet or *.jsonl",
    ),
    (
        {"rejects": "x.jsonl"},
        trackparse.OptionError,
        "rejects='x.jsonl': rejects are written with on_error='quarantine' only",
    ),
]


def id_of(case: object) -> str | None:
    return str(case)[:60] if isinstance(case, dict) else None


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=id_of)
def test_a_wrong_value_is_told_with_what_was_wanted(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        trackparse.read_log(LOG, **options)
    assert str(caught.value) == message
    # A wrong value is a ValueError to whoever does not know OptionError.
    assert isinstance(caught.value, TypeError | ValueError)


# A file gets plain strings, whatever columns are named there.
NOT_FOR_CONVERT = [{"dictionary": ["Status"]}, {"dictionary": ["timestamp"]}]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [case for case in (*WRONG, *WRONG_FOR_CONVERT) if case[0] not in NOT_FOR_CONVERT],
    ids=id_of,
)
def test_converting_tells_the_same_and_writes_nothing(
    options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        trackparse.convert_log(LOG, tmp_path / "out.parquet", **options)
    assert str(caught.value) == message
    assert not list(tmp_path.iterdir())


def test_an_option_that_other_libraries_have_is_told_by_its_name_here() -> None:
    with pytest.raises(TypeError) as caught:
        trackparse.dataset(H8).count_rows(filter=None)  # type: ignore[call-arg]
    assert str(caught.value) == "unknown option 'filter': did you mean where=trackparse.Filter(...)?"


def test_every_option_has_a_case() -> None:
    cases = {name for options, *_ in (*WRONG, *WRONG_FOR_CONVERT) for name in options}
    assert cases == {*READ_DEFAULTS, *CONVERT_DEFAULTS, "colums"}


def test_a_large_wrong_value_is_shortened() -> None:
    with pytest.raises(TypeError) as caught:
        trackparse.read_log(LOG, limits=dict.fromkeys(range(1000)))  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200


def test_very_many_columns_are_not_all_listed() -> None:
    header = H8.strip() + b"".join(b";column%d" % number for number in range(500)) + b"\n"
    with pytest.raises(trackparse.OptionError) as caught:
        trackparse.read_log(header, columns=["x"])
    assert str(caught.value).endswith(" and 488 more")


@pytest.mark.parametrize("codec", ["zstd", "ZSTD", "snappy", "gzip", "brotli", "lz4", "lz4_raw", "none"])
def test_every_codec_that_is_named_can_be_written(codec: str, tmp_path: Path) -> None:
    assert trackparse.convert_log(LOG, tmp_path / "out.parquet", compression=codec).records == 1


def test_names_may_come_from_an_iterator() -> None:
    assert trackparse.read_log(LOG, columns=iter(["hwid", "status"])).column_names == ["hwid", "status"]
    assert convert_options({"columns": iter(["hwid"])})["columns"] == ("hwid",)


def test_a_source_of_a_wrong_kind_says_what_a_source_is() -> None:
    with pytest.raises(TypeError, match=r"a source is a path, bytes, .*, not int"):
        trackparse.open_log(12345)  # type: ignore[arg-type]


def test_each_option_is_explained_where_help_shows_it() -> None:
    ours = {"compression", "row_group_size", "bloom_filters", "rejects", "on_damage", "threads"}
    assert {*CONVERT_DEFAULTS} - {*READ_DEFAULTS} == ours
    for function, names in ((trackparse.open_log, {*READ_DEFAULTS}), (trackparse.convert_log, ours)):
        assert {*re.findall(r"^    - ``(\w+)``: ", function.__doc__ or "", re.MULTILINE)} == names
