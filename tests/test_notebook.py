"""What objects show in a notebook: what is in them, with nothing of a log as markup, and without reading it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import trackparse
from support.logs import H8
from trackparse.testing.sample import encode_row, write_sample

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">&amp;\x1b[2J\u202e'
TAGS = {"div", "b", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre"}
WIDEST = 60  # characters of a cell


class Page(HTMLParser):
    """The tags of a piece of HTML, and its texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.cells: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open
        self.text = " ".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert [name for name, _ in attrs] in ([], ["style"])
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open[-1] in ("td", "th"):
            self.cells.append(data)


def page_of(shown: Any) -> Page:
    page = Page(shown._repr_html_())
    assert set(page.tags) <= TAGS
    assert all(char.isprintable() or char == "\n" for char in page.text)
    assert max(map(len, page.cells), default=0) <= WIDEST
    return page


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write_sample(tmp_path / "log.zip", rows=3_000)
    return tmp_path / "log.zip"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A log in which everything that a log chooses is markup: names, columns, values, bad records."""
    path = tmp_path / f"{HOSTILE.replace('/', '')}.csv"
    header = H8.rstrip(b"\n") + b";" + re.sub('[";]', "", HOSTILE).encode() + b"\n"
    row = ("2021-04-20 13:01:01", *[HOSTILE] * 6, json.dumps({HOSTILE: HOSTILE}), HOSTILE * 1000)
    path.write_bytes(header + encode_row(row) + HOSTILE.encode() + b"\n" + encode_row(row))
    return path


def test_a_reader_shows_itself_and_is_not_read_by_that(log: Path) -> None:
    with trackparse.open_log(log, block_size=20_000) as reader:
        assert "0 records so far" in page_of(reader).text
        seen = next(reader).num_rows
        page = page_of(reader)
        assert f"{seen:,} records so far" in page.text
        assert {"8 columns", "payload", "timestamp[us]"} <= set(page.texts)
        assert seen + reader.read_all().num_rows == 3_000
        assert "3,000 records so far" in page_of(reader).text
    assert "closed" in page_of(reader).text


def test_rejects_are_shown_with_their_reasons(hostile: Path) -> None:
    with trackparse.open_log(hostile, on_error="quarantine") as reader:
        reader.read_all()
        page = page_of(reader)
    assert {"field_count", "the number of fields is not the header's"} <= set(page.cells)
    assert "2 records, 1 rejected so far" in page.text


def test_an_error_is_shown(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-20_000])
    with trackparse.open_log(log) as reader, pytest.raises(trackparse.TruncatedError):
        reader.read_all()
    assert "TruncatedError: " in page_of(reader).text


def test_a_dataset_shows_rows_and_calls_nobody(log: Path) -> None:
    told: list[object] = []
    days = trackparse.dataset([log], columns=["status", "hwid"], progress=told.append)
    page = page_of(days)
    assert not told
    assert page.cells[:2] == ["status", "hwid"]
    assert page.cells[2:12:2] == days.head(5)["status"].to_pylist()
    assert "LogDataset of 1 log" in page.text


def test_a_dataset_looks_at_a_little_only(tmp_path: Path) -> None:
    write_sample(tmp_path / "log.zip", rows=30_000)
    nothing = trackparse.dataset(tmp_path / "log.zip", where=trackparse.Filter(statuses=["nothing"]))
    page = page_of(nothing)
    [looked_at] = re.findall(r"([\d,]+) filtered out", page.text)
    assert 1_000 < int(looked_at.replace(",", "")) < 15_000


def test_a_dataset_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(b"<html>502</html>\n")
    days = trackparse.dataset(tmp_path / "log.csv")
    assert "HeaderError: " in page_of(days).text
    (tmp_path / "log.csv").unlink()
    assert "FileNotFoundError: " in page_of(days).text


def test_many_columns_are_cut(tmp_path: Path) -> None:
    names = ";".join(f"c{number}" for number in range(500))
    (tmp_path / "log.csv").write_text(f"//timestamp;tracking_code;{names}\n2021-04-20 13:01:01{';x' * 501}\n")
    page = page_of(trackparse.dataset(tmp_path / "log.csv"))
    assert "more columns" in page.text
    assert len(page.cells) < 300


def test_nothing_of_a_log_is_markup(hostile: Path, tmp_path: Path) -> None:
    report = trackparse.convert_log(hostile, tmp_path / f"{HOSTILE.replace('/', '')}.parquet", on_error="quarantine")
    shown: list[Any] = [trackparse.dataset(hostile), report]
    shown += list(trackparse.iter_events(hostile, on_error="skip"))
    for one in shown:
        page = page_of(one)
        assert "<script>" in page.text
        assert len(one._repr_html_()) < 60_000


def test_a_report_shows_what_was_written(log: Path, tmp_path: Path) -> None:
    report = trackparse.convert_log(log, tmp_path / "log.parquet")
    page = page_of(report)
    assert "3,000 records" in page.text
    assert "bytes_inflated" in page.cells
    assert "rejected" not in page.text
    (tmp_path / "no.csv").write_bytes(b"<html>502</html>\n")
    [failed] = trackparse.convert_logs([tmp_path / "no.csv"], tmp_path / "lake")
    assert "HeaderError: " in page_of(failed).text


def test_an_event_and_its_payload(log: Path) -> None:
    event = next(trackparse.iter_events(log))
    assert event.payload is not None
    page = page_of(event)
    assert {"tracking_code", event.tracking_code, "app_code"} <= set(page.cells)
    assert json.loads(page.texts[-1]) == dict(event.payload)
    assert page_of(event.payload).texts[-1] == page.texts[-1]


@pytest.mark.parametrize(
    "payload", ["not JSON", "[" * 2000, '{"a":' * 1000 + "1" + "}" * 1000, '{"a":"' + "x" * 100_000 + '"}']
)
def test_a_payload_of_any_kind_is_shown(payload: str, tmp_path: Path) -> None:
    row = ("2021-04-20 13:01:01", "T-1", "u", "d", "sent", "", "A", payload)
    [event] = trackparse.iter_events(H8 + encode_row(row))
    html = event._repr_html_()
    page = page_of(event)
    assert len(html) < 100_000
    assert payload[:5] in re.sub(r"\s", "", page.text) or payload[:5] in page.text


# ---- docs/notebook.ipynb


NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "notebook.ipynb"


def test_the_notebook_of_the_documentation_runs_and_its_outputs_are_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its cells, one after the other, without a kernel: `make notebook` has one, and stores the outputs."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.chdir(tmp_path)
    pyplot.switch_backend("agg")
    drawn = 0
    names: dict[str, Any] = {}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert cell["execution_count"], "not run: make notebook"
        exec("".join(cell["source"]), names)  # noqa: S102
        printed = ["".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream"]
        assert capsys.readouterr().out == "".join(printed)
        drawn += sum("image/png" in output.get("data", {}) for output in cell["outputs"])
        assert not [output for output in cell["outputs"] if output["output_type"] == "error"]
    assert drawn == len(pyplot.get_fignums()) == 2
    pyplot.close("all")
    shown = [names["days"], names["event"], names["reports"][0]]
    assert all(page_of(one).text for one in shown)


@pytest.mark.parametrize("before", [b"\n", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("columns", [None, ["status", "log"]])
def test_a_log_whose_header_comes_late_is_not_read_for_it(before: bytes, columns: list[str] | None) -> None:
    log = before * (6 << 20) + H8 + encode_row(("2021-04-20 13:01:01", "T", "u", "h", "sent", "", "A", "{}"))
    assert "no header in the first 4 MiB" in page_of(trackparse.dataset(log, columns=columns)).text
