# Everything runs in .venv, which the first target that needs it sets up from Python 3.11+ alone.
# A run is quick afterwards: the environment is set up again only when pyproject.toml or
# constraints.txt has changed.
#
#   make test PYTHON=/path/to/python    with an interpreter of your choice (for a new .venv)
#   make test WORKERS=4                 with another number of test processes

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
READY := $(VENV)/.ready

PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.11 python3.12 python3.13 python3 python)
RECENT := sys.exit(sys.version_info < (3, 11))

WORKERS ?= auto
PYTEST := $(PY) -m pytest -n $(WORKERS) --maxprocesses 8

# Every installation, also the hidden one of a build, takes the pinned versions.
export PIP_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Test processes run side by side: one thread for each.
test test-all: export OMP_NUM_THREADS ?= 1

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: $(READY) ## Make the environment .venv (every other target does it when needed)

.PHONY: demo
demo: $(READY) ## Compile, simulate and verify four trained networks on handwritten digits
	$(PY) examples/digits/demo.py

.PHONY: test
test: lint ## Lint, types, layers, and all tests but the slow ones
	$(PYTEST) -m "not slow"

.PHONY: test-all
test-all: export SNNCC_HYPOTHESIS := all
test-all: lint ## As test, with the slow tests and many more random examples
	$(PYTEST)

.PHONY: lint
lint: $(READY) ## Lint, format check, types, layers of the architecture
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -c "from importlinter.cli import lint_imports_command as run; run()" --no-logo

.PHONY: format
format: $(READY) ## Format the code and fix what can be fixed
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

.PHONY: bench
bench: $(READY) ## Run the benchmarks
	$(PY) -m benchmarks

SEEDS := sfa srif hsd asa razor masked

.PHONY: seeds
seeds: $(READY) ## Train, compile and measure the five systems (3 seeds each; some minutes a system)
	for name in $(SEEDS); do $(PY) -m examples.seeds.$$name -o examples/seeds/results/$$name.md || exit 1; done

.PHONY: bench-full
bench-full: $(READY) ## E-SpikeFormer at full size, compared in all of its layers
	$(PY) -m benchmarks.espikeformer

.PHONY: bench-chip
bench-chip: $(READY) ## The chip simulator: levels, growth, cores, placements; published figures beside ours
	$(PY) -m benchmarks.chip
	$(PY) -m benchmarks.growth
	$(PY) -m benchmarks.published

.PHONY: clean
clean: ## Remove caches and build output, but keep .venv
	rm -rf build dist out *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find snncc frontends backends simulator tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## As clean, and remove .venv
	rm -rf $(VENV)

# setuptools and wheel come first and pinned, so that the build of snncc needs no isolation.
# neurobench, norse, snntorch, spikingjelly and sinabs (with what they import) are oracles of the tests; why without dependencies: see pyproject.toml.
$(READY): pyproject.toml constraints.txt
	@if ! $(PY) -c "import sys, pip; $(RECENT)" 2>/dev/null; then \
	    found=; \
	    for python in $(CANDIDATES); do \
	        if $$python -c "import sys, venv, ensurepip; $(RECENT)" 2>/dev/null; then found=$$python; break; fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo "error: Python 3.11 or newer, with venv and pip, was not found (tried: $(CANDIDATES))" >&2; \
	        echo "hint: install it (on Debian and Ubuntu: python3 and python3-venv), or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; \
	        exit 1; \
	    fi; \
	    echo "creating $(VENV) with $$found"; \
	    $$found -m venv --clear $(VENV); \
	fi
	$(PY) -m pip install --quiet setuptools wheel
	$(PY) -m pip install --quiet --no-build-isolation --editable ".[test]"
	$(PY) -m pip install --quiet --no-deps neurobench snntorch sinabs nir nirtorch pbr norse spikingjelly loguru
	@touch $@
