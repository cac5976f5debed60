#!/bin/sh
# Grad-CAM with the image as base64 in JSON, raw map as a list.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
printf '{"image": "%s", "target": "triangle", "outputs": "overlay", "arrays": "list"}' "$(base64 -w0 "$EXAMPLES/triangle.png")" |
  curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --header 'Content-Type: application/json' \
  --data-binary @- \
  "$URL/v1/models/shapes/cam"
