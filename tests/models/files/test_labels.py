"""Class names from every source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.errors import ModelNotLoadable
from service.models.files.spec import ModelSpec, imagenet_labels, labels_of


def spec(folder: Path, labels: object) -> ModelSpec:
    return ModelSpec.model_validate({"id": "m", "weights": "m.keras", "labels": labels, "folder": folder})


def test_imagenet_labels_are_those_of_keras(data: Path) -> None:
    index = json.loads((data / "labels" / "imagenet_class_index.json").read_text())
    ours = imagenet_labels()
    assert len(ours) == 1000
    differing = {i: (ours[i], index[str(i)][1]) for i in range(1000) if ours[i] != index[str(i)][1]}
    assert differing == {}


def test_imagenet_labels() -> None:
    labels = imagenet_labels()
    assert [labels[index] for index in (0, 281, 285, 386, 967)] == [
        "tench",
        "tabby",
        "Egyptian_cat",
        "African_elephant",
        "espresso",
    ]
    assert labels_of(spec(Path(), "imagenet")) is labels


def test_none_and_list(tmp_path: Path) -> None:
    assert labels_of(spec(tmp_path, None)) == ()
    assert labels_of(spec(tmp_path, ["cat", "dog"])) == ("cat", "dog")


def test_files(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\n\n  großer Hund \n", encoding="utf-8")
    (tmp_path / "list.json").write_text('["cat", "dog", 3]')
    (tmp_path / "index.json").write_text('{"1": ["n2", "dog"], "0": ["n1", "cat"]}')
    assert labels_of(spec(tmp_path, "labels.txt")) == ("cat", "großer Hund")
    assert labels_of(spec(tmp_path, "list.json")) == ("cat", "dog", "3")
    assert labels_of(spec(tmp_path, "index.json")) == ("cat", "dog")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.txt", None),
        ("bad.json", b"{"),
        ("number.json", b"3"),
        ("gap.json", b'{"0": ["a", "b"], "5": ["c", "d"]}'),
        ("flat.json", b'{"0": 7}'),
        ("binary.txt", b"\xff\xfe\x00"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelNotLoadable) as caught:
        labels_of(spec(tmp_path, name))
    assert caught.value.detail == (
        f"the label file '{name}' of model 'm' cannot be read: it must be text with a name a line, "
        "or a JSON list of names"
    )
