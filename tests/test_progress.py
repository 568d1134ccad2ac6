"""``progress``: one shape for waiting, downloading and reading, and a bar for True."""

from __future__ import annotations

import datetime
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

import trackparse
from support.service import client_of
from trackparse.bars import OneLine, cut
from trackparse.testing import FakeService
from trackparse.testing.sample import write_sample

YESTERDAY = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("progress")
    for name in ("a.zip", "b.zip"):
        write_sample(folder / name, rows=300)
    return sorted(folder.iterdir())


def test_a_dataset_says_which_of_its_logs_is_read(logs: list[Path]) -> None:
    told: list[trackparse.Progress] = []
    table = trackparse.dataset(logs, progress=told.append, block_size=20_000).to_table()
    assert {(progress.name, progress.number, progress.count) for progress in told} == {
        (str(logs[0]), 1, 2),
        (str(logs[1]), 2, 2),
    }
    assert told[-1].stats.records == table.num_rows == 600
    assert told[-1].bytes_read == told[-1].bytes_total == sum(path.stat().st_size for path in logs)
    elapsed = [progress.elapsed for progress in told]
    assert elapsed == sorted(elapsed)


def test_the_client_tells_of_waiting_and_of_reading_by_one_function(tmp_path: Path) -> None:
    told: list[trackparse.Progress] = []
    with FakeService(rows=300, ready_after=2) as service, client_of(service) as client:
        client.convert(YESTERDAY, tmp_path / "log.parquet", progress=told.append)
        service.ready_after = 1
        first = YESTERDAY - datetime.timedelta(days=1)
        days = list(client.convert_days(first, YESTERDAY, tmp_path, progress=told.append))
    steps = [(progress.step, progress.name, progress.number, progress.count) for progress in told]
    assert list(dict.fromkeys(steps)) == [
        ("waiting", str(YESTERDAY), 1, 1),
        ("reading", str(YESTERDAY), 1, 1),
        *((step, str(day), number, 2) for number, day in enumerate(days, 1) for step in ("waiting", "reading")),
    ]
    assert [progress.attempts for progress in told[:2]] == [1, 2]
    assert all(progress.pause > 0 for progress in told if progress.step == "waiting")


@pytest.mark.parametrize("wrong", [1, "yes"])
def test_the_client_refuses_what_is_no_progress(wrong: object) -> None:
    with FakeService(rows=1) as service, client_of(service) as client:
        with pytest.raises(TypeError, match="expected True, or a function that takes a"):
            client.poll("id", progress=wrong)  # type: ignore[arg-type]
        assert not service.requests


def test_without_rich_a_bar_is_an_error_that_says_how_to_get_it(logs: list[Path]) -> None:
    code = f"""
import sys
sys.modules["rich"] = None
import trackparse
print(trackparse.read_log({str(logs[0])!r}, progress=False).num_rows)
trackparse.read_log({str(logs[0])!r}, progress=True)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout == "300\n"
    assert (
        run.stderr.splitlines()[-1] == "ImportError: progress=True needs rich: pip install 'trackparse-pushwoosh[cli]'"
    )


def test_a_bar_is_drawn_on_a_terminal_only(logs: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    assert trackparse.read_log(logs[0], progress=True).num_rows == 300
    assert capfd.readouterr() == ("", "")


WIDTHS = (5, 12, 20, 40, 60, 80, 120, 200)


@pytest.mark.parametrize("total", [None, 4_800_000_000])
@pytest.mark.parametrize("title", ["counting", "2021-04-20: waiting, 12 s, 2 of 3", "проверка/журнал-日志.zip" * 5])
def test_a_bar_is_one_line_in_any_width(title: str, total: int | None) -> None:
    for width in WIDTHS:
        console = Console(width=width, force_terminal=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
        with console.file:
            drawing = OneLine(console)
            drawing.add_task(title, total=total, completed=1_234_567_890)
            lines = console.render_lines(drawing.get_renderable(), pad=False)
        texts = ["".join(segment.text for segment in line).rstrip() for line in lines]
        assert len(texts) == 1, (width, texts)
        assert cell_len(texts[0]) <= width
        assert texts[0][:2] == title[:2]
        if width >= 20:
            assert ("26%" in texts[0]) == (total is not None), (width, texts)
        if width >= 80 and len(title) < 40:
            assert ("1.2/4.8 GB" if total else "1.2/? GB") in texts[0]


def test_what_is_cut_keeps_both_ends() -> None:
    assert cut("T-4491-287DE33F-72AF44E6", 9) == "T-44…44E6"
    assert cut("T-4491", 6) == "T-4491"
    assert [cell_len(cut("日志日志日志日志", width)) for width in range(1, 9)] <= [*range(1, 9)]


def test_what_a_narrow_terminal_says_of_waiting() -> None:
    with open(os.devnull, "w") as file:  # noqa: PTH123
        console = Console(width=40, force_terminal=True, file=file)
        drawing = OneLine(console)
        drawing.add_task("2021-04-20, 2 of 3: waiting, 12 s", total=None)
        [line] = console.render_lines(drawing.get_renderable(), pad=False)
    assert "".join(segment.text for segment in line).rstrip() == "2021-04-20, 2 of 3: waiting, 12 s"


def drawn_on_terminal(work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What comes to a terminal of 60 cells that is standard error."""
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "60"}.items():
        monkeypatch.setenv(name, value)
    ours, theirs = pty.openpty()
    screen: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # nobody holds the other end any more
            while data := os.read(ours, 1 << 16):
                screen.append(data)

    reading = Thread(target=read)
    reading.start()
    with os.fdopen(theirs, "w", encoding="utf-8", buffering=1) as output, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", output)
        work()
    reading.join()
    os.close(ours)
    return b"".join(screen)


def read_half(log: Path) -> trackparse.LogReader:
    reader = trackparse.open_log(log, progress=True, block_size=10_000)
    for _ in range(4):
        next(reader)
    return reader


@pytest.mark.parametrize(
    "work",
    [
        lambda log: trackparse.read_log(log, progress=True),
        lambda log: trackparse.convert_log(log, log.parent / "log.parquet", progress=True),
        lambda log: read_half(log).close(),
        lambda log: read_half(log) and None,  # dropped
    ],
    ids=["read", "converted", "closed", "dropped"],
)
def test_a_bar_goes_when_its_log_does(
    work: Callable[[Path], object], logs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = drawn_on_terminal(lambda: work(logs[0]), monkeypatch)
    assert b"a.zip" in screen
    assert screen.count(b"\x1b[?25l") == screen.count(b"\x1b[?25h") == 1
    assert screen.endswith(b"\x1b[2K")


def test_the_bar_of_the_client_is_there_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeService(rows=20, ready_after=2) as service, client_of(service) as client:
        good = drawn_on_terminal(lambda: client.open_log(YESTERDAY, progress=True).read_all(), monkeypatch)
        service.ready_after = 1_000

        def wait_in_vain() -> None:
            with pytest.raises(trackparse.NotReadyError):
                client.open_log(YESTERDAY, progress=True, deadline=0.5)

        bad = drawn_on_terminal(wait_in_vain, monkeypatch)
    for screen in (good, bad):
        assert f"{YESTERDAY}: waiting, ".encode() in screen
        assert screen.count(b"\x1b[?25l") == screen.count(b"\x1b[?25h") == 1


def test_a_bar_in_a_notebook_stays_as_it_was_last(logs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("IPython")
    drawn: list[str] = []

    class Handle:
        def update(self, shown: Any) -> None:
            drawn.append(shown.data)

    def display(shown: Any, *, display_id: bool) -> Handle:
        drawn.append(shown.data)
        return Handle()

    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    trackparse.dataset(logs, progress=True).to_table()
    assert len(drawn) >= 2
    assert "b.zip, 2 of 2" in drawn[-1]
    assert "100%" in drawn[-1]
    assert drawn[-1].startswith("<pre")
