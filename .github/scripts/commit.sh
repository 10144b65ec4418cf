#!/usr/bin/env bash
# Commit the inventory if it changed, and push it to the branch that the run is on.
set -euo pipefail

# GitHub warns of files over 50 MiB and refuses those over 100:
# https://docs.github.com/en/repositories/working-with-files/managing-large-files/about-large-files-on-github
WARN_AT=50
REFUSE_AT=95
ATTEMPTS=5
ELSEWHERE="To keep it elsewhere, set the repository variable SNAPSHOT_URI to s3://bucket/key;"
ELSEWHERE+=" the head of the workflow tells how."

export GIT_AUTHOR_NAME="github-actions[bot]" GIT_COMMITTER_NAME="github-actions[bot]"
export GIT_AUTHOR_EMAIL="41898282+github-actions[bot]@users.noreply.github.com"
export GIT_COMMITTER_EMAIL="$GIT_AUTHOR_EMAIL"
export GIT_TERMINAL_PROMPT=0

# Run git with the job's token as the password, which stands in no file and in no argument.
with_token() {
  # shellcheck disable=SC2016 # the shell that git starts reads the token
  local helper='!f() { test "$1" != get || printf "username=x-access-token\npassword=%s\n" "$GH_TOKEN"; }; f'
  git -c credential.helper="$helper" "$@"
}

if [[ -z "$(git status --porcelain -- "$INVENTORY")" ]]; then
  echo "$INVENTORY did not change"
  exit 0
fi

size=$(($(wc -c <"$INVENTORY") / 1024 / 1024))
if ((size >= REFUSE_AT)); then
  echo "::error::$INVENTORY has $size MiB, and GitHub refuses a file of 100: it is not committed." \
    "The rows are in. $ELSEWHERE"
  exit 1
fi
if ((size >= WARN_AT)); then
  echo "::warning::$INVENTORY has $size MiB; from $REFUSE_AT on it is not committed any more." \
    "$ELSEWHERE"
fi

git add -- "$INVENTORY"
python .github/scripts/message.py | git commit --quiet --file=-

# Whoever pushes in between goes first. Should it be another inventory, this one is the newer.
for ((attempt = 1; attempt <= ATTEMPTS; attempt++)); do
  if ! with_token pull --quiet --rebase --strategy-option=theirs origin "$GITHUB_REF_NAME"; then
    git rebase --abort || true
  elif with_token push --quiet origin "HEAD:refs/heads/$GITHUB_REF_NAME"; then
    git log -1 --format='committed %h: %s'
    exit 0
  fi
  echo "attempt $attempt of $ATTEMPTS failed"
done
echo "::error::the inventory could not be pushed to $GITHUB_REF_NAME. The rows are in." \
  "Is the branch protected? $ELSEWHERE"
exit 1
