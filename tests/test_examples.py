"""Every example in `openapi_examples/` is called and compared with its recording; every curl script is run.

`pytest tests/test_examples.py --update-examples` records the answers anew, for a person to review.
"""

from __future__ import annotations

import base64
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

FOLDER = Path(__file__).parent.parent / "openapi_examples"
NAMES = sorted(path.name.removesuffix(".request.json") for path in FOLDER.glob("*.request.json"))
# What depends on the moment or on other tests of the same run.
VOLATILE = {
    "timing_ms", "state", "users", "device", "weight_bytes", "plan_bytes", "traces", "last_error", "instance",
    "unloaded", "engines", "id", "links", "created_at", "started_at", "finished_at", "expires_at", "attempts",
    "seconds_left", "step", "total", "progress", "loss", "preview_version", "created", "default", "versions",
}  # fmt: skip
# Answers that are not recorded, and what each must hold.
STREAMS = {
    "text/event-stream": b"event: succeeded",
    "image/png": b"\x89PNG\r\n",
    "text/plain;version=0.0.4": b'kerascope_engine_up{engine="0"} 1.0',
}
SHOWN_CHARACTERS = 24


def request_of(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.request.json").read_text(encoding="utf-8"))


def call(client: httpx.Client, example: dict[str, Any]) -> httpx.Response:
    headers = {"accept": example.get("accept", "*/*"), **example.get("headers", {})}
    if "after" in example:
        job = call(client, request_of(example["after"])).json()["id"]
        example = {**example, "path": example["path"].replace("{job}", job)}
        if example.get("finished"):
            client.get(f"/v1/jobs/{job}/events")
    if "body" in example:
        content = (FOLDER / example["body"]).read_bytes()
        headers["content-type"] = example["content_type"]
        return client.post(example["path"], params=example.get("query"), content=content, headers=headers)
    if "form" in example:
        form, kinds = example["form"], {"image": "image/png", "model": "application/octet-stream"}
        paths = {name: FOLDER / value for name, value in form.items() if name in kinds}
        files = {name: (path.name, path.read_bytes(), kinds[name]) for name, path in paths.items()}
        fields = {name: value for name, value in form.items() if name not in kinds}
        return client.post(example["path"], data=fields, files=files, headers=headers)
    if "json" in example:
        body = dict(example["json"])
        if "image" in body:
            body["image"] = base64.b64encode((FOLDER / body["image"]).read_bytes()).decode()
        return client.request(example["method"], example["path"], json=body, headers=headers)
    return client.request(example["method"], example["path"], params=example.get("query"), headers=headers)


def trimmed(value: Any) -> Any:
    """Base64 shortened to its beginning, so that a recording can be read."""
    if isinstance(value, dict):
        return {
            key: _short(item) if key == "data" and isinstance(item, str) else trimmed(item)
            for key, item in value.items()
        }
    return [trimmed(item) for item in value] if isinstance(value, list) else value


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)"


def differences(recorded: Any, given: Any, at: str = "") -> list[str]:
    """Where an answer differs from its recording: floats by more than 1e-3, pictures not compared byte for byte."""
    key = at.rsplit(".", 1)[-1]
    if key in VOLATILE:
        return []
    if isinstance(recorded, dict) and isinstance(given, dict):
        found = [f"{at}: keys {sorted(recorded)} and {sorted(given)}"] if set(recorded) != set(given) else []
        return found + [
            item
            for name in recorded.keys() & given.keys()
            for item in differences(recorded[name], given[name], f"{at}.{name}")
        ]
    if key == "models" and isinstance(recorded, list):
        by_id = {row["id"]: row for row in given}
        return [item for row in recorded for item in differences(row, by_id.get(row["id"]), f"{at}.{row['id']}")]
    if isinstance(recorded, list) and isinstance(given, list):
        if len(recorded) != len(given):
            return [f"{at}: {len(recorded)} and {len(given)} items"]
        return [
            item
            for place, pair in enumerate(zip(recorded, given, strict=True))
            for item in differences(*pair, f"{at}[{place}]")
        ]
    if isinstance(recorded, float) and isinstance(given, float | int):
        return [] if math.isclose(recorded, given, rel_tol=1e-3, abs_tol=1e-3) else [f"{at}: {recorded} and {given}"]
    if key == "data" and isinstance(recorded, str) and "…" in recorded:
        return [] if isinstance(given, str) and given[:8] == recorded[:8] else [f"{at}: another kind of data"]
    return [] if recorded == given else [f"{at}: {recorded!r} and {given!r}"]


@pytest.mark.parametrize("name", NAMES)
def test_answer_is_as_recorded(name: str, service: Any, request: pytest.FixtureRequest) -> None:
    example = request_of(name)
    response = call(service.client, example)
    assert response.status_code == example["status"], response.text
    if example.get("accept") in STREAMS:
        assert STREAMS[example["accept"]] in response.content
        return
    recording = FOLDER / f"{name}.response.{'txt' if example.get('accept') == 'text/plain' else 'json'}"
    if not response.content:
        assert not recording.exists()
        return
    if recording.suffix == ".txt":
        if request.config.getoption("--update-examples"):
            recording.write_text(response.text, encoding="utf-8")
        assert response.text == recording.read_text(encoding="utf-8")
        return
    body = response.json()
    if request.config.getoption("--update-examples"):
        recording.write_text(json.dumps(trimmed(body), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert differences(json.loads(recording.read_text(encoding="utf-8")), body) == []


@pytest.mark.parametrize("name", NAMES)
def test_curl_script_runs_as_it_stands(name: str, service: Any) -> None:
    example = request_of(name)
    done = subprocess.run(
        [FOLDER / f"{name}.sh"],
        env={**os.environ, "KERASCOPE_URL": service.url},
        capture_output=True,
        timeout=120,
        check=True,
    )
    if example["status"] == 204:
        assert done.stdout == b""
    elif example.get("accept") in STREAMS:
        assert STREAMS[example["accept"]] in done.stdout
    elif example.get("accept") == "text/plain":
        assert b"Total params" in done.stdout
    else:
        recorded = json.loads((FOLDER / f"{name}.response.json").read_text(encoding="utf-8"))
        assert differences(recorded, json.loads(done.stdout)) == []


def test_generated_documents_are_current() -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / "make_docs.py", "--check"], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_every_route_has_an_example() -> None:
    document = json.loads((FOLDER / "openapi.json").read_text(encoding="utf-8"))
    operations = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert operations - set(NAMES) == set()


def test_differences_are_noticed() -> None:
    assert differences({"a": 1.0}, {"a": 1.01}) == [".a: 1.0 and 1.01"]
    assert differences({"a": [1]}, {"a": [1, 2]}) == [".a: 1 and 2 items"]
    assert differences({"a": 1}, {"b": 1}) == [": keys ['a'] and ['b']"]
    assert differences({"label": "x"}, {"label": "y"}) == [".label: 'x' and 'y'"]
