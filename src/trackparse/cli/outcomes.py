"""How the conversion of one log ended, and the lines that say so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trackparse.cli.exits import Exit, exit_for, gravest
from trackparse.cli.output import abandon_output, counted, escaped, line_of, misfits_line, say, warn, with_unit
from trackparse.cli.progress import Bar

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
        place = f"{escaped(name)}: {counted(len(report.files), 'file')} in {place}"
    if report.skipped:
        return f"{place}: {rows}, converted before"
    if report.filtered:
        rows = f"{report.records:,} of {counted(report.records + report.filtered, 'row')}"
    sizes = f"{with_unit(report.bytes_in)} -> {with_unit(report.bytes_out)}"
    return f"{place}: {rows}, {sizes}, {report.seconds:.2f} s"


def failure(error: Exception, name: str) -> Outcome:
    """The outcome of a log that was not converted because of an expected error."""
    return Outcome(exit_for(error), warnings=(line_of(error, name),))


class Telling:
    """Prints how each conversion ended, as they come."""

    def __init__(self, bar: Bar, *, quiet: bool) -> None:
        self._bar = bar
        self._quiet = quiet
        self._codes: list[Exit] = []
        self._failed = 0

    def add(self, outcome: Outcome) -> None:
        """Print how one of them ended."""
        self._codes.append(outcome.code)
        self._failed += not outcome.done
        with self._bar.aside():
            for line in outcome.warnings:
                warn(line)
            if outcome.done and not self._quiet:
                try:
                    say(outcome.done)
                except BrokenPipeError:
                    abandon_output()  # nobody reads it, but the other logs are to be converted all the same

    def end(self) -> Exit:
        """The exit code for all of them. If there are several, a line says how many failed."""
        if self._failed and len(self._codes) > 1:
            with self._bar.aside():
                warn(f"{self._failed} of {len(self._codes)} logs not converted")
        return gravest(self._codes)


def tell(outcomes: Iterable[Outcome], bar: Bar, *, quiet: bool) -> Exit:
    """Print how each conversion ended, as they come. Returns the exit code for all of them."""
    telling = Telling(bar, quiet=quiet)
    for outcome in outcomes:
        telling.add(outcome)
    return telling.end()
