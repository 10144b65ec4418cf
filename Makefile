# The front door. `make` prints the targets.

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONHASHSEED ?= random
# A certificate that this machine was given, a proxy's for instance, counts for npm as it does for pip.
export NODE_USE_SYSTEM_CA := 1

.DEFAULT_GOAL := help
.PHONY: help run sandbox test drill record check format bench lock clean

help: ## Print these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/ready ## Do the main job on an embedded bucket and database: migrate, sync, the summary
	@python -m sandbox run -- sh -c 'b2d1 migrate && b2d1 sync'

sandbox: .venv/ready ## Keep the embedded bucket and database running; prints the settings to use them
	@python -m sandbox

test: .venv/ready node_modules/ready ## Run every test
	python -m pytest

drill: .venv/ready node_modules/ready ## Break every request of a run in every way, on Cloudflare's own engine
	python -m drill

record: .venv/ready node_modules/ready ## Record anew what Cloudflare's own D1 engine answers
	python -m tests.answers

check: .venv/ready ## Check format, lint, types and the import contract
	ruff format --check .
	ruff check .
	mypy
	lint-imports

format: .venv/ready ## Format the code
	ruff format .
	ruff check --fix .

bench: .venv/ready node_modules/ready ## Measure listing against stock boto3, and whole runs: bench/RESULTS.md
	python -m bench

lock: .venv/ready .venv/node ## Renew requirements/ and package-lock.json, versions and hashes
	python -m pip install --quiet uv
	uv pip compile $(LOCK) pyproject.toml -o requirements/core.txt
	uv pip compile $(LOCK) --extra cli pyproject.toml -o requirements/cli.txt
	uv pip compile $(LOCK) --extra lambda pyproject.toml -o requirements/lambda.txt
	uv pip compile $(LOCK) --all-extras --group dev pyproject.toml -o requirements/dev.txt
	uv pip compile $(LOCK) --group engine -o requirements/engine.txt
	npm update --package-lock-only --ignore-scripts

LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

clean: ## Remove what the other targets made
	rm -rf .venv node_modules .sandbox .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist

.venv/ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "b2d1 needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.13 ..." >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	python -m pip install --quiet --require-hashes -r requirements/dev.txt
	python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Node and npm of our own, and with them Cloudflare's D1 engine: the tests alone need them. Nothing of it is run
# at installation (--ignore-scripts).
.venv/node: .venv/ready requirements/engine.txt
	python -m pip install --quiet --require-hashes -r requirements/engine.txt
	@touch $@

node_modules/ready: package.json package-lock.json .npmrc | .venv/node
	npm ci --ignore-scripts
	@touch $@
