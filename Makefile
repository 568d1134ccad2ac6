# The same verbs by hand and in CI. PYTHON=… takes another interpreter, VENV=… another place.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup test lint bench fuzz oracle ci clean

setup: $(BIN)/.installed

$(BIN)/.installed: pyproject.toml setup.py $(wildcard src/trackparse/*.c src/trackparse/*.h)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

test: setup
	PYTHONDEVMODE=1 $(BIN)/python -m pytest -n auto

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m benchmarks

# Seconds for each target.
SECONDS ?= 60
fuzz: setup
	$(BIN)/python fuzz/run.py --seconds $(SECONDS)

# Logs at random, read as docs/format.md says; SEED takes others.
LOGS ?= 50000
SEED ?= 1
oracle: setup
	PYTHONPATH=tests $(BIN)/python -m oracle.compare --logs $(LOGS) --seed $(SEED)

# All of it in a copy, with tools installed where root may do that.
ci:
	.ci/run

clean:
	rm -rf build dist $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis src/*.egg-info src/trackparse/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
