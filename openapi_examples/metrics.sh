#!/bin/sh
# Metrics for Prometheus.
set -eu
cd "$(dirname "$0")"
URL="${KERASCOPE_URL:-http://127.0.0.1:8000}"
curl --silent --show-error --header 'Accept: text/plain;version=0.0.4' "$URL/metrics"
