"""Fifty small faults, planted one at a time in a clone: the suite has to fail for each of them.

    python tests/torture/seeded_faults.py [--commit HEAD] [--only WORDS] [--whole]

For each fault the tests that should see it run first; with --whole, all tests run if these see nothing. It prints which
test failed; the exit code is 1 if no test failed for one of the faults. It needs gcc.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
KERNEL = "records/kernel"
TIMEOUT = 1800  # seconds: a fault may make the tests hang, which counts as seen


class Fault(NamedTuple):
    """``old`` stands once in the file, which is in the package, and becomes ``new``; ``tests`` should see it."""

    name: str
    file: str
    old: str
    new: str
    tests: str  # names of files in tests/, without test_ and .py


FAULTS = (
    # sources
    Fault(
        "a server may change the file between two attempts",
        "sources/download.py",
        "        if self._identity.differs(identity):\n            raise self._changed()\n        # An answer",
        "        # An answer",
        "client resume",
    ),
    Fault(
        "the part that a server sends need not be the one asked for",
        "sources/download.py",
        "if start != self._received or end <= start",
        "if end <= start",
        "client resume hostile_server",
    ),
    Fault(
        "bytes are asked for again from one too far",
        "sources/download.py",
        'f"bytes={self._received}-"',
        'f"bytes={self._received + 1}-"',
        "client resume",
    ),
    Fault(
        "what a server asks to wait is not waited",
        "sources/retry.py",
        "retry_after or 0.0",
        "0.0",
        "client",
    ),
    Fault(
        "one attempt more than asked for",
        "sources/retry.py",
        "self.failures >= self._retries",
        "self.failures > self._retries",
        "client resume",
    ),
    # archive
    Fault("the CRC of a member is not compared", "archive/crc.py", "content.crc != entry.crc", "False", "archive"),
    Fault(
        "the CRC of gzip is not compared",
        "archive/crc.py",
        "if crc != content.crc or size",
        "if size",
        "archive archive_loss",
    ),
    Fault(
        "a CRC in the directory may stand for two members",
        "archive/crc.py",
        "self._unlisted[member.crc] -= 1",
        "pass",
        "archive archive_loss",
    ),
    Fault(
        "the limit of inflated bytes allows one too few",
        "archive/crc.py",
        "return None if most is None else most - self.inflated",
        "return None if most is None else most - self.inflated - 1",
        "archive",
    ),
    Fault(
        "small gzip members do not count for the limits",
        "archive/gzip_members.py",
        "        self._budget.inflated += size\n",
        "",
        "archive",
    ),
    Fault(
        "only a short comment may stand behind a directory",
        "archive/zip_directory.py",
        "22 + (128 << 10)",
        "22 + (1 << 10)",
        "archive archive_loss",
    ),
    Fault(
        "a directory may end before its end record",
        "archive/zip_directory.py",
        "if directory.position != length:",
        "if False:",
        "archive archive_loss",
    ),
    Fault(
        "the CRC in a data descriptor is not compared",
        "archive/zip_descriptor.py",
        "for candidate in said if crc is None else (crc,):",
        "for candidate in said:",
        "archive archive_loss",
    ),
    Fault(
        "a name in capitals is no log",
        "archive/selector.py",
        'name.lower().endswith(".csv")',
        'name.endswith(".csv")',
        "archive reader",
    ),
    Fault(
        "what macOS adds is a candidate",
        "archive/selector.py",
        ' and not name.startswith("__MACOSX/")',
        "",
        "archive reader",
    ),
    Fault(
        "a file that becomes shorter while it is read is a short log",
        "archive/bare.py",
        "self._source.position < size",
        "self._source.position > size",
        "archive sources",
    ),
    Fault(
        "the archive is not closed at the end",
        "archive/readahead.py",
        "                self._next_member()\n            self.archive.close()\n",
        "                self._next_member()\n",
        "readahead lifetimes",
    ),
    # records
    Fault(
        "bytes of headers are not counted",
        "records/stream.py",
        "bytes_in_headers=segment.header_bytes",
        "bytes_in_headers=0",
        "cases reader",
    ),
    Fault(
        "records that a filter leaves out are not counted",
        "reader.py",
        "        self._logs.count_filtered(_records_of(group) - _records_of(selected))\n",
        "",
        "filters",
    ),
    Fault(
        "the line of a bad record is one too high",
        "records/indexer.py",
        "line=self._line,",
        "line=self._line + 1,",
        "cases",
    ),
    Fault(
        "a carry is read again with each block",
        "records/indexer.py",
        "self._retry_at = 2 * len(data)",
        "self._retry_at = 0",
        "limits",
    ),
    Fault(
        "two bad reasons are swapped",
        "records/segments.py",
        "codes.BAD_UTF8: Reason.BAD_UTF8,\n    codes.BAD_TIMESTAMP: Reason.BAD_TIMESTAMP",
        "codes.BAD_UTF8: Reason.BAD_TIMESTAMP,\n    codes.BAD_TIMESTAMP: Reason.BAD_UTF8",
        "cases",
    ),
    Fault(
        "a header may name a column twice",
        "records/header.py",
        "        if name in seen:\n",
        "        if False:\n",
        "cli_headers cases reader",
    ),
    Fault(
        "the last record before a bad one is lost",
        "records/segments.py",
        "records = self.rejects.before[0]",
        "records = max(0, self.rejects.before[0] - 1)",
        "cases reader",
    ),
    # records/kernel, the reference
    Fault(
        "a fraction of a second is filled up on the wrong side",
        f"{KERNEL}/timestamp.py",
        'ljust(6, b"0")',
        'rjust(6, b"0")',
        "kernels cases",
    ),
    Fault(
        "a payload need not be JSON",
        f"{KERNEL}/dialect.py",
        "        | (not json) * NO_JSON\n",
        "",
        "kernels cases",
    ),
    Fault(
        "an event counts a bad record that comes later",
        f"{KERNEL}/events.py",
        "rejects[rejects_before] <= i",
        "rejects[rejects_before] <= i + 1",
        "kernels events",
    ),
    # records/kernel, in C
    Fault(
        "bytes that are not UTF-8 are good where the scan could not decide",
        f"{KERNEL}/grammar.h",
        "return isa->is_utf8(w->data + start, r->end - start) ? 0 : BAD_UTF8;",
        "(void)isa;\n    return 0;",
        "kernels",
    ),
    Fault(
        "a quote behind a backslash settles what it does not settle",
        f"{KERNEL}/grammar.h",
        "return after && next != ';' && next != '\\r'",
        "return after && next != '\\r'",
        "kernels",
    ),
    Fault(
        "1900 is a leap year",
        f"{KERNEL}/timestamp.h",
        "(year % 100 == 0 && year % 400 != 0)",
        "(year % 100 == 0 && year % 400 > 300)",
        "kernels",
    ),
    Fault(
        "JSON may nest one level deeper",
        f"{KERNEL}/json.h",
        "if (depth == JSON_DEPTH)",
        "if (depth > JSON_DEPTH)",
        "kernels sanitizers",
    ),
    Fault(
        "the bitmap of nulls has a bit too many",
        f"{KERNEL}/values.h",
        "(uint8_t)((1 << records % 8) - 1)",
        "(uint8_t)((2 << records % 8) - 1)",
        "kernels",
    ),
    Fault(
        "short values are copied from behind the buffer",
        f"{KERNEL}/values.h",
        "if (n <= 32 && left >= 32)",
        "if (n <= 32)",
        "kernels sanitizers",
    ),
    Fault(
        "values of a dictionary are compared by their hash alone",
        f"{KERNEL}/dictionary.h",
        "(size_t)(ends[1] - ends[0]) == n && !memcmp(value_bytes(d) + ends[0], p, n)",
        "(size_t)(ends[1] - ends[0]) == n",
        "kernels columns",
    ),
    Fault(
        "memory that is lent is moved",
        f"{KERNEL}/dictionary.h",
        "pile->lent ? malloc(size) : realloc(pile->start, size)",
        "realloc(pile->start, size)",
        "kernels sanitizers kept",
    ),
    Fault(
        "a bitmap of nulls is not freed",
        f"{KERNEL}/native_values.h",
        "    free(m->validity.bits);\n",
        "",
        "kernel_leaks sanitizers",
    ),
    Fault(
        "credit is never used up",
        f"{KERNEL}/index.h",
        "int64_t credit = x->credit - (int64_t)spent +",
        "(void)spent;\n    int64_t credit = x->credit +",
        "kernels",
    ),
    Fault(
        "one instruction set takes a byte for another",
        f"{KERNEL}/isa_avx2.h",
        "return low | high << 32;\n}\n\nTARGET static inline uint64_t ge64",
        "return low | high << 31;\n}\n\nTARGET static inline uint64_t ge64",
        "kernels",
    ),
    # columns
    Fault(
        "the end of a period is part of it",
        "columns/filters.py",
        "pc.less(batch",
        "pc.less_equal(batch",
        "filters",
    ),
    Fault(
        "where a log lacks a column in the middle, values move up",
        "columns/builder.py",
        "            past = number + 1\n",
        "            past = number\n",
        "columns reader",
    ),
    # rejects
    Fault(
        "the bytes of a reject that are not UTF-8 are lost",
        "rejects/files.py",
        'pa.binary(): "b"',
        'pa.binary(): "t"',
        "rejects",
    ),
    Fault(
        "a file of something else is replaced by rejects",
        "rejects/files.py",
        "and not _are_rejects(name, old)",
        "and False",
        "rejects outputs",
    ),
    # convert
    Fault(
        "a log may be written over",
        "convert/conversion.py",
        "    _check_is_other(output, source, filesystem, what)\n",
        "",
        "outputs files",
    ),
    Fault(
        "an empty file of rejects is left",
        "convert/conversion.py",
        "rejects.stays_empty = not log.stats.rejected",
        "rejects.stays_empty = False",
        "rejects outputs",
    ),
    Fault(
        "an error of the writing thread is not raised",
        "convert/parquet.py",
        "            self._writing.result()\n        elif len(self._groups)",
        "            pass\n        elif len(self._groups)",
        "parquet outputs system_faults",
    ),
    # files
    Fault(
        "a file is not brought to the disk before it is renamed",
        "atomic.py",
        "                os.fsync(file.fileno())\n",
        "                pass\n",
        "files system_faults",
    ),
    Fault(
        "the file that somebody still writes is removed as abandoned",
        "atomic.py",
        "and _lock(file) and identity(opened)",
        "and identity(opened)",
        "files",
    ),
    # client
    Fault(
        "too many requests is taken for a refusal",
        "client/answers.py",
        "return self.status_code == 429 or 500 <=",
        "return 500 <=",
        "client token",
    ),
    # cli
    Fault(
        "a run of several logs ends with the mildest code",
        "cli/exits.py",
        "return next((code for code in _GRAVEST if code in met)",
        "return next((code for code in reversed(_GRAVEST) if code in met)",
        "cli cli_errors cli_convert",
    ),
    Fault(
        "values beyond the limit of a tally are not counted",
        "cli/tally.py",
        "                self.others += count\n",
        "",
        "cli_stats",
    ),
)


def run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """The exit code and what was printed; a command that hangs is ended, with all that it started."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = -1
        output.seek(0)
        return code, output.read()


def build(kernel: Path) -> None:
    include = sysconfig.get_paths()["include"]
    flags = ["-O1", "-std=c11", "-fno-strict-aliasing", "-DPy_LIMITED_API=0x030B0000", f"-I{include}"]
    command = ["gcc", "-shared", "-fPIC", *flags, "native.c", "-o", "native.abi3.so"]
    subprocess.run(command, cwd=kernel, check=True)


class Clone:
    """A clone of the repository at a commit, with its kernel built."""

    def __init__(self, folder: Path, commit: str) -> None:
        self.folder = folder
        self.package = folder / "src" / "trackparse"
        subprocess.run(["git", "clone", "-q", "--shared", "-n", str(ROOT), str(folder)], check=True)
        subprocess.run(["git", "checkout", "-q", "--detach", commit], cwd=folder, check=True)
        build(self.package / KERNEL)
        self._library = self.package / KERNEL / "native.abi3.so"
        self._sound = self._library.read_bytes()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKPARSE_")}
        self.environment = {**kept, "PYTHONPATH": str(folder / "src"), "PYTHONDEVMODE": "1"}

    def plant(self, fault: Fault) -> None:
        path = self.package / fault.file
        text = path.read_text()
        if text.count(fault.old) != 1:
            raise ValueError(f"{fault.name}: its text stands {text.count(fault.old)} times in {fault.file}")
        path.write_text(text.replace(fault.old, fault.new))
        if path.suffix == ".h":
            build(path.parent)

    def mend(self, fault: Fault) -> None:
        subprocess.run(["git", "checkout", "-q", "--", "."], cwd=self.folder, check=True)
        if fault.file.endswith(".h"):
            self._library.unlink()
            self._library.write_bytes(self._sound)

    def failure(self, tests: list[str], *more: str) -> str:
        """The test that failed first; empty if all passed."""
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *more, *tests]
        code, said = run(command, self.folder, self.environment)
        if code == 0:
            return ""
        found = re.search(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", said, re.M)
        return found[1] if found else f"it ended with {code}: {said[-200:]}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Plant faults and see which of them the tests see.")
    parser.add_argument("--commit", default="HEAD", help="what is cloned, tests and all (HEAD)")
    parser.add_argument("--only", default="", metavar="WORDS", help="faults with these words in their names")
    parser.add_argument("--whole", action="store_true", help="run all tests where the fitting ones see nothing")
    args = parser.parse_args()
    if shutil.which("gcc") is None:
        sys.exit("seeded_faults: gcc is missing")
    unseen = 0
    with tempfile.TemporaryDirectory(prefix="trackparse-faults.") as folder:
        clone = Clone(Path(folder, "clone"), args.commit)
        for fault in FAULTS:
            if args.only not in fault.name:
                continue
            start = time.monotonic()
            clone.plant(fault)
            found = clone.failure([f"tests/test_{name}.py" for name in fault.tests.split()], "-n", "0")
            if not found and args.whole:
                found = clone.failure([], "-n", "auto")
            clone.mend(fault)
            unseen += not found
            seconds = time.monotonic() - start
            print(f"{'seen  ' if found else 'UNSEEN'} {fault.name} ({seconds:.0f} s): {found}", flush=True)
    print(f"{unseen} faults were not seen")
    return int(unseen > 0)


if __name__ == "__main__":
    sys.exit(main())
