#!/bin/sh
# What excites the first eight filters of a convolution, waited for up to a minute.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --header 'Prefer: wait=60' \
  --header 'Content-Type: application/json' \
  --data '{"layer": "conv2d_1", "channels": "0-7", "size": 32, "steps": 30, "columns": 4, "outputs": "grid,history"}' \
  "$URL/v1/models/shapes/maximization"
