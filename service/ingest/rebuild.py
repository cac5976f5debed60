"""From a checked upload to a canonical file that the same Keras wrote here, and that computes bit for bit the same."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.arrays import Array, KerasModel, Value
from service.errors import ModelNotLoadable
from service.ingest import archive, hdf5
from service.ingest.limits import IngestLimits
from service.ingest.upload import Checked
from service.ingest.verdict import Manifest, Refused
from service.json_types import Json
from service.models.files.opening import keras3
from service.models.files.opening.contents import contents_of_path
from service.models.files.opening.library_message import short_sentence
from service.models.files.opening.weights import NOT_OF_THE_MODEL
from service.models.files.sources import file_digest, open_contents
from service.models.files.spec import ModelSpec
from service.models.files.uploads.record import canonical_name
from service.models.graph.canonical import canonical
from service.models.graph.graph import Graph
from service.models.graph.head import find_head, head_of_training
from service.models.graph.inputs import find_input

OPEN_SIDE = 224
OPEN_CHANNELS = 3
# Of a compiled model, under which HDF5 files keep it: nothing of it is used.
NOT_USED = tuple(f"/{name}" for name in (*NOT_OF_THE_MODEL, "optimizer_weights/"))
# As the first versions of Keras 3 named it.
EARLY_LAYERS = "/_layer_checkpoint_dependencies/"
ZIP_TIME = (2020, 1, 1, 0, 0, 0)
# Stands for the spec of the upload, which the child is not told.
UNKNOWN = ModelSpec(id="upload", weights="upload")


def rebuilt(found: Checked, files: list[Path], folder: Path, limits: IngestLimits, *, sandboxed: bool) -> Manifest:
    """Writes the canonical file into `folder`. Raises Refused."""
    before = _global_state()
    try:
        _check_size(found, limits)
        model = _loaded(found, folder)
        graph = canonical(model)
    except ModelNotLoadable as error:
        raise Refused("model.not_buildable", error.detail) from None
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise Refused("model.too_costly", "the model takes more memory than it may while it is built") from None
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise Refused("model.not_buildable", f"the model cannot be built: {short_sentence(error)}") from None
    if obstacle := find_input(graph, UNKNOWN).obstacle:
        raise Refused("model.unsupported", obstacle)
    _check_finite(graph, model)
    images = _images(graph)
    wanted = _outputs(graph, images)
    version = keras3.VERSION if found.keras == 3 else _version_2()
    path = folder / canonical_name(version)
    _save(model, path, folder, found)
    again = canonical(open_contents(contents_of_path(path), UNKNOWN))
    if any(not np.array_equal(one, other) for one, other in zip(wanted, _outputs(again, images), strict=True)):
        raise Refused("model.not_buildable", "the model computes something else once it is written anew")
    if _global_state() != before:
        raise Refused("model.forbidden_value", "the model changes settings of the whole process")
    return Manifest(
        upload_digest=file_digest(*files),
        canonical_digest=file_digest(path),
        parameters=int(model.count_params()),
        classes=dict(found.classes),
        inputs=tuple(tensor.shape for tensor in graph.inputs),
        outputs=tuple(tensor.shape for tensor in graph.outputs),
        keras=version,
        tensorflow=tf.__version__,
        head=_head_of_training(graph, found),
        sandboxed=sandboxed,
    )


def _loaded(found: Checked, folder: Path) -> KerasModel:
    """The model with its weights, by the Keras that it belongs to."""
    if found.keras == 3:
        model = keras3.build(found.config)
        if not _is_legacy(found.arrays):
            _check_arrays(model, found.arrays, folder)
        keras3.load_weights(model, found.weights)
        return model
    from service.models.files.opening import keras2

    model = keras2.build(keras2.with_new_modules(found.config))
    keras2.load_weights(model, found.weights)
    if not _is_legacy(found.arrays):
        given = sum(not path.startswith(NOT_USED) for path in found.arrays)
        if given != len({id(weight) for weight in model.weights}):
            raise Refused("model.bad_weights", f"the file has {given} arrays, the architecture {len(model.weights)}")
    return keras2.with_old_resizing(model, found.written_by)


def _version_2() -> str:
    from service.models.files.opening import keras2

    return keras2.VERSION


def _head_of_training(graph: Graph, found: Checked) -> Json:
    """`logits` or `sigmoid` where the training config says so of an output without activation; None elsewhere."""
    said = head_of_training(found.training, graph.output_names, 0)
    head = find_head(graph, trained=said)
    return head.kind if said and head.activation == "linear" and head.kind in ("logits", "sigmoid") else None


def _check_size(found: Checked, limits: IngestLimits) -> None:
    """Counts from shapes, before a byte is allocated. Raises Refused."""
    if found.keras == 3:
        with keras.StatelessScope(initialize_variables=False):
            shapes = [tuple(variable.shape) for variable in keras3.build(found.config).variables]
    else:
        from service.models.files.opening import keras2

        # Variables of a graph that nobody runs take no memory.
        with tf.Graph().as_default():
            shapes = [tuple(weight.shape) for weight in keras2.build(keras2.with_new_modules(found.config)).weights]
    sizes = [int(math.prod(shape)) for shape in shapes]
    total, largest = sum(sizes), max(sizes, default=0) * 4
    if total > limits.max_parameters:
        raise Refused("model.too_large", f"the model has {total} parameters, and {limits.max_parameters} are the most")
    if largest > limits.max_tensor_bytes:
        raise Refused(
            "model.too_large", f"one of the weights takes {largest} bytes, more than {limits.max_tensor_bytes}"
        )


def _is_legacy(arrays: hdf5.Shapes) -> bool:
    """Whether the weights are named as HDF5 files of Keras 2 did; there Keras itself compares number and shapes."""
    return not any("/vars/" in path.replace("\\", "/") for path in arrays)


def _check_arrays(model: KerasModel, found: hdf5.Shapes, folder: Path) -> None:
    """The file must hold every array that Keras would write for the model, in its shape, and none beside."""
    expected_file = folder / "expected.weights.h5"
    model.save_weights(expected_file)
    expected = hdf5.arrays(expected_file, 2**40, 2**30)
    expected_file.unlink()
    given = {
        path.replace(EARLY_LAYERS, "/layers/"): array for path, array in found.items() if not path.startswith(NOT_USED)
    }
    if given == expected:
        return
    for path in sorted(expected.keys() | given.keys()):
        if given.get(path) != expected.get(path):
            has, needs = given.get(path, "nothing"), expected.get(path, "nothing")
            raise Refused("model.bad_weights", f"the weights at {path[:200]!r} are {has}; the architecture has {needs}")


def _check_finite(graph: Graph, model: KerasModel) -> None:
    for variable in graph.dialect.variables(model):
        values = np.asarray(variable.numpy())
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            name = getattr(variable, "path", variable.name)
            raise Refused("model.not_finite", f"the weights {name[:200]!r} hold NaN or infinity")


def _images(graph: Graph) -> list[NDArray[np.float32]]:
    """Noise for every input; open sides as networks on ImageNet have them."""
    random = np.random.default_rng(0)
    shapes = []
    for tensor in graph.inputs:
        sides = tensor.shape[1:]
        open_sides = [OPEN_SIDE] * (len(sides) - 1) + [OPEN_CHANNELS]
        shapes.append((1, *(side or other for side, other in zip(sides, open_sides, strict=True))))
    return [random.random(shape, np.float32) for shape in shapes]


def _outputs(graph: Graph, images: list[NDArray[np.float32]]) -> list[Array]:
    feeds = [tf.constant(image, tensor.dtype) for image, tensor in zip(images, graph.inputs, strict=True)]

    def run(*values: Value) -> list[Json]:
        return graph.run(dict(zip(graph.inputs, values, strict=True)), graph.outputs)

    try:
        values = tf.function(run, autograph=False)(*feeds)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise Refused("model.too_costly", "the model takes more memory than it may for one image") from None
    except Exception as error:
        raise Refused("model.not_buildable", f"the model cannot be run: {str(error).splitlines()[0][:200]}") from None
    found = [np.asarray(value) for value in tf.nest.flatten(values)]
    if not all(np.isfinite(np.asarray(value, np.float32)).all() for value in found):
        raise Refused("model.not_finite", "what the model computes for a plain image is not finite")
    return found


def _save(model: KerasModel, path: Path, folder: Path, found: Checked) -> None:
    """Its Keras saves it, without the times: equal uploads give equal files."""
    if found.keras == 2:
        model.save(path, include_optimizer=False, save_format="h5")
        if found.written_by:
            # What an old Keras computed otherwise follows from its version.
            with h5py.File(path, "a") as file:
                file.attrs["keras_version"] = found.written_by
        return
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


def _without_ids(value: Json) -> Json:
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
