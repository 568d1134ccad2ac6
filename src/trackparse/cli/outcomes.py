"""How the conversion of one log ended, and the lines that say so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trackparse.cli.exits import Exit, exit_for, gravest
from trackparse.cli.output import counted, escaped, line_of, megabytes, misfits_line, say, warn
from trackparse.cli.progress import Bar
from trackparse.convert.outputs import Output
from trackparse.signals import signals_held

if TYPE_CHECKING:
    from trackparse import ConversionReport


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the conversion of one log ended.

    code: its exit code.
    done: the line that says what was written; empty if nothing was.
    warnings: lines that say what went wrong.
    """

    code: Exit
    done: str = ""
    warnings: tuple[str, ...] = ()


def convert(source: Any, name: str, dest: Output, rejects: Output | None, **options: Any) -> Outcome:
    """Convert a log, which messages call ``name``. Bad records go to ``rejects``; with None they are errors."""
    import trackparse

    with signals_held():  # imports modules, some of which turn the exception of a signal into another error
        convert_log = trackparse.convert_log
    return outcome_of(convert_log(source, dest, rejects=rejects, **options), name)


def outcome_of(report: ConversionReport, name: str) -> Outcome:
    """The outcome that a report tells of: what to print, and the exit code."""
    if report.error is not None:
        return failure(report.error, name)
    warnings = []
    if report.rejected:
        warnings.append(f"{name}: {counted(report.rejected, 'bad record')} set aside in {report.rejects_path}")
    if report.misfits:
        warnings.append(misfits_line(name, report.misfits))
    if report.damage is not None:
        warnings.append(f"{line_of(report.damage, name)}; the records before the damage were kept")
    code = Exit.DONE if report.damage is None else Exit.PARTIAL
    return Outcome(code, _done(report, name), tuple(warnings))


def _done(report: ConversionReport, name: str) -> str:
    rows = counted(report.records, "row")
    place = escaped(str(report.path))
    if report.files != (report.path,):
        place = f"{name}: {counted(len(report.files), 'file')} in {place}"
    if report.skipped:
        return f"{place}: {rows}, converted before"
    if report.filtered:
        rows = f"{report.records:,} of {counted(report.records + report.filtered, 'row')}"
    sizes = f"{megabytes(report.bytes_in)} -> {megabytes(report.bytes_out)}"
    return f"{place}: {rows}, {sizes}, {report.seconds:.2f} s"


def failure(error: Exception, name: str) -> Outcome:
    """The outcome of a log that was not converted because of an expected error."""
    return Outcome(exit_for(error), warnings=(line_of(error, name),))


def tell(outcomes: Iterable[Outcome], bar: Bar, *, quiet: bool) -> Exit:
    """Print how each conversion ended, as they come. Returns the exit code for all of them."""
    codes = []
    failed = 0
    for outcome in outcomes:
        codes.append(outcome.code)
        failed += not outcome.done
        with bar.aside():
            for line in outcome.warnings:
                warn(line)
            if outcome.done and not quiet:
                say(outcome.done)
    if failed and len(codes) > 1:
        with bar.aside():
            warn(f"{failed} of {len(codes)} logs not converted")
    return gravest(codes)
