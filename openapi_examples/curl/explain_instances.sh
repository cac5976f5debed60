#!/bin/sh
# KServe V1: a batch explained by a method with its parameters.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
printf '{"instances": [{"b64": "%s"}], "parameters": {"method": "layercam", "target": "triangle", "layer": "conv2d_5", "top": 1}}' "$(base64 -w0 "$EXAMPLES/triangle.png")" |
  curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --header 'Content-Type: application/json' \
  --data-binary @- \
  "$URL/v1/models/shapes:explain"
