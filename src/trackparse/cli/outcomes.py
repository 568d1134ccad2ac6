"""What became of one log that was to be Parquet, and how that is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trackparse.cli.exits import Exit, exit_for, gravest
from trackparse.cli.output import counted, megabytes, one_line, printable, say, warn
from trackparse.cli.progress import Bar
from trackparse.cli.signals import held

if TYPE_CHECKING:
    from trackparse import ConversionReport


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended."""

    code: Exit
    done: str = ""  # the line that says what was written
    complaints: tuple[str, ...] = ()


def rejects_beside(dest: Path) -> Path:
    """Where bad records go, unless told otherwise."""
    return dest.with_suffix(".rejects.jsonl")


def convert(source: Any, name: str, dest: Path, rejects: Path | None, **options: Any) -> Outcome:
    """Convert what messages call ``name``; bad records go to ``rejects``, where there may be any."""
    import trackparse

    with held():  # it is imported now, and others' modules make another error of a signal
        convert_log = trackparse.convert_log
    report = convert_log(source, dest, rejects=rejects, **options)
    complaints = []
    if report.rejected:
        complaints.append(f"{name}: {counted(report.rejected, 'bad record')} set aside in {report.rejects_path}")
    if report.damage is not None:
        complaints.append(f"{one_line(report.damage, name)}; what stands before that was kept")
    code = Exit.DONE if report.damage is None else Exit.PARTIAL
    return Outcome(code, _done(report), tuple(complaints))


def _done(report: ConversionReport) -> str:
    rows = counted(report.records, "row")
    if report.filtered:
        rows = f"{report.records:,} of {counted(report.records + report.filtered, 'row')}"
    sizes = f"{megabytes(report.bytes_in)} -> {megabytes(report.bytes_out)}"
    return f"{printable(str(report.path))}: {rows}, {sizes}, {report.seconds:.2f} s"


def failure(error: Exception, name: str) -> Outcome:
    """The outcome where an expected error was all that came of it."""
    return Outcome(exit_for(error), complaints=(one_line(error, name),))


def tell(outcomes: Iterable[Outcome], bar: Bar, *, quiet: bool) -> Exit:
    """Say of each how it ended, as it comes; the code for all of them."""
    codes = []
    failed = 0
    for outcome in outcomes:
        codes.append(outcome.code)
        failed += not outcome.done
        with bar.aside():
            for line in outcome.complaints:
                warn(line)
            if outcome.done and not quiet:
                say(outcome.done)
    if failed and len(codes) > 1:
        with bar.aside():
            warn(f"{failed} of {len(codes)} logs not converted")
    return gravest(codes)
