"""H7, H11, H12 in process: each route by each kind of key, the headers of answers, names and preflights."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.guarding.scopes import NEEDS, in_words, need_of
from service.app import create_app
from service.keys.key import new_key
from service.keys.scope import Scope, implied
from service.keys.store import KeyStore
from service.settings import Settings
from tests.api.guarding.test_keys import ROUTES

PAST = datetime.now(UTC) - timedelta(seconds=1)


def ask(app: Any, method: str, path: str, **headers: str) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(once())


def operations(folder: Path) -> dict[str, tuple[str, str]]:
    """Method and path of every operation, by its ID."""
    found = {}
    for route in create_app(Settings(data_dir=folder)).routes:
        if name := getattr(route, "operation_id", None):
            path = route.path.replace("{model_id}", "none").replace("{job_id}", "none").replace("{layer:path}", "x")
            path = path.replace("{version}", "1")
            found[name] = (min(route.methods), path)
    return found


@pytest.fixture(scope="module")
def guarded_app(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, str]]:
    folder = tmp_path_factory.mktemp("keys")
    store, keys = KeyStore(folder), {}
    for scope in Scope:
        keys[scope.value], key = new_key(scope.value, frozenset({scope}))
        store.add(key)
    for state in ("expired", "revoked"):
        keys[state], key = new_key(state, frozenset({Scope.ADMIN}))
        store.add(key.model_copy(update={"expires" if state == "expired" else "revoked": PAST}))
    return create_app(Settings(data_dir=folder, uploads=True, allow_unsandboxed_ingest=True)), keys


def test_h7_every_route_has_a_row_and_every_row_a_route(tmp_path: Path) -> None:
    assert set(operations(tmp_path)) == set(NEEDS)
    assert in_words(need_of("new_route")) == "admin"


@pytest.mark.parametrize("operation", sorted(NEEDS))
def test_h7_matrix(guarded_app: tuple[Any, dict[str, str]], tmp_path: Path, operation: str) -> None:
    app, keys = guarded_app
    method, path = operations(tmp_path)[operation]
    need = need_of(operation)
    wrong = {"none": None, "malformed": "Basic x", "bad": f"Bearer ks_00000000_{'a' * 43}"}
    wrong |= {state: f"Bearer {keys[state]}" for state in ("expired", "revoked")}
    for given in wrong.values():
        answer = ask(app, method, path, **({"Authorization": given} if given else {}))
        assert (answer.status_code == 401) == bool(need), answer.text
    for scope in Scope:
        answer = ask(app, method, path, Authorization=f"Bearer {keys[scope.value]}")
        may = all(group & implied(frozenset({scope})) for group in need)
        assert (answer.status_code == 403) == (not may), answer.text
        assert answer.status_code != 401
        if not may:
            missing = next(group for group in need if scope not in group)
            detail = answer.json()["error" if path.startswith("/v2") else "detail"]
            assert all(repr(str(each)) in detail for each in missing)
            if not path.startswith("/v2"):
                assert answer.json()["type"] == "urn:kerascope:problem:not-allowed"


def test_h7_a_model_in_the_catalogue_is_read(guarded_app: tuple[Any, dict[str, str]]) -> None:
    app, keys = guarded_app
    answer = ask(app, "GET", "/v1/methods?model=shapes", Authorization=f"Bearer {keys['jobs']}")
    assert answer.status_code == 403


def test_a4_a_quarantine_is_lifted_by_admin_alone(tmp_path: Path) -> None:
    store, keys = KeyStore(tmp_path), {}
    for scope in (Scope.MODELS_WRITE, Scope.ADMIN):
        text, key = new_key(scope, frozenset({scope}))
        store.add(key)
        keys[scope] = f"Bearer {text}"
    app = create_app(Settings(data_dir=tmp_path, call_deadline_s=0.2))
    quarantine = app.state.services.engines.client("shapes").quarantine
    for _ in range(2):
        quarantine.died("shapes", "cam")
    answer = ask(app, "POST", "/v1/models/shapes/load", Authorization=keys[Scope.MODELS_WRITE])
    assert (answer.status_code, "quarantine" in answer.json()["detail"]) == (403, True)
    assert quarantine.models == {"shapes"}
    assert ask(app, "POST", "/v1/models/shapes/load", Authorization=keys[Scope.ADMIN]).status_code == 503
    assert quarantine.models == set()


def test_h7_the_first_key_guards_the_open_service_at_once(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    assert ask(app, "GET", "/v1/methods").status_code == 200
    key, kept = new_key("first", frozenset({Scope.JOBS}))
    KeyStore(tmp_path).add(kept)
    assert ask(app, "GET", "/v1/methods").status_code == 401
    assert ask(app, "GET", "/v1/methods", Authorization=f"Bearer {key}").status_code == 200


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("GET", "/nope"), ("PUT", "/v1/models")])
def test_h11_headers(guarded_app: tuple[Any, dict[str, str]], method: str, path: str) -> None:
    answer = ask(guarded_app[0], method, path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    policy = answer.headers["content-security-policy"]
    if path in ("/", "/docs"):
        assert policy.startswith("default-src 'self'; script-src 'self'")
    else:
        assert policy == "default-src 'none'; frame-ancestors 'none'"
    kept = (
        "no-cache" if path.startswith("/explorer/") else "private, no-cache" if "etag" in answer.headers else "no-store"
    )
    assert answer.headers["cache-control"] == kept
    assert not {"server", "access-control-allow-origin"} & set(answer.headers)


def test_h11_the_docs_page_runs_its_own_script_only(tmp_path: Path) -> None:
    policy = ask(create_app(Settings(data_dir=tmp_path)), "GET", "/docs").headers["content-security-policy"]
    assert "script-src 'self' 'sha256-" in policy
    assert "unsafe-inline" not in policy


@pytest.mark.parametrize(
    ("configured", "origin", "method", "status"),
    [
        ("", "https://page.example", "GET", 401),
        ("https://page.example", "https://page.example", "POST", 200),
        ("https://page.example", "https://other.example", "POST", 400),
        ("https://page.example", "null", "GET", 400),
        ("https://page.example", "https://page.example", "TRACE", 400),
    ],
)
def test_h11_preflights(tmp_path: Path, configured: str, origin: str, method: str, status: int) -> None:
    _, kept = new_key("first", frozenset({Scope.JOBS}))
    KeyStore(tmp_path).add(kept)
    app = create_app(Settings(data_dir=tmp_path, cors_origins=configured))
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    answer = ask(app, "OPTIONS", "/v1/models", **asked)
    assert answer.status_code == status
    assert (answer.headers.get("access-control-allow-origin") == origin) == (
        status == 200 or (status == 400 and method == "TRACE")
    )


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:8000", 200), ("LOCALHOST", 200), ("evil.example", 400),
     ("localhost.evil.example", 400), ("localhost@evil", 400), ("", 400), ("127.0.0.1:x", 400), ("a\x00", 400)],
)  # fmt: skip
def test_h12_names_of_the_open_service(tmp_path: Path, host: str, status: int) -> None:
    answer = ask(create_app(Settings(data_dir=tmp_path)), "GET", "/v1/methods", Host=host)
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["type"] == "urn:kerascope:problem:unknown-host"


def test_h12_names_that_are_set(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path, allowed_hosts="maps.example"))
    assert ask(app, "GET", "/v1/methods", Host="maps.example:8000").status_code == 200
    assert ask(app, "GET", "/v1/methods", Host="127.0.0.1").status_code == 400
