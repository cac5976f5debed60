#!/bin/sh
# Open Inference Protocol: who answers.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  "$URL/v2"
