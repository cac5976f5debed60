#!/bin/sh
# Follow a job until it ends.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
JOB=$("$EXAMPLES/curl/submit_job.sh" | sed 's/.*"id":"\([^"]*\)".*/\1/')
curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --header 'Accept: text/event-stream' \
  --no-buffer \
  "$URL/v1/jobs/$JOB/events"
