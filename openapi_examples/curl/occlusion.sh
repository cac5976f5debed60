#!/bin/sh
# What the probability loses where a part of the image is covered, and the part that matters.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --header 'Content-Type: image/png' \
  --data-binary @"$EXAMPLES/cat.png" \
  "$URL/v1/models/efficientnet-lite0/occlusion?patch=64&stride=32"
