#!/bin/sh
# Share an uploaded model with every key.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
./upload_model.sh >/dev/null
curl --silent --show-error --request PATCH --header 'Content-Type: application/json' --data '{"visibility": "shared"}' "$URL/v1/models/mine"
