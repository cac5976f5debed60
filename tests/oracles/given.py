"""What the peers are given: weights, an image, and the very masks that our perturbation methods draw.

Run as a module it writes `fixtures/given.npz`.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np

from service.explainers.perturbation import sampling
from service.explainers.perturbation.masks import ShiftedMasks
from service.explainers.perturbation.partitionshap import Group, tree_of
from service.explainers.perturbation.segments import grid_labels
from tests import nets
from tests.oracles.network import CLASSES, FIXTURES, SIDE, keras_net

GIVEN = FIXTURES / "given.npz"
SEED = 20
# The segments of the maps: 2×4 cells where all coalitions are taken, 4×4 for xplique, whose grids are square.
EIGHT, SIXTEEN = (2, 4), (4, 4)
MASKED: dict[str, dict[str, Any]] = {
    "lime": {"cells": "2,4", "samples": 200},
    "rise": {"cells": "4,4", "samples": 24},
    "sobol": {"cells": "4,4", "samples": 16 * 18},
    "hsic": {"cells": "4,4", "samples": 100},
}


def drawn() -> dict[str, np.ndarray]:
    """Weights of He's scale with biases that are not 0, and a smooth image around 0 with noise."""
    random = np.random.default_rng(SEED)
    shapes = {"first": (3, 3, 3, 8), "second": (3, 3, 8, 12), "hidden": (972, 10), "scores": (10, CLASSES)}
    found: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        deviation = np.sqrt(2 / np.prod(shape[:-1]))
        # The larger head keeps gradients well above the 1e-6 that some peers add to denominators.
        deviation *= 4 if name in ("hidden", "scores") else 1
        found[f"{name}_kernel"] = random.normal(0, deviation, shape)
        found[f"{name}_bias"] = random.normal(0, 0.2, shape[-1])
    rows, columns = np.indices((SIDE, SIDE)) / SIDE
    waves = [np.sin(6 * rows + 2 * columns), np.cos(7 * columns - rows), np.sin(9 * rows * columns)]
    found["image"] = (np.stack(waves, axis=-1) + random.normal(0, 0.4, (SIDE, SIDE, 3)))[None]
    return {name: values.astype(np.float32) for name, values in found.items()}


def design_of(model: Any, image: np.ndarray, target: int, method: str) -> sampling.Design:
    """The design that a call of ours draws."""
    kept: list[sampling.Design] = []
    compute = sampling._sampled

    def recording(subject: Any, params: Any, design: sampling.Design, scale: Any) -> Any:
        kept.append(design)
        return compute(subject, params, design, scale)

    with patch.object(sampling, "_sampled", recording):
        nets.explain(model, "perturbation", image, method=method, target=str(target), value="zero", **MASKED[method])
    return kept[0]


def linkage_of(group: Group, count: int) -> np.ndarray:
    """Our tree as SciPy writes one: a row a merge, (left, right, distance, size), the whole last."""
    rows: list[list[float]] = []

    def number(each: Group) -> int:
        if each.halves is None:
            return each.segments[0]
        left, right = (number(half) for half in each.halves)
        rows.append([left, right, len(rows) + 1, len(each.segments)])
        return count + len(rows) - 1

    number(group)
    return np.array(rows, np.float64)


def given() -> dict[str, np.ndarray]:
    """All of it, under the names that the peers' scripts read."""
    found = drawn()
    model = nets.loaded(keras_net(found))
    scores = np.asarray(keras_net(found, head=None)(found["image"]))[0]
    target = int(scores.argmax())
    # In the map of the fourth class Score-CAM's softmax gives several channels a part, in that of the top one only one.
    found |= {"logits": scores, "target": np.array(target), "spread": np.array(3)}
    labels = grid_labels((SIDE, SIDE), EIGHT)
    found |= {"labels": labels, "linkage": linkage_of(tree_of(labels), EIGHT[0] * EIGHT[1])}
    for method in MASKED:
        masks = design_of(model, found["image"], target, method).masks
        found[f"{method}_masks"] = painted(masks) if isinstance(masks, ShiftedMasks) else masks.values
    return found


def painted(masks: ShiftedMasks) -> np.ndarray:
    """(n, h, w): the masks as they cover the image."""
    down, grids, across = masks.arrays(slice(None))
    return np.asarray(np.asarray(down) @ np.asarray(grids) @ np.asarray(across), np.float32)


if __name__ == "__main__":
    FIXTURES.mkdir(exist_ok=True)
    np.savez_compressed(GIVEN, **given())
