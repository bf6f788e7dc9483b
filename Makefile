# Everything a contributor runs. `make help` lists it; `make setup` happens by itself where it is needed.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Without stored bytecode every worker compiles the tests and the test tools at each run: six seconds each.
unexport PYTHONDONTWRITEBYTECODE
# Stories wait as much as they work: four workers keep two cores busy.
# A temporary folder of its own, removed at the end: what an earlier run left behind can neither slow nor fail this one.
PYTEST = folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	TMPDIR="$$folder" $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal
PYTEST_WORKERS ?= 4
UV_COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile pyproject.toml --quiet --universal \
	--python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links

# An interpreter will do when it runs, is 3.11 or newer, and its SQLite is one that the workflow engine accepts:
# from Python 3.12 on it asks for SQLite 3.42.
SUITABLE = import sqlite3, sys; sys.exit(sys.version_info < (3, 11) or sys.version_info >= (3, 12) and sqlite3.sqlite_version_info < (3, 42))
# Ask for a particular one with `make setup PYTHON=/path/to/python`.
PYTHON ?= python3 python3.13 python3.12 python3.11

.PHONY: help setup demo serve test test-databases snapshots pages check check-format check-lint check-types check-imports check-dead check-schema check-words format lock sbom audit clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with every dependency, hash-checked, and the project itself (editable)

$(STAMP): requirements-dev.lock pyproject.toml
	@found=; for candidate in $(PYTHON); do \
		if "$$candidate" -c '$(SUITABLE)' >/dev/null 2>&1; then found="$$candidate"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "setup: none of '$(PYTHON)' will do. Autopack needs Python 3.11, or Python 3.12+ built with SQLite 3.42+" >&2; \
		echo "       (the workflow engine asks for it). Name an interpreter with: make setup PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	if $(BIN)/python -c '$(SUITABLE)' >/dev/null 2>&1 && $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "setup: updating $(VENV)"; \
	else \
		echo "setup: making $(VENV) with $$("$$found" --version)"; "$$found" -m venv --clear $(VENV); \
	fi
	@echo "setup: installing the locked packages (under a minute the first time)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## Run Autopack on the bundled sample repository against the embedded GitHub
	@$(BIN)/autopack demo

serve: $(STAMP) ## Start the service (settings come from the environment; see .env.example)
	@$(BIN)/autopack serve

test: $(STAMP) ## Run all tests (stories on SQLite, those about order and races on PostgreSQL too)
	@$(PYTEST)

test-databases: $(STAMP) ## Run every story, the long ones too, on SQLite and on PostgreSQL
	@$(PYTEST) --all-databases tests/story tests/db

snapshots: $(STAMP) ## Update the pages in tests/*/pages; read the difference before you commit it
	@$(BIN)/python -m pytest --quiet --snapshot-update tests/github/test_pages.py tests/github/test_golden_pages.py tests/artifacts/test_writer.py

pages: $(STAMP) ## Render the golden pages into docs/pages as GitHub shows them (needs Chromium)
	@$(BIN)/python -m tests.render_pages

check: check-format check-lint check-types check-imports check-dead check-schema check-words ## Check format, lint, types, room contract, dead code, schemas, words

check-format: $(STAMP)
	@echo "check: format" && $(BIN)/ruff format --check --quiet . || { echo "run: make format" >&2; exit 1; }

check-lint: $(STAMP)
	@echo "check: lint" && $(BIN)/ruff check --quiet .

check-types: $(STAMP)
	@echo "check: types" && $(BIN)/basedpyright

check-imports: $(STAMP)
	@echo "check: rooms" && $(BIN)/lint-imports --no-logo

check-dead: $(STAMP)
	@echo "check: dead code" && $(BIN)/vulture

check-schema: $(STAMP)
	@echo "check: schemas" && $(BIN)/autopack schema --check

check-words: $(STAMP)
	@echo "check: words" && $(BIN)/python -m tests.plain_words

format: $(STAMP) ## Format the code and mend what the linter can mend
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

lock: $(STAMP) ## Write the lock files anew from pyproject.toml (UPGRADE=1 takes newer releases)
	@$(UV_COMPILE) $(if $(UPGRADE),--upgrade) --output-file requirements.lock
	@$(UV_COMPILE) $(if $(UPGRADE),--upgrade) --extra dev --constraints requirements.lock --output-file requirements-dev.lock

sbom: $(STAMP) ## Write dist/autopack.cdx.json: what a release is made of (CycloneDX)
	@mkdir -p dist
	@$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application --short-PURLs --output-reproducible -o dist/autopack.cdx.json

audit: $(STAMP) ## Look the locked packages up among known weaknesses (needs the advisory service)
	@$(BIN)/pip-audit --requirement requirements.lock --disable-pip --strict

clean: ## Remove .venv, caches and build output
	@rm -rf $(VENV) build dist autopack.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find app handlers tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
