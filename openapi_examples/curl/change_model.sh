#!/bin/sh
# Share an uploaded model with every key.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
"$EXAMPLES/curl/upload_model.sh" >/dev/null
curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --request PATCH \
  --header 'Content-Type: application/json' \
  --data '{"visibility": "shared"}' \
  "$URL/v1/models/mine"
