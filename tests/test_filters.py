"""Filters: which records come out, of batches and of events alike, and what is counted."""

from __future__ import annotations

import dataclasses
import pickle
import random
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trackparse
from support.kernels import SLOW
from support.logs import H8, line
from trackparse import Filter
from trackparse.testing.sample import encode_row, sample_rows

HEADER = b"//timestamp;tracking_code;target_id;hwid;status;description;appCode;payload\n"
ROWS = list(sample_rows(600, seed=3))
LOG = HEADER + b"".join(map(encode_row, ROWS))
START = datetime(2021, 4, 20)
OLD = b"""//timestamp;tracking_code;target_id;hwid;status;description
2021-04-20T00:00:01.500000;T-1;user;device;created;
2021-04-20T00:00:02.500000;T-2;user;device;sent;
"""

values = st.one_of(st.none(), st.frozensets(st.integers(0, 599), max_size=3))
moments = st.one_of(st.none(), st.integers(-1, 120).map(lambda second: START + timedelta(seconds=second)))


def chosen(rows: frozenset[int] | None, column: int) -> frozenset[str] | None:
    return None if rows is None else frozenset(ROWS[row][column] for row in rows)


@settings(max_examples=60 // SLOW)
@given(
    values,
    values,
    values,
    moments,
    moments,
    st.sampled_from([1 << 13, 1 << 20]),
    st.sampled_from(["string", "string_view"]),
)
def test_batches_and_events_hold_the_rows_that_meet_every_condition(
    statuses: frozenset[int] | None,
    apps: frozenset[int] | None,
    codes: frozenset[int] | None,
    since: datetime | None,
    until: datetime | None,
    block_size: int,
    string_type: Literal["string", "string_view"],
) -> None:
    where = Filter(chosen(statuses, 4), chosen(apps, 6), chosen(codes, 1), since, until)
    wanted = [
        row
        for row in ROWS
        if (where.statuses is None or row[4] in where.statuses)
        and (where.app_codes is None or row[6] in where.app_codes)
        and (where.tracking_codes is None or row[1] in where.tracking_codes)
        and (since is None or since <= datetime.fromisoformat(row[0]))
        and (until is None or datetime.fromisoformat(row[0]) < until)
    ]
    columns = ["hwid", "description"]
    with trackparse.open_log(LOG, where=where, block_size=block_size, columns=columns, string_type=string_type) as log:
        table = log.read_all()
        assert (log.stats.records, log.stats.filtered) == (600, 600 - len(wanted))
    assert table.column_names == ["hwid", "description"]
    assert list(zip(*(column.to_pylist() for column in table.columns), strict=True)) == [row[3:6:2] for row in wanted]
    with trackparse.open_log(LOG, where=where, block_size=block_size) as log:
        assert [(event.hwid, event.description) for event in log.events()] == [row[3:6:2] for row in wanted]
        assert log.stats.filtered == 600 - len(wanted)


def test_an_interval_has_its_start_and_not_its_end() -> None:
    since, until = datetime(2021, 4, 20, 0, 0, 1, 500_000), datetime(2021, 4, 20, 0, 0, 2, 500_000)
    for where in (Filter(since=since, until=until), Filter(until=until)):
        assert trackparse.read_log(OLD, where=where)["tracking_code"].to_pylist() == ["T-1"]
    assert trackparse.read_log(OLD, where=Filter(since=until))["tracking_code"].to_pylist() == ["T-2"]


def test_nothing_is_not_no_condition() -> None:
    assert trackparse.read_log(OLD, where=Filter()).num_rows == 2
    assert trackparse.read_log(OLD, where=Filter(tracking_codes=[])).num_rows == 0


def test_a_record_without_an_app_is_of_no_app() -> None:
    assert trackparse.read_log(OLD, where=Filter(app_codes=["A-1", ""])).num_rows == 0
    assert list(trackparse.iter_events(OLD, where=Filter(app_codes=["A-1", ""]))) == []


@pytest.mark.parametrize("column", ["status", "appCode", "tracking_code"])
def test_dictionary_columns_can_be_filtered_by(column: str) -> None:
    where = Filter(statuses=["created", "sent"], app_codes=[ROWS[0][6]], tracking_codes={row[1] for row in ROWS})
    plain = trackparse.read_log(LOG, where=where, block_size=4096)
    encoded = trackparse.read_log(LOG, where=where, block_size=4096, dictionary=[column])
    assert encoded.to_pylist() == plain.to_pylist()
    assert plain.num_rows


def test_what_is_only_looked_at_is_not_handed_out() -> None:
    with trackparse.open_log(LOG, columns=["status"], where=Filter(statuses=["sent"], since=START)) as log:
        assert log.schema.names == ["status"]
        assert log.to_reader().read_all().schema == log.schema
    with pytest.raises(ValueError, match="at least one column"):
        trackparse.read_log(LOG, columns=[], where=Filter(statuses=["sent"]))


@pytest.mark.parametrize("block_size", [99, 1000, 1 << 20])
def test_an_event_knows_its_record_whatever_is_left_out(block_size: int) -> None:
    dice = random.Random(4)
    lines = [dice.choice((b"bad\n", line(b"no JSON", status=dice.choice((b"sent", b"opened"))))) for _ in range(900)]
    log = H8 + b"".join(lines)
    options: Any = {"on_error": "skip", "block_size": block_size}

    def places(events: Iterable[trackparse.Event]) -> list[str]:
        found = []
        for event in events:
            assert event.payload is not None
            with pytest.raises(trackparse.PayloadError) as caught:
                event.payload.check()
            found.append(f"{event.status}: {caught.value.message}")
        return found

    everything = places(trackparse.iter_events(log, **options))
    wanted = places(trackparse.iter_events(log, where=Filter(statuses=["opened"]), **options))
    assert wanted == [place for place in everything if place.startswith("opened")]
    assert len(wanted) > 100


def test_bad_records_are_bad_whatever_is_wanted() -> None:
    log = OLD + b"no record\n"
    with trackparse.open_log(log, where=Filter(statuses=["sent"]), on_error="quarantine") as reader:
        assert reader.read_all().num_rows == 1
        assert reader.rejects["raw"].to_pylist() == [b"no record\n"]
    with pytest.raises(trackparse.RecordError):
        trackparse.read_log(log, where=Filter(statuses=["sent"]))


def test_the_parquet_file_has_the_rows_that_were_wanted(tmp_path: Path) -> None:
    report = trackparse.convert_log(LOG, tmp_path / "log.parquet", where=Filter(statuses=["failed"]))
    failed = [row for row in ROWS if row[4] == "failed"]
    assert (report.records, report.filtered) == (len(failed), 600 - len(failed))
    assert pq.read_table(report.path)["hwid"].to_pylist() == [row[3] for row in failed]


@pytest.mark.parametrize("block_size", [1000, 1 << 20])
def test_row_groups_are_filled_with_the_rows_that_were_wanted(block_size: int, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    where = Filter(statuses=["sent"])
    bad = LOG.replace(b"\n", b"\nno record\n").partition(b"\n")[2]
    trackparse.convert_log(
        HEADER + bad, path, where=where, row_group_size=7, block_size=block_size, on_error="quarantine"
    )
    sent = [row[7] or None for row in ROWS if row[4] == "sent"]
    assert pq.read_table(path)["payload"].to_pylist() == sent
    groups = pq.ParquetFile(path).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups - 1)] == [7] * (len(sent) // 7)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"statuses": "opened"}, TypeError, r"\['opened'\]"),
        ({"tracking_codes": b"T-1"}, TypeError, "a list of strings"),
        ({"app_codes": 7}, TypeError, "app_codes=7: expected a list of strings"),
        ({"app_codes": ["A-1", None]}, TypeError, "app_codes: None is not a string"),
        ({"since": "2021-04-20"}, TypeError, "datetime"),
        ({"until": datetime(2021, 4, 20, tzinfo=UTC)}, ValueError, "no zone"),
    ],
)
def test_a_filter_that_is_none_says_so(arguments: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Filter(**arguments)  # type: ignore[arg-type]


def test_a_filter_travels_to_another_process() -> None:
    where = Filter(statuses=["opened"], until=START)
    assert pickle.loads(pickle.dumps(where)) == where  # noqa: S301
    assert hash(where) == hash(Filter(statuses={"opened"}, until=START))


def test_filtering_does_not_wait_for_pandas() -> None:
    code = (
        "import sys, datetime, trackparse as t\n"
        "where = t.Filter(['sent'], ['A-1'], ['T-1'], datetime.datetime(2021, 1, 1), datetime.datetime(2022, 1, 1))\n"
        f"with t.open_log({OLD!r}, where=where) as log: next(log)\n"
        "print('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_events_and_batches_look_at_each_condition_that_there_is() -> None:
    """A condition that one of them forgets would let through all records there."""
    log = HEADER + encode_row(ROWS[0])
    batch, event = trackparse.read_log(log).to_batches()[0], next(trackparse.iter_events(log))
    for field in dataclasses.fields(Filter):
        nothing: Any = {"since": datetime.max, "until": datetime.min}.get(field.name, ["none of the log"])
        condition = Filter(**{field.name: nothing})
        assert condition.columns, field.name
        assert condition.mask(batch).to_pylist() == [False], field.name
        assert not condition.matches(event), field.name
