#!/bin/sh
# Open Inference Protocol: a picture as BYTES, one of the two outputs.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
printf '{"id": "42", "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["%s"]}], "outputs": [{"name": "probabilities"}]}' "$(base64 -w0 "$EXAMPLES/triangle.png")" |
  curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --header 'Content-Type: application/json' \
  --data-binary @- \
  "$URL/v2/models/shapes/infer"
