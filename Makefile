# Each target sets up its own .venv from nothing but Python >= 3.11; uv is used where it is there.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; \
	done)
VENV := .venv
BIN := $(VENV)/bin
TEAM := .venv-team

# Small matrices: more threads wait for each other longer than they compute.
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test lint types unit team wheel docs benchmarks clean

demo: $(VENV)/.installed-inspect
	$(BIN)/midband demo --directory demo

test: lint types unit

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

unit: $(VENV)/.installed-dev
	$(BIN)/pytest -q -n auto --dist worksteal

# A shared history on a Postgres server. The extensions' wheels need a DuckDB of their version.
team: $(TEAM)/.installed
	sh .ci/postgres && export MIDBAND_TEST_TEAM=1; \
	$(TEAM)/bin/python -m pytest -q tests/history/test_ducklake.py

wheel: $(VENV)/.installed-dev
	$(BIN)/pytest -q -m wheel

# The documentation site, into build/docs.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

benchmarks: $(VENV)/.installed-dev
	for each in benchmarks/*.py; do $(BIN)/python $$each || exit 1; done

clean:
	rm -rf $(VENV) $(TEAM) demo dist build

$(VENV)/.installed-inspect: pyproject.toml constraints.txt
	sh .ci/install '$(PYTHON)' '$(VENV)' inspect,report
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	sh .ci/install '$(PYTHON)' '$(VENV)' inspect,report,view dev
	touch $@ $(VENV)/.installed-inspect

$(TEAM)/.installed: pyproject.toml constraints.txt
	grep -v '^duckdb==' constraints.txt >.team-constraints.txt
	CONSTRAINTS=.team-constraints.txt sh .ci/install '$(PYTHON)' '$(TEAM)' team tests
	rm .team-constraints.txt
	touch $@
