#!/bin/sh
# Delete an uploaded model with all its versions.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
"$EXAMPLES/curl/upload_model.sh" >/dev/null
curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --request DELETE \
  "$URL/v1/models/mine"
