#!/bin/sh
# Lines that tests run: of Python by coverage.py, subprocesses and all, and of C by gcov, from a copy of the package.
#   tests/coverage.sh .venv/bin [pytest's arguments]
set -eu
cd "$(dirname "$0")/.."
bin=$(cd "$1" && pwd)
shift
out=$PWD/build/coverage
rm -rf "$out"
mkdir -p "$out"
cp -R src "$out/src"
rm -f "$out"/src/trackparse/records/kernel/*.so
include=$("$bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
(
    cd "$out/src/trackparse/records/kernel"
    # The atomic counters are for the threads that scan at the same time.
    gcc --coverage -fprofile-update=atomic -O0 -std=c11 -fno-strict-aliasing -DPy_LIMITED_API=0x030B0000 -shared -fPIC \
        "-I$include" native.c -o native.abi3.so
)
export PYTHONPATH="$out/src" COVERAGE_FILE="$out/data" PYTHONDEVMODE=1
status=0
# coverage.py imports modules of its own at the start of each process, and a signal in its hooks may be lost.
"$bin/python" -m coverage run -m pytest -q -n auto "$@" \
    --deselect tests/test_cli.py::test_help_imports_only_what_it_needs \
    --deselect tests/test_cli.py::test_an_interrupt_ends_quietly_with_130 || status=$?
"$bin/python" -m coverage combine -q
"$bin/python" -m coverage report --include "src/*"
cd "$out/src/trackparse/records/kernel"
gcov -r native.abi3.so-native.gcda 2>/dev/null | awk '
    /^File/ { file = $2 }
    /^Lines executed/ { split($0, part, /[:%]| of /); if (file) printf "%-16s %6.1f%% of %d lines\n", file, part[2], part[4]; file = "" }'
exit $status
