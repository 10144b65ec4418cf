#!/usr/bin/env bash
# Run a command from whose output GitHub takes no commands. A log names keys of the bucket, which anybody may
# have chosen who can upload to it, and GitHub obeys a `##[command]` anywhere in a line.
# https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#stopping-and-starting-workflow-commands
set -euo pipefail

end="end-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
echo "::stop-commands::$end"
code=0
"$@" || code=$?
printf '\n::%s::\n' "$end" # the last line may have no end
exit "$code"
