"""Kills conversions, fetches and syncs at any moment, and looks at what is left: no half file, no lost one, no process.

    python tests/torture/kills.py --kills 500

A run is killed by SIGKILL, SIGTERM, SIGINT or SIGHUP, once or twice, alone or with its group, at a moment between the
start of our own code and its end. There is an old Parquet file and an old file of rejects, and afterwards there are
those or the new ones. After a sync that was killed, another one is not: then there are the new ones, and nothing else.
"""

from __future__ import annotations

import argparse
import datetime
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import pyarrow.parquet as pq

import trackparse
from support.ends import heed_signals
from support.workers import PROGRAM_WITH_WORKERS
from trackparse.client.made import metadata_of
from trackparse.client.manifest import MANIFEST
from trackparse.convert.conversion import convert
from trackparse.options import convert_options
from trackparse.testing import TOKEN, FakeService
from trackparse.testing.sample import COLUMNS, encode_row, sample_rows, write_sample

SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 143}
WAIT = 30.0  # seconds for all processes of a run to end
OLD_ROWS = 3


@dataclass
class Scene:
    """A command, and the pairs of files that it writes."""

    name: str
    words: list[str]
    folder: Path
    pairs: list[tuple[Path, Path]]  # Parquet, rejects
    rows: int
    day: datetime.date
    environment: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # that a run takes
    old: dict[Path, bytes] = field(default_factory=dict)


@dataclass
class Findings:
    """What was seen; all but the kills have to be nothing."""

    kills: Counter[str] = field(default_factory=Counter)
    ended_before: int = 0
    finished: int = 0  # in spite of a signal, because that came at the last moment
    temporaries_after_kill: int = 0  # allowed, if the next run removes them
    faults: list[str] = field(default_factory=list)
    torn_by_kill: int = 0  # between two renames: new rejects beside the old Parquet file


@contextmanager
def scenes(rows: int) -> Iterator[list[Scene]]:
    """Folders with logs and old files, and a service to fetch from."""
    with tempfile.TemporaryDirectory() as root, FakeService() as service:
        log = Path(root) / "log.csv"
        with log.open("wb") as file:
            file.write(f"//{';'.join(COLUMNS)}\n".encode())
            file.writelines(map(encode_row, sample_rows(rows)))
            file.write(b"this is not a record\n")
        day = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
        service._logs[str(day)] = log
        found = []
        for name, jobs in (("convert", 1), ("convert --jobs 2", 2), ("fetch", 1), ("sync", 1)):
            folder = Path(root) / name.replace(" ", "")
            folder.mkdir()
            if name in ("fetch", "sync"):
                options = ["--base-url", service.url, "--allow-http", "--days", "1", "--to", str(folder)]
                scene = Scene(name, [name, *options], folder, [pair(folder / str(day))], rows, day)
                scene.environment["TRACKPARSE_TOKEN"] = TOKEN
            else:
                logs = [folder / f"day{number}.csv" for number in range(jobs)]
                for path in logs:
                    path.hardlink_to(log)
                words = ["convert", *map(str, logs), "--jobs", str(jobs)]
                scene = Scene(name, words, folder, [pair(path.with_suffix("")) for path in logs], rows, day)
            prepare(scene)
            found.append(scene)
        yield found


def pair(stem: Path) -> tuple[Path, Path]:
    return stem.with_name(f"{stem.name}.parquet"), stem.with_name(f"{stem.name}.rejects.jsonl")


def prepare(scene: Scene) -> None:
    """Old files, and how long a run takes."""
    start = time.monotonic()
    with run(scene) as process:
        told = process.communicate()
    assert process.returncode == 0, told
    scene.seconds = time.monotonic() - start
    small = b"//timestamp;tracking_code\n" + b"2021-04-20 13:01:01;T-1\n" * OLD_ROWS + b"old\n"
    for dest, rejects in scene.pairs:
        asked = convert_options({"on_error": "quarantine", "rejects": rejects})
        convert(small, dest, asked, metadata_of("an old one", scene.day, 0, 0, "other options"))
        scene.old |= {path: path.read_bytes() for path in (dest, rejects)}


def begun(process: subprocess.Popen[bytes]) -> float:
    """Wait until it listens to signals, as it does before all else: seconds that took. Python itself is loaded then."""
    start = time.monotonic()
    while process.poll() is None:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
        caught = int(status["SigCgt"], 16)
        settled = caught | int(status["SigIgn"], 16)
        if caught >> (signal.SIGTERM - 1) & settled >> (signal.SIGHUP - 1) & 1:
            break
        time.sleep(0.001)
    return time.monotonic() - start


def run(scene: Scene) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*PROGRAM_WITH_WORKERS, *scene.words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**{name: value for name, value in os.environ.items() if name != "PYTHONDEVMODE"}, **scene.environment},
    )


def kill(scene: Scene, number: signal.Signals, rng: random.Random, findings: Findings) -> None:
    """One run, one kill, one look."""
    (scene.folder / MANIFEST).unlink(missing_ok=True)
    for path, content in scene.old.items():
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
    twice, group = rng.random() < 0.3, rng.random() < 0.5
    what = f"{scene.name}: {number.name}{' twice' if twice else ''}{' to the group' if group else ''}"
    with run(scene) as process:
        begin = time.monotonic()
        start = begun(process)
        # Most of it is work, some of it the start.
        moment = rng.choice([rng.uniform(0, 1.05), rng.uniform(0.5, 1.05)]) * (scene.seconds - start)
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        early = process.returncode is None
        if not early:
            # The machine is less busy than it was.
            scene.seconds = min(scene.seconds, time.monotonic() - begin)
        for _ in range(1 + twice):
            with suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(process.pid, number)
            time.sleep(rng.uniform(0, 0.05) if twice else 0)
        try:
            _, told = process.communicate(timeout=WAIT)
        except subprocess.TimeoutExpired:
            findings.faults.append(f"{what}: does not end")
            os.killpg(process.pid, signal.SIGKILL)
            _, told = process.communicate()
    findings.kills[number.name] += early
    findings.ended_before += not early
    findings.finished += early and process.returncode == 0
    what += f" after {moment:.3f} s of {scene.seconds:.3f}, code {process.returncode}"
    findings.faults += [f"{what}: {fault}" for fault in look(scene, process, number, told, findings)]
    if scene.name == "sync":
        findings.faults += [f"{what}: {fault}" for fault in look_after_another(scene)]


def look(
    scene: Scene, process: subprocess.Popen[bytes], number: signal.Signals, told: bytes, findings: Findings
) -> Iterator[str]:
    """What is wrong with what is left."""
    if not gone(process.pid):
        yield "processes are left"
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode not in (0, CODES[number]):
        yield f"code {process.returncode}"
    # The old file is none of convert's.
    usual = ("1 bad record set aside", "in place of Parquet that convert did not make")
    if lines := [line for line in told.decode().splitlines() if not any(words in line for words in usual)]:
        yield f"it says {lines}"
    for dest, rejects in scene.pairs:
        states = {state(scene, dest), state(scene, rejects)}
        yield from states - {"old", "new"}
        if states == {"old", "new"}:
            findings.torn_by_kill += number == signal.SIGKILL
            if number != signal.SIGKILL:
                yield "one file is old, and one is new"
    left = temporaries(scene.folder)
    if left and number != signal.SIGKILL:
        yield f"temporaries are left: {left}"
    if left:
        findings.temporaries_after_kill += len(left)
        write_sample(scene.folder / "next.zip", rows=1)
        (scene.folder / "next.zip").unlink()
        if left := temporaries(scene.folder):
            yield f"temporaries are left after the next run: {left}"


def look_after_another(scene: Scene) -> Iterator[str]:
    """What is wrong after a second run, which nobody kills."""
    with run(scene) as process:
        _, told = process.communicate()
    if process.returncode or b"kept" in told:
        yield f"the run after it: code {process.returncode}, {told.decode()}"
    [files] = scene.pairs
    yield from {f"the run after it: {state(scene, path)}" for path in files} - {"the run after it: new"}
    left = {path.name for path in scene.folder.iterdir()} - {path.name for path in files}
    if left != {MANIFEST}:
        yield f"the run after it leaves {left}"


def gone(group: int) -> bool:
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def state(scene: Scene, path: Path) -> str:
    """``old``, ``new``, or what is wrong with it."""
    if not path.exists():
        return f"{path.name} is lost"
    if path.read_bytes() == scene.old[path]:
        return "old"
    try:
        if path.suffix == ".parquet":
            whole = pq.read_table(path).num_rows == scene.rows
        else:
            whole = trackparse.read_rejects(path)["raw"].to_pylist() == [b"this is not a record\n"]
    except Exception as fault:
        return f"{path.name} is half a file: {fault}"
    return "new" if whole else f"{path.name} is another file"


def temporaries(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def campaign(kills: int, seed: int, rows: int = 150_000) -> Findings:
    """So many kills that met a process at work, spread over the scenes."""
    heed_signals()
    rng = random.Random(seed)
    findings = Findings()
    with scenes(rows) as found:
        turn = 0
        while findings.kills.total() < kills:
            # Each signal as often as any other, and with each scene.
            number = SIGNALS[(turn + turn // len(found)) % len(SIGNALS)]
            kill(found[turn % len(found)], number, rng, findings)
            turn += 1
    if findings.finished > max(5, kills // 5):
        findings.faults.append("too many runs went on to their end: do they get the signals?")
    return findings


def main() -> None:
    """Print the figures; exit with 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    findings = campaign(args.kills, args.seed)
    print(f"{findings.kills.total()} kills: {dict(findings.kills)}; {findings.ended_before} runs had ended before")
    print(f"runs that went on to their end: {findings.finished}")
    print(f"temporaries after SIGKILL: {findings.temporaries_after_kill}, all removed by the next run")
    print(f"SIGKILL between the two renames: {findings.torn_by_kill}")
    print(f"faults: {len(findings.faults)}", *findings.faults, sep="\n")
    sys.exit(bool(findings.faults))


if __name__ == "__main__":
    main()
