"""From a checked upload to a canonical `.keras` file that Keras wrote here, and that computes bit for bit the same."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.errors import ModelNotLoadable
from service.ingest import archive, hdf5
from service.ingest.limits import IngestLimits
from service.ingest.upload import Checked
from service.ingest.verdict import Manifest, Refused
from service.models.loading import build, file_digest, load_file, with_weights

CANONICAL = "canonical.keras"
OPEN_SIDE = 224
OPEN_CHANNELS = 3
# Of a compiled model: nothing of it is used.
NOT_OF_THE_MODEL = ("/optimizer/", "/optimizer_weights/")
# As the first versions of Keras 3 named it.
EARLY_LAYERS = "/_layer_checkpoint_dependencies/"
ZIP_TIME = (2020, 1, 1, 0, 0, 0)


def rebuilt(found: Checked, files: list[Path], folder: Path, limits: IngestLimits, *, sandboxed: bool) -> Manifest:
    """Writes the canonical file into `folder`. Raises Refused."""
    before = _global_state()
    try:
        parameters = _size(found.config, limits)
        model = build(found.config)
        if not _is_legacy(found.arrays):
            _check_arrays(model, found.arrays, folder)
        with_weights(model, found.weights)
    except ModelNotLoadable as error:
        raise Refused("model.not_buildable", error.detail) from None
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise Refused("model.too_costly", "the model takes more memory than it may while it is built") from None
    _check_finite(model)
    images = _images(model)
    wanted = _outputs(model, images)
    path = folder / CANONICAL
    _save(model, path, folder)
    again = load_file(path)
    if any(not np.array_equal(one, other) for one, other in zip(wanted, _outputs(again, images), strict=True)):
        raise Refused("model.not_buildable", "the model computes something else once it is written anew")
    if _global_state() != before:
        raise Refused("model.forbidden_value", "the model changes settings of the whole process")
    return Manifest(
        upload_digest=file_digest(*files),
        canonical_digest=file_digest(path),
        parameters=parameters,
        classes=dict(found.classes),
        inputs=tuple(tuple(tensor.shape) for tensor in model.inputs),
        outputs=tuple(tuple(tensor.shape) for tensor in model.outputs),
        keras=keras.__version__,
        tensorflow=tf.__version__,
        sandboxed=sandboxed,
    )


def _size(config: dict[str, Any], limits: IngestLimits) -> int:
    """Parameters, counted from shapes before a byte of them is allocated."""
    with keras.StatelessScope(initialize_variables=False):
        variables = build(config).variables
        sizes = [int(math.prod(variable.shape)) for variable in variables]
    total, largest = sum(sizes), max(sizes, default=0) * 4
    if total > limits.max_parameters:
        raise Refused("model.too_large", f"the model has {total} parameters, and {limits.max_parameters} are the most")
    if largest > limits.max_tensor_bytes:
        raise Refused(
            "model.too_large", f"one of the weights takes {largest} bytes, more than {limits.max_tensor_bytes}"
        )
    return total


def _is_legacy(arrays: hdf5.Shapes) -> bool:
    """Whether the weights are named as Keras 2 did; there Keras itself compares their number and shapes."""
    return not any("/vars/" in path for path in arrays)


def _check_arrays(model: Any, found: hdf5.Shapes, folder: Path) -> None:
    """The file must hold every array that Keras would write for the model, in its shape, and none beside."""
    expected_file = folder / "expected.weights.h5"
    model.save_weights(expected_file)
    expected = hdf5.arrays(expected_file, 2**40, 2**30)
    expected_file.unlink()
    given = {
        path.replace(EARLY_LAYERS, "/layers/", 1): array
        for path, array in found.items()
        if not path.startswith(NOT_OF_THE_MODEL)
    }
    wanted = expected
    if given == wanted:
        return
    for path in sorted(wanted.keys() | given.keys()):
        if given.get(path) != wanted.get(path):
            has, needs = given.get(path, "nothing"), wanted.get(path, "nothing")
            raise Refused("model.bad_weights", f"the weights at {path[:200]!r} are {has}; the architecture has {needs}")


def _check_finite(model: Any) -> None:
    for variable in model.variables:
        values = np.asarray(variable.numpy())
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise Refused("model.not_finite", f"the weights {variable.path[:200]!r} hold NaN or infinity")


def _images(model: Any) -> list[NDArray[np.float32]]:
    """Noise for every input; open sides as networks on ImageNet have them."""
    random = np.random.default_rng(0)
    shapes = []
    for tensor in model.inputs:
        sides = tuple(tensor.shape)[1:]
        open_sides = [OPEN_SIDE] * (len(sides) - 1) + [OPEN_CHANNELS]
        shapes.append((1, *(side or other for side, other in zip(sides, open_sides, strict=True))))
    return [random.random(shape, np.float32) for shape in shapes]


def _outputs(model: Any, images: list[NDArray[np.float32]]) -> list[NDArray[Any]]:
    try:
        values = model(images if len(images) > 1 else images[0], training=False)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise Refused("model.too_costly", "the model takes more memory than it may for one image") from None
    except Exception as error:
        raise Refused("model.not_buildable", f"the model cannot be run: {str(error).splitlines()[0][:200]}") from None
    found = [np.asarray(value) for value in tf.nest.flatten(values)]
    if not all(np.isfinite(np.asarray(value, np.float32)).all() for value in found):
        raise Refused("model.not_finite", "what the model computes for a plain image is not finite")
    return found


def _save(model: Any, path: Path, folder: Path) -> None:
    """As Keras saves it, without the times: equal uploads give equal files."""
    fresh = folder / "fresh.keras"
    model.save(fresh)
    with zipfile.ZipFile(fresh) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(archive.MEMBERS):
            data = source.read(name)
            if name == archive.CONFIG:
                data = json.dumps(_without_ids(json.loads(data))).encode()
            elif name == archive.METADATA:
                data = json.dumps({"keras_version": keras.__version__, "date_saved": ""}).encode()
            target.writestr(zipfile.ZipInfo(name, ZIP_TIME), data)
    fresh.unlink()


def _without_ids(value: Any) -> Any:
    """`shared_object_id` is an address in memory, another one every time."""
    if isinstance(value, list):
        return [_without_ids(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_ids(item) for key, item in value.items() if key != "shared_object_id"}
    return value


def _global_state() -> tuple[object, ...]:
    return (
        keras.config.epsilon(),
        keras.config.floatx(),
        keras.config.image_data_format(),
        keras.config.dtype_policy().name,
        tuple(sorted(keras.saving.get_custom_objects())),
    )
