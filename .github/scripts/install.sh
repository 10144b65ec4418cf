#!/usr/bin/env bash
# Install the runner: what it needs by version and hash, then this checkout itself, built with nothing else.
set -euo pipefail

export PIP_DISABLE_PIP_VERSION_CHECK=1

python -m pip install --quiet --require-hashes -r requirements/cli.txt -r requirements/build.txt
python -m pip install --quiet --no-deps --no-build-isolation .
b2d1 --version
