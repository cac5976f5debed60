"""The explorer's files as they are served; what they do is in `tests/browser`."""

from __future__ import annotations

import re

from service.api.routes.pages import WEB
from tests.conftest import Service


def test_the_page_and_all_its_files(service: Service) -> None:
    page = service.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'; script-src 'self';" in policy
    assert "unsafe" not in policy
    names = [
        path.relative_to(WEB).as_posix() for path in WEB.rglob("*") if path.is_file() and path.name != "index.html"
    ]
    assert len(names) > 15
    for name in names:
        answer = service.client.get(f"/explorer/{name}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-cache"
        tag = {"If-None-Match": answer.headers["etag"]}
        assert service.client.get(f"/explorer/{name}", headers=tag).status_code == 304


def test_the_page_is_told_the_largest_body_that_the_service_takes(service: Service) -> None:
    found = re.search(r'<meta name="max-body-bytes" content="(\d+)">', service.client.get("/").text)
    assert found
    headers = {"Content-Type": "image/png"}
    picture = (WEB / "samples" / "square.png").read_bytes().ljust(int(found[1]), b"\0")
    assert service.client.post("/v1/models/shapes/predict", content=picture, headers=headers).status_code == 200
    more = service.client.post("/v1/models/shapes/predict", content=picture + b"\0", headers=headers)
    assert more.status_code == 413


def test_nothing_from_elsewhere_and_nothing_inline() -> None:
    """Addresses are relative, so that the page works behind any prefix."""
    for path in [*WEB.rglob("*.js"), WEB / "index.html", WEB / "style.css"]:
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"https?://[^\s\"'`]+", text)) <= {"http://www.w3.org/2000/svg"}, path
        assert not re.search(r"(?:src|href|fetch\(|import .* from)\s*=?\s*[\"'`]/", text), path
        assert "innerHTML" not in text
        assert "eval(" not in text


def test_no_way_out_of_the_folder(service: Service) -> None:
    for path in ("/explorer/..%2f..%2fapp.py", "/explorer/%2e%2e/app.py", "/explorer/../api/auth.py", "/explorer/"):
        assert service.client.get(path).status_code == 404, path
