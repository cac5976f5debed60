"""Hostile and honest model files, made here: no binary lies in the repository."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from service.ingest.limits import IngestLimits

LIMITS = IngestLimits(
    max_file_bytes=64 * 2**20, max_parameters=20_000_000, memory_bytes=4 * 2**30, timeout_s=120,
    max_tensor_bytes=256 * 2**20,
)  # fmt: skip


def dense(name: str = "dense", units: int = 3, **config: Any) -> dict[str, Any]:
    """A Dense layer as Keras 3 writes it."""
    return {
        "module": "keras.layers", "class_name": "Dense", "registered_name": None,
        "config": {"name": name, "units": units, "activation": "linear", **config},
    }  # fmt: skip


def tensor(layer: str, shape: list[int | None] | None = None) -> dict[str, Any]:
    config = {"shape": shape or [None, 4], "dtype": "float32", "keras_history": [layer, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


def source(name: str = "image", shape: list[int | None] | None = None) -> dict[str, Any]:
    config = {"batch_shape": shape or [None, 4], "dtype": "float32", "name": name}
    entry = {"module": "keras.layers", "class_name": "InputLayer", "registered_name": None, "config": config}
    return {**entry, "name": name, "inbound_nodes": []}


def functional(*layers: dict[str, Any], output: str | None = None) -> dict[str, Any]:
    """An input and layers one after another; a layer may bring its own `inbound_nodes`."""
    placed, last = [source()], "image"
    for layer in layers:
        name = layer["config"]["name"]
        node = {"args": [tensor(last)], "kwargs": {}}
        placed.append({"name": name, "inbound_nodes": [node], **copy.deepcopy(layer)})
        last = name
    config = {
        "name": "model", "trainable": True, "layers": placed,
        "input_layers": [["image", 0, 0]], "output_layers": [[output or last, 0, 0]],
    }  # fmt: skip
    return {
        "module": "keras.src.models.functional", "class_name": "Functional", "config": config,
        "registered_name": "Functional",
    }  # fmt: skip


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    first = {key: value for key, value in source().items() if key not in ("name", "inbound_nodes")}
    config = {"name": "model", "trainable": True, "layers": [first, *layers]}
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": "Sequential"}


def archive(config: Any, weights: bytes = b"", **members: bytes) -> bytes:
    """A `.keras` file; `config` is JSON already, or becomes it."""
    buffer = io.BytesIO()
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in {
            "config.json": text, "metadata.json": b"{}", "model.weights.h5": weights or hdf5(), **members,
        }.items():  # fmt: skip
            file.writestr(name, data)
    return buffer.getvalue()


def hdf5(**arrays: Any) -> bytes:
    """An HDF5 file with these arrays at its root, `a` where none is named."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, values in (arrays or {"a": np.zeros(3, np.float32)}).items():
            file[name] = values
    return buffer.getvalue()


def legacy(config: Any) -> bytes:
    """An HDF5 model of Keras 2 with that config."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.create_group("model_weights").attrs["layer_names"] = np.array([], "S1")
    return buffer.getvalue()


def with_lambda() -> keras.Model:
    """A network with code in it."""
    x = keras.Input((8, 8, 3))
    y = keras.layers.Lambda(lambda value: value + 1, output_shape=(8, 8, 3), name="odd")(x)
    return keras.Model(x, keras.layers.Dense(2)(keras.layers.Flatten()(y)))


def put(folder: Path, data: bytes, name: str | None = None) -> Path:
    """Puts an upload into its folder as the service does."""
    kind = name or ("upload.keras" if data.startswith(b"PK") else "upload.h5")
    path = folder / kind
    path.write_bytes(data)
    return path
