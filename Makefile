# Everline on one machine. Only Python 3.11, 3.12 or 3.13, git and make are needed; everything else is
# fetched, pinned and checked by hash, into .venv and into the user's cache folder.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/everline
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements/uv.txt)
UV := $(or $(shell command -v uv),$(CACHE)/tools/uv-$(UV_VERSION)/bin/uv)
BIN := .venv/bin
READY := .venv/.ready
PINS := requirements/base.txt requirements/dev.txt requirements/stack.txt

# The versions of `requires-python` in pyproject.toml.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
# The first that runs and is supported; set PYTHON to choose another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	"$$p" -c '$(SUPPORTED)' 2>/dev/null && { echo "$$p"; break; }; done)
REQUIRE_PYTHON = [ -n "$(PYTHON)" ] && $(PYTHON) -c '$(SUPPORTED)' || { \
	echo "Everline needs Python 3.11, 3.12 or 3.13: install one, or name it: make setup PYTHON=/path/to/python3"; exit 1; }

# uv: only the interpreter that is there, and copies where the cache is on another disk.
export UV_PYTHON_DOWNLOADS := never
export UV_LINK_MODE ?= copy
# Pyright from its wheel; no look for newer versions at run time.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help setup servers up dev demo down test test-fast test-tools check audit-refresh licences sbom format bench chaos chaos-cases fuzz large-data upgrade-test model record-histories lock clean

help: ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(READY) ## Install everything into .venv (instant when nothing changed)

$(READY): $(PINS) pyproject.toml | $(UV)
	@$(REQUIRE_PYTHON)
	@echo "setting up .venv with $$($(PYTHON) --version) and the pinned packages"
	@$(BIN)/python -c '$(SUPPORTED)' 2>/dev/null || $(UV) venv --quiet --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes $(PINS)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# Where there is no uv, pip of a virtual environment of its own fetches the pinned one.
$(CACHE)/tools/%/bin/uv:
	@$(REQUIRE_PYTHON)
	@echo "fetching uv $(UV_VERSION)"
	@{ rm -rf "$(CACHE)/tools/$*" && mkdir -p "$(CACHE)/tools"; } || { echo "$(CACHE) cannot be written to; name another place: XDG_CACHE_HOME=/path"; exit 1; }
	@$(PYTHON) -m venv "$(CACHE)/tools/$*" || { echo "The venv module is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@"$(CACHE)/tools/$*/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/uv.txt

servers: setup ## Find or build the Temporal and LiveKit servers (once per user)
	@$(BIN)/everline servers

up: setup ## Run the whole stack in the foreground
	@$(BIN)/everline up $(ARGS)

dev: setup ## Run the stack in the foreground; edits of the API and the worker restart them
	@$(BIN)/everline up --reload $(ARGS)

demo: setup ## Place a real call and show it from start to end
	@$(BIN)/everline demo $(ARGS)

down: setup ## Stop the stack
	@$(BIN)/everline down

# Most tests wait most of the time: three processes keep two cores busy. Each has its own servers.
PROCESSES ?= 3
test: servers test-tools ## Run every test (ARGS=… for pytest, PROCESSES=… at once)
	@$(BIN)/pytest -n $(PROCESSES) --dist loadfile --durations=20 $(ARGS)

test-fast: setup ## Run the tests that start no other process and no server
	@$(BIN)/pytest -n 2 --dist loadfile --fast $(ARGS)

# A browser takes part in some tests. It is the system's own: packages of Python have none.
test-tools:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		command -v $$name >/dev/null && exit 0; done; \
	[ -z "$${EVERLINE_CHROMIUM:-}" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing Chromium for the browser tests"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >/dev/null; \
	else \
		echo "The browser tests need Chromium: install it, or name it in EVERLINE_CHROMIUM."; exit 1; \
	fi

check: setup ## Format, lint, types, import contracts, advisories and licences of packages
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports
	@$(BIN)/python -m deploy.supply_chain.audit
	@$(BIN)/python -m deploy.supply_chain.licences

audit-refresh: setup ## Renew the advisories that `make check` compares the packages with (needs a network)
	@$(BIN)/python -m deploy.supply_chain.refresh

licences: setup ## Write down the licences of the locked packages, after `make lock`
	@$(BIN)/python -m deploy.supply_chain.licences --write

SBOM ?= dist/everline.cdx.json
sbom: setup ## Write a bill of materials of all packages (CycloneDX) to $(SBOM)
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)} \
		$(BIN)/python -m deploy.supply_chain.sbom $(SBOM)

format: setup ## Bring the code into its format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: servers ## Measure, each with its baseline in the same run
	@$(BIN)/python -m bench $(ARGS)

MINUTES ?= 5
chaos: servers ## Break everything at random during calls (SEED=… repeats a run, MINUTES=…)
	@$(BIN)/python -m tests.chaos.machine --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos-cases: servers ## The chosen cases of tests/chaos, for longer than the tests run them
	@$(BIN)/pytest tests/chaos --chaos-long $(ARGS)

large-data: setup ## List, search and count 100,000 transcripts of 50 orgs (some minutes)
	@$(BIN)/pytest tests/adapters/mongo/test_many_transcripts.py --large-data $(ARGS)

fuzz: servers ## Fuzz the API from its OpenAPI document for longer than the tests do
	@$(BIN)/pytest tests/contract/test_fuzzing.py --fuzz-long $(ARGS)

upgrade-test: servers ## Upgrade from the previous release under load, and go back
	@$(BIN)/pytest -n0 tests/upgrade --upgrade $(ARGS)

model: setup ## Try sessions in many more orders of messages, failures and time than the tests do
	@$(BIN)/pytest -n0 tests/model --model-long $(ARGS)

record-histories: servers ## Record this release's workflow histories, which tests/replay replays
	@$(BIN)/python -m tests.replay.record $(ARGS)

# `make lock` keeps what is pinned; `make lock UPGRADE=--upgrade` moves to the newest.
# `fewest`: one version of each package for every Python, so that what was tested on one runs on all.
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--fork-strategy fewest --custom-compile-command "make lock" $(UPGRADE)
lock: | $(UV) ## Pin every dependency with its hashes
	@$(COMPILE) pyproject.toml -o requirements/base.txt
	@$(COMPILE) --group dev -c requirements/base.txt -o requirements/dev.txt
	@$(COMPILE) --group stack -c requirements/base.txt -c requirements/dev.txt -o requirements/stack.txt
	@$(COMPILE) --group models -c requirements/base.txt -c requirements/stack.txt -o requirements/models.txt
	@$(COMPILE) --group build -c requirements/dev.txt -o requirements/build.txt
	@$(COMPILE) --group go -o requirements/go.txt
	@$(COMPILE) --group uv -o requirements/uv.txt

clean: ## Remove .venv and the local stack's data
	@rm -rf .venv .everline
