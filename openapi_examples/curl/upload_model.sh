#!/bin/sh
# Upload a model; a second upload of its ID is its second version.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --form id=mine \
  --form model=@"$EXAMPLES/../service/models/catalogue/shapes/shapes.keras" \
  "$URL/v1/models"
