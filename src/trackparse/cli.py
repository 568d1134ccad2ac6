"""The command line: arguments in, lines out. Whatever is more than that the library does."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

try:
    import click
except ModuleNotFoundError:
    raise SystemExit("trackparse: the command line needs click: pip install 'trackparse[cli]'") from None

# The library is imported inside the commands: --help need not wait for pyarrow.
from trackparse import __version__
from trackparse.errors import Position, TrackparseError

if TYPE_CHECKING:
    import pyarrow as pa

    from trackparse import Event

__all__ = ["main"]

_ROWS_ALIGNED_AT_ONCE = 100  # memory of head does not grow with N
_WIDEST = 24  # characters of one column of head's text; tokens are far longer
_WIDEST_LAST = 80


class _Commands(click.Group):
    """Turns every expected error into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            # A reader that has gone away is met here, not when the interpreter exits.
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except KeyboardInterrupt:
            ctx.exit(130)
        except (TrackparseError, OSError, ValueError) as error:
            click.echo(f"trackparse: {_one_line(error)}", err=True)
            ctx.exit(1)
        return result


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


_log_argument = click.argument("log", type=click.Path(path_type=Path))
_dialect_option = click.option(
    "--dialect",
    type=click.Choice(["auto", "php", "rfc4180"]),
    default="auto",
    show_default=True,
    help="How quotes are written.",
)


@click.group(cls=_Commands)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Read push-tracking logs: a CSV in a ZIP, a CSV, or a gzipped CSV."""


@cli.command()
@_log_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Parquet file to write. [default: beside the log, with the suffix .parquet]",
)
@click.option("--columns", metavar="A,B", help="Columns to keep, by name. [default: all]")
@click.option(
    "--on-error",
    type=click.Choice(["raise", "quarantine", "skip"]),
    default="quarantine",
    show_default=True,
    help="What a bad record does: ends the run, is reported with its place, is counted.",
)
@_dialect_option
@click.option("--compression", default="zstd", show_default=True, help="Codec of the Parquet file.")
@click.option("--row-group-size", type=click.IntRange(min=1), metavar="ROWS", help="Rows of one row group.")
def convert(
    log: Path,
    output: Path | None,
    columns: str | None,
    on_error: Literal["raise", "quarantine", "skip"],
    dialect: Literal["auto", "php", "rfc4180"],
    compression: str,
    row_group_size: int | None,
) -> None:
    """Write LOG as Parquet."""
    import trackparse

    output = output or _beside(log)
    if output.exists() and log.exists() and output.samefile(log):
        raise click.UsageError(f"{output} is the log itself: name another file with -o")
    # What is not given is the library's to choose.
    given: dict[str, Any] = {}
    if columns is not None:
        given["columns"] = [name.strip() for name in columns.split(",")]
    if row_group_size is not None:
        given["row_group_size"] = row_group_size
    report = trackparse.convert_log(
        log, output, on_error=on_error, dialect=dialect, compression=compression, **given
    )
    if report.rejected:
        rejected = _counted(report.rejected, "bad record")
        click.echo(f"trackparse: {rejected} left out{_first(report.rejects)}", err=True)
    click.echo(
        f"{report.path}: {_counted(report.records, 'row')}, "
        f"{_megabytes(report.bytes_in)} -> {_megabytes(report.bytes_out)}, {report.seconds:.2f} s"
    )


def _beside(log: Path) -> Path:
    if log.suffix == ".gz":
        log = log.with_suffix("")
    return log.with_suffix(".parquet")


def _first(rejects: pa.Table) -> str:
    if not rejects.num_rows:
        return ""  # "skip" only counts them
    first = rejects.slice(0, 1).to_pylist()[0]
    position = Position(first["member"], first["record"], first["line"], first["byte_offset"])
    return f"; the first: {position}: {first['reason']}"


@cli.command()
@_log_argument
@click.option("-n", "--rows", type=click.IntRange(min=0), default=10, show_default=True, metavar="N")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, nothing shortened.")
@_dialect_option
def head(log: Path, rows: int, as_json: bool, dialect: Literal["auto", "php", "rfc4180"]) -> None:
    """Print the first events of LOG."""
    import trackparse

    with trackparse.open_log(log, on_error="skip", dialect=dialect, block_size=1 << 16) as reader:
        events = islice(reader.events(), rows)
        for line in map(_json_line, events) if as_json else _aligned(events):
            click.echo(line)
        if reader.stats.rejected:
            # Met, not skipped: some may stand after the last row printed, a block is read whole.
            met = _counted(reader.stats.rejected, "bad record")
            click.echo(f"trackparse: {met} met and left out", err=True)


def _fields(event: Event) -> dict[str, Any]:
    return {
        "timestamp": event.timestamp.isoformat(" "),
        "tracking_code": event.tracking_code,
        "target_id": event.target_id,
        "hwid": event.hwid,
        "status": str(event.status),
        "description": event.description,
        "appCode": event.app_code,
        "payload": event.payload,
    }


def _json_line(event: Event) -> str:
    from trackparse.errors import PayloadError

    fields = _fields(event)
    if event.payload is not None:
        try:
            fields["payload"] = dict(event.payload)
        except PayloadError:
            fields["payload"] = event.payload.text
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def _aligned(events: Iterator[Event]) -> Iterator[str]:
    """A header and a row an event; a column widens where it must and never narrows."""
    widths: list[int] = []
    while batch := list(islice(events, _ROWS_ALIGNED_AT_ONCE)):
        rows = [_cells(_fields(event)) for event in batch]
        if not widths:
            rows.insert(0, tuple(_fields(batch[0])))
            widths = [0] * len(rows[0])
        cells_of_columns = zip(*rows, strict=True)
        widths = [
            max(width, *map(len, cells)) for width, cells in zip(widths, cells_of_columns, strict=True)
        ]
        for row in rows:
            yield "  ".join(map(str.ljust, row, widths)).rstrip()


def _cells(fields: dict[str, Any]) -> tuple[str, ...]:
    payload = fields.pop("payload")
    cells = [_shortened(_printable(value or ""), _WIDEST) for value in fields.values()]
    text = "" if payload is None else _printable(payload.text)
    if len(text) > _WIDEST_LAST:
        text = f"{text[: _WIDEST_LAST - 1]}…"
    return (*cells, text)


def _shortened(text: str, width: int) -> str:
    """Both ends of a token tell it from others; its middle does not."""
    if len(text) <= width:
        return text
    half = (width - 1) // 2
    return f"{text[: width - 1 - half]}…{text[-half:]}"


def _printable(text: str) -> str:
    """A log must not break lines or steer the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


@cli.command()
@_log_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@_dialect_option
def stats(log: Path, as_json: bool, dialect: Literal["auto", "php", "rfc4180"]) -> None:
    """Count what is in LOG."""
    facts = _facts(log, dialect)
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    statuses = {
        f"  {_printable(status) or '(empty)'}": f"{count:,}" for status, count in facts["statuses"].items()
    }
    lines = {
        "records": f"{facts['records']:,}",
        "rejected": f"{facts['rejected']:,}",
        **{f"  {reason}": f"{count:,}" for reason, count in facts["reasons"].items()},
        "blank lines": f"{facts['blank_lines']:,}",
        "bytes read": f"{facts['bytes_read']:,}",
        "bytes inflated": f"{facts['bytes_inflated']:,}",
        "members": f"{facts['members']:,}",
        "first": facts["first"] or "-",
        "last": facts["last"] or "-",
        "status": "",
        **statuses,
    }
    width = max(map(len, lines))
    for name, value in lines.items():
        click.echo(f"{name.ljust(width)}  {value}".rstrip())


def _facts(log: Path, dialect: Literal["auto", "php", "rfc4180"]) -> dict[str, Any]:
    from collections import Counter

    import pyarrow.compute as pc

    import trackparse

    statuses: Counter[str] = Counter()
    first = last = None
    with trackparse.open_log(
        log, columns=["timestamp", "status"], on_error="quarantine", dialect=dialect
    ) as reader:
        for batch in reader:
            if not batch.num_rows:
                continue
            span = pc.min_max(batch["timestamp"]).as_py()
            first = span["min"] if first is None else min(first, span["min"])
            last = span["max"] if last is None else max(last, span["max"])
            for entry in pc.value_counts(batch["status"]).to_pylist():
                statuses[entry["values"] or ""] += entry["counts"]
        reasons = Counter(reader.rejects["reason"].to_pylist())
        counted = reader.stats
        return {
            "records": counted.records,
            "rejected": counted.rejected,
            "reasons": dict(reasons.most_common()),
            "blank_lines": counted.blank_lines,
            "bytes_read": counted.bytes_read,
            "bytes_inflated": counted.bytes_inflated,
            "members": counted.members,
            "first": None if first is None else first.isoformat(" "),
            "last": None if last is None else last.isoformat(" "),
            "statuses": dict(statuses.most_common()),
        }


@cli.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--rows", type=click.IntRange(min=0), required=True, metavar="N")
@click.option(
    "--dialect",
    type=click.Choice(["php", "rfc4180"]),
    default="php",
    show_default=True,
    help="How quotes are written.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another number, another log.")
def sample(out: Path, rows: int, dialect: Literal["php", "rfc4180"], seed: int) -> None:
    """Write a made-up log of N records to OUT, a ZIP."""
    from trackparse.sample import write_sample

    write_sample(out, rows=rows, dialect=dialect, seed=seed)
    click.echo(f"{out}: {_counted(rows, 'row')}, {_megabytes(out.stat().st_size)}")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def main() -> None:
    """Run the command line; the console entry point."""
    # What the terminal cannot show must not end the run.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    cli(prog_name="trackparse")


if __name__ == "__main__":
    main()
