"""Kinds of files that neither Keras opens by itself as it is, each built here by the Keras that wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import nets
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from service.ingest.trusted import Trust, require_allowed
from service.models.files.entries import spec_of_file
from service.models.loaded import LoadedModel, load_model

BOTH = [pytest.param(keras, id="keras 3"), pytest.param(tf_keras, id="keras 2")]


def opened(path: Path) -> LoadedModel:
    spec = spec_of_file(path)
    require_allowed(spec, Trust.NO_CODE, ())
    return load_model(spec, path.parent)


def same(model: Any, path: Path, image: np.ndarray) -> None:
    """What is loaded from the file computes what the model does, to the last bits."""
    model.save(path)
    graph = opened(path).graph
    run = tf.function(lambda value: graph.run({graph.inputs[0]: value}, graph.outputs), autograph=False)
    found = [np.asarray(value) for value in run(tf.constant(image))]
    wanted = [np.asarray(value) for value in tf.nest.flatten(model(image, training=False))]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("module", BOTH)
class TestOfEitherKeras:
    def test_layers_of_applications_that_are_not_exported(self, module: Any, ending: str, tmp_path: Path) -> None:
        """ConvNeXt's LayerScale: its own Keras 2 does not load it, and Keras 3 not from HDF5."""
        if module is keras:
            from keras.src.applications.convnext import LayerScale
        else:
            from tf_keras.src.applications.convnext import LayerScale
        x = module.Input((6, 6, 3))
        y = LayerScale(0.3, 3, name="scale")(module.layers.Dense(3)(x))
        model = module.Model(x, module.layers.GlobalAveragePooling2D()(y))
        same(model, tmp_path / f"net.{ending}", np.random.default_rng(0).random((2, 6, 6, 3), np.float32))

    def test_open_sizes_inside_and_outside(self, module: Any, ending: str, tmp_path: Path) -> None:
        """A backbone of open size under a head of fixed size; and a U-Net of open size itself."""
        layers = module.layers
        inside = module.Input((None, None, 3))
        down = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(inside)
        up = layers.Conv2DTranspose(3, 2, strides=2)(layers.BatchNormalization()(down))
        net = module.Model(inside, layers.Concatenate()([inside, up]), name="unet")
        outside = module.Input((16, 12, 3))
        head = module.Model(outside, layers.Dense(2)(layers.GlobalMaxPooling2D()(net(outside))))
        random = np.random.default_rng(0)
        same(net, tmp_path / f"unet.{ending}", random.random((1, 20, 28, 3), np.float32))
        same(head, tmp_path / f"head.{ending}", random.random((1, 16, 12, 3), np.float32))
        graph = opened(tmp_path / f"head.{ending}").graph
        assert graph.entry("unet").output.shape == (None, 16, 12, 6)

    def test_a_normalisation_nested_twice(self, module: Any, ending: str, tmp_path: Path) -> None:
        """keras-team/keras#20147: of HDF5, Keras 3 finishes loading the outermost layers alone."""
        x = module.Input((4, 4, 3))
        normalisation = module.layers.Normalization(axis=-1)
        normalisation.adapt(np.random.default_rng(0).normal(100, 40, (8, 4, 4, 3)).astype(np.float32))
        inner = module.Model(x, module.layers.Conv2D(4, 3)(normalisation(x)), name="inner")
        middle = module.Sequential([inner, module.layers.GlobalAveragePooling2D()], name="middle")
        model = module.Sequential([module.Input((4, 4, 3)), middle, module.layers.Dense(2)])
        image = np.random.default_rng(1).integers(0, 256, (2, 4, 4, 3)).astype(np.float32)
        same(model, tmp_path / f"net.{ending}", image)

    def test_dropout_that_was_left_on_is_off(self, module: Any, ending: str, tmp_path: Path) -> None:
        """Called with `training=True` it would answer another thing each time."""
        x = module.Input((4, 4, 3))
        y = module.layers.Dropout(0.5, name="dropped")(module.layers.Flatten()(x), training=True)
        module.Model(x, module.layers.Dense(2, kernel_initializer="ones")(y)).save(tmp_path / f"net.{ending}")
        model = opened(tmp_path / f"net.{ending}")
        found = nets.explain(model, "activations", np.ones((1, 4, 4, 3), np.float32), layers="dropped").arrays
        assert next(iter(found.values())).ravel().tolist() == [1.0] * 48


def test_operations_in_hdf5_of_keras_3(tmp_path: Path) -> None:
    """HDF5 names them without a module, and an `Add` of tensors as the layer of that name: Keras itself fails."""
    x = keras.Input((4, 4, 3))
    y = keras.ops.add(keras.layers.Add()([x, x]), keras.ops.mean(x[..., ::-1], axis=-1, keepdims=True)) / 2.0
    same(keras.Model(x, y), tmp_path / "net.h5", np.random.default_rng(0).random((2, 4, 4, 3), np.float32))
    with pytest.raises(Exception, match="Unknown layer|Could not locate"):
        keras.models.load_model(tmp_path / "net.h5")
