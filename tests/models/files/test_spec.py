"""What a spec may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.models.files.spec import ModelSpec, Preprocessing


def spec(**values: Any) -> ModelSpec:
    return ModelSpec.model_validate({"id": "m", "weights": "m.keras", **values})


@pytest.mark.parametrize("model_id", ["a", "resnet50", "a.b_c-d", "0", "a" * 64])
def test_ids(model_id: str) -> None:
    assert spec(id=model_id).id == model_id


@pytest.mark.parametrize("model_id", ["", "A", "-a", ".a", "_a", "a/b", "a b", "a" * 65, "ä", "a\n"])
def test_ids_that_are_none(model_id: str) -> None:
    with pytest.raises(ValidationError, match="id"):
        spec(id=model_id)


@pytest.mark.parametrize("field", ["weights", "architecture", "labels"])
@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a/../.."])
def test_files_outside_the_folder_are_refused(tmp_path: Path, field: str, name: str) -> None:
    with pytest.raises(ValidationError, match="points outside the model's folder"):
        spec(folder=tmp_path, **{field: name})


def test_a_link_that_leads_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.keras").write_text("secret")
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "m.keras").symlink_to(tmp_path / "outside.keras")
    with pytest.raises(ValidationError, match="points outside"):
        spec(folder=folder)


def test_an_empty_segment_in_a_path(tmp_path: Path) -> None:
    assert spec(folder=tmp_path, weights="sub//m.keras").files() == [tmp_path.resolve() / "sub" / "m.keras"]


def test_files_of_a_pair(tmp_path: Path) -> None:
    files = spec(folder=tmp_path, weights="w.h5", architecture="a.json").files()
    assert [path.name for path in files] == ["a.json", "w.h5"]
    assert spec(source="application", application="VGG16", weights="imagenet").files() == ()


@pytest.mark.parametrize(
    "values",
    [
        {"weights": None},
        {"source": "application"},
        {"nonsense": 1},
        {"input": {"height": 0}},
        {"input": {"height": 5000}},
        {"head": "tanh"},
        {"sha256": "abc"},
        {"preprocessing": {"mode": "mean_std"}},
        {"preprocessing": {"mode": "tf", "mean": [1], "std": [1]}},
        {"preprocessing": {"mode": "mean_std", "mean": [1.0], "std": [0.0]}},
        {"preprocessing": {"mode": "mean_std", "mean": [float("nan")], "std": [1.0]}},
        {"preprocessing": {"mode": "mean_std", "mean": [1.0], "std": [-1.0]}},
        {"preprocessing": {"mode": "mean_std", "mean": [1.0], "std": [1e-46]}},
        {"preprocessing": {"mode": "mean_std", "mean": [1e39], "std": [1.0]}},
        {"preprocessing": {"mode": "mean_std", "mean": [1.0, 2.0, 3.0], "std": [1.0, 2.0]}},
        {"preprocessing": {"mode": "mean_std", "mean": [], "std": [1.0]}},
    ],
)
def test_what_a_spec_may_not_say(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**values)


def test_frozen_and_public(tmp_path: Path) -> None:
    made = spec(folder=tmp_path, labels=["a"], preprocessing=Preprocessing(mode="tf"))
    with pytest.raises(ValidationError):
        made.id = "other"  # type: ignore[misc]
    public = made.public()
    assert str(tmp_path) not in repr(public)
    assert public["preprocessing"] == {"mode": "tf", "mean": [], "std": []}
