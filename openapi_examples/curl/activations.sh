#!/bin/sh
# Feature maps of three layers, by index.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --header 'Content-Type: image/png' \
  --data-binary @"$EXAMPLES/triangle.png" \
  "$URL/v1/models/shapes/activations?layers=0,3,6"
