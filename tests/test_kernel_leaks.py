"""The kernel gives back what it takes: on every path, with memory that runs out, and with a leak that must be seen."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import trackparse
from support.kernel_calls import Made, indexed, question
from support.kernels import SLOW
from support.logs import H8, line
from support.payloads import payload_run
from trackparse.records.kernel.codes import Run

TESTS = Path(__file__).parent
PACKAGE = Path(trackparse.__file__).parent
ROUNDS = 2000

pytestmark = pytest.mark.skipif(SLOW > 1, reason="the C kernel is watched, and the reference is forced")

BLOCK = b"".join(
    (
        line(b'"{""a"":""\\"b\\"""}"', description=b'"C:\\dir\\"'),
        line(b"{};x"),
        line(time=b"2021-02-30 00:00:00"),
        line(target=b"\xff"),
        b"\r\n",
        line(b'"{""a"":""\\""b\\""""}"', status=b'"a ""state"" of its own, longer than others are"'),
        line(target="Доставка".encode() * 9, status=b"unheard of"),
        line(b""),
    )
)


def calls(kernel: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    """Every function of the kernel, as it should be called and as it should not."""
    found = indexed(kernel, BLOCK)
    times, no_table = found.timestamps, b"\xff" * len(found.fields)

    class Field(kernel.Field):  # type: ignore[misc]
        __slots__ = ()

    def run(field: int, table: bytes = found.fields) -> Any:
        return Run(BLOCK, table, found.records, 8, field)

    def fail(*_: object) -> None:
        raise KeyError

    def events(**changed: Any) -> object:
        arguments = {
            "columns": tuple(range(8)),
            "kinds": "mtttsttj",
            "timestamps": times,
            "moment": str,
            "statuses": {"sent": 1},
            "event": Made,
            "payload": Field,
            "member": "log.csv",
            "first_record": 0,
            "rejects": [1, 1],
        }
        return kernel.events(run(-1), **(arguments | changed))

    def index(data: Any = BLOCK, **more: Any) -> Callable[[], object]:
        asked = question(BLOCK, payload=-1, **more)._replace(data=data)
        return lambda: kernel.index(asked)

    yield "index", index()
    yield "index: nothing but rejects", index(line(b"{};x") * 40)
    yield "index: readings to weigh", index(line(b'"{""a"":""b\\""}"', description=b'"\\";\\"";\\";"') * 40)
    yield "index: more is needed", index(BLOCK[:-9] + b'"', final=False)
    yield "index: a header", index(H8)
    yield "index: out of range", index(width=0)
    yield "index: no buffer", index("text")
    yield "index: a limit", index(max_record_bytes=9)
    yield "index: no question", lambda: kernel.index(BLOCK)
    yield "index: a short question", lambda: kernel.index((BLOCK, 0))
    for name in ("strings", "views"):
        make = getattr(kernel, name)
        for column in (-1, 4, 5, 7):
            yield f"{name}: column {column}", partial(make, [run(column)] * 3, True)
        yield f"{name}: no runs", partial(make, [], True)
        yield f"{name}: a bad run behind a good one", partial(make, [run(1), run(9)], True)
        yield f"{name}: no run", partial(make, [run(1), ("x",)], True)
        yield f"{name}: a table that does not fit", partial(make, [run(1), run(1, no_table)], True)
        yield f"{name}: a short table", partial(make, [run(1), run(1, b"")], True)
    yield "dictionary", lambda: encoded(kernel, [run(4), run(7), run(-1)])
    yield "dictionary: a bad run", lambda: encoded(kernel, [run(4), run(9)])
    offsets = bytes(4) + (1).to_bytes(4, sys.byteorder) * 2
    yield "dictionary: strings", lambda: kernel.Dictionary().encode_strings(2, b"\1", offsets, b"x")
    yield "dictionary: strings that do not fit", lambda: kernel.Dictionary().encode_strings(2, None, offsets, None)
    yield "dictionary: no strings", lambda: kernel.Dictionary().encode_strings(2, "x", offsets, b"x")
    yield "dictionary: no list", lambda: kernel.Dictionary().encode(5, True)
    wanted = [((b"a",), "t"), ((b"a", b"0"), "q"), ((), "t"), ((b"c",), "d")]
    hard = payload_run([b'{ "a" : [1], "c": 1.2345678901234567890123 }', b'{"\\u0061": "x\\n", "c": 1}', b"[1]"] * 9)
    yield "payload_columns", lambda: kernel.payload_columns([run(7)], wanted)
    yield "payload_columns: blanks, escapes and digits", lambda: kernel.payload_columns([hard, run(-1)], wanted)
    yield "payload_columns: nothing wanted", lambda: kernel.payload_columns([hard], [])
    yield "payload_columns: no such kind", lambda: kernel.payload_columns([hard], [*wanted, ((b"a",), "x")])
    yield "payload_columns: a key that is no bytes", lambda: kernel.payload_columns([hard], [*wanted, (("a",), "t")])
    yield "payload_columns: no Wanted", lambda: kernel.payload_columns([hard], [*wanted, 5])
    yield "payload_columns: no run", lambda: kernel.payload_columns([hard, ("x",)], wanted)
    yield "payload_columns: no list", lambda: kernel.payload_columns((hard,), wanted)
    lines = [("a", "t", b"\2", bytes(8) + b"\1\0\0\0", b"x"), ("b", "q", None, bytes(16), b"")]
    yield "json_lines", lambda: kernel.json_lines(lines, 2)
    yield "json_lines: no columns", lambda: kernel.json_lines([], 2)
    yield "json_lines: a column that does not fit", lambda: kernel.json_lines([*lines, ("c", "b", None, b"", b"")], 2)
    yield "json_lines: no column", lambda: kernel.json_lines([*lines, 5], 2)
    yield "json_lines: a short column", lambda: kernel.json_lines([*lines, ("c", "b")], 2)
    yield "json_lines: no list", lambda: kernel.json_lines((lines,), 2)
    codes = bytes(4 * found.records)
    yield "days", lambda: kernel.days(times)
    yield "days: wrong", lambda: kernel.days("text")
    yield "parted", lambda: kernel.parted([run(0)], times, codes, 2)
    yield "parted: nothing", lambda: kernel.parted([], b"", b"", 1)
    yield "parted: a part that is none", lambda: kernel.parted([run(0)], times, b"\1" * len(codes), 2)
    yield "parted: a table that does not fit", lambda: kernel.parted([run(0, no_table)], times, codes, 2)
    yield "parted: too few codes", lambda: kernel.parted([run(0)], times, b"", 2)
    yield "parted: no column", lambda: kernel.parted([run(-1)], times, codes, 2)
    yield "parted: no list", lambda: kernel.parted(5, times, codes, 2)
    yield "events", events
    yield "events: looked into", lambda: [event.field and event.field.raw for event in events()]  # type: ignore[attr-defined]
    yield "events: no columns", lambda: events(columns=(-1,) * 8)
    yield "events: other columns", lambda: events(columns=(7, 6, 5, 4, 3, 2, 1, 0))
    yield "events: too few columns", lambda: events(columns=(1,))
    yield "events: a column that is none", lambda: events(columns=(9,) * 8)
    yield "events: a column of text", lambda: events(columns=("a",) * 8)
    yield "events: no times", lambda: events(timestamps=b"")
    yield "events: a moment that fails", lambda: events(moment=fail)
    yield "events: a reject of text", lambda: events(rejects=["x"])
    yield "events: no kind of event", lambda: events(event=int)
    yield "events: no kind of payload", lambda: events(field=int)
    yield "events: no run", lambda: events(run=("x",))
    yield "events: a run that does not fit", lambda: events(run=run(-1, no_table))
    yield "events: an argument of the wrong kind", lambda: events(member=5, statuses=5)
    yield "field", lambda: Field(b"raw", 1, "log.csv", 3)
    yield "field: wrong", lambda: Field("raw", 1, "log.csv", 3)
    yield "field: named", lambda: Field(raw=b"raw")
    yield "count_lines", lambda: kernel.count_lines(BLOCK, 0, len(BLOCK))
    yield "count_lines: wrong", lambda: kernel.count_lines("text", 0, 1)
    yield "parse_timestamp", lambda: kernel.parse_timestamp(b"2021-04-20 13:01:01")
    yield "parse_timestamp: none", lambda: kernel.parse_timestamp(b"2021-04-20")
    yield "parse_timestamp: wrong", lambda: kernel.parse_timestamp("text")
    yield "is_json", lambda: kernel.is_json(b"{}")
    yield "is_json: wrong", lambda: kernel.is_json("{}")
    yield "unescape", lambda: kernel.unescape(b'a""b' * 100, 1)
    yield "unescape: wrong", lambda: kernel.unescape("text", 1)
    yield "instruction_sets", kernel.instruction_sets
    yield "select: wrong", lambda: kernel.select("quantum")


def encoded(kernel: Any, runs: list[Any]) -> object:
    dictionary = kernel.Dictionary()
    codes: list[object] = [dictionary.encode(runs, True), dictionary.encode(runs, False), dictionary.strings()]
    for _ in range(2):
        codes += (dictionary.size, dictionary.strings(), dictionary.encode(runs, True))
    return codes


def quietly(call: Callable[[], object]) -> bool:
    """Whether it found no memory; any other error is its business."""
    try:
        call()
    except MemoryError:
        return True
    except (ValueError, TypeError, KeyError, BufferError, SystemError):
        pass
    return False


def held(call: Callable[[], object]) -> int:
    """Objects and blocks of Python's allocator that hundreds of calls left behind."""
    for _ in range(50):
        quietly(call)
    before = sys.getallocatedblocks()
    for _ in range(ROUNDS):
        quietly(call)
    return sys.getallocatedblocks() - before


@pytest.fixture(scope="module")
def kernel() -> ModuleType:
    found: ModuleType = pytest.importorskip("trackparse.records.kernel.native")
    return found


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """What the kernel makes is in no cycle: the collector has nothing to do with it."""
    gc.disable()
    yield
    gc.enable()


def test_no_call_keeps_an_object(kernel: ModuleType) -> None:
    kept = {name: held(call) for name, call in calls(kernel)}
    assert {name: blocks for name, blocks in kept.items() if blocks > ROUNDS // 10} == {}


def test_an_object_that_is_kept_is_seen() -> None:
    keep: list[object] = []
    assert held(lambda: keep.append(object())) >= ROUNDS


# ---- memory that runs out -----------------------------------------------------------------------------------

# In front of the kernel's source: what it takes is counted, and may be refused.
RATIONED = """
#include <stdlib.h>
#define EXPORTED __attribute__((visibility("default")))
EXPORTED long granted = -1, live;
static int refused(void) { return granted >= 0 && granted-- == 0; }
static void *rationed(void *p) { live += p != NULL; return p; }
static void *rationed_malloc(size_t n) { return refused() ? NULL : rationed(malloc(n)); }
static void *rationed_calloc(size_t n, size_t m) { return refused() ? NULL : rationed(calloc(n, m)); }
static void *rationed_realloc(void *p, size_t n)
{
    if (refused())
        return NULL;
    void *q = realloc(p, n);
    live += q != NULL && p == NULL;
    return q;
}
static void rationed_free(void *p) { live -= p != NULL; free(p); }
#define malloc rationed_malloc
#define calloc rationed_calloc
#define realloc rationed_realloc
#define free rationed_free
"""


def ration(library: str) -> None:
    """Each call with each request for memory refused in turn; prints the calls that did not give all back."""
    import ctypes

    from trackparse.records.kernel import native

    assert native.__file__ == library
    counters = ctypes.CDLL(library)
    granted, live = (ctypes.c_long.in_dll(counters, name) for name in ("granted", "live"))
    refused = 0
    for name, call in calls(native):
        before = live.value
        short, number = True, 0
        while short:
            granted.value = number
            short = quietly(call)
            granted.value = -1
            refused += short
            number += 1
            if live.value != before:
                print(f"{name}: {live.value - before} kept of {number}")
                break
    print(f"refused {refused} times")


@pytest.fixture
def rationed(tmp_path: Path) -> Callable[..., str]:
    """Runs a kernel with its memory rationed, changed in one place, and says what it kept."""

    def run(file: str = "native.c", before: str = "", after: str = "") -> str:
        package = tmp_path / "trackparse"
        shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        source = package / "records/kernel/native.c"
        changed = source.with_name(file)
        text = changed.read_text()
        assert before in text
        changed.write_text(text.replace(before, after) if before else text)
        source.write_text(RATIONED + source.read_text())
        library = source.with_name("native.abi3.so")
        include = sysconfig.get_paths()["include"]
        subprocess.run(
            [
                "cc",
                "-O0",
                "-g",
                "-std=c11",
                "-DPy_LIMITED_API=0x030B0000",
                "-shared",
                "-fPIC",
                f"-I{include}",
                str(source),
                "-o",
                str(library),
            ],
            check=True,
        )
        environment = {name: value for name, value in os.environ.items() if name != "TRACKPARSE_KERNEL"}
        environment["PYTHONPATH"] = os.pathsep.join((str(tmp_path), str(TESTS)))
        code = f"import test_kernel_leaks; test_kernel_leaks.ration({str(library)!r})"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        pytest.skip("Python.h is missing")
    return run


def test_no_call_keeps_memory_when_it_runs_out(rationed: Callable[..., str]) -> None:
    said = rationed().splitlines()
    assert len(said) == 1, said
    assert int(said[0].split()[1]) > 50


def test_memory_that_is_kept_is_seen(rationed: Callable[..., str]) -> None:
    assert "strings: column 4" in rationed("native_values.h", "    free(m->validity.bits);\n", "")


def test_no_object_that_cannot_be_made_keeps_another(kernel: ModuleType) -> None:
    """Python's own allocator refuses, each request in turn."""
    testcapi = pytest.importorskip("_testcapi", reason="this Python comes without _testcapi")
    refused = 0
    for name, call in calls(kernel):
        before = sys.getallocatedblocks()
        for _ in range(8):
            for number in range(40):
                testcapi.set_nomemory(number, number + 1)
                try:
                    refused += quietly(call)
                except MemoryError:  # on the way in or out
                    refused += 1
                finally:
                    testcapi.remove_mem_hooks()
        assert sys.getallocatedblocks() - before < 60, name
    assert refused > 1000
