#!/bin/sh
# The result of a job, in another form than at its submission.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
JOB=$(./submit_job.sh | sed 's/.*"id":"\([^"]*\)".*/\1/')
curl --silent --no-buffer "$URL/v1/jobs/$JOB/events" >/dev/null
curl --silent --show-error "$URL/v1/jobs/$JOB/result?format=json&outputs=grid"
