"""What CONTRIBUTING says about adding a method, done: on a copy of the service, over HTTP."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT, start_service

BLOCKS = re.findall(
    r"`([\w/.]+)`:\n\n +```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.S
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the method of the text."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("service", "tests"):
        left_out = shutil.ignore_patterns("__pycache__", ".peers")
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, text in BLOCKS:
        (folder / path).write_text(textwrap.dedent(text).rstrip() + "\n", encoding="utf-8")
    catalogue = folder / "service" / "explainers" / "__init__.py"
    text = catalogue.read_text(encoding="utf-8")
    text = text.replace("    Predict(),\n", "    Predict(),\n    Energy(),\n")
    text = text.replace(
        "from service.explainers.kernels",
        "from service.explainers.energy import Energy\nfrom service.explainers.kernels",
    )
    catalogue.write_text(text, encoding="utf-8")
    return folder


def run(copy: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_are_two_blocks() -> None:
    assert [path for path, _ in BLOCKS] == ["service/explainers/energy.py", "tests/explainers/test_energy.py"]


def test_its_test_passes(copy: Path) -> None:
    assert "1 passed" in run(copy, "pytest", "-q", "-p", "no:cacheprovider", "tests/explainers/test_energy.py")


def test_it_keeps_to_the_rules(copy: Path) -> None:
    run(copy, "ruff", "check", *(path for path, _ in BLOCKS))
    run(copy, "ruff", "format", "--check", *(path for path, _ in BLOCKS))


def test_the_service_has_it(copy: Path, tmp_path: Path) -> None:
    running = start_service(tmp_path, root=copy, preload="shapes")
    try:
        (row,) = [each for each in running.client.get("/v1/methods").json()["methods"] if each["name"] == "energy"]
        assert row["route"] == "POST /v1/models/{model_id}/energy"
        assert set(row["parameters"]["properties"]) >= {"layer", "target", "alpha", "colormap"}
        assert "/v1/models/{model_id}/energy" in running.client.get("/openapi.json").json()["paths"]
        triangle = (ROOT / "openapi_examples" / "triangle.png").read_bytes()
        call = {"content": triangle, "headers": {"Content-Type": "image/png"}}
        answer = running.client.post("/v1/models/shapes/energy?layer=conv2d&arrays=list", **call).json()
        (energy,) = answer["arrays"]
        maps = running.client.post("/v1/models/shapes/activations?layers=conv2d&arrays=list", **call).json()["arrays"][
            0
        ]
        squares = np.square(np.reshape(maps["data"], maps["shape"])).sum(axis=-1)
        np.testing.assert_allclose(np.reshape(energy["data"], energy["shape"]), squares.squeeze(), rtol=1e-5)
        assert [image["name"] for image in answer["images"]] == ["overlay", "heatmap"]
        refused = running.client.post("/v1/models/shapes/energy?layr=conv2d", **call)
        assert refused.status_code == 422
        assert "layer" in refused.json()["detail"]
    finally:
        running.stop()
