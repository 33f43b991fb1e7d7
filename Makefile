# Targets for users and developers; `make` lists them. Only Python 3.11+, pip and make are needed; uv is used if present.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 3
FUZZ ?= 6000
UV := $(shell command -v uv 2>/dev/null)

export LITELLM_LOCAL_MODEL_COST_MAP := True
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
# Each process that tests start would compile the package again, and each worker rewrite all tests, were it set.
export PYTHONDONTWRITEBYTECODE :=

ifdef UV
NEW_VENV = $(UV) venv --quiet --python $(PYTHON) --allow-existing .venv
INSTALL = $(UV) pip install --quiet --python $(BIN)/python
else
NEW_VENV = $(PYTHON) -m venv .venv
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format wheel lock bench fuzz clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready  ## make .venv with the project in it

demo: .venv/.ready  ## score three texts with four personas on the embedded model
	$(BIN)/runner

test: .venv/.ready-test  ## everything that must hold: format, lint, types, layers, tests
	$(MAKE) --no-print-directory check

check: .venv/.ready-test
	$(BIN)/ruff format --check runner hydra_plugins tests benchmarks packaging
	$(BIN)/ruff check runner hydra_plugins tests benchmarks packaging
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

format: .venv/.ready-test  ## put the code in the project's format
	$(BIN)/ruff format runner hydra_plugins tests benchmarks packaging
	$(BIN)/ruff check --fix runner hydra_plugins tests benchmarks packaging

bench: .venv/.ready-test  ## every goal of speed, beside what it is compared to; BENCH=--no-peers, --quick
	$(BIN)/python benchmarks/all.py $(BENCH)

fuzz: .venv/.ready-test  ## 100,000 damaged replies, lines and HTTP answers, in minutes; FUZZ=cases a test
	RUNNER_FUZZ_CASES=$(FUZZ) $(BIN)/pytest -q -n $(WORKERS) tests/property/test_fuzz.py

wheel: .venv/.ready  ## dist/: the project, and the embedded model's weights as a package of their own
	rm -rf dist build/weights
	$(BIN)/python packaging/weights/gather.py build/weights
	$(BIN)/python -m hatchling build --target wheel --directory $(CURDIR)/dist
	cd build/weights && $(CURDIR)/$(BIN)/python -m hatchling build --target wheel --directory $(CURDIR)/dist
	@ls -l dist

lock:  ## remake requirements.lock and requirements-test.lock (needs uv)
	sh packaging/lock.sh

clean:  ## remove what make made; results in outputs/ and mlruns/ stay
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed; this is {v[0]}.{v[1]}. Type: make PYTHON=python3.12 demo")'
	$(NEW_VENV)
	$(INSTALL) --require-hashes --no-deps -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.ready-test: .venv/.ready requirements-test.lock
	$(INSTALL) --require-hashes --no-deps -r requirements-test.lock
	@touch $@
