"""The summary is Keras's own text, character by character, at the width that is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import keras
import pytest
import tf_keras
from keras import layers

from service.engine.child.describe import summary_of
from service.errors import UnknownLayer
from service.models.dialects.keras2 import KERAS_2
from service.models.dialects.keras3 import KERAS_3
from service.models.files.entries import spec_of_file
from service.models.loaded import LoadedModel, load_model

pytestmark = pytest.mark.usefixtures("frozen")
WIDTHS = (80, 110, 160)


def nested(namespace: Any) -> Any:
    """A backbone with a name longer than its column, called once, in a Sequential with augmentation."""
    of = namespace.layers
    inner_input = namespace.Input((8, 8, 3), name="pixels")
    x = of.Conv2D(4, 3, name="a_convolution_whose_name_is_longer_than_the_column_it_stands_in")(inner_input)
    y = of.Conv2D(4, 3, padding="same", name="beside")(x)
    inner = namespace.Model(inner_input, of.Add(name="sum")([x, y]), name="backbone")
    image = namespace.Input((8, 8, 3), name="image")
    pooled = of.GlobalAveragePooling2D(name="gap")(inner(of.Rescaling(1 / 255, name="scale")(image)))
    return namespace.Model(image, of.Dense(3, activation="softmax", name="scores")(pooled), name="outer")


def sequential(namespace: Any) -> Any:
    of = namespace.layers
    return namespace.Sequential(
        [
            namespace.Input((8, 8, 3), name="image"),
            of.Conv2D(4, 3, name="conv"),
            of.BatchNormalization(name="norm"),
            of.Flatten(name="flatten"),
            of.Dense(3, name="scores"),
        ],
        name="in_a_row",
    )


def branches(namespace: Any) -> Any:
    """A layer that is called twice, and one that is no part of the way to the other output."""
    of = namespace.layers
    image = namespace.Input((8, 8, 3), name="image")
    shared = of.Conv2D(3, 3, padding="same", name="shared")
    once = shared(image)
    twice = shared(of.ReLU(name="between")(once))
    joined = of.Concatenate(name="join")([once, twice])
    aside = of.Dense(2, name="aside")(of.Flatten(name="flatten")(once))
    return namespace.Model(image, [of.GlobalAveragePooling2D(name="gap")(joined), aside], name="branches")


NETWORKS = {"nested": nested, "sequential": sequential, "branches": branches}
KERASES = {3: keras, 2: tf_keras}
# (network, layer asked for, names on the way to it)
UNTIL = [
    ("sequential", "norm", ["norm"]),
    ("sequential", "0", ["conv"]),
    ("sequential", "scores", ["scores"]),
    ("nested", "gap", ["gap"]),
    ("nested", "backbone/beside", ["backbone", "beside"]),
    ("nested", "backbone/sum", ["backbone", "sum"]),
    ("branches", "between", ["between"]),
    ("branches", "join", ["join"]),
    ("branches", "aside", ["aside"]),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], Path]:
    folder = tmp_path_factory.mktemp("summaries")
    found = {}
    for generation, namespace in KERASES.items():
        for name, build in NETWORKS.items():
            path = folder / f"{name}-{generation}.{'keras' if generation == 3 else 'h5'}"
            build(namespace).save(path)
            found[generation, name] = path
    return found


@pytest.fixture(scope="module")
def models(files: dict[tuple[int, str], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[Any, LoadedModel]:
    cache = tmp_path_factory.mktemp("cache")
    return {key: load_model(spec_of_file(path), cache) for key, path in files.items()}


def as_printed(asked: list[dict[str, Any]]) -> list[str]:
    child = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "printed.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    texts: list[str] = json.loads(child.stdout)
    return texts


def test_whole_models(files: dict[tuple[int, str], Path], models: dict[Any, LoadedModel]) -> None:
    cases = [(key, width) for key in files for width in WIDTHS]
    asked = [{"file": str(files[key]), "generation": key[0], "width": width, "until": None} for key, width in cases]
    for (key, width), expected in zip(cases, as_printed(asked), strict=True):
        text, rows = summary_of(models[key], width)
        assert text == expected, (key, width)
        # Keras 2 breaks the word where its column is narrow.
        assert "Param" in text
        assert max(map(len, text.splitlines())) == width
        assert rows == list(models[key].graph.layers)


def test_up_to_a_layer(files: dict[tuple[int, str], Path], models: dict[Any, LoadedModel]) -> None:
    """A nested path gives the nested model, from its own inputs on."""
    cases = [((generation, name), width, *rest) for generation in KERASES for name, *rest in UNTIL for width in WIDTHS]
    asked = [
        {"file": str(files[key]), "generation": key[0], "width": width, "until": names}
        for key, width, _, names in cases
    ]
    for (key, width, until, _), expected in zip(cases, as_printed(asked), strict=True):
        assert summary_of(models[key], width, until)[0] == expected, (key, width, until)


def test_a_real_model(data: Path, tmp_path: Path) -> None:
    for name, generation, until in (
        ("mlperf_tiny__pretrainedResnet_cifar10.h5", 2, "activation_4"),
        ("cnn_explainer_tinyvgg.keras", 3, None),
    ):
        path = data / "models" / name
        model = load_model(spec_of_file(path), tmp_path)
        assert model.written_by in KERASES
        asked = [
            {"file": str(path), "generation": model.written_by, "width": width, "until": until and [until]}
            for width in WIDTHS
        ]
        for width, expected in zip(WIDTHS, as_printed(asked), strict=True):
            assert summary_of(model, width, until)[0] == expected, (name, width, generation)


@pytest.mark.parametrize("generation", KERASES)
def test_the_rows_are_those_of_the_text(models: dict[Any, LoadedModel], generation: int) -> None:
    def rows(network: str, until: str) -> list[str]:
        return [entry.path for entry in summary_of(models[generation, network], 80, until)[1]]

    long = "a_convolution_whose_name_is_longer_than_the_column_it_stands_in"
    assert rows("sequential", "norm") == [models[generation, "sequential"].graph.layers[0].path, "conv", "norm"]
    assert rows("nested", "backbone/beside") == [f"backbone/{long}", "backbone/beside"]
    assert rows("nested", "scale") == ["image", "scale"]
    assert rows("nested", "backbone") == ["image", "scale", f"backbone/{long}", "backbone/beside", "backbone/sum",
                                          "backbone"]  # fmt: skip
    assert rows("branches", "shared#2") == ["image", "shared", "between", "shared#2"]


@pytest.mark.parametrize("generation", KERASES)
@pytest.mark.parametrize(
    ("network", "until"),
    [("nested", "backbone"), ("branches", "shared#2"), ("sequential", "-1"), ("nested", "image")],
)
def test_what_keras_cannot_name_by_a_layers_output(
    models: dict[Any, LoadedModel], generation: int, network: str, until: str
) -> None:
    """A nested model, the second call of a layer, an index from the end, the input itself."""
    text, rows = summary_of(models[generation, network], 110, until)
    assert rows[-1].path.split("#")[0] in text
    assert "Total params" in text


@pytest.mark.parametrize("generation", KERASES)
def test_nothing_of_the_model_changes_and_nothing_is_kept(
    models: dict[Any, LoadedModel], generation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models[generation, "branches"]
    made: list[weakref.ref[Any]] = []
    dialect = {2: KERAS_2, 3: KERAS_3}[generation]
    own = type(dialect).until

    def until(self: Any, *given: Any) -> Any:
        found = own(self, *given)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(type(dialect), "until", until)

    def state() -> list[Any]:
        kept = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model.keras_model.layers]
        return [kept, summary_of(model, 110)[0], [id(layer) for layer in model.keras_model.layers]]

    before = state()
    for _ in range(3):
        summary_of(model, 110, "join")
    assert len(made) == 3
    assert [reference() for reference in made] == [None] * 3
    assert state() == before


def test_a_layer_that_is_not_there(models: dict[Any, LoadedModel]) -> None:
    with pytest.raises(UnknownLayer, match="'backbone/beside'"):
        summary_of(models[3, "nested"], 80, "backbone/besides")


def test_a_layer_that_one_of_two_inputs_leads_to(tmp_path: Path) -> None:
    first, second = keras.Input((4, 4, 1), name="first"), keras.Input((4, 4, 1), name="second")
    joined = layers.Add(name="sum")([layers.Conv2D(1, 1, name="conv")(first), second])
    keras.Model([first, second], layers.Flatten(name="flat")(joined)).save(tmp_path / "two.keras")
    model = load_model(spec_of_file(tmp_path / "two.keras"), tmp_path)
    text, rows = summary_of(model, 80, "conv")
    assert "conv (Conv2D)" in text
    assert "sum (Add)" not in text
    assert [entry.path for entry in rows] == ["first", "second", "conv"]
