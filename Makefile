# Needs Linux on x86-64, Python 3.11 or newer with venv, and make. Everything else is installed
# into .venv from the package registry.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# One process runs all tests of whole stacks, which wait a lot, the others the rest, each file as a
# whole. The order is that of `testpaths`, whose long ones come first.
PROCESSES := -n 3 --dist loadscope --no-loadscope-reorder

.PHONY: demo up test test-slow test-unit check format schemas bench clean

demo: .venv/local
	$(BIN)/pocwhisp demo

up: .venv/local
	$(BIN)/pocwhisp up

test: .venv/dev
	$(PYTEST) $(PROCESSES)

# Ten times as many examples of what is tested with drawn ones.
test-slow: .venv/dev
	$(PYTEST) $(PROCESSES) --hypothesis-profile=patient

test-unit: .venv/dev
	$(PYTEST) tests/unit

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy events functions infra shared tests
	$(BIN)/lint-imports
	$(BIN)/python -m events.tools.schema --check
	$(BIN)/python -m events.tools.asyncapi --check

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: .venv/dev
	$(BIN)/python -m events.tools.schema
	$(BIN)/python -m events.tools.asyncapi

bench: .venv/dev
	$(BIN)/python -m tests.bench

clean:
	-[ ! -x $(BIN)/pocwhisp ] || $(BIN)/pocwhisp down --delete --data .pocwhisp
	rm -rf .venv .pocwhisp .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "PocWhisp needs Python 3.11 or newer; found $$($(PYTHON) -V). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/local: .venv/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local]'
	@touch $@

.venv/dev: .venv/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ .venv/local
