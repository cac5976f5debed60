#!/bin/sh
# Integrated gradients with signs; the answer says how complete the sum is.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --header 'Content-Type: image/png' \
  --data-binary @"$EXAMPLES/triangle.png" \
  "$URL/v1/models/shapes/saliency?method=integrated_gradients&target=triangle&sign=signed&outputs=heatmap"
