"""Uploading models over HTTP: versions, who sees them, what is refused, and that nothing else is touched by it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.keys.key import new_key
from service.keys.scope import Scope
from service.keys.store import KeyStore
from tests import nets
from tests.api.conftest import KEY
from tests.checks import PNG, problem, saved, triangle
from tests.conftest import Service, start_service
from tests.ingest.corpus import archive, functional, put, sequential
from tests.ingest.test_config import LAMBDA

PICTURE = saved(triangle())
MODELS = "/v1/models"


INSTANCES = {"instances": [{"b64": base64.b64encode(PICTURE).decode()}]}
TENSOR = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [INSTANCES["instances"][0]["b64"]]}]}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, dict[str, str]]]:
    """A service that takes models, and keys for it by their names."""
    folder = tmp_path_factory.mktemp("uploads")
    store = KeyStore(folder / "data")
    every = frozenset({Scope.EXPLAIN, Scope.MODELS_READ, Scope.MODELS_WRITE, Scope.JOBS})
    wanted = {"ann": every, "bob": every, "reader": frozenset({Scope.EXPLAIN}), "admin": frozenset({Scope.ADMIN})}
    keys = {}
    for name, scopes in wanted.items():
        keys[name], record = new_key(name, scopes)
        store.add(record)
    running = start_service(folder, preload="shapes", uploads="true", max_upload_bytes=str(4 * 2**20))
    yield running, keys
    running.stop()


class Client:
    """Calls with one key."""

    def __init__(self, service: Service, key: str) -> None:
        self._service = service
        self._headers = {"Authorization": f"Bearer {key}"}

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = self._headers | more.pop("headers", {})
        return self._service.client.request(method, path, headers=headers, **more)

    def upload(self, model_id: str, data: bytes, **fields: str) -> httpx.Response:
        return self("POST", MODELS, data={"id": model_id, **fields}, files={"model": data})

    def predict(self, model_id: str) -> httpx.Response:
        return self("POST", f"{MODELS}/{model_id}/predict", content=PICTURE, headers=PNG)


@pytest.fixture
def ann(keyed: tuple[Service, dict[str, str]]) -> Client:
    return Client(keyed[0], keyed[1]["ann"])


@pytest.fixture
def bob(keyed: tuple[Service, dict[str, str]]) -> Client:
    return Client(keyed[0], keyed[1]["bob"])


@pytest.fixture
def admin(keyed: tuple[Service, dict[str, str]]) -> Client:
    return Client(keyed[0], keyed[1]["admin"])


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("network") / "model.keras"
    nets.pencil().save(path)
    return path.read_bytes()


def test_a_model_from_upload_to_deletion(ann: Client, network: bytes) -> None:
    made = ann.upload("pencil", network, spec=json.dumps({"title": "A pencil", "labels": ["a", "b", "c", "d"]}))
    assert made.status_code == 201, made.text
    assert made.headers["location"] == "/v1/models/pencil"
    assert made.json()["versions"][0]["parameters"] == nets.pencil().count_params()
    assert ann.predict("pencil").json()["model"]["id"] == "pencil@1"
    assert ann.upload("pencil", network).json()["default"] == 2
    assert ann.predict("pencil").json()["model"]["id"] == "pencil@2"
    assert ann.predict("pencil@1").json()["predictions"][0]["label"] in "abcd"
    row = next(row for row in ann("GET", MODELS).json()["models"] if row["id"] == "pencil")
    assert (row["version"], row["visibility"]) == (2, "private")
    described = ann("GET", f"{MODELS}/pencil").json()
    assert (described["id"], described["version"]) == ("pencil", 2)
    assert ann("PATCH", f"{MODELS}/pencil", json={"default": 1}).json()["default"] == 1
    assert ann.predict("pencil").json()["model"]["id"] == "pencil@1"
    job = ann("POST", f"{MODELS}/pencil/predict", content=PICTURE, headers=PNG | {"Prefer": "wait=20, respond-async"})
    assert job.status_code in (200, 202), job.text
    assert ann("DELETE", f"{MODELS}/pencil@1").status_code == 204
    problem(ann.predict("pencil@1"), 404, "unknown-model", "has no version 1")
    assert ann.predict("pencil").json()["model"]["id"] == "pencil@2"
    assert ann("DELETE", f"{MODELS}/pencil").status_code == 204
    problem(ann.predict("pencil"), 404, "unknown-model", "'pencil'")


class TestOthers:
    def test_h9_a_private_model_is_not_there_for_them(
        self, ann: Client, bob: Client, admin: Client, network: bytes
    ) -> None:
        assert ann.upload("secret", network).status_code == 201
        paths = ["", "/summary", "/layers", "/layers/0", "/layers/0/kernels", "/versions"]
        for path in paths:
            there = bob("GET", f"{MODELS}/nowhere{path}")
            answer = bob("GET", f"{MODELS}/secret{path}")
            assert answer.status_code == there.status_code == 404
            assert answer.json()["type"] == there.json()["type"]
        for path in ("predict", "cam", "explain?methods=cam", "maximization?layer=0"):
            problem(bob("POST", f"{MODELS}/secret/{path}", content=PICTURE, headers=PNG), 404, "unknown-model")
        for path in ("load", "unload"):
            problem(bob("POST", f"{MODELS}/secret/{path}"), 404, "unknown-model")
        problem(bob("PATCH", f"{MODELS}/secret", json={"visibility": "shared"}), 404, "unknown-model")
        problem(bob("DELETE", f"{MODELS}/secret"), 404, "unknown-model")
        problem(bob("GET", "/v1/methods?model=secret"), 404, "unknown-model")
        for verb in ("predict", "explain"):
            problem(bob("POST", f"{MODELS}/secret:{verb}", json=INSTANCES), 404, "unknown-model")
        for path in ("", "/ready", "/versions/1", "/versions/1/ready"):
            assert bob("GET", f"/v2/models/secret{path}").status_code == 404
        for path in ("/infer", "/versions/1/infer"):
            answer = bob("POST", f"/v2/models/secret{path}", json=TENSOR)
            assert answer.status_code == 404
            assert answer.json() == {"error": f"there is no model 'secret{'@1' if 'versions' in path else ''}'"}
            assert ann("POST", f"/v2/models/secret{path}", json=TENSOR).status_code == 200
        assert len(ann("POST", f"{MODELS}/secret:predict", json=INSTANCES).json()["predictions"]) == 1
        assert "secret" not in {row["id"] for row in bob("GET", MODELS).json()["models"]}
        problem(bob.upload("secret", network), 409, "model-exists", "taken")
        assert admin.predict("secret").status_code == 200
        assert ann.predict("secret").status_code == 200

    def test_a_shared_one_is_used_but_not_changed(self, ann: Client, bob: Client, network: bytes) -> None:
        assert ann.upload("shared", network, visibility="shared").status_code == 201
        assert bob.predict("shared").status_code == 200
        problem(bob("DELETE", f"{MODELS}/shared"), 403, "not-allowed", "the key that uploaded it alone")
        problem(bob("PATCH", f"{MODELS}/shared", json={"default": 1}), 403, "not-allowed")
        assert ann("PATCH", f"{MODELS}/shared", json={"visibility": "private"}).status_code == 200
        problem(bob.predict("shared"), 404, "unknown-model")

    def test_without_the_scope(self, keyed: tuple[Service, dict[str, str]], network: bytes) -> None:
        reader = Client(keyed[0], keyed[1]["reader"])
        problem(reader.upload("mine", network), 403, "not-allowed", "models:write")
        problem(reader("DELETE", f"{MODELS}/shapes"), 403, "not-allowed", "models:write")


class TestRefused:
    def test_code(self, ann: Client) -> None:
        answer = ann.upload("evil", archive(sequential(LAMBDA)))
        body = problem(answer, 422, "model-refused", "'Lambda'")
        assert body["errors"] == [{"loc": ["model"], "msg": "model.forbidden_class"}]
        problem(ann.predict("evil"), 404, "unknown-model")

    @pytest.mark.parametrize(
        ("fields", "files", "status", "kind", "words"),
        [
            (
                {"id": "Bad Name"},
                {"model": b"PK\x03\x04"},
                422,
                "invalid-parameter",
                "id: it must be 1 to 64 of a-z, 0-9, '.', '_' and '-', the first of them a letter or digit, "
                "got 'Bad Name'",
            ),
            ({"id": "../x"}, {"model": b"PK\x03\x04"}, 422, "invalid-parameter", "id"),
            ({"id": "x@1"}, {"model": b"PK\x03\x04"}, 422, "invalid-parameter", "id"),
            ({}, {"model": b"PK\x03\x04"}, 422, "invalid-parameter", "id: it is missing"),
            (
                {"id": "x", "odd": "1"},
                {"model": b"PK\x03\x04"},
                422,
                "invalid-parameter",
                "odd: unknown field; there are id, visibility, spec",
            ),
            (
                {"id": "x", "visibility": "all"},
                {"model": b"PK\x03\x04"},
                422,
                "invalid-parameter",
                "visibility: input should be 'private' or 'shared', got 'all'",
            ),
            ({"id": "x", "spec": "{"}, {"model": b"PK\x03\x04"}, 422, "invalid-parameter", "spec"),
            (
                {"id": "x", "spec": '{"labels": "../labels.txt"}'},
                {"model": b"PK\x03\x04"},
                422,
                "invalid-parameter",
                "spec.labels: input should be 'imagenet' or a valid list, got '../labels.txt'",
            ),
            ({"id": "x", "spec": '{"weights": "x"}'}, {"model": b"PK\x03\x04"}, 422, "invalid-parameter", "weights"),
            (
                {"id": "x"},
                {"model": b"hello"},
                415,
                "unsupported-media-type",
                "plain text; a model is a .keras archive",
            ),
            ({"id": "x"}, {"model": b"\x01\x02\x03\x04"}, 415, "unsupported-media-type", "starts with"),
            ({"id": "x"}, {"model": b""}, 415, "unsupported-media-type", "it is empty"),
            (
                {"id": "x"},
                {"model": b"version https://git-lfs.github.com/spec/v1\n"},
                415,
                "unsupported-media-type",
                "pointer of Git LFS",
            ),
            ({"id": "x"}, {"model": bytes(128) + b"DICM"}, 415, "unsupported-media-type", "a DICOM image"),
            ({"id": "x"}, {"other": b"PK\x03\x04"}, 400, "malformed-body", "'model'"),
            ({"id": "x"}, {"architecture": b"{}"}, 400, "malformed-body", "'weights'"),
            ({"id": "shapes"}, {"model": b"PK\x03\x04"}, 409, "model-exists", "service's own"),
        ],
    )
    def test_what_does_not_fit(
        self, ann: Client, fields: dict[str, str], files: dict[str, bytes], status: int, kind: str, words: str
    ) -> None:
        problem(ann("POST", MODELS, data=fields, files=files), status, kind, words)

    def test_labels_that_are_too_few(self, ann: Client, network: bytes) -> None:
        answer = ann.upload("few", network, spec='{"labels": ["a"]}')
        problem(answer, 422, "invalid-parameter", "1 labels, and the model 4 classes")
        problem(ann.predict("few"), 404, "unknown-model")

    @pytest.mark.parametrize(
        ("spec", "field", "words"),
        [
            ({"preprocessing": {"mode": "torch"}}, ["spec", "preprocessing"], ["'torch' is for 3 channels", "takes 1"]),
            (
                {"preprocessing": {"mode": "mean_std", "mean": [1, 2, 3], "std": [1]}},
                ["spec", "preprocessing"],
                ["'mean' has 3 numbers and the model takes 1 channel"],
            ),
            ({"preprocessing": {"mode": "mean_std", "mean": [1], "std": [0]}}, ["spec", "preprocessing"], ["than 0"]),
            ({"input": {"channels": [1]}}, ["spec", "input"], ["'channels' names channel 1", "0 to 0"]),
            ({"input": {"height": 5}}, ["spec", "input", "height"], ["says height 5", "the file 2"]),
            ({"input": {"width": 2}, "labels": ["a"]}, ["spec", "labels"], ["1 labels", "says width 2"]),
        ],
    )
    def test_a_spec_that_cannot_be(
        self, ann: Client, network: bytes, spec: dict[str, Any], field: list[str], words: list[str]
    ) -> None:
        answer = ann.upload("cannot", network, spec=json.dumps(spec))
        body = problem(answer, 422, "invalid-parameter", *words)
        assert field in [error["loc"] for error in body["errors"]]
        problem(ann.predict("cannot"), 404, "unknown-model")

    def test_another_body(self, ann: Client) -> None:
        problem(ann("POST", MODELS, json={"id": "x"}), 415, "unsupported-media-type", "multipart/form-data")

    def test_too_large(self, ann: Client) -> None:
        problem(ann.upload("x", b"PK\x03\x04" + bytes(16 * 2**20)), 413, "body-too-large")
        problem(ann.upload("x", b"PK\x03\x04" + bytes(6 * 2**20)), 422, "model-refused", "4194304 are the most")

    def test_other_routes_keep_their_own_limit(self, ann: Client) -> None:
        assert ann("POST", f"{MODELS}/shapes/predict", content=bytes(33 * 2**20), headers=PNG).status_code == 413


def test_a4_what_is_kept_warm_for_all_is_unloaded_for_admin_alone(ann: Client, admin: Client) -> None:
    problem(ann("POST", f"{MODELS}/shapes/unload"), 403, "not-allowed", "kept warm by the operator", "'admin'")
    states = {row["id"]: row["state"] for row in ann("GET", MODELS).json()["models"]}
    assert states["shapes"] == "warm"
    # While it is still warming up after the start it is in use.
    deadline = time.monotonic() + 30
    while not admin("POST", f"{MODELS}/shapes/unload").json()["unloaded"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert ann("POST", f"{MODELS}/shapes/load").status_code == 204


def test_a4_a_shared_model_is_unloaded_for_its_own_key_and_admin(
    ann: Client, bob: Client, admin: Client, network: bytes
) -> None:
    assert ann.upload("lent", network, visibility="shared").status_code == 201
    for unloads in (ann, admin):
        assert bob.predict("lent").status_code == 200
        for name in ("lent", "lent@1"):
            problem(bob("POST", f"{MODELS}/{name}/unload"), 403, "not-allowed", "uploaded it alone")
        assert unloads("POST", f"{MODELS}/lent/unload").json() == {"unloaded": True}
    assert ann("DELETE", f"{MODELS}/lent").status_code == 204


def test_c3_another_version_is_as_visible_as_the_model_is(ann: Client, bob: Client, network: bytes) -> None:
    steps: list[tuple[dict[str, str], str]] = [
        ({}, "private"), ({"visibility": "shared"}, "shared"), ({}, "shared"), ({"visibility": "private"}, "private"),
        ({}, "private"),
    ]  # fmt: skip
    for fields, seen in steps:
        made = ann.upload("again", network, **fields)
        assert (made.status_code, made.json()["visibility"]) == (201, seen), made.text
        assert bob("GET", f"{MODELS}/again").status_code == (200 if seen == "shared" else 404)
    assert ann("PATCH", f"{MODELS}/again", json={"visibility": "shared"}).status_code == 200
    assert ann.upload("again", network).json()["visibility"] == "shared"
    assert ann("DELETE", f"{MODELS}/again").status_code == 204


def test_m9_other_models_answer_as_before(ann: Client, network: bytes, tmp_path: Path) -> None:
    before = ann("POST", f"{MODELS}/shapes/cam?format=npy", content=PICTURE, headers=PNG).content
    assert ann.upload("evil", archive(functional(LAMBDA))).status_code == 422
    assert ann.upload("good", network).status_code == 201
    after = ann("POST", f"{MODELS}/shapes/cam?format=npy&alpha=0.4", content=PICTURE, headers=PNG).content
    assert after == before


def test_off_unless_it_is_set(guarded: Service, network: bytes) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = guarded.client.post(MODELS, data={"id": "x"}, files={"model": network}, headers=headers)
    said = "this service takes no models; it does once it is started with KERASCOPE_UPLOADS=true"
    assert problem(answer, 403, "uploads-off")["detail"] == said
    assert "KERASCOPE_UPLOADS" in guarded.client.get(MODELS, headers=headers).json()["uploads"]


@pytest.mark.soak
def test_an_upload_in_other_forms(ann: Client, tmp_path: Path) -> None:
    model = nets.pencil()
    model.save_weights(tmp_path / "w.weights.h5")
    pair = {"architecture": model.to_json().encode(), "weights": (tmp_path / "w.weights.h5").read_bytes()}
    assert ann("POST", MODELS, data={"id": "pair"}, files=pair).status_code == 201
    model.save(put(tmp_path, b"", "m.h5"))
    assert ann.upload("hdf5", (tmp_path / "m.h5").read_bytes()).status_code == 201
    assert ann.predict("pair").json()["predictions"] == ann.predict("hdf5").json()["predictions"]
