#!/bin/sh
# The newest jobs that succeeded.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
./submit_job.sh >/dev/null
curl --silent --show-error "$URL/v1/jobs?state=succeeded&limit=1"
