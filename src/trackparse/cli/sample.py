"""``trackparse sample``: writes made-up logs."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal

import click

from trackparse.cli.output import Command, counted, escaped, say, with_unit

_LAST = "2021-04-20"


@click.command(cls=Command)
@click.argument("out", type=click.Path())
@click.option("--rows", type=click.IntRange(min=0), required=True, metavar="N", help="Records to write into each log.")
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="Day of the log, over which its rows are spread. [default: an hour or so of 2021-04-20]",
)
@click.option(
    "--days",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Write a log for each of N days up to --date, or to {_LAST}: OUT is then a folder, for DATE.zip.",
)
@click.option(
    "--dialect",
    type=click.Choice(["php", "rfc4180"]),
    default="php",
    show_default=True,
    help="How quotes are written.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same number gives the same log.")
def sample(
    out: str, rows: int, day: datetime | None, days: int | None, dialect: Literal["php", "rfc4180"], seed: int
) -> None:
    """Write a made-up log of N records to OUT, a ZIP.

    \b
    Examples:
      trackparse sample tracking_log.zip --rows 1000
      trackparse sample logs --days 30 --date 2026-03-30 --rows 5000
      trackparse sample other.zip --rows 1000 --seed 7 --dialect rfc4180
    """
    from trackparse.testing.sample import write_sample

    if days is None:
        write_sample(out, rows=rows, dialect=dialect, seed=seed, date=day.date() if day else None)
        say(f"{escaped(out)}: {counted(rows, 'row')}, {with_unit(Path(out).stat().st_size)}")
        return
    last = day.date() if day else date.fromisoformat(_LAST)
    if (last - date.min).days < days:
        raise click.UsageError(f"--days {days}: so many days before {last} have no date; give fewer")
    Path(out).mkdir(parents=True, exist_ok=True)
    size = 0
    for number in reversed(range(days)):
        name = last - timedelta(days=number)
        path = Path(out) / f"{name}.zip"
        write_sample(path, rows=rows, dialect=dialect, seed=seed, date=name)
        size += path.stat().st_size
    say(f"{escaped(out)}: {counted(days, 'log')} of {counted(rows, 'row')} each, {with_unit(size)}")
