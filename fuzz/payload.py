"""Payload columns: the reference and every instruction set say the same, and it is what ``event.payload`` says."""

from __future__ import annotations

import sys
from pathlib import Path

from harness import Knobs, counted, fuzz

sys.path.append(str(Path(__file__).parent.parent / "tests"))

with counted():
    from support.payloads import KEYS, KINDS, expected, looked_up, payload_run, same, values_of
    from trackparse.records.kernel import native, reference
    from trackparse.records.kernel.codes import Run, Wanted

SETS = native.instruction_sets()


def check(data: bytes, knobs: Knobs) -> None:
    """Some columns out of the lines of the data, of which each is a payload."""
    # A record that is not UTF-8 has no payload.
    payloads = data.decode(errors="ignore").encode().split(b"\x1e")
    depths = (0, 1, 1, 2, 3)
    wanted = [
        Wanted(tuple(knobs.choice(KEYS).encode() for _ in range(knobs.choice(depths))), knobs.choice(KINDS))
        for _ in range(knobs.choice((1, 2, 5)))
    ]
    run = payload_run(payloads)
    runs = [run, Run(b"", b"", 3, 1, -1), run][: knobs.choice((1, 1, 3))]
    columns = reference.payload_columns(runs, wanted)
    for name in SETS:
        native.select(name)
        found = native.payload_columns(runs, wanted)
        assert found == columns, f"{payloads}, {wanted}: {name} says {found}, the reference {columns}"
    for (keys, kind), column in zip(wanted, columns, strict=True):
        for payload, ours in zip(payloads, values_of(column, kind, len(payloads)), strict=True):
            value, _ = expected(looked_up(payload, [key.decode() for key in keys]), kind)
            assert same(ours, value, kind), f"{payload!r}, {keys}, {kind}: the column has {ours!r}, the event {value!r}"


if __name__ == "__main__":
    fuzz(check)
