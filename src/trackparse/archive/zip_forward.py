"""A ZIP read forward: headers, data, descriptors, directory, end. No seeking, no choice of members."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Final

from trackparse.archive.crc import CheckedContent, DirectoryCheck, InflateBudget, check_member
from trackparse.archive.header_search import find_header
from trackparse.archive.inflate import (
    FETCH_AGAIN,
    LZMA,
    READ_SIZE,
    STORED,
    Inflater,
    PackedBytes,
    Stored,
    Tee,
    check_method,
)
from trackparse.archive.zip_descriptor import StoredUnsized, skip_any_descriptor, skip_descriptor
from trackparse.archive.zip_headers import (
    BEHIND_MEMBERS,
    CENTRAL,
    LOCAL,
    SPANNED,
    Entry,
    Listed,
    ended_early,
    member_label,
    read_directory,
    read_entry,
    read_fully,
    too_many_members,
)
from trackparse.errors import ArchiveError
from trackparse.sources.source import Buffer, Source, open_source

BEHIND: Final = 4 << 10  # bytes behind an archive that are kept to find out what they are
_BEHIND_MOST: Final = 64 << 20  # bytes behind an archive in a stream, all of which are searched for another archive
_IN_MEMORY: Final = 8 << 20  # bytes of a deferred member; more of them go to a temporary file


def open_content(
    source: Source,
    entry: Entry,
    budget: InflateBudget,
    label: str,
    tee: Tee | None = None,
    available: int | None = None,
) -> CheckedContent:
    """The content of the entry at whose data the source stands.

    ``available`` is how many bytes there are up to whatever follows; None if not known. Data that itself says where it
    ends may take all of them, so that a wrong size in a header costs none of it. Other data takes no more than its
    header says.
    """
    if entry.encrypted:
        raise ArchiveError(f"{label}: encrypted", advice="decrypt the archive first, trackparse knows no passwords")
    check_method(entry.method, label)
    packed = PackedBytes(source, entry.packed, label, tee)
    # LZMA needs no end mark where the sizes are known; bit 1 says whether it has one.
    has_end_mark = entry.method != STORED and (entry.method != LZMA or bool(entry.flags & 2))
    if available is not None:
        packed.length = available if has_end_mark else min(available, entry.packed or 0)
    if entry.method != STORED and entry.packed is None and not has_end_mark:
        raise ArchiveError(
            f"{label}: LZMA data with neither a size nor an end mark",
            advice="read the archive from a file, where its directory has the size",
        )
    unchecked: Stored | Inflater
    if entry.method != STORED:
        unchecked = Inflater(packed, entry.method, has_end_mark=has_end_mark)
    else:
        unchecked = StoredUnsized(packed) if entry.packed is None else Stored(packed)
    return CheckedContent(unchecked, budget, lambda content: check_member(content, entry))


class ForwardZip:
    """The entries of a ZIP in the order in which they stand; each is read, skipped or deferred before the next one.

    ``budget`` counts all that is inflated, even if only to find where it ends. ``listed`` is called with what the
    directory says of each member.
    """

    def __init__(self, source: Source, budget: InflateBudget, listed: Callable[[Listed], object]) -> None:
        self._source = source
        self._budget = budget
        self._name = source.name
        self._listed = listed
        # Of the current entry:
        self._untouched = False  # nothing of its data was read
        self._content: CheckedContent | None = None
        self._start = 0  # byte where its data begins
        # Of the entries before it, in order; a damaged one has no CRC here.
        self.crcs: list[int] = []
        self._damaged = False  # one of them was
        # Known at the end:
        self.end = 0  # the first byte behind the archive
        self.behind = b""  # the first bytes there

    def __iter__(self) -> Iterator[Entry]:
        """The entries; then the directory is read, which has to be theirs."""
        count, name = 0, ""
        if self._source.peek(4) in SPANNED:
            self._source.read_exactly(4)
        while (signature := read_fully(self._source, 4, self._name)) == LOCAL:
            count += 1
            if count > self._budget.limits.max_members:
                raise too_many_members(self._name, count, self._budget.limits)
            entry = read_entry(self._source, self._name)
            name = entry.name
            self._start = self._source.position
            self._untouched = True
            yield entry
            if self._untouched:
                self.skip(entry)
            if self._content:
                self.crcs.append(self._content.crc)
                self._content = None
        if count and signature not in BEHIND_MEMBERS:
            raise ArchiveError(
                f"{member_label(self._name, name)}: expected a ZIP header behind its data, at byte "
                f"{self._source.position - 4}, found {signature!r}",
                advice=FETCH_AGAIN,
            )
        self._read_directory(signature, count)

    def content(self, entry: Entry, label: str) -> CheckedContent:
        """The content of the current entry."""
        self._untouched = False
        self._content = open_content(self._source, entry, self._budget, label)
        return self._content

    def skip(self, entry: Entry, tee: Tee | None = None) -> CheckedContent | None:
        """Go to the end of the current entry's data; its content if it had to be inflated to find that end."""
        self._untouched = False
        label = member_label(self._name, entry.name)
        if entry.packed is None:
            self._content = open_content(self._source, entry, self._budget, label, tee)
            self._content.drain()
            return self._content
        packed = PackedBytes(self._source, entry.packed, label, tee)
        while packed.read(READ_SIZE):
            pass
        # The content was not read, so its CRC is not known: the directory has to repeat what is stated here.
        self.crcs.append(
            skip_descriptor(self._source, None, entry.packed, entry.size or 0, label) if entry.described else entry.crc
        )
        return None

    def drain(self) -> None:
        """Read the rest of the current entry's content."""
        if self._content:
            self._content.drain()

    def recover(self, entry: Entry) -> bool:
        """Go to the end of the current entry, whose content is damaged. Returns whether that is certainly its end.

        It is certain if another header follows, and either the entry's header states a size, or a descriptor stands
        where the data ended. After a mere guess, bytes inside a member might be taken for the next member.
        """
        content, self._content = self._content, None
        self._untouched = False
        self._damaged = True
        if content and content.ended and self._at_header(entry, content.packed.taken):
            return True
        if entry.packed is None:
            return False
        missing = self._start + entry.packed - self._source.position
        return missing >= 0 and self._skip_bytes(missing) and self._at_header(entry, entry.packed)

    def _at_header(self, entry: Entry, packed: int) -> bool:
        """Whether a header comes next, behind the entry's descriptor if it has one; that is read then."""
        if entry.described:
            return skip_any_descriptor(self._source, packed)
        return self._source.peek(4) in (LOCAL, CENTRAL)

    def _skip_bytes(self, missing: int) -> bool:
        while missing and (data := self._source.read(min(missing, READ_SIZE))):
            missing -= len(data)
        return not missing

    def _read_directory(self, signature: bytes, count: int) -> None:
        listed_count = 0
        crcs = DirectoryCheck(self._name, self.crcs)

        def listed(member: Listed) -> None:
            nonlocal listed_count
            listed_count += 1
            if listed_count > count:
                raise ArchiveError(
                    f"{self._name}: the directory lists more members than the {count} that were met",
                    advice="read the archive from a file",
                )
            crcs.add(member)
            self._listed(member)

        _, end = read_directory(self._source, signature, self._name, listed)
        if listed_count != count:
            raise ArchiveError(
                f"{self._name}: the directory lists {listed_count} members, {count} were met",
                advice="read the archive from a file",
            )
        if not self._damaged:
            crcs.finish()
        self._look_behind(end.comment)

    def _look_behind(self, comment: int) -> None:
        """ArchiveError if another archive follows the end record, be it inside the comment of ``comment`` bytes."""
        start = self._source.position
        self.end = start + comment
        found = find_header(self._rest(), whole=False)
        if found is not None:
            raise ArchiveError(
                f"{self._name}: another archive begins at byte {start + found}",
                advice="split joined archives and read them one by one",
            )
        if self._source.position < self.end:
            raise ended_early(self._source, self._name)

    def _rest(self) -> Iterator[bytes]:
        """Pieces up to the end of the source; ``behind`` is filled from them."""
        while data := self._source.read_exactly(64 << 10):
            start = self._source.position - len(data)
            self.behind += data[max(0, self.end - start) :][: BEHIND - len(self.behind)]
            yield data
            if self._source.position - self.end > _BEHIND_MOST:
                raise ArchiveError(
                    f"{self._name}: more than {_BEHIND_MOST} bytes behind the end of the archive, at byte {self.end}",
                    advice="cut them off",
                )


class DeferredMember:
    """A member kept packed, in memory or in a temporary file, until it is known whether it is read or left out."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by close

    def write(self, data: Buffer) -> None:
        """Keep packed bytes. OSError with the name of the folder for temporary files, if they do not fit there."""
        with _naming_temporary_files():
            self._file.write(data)

    def complete(self, content: CheckedContent | None) -> None:
        """Note the CRC and the sizes of content that was inflated once to find its end."""
        if content:
            entry = self.entry
            self.entry = Entry(entry.name, entry.flags, entry.method, content.crc, content.packed.taken, content.size)

    def beginning(self, n: int) -> bytes:
        """Its first n packed bytes."""
        with _naming_temporary_files():
            self._file.seek(0)
            return self._file.read(n)

    def open(self, budget: InflateBudget, label: str) -> CheckedContent:
        """Its content."""
        with _naming_temporary_files():
            self._file.seek(0)
        return open_content(open_source(self._file), self.entry, budget, label)

    def close(self) -> None:
        """Delete what was kept."""
        with suppress(OSError):  # what did not fit is tried again
            self._file.close()


@contextmanager
def _naming_temporary_files() -> Iterator[None]:
    """Makes an OSError in it name the folder for temporary files, and not the log."""
    try:
        yield
    except OSError as error:
        # There is no folder yet if none could be found.
        folder = tempfile.tempdir or "folder for temporary files"
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), os.fsdecode(folder)) from error
