"""Turns measurements into a table, ratios with their bars, and a chart. Measures nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import Any

from benchmarks.contenders import BY_NAME, CONTENDERS

_MIB = 1 << 20
_GROUPS = {
    "scope": "trackparse, step by step",
    "rows": "ZIP to rows",
    "batches": "ZIP to Arrow batches or a data frame",
    "parquet": "ZIP to Parquet (zstd)",
    "start": "the first batch of a long log",
    "memory": "memory",
}
# What is set beside what in the chart.
_CHART = {
    "ZIP to Arrow batches": ("inflate", "view", "string", "pyarrow", "pandas", "duckdb", "polars"),
    "ZIP to events, or rows": ("events", "csv", "dict"),
    "ZIP to Parquet (zstd)": (
        "parquet",
        "client",
        "pyarrow-parquet",
        "pandas-parquet",
        "duckdb-parquet",
        "polars-parquet",
    ),
}


@dataclass(frozen=True, slots=True)
class Result:
    """All runs of one contender."""

    name: str
    runs: tuple[Mapping[str, Any], ...]
    right: Mapping[str, int]  # by dialect: rows of the compared log that came out right

    def middle(self, what: str) -> float:
        """The median of ``what`` over the runs."""
        return median(float(run[what]) for run in self.runs)


Results = Mapping[str, Result]


# ---- table ------------------------------------------------------------------------------------------------


def table(results: Results, compared: int) -> Iterator[str]:
    """One line a contender: medians, ratios to inflating alone, peak memory, and the rows it reads right."""
    base = results.get("inflate")
    head = ("", "log", "wall s", "best", "x inflate", "CPU s", "x inflate", "rows/s", "peak MiB", "right: PHP", "RFC")
    lines: list[Sequence[str]] = []
    for group, title in _GROUPS.items():
        members = [results[one.name] for one in CONTENDERS if one.group == group and one.name in results]
        if members:
            lines += [(title,), *(_line(member, base, compared) for member in members)]
    widths = [max(len(line[place]) for line in (head, *lines) if len(line) > 1) for place in range(len(head))]
    for line in (head, *lines):
        if len(line) == 1:
            yield ""
            yield line[0]
            continue
        first, *others = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join((first.strip().ljust(widths[0]), *others))


def _line(result: Result, base: Result | None, compared: int) -> Sequence[str]:
    contender = BY_NAME[result.name]
    wall, cpu = result.middle("wall"), result.middle("cpu")
    # An inflated byte is no row.
    speed = "" if contender.kind == "bytes" else f"{result.middle('amount') / wall / 1e6:.2f} M"
    alike = base is not None and contender.log not in ("long", "times8")
    right = [f"{result.right[of] / compared:.1%}" if of in result.right else "" for of in ("php", "rfc4180")]
    return (
        f"  {contender.label}",
        {"php": "PHP", "rfc4180": "RFC", "bad": "PHP, bad", "long": "PHP, long", "times8": "PHP x8"}[contender.log],
        f"{wall:.3f}",
        f"{min(run['wall'] for run in result.runs):.3f}",
        f"{wall / base.middle('wall'):.2f}" if base and alike else "",
        f"{cpu:.3f}",
        f"{cpu / base.middle('cpu'):.2f}" if base and alike else "",
        speed,
        f"{result.middle('rss') / _MIB:.0f}",
        *right,
    )


# ---- summary ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """A ratio that matters, and whether it is what it should be."""

    what: str
    value: float | None  # None: not measured in this run
    bar: float | None = None  # None: for information
    at_least: bool = False
    unit: str = ""

    @property
    def good(self) -> bool | None:
        """None where there is nothing to say."""
        if self.value is None or self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar


def verdicts(results: Results) -> list[Verdict]:
    """The ratios that matter, medians over the turns of each turn's; of what was not run they have no value."""

    def over(one: str, other: str, what: str = "wall") -> float | None:
        if one not in results or other not in results:
            return None
        turns = zip(results[one].runs, results[other].runs, strict=True)
        return median(float(run[what]) / float(base[what]) for run, base in turns)

    def own(name: str, what: str) -> float | None:
        return results[name].middle(what) if name in results else None

    first, whole, peak = own("first-batch", "first"), own("first-batch", "wall"), own("memory", "rss")
    rivals = _rivals(results)
    fastest = min(rivals, key=lambda name: results[name].middle("wall"), default="")
    return [
        Verdict("batches (string_view) over inflate, wall", over("view", "inflate"), 1.15),
        Verdict("batches (string) over inflate, wall", over("string", "inflate"), 1.25),
        Verdict("batches (string) over pyarrow open_csv, wall", over("string", "pyarrow"), 0.50),
        Verdict("batches (string) over pyarrow open_csv, CPU", over("string", "pyarrow", "cpu"), 0.45),
        Verdict("PHP log over RFC 4180 log, wall", over("string", "rfc4180"), 1.10),
        Verdict("2 of 8 columns over all, wall", over("narrow", "string")),
        Verdict("2 of 8 columns over inflate, wall", over("narrow", "inflate")),
        Verdict("events/s over csv.reader's rows/s", over("csv", "events"), 4, at_least=True),
        Verdict("events/s over csv.DictReader's rows/s", over("dict", "events"), 5, at_least=True),
        Verdict(f"Parquet over the fastest peer ({fastest or 'none'}), wall", over("parquet", fastest), 0.65),
        Verdict("Parquet from a server over Parquet from the disk, wall", over("client", "parquet"), 1.10),
        Verdict("Parquet's size over pyarrow's default", over("parquet", "default-file", "size"), 1.02),
        Verdict("quarantine, 1 % bad over none, wall", over("bad", "clean"), 1.5),
        Verdict("first batch over the whole read, wall", first / whole if first and whole else None, 0.05),
        Verdict("peak RSS of convert_log, 8x the rows over 1x", over("memory", "parquet", "rss"), 1.10),
        Verdict("peak RSS of convert_log, 8x the rows", peak / _MIB if peak else None, 250, unit=" MiB"),
    ]


def _rivals(results: Results) -> list[str]:
    """Peers that write Parquet. That they are right on their log was checked before."""
    return [name for name in results if BY_NAME[name].group == "parquet" and not BY_NAME[name].ours]


def summary(found: Sequence[Verdict]) -> Iterator[str]:
    """One line a verdict."""
    width = max(len(verdict.what) for verdict in found)
    for verdict in found:
        value = "not run" if verdict.value is None else f"{verdict.value:.3g}{verdict.unit}"
        bar = "" if verdict.bar is None else f"{'>=' if verdict.at_least else '<='} {verdict.bar:g}{verdict.unit}"
        good = {None: "", True: "yes", False: "NO"}[verdict.good]
        yield f"{verdict.what.ljust(width)}  {value:>10}  {bar:>11}  {good}".rstrip()


# ---- chart ------------------------------------------------------------------------------------------------

_WIDTH, _LEFT, _ROW = 760, 250, 24  # pixels
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.bar { fill: #9aa4ae }
.ours { fill: #1f6feb }
.base { fill: #d0d7de }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .bar { fill: #6e7681 }
  .ours { fill: #58a6ff }
  .base { fill: #3d444d }
}
"""


def chart(results: Results, caption: str) -> str:
    """The wall medians as an SVG, one group of bars a job."""
    groups = {title: [results[name] for name in names if name in results] for title, names in _CHART.items()}
    longest = max((one.middle("wall") for group in groups.values() for one in group), default=1.0)
    scale = (_WIDTH - _LEFT - 70) / longest
    lines: list[str] = []
    y = 20
    for title, members in groups.items():
        if not members:
            continue
        lines.append(f'<text class="title" x="0" y="{y}">{escape(title)}</text>')
        y += 10
        for member in members:
            lines += _bar(member, y, scale)
            y += _ROW
        y += 26
    lines.append(f'<text x="0" y="{y - 6}">{escape(caption)}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 4}" width="{_WIDTH}" role="img">'
    return "\n".join((head, f"<title>Seconds; shorter is better</title><style>{_STYLE}</style>", *lines, "</svg>", ""))


def _bar(member: Result, y: int, scale: float) -> Iterator[str]:
    contender, wall = BY_NAME[member.name], member.middle("wall")
    kind = "ours" if contender.ours else "base" if contender.name == "inflate" else "bar"
    label = f"trackparse {contender.label.lstrip('+')}" if contender.ours else contender.label
    width = max(1.0, wall * scale)
    yield f'<text x="{_LEFT - 10}" y="{y + 16}" text-anchor="end">{escape(label)}</text>'
    yield f'<rect class="{kind}" x="{_LEFT}" y="{y + 3}" width="{width:.1f}" height="{_ROW - 6}" rx="2"/>'
    yield f'<text x="{_LEFT + width + 6:.1f}" y="{y + 16}">{wall:.2f} s</text>'
