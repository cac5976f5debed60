"""Liveness, readiness, the documentation page, and what a fresh api process weighs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.api.answering.schemas import Health
from service.models.files.library import CATALOGUE
from tests.checks import MODEL
from tests.conftest import Service, start_service, wait_ready

MAX_RSS_MB = 150


@pytest.fixture(scope="module")
def starting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that listens, and whose engine has only just been started."""
    both = "shapes,efficientnet-lite0"
    running = start_service(tmp_path_factory.mktemp("starting"), ready=False, preload=both)
    yield running
    running.stop()


def test_from_start_to_ready(starting: Service) -> None:
    seen: list[tuple[int, str]] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ready = starting.client.get("/readyz")
        Health.model_validate(ready.json())
        if not seen or seen[-1] != (ready.status_code, ready.json()["status"]):
            seen.append((ready.status_code, ready.json()["status"]))
        live = starting.client.get("/livez")
        assert live.status_code == 200
        assert live.json()["status"] == "ok"
        listed = starting.client.get("/v1/models")
        assert listed.status_code == 200
        if ready.status_code == 200:
            break
        time.sleep(0.02)
    assert seen[0] == (503, "engine not up")
    assert seen[-1] == (200, "ok")
    assert any(text.startswith("preloading ") for _, text in seen[1:-1])
    states = {row["id"]: row["state"] for row in starting.client.get("/v1/models").json()["models"]}
    assert states["shapes"] == states["efficientnet-lite0"] == "warm"


def test_resident_memory_of_the_api(starting: Service) -> None:
    assert wait_ready(starting, time.monotonic() + 60)
    status = Path(f"/proc/{starting.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    resident_mb = int(found[1]) / 1024
    assert resident_mb < MAX_RSS_MB


def test_an_engine_that_answers_is_up(service: Service) -> None:
    assert service.client.get("/readyz").json() == {"status": "ok", "engines": ["up"]}
    assert service.client.get("/livez").json() == {"status": "ok", "engines": ["up"]}


class TestDocs:
    def test_it_needs_nothing_from_elsewhere(self, service: Service) -> None:
        page = service.client.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        addresses = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""", page.text)
        assert len(addresses) >= 4
        for address in addresses:
            assert address.startswith("/"), address
            assert not address.startswith("//"), address
            assert service.client.get(address).status_code == 200

    def test_assets_have_their_media_types(self, service: Service) -> None:
        for name, kind in {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "javascript"}.items():
            answer = service.client.get(f"/docs/assets/{name}")
            assert kind in answer.headers["content-type"]
            assert answer.headers["x-content-type-options"] == "nosniff"


class TestPreloaded:
    def test_one_that_cannot_be_loaded_keeps_the_service_from_being_ready(self, tmp_path: Path) -> None:
        """Until it has been repaired and loaded; calls for other models are answered meanwhile."""
        models = tmp_path / "models"
        models.mkdir()
        (models / "mine.keras").write_bytes(b"PK\x03\x04 and no more")
        running = start_service(tmp_path, ready=False, models_dir=models, preload="shapes,mine,nosuch")
        try:
            wanted = (503, {"status": "not loaded: mine, nosuch", "engines": ["up"]})
            assert settled(running) == wanted
            assert running.client.post(f"{MODEL}/load").status_code == 204
            assert settled(running) == wanted
            (models / "mine.keras").write_bytes((CATALOGUE / "shapes" / "shapes.keras").read_bytes())
            assert running.client.post("/v1/models/mine/load").status_code == 204
            assert settled(running) == (503, {"status": "not loaded: nosuch", "engines": ["up"]})
            assert running.client.get("/livez").status_code == 200
        finally:
            running.stop()

    @pytest.mark.soak
    def test_an_upload_by_its_plain_name(self, tmp_path: Path) -> None:
        file = (CATALOGUE / "shapes" / "shapes.keras").read_bytes()
        first = start_service(tmp_path, uploads="true", preload="")
        made = [first.client.post("/v1/models", data={"id": "mine"}, files={"model": file}) for _ in range(2)]
        first.stop()
        assert [answer.status_code for answer in made] == [201, 201]
        again = start_service(tmp_path, uploads="true", preload="mine", data_dir=tmp_path / "data")
        try:
            (row,) = [row for row in again.client.get("/v1/models").json()["models"] if row["id"] == "mine"]
            assert (row["state"], row["version"], row["pinned"]) == ("warm", 2, True)
        finally:
            again.stop()


def settled(running: Service) -> tuple[int, dict[str, object]]:
    """What `/readyz` says once no model is being preloaded any more."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = running.client.get("/readyz")
        if answer.json()["status"].split()[0] not in ("preloading", "engine"):
            return answer.status_code, answer.json()
        time.sleep(0.1)
    raise TimeoutError(answer.text)
