# The same verbs by hand and in CI. PYTHON=… takes another interpreter, VENV=… another place.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup quick test lint format coverage bench writers oracle mutations torture partitions faults flat tsan bombs fuzz ci clean

setup: $(BIN)/.installed

$(BIN)/.installed: pyproject.toml setup.py $(wildcard src/trackparse/records/kernel/*.[ch] src/trackparse/records/kernel/*.inc)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

# What an edit breaks shows in half a minute; each module is touched. The whole suite is `make test`.
quick: setup
	PYTHONDEVMODE=1 $(BIN)/python -m pytest -q -n auto -m quick

test: setup
	PYTHONDEVMODE=1 $(BIN)/python -m pytest -n auto

C_FILES = $(shell git ls-files '*.c' '*.h' '*.inc')
lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_FILES)

# Lines of Python and of C that the suite runs; TESTS="-m quick" takes the quick tests. Needs gcc.
TESTS ?=
coverage: setup
	tests/coverage.sh $(BIN) $(TESTS)

bench: setup
	$(BIN)/python -m benchmarks

# Rows of every writer, read with no hint; the suite has 20,000 of them. Another FIRST_ROUND is another seed.
ROWS ?= 1000000
FIRST_ROUND ?= 0
writers: setup
	PYTHONPATH=tests $(BIN)/python -m writers --rows $(ROWS) --first-round $(FIRST_ROUND)

# Seconds for each target.
SECONDS ?= 60
fuzz: setup
	$(BIN)/python fuzz/run.py --seconds $(SECONDS)

# Archives of several logs with every bit flipped, mutated at random, and of more than 4 GiB: minutes.
MUTATIONS ?= 100000
mutations: setup
	$(BIN)/python tests/torture/mutations.py --mutations $(MUTATIONS)
	$(BIN)/python tests/torture/large.py

# Kills of conversions and fetches at any moment.
KILLS ?= 500
torture: setup
	$(BIN)/python tests/torture/kills.py --kills $(KILLS)

# Conversions to partitions, killed on disk and on S3, and run again: minutes. Then beside pyarrow: a quarter of an hour.
partitions: setup
	$(BIN)/python tests/torture/partitions.py
	$(BIN)/python -m benchmarks.partitions

# Fifty faults planted one after the other in a clone of COMMIT, each of which the tests have to see: half an hour.
COMMIT ?= HEAD
faults: setup
	$(BIN)/python tests/torture/seeded_faults.py --commit $(COMMIT) --whole

# Memory of a dataset of many logs, through each of its methods.
FLAT_ROWS ?= 8000000
flat: setup
	$(BIN)/python tests/torture/flat.py --rows $(FLAT_ROWS)

# ThreadSanitizer over the kernel, with tests of threads and forks. Needs gcc with its libtsan.
tsan: setup
	$(BIN)/python tests/torture/threads.py

# Logs made to cost memory, read in all ways: half an hour. Then others are looked for.
bombs: setup
	TRACKPARSE_BOMBS=all $(BIN)/python -m pytest -q -rA tests/test_memory.py
	$(BIN)/python fuzz/bombs.py --seconds $(SECONDS)

# Logs at random, read as docs/format.md says; SEED takes others.
LOGS ?= 50000
SEED ?= 1
oracle: setup
	PYTHONPATH=tests $(BIN)/python -m oracle.compare --logs $(LOGS) --seed $(SEED)

# All of it in a copy, with tools installed where root may do that.
ci:
	.ci/run

clean:
	rm -rf build dist $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis src/*.egg-info src/trackparse/records/kernel/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
