"""Logs of several days, whose messages go on from one day to the next: ``python tests/support/days.py FOLDER``."""

from __future__ import annotations

import sys
import zipfile
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

from trackparse.schema import COLUMNS
from trackparse.testing.sample import encode_row, sample_rows

_START = datetime(2021, 4, 20)
# Twenty thousand made-up records are a quarter of an hour of a busy service: here three days of a quiet one.
_ROWS = 20_000
_SLOWER = 240


def write_days(folder: Path) -> list[Path]:
    """A ZIP a day, ``2021-04-20.zip`` and so on. Equal versions of trackparse give equal bytes."""
    folder.mkdir(exist_ok=True)
    days: defaultdict[str, list[bytes]] = defaultdict(list)
    for stamp, *rest in sample_rows(_ROWS):
        time = _START + (datetime.fromisoformat(stamp) - _START) * _SLOWER
        # Not all of one second: each of them would stand for four minutes.
        time += timedelta(seconds=_number(rest) % _SLOWER)
        days[str(time.date())].append(encode_row((str(time), *rest)))
    paths = []
    for day, rows in days.items():
        paths.append(folder / f"{day}.zip")
        with zipfile.ZipFile(paths[-1], "w", compresslevel=1) as archive:
            # With a fixed time: the bytes must not depend on the clock.
            member = zipfile.ZipInfo("tracking_log.csv", (2021, 4, 23, 0, 0, 0))
            archive.writestr(member, f"//{';'.join(COLUMNS)}\n".encode() + b"".join(rows), zipfile.ZIP_DEFLATED)
    return paths


def _number(fields: list[str]) -> int:
    """The same for all records of a device, in every process."""
    return int(fields[2][:4], 16)


if __name__ == "__main__":
    print(*write_days(Path(sys.argv[1])), sep="\n")
