# Every way to build and check Sparring. `make demo` and `make test` need nothing but Python 3.11+ and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test check test-docs site test-system test-faults test-mutations test-soak bench bench-attacks bench-training test-gpu gpu-check protos docs clean setup

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
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m "not system and not gpu and not faults and not soak and not docs" -n $(PROCESSES) --dist loadfile

check: $(VENV)/.dev-stamp ## format, lint, types, import directions, stub drift, contract lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports
	$(RUN) tools/protos.py check
	$(RUN) tools/protos.py lint
	$(RUN) tools/catalog_page.py --check
	$(RUN) tools/reference.py --check
	$(RUN) -m services.telemetry.metrics_page --check
	$(RUN) -m tools.dashboard --check
	$(RUN) tools/chart.py --check

test-docs: $(VENV)/.dev-stamp ## run every command and code block of the documentation, long ones in their quick form
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m docs tests/docs -n 0

test-system: $(VENV)/.dev-stamp ## docker-compose with real containers (root on Debian, or any Docker engine); a real Prometheus
	$(RUN) -m pytest -m system tests/system tests/observability

test-gpu: $(VENV)/.dev-stamp ## the engine and every attack on a GPU
	$(RUN) -m pytest -m gpu tests/gpu

gpu-check: $(VENV)/.dev-stamp ## on a machine with a GPU: tests/gpu, then figures to benchmarks/results/gpu-DEVICE.json; docs/gpus.md
	SPARRING_NEED_GPU=1 $(RUN) -m pytest -m gpu tests/gpu
	$(RUN) benchmarks/cuda_choices.py --rounds 3 --out out/gpu-check/cuda_choices.json
	$(PYTHON) benchmarks/attacks/environment.py
	PYTHONPATH=. out/bench-venv/bin/python -m benchmarks.attacks --quick --device cuda --name gpu-quick --json out/gpu-check/attacks.json --page out/gpu-check/no-page
	$(RUN) benchmarks/gpu.py --include cuda_choices=out/gpu-check/cuda_choices.json --include attacks=out/gpu-check/attacks.json

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

docs: $(VENV)/.dev-stamp ## regenerate docs/catalog.md and docs/reference from the programs, and what the Helm chart repeats
	$(RUN) tools/catalog_page.py
	$(RUN) tools/reference.py
	$(RUN) -m services.telemetry.metrics_page
	$(RUN) -m tools.dashboard
	$(RUN) tools/chart.py

site: $(VENV)/.dev-stamp ## the documentation as a site in out/site, from docs/; a warning fails it
	$(BIN)/sphinx-build -W --keep-going -n -q docs out/site
	@echo "out/site/index.html"

clean: ## forget what was built and measured
	rm -rf out build dist *.egg-info
