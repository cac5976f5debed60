#!/bin/sh
# Grad-CAM with the image as base64 in JSON, raw map as a list.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
printf '{"image":"%s",%s' "$(base64 -w0 triangle.png)" '"target": "triangle", "outputs": "overlay", "arrays": "list"}' | curl --silent --show-error --header 'Content-Type: application/json' --data-binary @- "$URL/v1/models/shapes/cam"
