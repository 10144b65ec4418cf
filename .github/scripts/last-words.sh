#!/usr/bin/env bash
# Run a command; when it fails, make the end of what it said the step's output `trouble`.
set -euo pipefail

LINES_KEPT=30

code=0
"$@" 2>&1 | tee "$RUNNER_TEMP/said.txt" || code=$?
if ((code != 0)); then
  # An output of several lines ends where a line says so, which nothing in it can know.
  # https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#multiline-strings
  end="end-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
  {
    echo "trouble<<$end"
    tail -n "$LINES_KEPT" "$RUNNER_TEMP/said.txt"
    echo # the last line may have no end
    echo "$end"
  } >>"$GITHUB_OUTPUT"
fi
exit "$code"
