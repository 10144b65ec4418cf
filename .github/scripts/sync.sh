#!/usr/bin/env bash
# Run `b2d1 sync` as the settings, DRY_RUN and PREFIX say; its report goes to report.json in RUNNER_TEMP.
set -euo pipefail

options=(--json)
if [[ -n "$PREFIX" ]]; then
  options+=("--prefix=$PREFIX")
fi
# Such a run leaves the kept inventory alone; the summary is made from one of its own.
if [[ -n "$PREFIX" || "$DRY_RUN" == true ]]; then
  options+=("--snapshot=$RUNNER_TEMP/inventory.json.gz")
fi

b2d1 sync "${options[@]}" >"$RUNNER_TEMP/report.json"
