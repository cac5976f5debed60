"""The first request for a route finds it prepared: nobody waits while the event loop builds it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import routing
from starlette.routing import Match

from service.app import create_app, prepare_routes
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
def test_every_route_is_prepared_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    built: list[object] = []
    build = routing._IncludedRouter._build_effective_context
    monkeypatch.setattr(
        routing._IncludedRouter,
        "_build_effective_context",
        lambda self, route: (built.append(route), build(self, route))[1],
    )
    prepare_routes(app)
    assert len(built) > 20
    built.clear()
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    assert Match.FULL in [route.matches(dict(scope))[0] for route in app.routes]
    assert built == []
