# Portcullis: every command a newcomer, a maintainer or CI needs. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
# The first interpreter of 3.11 or newer that is here.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(VENV)

.PHONY: help run test check sbom bench bench-disclosure bench-fairness bench-snapshot bench-exchange bench-probing bench-overload fuzz fuzz-snapshot fuzz-journal rotate-token-key kill-exchange proto clean format

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# Each fault is one line: what these programs themselves say of it is several.
NEEDED := Python 3.11 or newer with its venv module is needed; install it (Debian: apt-get install python3-venv) or set PYTHON=/path/to/python3
$(BIN)/uv:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "make: $(NEEDED)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { echo "make: $(PYTHON) could not make $(VENV): $(NEEDED), and see that this folder can be written" >&2; exit 2; }
	@echo "make: installing into $(VENV) (once, about half a minute)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement tools/uv.txt 2>/dev/null || { echo "make: pip could not install uv into $(VENV), as tools/uv.txt has it by its hashes; see that the package index can be reached, then again" >&2; exit 2; }

# --inexact keeps uv itself, which is not in the lock.
$(VENV)/.runtime: pyproject.toml uv.lock | $(BIN)/uv
	@$(BIN)/uv sync --quiet --compile-bytecode --frozen --inexact --no-dev --extra native --python $(BIN)/python
	@$(BIN)/python -m compileall -q services/portcullis
	@touch $@

$(VENV)/.dev: pyproject.toml uv.lock | $(BIN)/uv
	@$(BIN)/uv sync --quiet --compile-bytecode --frozen --inexact --all-extras --python $(BIN)/python
	@$(BIN)/python -m compileall -q services/portcullis
	@touch $@ $(VENV)/.runtime

run: $(VENV)/.runtime ## Start the whole stack on this machine, with demonstration data
	@exec $(BIN)/portcullis run

test: $(VENV)/.dev ## Run every test, on loopback, with a real Valkey
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/.dev ## Lint, types, layers, contract, generated stubs, security, secrets, licences
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python tools/contract.py lint
	@$(BIN)/python tools/contract.py check
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml services tools
	@$(BIN)/python tools/secrets_scan.py
	@$(BIN)/python tools/materials.py check

sbom: $(VENV)/.dev ## Write the bill of materials and the licences of what is shipped into build/
	@$(BIN)/python tools/materials.py make build

format: $(VENV)/.dev ## Format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(VENV)/.dev ## Generate the stubs from protos/
	@$(BIN)/python tools/contract.py generate

bench: $(VENV)/.dev ## Measure, each figure against a baseline of the same run
	$(BIN)/python -m benchmarks

bench-probing: $(VENV)/.dev ## Count false alarms of honest partners, and how soon scrapers are stopped (five minutes)
	$(BIN)/python -m benchmarks.probing

bench-exchange: $(VENV)/.dev ## Measure durable events, recorded refusals and changes to 1,000 watchers (three minutes)
	$(BIN)/python -m benchmarks.exchange

bench-fairness: $(VENV)/.dev ## Measure what one partner at ten times its quota does to another's p99 (four minutes)
	$(BIN)/python -m benchmarks.fairness

bench-overload: $(VENV)/.dev ## Measure five times what a gateway can take, and what attacks cost others (thirty-five minutes)
	$(BIN)/python -m benchmarks.overload

bench-disclosure: $(VENV)/.dev ## Compare sizes and times of hits and misses, 100,000 pairs each (fifteen minutes)
	$(BIN)/python -m benchmarks.disclosure

bench-snapshot: $(VENV)/.dev ## Measure distribution at 1, 10 and 15 million entries (an hour and a half, 25 GB of disk)
	$(BIN)/python -m benchmarks.snapshots

fuzz: $(VENV)/.dev ## Send random and mutated requests to every method, on both transports (half an hour)
	PORTCULLIS_FUZZ_S=$${PORTCULLIS_FUZZ_S:-1800} $(BIN)/python -m pytest -q -s -p no:logging tests/integration/test_fuzz_requests.py

fuzz-snapshot: $(VENV)/.dev ## Change ten thousand metadata and target files, and see each refused (two minutes)
	PORTCULLIS_FUZZ=10000 $(BIN)/python -m pytest -q -s tests/unit/adapters/test_tuf_mutations.py

fuzz-journal: $(VENV)/.dev ## Change ten thousand places of a journal on each database, and see each found (ten minutes)
	PORTCULLIS_FUZZ=$${PORTCULLIS_FUZZ:-10000} PORTCULLIS_RESULTS=$${PORTCULLIS_RESULTS:-benchmarks/results} $(BIN)/python -m pytest -q -s --timeout 3600 tests/integration/test_journal_tampering.py

rotate-token-key: $(VENV)/.dev ## Rotate the token key under a million checks, and see no wrong answer (ten minutes)
	PORTCULLIS_CHECKS=1000000 $(BIN)/python -m pytest -q -s tests/e2e/test_token_key_rotation.py

kill-exchange: $(VENV)/.dev ## Kill the exchange's parts 200 times under load, and see nothing lost (ten minutes)
	PORTCULLIS_KILLS=$${PORTCULLIS_KILLS:-200} PORTCULLIS_RESULTS=$${PORTCULLIS_RESULTS:-benchmarks/results} $(BIN)/python -m pytest -q -s tests/e2e/test_exchange_kills.py

clean: ## Remove the environment, caches and local state
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .portcullis dist build
