"""Model files that people keep, with the outputs that the Keras gave that wrote them; and how the service is asked."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.conftest import DATA

OWN = Path(__file__).parent / "kept"
LEGACY = DATA / "legacy"
# Loaded and described; no method explains them yet.
NO_PICTURE = ("k_conv3d", "k_convlstm", "k_siamese", "k_imgmeta")
NPY = {"Content-Type": "application/x-npy"}
# What half precision may differ by where another program rounds otherwise: a few units in the last place.
HALF = {"bfloat16": 4e-3, "float16": 1e-3}
ROUNDING = 3e-5


@dataclass(frozen=True)
class Kept:
    """One model: its file or folder, the arrays that belong to it, and what its makers say of it."""

    path: Path
    arrays: Path | None
    about: dict[str, Any]

    @property
    def id(self) -> str:
        """Gives the ID by which the service knows it."""
        stem = self.path.name if self.path.is_dir() else self.path.stem
        return stem.lower().replace(" ", "-")

    @property
    def inputs(self) -> list[np.ndarray]:
        """The batches, in the order of `inputs` where the makers say one."""
        return self._named("x")

    @property
    def outputs(self) -> list[np.ndarray]:
        return self._named("y")

    def _named(self, letter: str) -> list[np.ndarray]:
        if self.arrays is None:
            return []
        with np.load(self.arrays) as found:
            return [found[name] for name in sorted(found) if name.startswith(letter)]

    @property
    def tolerance(self) -> float:
        said = f"{self.about.get('what', '')} {self.path.name}"
        return next(
            (value for name, value in HALF.items() if name in said), HALF["float16"] if "half" in said else ROUNDING
        )


def legacy() -> list[Kept]:
    """Every model of `data/legacy`; none where the data are not there."""
    if not LEGACY.is_dir():
        return []
    paths = [path for path in sorted(LEGACY.iterdir()) if path.suffix != ".npz"]
    found = []
    for path in paths:
        stem = path.name if path.is_dir() else path.stem
        arrays = [LEGACY / f"{name}.npz" for name in (stem, stem.removesuffix("_k"))]
        expect = "refused" if stem == "k_lambda" else "described" if stem in NO_PICTURE else "right"
        half = "float16" if "mixed" in stem else ""
        found.append(
            Kept(path, next((file for file in arrays if file.is_file()), None), {"expect": expect, "what": half})
        )
    return found


def own() -> list[Kept]:
    """Every model of `tests/models/kept`, as TABLE.json tells of it."""
    rows = json.loads((OWN / "TABLE.json").read_text(encoding="utf-8"))["models"]
    return [Kept(OWN / row["file"], OWN / row["npz"], row) for row in rows]


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def answered(client: httpx.Client, model: str, image: np.ndarray, described: dict[str, Any], place: int) -> np.ndarray:
    """Output `place` of a model for one image, fed as it is: of predict, or the values of the output's own layer."""
    output = described["outputs"][place]
    if output["classes"]:
        query = {"preprocess": "false", "top": str(output["classes"]), "output": output["name"]}
        answer = client.post(f"/v1/models/{model}/predict", params=query, content=npy(image), headers=NPY)
        if answer.status_code != 200:
            raise AssertionError(answer.text)
        rows = sorted(answer.json()["predictions"], key=lambda row: row["class_index"])
        own = "score" if output["kind"] in ("logits", "values") else "probability"
        values = [row[own] for row in rows]
        return np.array(values[-1:] if output["classes"] == 2 and np.prod(output["shape"]) == 1 else values)
    query = {"preprocess": "false", "layers": output["layer"], "format": "npy"}
    answer = client.post(f"/v1/models/{model}/activations", params=query, content=npy(image), headers=NPY)
    if answer.status_code != 200:
        raise AssertionError(answer.text)
    return np.load(io.BytesIO(answer.content))
