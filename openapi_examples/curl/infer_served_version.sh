#!/bin/sh
# Open Inference Protocol: the first version of an uploaded model.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
"$EXAMPLES/curl/upload_model.sh" >/dev/null
printf '{"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["%s"]}]}' "$(base64 -w0 "$EXAMPLES/triangle.png")" |
  curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --header 'Content-Type: application/json' \
  --data-binary @- \
  "$URL/v2/models/mine/versions/1/infer"
