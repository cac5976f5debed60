#!/bin/sh
# Grad-CAM of a class by its label, as multipart form.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error --form image=@cat.png --form target=tabby --form outputs=heatmap "$URL/v1/models/efficientnet-lite0/cam"
