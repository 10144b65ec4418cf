# The front door. `make` prints the targets.

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONHASHSEED ?= random
# A certificate that this machine was given, a proxy's for instance, counts for npm as it does for pip.
export NODE_USE_SYSTEM_CA := 1
export SAM_CLI_TELEMETRY := 0
EVENT := events/manual.json
SAM := .venv/sam/bin/sam

.DEFAULT_GOAL := help
.PHONY: help run sandbox test test-fast drill record check format bench build build-SyncFunction deploy invoke lock clean

help: ## Print these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/ready ## Do the main job on an embedded bucket and database: migrate, sync, the summary
	@python -m sandbox run -- sh -c 'b2d1 migrate && b2d1 sync'

sandbox: .venv/ready ## Keep the embedded bucket and database running; prints what to paste to use them (NEW=5: 5 objects more)
	@python -m sandbox $(if $(NEW),--new "$(NEW)")

test: .venv/ready node_modules/ready .venv/wheels/ready .venv/emulator/ready .venv/sam/ready ## Run every test, on all cores
	python -m pytest -n auto --dist worksteal

test-fast: .venv/ready ## Run the tests that need no other program, in half a minute
	python -m pytest -n auto --dist worksteal -m "not slow"

drill: .venv/ready node_modules/ready ## Break every request of a run in every way, on Cloudflare's own engine
	python -m drill
	python -m drill.large

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

# Without what it needs of PyPI beyond all that, a row and the picture are left out; RESULTS.md says so.
bench: .venv/ready node_modules/ready .venv/wheels/ready ## Measure everything, in a quarter of an hour: bench/RESULTS.md
	-@$(MAKE) --no-print-directory .venv/bench/ready
	python -m bench

build: .venv/wheels/ready ## Build the Lambda function's package: build/function
	@python -m bundle build/function
	@touch build/ready

invoke: build/ready .venv/emulator/ready .venv/sam/ready ## Invoke the package in AWS's emulator: EVENT=…, on the sandbox, or ENV=env.json
ifeq ($(origin ENV),command line)
	@python -m emulator --env-vars "$(ENV)" "$(EVENT)"
else
	@python -m sandbox run -- sh -c 'b2d1 migrate >&2 && python -m emulator "$$1"' sh "$(EVENT)"
endif

deploy: .venv/sam/ready .venv/wheels/ready ## Build and deploy the stack; the first time it asks what it must know
	$(SAM) build
	$(SAM) deploy $(if $(shell grep -s '^stack_name' samconfig.toml),,--guided)

lock: .venv/ready .venv/node ## Renew requirements/ and package-lock.json, versions and hashes
	python -m pip install --quiet uv
	uv pip compile $(LOCK) pyproject.toml -o requirements/cli.txt
	uv pip compile $(LOCK) --group function -o requirements/lambda.txt
	uv pip compile $(LOCK) --all-extras --group dev pyproject.toml -o requirements/dev.txt
	uv pip compile $(LOCK) --group build -c requirements/dev.txt -o requirements/build.txt
	uv pip compile $(LOCK) --group engine -o requirements/engine.txt
	uv pip compile $(LOCK) --group emulator -o requirements/emulator.txt
	uv pip compile $(LOCK) --group sam -o requirements/sam.txt
	uv pip compile $(LOCK) --group bench -o requirements/bench.txt
	npm update --package-lock-only --ignore-scripts $(NPM)

LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
NPM := --no-audit --no-fund --loglevel=error

clean: ## Remove what the other targets made
	rm -rf .venv node_modules .sandbox .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .aws-sam build dist

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
	npm ci --ignore-scripts $(NPM)
	@touch $@

# The wheels of the function's package: whatever builds it asks nobody.
.venv/wheels/ready: .venv/ready requirements/lambda.txt
	rm -rf .venv/wheels
	python -m pip download --quiet --require-hashes --no-deps --only-binary :all: \
		--platform any --implementation py --abi none --dest .venv/wheels -r requirements/lambda.txt
	@touch $@

build/ready: .venv/wheels/ready $(wildcard bundle/*.py src/b2d1/*.py src/b2d1/*/*.py src/handler/*.py)
	@python -m bundle build/function >&2
	@touch $@

# What `sam build` calls. It makes what is not there, and no more: not all anew in the middle of a test.
build-SyncFunction: $(if $(wildcard .venv/wheels/ready),,.venv/wheels/ready)
	@python -m bundle "$(ARTIFACTS_DIR)"

# AWS's client of Lambda's runtime, for the runtime's own version of Python where one is at hand. It goes into a folder
# of its own: beside the package the function must see nothing else. The stamp says which Python that is.
.venv/emulator/ready: .venv/ready requirements/emulator.txt bundle/runtime.py
	@test "$$(uname)" = Linux || { echo "AWS's emulator of Lambda runs on Linux only" >&2; exit 1; }
	rm -rf .venv/emulator
	runtime=$$(python -m bundle.runtime) && \
	version=$$("$$runtime" -c 'import platform; print(platform.python_version())') && \
	python -m pip install --quiet --require-hashes --no-deps --only-binary :all: --python-version "$$version" \
		--target .venv/emulator -r requirements/emulator.txt && \
	echo "$$runtime" > $@

.venv/sam/ready: .venv/ready requirements/sam.txt
	python -m venv --clear .venv/sam
	.venv/sam/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements/sam.txt
	@touch $@

.venv/bench/ready: .venv/ready requirements/bench.txt
	python -m venv --clear .venv/bench
	.venv/bench/bin/python -m pip install --quiet --require-hashes --no-deps --only-binary :all: -r requirements/bench.txt
	@touch $@
