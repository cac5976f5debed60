"""`kerascope doctor` as an operator runs it, on machines that lack something."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli.doctor.check import Level, ok
from service.cli.doctor.machine import of_port
from service.cli.doctor.models import of_preload
from service.cli.doctor.stores import of_database, of_keys
from service.keys.key import new_key
from service.keys.scope import Scope
from service.keys.store import KeyStore
from service.settings import Settings
from tests.conftest import ROOT, Service
from tests.ingest.corpus import with_lambda
from tests.jobs.helpers import Postgres

NAMES = [
    "python", "libraries", "settings", "data folder", "disk", "memory", "port", "keys", "database", "result store",
    "sandbox", "shipped models", "device", "model folder", "preload",
]  # fmt: skip


def doctor(folder: Path, *flags: str, **variables: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KERAS", "TF_", "CUDA"))}
    environment |= {"HOME": str(folder), "KERASCOPE_DEVICE": "cpu", "KERASCOPE_PORT": "0", **variables}
    command = [sys.executable, "-m", "service", "doctor", "--data-dir", str(folder / "data"), *flags]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    return done.returncode, done.stdout


def checks(folder: Path, *flags: str, **variables: str) -> tuple[int, dict[str, dict[str, str]]]:
    code, text = doctor(folder, "--json", *flags, **variables)
    return code, {check["name"]: check for check in json.loads(text)["checks"]}


def test_a_machine_that_has_everything(tmp_path: Path) -> None:
    code, text = doctor(tmp_path)
    lines = text.splitlines()
    assert code == 0, text
    assert [line[9:25].strip() for line in lines] == NAMES
    assert {line.split()[0] for line in lines} <= {"ok", "warning"}
    by_name = {line[9:25].strip(): line for line in lines}
    assert "tensorflow 2." in by_name["libraries"]
    assert f"cpu, {len(os.sched_getaffinity(0))} cores" in by_name["device"]
    assert "open: everybody who reaches 127.0.0.1" in by_name["keys"]
    assert list((tmp_path / "data" / "results").rglob("*probe*")) == []


def test_what_is_to_be_warm_and_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "cut.keras").write_bytes(b"PK\x03\x04")
    found = of_preload(Settings(data_dir=tmp_path, preload="shapes,vgg,cut"))
    assert (found.level, found.found) == (
        "failed",
        "there is no model 'vgg'; the closest are 'vgg16', 'vgg19'; "
        "'cut.keras' is a damaged or incomplete zip archive; copy or save it again",
    )
    assert of_preload(Settings(data_dir=tmp_path, preload="shapes")).line == "ok       preload          shapes"
    assert of_preload(Settings(data_dir=tmp_path, preload="")).found == "nothing"


@pytest.mark.soak
def test_several_things_missing_at_once(tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "bad").mkdir(parents=True)
    (models / "bad" / "model.toml").write_text("id = 3\n")
    (models / "gone").mkdir()
    (models / "gone" / "model.toml").write_text('weights = "gone.keras"\n')
    url = "postgresql://ann:hunter2@127.0.0.1:1/jobs"
    code, found = checks(
        tmp_path, "--models-dir", str(models), KERASCOPE_DATABASE_URL=url, KERASCOPE_DEVICE="gpu:0",
        KERASCOPE_REGISTRY_BYTES=str(10**15), KERASCOPE_RESULT_STORE="file:///proc/kerascope",
    )  # fmt: skip
    assert code == 1
    failures = {name for name, check in found.items() if check["level"] == "failed"}
    assert failures == {"database", "result store", "device", "model folder"}
    assert "Connection refused" in found["database"]["found"]
    assert "hunter2" not in json.dumps(found)
    assert found["memory"]["level"] == "warning"
    assert "may take 1000001.2 GB" in found["memory"]["found"]
    assert found["device"]["found"] == "KERASCOPE_DEVICE is gpu:0, and TensorFlow sees no GPU"
    assert "bad: model.toml in the folder 'bad' is not valid: id" in found["model folder"]["found"]
    assert "gone: the file 'gone.keras' cannot be read" in found["model folder"]["found"]
    assert all(check["advice"] for name, check in found.items() if check["level"] != "ok")


@pytest.mark.soak
def test_folders_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    code, found = checks(tmp_path, "--models-dir", str(tmp_path / "none"))
    assert code == 1
    failures = {name for name, check in found.items() if check["level"] == "failed"}
    assert failures == {"data folder", "keys", "database", "result store", "model folder"}
    assert found["model folder"]["found"] == f"{tmp_path / 'none'} is no folder that can be read"


@pytest.mark.soak
def test_a_model_that_the_scan_refuses(tmp_path: Path) -> None:
    with_lambda().save(tmp_path / "odd.keras")
    code, found = checks(tmp_path, "--models-dir", str(tmp_path))
    assert (code, found["model folder"]["level"]) == (1, "failed")
    assert found["model folder"]["found"].startswith("odd: ")
    assert "'odd' is a Lambda" in found["model folder"]["found"]
    trusted = checks(tmp_path, "--models-dir", str(tmp_path), KERASCOPE_TRUST_MODELS_DIR="true")
    assert (trusted[0], trusted[1]["model folder"]["found"]) == (0, f"{tmp_path}: 1 models")


@pytest.mark.soak
def test_postgresql(tmp_path: Path) -> None:
    try:
        server = Postgres()
    except FileNotFoundError:
        pytest.skip("no PostgreSQL is installed (initdb is not found)")
    try:
        server.start()
        settings = Settings(data_dir=tmp_path, database_url=server.new_database())
        assert of_database(settings) == ok("database", "PostgreSQL answers")
        server.stop()
        assert of_database(settings).level is Level.FAILED
    finally:
        server.remove()


def test_settings_that_are_not_valid(tmp_path: Path) -> None:
    code, found = checks(tmp_path, KERASCOPE_PROT="1")
    assert (code, list(found)) == (1, ["python", "libraries", "settings"])
    assert found["settings"]["level"] == "failed"
    assert "KERASCOPE_PORT" in found["settings"]["found"]


@pytest.mark.soak
def test_the_port(service: Service) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        found = of_port(Settings(port=taken))
    assert found.level is Level.FAILED
    assert found.found == f"127.0.0.1:{taken} cannot be listened on: Address already in use"
    ours = int(service.url.rpartition(":")[2])
    assert of_port(Settings(port=ours)) == ok("port", f"127.0.0.1:{ours}: a Kerascope answers there (engines: up)")
    assert of_port(Settings(port=taken)) == ok("port", f"127.0.0.1:{taken} is free")


@pytest.mark.soak
def test_a_tensorflow_that_cannot_be_imported(tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "tensorflow"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no such library')\n")
    path = os.pathsep.join([str(broken.parent), os.environ.get("PYTHONPATH", "")])
    code, found = checks(tmp_path, PYTHONPATH=path)
    assert code == 1
    assert {name for name, check in found.items() if check["level"] == "failed"} == {"device"}


@pytest.mark.soak
def test_keys(tmp_path: Path) -> None:
    store, settings = KeyStore(tmp_path), Settings(data_dir=tmp_path)
    made = [new_key(name, frozenset({Scope.ADMIN}))[1] for name in ("one", "two")]
    for key in made:
        store.add(key)
    store.revoke(made[0].id)
    assert of_keys(settings) == ok("keys", "1 valid, 1 expired or revoked")
    store.revoke(made[1].id)
    assert (of_keys(settings).level, of_keys(settings).found) == (Level.FAILED, "all 2 keys are expired or revoked")
    given = Settings(data_dir=tmp_path, api_keys=f"sha256:{'0' * 64}")
    assert of_keys(given) == ok("keys", "1 valid, 2 expired or revoked")
