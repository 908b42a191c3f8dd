# Needs Linux on x86-64, Python 3.11 or newer with venv, and make. Everything else is installed
# into .venv from the package registry.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: demo up test test-unit check format schemas bench clean

demo: .venv/local
	$(BIN)/pocwhisp demo

up: .venv/local
	$(BIN)/pocwhisp up

# Two processes; each file's tests stay together, so that they share what they start.
test: .venv/dev
	$(PYTEST) -n 2 --dist loadfile

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
