#!/bin/sh
# Upload a model; a second upload of its ID is its second version.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error --form id=mine --form model=@../service/models/catalogue/shapes/shapes.keras "$URL/v1/models"
