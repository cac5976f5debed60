"""Every kind of file: those that load predict what they should, those that do not say why in a sentence."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import nets
import numpy as np
import pytest
from keras import layers
from PIL import Image

from service.errors import ModelNotLoadable, WeightsUnavailable
from service.ingest.trusted import Trust, require_allowed
from service.models.files.entries import spec_of_file
from service.models.files.sources import load
from service.models.files.spec import InputSpec, ModelSpec, Preprocessing, imagenet_labels
from service.models.graph.preprocess import prepare
from service.models.loaded import LoadedModel, load_model

CIFAR10 = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TINYVGG = ("boat", "bug", "bus", "car", "espresso", "koala", "orange", "panda", "pepper", "pizza")
TINYVGG_OUTPUTS = ("boat", "bug", "pizza", "pepper", "bus", "koala", "espresso", "panda", "orange", "car")
PROBABILITIES = nets.softmax(nets.LOGITS)


@pytest.fixture(scope="module")
def legacy_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pencil's weights as Keras 2 saved them with `save_weights('….h5')`."""
    path = tmp_path_factory.mktemp("weights") / "legacy.h5"
    with h5py.File(path, "w") as file:
        write_legacy_weights(file)
    return path


def write_legacy_weights(group: Any) -> None:
    stored = {
        "image": {},
        "conv": {"conv/kernel:0": np.array([[[[1, -1]]]], np.float32)},
        "gap": {},
        "scores": {"scores/kernel:0": nets.WEIGHTS, "scores/bias:0": nets.BIAS},
    }
    group.attrs["layer_names"] = [name.encode() for name in stored]
    group.attrs["backend"] = b"tensorflow"
    group.attrs["keras_version"] = b"2.1.6"
    for name, weights in stored.items():
        layer = group.create_group(name)
        layer.attrs["weight_names"] = [weight.encode() for weight in weights]
        for weight, values in weights.items():
            layer[weight] = values


def keras2_config(as_list: bool = False) -> dict[str, Any]:
    """The pencil as Keras 2 wrote it."""
    conv = {"name": "conv", "filters": 2, "kernel_size": [1, 1], "activation": "relu", "use_bias": False}
    built = [
        {"class_name": "Conv2D", "config": conv | {"batch_input_shape": [None, 2, 3, 1], "dtype": "float32"}},
        {"class_name": "GlobalAveragePooling2D", "config": {"name": "gap", "data_format": "channels_last"}},
        {"class_name": "Dense", "config": {"name": "scores", "units": 4, "activation": "softmax"}},
    ]
    config = built if as_list else {"name": "sequential_1", "layers": built}
    return {"class_name": "Sequential", "config": config, "keras_version": "2.1.6", "backend": "tensorflow"}


def read(path: Path) -> Any:
    """The Keras model of a file, as the service finds it."""
    spec = spec_of_file(path)
    require_allowed(spec, Trust.NO_CODE, ())
    return load(spec, path.parent)[0]


def expect_pencil(model: Any) -> None:
    np.testing.assert_allclose(np.asarray(model(nets.IMAGE))[0], PROBABILITIES, rtol=1e-5)


def refusal(path: Path) -> str:
    """The sentence with which a file is refused; it never shows the machine's folders or a traceback."""
    with pytest.raises(ModelNotLoadable) as caught:
        read(path)
    detail = caught.value.detail
    assert str(path.parent) not in detail
    assert "/tmp" not in detail
    assert "Traceback" not in detail
    assert "\n" not in detail
    assert len(detail) < 450
    return detail


def test_keras_file(tmp_path: Path) -> None:
    nets.pencil().save(tmp_path / "net.keras")
    expect_pencil(read(tmp_path / "net.keras"))


def test_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    nets.pencil().save(path)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    spec = spec_of_file(path)
    assert load(spec, tmp_path)[1] == f"sha256:{expected}"
    assert load(spec.model_copy(update={"sha256": expected}), tmp_path)[1] == f"sha256:{expected}"
    with pytest.raises(ModelNotLoadable, match=f"has sha256:{expected}, its spec says sha256:{'0' * 64}"):
        load(spec.model_copy(update={"sha256": "0" * 64}), tmp_path)


def keras2_h5(path: Path, config: Any) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config).encode()
        file.attrs["keras_version"] = b"2.1.6"
        write_legacy_weights(file.create_group("model_weights"))


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("name", ["net.h5", "net.hdf5"])
def test_full_model_of_keras_2(tmp_path: Path, as_list: bool, name: str) -> None:
    keras2_h5(tmp_path / name, keras2_config(as_list))
    expect_pencil(read(tmp_path / name))


def test_the_first_bytes_count_and_not_the_name(tmp_path: Path) -> None:
    keras2_h5(tmp_path / "really_hdf5.keras", keras2_config())
    expect_pencil(nets.opened(tmp_path / "really_hdf5.keras"))
    nets.pencil().save(tmp_path / "net.keras")
    for name in ("really_zip.h5", "no_suffix"):
        shutil.copy(tmp_path / "net.keras", tmp_path / name)
        expect_pencil(nets.opened(tmp_path / name))
    keras2_h5(tmp_path / "model.v1.2.h5", keras2_config())
    expect_pencil(read(tmp_path / "model.v1.2.h5"))


@pytest.mark.parametrize("weights", ["net.weights.h5", "net.h5", "net_weights.h5", "net_weights.hdf5", "net.hdf5"])
@pytest.mark.parametrize("architecture", ["keras 3", "keras 2", "keras 2 list"])
@pytest.mark.parametrize("layout", ["keras 3", "keras 2"])
def test_pairs(tmp_path: Path, legacy_weights: Path, weights: str, architecture: str, layout: str) -> None:
    config = nets.pencil_sequential().to_json() if architecture == "keras 3" else None
    config = config or json.dumps(keras2_config(architecture.endswith("list")))
    (tmp_path / "net.json").write_text(config)
    if layout == "keras 3":
        nets.pencil_sequential().save_weights(tmp_path / "saved.weights.h5")
        (tmp_path / "saved.weights.h5").rename(tmp_path / weights)
    else:
        shutil.copy(legacy_weights, tmp_path / weights)
    expect_pencil(read(tmp_path / "net.json"))


def test_pair_named_in_a_spec(tmp_path: Path, legacy_weights: Path) -> None:
    (tmp_path / "sub").mkdir()
    shutil.copy(legacy_weights, tmp_path / "sub" / "w.h5")
    (tmp_path / "arch.json").write_text(json.dumps(keras2_config()))
    (tmp_path / "model.toml").write_text('id = "p"\narchitecture = "arch.json"\nweights = "sub//w.h5"\n')
    expect_pencil(read(tmp_path))


def test_missing_file_of_a_spec(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text('id = "p"\nweights = "w.h5"\n')
    assert refusal(tmp_path / "model.toml") == "model 'p' names the file 'w.h5', which is not in its folder"


def no_config(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def keras_with(text: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", text)

    return make


def truncated(path: Path) -> None:
    nets.pencil().save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def weights_of_keras_3(path: Path) -> None:
    nets.pencil().save_weights(path.with_suffix(".weights.h5"))
    path.with_suffix(".weights.h5").rename(path)


def architecture_only(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(keras2_config())


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "text.h5": (
        lambda path: path.write_text("hello world"),
        "'text.h5' is no model file: it is plain text; a model is a .keras archive or HDF5 (.h5, .hdf5)",
    ),
    "text.keras": (lambda path: path.write_text("x"), "'text.keras' is no model file: it is plain text"),
    "empty.keras": (lambda path: path.write_bytes(b""), "'empty.keras' is no model file: it is empty"),
    "zip.keras": (no_config, "'zip.keras' is a zip archive but not a .keras file: it has no config.json"),
    "truncated.keras": (truncated, "'truncated.keras' is a damaged or incomplete zip archive; copy or save it again"),
    "truncated.h5": (
        truncated,
        "'truncated.h5' is a damaged or incomplete HDF5 file: it has",
    ),
    "json.keras": (keras_with("{nope"), "the config.json in 'json.keras' is not valid JSON"),
    "deep.keras": (keras_with("[" * 100_000), "the config.json in 'deep.keras' is not valid JSON"),
    "array.keras": (keras_with("[1, 2]"), "the architecture is a 'list'; only Sequential and Functional models"),
    "own.keras": (keras_with('{"class_name": "Own"}'), "the architecture is a 'Own'; only Sequential and Functional"),
    "noweights.keras": (
        lambda path: keras_with(nets.pencil().to_json())(path),
        "'noweights.keras' ",
    ),
    "weights.h5": (
        weights_of_keras_3,
        "'weights.h5' holds the weights of 4 layers and no architecture. Save the whole",
    ),
    "architecture.h5": (architecture_only, "'architecture.h5' holds an architecture and no weights"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_files(tmp_path: Path, name: str) -> None:
    make, reason = REFUSED[name]
    make(tmp_path / name)
    assert refusal(tmp_path / name).startswith(reason)


@pytest.mark.parametrize("name", ["mine.h5", "mine.weights.h5", "mine_weights.h5"])
def test_weights_alone_say_what_to_do(tmp_path: Path, legacy_weights: Path, name: str) -> None:
    shutil.copy(legacy_weights, tmp_path / name)
    assert refusal(tmp_path / name) == (
        f"{name!r} holds the weights of 4 layers and no architecture. Save the whole model (model.save('mine.keras')), "
        "or put the architecture beside it as mine.json (model.to_json())"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2]", "the architecture is a 'list'"),
        ("{", "the architecture in 'net.json' is not valid JSON"),
        ('"model"', "the architecture is a 'str'"),
        (
            json.dumps({"class_name": "Sequential", "config": []}),
            "the architecture does not say the shape of its input",
        ),
    ],
)
def test_refused_architectures(tmp_path: Path, legacy_weights: Path, text: str, reason: str) -> None:
    (tmp_path / "net.json").write_text(text)
    shutil.copy(legacy_weights, tmp_path / "net.h5")
    assert refusal(tmp_path / "net.json").startswith(reason)


def test_an_unknown_layer_is_named(tmp_path: Path, legacy_weights: Path) -> None:
    config = keras2_config()
    config["config"]["layers"][0]["class_name"] = "MyConv"
    (tmp_path / "net.json").write_text(json.dumps(config))
    shutil.copy(legacy_weights, tmp_path / "net.h5")
    detail = refusal(tmp_path / "net.json")
    assert detail.startswith("model 'net' holds code or opens files: 'conv' is of the class 'MyConv'. If you trust")


def test_an_unknown_argument_is_named(tmp_path: Path, legacy_weights: Path) -> None:
    config = keras2_config()
    config["config"]["layers"][0]["config"]["magic"] = 1
    (tmp_path / "net.json").write_text(json.dumps(config))
    shutil.copy(legacy_weights, tmp_path / "net.h5")
    assert "'Keyword argument not understood:', 'magic'" in refusal(tmp_path / "net.json")


@pytest.mark.parametrize("layout", ["keras 3", "keras 2"])
def test_weights_of_another_network(tmp_path: Path, legacy_weights: Path, layout: str) -> None:
    config = keras2_config()
    config["config"]["layers"][2]["config"]["units"] = 7
    (tmp_path / "net.json").write_text(json.dumps(config))
    if layout == "keras 3":
        nets.pencil().save_weights(tmp_path / "net.weights.h5")
    else:
        shutil.copy(legacy_weights, tmp_path / "net.weights.h5")
    detail = refusal(tmp_path / "net.json")
    assert detail.startswith("the weights in 'net.weights.h5' do not fit the architecture: ")


def with_lambda(trap: Path) -> Any:
    """A model whose Lambda leaves a file behind when it runs."""
    code = f"lambda x: open({str(trap)!r}, 'w') and x"
    return keras.Sequential([keras.Input((2, 3, 1)), layers.Lambda(eval(code), output_shape=(2, 3, 1), name="trap")])


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "net.json"])
def test_lambda_is_refused_and_nothing_runs(tmp_path: Path, name: str) -> None:
    trap = tmp_path / "trapped"
    model = with_lambda(trap)
    if name == "net.json":
        (tmp_path / name).write_text(model.to_json())
        model.save_weights(tmp_path / "net.weights.h5")
    else:
        model.save(tmp_path / name)
    trap.unlink(missing_ok=True)
    assert "'trap' is a Lambda: it carries Python code" in refusal(tmp_path / name)
    assert not trap.exists()


def application(name: str, weights: str | None, folder: Path) -> ModelSpec:
    return ModelSpec(id="app", source="application", application=name, weights=weights, folder=folder)


def small_application(weights: str | None) -> Any:
    if weights == "imagenet":
        raise OSError("[Errno -3] Temporary failure in name resolution")
    return nets.pencil_sequential()


def test_applications(tmp_path: Path, legacy_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.applications, "VGG16", small_application)
    with pytest.raises(WeightsUnavailable, match="the ImageNet weights of VGG16 could not be downloaded") as caught:
        load(application("VGG16", "imagenet", tmp_path), tmp_path)
    assert "Errno" not in caught.value.detail
    assert load(application("VGG16", "random", tmp_path), tmp_path)[1].startswith("sha256:")
    shutil.copy(legacy_weights, tmp_path / "mine.h5")
    model, digest, _ = load(application("VGG16", "mine.h5", tmp_path), tmp_path)
    expect_pencil(model)
    assert digest == f"sha256:{hashlib.sha256(legacy_weights.read_bytes()).hexdigest()}"
    with pytest.raises(ModelNotLoadable, match=r"model 'app' names the weights 'other.h5', which is not in its folder"):
        load(application("VGG16", "other.h5", tmp_path), tmp_path)
    with pytest.raises(ModelNotLoadable, match=r"keras.applications has no 'VGG17'; the closest are 'VGG1"):
        load(application("VGG17", "random", tmp_path), tmp_path)


def test_random_weights_are_the_same_every_time(tmp_path: Path) -> None:
    first, second = (load(application("MobileNet", "random", tmp_path), tmp_path) for _ in range(2))
    assert first[1] == second[1]
    for one, other in zip(first[0].get_weights(), second[0].get_weights(), strict=True):
        assert np.array_equal(one, other)


def photograph(data: Path, name: str, mode: str = "RGB") -> np.ndarray:
    pixels = np.asarray(Image.open(data / "images" / name).convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def probabilities(model: LoadedModel, image: np.ndarray, mode: Any, **spec: Any) -> np.ndarray:
    batch = prepare(image, model.input_shape, InputSpec(**spec), Preprocessing(mode=mode)).batch
    scores = nets.explain(model, "predict", batch).scores
    assert scores is not None
    found = model.head.probabilities(scores)
    return scores if found is None else found


def real(data: Path, name: str, tmp_path: Path) -> LoadedModel:
    return load_model(spec_of_file(data / "models" / name), tmp_path)


@pytest.mark.parametrize(
    ("image", "label", "probability"),
    [
        ("skimage_chelsea.png", "Egyptian_cat", 0.807),
        ("chollet_creative_commons_elephant.jpg", "African_elephant", 0.531),
    ],
)
def test_mobilenetv2(data: Path, tmp_path: Path, image: str, label: str, probability: float) -> None:
    model = real(data, "mobilenetv2_from_coral_ptq.h5", tmp_path)
    assert model.preprocessing.mode == "tf"
    found = probabilities(model, photograph(data, image), "tf")
    assert imagenet_labels()[int(found.argmax())] == label
    assert found.max() == pytest.approx(probability, abs=0.001)


def test_mobilenet_v1(data: Path, tmp_path: Path) -> None:
    model = real(data, "stm32zoo__mobilenet_v1_0.25_224_imagenet.h5", tmp_path)
    assert (model.head.kind, model.head.classes) == ("softmax", 1000)
    names = imagenet_labels()
    for image, expected in (
        ("skimage_chelsea.png", {"Egyptian_cat", "lynx", "tabby", "tiger_cat"}),
        ("chollet_creative_commons_elephant.jpg", {"African_elephant", "tusker", "Indian_elephant"}),
    ):
        found = probabilities(model, photograph(data, image), "tf")
        top = [names[int(index)] for index in np.argsort(-found)[:5]]
        assert top[0] in ("Egyptian_cat", "African_elephant")
        assert expected <= set(top)


def test_fer(data: Path, tmp_path: Path) -> None:
    model = real(data, "fer__emotion_model.hdf5", tmp_path)
    face = photograph(data, "skimage_astronaut.png", "L")[40:180, 170:310]
    found = probabilities(model, face, "tf")
    assert int(found.argmax()) == 3
    assert found[3] > 0.999


@pytest.mark.parametrize(("image", "least"), [("plane", 0.995), ("frog", 0.995), ("ship", 0.995)])
def test_mlperf_resnet(data: Path, tmp_path: Path, image: str, least: float) -> None:
    model = real(data, "mlperf_tiny__pretrainedResnet_cifar10.h5", tmp_path)
    found = probabilities(model, photograph(data, f"sozykin_{image}.jpg"), "none", resize="crop")
    assert CIFAR10[int(found.argmax())] == image
    assert found.max() > least


def test_cifar_relu_head(data: Path, tmp_path: Path) -> None:
    model = real(data, "cifar_10_model__cnn_model.h5", tmp_path)
    assert (model.head.kind, model.head.activation, model.head.score_kind) == ("values", "relu", "value")
    found = probabilities(model, photograph(data, "sozykin_frog.jpg"), "none")
    assert CIFAR10[int(found.argmax())] == "frog"
    assert found.min() == 0


def test_tinyvgg(data: Path, tmp_path: Path) -> None:
    model = real(data, "cnn_explainer_tinyvgg.keras", tmp_path)
    seen = {
        name: TINYVGG_OUTPUTS[
            int(probabilities(model, photograph(data, f"cnnexplainer_{name}_1.jpeg"), "rescale01").argmax())
        ]
        for name in TINYVGG
    }
    assert seen == {name: name for name in TINYVGG}


def test_tensorspace_mnist(data: Path, tmp_path: Path) -> None:
    """The 8×8 digits, two cells of black around them, enlarged to 28×28."""
    model = real(data, "tensorspace__keras_mnist.h5", tmp_path)
    assert model.input_shape.rank3
    with gzip.open(data / "images" / "sklearn_digits.csv.gz") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.float32)
    digits = np.pad(rows[:, :64].reshape(-1, 8, 8, 1) * (255 / 16), ((0, 0), (2, 2), (2, 2), (0, 0)))
    spec, mode = InputSpec(interpolation="lanczos"), Preprocessing(mode="rescale01")
    batch = np.concatenate([prepare(digit, model.input_shape, spec, mode).batch for digit in digits])
    plan = model.backend.compiled(
        ("scores",),
        lambda images: model.graph.run({model.graph.inputs[0]: images}, [model.head.logits]),
        [((None, 28, 28), "float32")],
    )
    (scores,) = plan(batch)
    accuracy = float((scores.argmax(axis=1) == rows[:, 64]).mean())
    assert accuracy == pytest.approx(0.867, abs=0.01)


def test_squeezenet_without_architecture(data: Path) -> None:
    with pytest.raises(ModelNotLoadable) as caught:
        nets.opened(data / "models" / "rcmalli__squeezenet_notop.h5")
    assert caught.value.detail == (
        "'rcmalli__squeezenet_notop.h5' holds the weights of 62 layers and no architecture. Save the whole model "
        "(model.save('rcmalli__squeezenet_notop.keras')), or put the architecture beside it as "
        "rcmalli__squeezenet_notop.json (model.to_json())"
    )


def test_every_file_of_the_folder_loads_or_says_why(data: Path, tmp_path: Path) -> None:
    refused = []
    for path in sorted((data / "models").iterdir()):
        try:
            model = load_model(spec_of_file(path), tmp_path)
        except ModelNotLoadable:
            refused.append(path.name)
            continue
        image = np.zeros(model.input_shape.batch, np.float32)
        scores = nets.explain(model, "predict", image).scores
        assert scores is not None
        assert np.isfinite(scores).all()
    assert refused == ["rcmalli__squeezenet_notop.h5"]
