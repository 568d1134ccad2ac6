"""The C kernel: reference says the same in Python."""

from collections.abc import Callable
from typing import Any, Self

from trackparse.records.kernel.reference import Allocate, Buffer, Run

class Field:
    raw: bytes
    _dialect: int
    _member: str
    _record: int
    _decoded: Any
    def __new__(cls, raw: bytes, dialect: int, member: str, record: int, /) -> Self: ...

def validity_of(codes: Buffer, /) -> tuple[bytes | None, int]: ...

class Dictionary:
    def __len__(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def total(self) -> int: ...
    def strings(self) -> tuple[Buffer, Buffer]: ...
    def take(self) -> tuple[Buffer, Buffer]: ...
    def encode(self, runs: list[Run], empty_is_null: bool, /) -> bytes: ...

def index(
    data: Buffer,
    start: int,
    stop: int,
    final: bool,
    width: int,
    timestamp: int,
    payload: int,
    names: bytes,
    auto: bool,
    dialect: int,
    max_record_bytes: int,
    credit: int,
    /,
) -> tuple[Any, ...]: ...
def records_in(fields: Buffer, records: int, width: int, size: int, /) -> tuple[int, int]: ...
def strings(
    runs: list[Run], empty_is_null: bool, allocate: Allocate = ..., /
) -> tuple[bytes, Any, int, bytes | None, int]: ...
def views(
    runs: list[Run], empty_is_null: bool, allocate: Allocate = ..., /
) -> tuple[bytes, Any, int, bytes | None, int]: ...
def events(
    run: Run,
    columns: tuple[int, ...],
    kinds: str,
    timestamps: Buffer,
    moment: Callable[[int], Any],
    statuses: dict[str, Any],
    event: type[tuple[Any, ...]],
    payload: type[Field],
    member: str,
    first_record: int,
    rejects: list[int],
    /,
) -> list[Any]: ...
def count_lines(data: Buffer, start: int, stop: int, /) -> int: ...
def parse_timestamp(text: Buffer, /) -> int | None: ...
def is_json(text: Buffer, /) -> bool: ...
def unescape(field: Buffer, dialect: int, /) -> bytes: ...
def instruction_sets() -> list[str]: ...
def select(name: str, /) -> None: ...
