"""What tests of the examples share: an example as it is written down, its call, and how answers are compared."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any, Literal, Required, TypedDict

import httpx
from pydantic import JsonValue

FOLDER = Path(__file__).parent.parent / "openapi_examples"
# What depends on the moment or on other tests of the same run.
VOLATILE = {
    "timing_ms", "state", "users", "device", "weight_bytes", "folded_bytes", "layer_bytes", "plan_bytes", "plans",
    "traces", "last_error", "instance", "unloaded", "engines", "id", "links", "created_at", "started_at", "finished_at",
    "expires_at", "attempts", "seconds_left", "ready", "step", "total", "progress", "loss", "preview_version",
    "created", "default", "versions",
}  # fmt: skip
# Answers that are not recorded, and what each must hold.
STREAMS = {
    "text/event-stream": b"event: succeeded",
    "image/png": b"\x89PNG\r\n",
    "text/plain;version=0.0.4": b'kerascope_engine_up{engine="0"} 1.0',
}
SHOWN_CHARACTERS = 24
UPLOAD = "upload_model"
UPLOADED = "/v1/models/mine/versions"


class Request(TypedDict, total=False):
    """An example as `requests/` has it; `body` and the files of `form` lie beside that folder."""

    summary: Required[str]
    method: Required[str]
    path: Required[str]
    status: Required[int]
    accept: str
    content_type: str
    headers: dict[str, str]
    query: dict[str, str | int]
    body: str
    form: dict[str, str]
    json: dict[str, JsonValue]
    after: Literal["submit_job", "upload_model"]
    finished: bool


def request_of(name: str) -> Request:
    found: Request = json.loads((FOLDER / "requests" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _turn(name: str) -> tuple[bool, int, str]:
    example = request_of(name)
    about_upload = example.get("after") == UPLOAD
    return about_upload, ("GET", "POST", "PATCH", "DELETE").index(example["method"]) if about_upload else 0, name


# Those about the uploaded model come last, what changes it behind what reads it: an upload takes seconds.
NAMES = sorted((path.stem for path in (FOLDER / "requests").glob("*.json")), key=_turn)


def recording_of(name: str) -> Path:
    kind = "txt" if request_of(name).get("accept") == "text/plain" else "json"
    return FOLDER / "responses" / f"{name}.{kind}"


def wants_upload(client: httpx.Client, example: Request) -> bool:
    """Whether the model that it is about has to be uploaded first: another example may have done so."""
    return example.get("after") == UPLOAD and not client.get(UPLOADED).is_success


def call(client: httpx.Client, example: Request) -> httpx.Response:
    headers = {"accept": example.get("accept", "*/*"), **example.get("headers", {})}
    if wants_upload(client, example):
        call(client, request_of(UPLOAD))
    if example.get("after") == "submit_job":
        job = call(client, request_of("submit_job")).json()["id"]
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
        return client.request(example["method"], example["path"], json=with_files(example["json"]), headers=headers)
    return client.request(example["method"], example["path"], params=example.get("query"), headers=headers)


def with_files(value: Any) -> Any:
    """Texts that name a picture replaced by its base64."""
    if isinstance(value, dict):
        return {key: with_files(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_files(item) for item in value]
    is_file = isinstance(value, str) and value.endswith(".png")
    return base64.b64encode((FOLDER / value).read_bytes()).decode() if is_file else value


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
    # Other tests' models and jobs stand beside those that were recorded.
    if key in ("models", "jobs") and isinstance(recorded, list):
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
