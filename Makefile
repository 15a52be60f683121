# What a person does here. Everything runs in .venv, made from requirements.lock by its hashes.
#
#   make run                       a gateway on this machine, with a sample agent; Ctrl-C ends it
#   make demo [COMMANDS=file]      a small fleet against a gateway of its own, told step by step
#   make test [ARGS=...]           every test, on SQLite and on a real PostgreSQL
#   make check                     style, types, imports
#   make fuzz                      the command engine and the HTTP door against long runs of made-up input
#   make bench [ARGS=...]          the numbers of docs/operating.md
#   make docs                      renew what is generated from the source
#   make clients                   agents' own clients, for the tests that GUARDHOUSE_TEST_CLIENTS=tests/clients adds
#
# PYTHON names another interpreter than python3 (3.11 or later); GUARDHOUSE_HOME another home than .guardhouse.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
COMMANDS ?=
BIN := $(VENV)/bin

# The stamp's name holds the lock's hash: another lock is another stamp, whatever the files' times say.
LOCK := $(shell $(PYTHON) -c "import hashlib; print(hashlib.sha256(open('requirements.lock', 'rb').read()).hexdigest()[:16])")
LOCKED := $(VENV)/.locked-$(LOCK)
PROJECT := $(VENV)/.project-$(LOCK)

.DEFAULT_GOAL := help
.PHONY: help run demo test fuzz check bench docs clients install clean

help:
	@sed -n '3,13s/^# *//p' Makefile

$(LOCKED): requirements.lock
	@$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'Guardhouse needs Python 3.11 or later; $(PYTHON) is ' + sys.version.split()[0] + '. Name another with PYTHON=')"
	@echo "preparing $(VENV) from requirements.lock (once, and again when the lock changes)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@rm -f $(VENV)/.locked-* $(VENV)/.project-*
	@touch $@

$(PROJECT): $(LOCKED) pyproject.toml
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

install: $(PROJECT)

run: $(PROJECT)
	@BIN=$(abspath $(BIN)) GUARDHOUSE_HOME="$${GUARDHOUSE_HOME:-$(CURDIR)/.guardhouse}" sh scripts/run.sh

demo: $(PROJECT)
	@$(BIN)/guardhouse demo $(if $(COMMANDS),--commands $(COMMANDS)) $(ARGS)

# The tests start this program hundreds of times. Compiled here once, since the environment may forbid writing bytecode.
test: $(PROJECT)
	@$(BIN)/python -m compileall -q src migrations
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

fuzz: $(PROJECT)
	GUARDHOUSE_FUZZ_TIMES=50 $(BIN)/python -m pytest tests/guardrails/test_fuzzing.py tests/guardrails/test_resolver.py $(ARGS)
	GUARDHOUSE_FUZZ_TIMES=20 $(BIN)/python -m pytest tests/surfaces/test_openapi_schemathesis.py $(ARGS)
	$(BIN)/python -m tests.bench.fuzz_guardrails --runs 1000000 --seconds 600

check: $(PROJECT)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(PROJECT)
	$(BIN)/python -m tests.bench.bench_gateway $(ARGS)
	$(BIN)/python -m tests.bench.bench_decide
	$(BIN)/python -m tests.bench.bench_growth
	$(BIN)/python -m tests.bench.bench_ledger
	$(BIN)/python -m tests.bench.bench_guardrails
	$(BIN)/python -m tests.bench.bench_hooks
	$(BIN)/python -m tests.bench.bench_mcp
	$(BIN)/python -m tests.bench.bench_work

docs: $(PROJECT)
	$(BIN)/python -m guardhouse.surfaces.cli.docs docs
	$(BIN)/python -m tests.promises

clients:
	npm install --prefix tests/clients --ignore-scripts --no-audit --no-fund --no-package-lock

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
