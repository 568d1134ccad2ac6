"""What notebooks show of schemas, counts, records and rejects, as HTML. Opens nothing, reads nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from trackparse.display import counted, escaped, html_details, html_line, html_table
from trackparse.errors import Reason
from trackparse.records.stream import Stats

if TYPE_CHECKING:
    import pyarrow as pa

ROWS: Final = 5  # records, or rejects, that are shown
_NAMES_MOST: Final = 100  # columns of a schema
_PREVIEW: Final = 200  # bytes of a bad record that are looked at
_REASONS: Final = {reason.value: reason.explanation for reason in Reason}


def schema_html(schema: pa.Schema) -> str:
    """The columns with their types, folded up."""
    names = schema.names
    rows = [(name, str(kind)) for name, kind in zip(names[:_NAMES_MOST], schema.types, strict=False)]
    more = html_line(f"and {counted(len(names) - len(rows), 'more column')}") if len(names) > len(rows) else ""
    return html_details(counted(len(names), "column"), html_table(("column", "type"), rows) + more)


def stats_html(stats: Stats) -> str:
    """Numbers of records, and then all other counts that are not 0, folded up."""
    found = [(field.name.replace("_", " "), getattr(stats, field.name)) for field in fields(Stats)]
    return html_details("counts", html_table(("", ""), [(name, number) for name, number in found if number]))


def records_line(stats: Stats) -> str:
    """``1,000 records, 3 rejected``."""
    words = [counted(stats.records - stats.filtered, "record")]
    words += [f"{stats.filtered:,} filtered out"] if stats.filtered else []
    words += [f"{stats.rejected:,} rejected"] if stats.rejected else []
    return ", ".join(words)


def rows_html(table: pa.Table) -> str:
    """The first rows of a table."""
    few = table.slice(0, ROWS)
    columns = [column.to_pylist() for column in few.columns]
    return html_table(few.schema.names, zip(*columns, strict=True))


def rejects_html(rejects: pa.Table) -> str:
    """Why records are bad, how many for each reason, and where the first ones stand; empty if there are none."""
    if not rejects.num_rows:
        return ""
    reasons = Counter(reason for chunk in rejects["reason"].chunks for reason in chunk.to_pylist())
    why = [(reason, count, _REASONS.get(reason, "")) for reason, count in reasons.most_common()]
    few = rejects.slice(0, ROWS).to_pylist()
    first = html_table(
        ("member", "line", "reason", "raw"), [(row["member"], row["line"], row["reason"], _raw(row)) for row in few]
    )
    return html_table(("rejected", "", ""), why) + html_details("the first of them", first)


def _raw(row: dict[str, bytes]) -> str:
    return escaped(row["raw"][:_PREVIEW].decode(errors="backslashreplace"))
