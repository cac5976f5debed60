#!/bin/sh
# Feature maps of three layers, by index.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error --header 'Content-Type: image/png' --data-binary @triangle.png "$URL/v1/models/shapes/activations?layers=0,3,6"
