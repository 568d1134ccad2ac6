"""The options of reading and of converting: names, types, defaults, checks. Opens nothing.

What each option does is said in the docstrings of ``open_log``, ``dataset`` and ``convert_log``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, TypedDict, get_args

from trackparse.columns.filters import Selection
from trackparse.columns.payload import PayloadColumns, check_payload_columns
from trackparse.errors import OptionError, suggestion
from trackparse.limits import Limits
from trackparse.progress import ProgressOption, check_progress
from trackparse.records.stream import OnError
from trackparse.sources.source import Source

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_SIZE: Final = 1 << 20  # bytes: a block, its index and its columns stay in the second-level cache
# Rows: about 46 MB of log. In larger row groups more values repeat, which saves time and space; two are in memory.
ROW_GROUP_SIZE: Final = 1 << 17
# Those that pyarrow writes Parquet with.
_CODECS: Final = ("zstd", "snappy", "gzip", "brotli", "lz4", "lz4_raw", "none")
_SHOWN: Final = 100  # characters of a wrong value in a message

Dialect: TypeAlias = Literal["auto", "php", "rfc4180"]
StringType: TypeAlias = Literal["string", "string_view"]
OnDamage: TypeAlias = Literal["raise", "keep"]


class BinaryFile(Protocol):
    """A file open for reading bytes; it need not be able to seek."""

    def read(self, size: int, /) -> bytes | bytearray | memoryview | None:
        """At most ``size`` bytes; ``b""`` at the end of the file."""


class WritableFile(Protocol):
    """A file open for writing bytes; it need not be able to seek."""

    def write(self, data: memoryview, /) -> Any:
        """Take the bytes, or as many as the result says."""


# What a log can be read from: a str is a path or a URL.
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

# Where a file can be written: a str is a path or a URL.
Destination: TypeAlias = str | os.PathLike[str] | WritableFile


class ReadOptions(TypedDict, total=False):
    """The options of ``open_log``, which says what each of them does, and of everything else that reads a log."""

    columns: Iterable[str] | None
    payload_columns: PayloadColumns | None
    where: Selection | None
    dialect: Dialect
    on_error: OnError
    on_rejects: Callable[[pa.RecordBatch], object] | None
    string_type: StringType
    dictionary: Iterable[str]
    block_size: int
    members: Iterable[str] | None
    limits: Limits
    progress: ProgressOption
    filesystem: Any  # a pyarrow.fs.FileSystem or one of fsspec, which publish no types; or None


class DatasetOptions(ReadOptions, total=False):
    """The options of ``dataset``: those of ``open_log``, and this one, which ``dataset`` explains."""

    on_damage: OnDamage


class ConvertOptions(ReadOptions, total=False):
    """The options of ``convert_log``: those of ``open_log``, and these, which ``convert_log`` explains."""

    compression: str
    row_group_size: int
    bloom_filters: Iterable[str]
    rejects: str | os.PathLike[str] | None
    on_damage: OnDamage
    threads: int | None


READ_DEFAULTS: Final[ReadOptions] = {
    "columns": None,
    "payload_columns": None,
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
    "filesystem": None,
}
DATASET_DEFAULTS: Final[DatasetOptions] = {**READ_DEFAULTS, "on_damage": "raise"}
CONVERT_DEFAULTS: Final[ConvertOptions] = {
    **READ_DEFAULTS,
    "compression": "zstd",
    "row_group_size": ROW_GROUP_SIZE,
    "bloom_filters": (),
    "rejects": None,
    "on_damage": "raise",
    "threads": None,
}
# What other libraries call an option, and what it is here.
_CALLED_ELSEWHERE: Final = {"filter": "where=trackparse.Filter(...)"}
# What each check takes: the name of an option and the value given. It returns the value to use.
Check: TypeAlias = Callable[[str, Any], Any]


def _names(option: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        example = f", such as [{value!r}]" if value and isinstance(value, str) else ""
        raise TypeError(f"{option}={_shown(value)}: expected a list of names{example}")
    names = tuple(value)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{option}: {_shown(name)} is not a name: expected a string")
    return names


def one_of(*choices: str) -> Check:
    """A check of one of several words."""

    def check(option: str, value: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError(f"{option}={_shown(value)}: expected one of: {', '.join(choices)}")
        if value not in choices:
            raise OptionError(f"{option}={_shown(value)}{suggestion(value, choices)}")
        return value

    return check


def whole_number(unit: str, *, least: int = 1, most: int | None = None) -> Check:
    """A check of a number of ``unit``, such as bytes."""

    def check(option: str, value: Any) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{option}={_shown(value)}: expected a whole number of {unit}")
        if value < least or (most is not None and value > most):
            upper = " or more" if most is None else f" to {most:,}"
            raise OptionError(f"{option}={value}: expected {least}{upper} {unit}")
        return value

    return check


def _of_kind(kind: type | tuple[type, ...], wanted: str) -> Check:
    return _that(lambda value: isinstance(value, kind), wanted)


def _that(fits: Callable[[Any], bool], wanted: str) -> Check:
    def check(option: str, value: Any) -> Any:
        if not fits(value):
            raise TypeError(f"{option}={_shown(value)}: expected {wanted}")
        return value

    return check


def function(takes: str) -> Check:
    """A check of a function; ``takes`` is what it is called with."""
    return _that(callable, f"a function that takes {takes}")


def _codec(option: str, value: Any) -> Any:
    one_of(*_CODECS)(option, value.lower() if isinstance(value, str) else value)
    return value


def _progress(option: str, value: Any) -> Any:
    if problem := check_progress(value):
        raise TypeError(f"{option}={_shown(value)}: {problem}")
    return value


def _filesystem(option: str, value: Any) -> Any:
    # Imported late, as pyarrow.fs takes a while.
    from trackparse.sources.filesystem import is_filesystem

    return _that(is_filesystem, "a pyarrow.fs.FileSystem, or a file system of fsspec")(option, value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


# Not called for None where None is the default.
_CHECKS: Final[Mapping[str, Check]] = {
    "columns": _names,
    "payload_columns": check_payload_columns,
    "where": _of_kind(Selection, "a trackparse.Filter, such as Filter(statuses=['opened'])"),
    "dialect": one_of(*get_args(Dialect)),
    "on_error": one_of(*get_args(OnError)),
    "on_rejects": function("a record batch"),
    "string_type": one_of(*get_args(StringType)),
    "dictionary": _names,
    "block_size": whole_number("bytes", most=1 << 30),
    "members": _names,
    "limits": _of_kind(Limits, "a trackparse.Limits, such as Limits(max_members=10)"),
    "progress": _progress,
    "filesystem": _filesystem,
    "compression": _codec,
    "row_group_size": whole_number("rows"),
    "bloom_filters": _names,
    "rejects": _of_kind((str, os.PathLike), "a path or a URL"),
    "on_damage": one_of(*get_args(OnDamage)),
    "threads": whole_number("threads"),
}


def read_options(given: ReadOptions) -> ReadOptions:
    """The options with their defaults. TypeError for an unknown option or a wrong kind of value, else OptionError."""
    options: ReadOptions = _with_defaults(given, READ_DEFAULTS)
    return options


def dataset_options(given: DatasetOptions) -> DatasetOptions:
    """As ``read_options``, for the options of ``dataset``."""
    options: DatasetOptions = _with_defaults(given, DATASET_DEFAULTS)
    return options


def convert_options(given: ConvertOptions) -> ConvertOptions:
    """As ``read_options``, for the options of ``convert_log``."""
    options: ConvertOptions = _with_defaults(given, CONVERT_DEFAULTS)
    return options


def read_part(options: DatasetOptions | ConvertOptions) -> ReadOptions:
    """The options of ``open_log`` among those of ``dataset`` or ``convert_log``."""
    part: Any = {name: value for name, value in options.items() if name in READ_DEFAULTS}
    read: ReadOptions = part
    return read


def _with_defaults(given: Any, defaults: Any) -> Any:
    check_names(given, defaults)
    options = {**defaults, **given}
    for name, value in given.items():
        if value is not None or defaults[name] is not None:
            options[name] = _CHECKS[name](name, value)
    if options["on_rejects"] and options["on_error"] != "quarantine":
        raise OptionError("on_rejects: it needs on_error='quarantine'")
    return options


def check_names(given: Mapping[str, object], known: Iterable[str]) -> None:
    """TypeError for an unknown option."""
    for name in given:
        if name not in known:
            meant = _CALLED_ELSEWHERE.get(name, "")
            hint = f": did you mean {meant}?" if meant else suggestion(name, known)
            raise TypeError(f"unknown option {name!r}{hint}")
