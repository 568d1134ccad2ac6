"""Options that several commands have. An option means the same in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from difflib import get_close_matches
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import click
from click.shell_completion import CompletionItem

from trackparse import OptionError
from trackparse.cli.output import warn
from trackparse.schema import COLUMNS, PAYLOAD_TYPES

if TYPE_CHECKING:
    from trackparse import Filter
    from trackparse.columns.payload import PayloadColumns

Dialect = Literal["auto", "php", "rfc4180"]
# What types of a payload column are called elsewhere.
_OTHER_TYPES = {
    *("str", "text", "utf8", "varchar", "boolean", "int", "integer", "long", "bigint", "smallint", "short", "byte"),
    *("float", "double", "real", "number", "numeric", "decimal", "date", "datetime", "time", "timestamp", "json"),
}
Command = TypeVar("Command", bound=Callable[..., Any])


class Moment(click.ParamType):  # type: ignore[type-arg] # generic in newer versions only
    """A date, or a date with a time, without a zone."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment. A date alone means midnight, when that day begins."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time: expected 2021-04-20 or '2021-04-20 13:01:01'", param, ctx)
        if moment.tzinfo is not None:
            self.fail(f"{value!r} has a zone, but the timestamps of a log have no zone: leave it out", param, ctx)
        return moment


def _statuses(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from trackparse import Status

    return [CompletionItem(status) for status in Status if status.startswith(incomplete)]


def list_completed(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """What completes the last name of a list: those of these names that it does not have yet."""
    *before, begun = incomplete.split(",")
    return [CompletionItem(",".join([*before, n])) for n in names if n.startswith(begun) and n not in before]


def _columns(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return list_completed(COLUMNS, incomplete)


def _column(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in COLUMNS if name.startswith(incomplete)]


def _column_names(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise click.BadParameter(f"{value!r}: expected names with commas between them, each name once")
    return names


def _payload_columns(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> PayloadColumns | None:
    if not values:
        return None
    from trackparse.columns.payload import payload_columns_of  # imported late: --help does not need pyarrow

    try:
        columns = payload_columns_of(values)
    except OptionError as error:
        raise click.BadParameter(error.message) from None
    for value in values:
        _, colon, word = value.rpartition(":")
        if colon and word not in PAYLOAD_TYPES and _looks_like_type(word):
            warn(
                f"--payload {value}: {word!r} is not a type, so it is taken as part of the key; the types are "
                f"{', '.join(PAYLOAD_TYPES)}"
            )
    return columns


def _looks_like_type(word: str) -> bool:
    """Whether somebody may have meant a type, whose name is another one."""
    word = word.lower()
    return word in _OTHER_TYPES or bool(get_close_matches(word, PAYLOAD_TYPES, n=1, cutoff=0.8))


# For the completion of file names. It must not check the file: "-" and URLs are not files, and one that cannot be read
# does not stop the others.
log_argument = click.argument("log", type=click.Path(readable=False))
logs_argument = click.argument("logs", metavar="LOG...", type=click.Path(readable=False), nargs=-1, required=True)
dialect_option = click.option(
    "--dialect",
    type=click.Choice(get_args(Dialect)),
    default="auto",
    show_default=True,
    help="How quotes are written.",
)
columns_option = click.option(
    "--columns",
    metavar="A,B",
    callback=_column_names,
    shell_complete=_columns,
    help="Names of the columns to keep, in that order. [default: all]",
)
payload_option = click.option(
    "--payload",
    "payload_columns",
    multiple=True,
    metavar="NAME=/KEY/KEY[:TYPE]",
    callback=_payload_columns,
    help=f"Another column: the value under these keys of the payload, text or a TYPE ({', '.join(PAYLOAD_TYPES)}); "
    "may be repeated.",
)
bloom_filter_option = click.option(
    "--bloom-filter",
    "bloom_filters",
    multiple=True,
    metavar="COLUMN",
    shell_complete=_column,
    help="Write a Bloom filter of this column, such as tracking_code or hwid: queries for one of its values read less; "
    "may be repeated.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON instead of text; nothing is shortened.")
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="No progress bar, and no lines but about what went wrong."
)
strict_option = click.option("--strict", is_flag=True, help="Stop at the first bad record, with exit code 3.")

keep_partial_option = click.option(
    "--keep-partial", is_flag=True, help="Keep the records before the damage of an archive; exit code 4."
)


def options_of(strict: bool, keep_partial: bool, others: dict[str, Any]) -> dict[str, Any]:
    """The options of ``trackparse.convert_log``. It has its own defaults for what was not given."""
    given = {name: value for name, value in others.items() if value is not None}
    return {"on_error": "raise" if strict else "quarantine", "on_damage": "keep" if keep_partial else "raise", **given}


def filter_options(command: Command) -> Command:
    """Add the options of a filter to a command, which gets them as ``where``: a ``Filter``, or None."""

    @wraps(command)
    def filtered(
        *,
        statuses: tuple[str, ...],
        apps: tuple[str, ...],
        codes: tuple[str, ...],
        since: datetime | None,
        until: datetime | None,
        **others: Any,
    ) -> Any:
        return command(where=_filter(statuses, apps, codes, since, until), **others)

    for option in reversed(
        (
            click.option(
                "--status",
                "statuses",
                multiple=True,
                metavar="STATUS",
                shell_complete=_statuses,
                help="Only records with this status; may be repeated.",
            ),
            click.option(
                "--app",
                "apps",
                multiple=True,
                metavar="CODE",
                help="Only records of this application; may be repeated.",
            ),
            click.option(
                "--code",
                "codes",
                multiple=True,
                metavar="T-...",
                help="Only records with this tracking code; may be repeated.",
            ),
            click.option(
                "--since",
                type=Moment(),
                help="Only records of this TIME or later.",
            ),
            click.option("--until", type=Moment(), help="Only records before this TIME."),
        )
    ):
        filtered = option(filtered)
    return filtered  # type: ignore[return-value]


def _near(status: str) -> str:
    from trackparse import Status
    from trackparse.errors import suggestion

    return suggestion(status, [known.value for known in Status])


def _filter(
    statuses: tuple[str, ...],
    apps: tuple[str, ...],
    codes: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
) -> Filter | None:
    if since is not None and until is not None and since >= until:
        raise click.UsageError(f"--since {since} is not before --until {until}: nothing can be between them")
    if not (statuses or apps or codes or since or until):
        return None
    from trackparse import Filter, Status

    for status in statuses:
        if status not in tuple(Status):
            # Not an error: a log may hold a status that nobody has listed, and a filter may ask for it.
            warn(f"--status {status}: not a known status, so there may be no such records{_near(status)}")
    return Filter(statuses or None, apps or None, codes or None, since, until)
