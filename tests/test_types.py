"""Type checkers find wrong uses of the library, and nothing wrong in right ones or in the examples of the docs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    "README.md",
    *(
        f"docs/{name}.md"
        for name in (
            "usage",
            "client",
            "asyncio",
            "start",
            "comparison",
            "from-pandas",
            "hostile",
            "mending",
            "stability",
        )
    ),
]
# A type checker complains about exactly the lines that end with "# wrong".
USES = """
import datetime
import io
from pathlib import Path

import trackparse
from trackparse.client import TrackingLogClient

trackparse.open_log(12345)  # wrong
trackparse.opn_log("log.zip")  # wrong
trackparse.open_log("log.zip")
trackparse.open_log(io.StringIO())  # wrong
trackparse.open_log(Path("log.zip"), columns=["status"], dialect="php")
trackparse.open_log(b"", where=trackparse.Filter(statuses=["opened"]))
trackparse.open_log(io.BytesIO(), on_error="quarantine", limits=trackparse.Limits(max_members=1))
trackparse.open_log(iter([b""]), progress=print, on_rejects=None)
trackparse.open_log("log.zip", dialect="PHP")  # wrong
trackparse.open_log("log.zip", on_eror="skip")  # wrong
trackparse.open_log("log.zip", limits={})  # wrong
trackparse.open_log("log.zip", progress=1)  # wrong
trackparse.open_log("log.zip", where={"status": "opened"})  # wrong
trackparse.open_log("log.zip", compression="zstd")  # wrong
trackparse.read_log(None)  # wrong
trackparse.read_log("log.zip", block_size=1 << 16, string_type="string_view", dictionary=["status"], members=None)

for event in trackparse.iter_events("log.zip"):
    event.payload["aps"]  # wrong
    if event.payload is not None:
        event.payload["aps"]
    if event.payload:
        event.payload["aps"]["alert"]
    moment: datetime.datetime = event.timestamp
    event.status = "sent"  # wrong

reports: list[trackparse.ConversionReport] = trackparse.convert_logs(["a.zip", Path("days")], "lake", jobs=2)
trackparse.convert_logs("days", Path("lake"), existing="replace", on_report=print, on_error="quarantine")
trackparse.convert_logs("days", "lake", partition_by=("date", "appCode"))
trackparse.convert_logs("days", "lake", partition_by=5)  # wrong
trackparse.convert_logs("days", "lake", existing="keep")  # wrong
trackparse.convert_logs("days", "lake", on_eror="skip")  # wrong

days = trackparse.dataset("days", columns=["status", "log"], on_damage="keep")
trackparse.dataset([Path("a.zip"), b"", "*.csv"], on_error="skip")
trackparse.dataset(Path("days").glob("*.zip"))
trackparse.dataset(5)  # wrong
trackparse.dataset("days", on_damage="skip")  # wrong
trackparse.dataset("days", compression="zstd")  # wrong
names: list[str] = days.files
count: int = days.count_rows(where=None)
days.head(5, columns=["status"])
days.head(5, colums=["status"])  # wrong

report = trackparse.convert_log("log.zip", "log.parquet", compression="zstd", rejects=Path("x.jsonl"), on_damage="keep")
facts: dict[str, str | int | float | list[str] | None] = report.to_dict()
trackparse.convert_log("log.zip", 1)  # wrong
trackparse.convert_log("log.zip", io.StringIO())  # wrong
trackparse.convert_log(Path("log.zip").open("rb"), Path("log.parquet").open("wb"))
trackparse.convert_log("log.zip", "log.parquet", on_damage="skip")  # wrong

trackparse.client.TrackingLogClent("token")  # wrong
trackparse.aio.batches(b"")  # wrong
trackparse.polars.scan_log("days", colums=["status"])  # wrong
trackparse.polars.scan_log("days", columns=["status"])
trackparse.testing.FakeService(row=5)  # wrong

with TrackingLogClient("token") as client:
    client.convert("2021-04-20", "log.parquet", on_error="skip")
    client.convert("2021-04-20", "log.parquet", on_eror="skip")  # wrong
    client.open_log(None, columns=["status"])
    client.open_log(None, colums=["status"])  # wrong

try:
    trackparse.read_log("log.zip")
except trackparse.RecordError as error:
    line: int = error.position.line
    print(error.reason.explanation, error.advice)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uses, and each example of the docs as a module."""
    path = tmp_path_factory.mktemp("types")
    (path / "uses.py").write_text(USES, encoding="utf-8")
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for number, code in enumerate(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)):
            (path / f"{Path(page).stem.lower()}{number}.py").write_text(code, encoding="utf-8")
    return path


def marked() -> set[tuple[str, int]]:
    return {("uses.py", number) for number, text in enumerate(USES.splitlines(), 1) if text.endswith("# wrong")}


def test_mypy_finds_the_wrong_uses_and_no_others(folder: Path) -> None:
    pytest.importorskip("mypy")
    settings = ["--strict", "--config-file", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-m", "mypy", *settings, *map(str, sorted(folder.glob("*.py")))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    found = re.findall(r"([^/\s]+\.py):(\d+): error", done.stdout)
    assert {(name, int(number)) for name, number in found} == marked(), done.stdout + done.stderr


def test_pyright_finds_the_wrong_uses_and_no_others(folder: Path) -> None:
    pytest.importorskip("pyright")
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--outputjson",
        "--pythonpath",
        sys.executable,
        *map(str, sorted(folder.glob("*.py"))),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [one for one in found if one["severity"] == "error"]
    places = {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in errors}
    assert places == marked(), json.dumps(errors, indent=1)
