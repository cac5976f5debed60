"""The network of the oracles in Keras; its weights and its image stand in `fixtures/given.npz`.

Only Keras and NumPy are imported, as the peers' environment reads this file too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

FIXTURES = Path(__file__).parent / "fixtures"
SIDE, CLASSES = 24, 5
CAM_LAYER = "second"


def keras_net(weights: Mapping[str, np.ndarray], *, hidden: str = "relu", head: str | None = "softmax") -> Any:
    """Two 3×3 convolutions, the first pooled, and two Dense layers; `head` None gives logits.

    With `hidden` tanh the score is curved behind the last convolution, which has a Hessian then.
    """
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3), name="image"),
            layers.Conv2D(8, 3, activation="relu", name="first"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(12, 3, activation="relu", name=CAM_LAYER),
            layers.Flatten(name="flatten"),
            layers.Dense(10, activation=hidden, name="hidden"),
            layers.Dense(CLASSES, activation=head, name="scores"),
        ],
        name=f"oracle_{hidden}",
    )
    for name in ("first", CAM_LAYER, "hidden", "scores"):
        model.get_layer(name).set_weights([weights[f"{name}_kernel"], weights[f"{name}_bias"]])
    return model
