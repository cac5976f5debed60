"""The operator's own folder goes through the same scan, unless the operator says otherwise."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from service.errors import ModelNotLoadable
from service.ingest.trusted import scan
from service.models.library import spec_of_file
from tests import nets
from tests.checks import PNG, problem, saved, triangle
from tests.conftest import DATA, start_service

WILD = sorted((DATA / "models").glob("*")) if DATA.is_dir() else []


def masked() -> keras.Model:
    """A network with a layer that is on nobody's list."""
    return keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2), keras.layers.Masking(name="odd")]
    )


def test_an_honest_model(tmp_path: Path) -> None:
    nets.pencil().save(tmp_path / "pencil.keras")
    scan(spec_of_file(tmp_path / "pencil.keras"), ())


@pytest.mark.parametrize("path", WILD, ids=lambda path: path.name)
def test_files_from_the_wild(path: Path) -> None:
    """Those that are no models are left to the loader, which says more of them."""
    scan(spec_of_file(path), ())


def test_what_is_not_on_the_list_says_how_to_let_it_in(tmp_path: Path) -> None:
    masked().save(tmp_path / "odd.keras")
    spec = spec_of_file(tmp_path / "odd.keras")
    with pytest.raises(ModelNotLoadable, match=r"'Masking'.*KERASCOPE_ALLOWED_LAYERS.*KERASCOPE_TRUST_MODELS_DIR"):
        scan(spec, ())
    scan(spec, ("keras.layers:Masking",))


def test_the_engine_asks_for_it(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    masked().save(models / "odd.keras")
    running = start_service(tmp_path, models_dir=models, preload="")
    try:
        answer = running.client.post("/v1/models/odd/predict", content=saved(triangle()), headers=PNG)
        problem(answer, 409, "model-not-loadable", "'Masking'")
    finally:
        running.stop()


@pytest.mark.soak
@pytest.mark.parametrize("setting", [{"trust_models_dir": "true"}, {"allowed_layers": "keras.layers:Masking"}])
def test_a_setting_lets_it_in(setting: dict[str, str], tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    masked().save(models / "odd.keras")
    running = start_service(tmp_path, models_dir=models, preload="", **setting)
    try:
        answer = running.client.post("/v1/models/odd/predict", content=saved(triangle()), headers=PNG)
        assert answer.status_code == 200, answer.text
    finally:
        running.stop()
