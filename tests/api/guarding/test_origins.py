"""Pages of other origins and the open service, by the headers that browsers send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.keys.key import new_key
from service.keys.scope import Scope
from service.keys.store import KeyStore
from service.settings import Settings
from tests.api.guarding.test_scopes import ask

OWN = "http://127.0.0.1:8000"
FRIEND = "https://friend.example"
FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-origin"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    {"Sec-Fetch-Site": "cross-site", "Origin": OWN},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:8001"},
    {"Origin": "http://localhost:8000"},
    {"Origin": "https://127.0.0.1:8000"},
    {"Origin": "http://127.0.0.1:8000.evil.example"},
    {"Origin": "http://127.0.0.1:8000@evil.example"},
    {"Origin": f"{FRIEND}.evil.example"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
]
NEAR: list[dict[str, str]] = [
    {},
    {"Origin": OWN},
    {"Origin": OWN, "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
    {"Origin": "https://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
    {"Origin": FRIEND, "Sec-Fetch-Site": "cross-site"},
]
DRIVES = [
    ("POST", "/v1/models/none/cam"),
    ("POST", "/v1/models"),
    ("POST", "/v1/models/none/load"),
    ("POST", "/v1/models/none/unload"),
    ("PATCH", "/v1/models/none"),
    ("DELETE", "/v1/models/none"),
    ("DELETE", "/v1/jobs/none"),
    ("POST", "/v1/models/none:predict"),
    ("POST", "/v2/models/none/infer"),
    ("GET", "/v1/models/none/layers"),
    ("GET", "/v1/models/none/layers/x"),
    ("GET", "/v1/models/none/layers/x/kernels"),
    ("HEAD", "/v1/models/none/layers/x/kernels"),
    ("GET", "/v1/models/none/summary"),
    ("GET", "/v1/methods?model=none"),
    ("GET", "/v1/jobs/none/events"),
    ("GET", "/v2/models/none"),
    ("POST", "/"),
]
PUBLIC = ["/", "/docs", "/openapi.json", "/livez", "/explorer/app.js", "/v1/methods", "/v1/models/none/versions", "/v2"]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return create_app(Settings(data_dir=tmp_path_factory.mktemp("open"), cors_origins=FRIEND))


def is_kept_out(answer: httpx.Response) -> bool:
    """An answer to HEAD has no words; uploads that are off are a 403 too."""
    return answer.status_code == 403 and ("cors_origins" in answer.text or answer.request.method == "HEAD")


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_page_of_another_origin_drives_nothing_of_the_open_service(app: Any, headers: dict[str, str]) -> None:
    for method, path in DRIVES:
        answer = ask(app, method, path, **headers)
        assert is_kept_out(answer), (method, path, answer.status_code)
        if method != "HEAD" and not path.startswith("/v2"):
            assert answer.json()["type"] == "urn:kerascope:problem:not-allowed"
            assert answer.json()["title"] == "That is not allowed"


@pytest.mark.parametrize("headers", NEAR, ids=str)
def test_own_pages_named_origins_and_what_is_no_page_are_let_in(app: Any, headers: dict[str, str]) -> None:
    for method, path in DRIVES:
        assert not is_kept_out(ask(app, method, path, **headers)), (method, path)


@pytest.mark.parametrize("path", PUBLIC)
def test_public_reads_are_for_every_page(app: Any, path: str) -> None:
    wanted = ask(app, "GET", path).status_code
    for headers in FOREIGN:
        assert ask(app, "GET", path, **headers).status_code == wanted != 403


def test_preflights_are_answered_as_before(app: Any) -> None:
    for origin, status in ((FRIEND, 200), ("https://evil.example", 400)):
        asked = {"Origin": origin, "Access-Control-Request-Method": "DELETE", "Sec-Fetch-Site": "cross-site"}
        assert ask(app, "OPTIONS", "/v1/jobs/none", **asked).status_code == status


def test_with_keys_the_key_decides(tmp_path: Path) -> None:
    key, kept = new_key("first", frozenset({Scope.ADMIN}))
    KeyStore(tmp_path).add(kept)
    app = create_app(Settings(data_dir=tmp_path))
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert ask(app, "DELETE", "/v1/models/none", **foreign).status_code == 401
    assert ask(app, "DELETE", "/v1/models/none", Authorization=f"Bearer {key}", **foreign).status_code == 404


def test_every_origin_may_be_named(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path, cors_origins="*"))
    assert ask(app, "DELETE", "/v1/models/none", Origin="https://any.example").status_code == 404
