"""What CONTRIBUTING says about adding a method and a variant, done: on a copy of the service, over HTTP."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, Service, start_service
from tests.shape.source import variant_places

BLOCKS = re.findall(
    r"`([\w/.]+)`:\n\n +```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.S
)


METHOD = ["service/explainers/energy.py", "tests/explainers/test_energy.py"]
VARIANT = ["service/explainers/cam/counterfactual.py", "tests/explainers/cam/test_counterfactual.py"]


def write_in(file: Path, *lines: tuple[str, str]) -> None:
    """Puts a line in front of each line that is given first."""
    text = file.read_text(encoding="utf-8")
    for before, line in lines:
        assert text.count(f"{before}\n") == 1
        text = text.replace(f"{before}\n", f"{line}\n{before}\n")
    file.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the method and the variant of the text."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("service", "tests"):
        left_out = shutil.ignore_patterns("__pycache__", ".peers")
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, text in BLOCKS:
        (folder / path).write_text(textwrap.dedent(text).rstrip() + "\n", encoding="utf-8")
    explainers = folder / "service" / "explainers"
    write_in(
        explainers / "__init__.py",
        ("from service.explainers.evaluation import Evaluation", "from service.explainers.energy import Energy"),
        ("    Activations(),", "    Energy(),"),
    )
    write_in(
        explainers / "cam" / "variants.py",
        (
            "from service.explainers.cam.eigen import eigencam",
            "from service.explainers.cam.counterfactual import counterfactual",
        ),
        ("    pooled_cam,", "    counterfactual,"),
    )
    return folder


@pytest.fixture(scope="module")
def running(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(tmp_path_factory.mktemp("data"), root=copy, preload="shapes")
    yield service
    service.stop()


def ask(running: Service, call: str) -> dict[str, Any]:
    """The answer to a call about the triangle, its arrays as lists."""
    triangle = (ROOT / "openapi_examples" / "triangle.png").read_bytes()
    url = f"/v1/models/shapes/{call}&arrays=list"
    return running.client.post(url, content=triangle, headers={"Content-Type": "image/png"}).json()


def array_of(answer: dict[str, Any], place: int = 0) -> np.ndarray:
    found = answer["arrays"][place]
    return np.reshape(found["data"], found["shape"])


def row_of(running: Service, name: str) -> dict[str, Any]:
    """The row of a method in the catalogue."""
    (row,) = [each for each in running.client.get("/v1/methods").json()["methods"] if each["name"] == name]
    return row


def run(copy: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_are_four_blocks() -> None:
    assert [path for path, _ in BLOCKS] == [*METHOD, *VARIANT]


def test_their_tests_pass(copy: Path) -> None:
    assert "4 passed" in run(copy, "pytest", "-q", "-p", "no:cacheprovider", METHOD[1], VARIANT[1])


def test_they_keep_to_the_rules(copy: Path) -> None:
    own = [*METHOD, *VARIANT, "service/explainers/__init__.py", "service/explainers/cam/variants.py"]
    run(copy, "ruff", "check", *own)
    run(copy, "ruff", "format", "--check", *own)


def test_the_service_has_the_method(running: Service) -> None:
    row = row_of(running, "energy")
    assert row["route"] == "POST /v1/models/{model_id}/energy"
    assert set(row["parameters"]["properties"]) >= {"layer", "target", "alpha", "colormap"}
    assert "/v1/models/{model_id}/energy" in running.client.get("/openapi.json").json()["paths"]
    answer = ask(running, "energy?layer=conv2d")
    maps = array_of(ask(running, "activations?layers=conv2d"))
    np.testing.assert_allclose(array_of(answer), np.square(maps).sum(axis=-1).squeeze(), rtol=1e-5)
    assert [image["name"] for image in answer["images"]] == ["overlay", "heatmap"]
    refused = ask(running, "energy?layr=conv2d")
    assert refused["status"] == 422
    assert "layer" in refused["detail"]


def test_the_variant_is_written_in_one_place(copy: Path) -> None:
    (place,) = variant_places(copy, "counterfactual")
    assert place.startswith("service.explainers.cam.counterfactual:")


def test_the_catalogue_and_the_schema_have_the_variant(running: Service) -> None:
    row = row_of(running, "cam")
    assert row["summary"].endswith("in 15 definitions.")
    (variant,) = [each for each in row["variants"] if each["name"] == "counterfactual"]
    assert (variant["paper"], variant["passes"]) == (
        "https://arxiv.org/abs/1610.02391", "1 forward, 1 backward a target",
    )  # fmt: skip
    names = [each["name"] for each in row["variants"]]
    assert row["parameters"]["properties"]["method"]["enum"] == names
    (chooser,) = [
        parameter
        for parameter in running.client.get("/openapi.json").json()["paths"]["/v1/models/{model_id}/cam"]["post"][
            "parameters"
        ]
        if parameter["name"] == "method"
    ]
    assert chooser["schema"]["enum"] == names


def test_the_service_answers_by_the_variant(running: Service) -> None:
    """The evidence against a contrast is that for the opposite one."""
    answer = ask(running, "cam?method=counterfactual&target=0-1")
    assert (answer["method"]["variant"], answer["method"]["reference"]) == (
        "counterfactual", "https://arxiv.org/abs/1610.02391",
    )  # fmt: skip
    expected = array_of(ask(running, "cam?method=gradcam&target=1-0"))
    assert expected.any()
    np.testing.assert_allclose(array_of(answer), expected, rtol=1e-4, atol=1e-6)
    refused = ask(running, "cam?method=counterfactual&max_channels=3")
    assert refused["status"] == 422
    assert "counterfactual does not take it; it is for scorecam" in refused["detail"]


# What each row of the table leads to, written in the files that it names.
LEADS_TO = {
    "change a default of a method": ("class CamParams",),
    "add a variant of a method": ("@variant(", "VARIANTS"),
    "add a method, or a family of methods": ("EXPLAINERS",),
    "add a route": ("@router.get(", "ROUTERS"),
    "add a kind of job": ("class RunJob", "class JobRequest"),
    "add a setting": ("= setting(", "class Settings("),
    "add an error": ("class UnknownModel", "STATUS"),
    "add a source of models": ("def load(", "source: Literal["),
    "add a format of pictures": ("FORMATS", "PictureFormat = ", "def encode_still("),
    "add a metric": ("MetricFamily(", "Counter("),
}
TASKS = re.findall(
    r"(?m)^\| ((?:change|add) [^|]+?) \| (.+) \|$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
)


def test_the_table_has_each_task_once() -> None:
    assert [task for task, _ in TASKS] == list(LEADS_TO)


@pytest.mark.parametrize(("task", "said"), TASKS)
def test_each_task_leads_to_its_file(task: str, said: str) -> None:
    named = re.findall(r"`(service/[\w/.]+\.py)`", said)
    assert len(named) == len(LEADS_TO[task])
    for path, written in zip(named, LEADS_TO[task], strict=True):
        assert written in (ROOT / path).read_text(encoding="utf-8")
