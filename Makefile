# Every way to build and check Sparring. `make demo` and `make test` need nothing but Python 3.11+ and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test check test-system test-faults test-mutations test-soak bench bench-attacks bench-training test-gpu protos docs clean setup

# `make test-faults SCALE=10 SEED=7`: ten times the faults, drawn from seed 7.
SCALE ?= 1
FAULTS ?= tests/faults
PROCESSES ?= 2
SEED ?=
MINUTES ?= 20

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

$(VENV)/.local-stamp: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sparring needs Python 3.11 or newer; set PYTHON=")'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -c constraints.txt -e '.[local]'
	touch $@

$(VENV)/.dev-stamp: $(VENV)/.local-stamp
	$(RUN) -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

setup: $(VENV)/.local-stamp ## make the virtual environment with everything that a user needs

demo: $(VENV)/.local-stamp ## train, attack, defend, attack again on real digits; report in out/demo
	$(RUN) examples/demo.py

test: $(VENV)/.dev-stamp ## every test that needs neither root nor Docker nor a GPU
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m "not system and not gpu and not faults and not soak" -n $(PROCESSES) --dist loadfile

check: $(VENV)/.dev-stamp ## format, lint, types, import directions, stub drift, contract lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports
	$(RUN) tools/protos.py check
	$(RUN) tools/protos.py lint
	$(RUN) tools/catalog_page.py --check

test-system: $(VENV)/.dev-stamp ## docker-compose with real containers (root on Debian, or any Docker engine)
	$(RUN) -m pytest -m system tests/system

test-gpu: $(VENV)/.dev-stamp ## the engine and every attack on a GPU
	$(RUN) -m pytest -m gpu tests/gpu

test-faults: $(VENV)/.dev-stamp ## kill, freeze, cut and fill everything, and check that nothing was lost; out/faults/results.json
	$(RUN) -m pytest -m faults $(FAULTS) -n $(PROCESSES) --dist loadfile --faults-scale $(SCALE) $(if $(SEED),--faults-seed $(SEED))

test-mutations: $(VENV)/.dev-stamp ## take away one safeguard at a time: a named test has to notice
	$(RUN) -m tools.mutations

test-soak: $(VENV)/.dev-stamp ## load and faults for MINUTES (20), and the slopes of memory, descriptors and keys
	$(RUN) -m pytest -m soak tests/soak --soak-minutes $(MINUTES)

bench: $(VENV)/.dev-stamp ## the ratios of the README
	$(RUN) benchmarks/service.py

bench-attacks: ## our attacks beside four other libraries' (BENCH=--quick for minutes); docs/benchmarks.md
	$(PYTHON) benchmarks/attacks/environment.py
	PYTHONPATH=. out/bench-venv/bin/python -m benchmarks.attacks $(BENCH)

bench-training: ## our PGD training beside two other libraries' and the bare loop (BENCH=--quick); docs/benchmarks.md
	$(PYTHON) benchmarks/attacks/environment.py
	PYTHONPATH=. out/bench-venv/bin/python -m benchmarks.training $(BENCH)

protos: $(VENV)/.dev-stamp ## regenerate the stubs beside the protos
	$(RUN) tools/protos.py generate

docs: $(VENV)/.dev-stamp ## regenerate docs/catalog.md from the contract
	$(RUN) tools/catalog_page.py

clean: ## forget what was built and measured
	rm -rf out build dist *.egg-info
