"""Payload columns: what is asked for, and the Arrow columns that the kernel makes of it. Reads no JSON itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

import pyarrow as pa

from trackparse.errors import OptionError
from trackparse.records.kernel.chooser import kernel
from trackparse.records.kernel.codes import Run, Wanted
from trackparse.schema import PAYLOAD_TYPES

# For each column a JSON Pointer, with the type of the column, or without for text.
PayloadColumn: TypeAlias = str | tuple[str, pa.DataType]
PayloadColumns: TypeAlias = Mapping[str, PayloadColumn]

_PAYLOAD: Final = "payload"  # the column of the log
_KINDS: Final[Mapping[pa.DataType, str]] = {
    pa.string(): "t",
    pa.bool_(): "?",
    pa.int8(): "b",
    pa.int16(): "h",
    pa.int32(): "i",
    pa.int64(): "q",
    pa.uint8(): "B",
    pa.uint16(): "H",
    pa.uint32(): "I",
    pa.uint64(): "Q",
    pa.float32(): "f",
    pa.float64(): "d",
}
_POINTER: Final = re.compile("(?:/(?:[^~/]|~[01])*)*", re.DOTALL)
_EXAMPLE: Final = "such as {'alert': '/aps/alert', 'uid': ('/md/uid', pyarrow.int64())}"


def check_payload_columns(option: str, value: object) -> PayloadColumns:
    """The value. TypeError for a wrong kind of value, OptionError for a pointer or a type that cannot be used."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{option}={_shown(value)}: expected a dict, {_EXAMPLE}")
    for name, asked in value.items():
        if not isinstance(name, str):
            raise TypeError(f"{option}: {_shown(name)} is not a name: expected a string")
        pair = asked if isinstance(asked, tuple) else (asked, pa.string())
        if len(pair) != 2 or not isinstance(pair[0], str) or not isinstance(pair[1], pa.DataType):
            raise TypeError(
                f"{option}: {name!r}: {_shown(asked)}: expected a JSON Pointer, or a tuple of a JSON Pointer "
                f"and a type, {_EXAMPLE}"
            )
        pointer, kind = pair
        if pointer[:1] not in ("", "/") or re.search("~(?![01])", pointer) or not _is_unicode(pointer):
            raise OptionError(
                f"{option}: {name!r}: {_shown(pointer)} is not a JSON Pointer: expected a / before each key, such as "
                "'/aps/alert'; in a key, ~ is written ~0 and / is written ~1"
            )
        if kind not in _KINDS:
            raise OptionError(f"{option}: {name!r}: {kind}: expected one of: {', '.join(PAYLOAD_TYPES)}")
    return dict(value)


def payload_columns_of(texts: Iterable[str]) -> PayloadColumns:
    """The columns that texts name, each as ``NAME=/KEY/KEY`` or ``NAME=/KEY/KEY:TYPE``; OptionError for other texts.

    What stands behind the last ``:`` is a type only if it is one of ``PAYLOAD_TYPES``: a key may hold a ``:``.
    """
    columns: dict[str, PayloadColumn] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        pointer, colon, kind = path.rpartition(":")
        typed = bool(colon) and kind in PAYLOAD_TYPES
        if not typed:
            pointer = path
        if not (name and equals and _POINTER.fullmatch(pointer)):
            raise OptionError(
                f"{_shown(text)}: expected NAME=/KEY/KEY or NAME=/KEY/KEY:TYPE, such as alert=/aps/alert or "
                "uid=/md/uid:int64; in a key, ~ is written ~0 and / is written ~1"
            )
        if name in columns:
            raise OptionError(f"{_shown(text)}: there is a column {name!r} already: take another name")
        columns[name] = (pointer, pa.type_for_alias(kind)) if typed else pointer
    return columns


class PayloadBuilder:
    """Makes the payload columns of the runs of a batch. It tells ``on_misfits`` how many values did not fit."""

    def __init__(self, asked: PayloadColumns, on_misfits: Callable[[int], object] | None = None) -> None:
        pairs = {name: one if isinstance(one, tuple) else (one, pa.string()) for name, one in asked.items()}
        self.fields = [pa.field(name, kind) for name, (_, kind) in pairs.items()]
        self._wanted = [Wanted(_keys(pointer), _KINDS[kind]) for pointer, kind in pairs.values()]
        self._on_misfits = on_misfits
        self._unseen = {name: pointer for name, (pointer, _) in pairs.items()}  # columns without a value so far
        self._records = 0

    @property
    def empty_columns(self) -> Mapping[str, str]:
        """Columns for which no record had a value so far, not even one of another type, and their JSON Pointers."""
        return self._unseen if self._records else {}

    def arrays(self, runs: Callable[[str], list[Run]]) -> list[pa.Array]:
        """One array for each of ``fields``; ``runs`` gives the runs of a column of the log by its name."""
        if not self.fields:
            return []
        payloads = runs(_PAYLOAD)
        records = sum(run.records for run in payloads)
        self._records += records
        arrays = []
        for field, made in zip(self.fields, kernel.payload_columns(payloads, self._wanted), strict=True):
            buffers = [None if made.validity is None else pa.py_buffer(made.validity), pa.py_buffer(made.first)]
            if field.type == pa.string():
                buffers.append(pa.py_buffer(made.data))
            arrays.append(pa.Array.from_buffers(field.type, records, buffers, made.nulls))
            if made.misfits or made.nulls < records:
                self._unseen.pop(field.name, None)
            if made.misfits and self._on_misfits is not None:
                self._on_misfits(made.misfits)
        return arrays


NO_PAYLOAD_COLUMNS: Final = PayloadBuilder({})


def _keys(pointer: str) -> tuple[bytes, ...]:
    return tuple(key.replace("~1", "/").replace("~0", "~").encode() for key in pointer.split("/")[1:])


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
