"""The DAG of docs/nightly.md: the day that it asks for is the one that Airflow's own timetable gives it."""

from __future__ import annotations

import functools
import os
import re
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from trackparse.testing import TOKEN, FakeService

PAGE = (Path(__file__).parents[2] / "docs" / "nightly.md").read_text(encoding="utf-8")
YESTERDAY = str(datetime.now(UTC).date() - timedelta(days=1))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the block defines, and the folder that it writes to. Airflow reads its settings when it is imported."""
    home = tmp_path_factory.mktemp("airflow")
    os.environ.update(AIRFLOW_HOME=str(home), AIRFLOW_VAR_PUSH_TOKEN=TOKEN, AIRFLOW__CORE__LOAD_EXAMPLES="False")
    pytest.importorskip("airflow.sdk", reason="Airflow is not installed: make recipes")
    found = re.search(r"<!-- airflow -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found
    code = found[1].replace("/srv/push", str(home)).replace("\npush_logs()\n", "\nmade = push_logs()\n")
    names: dict[str, Any] = {"__name__": "nightly", "folder_of_the_test": home}
    exec(compile(code, "nightly.md", "exec"), names)  # noqa: S102
    return names


@pytest.fixture(scope="module")
def timetable(page: dict[str, Any]) -> Any:
    """That of the scheduler, which gets the DAG serialised."""
    DagSerialization = import_module("airflow.serialization.serialized_objects").DagSerialization  # noqa: N806
    return DagSerialization.from_dict(DagSerialization.to_dict(page["made"])).timetable


def moment(*numbers: int) -> Any:
    return import_module("pendulum").datetime(*numbers)


def since(*numbers: int) -> Any:
    return import_module("airflow.timetables.base").TimeRestriction(moment(*numbers), None, catchup=True)


def error_without_another_try() -> type[Exception]:
    found: type[Exception] = import_module("airflow.sdk.exceptions").AirflowFailException
    return found


def asked_for(page: dict[str, Any], interval: Any) -> str:
    """The argument of the task in a run over an interval, as Airflow renders it."""
    (argument,) = page["made"].get_task("fetch_log").op_args
    return str(page["made"].get_template_env().from_string(argument).render(data_interval_start=interval.start))


def test_a_run_asks_for_the_day_before(page: dict[str, Any], timetable: Any) -> None:
    last, runs = None, []
    for _ in range(3):
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=since(2021, 4, 20))
        last = info.data_interval
        runs.append((info.run_after.isoformat(), asked_for(page, last)))
    assert runs == [
        ("2021-04-21T03:30:00+00:00", "2021-04-20"),
        ("2021-04-22T03:30:00+00:00", "2021-04-21"),
        ("2021-04-23T03:30:00+00:00", "2021-04-22"),
    ]


def test_a_run_by_hand_asks_for_the_day_before(page: dict[str, Any], timetable: Any) -> None:
    interval = timetable.infer_manual_data_interval(run_after=moment(2021, 4, 21, 9))
    assert asked_for(page, interval) == "2021-04-20"


def test_a_plain_cron_line_would_ask_for_today(page: dict[str, Any]) -> None:
    """What the page says of it, and why it names a timetable."""
    plain = import_module("airflow.timetables.trigger").CronTriggerTimetable("30 3 * * *", timezone="UTC")
    info = plain.next_dagrun_info(last_automated_data_interval=None, restriction=since(2021, 4, 20))
    assert asked_for(page, info.data_interval) == str(info.run_after.date()) == "2021-04-20"


def test_the_task_writes_the_log_of_its_day(page: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeService(rows=50) as service:
        client = functools.partial(page["TrackingLogClient"], base_url=service.url, allow_http=True)
        monkeypatch.setitem(page, "TrackingLogClient", client)
        written = page["fetch_log"].function(YESTERDAY)
        assert written == str(page["folder_of_the_test"] / f"{YESTERDAY}.parquet")
        assert any(YESTERDAY in str(request.body) for request in service.requests)


def test_a_day_that_is_gone_is_not_tried_again(page: dict[str, Any]) -> None:
    with pytest.raises(error_without_another_try(), match="14 days"):
        page["fetch_log"].function("2021-04-20")


def test_a_wrong_token_is_not_tried_again(page: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeService(rows=50, token="another") as service:
        client = functools.partial(page["TrackingLogClient"], base_url=service.url, allow_http=True)
        monkeypatch.setitem(page, "TrackingLogClient", client)
        with pytest.raises(error_without_another_try()):
            page["fetch_log"].function(YESTERDAY)
