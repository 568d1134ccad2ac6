"""The options of reading and of converting, written out once: names, types, defaults, checks. Opens nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, TypedDict, get_args

from trackparse.columns.filters import Filter
from trackparse.limits import Limits
from trackparse.records.stream import OnError, Stats
from trackparse.sources.source import Source

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_SIZE: Final = 1 << 20  # bytes: a block, its index and its columns stay in the second-level cache
# Rows: about 46 MB of log. In larger row groups more values repeat, which saves time and space; two are in memory.
ROW_GROUP_SIZE: Final = 1 << 17

Dialect: TypeAlias = Literal["auto", "php", "rfc4180"]
StringType: TypeAlias = Literal["string", "string_view"]
OnDamage: TypeAlias = Literal["raise", "keep"]


class BinaryFile(Protocol):
    """A file open for reading bytes; it need not be able to seek."""

    def read(self, size: int, /) -> Any:
        """At most ``size`` bytes, none at the end."""


# What a log can be read from.
LogSource: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | BinaryFile
    | Iterable[bytes]
    | Iterable[bytearray]
    | Iterable[memoryview]
    | Source
)


class ReadOptions(TypedDict, total=False):
    """The options of ``open_log``, and of everything else that reads a log.

    columns: names of the columns to make, in this order. None: all.
    where: a ``Filter``. Good records that do not meet it are left out and counted; bad records are as without it.
    dialect: ``"auto"``, ``"php"`` or ``"rfc4180"``.
    on_error: what becomes of a bad record. ``"raise"`` a ``RecordError``; ``"quarantine"`` it in ``rejects`` and go on;
        ``"skip"``: count it and go on.
    on_rejects: called with record batches of bad records as they come, with the columns of ``LogReader.rejects``, which
        then stays empty. For ``on_error="quarantine"``.
    string_type: ``"string"``, or ``"string_view"`` for values that point into the block.
    dictionary: names of the columns to hand out dictionary-encoded.
    block_size: bytes of the log in a batch, about; 1 byte to 1 GiB. A batch is what one inflated block completes.
    members: names or patterns of the files in the archive to read. None: every ``*.csv``.
    limits: bounds for hostile input.
    progress: called with ``Stats`` after each block.
    """

    columns: Iterable[str] | None
    where: Filter | None
    dialect: Dialect
    on_error: OnError
    on_rejects: Callable[[pa.RecordBatch], object] | None
    string_type: StringType
    dictionary: Iterable[str]
    block_size: int
    members: Iterable[str] | None
    limits: Limits
    progress: Callable[[Stats], object] | None


class ConvertOptions(ReadOptions, total=False):
    """The options of ``convert_log``: those of ``open_log``, and these.

    compression: a codec of Parquet, ``"zstd"`` unless told otherwise.
    row_group_size: rows of a row group; it has fewer where their text, each repeated value counted once, fills 32 MiB.
    rejects: a file for bad records, ``*.parquet`` or ``*.jsonl``. For ``on_error="quarantine"``.
    on_damage: ``"raise"`` the error of a damaged archive, or ``"keep"`` all records that could be read: those before
        the damage, and those of the archive's other members.
    """

    compression: str
    row_group_size: int
    rejects: str | os.PathLike[str] | None
    on_damage: OnDamage


READ_DEFAULTS: Final[ReadOptions] = {
    "columns": None,
    "where": None,
    "dialect": "auto",
    "on_error": "raise",
    "on_rejects": None,
    "string_type": "string",
    "dictionary": (),
    "block_size": BLOCK_SIZE,
    "members": None,
    "limits": Limits(),
    "progress": None,
}
CONVERT_DEFAULTS: Final[ConvertOptions] = {
    **READ_DEFAULTS,
    "compression": "zstd",
    "row_group_size": ROW_GROUP_SIZE,
    "rejects": None,
    "on_damage": "raise",
}
_CHOICES: Final = {
    "dialect": get_args(Dialect),
    "on_error": get_args(OnError),
    "string_type": get_args(StringType),
    "on_damage": get_args(OnDamage),
}
_NAMES: Final = ("columns", "dictionary", "members")  # options that are several names
# Kind of value, and how to say it; None counts as not given where it is the default.
_KINDS: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "where": (lambda value: isinstance(value, Filter), "a trackparse.Filter, such as Filter(statuses=['opened'])"),
    "on_rejects": (callable, "a function that takes a record batch"),
    "block_size": (lambda value: isinstance(value, int), "a number of bytes"),
    "limits": (lambda value: isinstance(value, Limits), "a trackparse.Limits"),
    "progress": (callable, "a function that takes trackparse.Stats"),
    "compression": (lambda value: isinstance(value, str), "the name of a codec, such as 'zstd'"),
    "row_group_size": (lambda value: isinstance(value, int), "a number of rows"),
    "rejects": (lambda value: isinstance(value, str | os.PathLike), "a path"),
}


def read_options(given: ReadOptions) -> ReadOptions:
    """The options with their defaults. TypeError for an unknown name or a wrong kind, else ValueError."""
    options: ReadOptions = _checked(given, READ_DEFAULTS)
    return options


def convert_options(given: ConvertOptions) -> ConvertOptions:
    """The same for those of ``convert_log``."""
    options: ConvertOptions = _checked(given, CONVERT_DEFAULTS)
    if options["row_group_size"] < 1:
        raise ValueError(f"row_group_size={options['row_group_size']}: expected at least one row")
    return options


def read_part(options: ConvertOptions) -> ReadOptions:
    """Those of ``open_log`` among the options of ``convert_log``. Text comes as plain strings, whatever was asked."""
    part: Any = {name: value for name, value in options.items() if name in READ_DEFAULTS}
    part |= {"string_type": "string", "dictionary": ()}
    read: ReadOptions = part
    return read


def _checked(given: Any, defaults: Any) -> Any:
    check_names(given, defaults)
    options = {**defaults, **given}
    for name, value in given.items():
        if value is None and defaults[name] is None:
            continue
        if name in _NAMES:
            options[name] = _names(name, value)
        elif name in _CHOICES:
            if value not in _CHOICES[name]:
                raise ValueError(f"{name}={value!r}: expected one of: {', '.join(_CHOICES[name])}")
        elif not _KINDS[name][0](value):
            raise TypeError(f"{name}={value!r}: expected {_KINDS[name][1]}")
    if not 1 <= options["block_size"] <= 1 << 30:
        raise ValueError(f"block_size={options['block_size']}: expected 1 byte to 1 GiB")
    if options["on_rejects"] and options["on_error"] != "quarantine":
        raise ValueError("on_rejects: only on_error='quarantine' sets bad records aside")
    return options


def _names(option: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"{option}={value!r}: expected a list of names" + (f", such as [{value!r}]" if value else ""))
    names = tuple(value)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{option}: {name!r} is not a name: expected str")
    return names


def check_names(given: Mapping[str, object], known: Iterable[str]) -> None:
    """TypeError for the name of an option that is not known."""
    for name in given:
        if name not in known:
            raise TypeError(f"unknown option {name!r}{suggestion(name, known)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the one that was meant, perhaps, or all there are."""
    known = list(known)
    same = {"".join(filter(str.isalnum, one)).lower(): one for one in known}
    close = get_close_matches("".join(filter(str.isalnum, name)).lower(), same, 1)
    return f": did you mean {same[close[0]]!r}?" if close else f": expected one of: {', '.join(known)}"
