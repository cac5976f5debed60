#!/bin/sh
# Several methods at once, by name or with parameters of their own.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
printf '{"image":"%s",%s' "$(base64 -w0 triangle.png)" '"target": "triangle", "methods": ["gradcam", "gradcam++", {"method": "saliency", "variant": "smoothgrad", "samples": 10, "seed": 7}, {"method": "occlusion", "patch": 7, "target": "triangle-square"}], "outputs": "overlay", "top": 1}' | curl --silent --show-error --header 'Content-Type: application/json' --data-binary @- "$URL/v1/models/shapes/explain"
