"""Open Inference Protocol: a picture as BYTES, one of the two outputs."""

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


triangle = base64.b64encode((EXAMPLES / "triangle.png").read_bytes()).decode()
answer = call(
    "POST",
    "/v2/models/shapes/infer",
    json={
        "id": "42",
        "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [triangle]}],
        "outputs": [{"name": "probabilities"}],
    },
)
print(answer.text)
