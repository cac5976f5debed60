"""API keys: with one configured, every route but two asks for it."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest
from starlette.datastructures import Headers
from starlette.routing import Mount, Route

from service.api.guarding.keys import NOBODY, Caller, Keys, is_open
from service.app import create_app
from service.keys.scope import EVERY
from service.keys.store import KeyStore
from service.settings import Settings
from tests.api.conftest import KEY
from tests.checks import PNG, problem, saved, triangle
from tests.conftest import Service

PICTURE = saved(triangle(28, 28))


MOUNTED = {"/docs/assets": "swagger-ui.css", "/explorer": "style.css"}


def all_routes() -> list[tuple[str, str]]:
    """Method and path of every route of the application, with real values for its parameters."""
    found = []
    for route in create_app(Settings(data_dir=Path("unused"))).routes:
        if isinstance(route, Route):
            path = re.sub(r"\{layer(:path)?\}", "conv2d", route.path)
            path = path.replace("{model_id}", "shapes").replace("{job_id}", "none").replace("{version}", "1")
            found += [(method, path) for method in sorted(route.methods or ()) if method != "HEAD"]
        elif isinstance(route, Mount):
            found.append(("GET", f"{route.path}/{MOUNTED[route.path]}"))
    return found


ROUTES = all_routes()


def test_the_walk_finds_every_kind_of_route() -> None:
    assert {("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/docs/assets/swagger-ui.css")} < set(ROUTES)
    assert {("POST", "/v1/models/shapes/cam"), ("GET", "/v1/models/shapes/layers/conv2d/kernels")} < set(ROUTES)
    assert len(ROUTES) >= 21


@pytest.mark.parametrize(("method", "path"), ROUTES)
class TestEveryRoute:
    def test_without_a_key(self, guarded: Service, method: str, path: str) -> None:
        answer = guarded.client.request(method, path)
        if is_open(path):
            assert answer.status_code == 200
        elif path.startswith("/v1"):
            problem(answer, 401, "not-authenticated", "Authorization: Bearer")
        else:
            assert answer.status_code == 401
        assert ("www-authenticate" in answer.headers) == (not is_open(path))

    def test_with_another_key(self, guarded: Service, method: str, path: str) -> None:
        answer = guarded.client.request(method, path, headers={"Authorization": "Bearer guess"})
        assert answer.status_code == (200 if is_open(path) else 401)

    def test_with_the_key(self, guarded: Service, method: str, path: str) -> None:
        posts = method == "POST" and not path.endswith(("load", "/maximization", "/concepts"))
        protocol = path.endswith((":predict", ":explain", "/infer"))
        headers = {"Authorization": f"Bearer {KEY}"} | (PNG if posts else {})
        query = {"explain": {"methods": "predict"}, "maximization": {"layer": "0", "steps": 1}}.get(path.split("/")[-1])
        answer = guarded.client.request(method, path, params=query, headers=headers, content=PICTURE if posts else None)
        if path.endswith("/concepts"):
            problem(answer, 422, "invalid-parameter", "'images' is missing")
        elif protocol:
            assert answer.status_code == 415
        elif path.startswith("/v2/models/shapes/versions/1"):
            assert answer.status_code == 404
        elif "/jobs/none" in path:
            problem(answer, 404, "unknown-job", "'none'")
        elif (method, path) == ("POST", "/v1/models"):
            problem(answer, 403, "uploads-off", "KERASCOPE_UPLOADS")
        elif method in ("PATCH", "DELETE") or path.endswith("/versions"):
            problem(answer, 404, "unknown-model", "that was uploaded")
        else:
            assert answer.status_code in (200, 202, 204, 307), answer.text


@pytest.mark.parametrize("path", ["/nope", "/livez/", "//livez", "/readyz/x", "/livez%2f..%2fv1/models", "/LIVEZ"])
def test_no_path_slips_through(guarded: Service, path: str) -> None:
    assert guarded.client.get(guarded.url + path).status_code == 401


def test_a_key_in_the_query_is_no_key(guarded: Service) -> None:
    assert guarded.client.get("/v1/models", params={"key": KEY, "authorization": f"Bearer {KEY}"}).status_code == 401


def test_the_list_says_whether_keys_are_needed(service: Service, guarded: Service) -> None:
    headers = {"Authorization": f"bearer {KEY}"}
    assert service.client.get("/v1/models").json()["authentication"] == "open"
    assert guarded.client.get("/v1/models", headers=headers).json()["authentication"] == "keys"


class TestKeys:
    keys = Keys(frozenset(sha256(key).hexdigest() for key in (b"first", b"second")), KeyStore(Path("unused")))

    @pytest.mark.parametrize("header", ["Bearer first", "bearer second", "BEARER  first "])
    def test_known(self, header: str) -> None:
        caller = self.keys.caller("/v1/models", Headers({"authorization": header}))
        assert caller is not None
        assert caller.owner.startswith("key-")

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "first", "Basic first", "Bearer first second"])
    def test_unknown(self, header: str) -> None:
        assert self.keys.caller("/v1/models", Headers({"authorization": header})) is None

    def test_each_key_is_another_caller(self) -> None:
        names = [
            self.keys.caller("/v1/jobs", Headers({"authorization": f"Bearer {key}"})) for key in ("first", "second")
        ]
        assert len({NOBODY, *names}) == 3

    def test_the_digest_itself_is_no_key(self) -> None:
        digest = sha256(b"first").hexdigest()
        assert self.keys.caller("/v1/models", Headers({"authorization": f"Bearer {digest}"})) is None

    def test_without_keys_the_service_is_open(self) -> None:
        assert Keys(frozenset(), KeyStore(Path("unused"))).caller("/v1/models", Headers({})) == Caller(NOBODY, EVERY)
