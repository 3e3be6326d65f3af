# `make run` runs the pipeline, `make test` the tests. Both set up .venv first if there is none.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCKS := requirements.lock requirements-no-deps.lock
# Tools that the tests and the pipeline start are those of the environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test test-all lint docs schema clean help

run: $(STAMP) ## build what is missing, print the table and where the report is
	@EQSSL_PARENT=$$PPID exec $(BIN)/python -m eqssl run

test: $(STAMP) ## every fast test
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-all: $(STAMP) ## every test
	$(BIN)/python -m pytest -n 2

lint: $(STAMP) ## style, types, which room imports which, and the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

docs: $(STAMP) ## the documentation as a site in site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -P -m mkdocs build --strict

schema: $(STAMP) ## the JSON schema of params.yaml, after a change of eqssl/config
	$(BIN)/python -m eqssl schema --out workflow/schemas/params.schema.json

clean: ## logs, caches, report and site; never results, trackers' runs, data or .venv
	find logs -mindepth 1 -maxdepth 1 ! -name trackers -exec rm -rf {} + 2>/dev/null || true
	rm -rf benchmarks report site build dist .scratch .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
	find eqssl tests -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile

# The stamp is written last: an installation that was cut short is taken up again.
$(STAMP): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "eqssl needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Name another one: make run PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "eqssl needs venv and pip: install the package python3-venv of your system." >&2; exit 1; }
	@echo "setting up $(VENV): a few minutes, and 2 GB on the disk"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps -r requirements-no-deps.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
