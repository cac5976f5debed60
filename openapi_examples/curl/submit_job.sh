#!/bin/sh
# Any method as a background job.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --request POST \
  --header 'Prefer: respond-async' \
  --header 'Idempotency-Key: my-first-job' \
  "$URL/v1/models/shapes/maximization?layer=conv2d_1&channels=0-7&steps=40&format=png"
