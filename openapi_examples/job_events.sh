#!/bin/sh
# Follow a job until it ends.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
JOB=$(./submit_job.sh | sed 's/.*"id":"\([^"]*\)".*/\1/')
curl --silent --show-error --header 'Accept: text/event-stream' "$URL/v1/jobs/$JOB/events"
