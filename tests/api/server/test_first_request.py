"""The first request for a route finds it prepared: nobody waits while the event loop builds it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Match, Mount

from service.api.guarding.scopes import allowed
from service.app import create_app
from service.settings import Settings


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/shapes/predict"),
        ("GET", "/v1/jobs"),
        ("POST", "/v1/models"),
        ("POST", "/v2/models/shapes/infer"),
        ("POST", "/v1/models/shapes:predict"),
    ],
)
def test_nothing_is_built_when_a_route_is_matched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    built: list[object] = []
    monkeypatch.setattr("fastapi.routing.get_dependant", lambda **_: built.append(path))
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    assert Match.FULL in [route.matches(dict(scope))[0] for route in app.routes]
    assert built == []


def test_routes_are_the_application_s_own_and_guarded(tmp_path: Path) -> None:
    """A router that FastAPI includes is prepared twice, which costs the api 3 MB."""
    routes = create_app(Settings(data_dir=tmp_path)).routes
    assert [type(route) for route in routes if not isinstance(route, APIRoute | Mount)] == []
    ours = [route for route in routes if isinstance(route, APIRoute)]
    assert len(ours) > 40
    assert {route.dependant.dependencies[0].call for route in ours} == {allowed}
