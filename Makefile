# `make demo` and `make test` work in a fresh clone; each target makes .venv on its first use.
PYTHON ?= python3
N ?= 50
BIN := .venv/bin
VENV := .venv/installed
# One more than two processors: half of the time tests wait for other processes.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadgroup
# The modules that hold a backend to its contract.
CONTRACTS = $(shell grep -lrE --include='*.py' '^class Test.*Contract' tests)

.PHONY: help demo test quick contract lint bench crash
.DELETE_ON_ERROR:

help:
	@echo "make demo        train a small network and show what arrived in MLflow"
	@echo "make test        every test"
	@echo "make quick       the tests that need no server, kill nothing and are not slow"
	@echo "make contract    all promises of all backends, with those that \`make test\` leaves out"
	@echo "make lint        style, types, import contracts, dependencies, spelling"
	@echo "make bench       the table of figures in bench/README.md"
	@echo "make crash N=50  kill trainer, keeper and relay N times, on the way to each tracker; nothing may be"
	@echo "                 lost or doubled; ONLY='--backend aim' for one, ONLY=--relays for relays that deliver"
	@echo "PYTHON=...       the interpreter that .venv is made with; 3.10 or newer"

$(VENV): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "tracelet needs Python 3.10 or newer, and $(PYTHON) is not; say for example: make PYTHON=python3.12" >&2; \
	  exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	  --constraint constraints.txt --editable '.[all,dev]'
	touch $@

demo: $(VENV)
	cd examples && ../$(BIN)/python digits.py

test: $(VENV)
	$(PYTEST)

quick: $(VENV)
	$(PYTEST) -m "not live and not crash and not slow"

contract: $(VENV)
	TRACELET_TESTS_DEEP=1 $(PYTEST) --timeout 1200 $(CONTRACTS)

lint: $(VENV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/deptry src
	$(BIN)/codespell

bench: $(VENV)
	$(BIN)/python -m bench

crash: $(VENV)
	$(BIN)/python -m tests.crash $(N) $(ONLY)
