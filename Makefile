# The same verbs by hand and in CI. PYTHON=… takes another interpreter, VENV=… another place.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup quick test lint format docs notebook engines recipes peaks bars coverage bench writers oracle mutations torture partitions faults flat lookup stores tsan bombs fuzz ci clean

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

# Runs docs/notebook.ipynb in a kernel, and stores what its cells print and draw. The suite runs the cells, too.
notebook: setup
	$(BIN)/python tests/support/run_notebook.py docs/notebook.ipynb

# The documentation as a site, in build/docs; its tools are in an environment of their own. SITE=... takes another folder.
SITE ?= build/docs
docs:
	test -x $(SITE)-venv/bin/python || $(PYTHON) -m venv $(SITE)-venv
	$(SITE)-venv/bin/python -m pip install --quiet --no-compile '.[docs,client,polars]'
	$(SITE)-venv/bin/sphinx-build -q -E -W --keep-going -d $(SITE)-doctrees docs $(SITE)
	$(SITE)-venv/bin/python docs/check.py $(SITE)

# Tests with engines, lakes and loaders, which the suite skips where they are not installed. Spark needs a JRE.
engines: .engines/.installed
	PYTHONDEVMODE=1 .engines/bin/python -m pytest -q tests/engines

# Recipes of the docs that CI leaves out, each with what it is for: some minutes, and 2 GB of packages.
recipes: .engines/.installed .recipes/.installed .airflow/.installed
	.engines/bin/python -m pytest -q tests/recipes/test_loaders.py
	.recipes/bin/python -m pytest -q tests/recipes/test_orchestrators.py
	.airflow/bin/python -m pytest -q tests/recipes/test_airflow.py

# Memory that each engine takes for 1,000,000 and for 4,000,000 rows: the figures of docs/lake.md. Some minutes.
PEAKS ?= --rows 1000000 --rows 4000000
peaks: .engines/.installed
	.engines/bin/python tests/support/peaks.py $(PEAKS)

# How late an event loop is while a log passes it, what a filter of Polars costs, and what several jobs save; with nothing
# else at work. A quarter of an hour.
bars: setup
	$(BIN)/python tests/torture/loop_lag.py
	$(BIN)/python tests/torture/scan_cpu.py
	$(BIN)/python -m benchmarks.jobs --check

.engines/.installed: EXTRAS = cli,engines,polars,spark
.recipes/.installed: EXTRAS = recipes
.airflow/.installed: EXTRAS = airflow,client
.engines/.installed .recipes/.installed .airflow/.installed: pyproject.toml setup.py
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	touch $@

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

# Kills of conversions, fetches and syncs at any moment.
KILLS ?= 500
torture: setup
	$(BIN)/python tests/torture/kills.py --kills $(KILLS)

# Conversions to partitions, killed on disk and on S3, and run again: minutes. Then beside pyarrow: a quarter of an hour.
partitions: setup
	$(BIN)/python tests/torture/partitions.py
	$(BIN)/python -m benchmarks.partitions --check

# Fifty faults planted one after the other in a clone of COMMIT, each of which the tests have to see: half an hour.
COMMIT ?= HEAD
faults: setup
	$(BIN)/python tests/torture/seeded_faults.py --commit $(COMMIT) --whole

# Memory of a dataset of many logs, through each of its methods.
FLAT_ROWS ?= 8000000
flat: setup
	$(BIN)/python tests/torture/flat.py --rows $(FLAT_ROWS)

# Bytes read of a month of Parquet to find out what became of one message, with Bloom filters and without.
DAY_ROWS ?= 100000
lookup: setup
	$(BIN)/python tests/torture/lookup.py --rows $(DAY_ROWS)

# A large log from S3 to S3, on a server on loopback: its cost, and whatever ends it.
STORE_ROWS ?= 1060000
stores: setup
	PYTHONPATH=tests:. $(BIN)/python tests/torture/stores.py --rows $(STORE_ROWS)

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
	rm -rf build dist $(VENV) .engines .recipes .airflow .mypy_cache .pytest_cache .ruff_cache .hypothesis src/*.egg-info src/trackparse/records/kernel/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
