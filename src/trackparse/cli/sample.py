"""``trackparse sample``: writes a made-up log."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from trackparse.cli.output import Command, counted, escaped, megabytes, say


@click.command(cls=Command)
@click.argument("out", type=click.Path())
@click.option("--rows", type=click.IntRange(min=0), required=True, metavar="N", help="Records to write.")
@click.option(
    "--dialect",
    type=click.Choice(["php", "rfc4180"]),
    default="php",
    show_default=True,
    help="How quotes are written.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same number gives the same log.")
def sample(out: str, rows: int, dialect: Literal["php", "rfc4180"], seed: int) -> None:
    """Write a made-up log of N records to OUT, a ZIP.

    \b
    Examples:
      trackparse sample tracking_log.zip --rows 1000
      trackparse sample other.zip --rows 1000 --seed 7 --dialect rfc4180
    """
    from trackparse.testing.sample import write_sample

    write_sample(out, rows=rows, dialect=dialect, seed=seed)
    say(f"{escaped(out)}: {counted(rows, 'row')}, {megabytes(Path(out).stat().st_size)}")
