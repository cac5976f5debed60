#!/bin/sh
# Delete an uploaded model with all its versions.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
./upload_model.sh >/dev/null
curl --silent --show-error --request DELETE "$URL/v1/models/mine"
