#!/bin/sh
# KServe V1: the probability of every class, for a batch of pictures.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
printf '{"instances": [{"b64": "%s"}, {"b64": "%s"}]}' "$(base64 -w0 "$EXAMPLES/triangle.png")" "$(base64 -w0 "$EXAMPLES/triangle.png")" |
  curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --header 'Content-Type: application/json' \
  --data-binary @- \
  "$URL/v1/models/shapes:predict"
