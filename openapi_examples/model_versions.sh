#!/bin/sh
# The versions of an uploaded model.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
./upload_model.sh >/dev/null
curl --silent --show-error "$URL/v1/models/mine/versions"
