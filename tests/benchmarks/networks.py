"""The four networks that are measured, and small ones that stand in for them where time does not matter.

Each is built once and saved as one `.keras` file, which the service, the bare arithmetic and the peers all read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from service.models.files.efficientnet_lite0 import convert, find_checkpoint
from service.models.files.sources import RANDOM_WEIGHTS_SEED
from service.models.files.spec import InputSpec, Preprocessing
from service.models.graph.preprocess import InputShape, NetworkInput, prepare

CAFFE = Preprocessing(mode="caffe")
TF = Preprocessing(mode="tf")
LITE = Preprocessing(mode="mean_std", mean=(127.0,) * 3, std=(128.0,) * 3)


@dataclass(frozen=True)
class Network:
    """One network: `cam_layer` is the service's default, `patch` and `stride` px of occlusion windows.

    `tapped` are the layers whose feature maps are asked for at a time, `filters` two convolutions to maximize.
    """

    id: str
    title: str
    build: Callable[[], Any]
    preprocessing: Preprocessing
    cam_layer: str
    size: int
    patch: int
    tapped: tuple[tuple[str, ...], ...] = ()
    filters: tuple[str, ...] = ()

    def save(self, folder: Path) -> None:
        """Writes the file and its spec into a model folder, under random weights from the service's seed."""
        home = folder / self.id
        home.mkdir(parents=True)
        keras.utils.set_random_seed(RANDOM_WEIGHTS_SEED)
        self.build().save(home / "model.keras")
        mode = self.preprocessing
        lines = [f'id = "{self.id}"', 'source = "file"', 'weights = "model.keras"', 'head = "softmax"']
        lines += ["", "[preprocessing]", f'mode = "{mode.mode}"']
        lines += [f"{name} = {list(getattr(mode, name))}" for name in ("mean", "std") if getattr(mode, name)]
        (home / "model.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> Any:
        """The Keras model of the file that `save` wrote."""
        return keras.models.load_model(folder / self.id / "model.keras", compile=False)

    def prepared(self, pixels: NDArray[np.uint8]) -> NetworkInput:
        """A photograph (H, W, 3) as the service would feed it."""
        return prepare(pixels, InputShape(self.size, self.size, 3), InputSpec(), self.preprocessing)


VGG_FIRST = ("block1_conv1", "block1_conv2", "block1_pool", "block2_conv1", "block2_conv2", "block2_pool") + (
    "block3_conv1",
    "block3_conv2",
)
VGG_SPREAD = ("block1_pool", "block2_pool", "block3_conv3", "block3_pool", "block4_conv3", "block4_pool") + (
    "block5_conv3",
    "block5_pool",
)
FULL = (
    Network(
        "vgg16",
        "VGG16",
        lambda: keras.applications.VGG16(weights=None),
        CAFFE,
        "block5_conv3",
        224,
        14,
        (VGG_FIRST, VGG_SPREAD),
        ("block3_conv1", "block3_conv2"),
    ),
    Network(
        "resnet50",
        "ResNet50",
        lambda: keras.applications.ResNet50(weights=None),
        CAFFE,
        "conv5_block3_out",
        224,
        16,
    ),
    Network(
        "mobilenetv2", "MobileNetV2", lambda: keras.applications.MobileNetV2(weights=None), TF, "out_relu", 224, 16
    ),
    Network(
        "efficientnet-lite0", "EfficientNet-Lite0", lambda: convert(find_checkpoint()), LITE, "top_activation", 224, 16
    ),
)


def _chain() -> Any:
    """Convolutions and pooling one after another, and dense layers, as VGG."""
    values = keras.Input((32, 32, 3))
    image = values
    for block, channels in enumerate((8, 12, 16), start=1):
        values = layers.Conv2D(channels, 3, padding="same", activation="relu", name=f"block{block}_conv")(values)
        values = layers.MaxPooling2D(name=f"block{block}_pool")(values)
    values = layers.Dense(24, activation="relu", name="fc")(layers.Flatten(name="flatten")(values))
    return keras.Model(image, layers.Dense(10, activation="softmax", name="predictions")(values))


def _residual() -> Any:
    """Two blocks with BatchNormalization that are added to their input, as ResNet."""
    image = keras.Input((32, 32, 3))
    values = layers.Conv2D(12, 3, strides=2, padding="same", name="stem")(image)
    for block in (1, 2):
        inner = layers.Conv2D(12, 3, padding="same", name=f"conv{block}")(values)
        inner = layers.BatchNormalization(name=f"norm{block}")(inner)
        values = layers.ReLU(name=f"out{block}")(layers.Add(name=f"add{block}")([values, inner]))
    return _pooled(image, values)


def _separable() -> Any:
    """Depthwise convolutions with ReLU6, as MobileNet and EfficientNet-Lite."""
    image = keras.Input((32, 32, 3))
    values = layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(image)
    for block in (1, 2):
        values = layers.DepthwiseConv2D(3, padding="same", name=f"depthwise{block}")(values)
        values = layers.BatchNormalization(name=f"norm{block}")(values)
        values = layers.Conv2D(16, 1, name=f"pointwise{block}")(values)
        values = layers.ReLU(6.0, name=f"out{block}")(values)
    return _pooled(image, values)


def _pooled(image: Any, values: Any) -> Any:
    values = layers.GlobalAveragePooling2D(name="pool")(values)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="predictions")(values))


_TAPPED = tuple(f"block{block}_{kind}" for block in (1, 2, 3) for kind in ("conv", "pool"))
SMALL = (
    Network(
        "vgg16", "a chain", _chain, CAFFE, "block3_conv", 32, 4, (_TAPPED[:4], _TAPPED), ("block2_conv", "block3_conv")
    ),
    Network("resnet50", "a residual network", _residual, CAFFE, "out2", 32, 4),
    Network("mobilenetv2", "a separable network", _separable, TF, "out2", 32, 4),
    Network("efficientnet-lite0", "another one", _separable, LITE, "out2", 32, 4),
)
