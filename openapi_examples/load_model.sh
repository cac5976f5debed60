#!/bin/sh
# Warm a model now.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error --request POST "$URL/v1/models/shapes/load"
