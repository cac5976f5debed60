#!/bin/sh
# model.summary() as text.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error --header 'Accept: text/plain' "$URL/v1/models/shapes/summary"
