"""It imports and converts where names of POSIX are missing, as on Windows. More of that cannot be tried on Linux."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from trackparse.testing.sample import write_sample

# Other packages first: on Windows they are others. Then everything of ours, and a command that would have two workers.
_WITHOUT_POSIX = """
import builtins, os, pkgutil, signal, sys
from importlib import import_module
for name in ("asyncio", "http.server", "multiprocessing.connection", "multiprocessing.popen_spawn_posix", "tempfile",
             "click", "isal.igzip_lib", "orjson", "polars", "pyarrow.dataset", "pyarrow.fs", "pyarrow.parquet",
             "rich.progress", "urllib3"):
    import_module(name)
import fcntl
def flush(descriptor, flags=fcntl.fcntl, get=fcntl.F_GETFL, flush=os.fsync):
    if flags(descriptor, get) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(9, "Windows brings only files that are open for writing to the disk")
    flush(descriptor)
os.fsync = flush
def opened(path, *more, open=open, **named):
    if str(path).startswith("/proc/"):
        raise FileNotFoundError(2, "Windows has no /proc", path)
    return open(path, *more, **named)
builtins.open = opened
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for module, names in (
    (signal, "SIGHUP SIGALRM SIGKILL SIGUSR1 SIGPIPE SIGCHLD ITIMER_REAL SIG_BLOCK SIG_UNBLOCK SIG_SETMASK setitimer "
             "pthread_sigmask pthread_kill sigwait sigpending"),
    (os, "O_NONBLOCK O_NOFOLLOW O_CLOEXEC O_DIRECTORY sched_getaffinity getuid geteuid fork register_at_fork sendfile "
         "pread statvfs getpgid setsid killpg mkfifo uname posix_fadvise fchmod fchown fdatasync waitid"),
):
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
import trackparse
for module in pkgutil.walk_packages(trackparse.__path__, "trackparse."):
    # pyspark is an extra that the suite does without.
    if not module.name.endswith(("__main__", ".spark")) and import_module(module.name):
        print(module.name, file=sys.stderr)
from trackparse.cli import main
from trackparse.convert import running
running._HAS_WORKERS = False
from trackparse import atomic
atomic._SEARCH_INTERVAL = 0  # of what killed processes left: before each file, not only on a slow machine
main()
"""


def test_without_what_windows_does_not_have_it_converts(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        write_sample(tmp_path / name, rows=100)
    command = [sys.executable, "-c", _WITHOUT_POSIX, "convert", "a.zip", "b.zip", "--jobs", "2", "--to", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = set(done.stderr.splitlines())
    assert {f"trackparse.{name}" for name in ("atomic", "signals", "convert.worker", "cli.app")} <= told
    assert "trackparse: on Windows logs are converted one after the other" in told
    assert [pq.read_table(tmp_path / "out" / f"{name}.parquet").num_rows for name in "ab"] == [100, 100]
