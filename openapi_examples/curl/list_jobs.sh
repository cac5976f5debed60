#!/bin/sh
# The newest jobs that succeeded.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
JOB=$("$EXAMPLES/curl/submit_job.sh" | sed 's/.*"id":"\([^"]*\)".*/\1/')
curl --silent --no-buffer ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} "$URL/v1/jobs/$JOB/events" >/dev/null
curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  "$URL/v1/jobs?state=succeeded&limit=100"
