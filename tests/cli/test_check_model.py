"""What `kerascope models check` says of a model, and why it says nothing of a file that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.cli.check_model import LAYERS_SHOWN, report
from service.errors import ModelNotLoadable
from service.models.files.library import CATALOGUE

SHAPES = CATALOGUE / "shapes"


def test_a_spec_and_its_weights(tmp_path: Path) -> None:
    lines = list(report(SHAPES, tmp_path))
    facts = {line[:15].strip(): line[16:] for line in lines[:12]}
    assert facts.pop("digest").startswith("sha256:")
    assert facts == {
        "id": "shapes",
        "keras": "3",
        "code": "none",
        "outputs": "dense_1 [3]",
        "input": "28×28 px, 3 channels, stretch",
        "preprocessing": "rescale01 (known)",
        "head": "softmax, last activation softmax, 3 classes",
        "labels": "3",
        "parameters": "174,243",
        "CAM layer": "conv2d_5",
        "layers": "17",
    }
    assert len(lines) == 12 + LAYERS_SHOWN + 1
    assert lines[13].split() == ["0", "conv2d", "Conv2D", "[28,", "28,", "32]"]
    assert lines[-1].strip() == "… and 5 more"


def test_a_bare_file_says_what_was_assumed(tmp_path: Path) -> None:
    text = "\n".join(report(SHAPES / "shapes.keras", tmp_path))
    assert "rescale01 (assumed; say it in model.toml if it is another)" in text
    assert "labels          none" in text


def test_a_weights_only_file(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ModelNotLoadable, match="holds the weights of 62 layers and no architecture"):
        list(report(data / "models" / "rcmalli__squeezenet_notop.h5", tmp_path))


@pytest.mark.parametrize("name", ["notes.keras", "notes.h5", "notes.txt"])
def test_text(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("I am no model.\n")
    with pytest.raises(ModelNotLoadable, match=name) as caught:
        list(report(tmp_path / name, tmp_path))
    assert str(tmp_path) not in caught.value.detail


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotLoadable, match=r"there is no file 'no\.keras'"):
        list(report(tmp_path / "no.keras", tmp_path))
