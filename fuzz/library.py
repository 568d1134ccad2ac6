"""The whole library with its branches counted, for the targets that read logs."""

from __future__ import annotations

from collections.abc import Iterator

from harness import counted

with counted():
    import trackparse
    import trackparse.reader
    import trackparse.testing.sample
    from trackparse.archive.opening import Archive
    from trackparse.archive.readahead import Item, items_of


class SameThread:
    """A ``ReadAhead`` without its thread, which would take most of the time: blocks here are tiny."""

    def __init__(self, archive: Archive, block_size: int) -> None:
        self._archive = archive
        self._items = items_of(archive, block_size)

    @property
    def left_out(self) -> int:
        return self._archive.left_out

    def __iter__(self) -> Iterator[Item]:
        return self._items

    def __next__(self) -> Item:
        return next(self._items)

    def close(self, wait: float | None = None) -> None:
        self._items.close()
        self._archive.close()


trackparse.reader.ReadAhead = SameThread  # type: ignore[assignment, misc]

__all__ = ["trackparse"]
