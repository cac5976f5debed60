#!/bin/sh
# Grad-CAM of a class by its label, as multipart form.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --form image=@"$EXAMPLES/cat.png" \
  --form target=tabby \
  --form outputs=heatmap \
  "$URL/v1/models/efficientnet-lite0/cam"
