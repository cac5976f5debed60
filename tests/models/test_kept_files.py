"""Model files of every Keras since 2.0 compute, over HTTP, what the Keras gave that wrote them; or say why not.

One table for `data/legacy`, one for `tests/models/kept`, whose makers stand beside them.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Service, start_service
from tests.models.kept_files import LEGACY, NPY, OWN, Kept, answered, legacy, npy, own

TABLES = {"legacy": legacy(), "own": own()}
ROWS = [(table, kept) for table, rows in TABLES.items() for kept in rows]
# Every tenth runs with every change, all of them with `make kept`.
SAMPLED = [pytest.param(*row, marks=pytest.mark.kept if place % 10 else ()) for place, row in enumerate(ROWS)]
HAS_HUB = importlib.util.find_spec("keras_hub") is not None


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    """A running service for each table, with its files as the operator's folder."""
    running = {}
    for table, folder in (("legacy", LEGACY), ("own", OWN)):
        if not TABLES[table]:
            continue
        place = tmp_path_factory.mktemp(table)
        (place / "models").mkdir()
        for path in folder.iterdir():
            if path.is_dir() and path.name != "makers":
                shutil.copytree(path, place / "models" / path.name)
            elif path.is_file() and path.suffix != ".npz" and path.name != "TABLE.json":
                shutil.copy(path, place / "models")
        running[table] = start_service(place, models_dir=place / "models", preload="")
    yield running
    for service in running.values():
        service.stop()


@pytest.mark.parametrize(("table", "kept"), SAMPLED, ids=lambda value: value.id if isinstance(value, Kept) else value)
def test_it_computes_what_it_computed_where_it_was_saved(services: dict[str, Service], table: str, kept: Kept) -> None:
    client = services[table].client
    answer = client.get(f"/v1/models/{kept.id}")
    if kept.about["expect"] == "refused":
        assert answer.status_code == 409
        assert answer.json()["detail"].startswith(f"model '{kept.id}' holds code or opens files: ")
        return
    if kept.about.get("needs") == "keras-hub" and not HAS_HUB:
        assert answer.status_code == 409
        assert (
            answer.json()["detail"]
            == "the model is one of KerasHub, which is not installed: pip install 'kerascope[hub]'"
        )
        return
    assert answer.status_code == 200, answer.text
    described = answer.json()
    if described["obstacle"]:
        assert len(described["inputs"]) > 1 or len(described["inputs"][0]["shape"]) == 4
        for method in ("predict", "cam", "saliency", "occlusion", "activations"):
            refused = client.post(f"/v1/models/{kept.id}/{method}", content=npy(np.zeros((4, 4, 3))), headers=NPY)
            assert (refused.status_code, refused.json()["detail"]) == (422, described["obstacle"])
        return
    assert kept.about["expect"] == "right"
    if not kept.outputs:
        # Of two of the legacy files no outputs were stored.
        assert kept.id in ("k_1024", "l_saved")
        assert client.post(f"/v1/models/{kept.id}/load").status_code == 204
        return
    assert len(described["outputs"]) == len(kept.outputs)
    worst = 0.0
    for place, wanted in enumerate(kept.outputs):
        for image, expected in zip(kept.inputs[0], wanted, strict=True):
            found = answered(client, kept.id, image, described, place).reshape(expected.shape)
            worst = max(worst, float(np.abs(found - expected).max()))
    assert worst <= kept.tolerance


@pytest.mark.parametrize(
    ("table", "kept"),
    [row for row in ROWS if "feeds" in row[1].about],
    ids=lambda value: value.id if isinstance(value, Kept) else value,
)
def test_its_preprocessing_is_found(services: dict[str, Service], table: str, kept: Kept) -> None:
    """What the makers fed is what the service feeds, where the network or its backbone's name says it."""
    answer = services[table].client.get(f"/v1/models/{kept.id}")
    if answer.status_code != 200 or answer.json()["obstacle"]:
        pytest.skip("it is not loaded")
    mode = answer.json()["preprocessing"]["mode"]
    expected = {
        "levels 0..255": "none", "0..1": "rescale01", "-1..1": "tf",
        "0..1 less the mean of ImageNet, by its deviation": "torch",
        "BGR levels less their mean": "caffe",
    }  # fmt: skip
    assert mode == expected[kept.about["feeds"]]


def test_the_table_is_whole() -> None:
    """At least forty models of our own, of nine writers and three forms, in five megabytes."""
    rows = TABLES["own"]
    assert len(rows) >= 100
    assert len({row.about["writer"] for row in rows}) >= 14
    assert sum(path.stat().st_size for path in OWN.rglob("*") if path.is_file()) <= 5 * 1024**2
    assert all(row.path.exists() for row in rows)
    assert {row.path.suffix for row in rows} >= {".h5", ".keras", ".json", ""}
    if LEGACY.is_dir():
        assert len(TABLES["legacy"]) == 91


def test_files_that_are_no_models_are_named_for_what_they_are(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "pointer.h5").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (models / "lite.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(2000))
    (models / "CAPITALS.H5").write_bytes((OWN / "tf213_scripts.h5").read_bytes())
    running = start_service(tmp_path, models_dir=models, preload="")
    try:
        rows = {row["id"]: row for row in running.client.get("/v1/models").json()["models"]}
        assert rows["capitals"]["state"] == "cold"
        assert "it is a pointer of Git LFS and not the file itself" in rows["pointer"]["last_error"]
        assert "it is a TensorFlow Lite model" in rows["lite"]["last_error"]
        assert running.client.get("/v1/models/lite").status_code == 409
        assert running.client.get("/v1/models/capitals").status_code == 200
    finally:
        running.stop()
