#!/bin/sh
# Several methods at once, by name or with parameters of their own.
set -eu
EXAMPLES="$(dirname "$0")/.."
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
printf '{"image": "%s", "target": "triangle", "methods": ["gradcam", "gradcam++", {"method": "saliency", "variant": "smoothgrad", "samples": 10, "seed": 7}, {"method": "occlusion", "patch": 7, "target": "triangle-square"}], "outputs": "overlay", "top": 1}' "$(base64 -w0 "$EXAMPLES/triangle.png")" |
  curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} \
  --header 'Content-Type: application/json' \
  --data-binary @- \
  "$URL/v1/models/shapes/explain"
