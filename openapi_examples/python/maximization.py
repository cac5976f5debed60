"""What excites the first eight filters of a convolution, waited for up to a minute."""

import base64
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


answer = call(
    "POST",
    "/v1/models/shapes/maximization",
    headers={"Prefer": "wait=60"},
    json={
        "layer": "conv2d_1",
        "channels": "0-7",
        "size": 32,
        "steps": 30,
        "columns": 4,
        "outputs": "grid,history",
    },
)
print(answer.text)
for image in answer.json()["images"]:
    Path(image["name"].replace("/", "_") + ".png").write_bytes(base64.b64decode(image["data"]))
