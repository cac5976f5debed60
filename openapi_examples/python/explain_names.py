"""Several methods by their names; those of one layer share their passes."""

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
    "/v1/models/efficientnet-lite0/explain",
    params={"methods": "predict,gradcam,layercam", "outputs": "heatmap", "top": 1},
    headers={"Content-Type": "image/png"},
    content=(EXAMPLES / "cat.png").read_bytes(),
)
print(answer.text)
for result in answer.json()["results"]:
    for image in result["images"]:
        name = f"{result['name']}-{image['name']}.png".replace("/", "_")
        Path(name).write_bytes(base64.b64decode(image["data"]))
