"""The clients of every example do what the recording says: curl, Python, JavaScript, and the `.http` file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright._impl._driver import compute_driver_executable

from tests.checks import openapi, operation
from tests.conftest import Service
from tests.examples import FOLDER, NAMES, STREAMS, differences, request_of

NODE = compute_driver_executable()[0]
COMMANDS = {
    "curl": lambda name: ["bash", str(FOLDER / "curl" / f"{name}.sh")],
    "python": lambda name: [sys.executable, str(FOLDER / "python" / f"{name}.py")],
    "javascript": lambda name: [NODE, str(FOLDER / "javascript" / f"{name}.mjs")],
}
MINE = "/v1/models/mine/versions"
PNG = b"\x89PNG\r\n\x1a\n"
HTTP_FILE = (FOLDER / "examples.http").read_text(encoding="utf-8")
REQUESTS = {text.split("\n", 1)[0]: text.split("\n", 1)[1] for text in re.split(r"^### ", HTTP_FILE, flags=re.M)[1:]}


def recording(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.response.json").read_text(encoding="utf-8"))


def check_answer(name: str, content: bytes) -> None:
    """What an example's call gave is what its recording says."""
    example = request_of(name)
    if example["status"] == 204:
        assert content == b""
    elif example.get("accept") in STREAMS:
        assert STREAMS[example["accept"]] in content
    elif example.get("accept") == "text/plain":
        assert content.decode().rstrip() == (FOLDER / f"{name}.response.txt").read_text(encoding="utf-8").rstrip()
    else:
        assert differences(recording(name), json.loads(content)) == [], content[:1000]


Run = tuple[str, str]


# An interpreter for each of fifty programs takes long; that all of them send a key is looked at below.
@pytest.fixture(scope="module", params=["curl", "javascript", pytest.param("python", marks=pytest.mark.soak)])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def runs(
    language: str, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> dict[Run, tuple[subprocess.CompletedProcess[bytes], Path]]:
    """Every program's end and the folder it ran in. Those about the one uploaded model run one after another."""

    def run(program: Run) -> tuple[subprocess.CompletedProcess[bytes], Path]:
        folder, environment = tmp_path_factory.mktemp("client"), {**os.environ, "KERASCOPE_URL": service.url}
        command = COMMANDS[program[1]](program[0])
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=120, check=False)
        return done, folder

    programs = [(name, language) for name in NAMES]
    in_turn = [item for item in programs if "upload_model" in (item[0], request_of(item[0]).get("after"))]
    others = [item for item in programs if item not in in_turn]
    with ThreadPoolExecutor(3) as pool:
        uploads = pool.submit(lambda: [run(item) for item in in_turn])
        found = dict(zip(others, pool.map(run, others), strict=True))
        return found | dict(zip(in_turn, uploads.result(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_program_runs_as_it_stands(name: str, language: str, runs: dict[Run, Any]) -> None:
    example = request_of(name)
    done, folder = runs[name, language]
    if example["status"] >= 400 and language != "curl":
        body = recording(name)
        assert done.returncode == 1
        assert done.stderr.decode().strip() == f"{example['status']}: {body.get('detail') or body['error']}"
        return
    assert (done.returncode, done.stderr) == (0, b"")
    saved = sorted(folder.iterdir())
    if example.get("accept") == "image/png":
        (picture,) = saved
        check_answer(name, picture.read_bytes())
        return
    check_answer(name, done.stdout)
    if language != "curl" and done.stdout.startswith(b"{"):
        assert len(saved) == pictures_in(json.loads(done.stdout))
    assert all(path.read_bytes().startswith(PNG) for path in saved)


def pictures_in(answer: dict[str, Any]) -> int:
    return len(answer.get("images", [])) + sum(len(result["images"]) for result in answer.get("results", []))


@pytest.mark.parametrize("of", COMMANDS)
def test_the_program_sends_the_key(of: str, service: Service, tmp_path: Path) -> None:
    """A service without keys does not look at it; that it was sent shows at a listener."""
    seen: list[str | None] = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {**os.environ, "KERASCOPE_URL": f"http://127.0.0.1:{server.server_port}"}
        for key in ({}, {"KERASCOPE_KEY": "ks secret"}):
            subprocess.run(
                COMMANDS[of]("list_models"),
                cwd=tmp_path,
                env=environment | key,
                capture_output=True,
                timeout=60,
                check=True,
            )
        server.shutdown()
    assert seen == [None, "Bearer ks secret"]


class TestHttpFile:
    """Read here as the editors' REST clients read it: variables, a request line, headers, a body of text and files."""

    def test_it_has_every_example(self) -> None:
        assert list(REQUESTS) == NAMES

    @pytest.mark.soak
    @pytest.mark.parametrize("name", NAMES)
    def test_its_request_gives_the_recorded_answer(self, name: str, service: Service) -> None:
        example = request_of(name)
        variables = {"url": service.url}
        if "after" in example:
            # Uploading takes seconds: once is enough where nothing has deleted it since.
            if "{job}" in example["path"] or example.get("finished") or not service.client.get(MINE).is_success:
                variables["job"] = sent(service.client, REQUESTS[example["after"]], variables).json()["id"]
            if example.get("finished"):
                service.client.get(f"/v1/jobs/{variables['job']}/events")
        answer = sent(service.client, REQUESTS[name], variables)
        assert answer.status_code == example["status"], answer.text
        check_answer(name, answer.content)


def sent(client: httpx.Client, text: str, variables: dict[str, str]) -> httpx.Response:
    """The answer to one request of a `.http` file."""
    for name, value in variables.items():
        text = text.replace("{{" + name + "}}", value)
    assert "{{" not in text
    head, _, body = text.partition("\n\n")
    lines = [line for line in head.splitlines() if not line.startswith("#")]
    method, url = lines[0].split(" ", 1)
    headers = dict(line.split(": ", 1) for line in lines[1:])
    parts = [
        (FOLDER / line.removeprefix("< ")).read_bytes() if line.startswith("< ") else line.encode()
        for line in body.removesuffix("\n\n").removesuffix("\n").split("\n")
    ]
    content = (b"\r\n" if headers.get("Content-Type", "").startswith("multipart/") else b"\n").join(parts)
    return client.request(method, url, headers=headers, content=content or None)


def test_every_operation_has_an_example() -> None:
    """By what is called: an example need not have the operation's name."""
    called = set()
    for name in NAMES:
        example = request_of(name)
        called.add(operation(example["method"], example["path"].replace("{job}", "some"))["operationId"])
    every = {item["operationId"] for path in openapi()["paths"].values() for item in path.values()}
    assert every - called == set()
