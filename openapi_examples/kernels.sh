#!/bin/sh
# Kernels of the first convolution in gray.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error "$URL/v1/models/shapes/layers/0/kernels?colormap=gray&filters=0-15"
