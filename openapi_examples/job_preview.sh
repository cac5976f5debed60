#!/bin/sh
# What a job has so far, as PNG.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
JOB=$(./submit_job.sh | sed 's/.*"id":"\([^"]*\)".*/\1/')
curl --silent --no-buffer "$URL/v1/jobs/$JOB/events" >/dev/null
curl --silent --show-error --header 'Accept: image/png' "$URL/v1/jobs/$JOB/preview"
