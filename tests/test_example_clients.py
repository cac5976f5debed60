"""The examples in sh, Python, JavaScript and the `.http` file do what the recordings say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright._impl._driver import compute_driver_executable

from tests.checks import openapi, operation
from tests.conftest import Service
from tests.examples import (
    FOLDER,
    NAMES,
    STREAMS,
    UPLOAD,
    differences,
    recording_of,
    request_of,
    wants_upload,
)

# `sh` is dash on Debian, which knows nothing beyond POSIX.
PROGRAMS = {
    "sh": ["sh", str(FOLDER / "examples.sh")],
    "python": [sys.executable, str(FOLDER / "examples.py")],
    "javascript": [compute_driver_executable()[0], str(FOLDER / "examples.mjs")],
}
ANSWERED = [name for name in NAMES if request_of(name)["status"] < 400]
REFUSED = [name for name in NAMES if name not in ANSWERED]
PNG = b"\x89PNG\r\n\x1a\n"
HTTP_FILE = (FOLDER / "examples.http").read_text(encoding="utf-8")
REQUESTS = {text.split("\n", 1)[0]: text.split("\n", 1)[1] for text in re.split(r"^### ", HTTP_FILE, flags=re.M)[1:]}


def check_answer(name: str, content: bytes) -> None:
    """What an example's call gave is what its recording says."""
    example = request_of(name)
    if example["status"] == 204:
        assert content == b""
    elif example.get("accept") in STREAMS:
        assert STREAMS[example["accept"]] in content
    elif example.get("accept") == "text/plain":
        assert content.decode().rstrip() == recording_of(name).read_text(encoding="utf-8").rstrip()
    else:
        recorded = json.loads(recording_of(name).read_text(encoding="utf-8"))
        assert differences(recorded, json.loads(content)) == [], content[:1000]


@dataclass(frozen=True)
class Ended:
    """A program's end, what it printed for each name, and the folder it ran in."""

    code: int
    output: bytes
    errors: str
    folder: Path

    @property
    def answers(self) -> dict[str, bytes]:
        """What stands behind each heading; where several names are given, each answer has one."""
        parts = re.split(rb"^==> (\w+)\n", self.output, flags=re.M)
        return {name.decode(): answer.strip() for name, answer in zip(parts[1::2], parts[2::2], strict=True)}


def run(language: str, names: list[str], folder: Path, **environment: str) -> Ended:
    done = subprocess.run(
        [*PROGRAMS[language], *names],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr.decode(), folder)


# The shell's runs with `make test`, the others with `make documents`.
@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=() if name == "sh" else pytest.mark.documents) for name in PROGRAMS],
)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def ended(language: str, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """All examples that are answered, in one run: interpreters take long to start."""
    return run(language, ANSWERED, tmp_path_factory.mktemp(language), KERASCOPE_URL=service.url)


class TestProgram:
    def test_it_runs_as_it_stands(self, ended: Ended) -> None:
        assert (ended.code, ended.errors) == (0, "")
        assert list(ended.answers) == ANSWERED

    @pytest.mark.parametrize("name", ANSWERED)
    def test_its_answer_is_as_recorded(self, name: str, language: str, ended: Ended) -> None:
        assert name in ended.answers, ended.errors
        answer = ended.answers[name]
        if request_of(name).get("accept") == "image/png":
            assert answer == b""
            check_answer(name, (ended.folder / f"{name}.png").read_bytes())
            return
        check_answer(name, answer)
        # In a shell, pictures within JSON stay there.
        if language != "sh" and answer.startswith(b"{"):
            assert len(list(ended.folder.glob(f"{name}-*.png"))) == pictures_in(json.loads(answer))

    def test_it_saves_pictures_and_nothing_else(self, language: str, ended: Ended) -> None:
        saved = list(ended.folder.iterdir())
        assert all(path.suffix == ".png" and path.read_bytes().startswith(PNG) for path in saved)
        answers = [json.loads(answer) for answer in ended.answers.values() if answer.startswith(b"{")]
        assert len(saved) == 1 + (0 if language == "sh" else sum(map(pictures_in, answers)))

    @pytest.mark.parametrize("name", REFUSED)
    def test_a_problem_ends_it(self, name: str, language: str, service: Service, tmp_path: Path) -> None:
        ended = run(language, [name], tmp_path, KERASCOPE_URL=service.url)
        body = json.loads(recording_of(name).read_text(encoding="utf-8"))
        assert (ended.code, ended.output) == (1, b"")
        assert ended.errors == f"{request_of(name)['status']}: {body.get('detail') or body['error']}\n"

    def test_no_name_comes_after_a_problem(self, language: str, service: Service, tmp_path: Path) -> None:
        ended = run(language, ["livez", REFUSED[0], "readyz"], tmp_path, KERASCOPE_URL=service.url)
        assert ended.code == 1
        assert list(ended.answers) == ["livez", REFUSED[0]]

    def test_one_name_gives_its_answer_alone(self, language: str, service: Service, tmp_path: Path) -> None:
        ended = run(language, ["livez"], tmp_path, KERASCOPE_URL=service.url)
        assert (ended.code, ended.errors) == (0, "")
        check_answer("livez", ended.output)

    def test_without_a_name_it_lists_all(self, language: str, tmp_path: Path) -> None:
        ended = run(language, [], tmp_path)
        rows = dict(line.split(maxsplit=1) for line in ended.output.decode().splitlines())
        assert (ended.code, ended.errors) == (0, "")
        assert list(rows) == sorted(NAMES)
        for name, summary in rows.items():
            assert summary.startswith(request_of(name)["summary"])
        assert rows["delete_model"].endswith(f"(after {UPLOAD}).")

    @pytest.mark.parametrize("unknown", ["cma", "call", "."])
    def test_an_unknown_name_is_said_before_any_call(self, unknown: str, language: str, tmp_path: Path) -> None:
        ended = run(language, ["livez", unknown], tmp_path, KERASCOPE_URL="http://127.0.0.1:9")
        assert (ended.code, ended.output) == (2, b"")
        assert ended.errors.startswith(f"there is no example '{unknown}'; ")

    def test_it_sends_the_key(self, language: str, tmp_path: Path) -> None:
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
            url = f"http://127.0.0.1:{server.server_port}"
            for key in ({}, {"KERASCOPE_KEY": "ks secret"}):
                assert run(language, ["list_models"], tmp_path, KERASCOPE_URL=url, **key).code == 0
            server.shutdown()
        assert seen == [None, "Bearer ks secret"]


def pictures_in(answer: dict[str, Any]) -> int:
    return len(answer.get("images", [])) + sum(len(result["images"]) for result in answer.get("results", []))


class TestHttpFile:
    """Read here as the editors' REST clients read it: variables, a request line, headers, a body of text and files."""

    def test_it_has_every_example(self) -> None:
        assert list(REQUESTS) == sorted(NAMES)

    @pytest.mark.parametrize("name", NAMES)
    def test_its_request_gives_the_recorded_answer(self, name: str, service: Service) -> None:
        example = request_of(name)
        variables = {"url": service.url}
        if wants_upload(service.client, example):
            sent(service.client, REQUESTS[UPLOAD], variables)
        if example.get("after") == "submit_job":
            variables["job"] = sent(service.client, REQUESTS["submit_job"], variables).json()["id"]
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
    """Operations are told by what is called: an example need not have the operation's name."""
    called = set()
    for name in NAMES:
        example = request_of(name)
        called.add(operation(example["method"], example["path"].replace("{job}", "some"))["operationId"])
    every = {item["operationId"] for path in openapi()["paths"].values() for item in path.values()}
    assert every - called == set()
