"""The newest jobs that succeeded."""

import os
import sys
from pathlib import Path

import httpx

URL = os.environ.get("KERASCOPE_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("KERASCOPE_KEY")
EXAMPLES = Path(__file__).parent.parent

client = httpx.Client(base_url=URL, headers={"Authorization": f"Bearer {KEY}"} if KEY else {}, timeout=120)


def call(method, path, **request):
    """The answer; a problem ends the program and says what was wrong."""
    answer = client.request(method, path, **request)
    if answer.is_error:
        problem = answer.json()
        sys.exit(f"{answer.status_code}: {problem.get('detail') or problem['error']}")
    return answer


job = call(
    "POST",
    "/v1/models/shapes/maximization",
    params={"layer": "conv2d_1", "channels": "0-7", "steps": 40, "format": "png"},
    headers={"Prefer": "respond-async", "Idempotency-Key": "my-first-job"},
).json()["id"]
call("GET", f"/v1/jobs/{job}/events")
answer = call(
    "GET",
    "/v1/jobs",
    params={"state": "succeeded", "limit": 100},
)
print(answer.text)
