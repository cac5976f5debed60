"""M1 and M2: what a load that failed, a read, or a model that was unloaded took, the engine gives back at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.models.files.library import CATALOGUE
from tests.checks import PNG, problem, saved, triangle
from tests.conftest import Service, start_service
from tests.engine.test_crash import engine_pid

PICTURE = saved(triangle())
METHODS = ("predict", "cam", "saliency", "occlusion?patch=64&stride=64", "activations")
MORE_METHODS = (
    *METHODS,
    "cam?method=layercam",
    "cam?method=scorecam&max_channels=64",
    "saliency?method=guided_backprop",
    "saliency?method=integrated_gradients&steps=8",
)


def resident_mb(service: Service) -> int:
    status = Path(f"/proc/{engine_pid(service)}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with nothing warm, a network of 14 MB, and files that are cut off."""
    folder = tmp_path_factory.mktemp("cold") / "models"
    (folder / "mobile").mkdir(parents=True)
    (folder / "mobile" / "model.toml").write_text(
        'source = "application"\napplication = "MobileNetV2"\nweights = "random"\n'
    )
    (folder / "resnet").mkdir()
    (folder / "resnet" / "model.toml").write_text(
        'source = "application"\napplication = "ResNet50"\nweights = "random"\n'
    )
    whole = (CATALOGUE / "shapes" / "shapes.keras").read_bytes()
    for number in range(30):
        (folder / f"cut-{number}.keras").write_bytes(whole[: len(whole) * (number + 1) // 31])
    running = start_service(folder.parent, models_dir=folder, preload="", cache_bytes="0")
    yield running
    running.stop()


def test_reads_of_a_model_that_cannot_be_downloaded_take_nothing(cold: Service) -> None:
    """Without network: VGG16 is built, which takes 0.55 GB, before its weights are asked for."""
    before = resident_mb(cold)
    first = cold.client.get("/v1/models/vgg16/layers")
    problem(first, 503, "weights-unavailable", "ImageNet weights of VGG16")
    assert 50 <= int(first.headers["retry-after"]) <= 60
    after_one = resident_mb(cold)
    assert after_one - before < 100
    for _ in range(50):
        described = cold.client.get("/v1/models/vgg16")
        assert (described.status_code, described.json()["state"]) == (200, "failed")
        assert described.json()["layers"] is None
        assert cold.client.get("/v1/models/vgg16/layers").status_code == 503
    assert resident_mb(cold) - after_one < 20
    assert cold.client.post("/v1/models/vgg16/load").status_code == 503, "it tries again, and is freed again"
    assert resident_mb(cold) - after_one < 100


def test_files_that_fail_to_load_take_nothing(cold: Service) -> None:
    cold.client.get("/v1/models/cut-0/layers")
    before = resident_mb(cold)
    for number in range(30):
        problem(cold.client.get(f"/v1/models/cut-{number}/layers"), 409, "model-not-loadable")
    assert resident_mb(cold) - before < 50


@pytest.mark.parametrize(
    ("model", "methods", "times"),
    [("mobile", METHODS, 4), pytest.param("resnet", MORE_METHODS, 20, marks=pytest.mark.soak)],
)
def test_a_model_that_is_unloaded_leaves_nothing(
    cold: Service, model: str, methods: tuple[str, ...], times: int
) -> None:
    taken = []
    for _ in range(times):
        assert cold.client.post(f"/v1/models/{model}/load").status_code == 204
        for method in methods:
            answer = cold.client.post(f"/v1/models/{model}/{method}", content=PICTURE, headers=PNG)
            assert answer.status_code == 200, answer.text
        assert cold.client.post(f"/v1/models/{model}/unload").json() == {"unloaded": True}
        taken.append(resident_mb(cold))
    assert max(taken[1:]) - taken[0] < 100, taken


def test_looking_into_a_cold_model_leaves_it_cold(cold: Service) -> None:
    before = resident_mb(cold)
    described = cold.client.get("/v1/models/mobile").json()
    assert (described["state"], described["ready"], described["weight_bytes"]) == ("cold", False, None)
    assert (described["head"]["classes"], described["input"]["height"]) == (1000, 224)
    assert resident_mb(cold) - before < 50
