# On a machine that has only Python and make: `make demo` runs the main job, `make test` passes the tests.
# Each sets up what it needs in .venv, once; to run again is quick.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test stress lint bench conformance docs lock clean

# On a terminal a month takes a second, and the console stays as long as somebody looks on; elsewhere it ends by itself.
demo: $(VENV)/.run-ready
	@if [ -t 1 ]; then set -- --pace 1 --keep-open 60; fi; \
	set -x; $(BIN)/coterie run examples/commons/fishing.toml --console --console-port 0 "$$@"

# Three at a time: two processors have time for a third, because a third of the time of the tests is waiting. The tests of one
# file run on one worker (WORKERS=0: one after the other). Those that count threads, and those that kill machines of a cluster, run alone.
WORKERS ?= 3
test: $(VENV)/.dev-ready
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --ignore tests/runtime/dispatchers --ignore tests/cluster/test_faults.py $(TESTS)
	$(BIN)/python -m pytest tests/runtime/dispatchers tests/cluster/test_faults.py

# The same races, looked for much longer, and a soak of so many seconds.
SOAK ?= 600
stress: $(VENV)/.dev-ready
	COTERIE_STRESS=1 COTERIE_SOAK=$(SOAK) $(BIN)/python -m pytest -m stress --timeout 1800 $(TESTS)

lint: $(VENV)/.dev-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Builds the documentation as a site in site/; a warning is an error.
docs: $(VENV)/.dev-ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(VENV)/.bench-ready
	$(BIN)/python -m benchmarks $(BENCHMARKS)

# Runs clients and conformance runners that others wrote against an assistant. They need npm, and Chromium with its driver, and are
# installed into a temporary folder. With TCK=/path it runs A2A's technology compatibility kit from that folder too.
conformance: $(VENV)/.dev-ready
	sh tests/interop/conformance/mcp.sh $(BIN)/python
	sh tests/interop/conformance/agui.sh $(BIN)/python
	sh tests/interop/conformance/frontend.sh $(BIN)/python
ifdef TCK
	sh tests/interop/conformance/a2a.sh $(BIN)/python $(abspath $(TCK))
endif

# Writes the lock files anew, with the newest versions that fit.
lock: $(VENV)/.dev-ready
	$(PIP) install uv
	sh requirements/lock.sh $(BIN)/uv

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache runs site

$(BIN)/python:
	@sh requirements/venv.sh $(PYTHON) $(VENV)

$(VENV)/.run-ready: requirements/run.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements/run.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev-ready: requirements/dev.lock $(VENV)/.run-ready
	$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@

$(VENV)/.bench-ready: requirements/bench.lock $(VENV)/.run-ready
	-$(PIP) install --require-hashes -r requirements/bench.lock
	@touch $@
