"""A large log from S3 to S3: what it costs, that nothing large is stored on the way, and whatever ends it.

PYTHONPATH=tests:. python tests/torture/stores.py --rows 1060000

The server is moto's, on loopback. A conversion from S3 to S3 may take as long as one from disk to disk and a plain copy
of the same bytes by pyarrow, in and out. Each is a process of its own, by turns; seconds are those of the clock, and
the processor's of both sides.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import corpus

from support.ends import heed_signals
from support.s3 import BUCKET, Bucket, served

_LARGEST_FILE = 8 << 20  # bytes that a process may write to one file of this machine
_WAIT = 600  # seconds for a process to end, on a machine that has other work, too
_VIAS = ("url", "s3fs")
_WORK = """
import io, sys, time
import pyarrow.fs as fs, trackparse
what, source, dest, address, plain_in, plain_out = sys.argv[1:]
trackparse.convert_log(b"//timestamp;tracking_code\\n", io.BytesIO())  # all that is imported
files = fs.S3FileSystem(endpoint_override=address, scheme="http", region="us-east-1")
files.get_file_info(plain_in)
before, start = time.process_time(), time.perf_counter()
if what == "copy":
    size = files.get_file_info(plain_in).size
    with files.open_input_file(plain_in) as packed:
        for at in range(0, size, 8 << 20):
            packed.read_at(min(8 << 20, size - at), at)
    with fs.LocalFileSystem().open_input_file(source) as parquet, files.open_output_stream(plain_out) as out:
        while piece := parquet.read(1 << 20):
            out.write(piece)
else:
    trackparse.convert_log(source, dest)
print(time.perf_counter() - start, time.process_time() - before)
"""
_ENDED = """
import os, signal, sys, threading, time
import trackparse
how, via, source, dest, address, share = sys.argv[1:]
options = {}
if via == "s3fs":
    import s3fs
    options["filesystem"] = s3fs.S3FileSystem(endpoint_url=f"http://{address}")

def press():
    for _ in range(4):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)

def progress(told):
    if told.bytes_read < float(share) * told.bytes_total:
        return
    if how == "exception":
        raise ValueError("in the middle")
    if how == "exit":
        sys.exit(3)
    if how == "SIGINT again":
        threading.Thread(target=press).start()
        time.sleep(20)
    os.kill(os.getpid(), getattr(signal, how))

trackparse.convert_log(source, dest, compression="none", row_group_size=20_000, progress=progress, **options)
"""
_CODES = {
    "exception": 1,
    "exit": 3,
    "SIGINT": -signal.SIGINT,
    "SIGINT again": -signal.SIGINT,
    "SIGTERM": -signal.SIGTERM,
}


def limited() -> None:
    """Runs in the child: a larger file is an error there."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))


def server_seconds(pid: int) -> float:
    """What the server has taken of the processor so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cost(bucket: Bucket, log: Path, folder: Path, turns: int) -> bool:
    """Whether S3 to S3 takes at most as long as disk to disk and a plain copy."""
    parquet = folder / "day.parquet"
    ways = {
        "disk": ("convert", str(log), str(parquet)),
        "copy": ("copy", str(parquet), ""),
        "stores": ("convert", bucket.url("in/day.zip"), bucket.url("out/day.parquet")),
    }
    clock: dict[str, list[float]] = {way: [] for way in ways}
    processor: dict[str, list[float]] = {way: [] for way in ways}
    pid = int(
        subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "s3_server"], capture_output=True).stdout.split()[0]
    )
    for _ in range(turns):
        for way, words in ways.items():
            command = [sys.executable, "-c", _WORK, *words, bucket.address]
            command += [f"{BUCKET}/in/day.zip", f"{BUCKET}/out/copy.parquet"]
            served_before = server_seconds(pid)
            done = subprocess.run(
                command,
                check=True,
                capture_output=True,
                text=True,
                preexec_fn=limited if way == "stores" else None,
            )
            elapsed, own = map(float, done.stdout.split())
            clock[way].append(elapsed)
            processor[way].append(own + server_seconds(pid) - served_before)
    if bucket.get("out/day.parquet")[-(1 << 16) :][-4:] != b"PAR1":
        raise SystemExit("no Parquet file came out")
    good = True
    for kind, seconds in (("clock", clock), ("processor, both sides", processor)):
        medians = {way: statistics.median(found) for way, found in seconds.items()}
        turned = zip(seconds["stores"], seconds["disk"], seconds["copy"], strict=True)
        ratio = statistics.median(both / (disk + copy) for both, disk, copy in turned)
        good = good and (kind != "clock" or ratio <= 1)
        told = ", ".join(f"{way} {median:.2f} s" for way, median in medians.items())
        print(f"{kind}: {told}; S3 to S3 over both others {ratio:.2f} (bar, of the clock: 1)", flush=True)
    print(f"no file of more than {_LARGEST_FILE >> 20} MiB was written on the way from S3 to S3")
    return good


def ends(bucket: Bucket) -> bool:
    """Whether nothing has the name, whatever ends the process, and it does end."""
    wrong = 0
    for via in _VIAS:
        source = bucket.url("in/day.zip") if via == "url" else f"{BUCKET}/in/day.zip"
        dest = bucket.url("ended/day.parquet") if via == "url" else f"{BUCKET}/ended/day.parquet"
        for how, code in _CODES.items():
            for share in (0.2, 0.6, 0.95):
                command = [sys.executable, "-c", _ENDED, how, via, source, dest, bucket.address, str(share)]
                start = time.monotonic()
                try:
                    done = subprocess.run(
                        command, capture_output=True, text=True, timeout=_WAIT, preexec_fn=limited, check=False
                    )
                except subprocess.TimeoutExpired:
                    print(f"{via}, {how} at {share:.0%}: it does not end")
                    wrong += 1
                    continue
                found = bucket.keys()
                left = [key for key in found if key.startswith("ended/")]
                named = [key for key in left if not key.startswith("ended/.")]
                # After a signal that nobody handles there may be an upload; it is none of a name that readers see.
                over = [] if how == "SIGTERM" else left + bucket.uploads()
                fine = done.returncode == code and not named and not over
                wrong += not fine
                told = (
                    "" if fine else f": code {done.returncode}, left {left}, {bucket.uploads()}: {done.stderr[-300:]}"
                )
                print(f"{via}, {how} at {share:.0%}: {time.monotonic() - start:.1f} s{told}", flush=True)
                for one in bucket.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
                    bucket.client.abort_multipart_upload(Bucket=BUCKET, Key=one["Key"], UploadId=one["UploadId"])
                for key in left:
                    bucket.client.delete_object(Bucket=BUCKET, Key=key)
    return not wrong


def main() -> int:
    heed_signals()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_060_000)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    log = corpus.log("today", "php", given.rows)
    print(f"{log.path.stat().st_size / 1e6:.0f} MB, {log.inflated / 1e6:.0f} MB unpacked", flush=True)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as bucket:
        bucket.client.upload_file(str(log.path), BUCKET, "in/day.zip")
        good = cost(bucket, log.path, Path(folder), given.turns)
        return int(not (ends(bucket) and good))


if __name__ == "__main__":
    sys.exit(main())
