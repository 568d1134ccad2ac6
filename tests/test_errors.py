"""Errors: what is wrong apart from what to do, and nothing of either lost on the way to another process."""

from __future__ import annotations

import copy
import inspect
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest

from support.cli import ROW, csv_of, failed, with_bad
from trackparse import errors, read_log
from trackparse.errors import ApiError, ArchiveError, HeaderError, Position, Reason, RecordError, TrackparseError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TrackparseError)]
PLACE = Position("log.csv", 3, 4, 512)


def made(kind: type[TrackparseError], advice: str) -> TrackparseError:
    if issubclass(kind, RecordError):
        return kind("log.csv: bad", PLACE, Reason.BAD_UTF8, b"\xff", advice=advice, option="limits")
    if issubclass(kind, ApiError):
        return kind("log.csv: bad", 404, advice=advice, option="limits")
    return kind("log.csv: bad", advice=advice, option="limits")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_what_is_wrong_apart_from_what_to_do(kind: type[TrackparseError]) -> None:
    error = made(kind, "fetch it again")
    assert (error.message, error.advice, error.option, str(error)) == (
        "log.csv: bad",
        "fetch it again",
        "limits",
        "log.csv: bad; fetch it again",
    )
    assert str(made(kind, "")) == "log.csv: bad"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_or_copied_error_has_lost_nothing(kind: type[TrackparseError], protocol: int) -> None:
    error = made(kind, "fetch it again")
    error.add_note("a note")
    sent = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301
    for other in (sent, copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))


def test_the_command_line_says_what_is_wrong_without_options_of_the_library(tmp_path: Path) -> None:
    log = with_bad(tmp_path / "bad.csv")
    with pytest.raises(RecordError) as caught:
        read_log(log)
    assert caught.value.advice == "on_error='quarantine' sets bad records aside and goes on"
    message = failed(3, "convert", log, "--strict")
    assert message == f"trackparse: {caught.value.message}\n"


def test_an_excel_workbook_says_to_export_it(tmp_path: Path) -> None:
    path = tmp_path / "log.xlsx"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("[Content_Types].xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"):
            file.writestr(name, "<xml/>")
    with path.open("rb") as stream:
        for source in (path, iter([stream.read()])):
            with pytest.raises(ArchiveError, match="Excel") as caught:
                read_log(source)
            assert caught.value.advice == "export it as CSV, with ';' between the fields"
    assert "members=" not in failed(1, "check", path)


def test_a_tar_archive_says_to_unpack_it(tmp_path: Path) -> None:
    path = tmp_path / "log.tar"
    with tarfile.open(path, "w") as file:
        file.add(csv_of(tmp_path / "log.csv", ROW), "log.csv")
    with pytest.raises(HeaderError) as caught:
        read_log(path)
    assert caught.value.advice == "it is a tar archive: unpack it first"
    assert failed(1, "check", path).endswith(f"{caught.value}\n".removeprefix(str(path.name)))
