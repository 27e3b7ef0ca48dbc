# csc-evaluation. `make help` lists the targets; README.md says what each is for.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Everything below runs offline once installed.
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test lint types sql-lint python-tests warehouse-tests study docs bench bench-landing bench-build bench-matching bench-estimation clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Run: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: constraints.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: constraints.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.installed

install: $(VENV)/.installed ## create .venv and install pinned versions
install-dev: $(VENV)/.installed-dev ## the same with what the tests need

demo: install ## synthesise returns, land, build, estimate, report; print the estimate beside the truth
	$(BIN)/csceval demo --out demo

test: lint types sql-lint warehouse-tests python-tests ## everything CI runs

lint: install-dev ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install-dev ## mypy on the package
	$(BIN)/mypy

sql-lint: install-dev ## sqlfluff on models, analyses, data tests and what macros make, on an empty warehouse of its own
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; export CSC_WAREHOUSE="$$folder/lint.duckdb"; \
	  $(BIN)/python -m csc_evaluation.warehouse "$$CSC_WAREHOUSE" && \
	  $(BIN)/sqlfluff lint --processes 1 models analysis tests/dbt
	$(BIN)/python -m pytest --quiet tests/python/unit/warehouse/test_macro_sql.py

warehouse-tests: install-dev ## dbt build with all its tests on a small synthetic England
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; export CSC_WAREHOUSE="$$folder/small.duckdb"; set -e; \
	  $(BIN)/csceval synthesise --format raw --scale 0.02 --authorities 20 --seed 7; \
	  $(BIN)/dbt build --target-path "$$folder/target" --log-path "$$folder/logs"

python-tests: install-dev ## pytest
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -m "not study" --numprocesses 2 --dist loadfile

study: install-dev ## coverage over 20 seeds of the demonstration, and planted neighbours (slow)
	$(BIN)/python benchmarks/coverage_study.py --seeds 20
	$(BIN)/python benchmarks/planted_neighbours.py

# A warehouse of landed returns is documented where CSC_WAREHOUSE names one; else the marts are made empty.
docs: install-dev ## the data dictionary as one page that needs no network: target/data_dictionary.html
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; set -e; \
	  export DBT_TARGET_PATH="$$folder/target" DBT_LOG_PATH="$$folder/logs"; \
	  if [ -z "$$CSC_WAREHOUSE" ]; then \
	    export CSC_WAREHOUSE="$$folder/dictionary.duckdb"; \
	    $(BIN)/python -m csc_evaluation.warehouse "$$CSC_WAREHOUSE"; \
	    $(BIN)/dbt --quiet build --exclude-resource-type test unit_test; \
	  fi; \
	  $(BIN)/dbt docs generate --static; \
	  mkdir -p target; cp "$$folder/target/static_index.html" target/data_dictionary.html
	@echo "target/data_dictionary.html"

bench: bench-landing bench-build bench-matching bench-estimation ## all benchmarks; figures go to benchmarks/README.md

bench-landing: install-dev ## landing against the bare parser
	$(BIN)/python benchmarks/landing.py

BENCH_SCALES ?= 0.25 1.0
bench-build: install-dev ## dbt build against the floor, at a quarter of England and at all of it (slow)
	$(BIN)/python benchmarks/build.py --scale $(BENCH_SCALES)

bench-matching: install-dev ## matching of authorities and of a million children
	$(BIN)/python benchmarks/matching.py
	$(BIN)/python benchmarks/cem.py

bench-estimation: install-dev ## a million weighted rows against pyfixest and statsmodels
	$(BIN)/python benchmarks/estimation.py

clean: ## remove what the targets made, except .venv
	rm -rf demo target logs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
