"""The compose file: valid, hardened, of settings that exist, and secrets that are read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.settings import PREFIX, Settings
from tests.conftest import ROOT, start_service

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if str(service["image"]).startswith("kerascope:")}


def test_it_is_a_compose_file() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, ROOT / "docker-compose.yml"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_the_schema_refuses_what_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(yaml.safe_dump(COMPOSE | {"services": {"api": {"imaeg": "x"}}}))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", wrong]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 1


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_what_runs_and_when() -> None:
    by_profile = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert {name for name, profiles in by_profile.items() if not profiles} == {"api", "worker", "database"}
    assert {name for name, profiles in by_profile.items() if profiles == ["gpu"]} == {"api-gpu", "worker-gpu"}
    assert {name for name, profiles in by_profile.items() if profiles == ["monitoring"]} == {"prometheus", "grafana"}
    assert SERVICES["worker"]["deploy"] == {"replicas": 2}
    for name in ("api-gpu", "worker-gpu"):
        (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
        assert SERVICES[name]["build"]["args"] == {"DEVICE": "cuda"}


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name: str) -> None:
    environment = OURS[name]["environment"]
    known = {PREFIX + field.upper() for field in Settings.model_fields} | {f"{PREFIX}SECRETS_DIR"}
    assert set(environment) - known == set()
    fields = {key.removeprefix(PREFIX).lower(): value for key, value in environment.items()}
    Settings(**{key: value for key, value in fields.items() if key in Settings.model_fields})


def test_every_secret_of_ours_is_a_setting_and_is_declared() -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert used == set(COMPOSE["secrets"])
    for service in OURS.values():
        for secret in service["secrets"]:
            assert secret.upper() in {PREFIX + field.upper() for field in Settings.model_fields}


def test_secrets_and_mounted_files_are_where_it_says() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "secrets/" in ignored
    assert all(secret["file"].startswith("./secrets/") for secret in COMPOSE["secrets"].values())
    mounts = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    for mount in mounts:
        assert (ROOT / mount).exists() if mount.startswith("./") else mount in COMPOSE["volumes"]
    environment = " ".join(str(service.get("environment", "")) for service in SERVICES.values())
    assert set(re.findall(r"/run/secrets/(\w+)", environment)) <= set(COMPOSE["secrets"])


def test_prometheus_scrapes_the_api_with_a_key() -> None:
    (job,) = yaml.safe_load((ROOT / "docker" / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    assert job["authorization"] == {"credentials_file": "/run/secrets/metrics_key"}
    assert job["static_configs"] == [{"targets": ["api:8000"]}]
    assert SERVICES["prometheus"]["secrets"] == ["metrics_key"]


def test_a_service_with_the_secrets_that_the_page_for_operators_makes(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    block = re.search(r"^```sh\n(mkdir -m 700 secrets\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block
    subprocess.run(["sh", "-euc", block[1]], cwd=tmp_path, check=True, timeout=60)
    made = {path.name for path in (tmp_path / "secrets").iterdir()}
    assert made == {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    key = (tmp_path / "secrets" / "metrics_key").read_text()
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    for name in SERVICES["api"]["secrets"]:
        (mounted / name).write_bytes((tmp_path / COMPOSE["secrets"][name]["file"]).read_bytes())
    url = SERVICES["api"]["environment"]["KERASCOPE_DATABASE_URL"]
    running = start_service(
        tmp_path, ready=False, preload="", host="0.0.0.0", secrets_dir=str(mounted), database_url=url
    )
    try:
        with httpx.Client(base_url=running.url.replace("0.0.0.0", "127.0.0.1")) as client:
            assert client.get("/v1/methods").status_code == 401
            assert client.get("/v1/methods", headers={"authorization": f"Bearer {key}"}).status_code == 200
            scraped = client.get("/metrics", headers={"authorization": f"Bearer {key}", "host": "api:8000"})
            assert scraped.status_code == 200
    finally:
        running.stop()
