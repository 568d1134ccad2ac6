"""Turns measurements into a table, budgets with their verdicts, a page's table, and a chart. Measures nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from benchmarks.budgets import Budget, Result, Results, Verdict, load
from benchmarks.contenders import BY_NAME, CONTENDERS, MAIN, Contender
from benchmarks.corpus import COMPARED

_MIB = 1 << 20
_GROUPS = {
    "scope": "trackparse, step by step",
    "rows": "ZIP to rows",
    "batches": "ZIP to Arrow batches or a data frame",
    "parquet": "ZIP to Parquet (zstd)",
    "small": "1,000 rows to Parquet, on the disk; one of a hundred in a process",
    "columns": "single columns",
    "members": "many members",
    "memory": "memory, and the first batch",
    "start": "starting",
}
_LOGS = {"today": "today's log", "old": "old log", "few": "few devices", "quotes": "quotes", "distinct": "distinct"}
# What is set beside what in the chart, for today's log.
_CHART = {
    "ZIP to Arrow batches": ("view", "batches", "pyarrow", "pandas", "duckdb", "polars"),
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

Right = Mapping[str, Mapping[str, int]]  # contender, dialect: rows of the compared log that came out right


# ---- table ------------------------------------------------------------------------------------------------


def table(results: Results, right: Right) -> Iterator[str]:
    """One line a contender and log: medians, ratios to inflating alone, peak memory, and the rows it reads right."""
    head = ("", "log", "wall s", "best", "x inflate", "CPU s", "rows/s", "peak MiB", "right: PHP", "RFC")
    lines: list[Sequence[str]] = []
    for group, title in _GROUPS.items():
        names = [one.name for one in CONTENDERS if one.group == group]
        members = [results[name, kind] for name in names for kind in _LOGS if (name, kind) in results]
        if members:
            lines += [(title,), *(_line(member, results, right) for member in members)]
    widths = [max(len(line[place]) for line in (head, *lines) if len(line) > 1) for place in range(len(head))]
    for line in (head, *lines):
        if len(line) == 1:
            yield ""
            yield line[0]
            continue
        first, *others = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join((first.strip().ljust(widths[0]), *others)).rstrip()


def _line(result: Result, results: Results, right: Right) -> Sequence[str]:
    contender = BY_NAME[result.name]
    wall = result.middle("wall")
    base = _fastest_inflate(results, result.kind)
    digits = 5 if contender.small else 3
    # An inflated byte is no row.
    speed = (
        ""
        if contender.gives in ("bytes", "nothing") or contender.once
        else f"{result.middle('amount') / wall / 1e6:.2f} M"
    )
    alike = contender.group in ("scope", "rows", "batches", "parquet") and contender.form != "bad"
    known = right.get(result.name, {}) if result.kind == "today" else {}
    return (
        f"  {contender.label}",
        _LOGS[result.kind],
        f"{wall:.{digits}f}",
        f"{min(run['wall'] for run in result.runs):.{digits}f}",
        f"{wall / base.middle('wall'):.2f}" if base and alike else "",
        f"{result.middle('cpu'):.{digits}f}",
        speed,
        f"{result.middle('rss') / _MIB:.0f}",
        *(f"{known[form] / COMPARED:.1%}" if form in known else "" for form in ("php", "rfc4180")),
    )


def _fastest_inflate(results: Results, kind: str = "today") -> Result | None:
    found = [result for (name, of), result in results.items() if of == kind and BY_NAME[name].gives == "bytes"]
    return min(found, key=lambda one: one.middle("wall"), default=None)


# ---- budgets ----------------------------------------------------------------------------------------------


def summary(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """One line a budget and log."""
    lines = []
    for verdict in verdicts:
        budget = verdict.budget
        what = f"{budget.what}, over {budget.than}" if budget.than else budget.what
        against = f" ({verdict.over})" if len(budget.over) > 1 and verdict.over else ""
        said = "met" if verdict.met else "missed" if verdict.value is not None else ""
        lines.append((f"{what}{against}".replace("`", ""), _LOGS[verdict.kind], verdict.shown, budget.bar, said))
    widths = [max(len(line[place]) for line in lines) for place in range(5)]
    for what, kind, value, bar, said in lines:
        cells = (what.ljust(widths[0]), kind.ljust(widths[1]), value.rjust(widths[2]), bar.ljust(widths[3]), said)
        yield "  ".join(cells).rstrip()


# ---- a page's table ---------------------------------------------------------------------------------------

MARKS = ("<!-- speed: python -m benchmarks --full --markdown writes this -->", "<!-- /speed -->")
HEAD = ("what", "over", "today's log", "old log", "few devices", "bar")


def write_markdown(page: Path, verdicts: Sequence[Verdict], right: Right, caption: str) -> None:
    """Put the table between the marks of the page. ValueError if it has none."""
    text = page.read_text(encoding="utf-8")
    before, first, rest = text.partition(MARKS[0])
    _, last, after = rest.partition(MARKS[1])
    if not first or not last:
        raise ValueError(f"{page}: expected the lines {MARKS[0]!r} and {MARKS[1]!r}, in this order")
    lines = "\n".join(markdown(verdicts, right, caption))
    page.write_text(f"{before}{first}\n{lines}\n{last}{after}", encoding="utf-8")


def markdown(verdicts: Sequence[Verdict], right: Right, caption: str) -> Iterator[str]:
    """A table of all budgets, a row each, with its three logs beside each other, and what it was measured with."""
    found = {(verdict.budget, verdict.kind): verdict for verdict in verdicts}
    yield _row(HEAD)
    yield _row("---" for _ in HEAD)
    for budget in load():
        yield _row((budget.what, budget.than, *_cells(budget, found), budget.bar))
    yield ""
    yield f"{caption}."
    peers = [f"{_named(BY_NAME[name])} {rows['php'] / COMPARED:.1%}" for name, rows in right.items()]
    yield ""
    yield f"Right of {COMPARED:,} rows of today's log as PHP writes them: {', '.join(peers)}."


def _named(contender: Contender) -> str:
    return f"trackparse {contender.label.lstrip('+')}" if contender.ours else contender.label


def _cells(budget: Budget, found: Mapping[tuple[Budget, str], Verdict]) -> Iterator[str]:
    """The values for the three logs. One that was measured on a log of its own stands under today's."""
    kinds = BY_NAME[budget.of].kinds
    for kind in MAIN if set(kinds) <= set(MAIN) else (*kinds, *MAIN[1:]):
        verdict = found.get((budget, kind))
        yield verdict.shown if verdict else ""


def _row(cells: Iterator[str] | Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


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
    base = _fastest_inflate(results)
    groups = {
        title: [results[name, "today"] for name in names if (name, "today") in results]
        for title, names in _CHART.items()
    }
    if base is not None:
        next(iter(groups.values())).insert(0, base)
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
    kind = "ours" if contender.ours else "base" if contender.gives == "bytes" else "bar"
    label = _named(contender)
    width = max(1.0, wall * scale)
    yield f'<text x="{_LEFT - 10}" y="{y + 16}" text-anchor="end">{escape(label)}</text>'
    yield f'<rect class="{kind}" x="{_LEFT}" y="{y + 3}" width="{width:.1f}" height="{_ROW - 6}" rx="2"/>'
    yield f'<text x="{_LEFT + width + 6:.1f}" y="{y + 16}">{wall:.2f} s</text>'
