"""What xplique gives as metrics of the maps of `fixtures/metrics_torch.npz`.

It runs in the environment of `tensorflow.txt`, after `metrics_of_torch.py`, and writes
`fixtures/metrics_tensorflow.npz`, with what was asked and the formula of each value in a file `.json` beside it.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import of_tensorflow  # Sets the environment of TensorFlow before it is imported.
import tensorflow as tf
from xplique import metrics

HERE = Path(__file__).parent
VERSIONS = ("tensorflow", "keras", "xplique")
STEPS, CELLS, SHARE, DRAWS = 12, 8, 0.2, 100
MAPS = ("largest", "product")


def curves(asked: of_tensorflow.Asked, maps: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The points and the area of deletion and insertion, of logits and of probabilities."""
    found: dict[str, np.ndarray] = {}
    notes: dict[str, str] = {}
    for kind in (metrics.Deletion, metrics.Insertion):
        for form, activation in (("logit", None), ("probability", "softmax")):
            for name in MAPS:
                metric = kind(asked.model, asked.image, asked.one_hot, steps=STEPS, activation=activation)
                points = metric.detailed_evaluate(maps[name][None])
                key = f"{kind.__name__.lower()}_{name}_{form}"
                found[f"{key}_points"] = np.array(list(points.values()))
                found[f"{key}_pixels"] = np.array(list(points))
                found[key] = np.array(metric.evaluate(maps[name][None]))
                whole = "the image with the k largest pixels of the map at 0"
                if kind is metrics.Insertion:
                    whole = "an image of 0 with the k largest pixels of the map as they are"
                notes[key] = (
                    f"xplique.metrics.{kind.__name__}(steps={STEPS}, baseline_mode=0.0, activation={activation!r}): "
                    f"the area under the {form} of {whole} by the trapezoidal rule, from 0 to 1. `_pixels` are k of "
                    "the points, int(576·i/12) for i from 0 to 12, and `_points` their values. Equal values of the map "
                    "go in the reverse of an unstable order."
                )
    return found, notes


def correlation(
    asked: of_tensorflow.Asked, maps: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """µFidelity, with the masks that it drew."""
    found: dict[str, np.ndarray] = {}
    for name in MAPS:
        metric = metrics.MuFidelity(
            asked.model,
            asked.image,
            asked.one_hot,
            batch_size=DRAWS,
            grid_size=CELLS,
            subset_percent=SHARE,
            nb_samples=DRAWS,
        )
        seen: list[np.ndarray] = []
        perturb = metric._perturb_samples

        def recording(*args: object, seen: list[np.ndarray] = seen, perturb: object = perturb) -> object:
            degraded, masks = perturb(*args)  # type: ignore[operator]
            seen.append(np.asarray(masks)[0, :, :: 24 // CELLS, :: 24 // CELLS, 0])
            return degraded, masks

        metric._perturb_samples = recording
        found[f"mu_fidelity_{name}"] = np.array(metric.evaluate(maps[name][None]))
        found[f"mu_fidelity_{name}_kept"] = np.concatenate(seen).astype(bool)
    note = (
        f"xplique.metrics.MuFidelity(grid_size={CELLS}, subset_percent={SHARE}, baseline_mode=0.0, nb_samples={DRAWS}),"
        " of logits: Spearman's correlation, over the draws, of y(x) - y(x without the cells) and the sum of the map "
        "over the pixels of these cells; 0 where it is not a number. `_kept` (n, 8, 8) says which cells stayed: each "
        "goes by itself with a chance of 0.2, so that their number differs from draw to draw, whatever its text says."
    )
    return found, {f"mu_fidelity_{name}": note for name in MAPS}


def concentration(maps: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    found = {f"complexity_{name}": np.array(metrics.Complexity().evaluate(maps[name][None])) for name in MAPS}
    found |= {f"sparseness_{name}": np.array(metrics.Sparseness().evaluate(maps[name][None])) for name in MAPS}
    entropy = "xplique.metrics.Complexity(): -Σ p·ln(p + 1e-8), p = |a| / (Σ|a| + 1e-8)."
    gini = "xplique.metrics.Sparseness(): 2·Σ i·p_i / (n·Σ p + 1e-8) - (n + 1) / n of the sorted p = |a| / Σ|a|."
    return found, {name: entropy if name.startswith("complexity") else gini for name in found}


def main() -> None:
    tf.keras.utils.set_random_seed(0)
    with np.load(HERE / "fixtures" / "given.npz") as file:
        asked = of_tensorflow.Asked(dict(file))
    with np.load(HERE / "fixtures" / "metrics_torch.npz") as file:
        maps = {name: file[f"map_{name}"] for name in MAPS}
    arrays: dict[str, np.ndarray] = {}
    notes: dict[str, str] = {}
    for values, says in (curves(asked, maps), correlation(asked, maps), concentration(maps)):
        arrays |= values
        notes |= says
    kept = {name: values.astype(np.float32) if values.dtype.kind == "f" else values for name, values in arrays.items()}
    np.savez_compressed(HERE / "fixtures" / "metrics_tensorflow.npz", **kept)
    found = {"versions": {name: version(name) for name in VERSIONS}, "notes": notes}
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (HERE / "fixtures" / "metrics_tensorflow.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
