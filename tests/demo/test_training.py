"""The shipped shapes model is good and small; training keeps the best epoch and depends on the seed alone."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest

from service.demo import shapes, training

SHIPPED = Path(training.__file__).parents[1] / "models" / "catalogue" / "shapes"
UNSEEN_SEED = 20_260_101

# TensorFlow's deterministic mode cannot be taken back, so the tiny runs have a process of their own.
TINY_RUNS = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from service.demo.training import train
out, told = Path(sys.argv[1]), []
sizes = {"epochs": 3, "train_count": 48, "validation_count": 15, "test_count": 15, "batch_size": 16}
report = train(out / "first", seed=1, progress=lambda epoch, of: told.append([epoch.epoch, of]), **sizes)
train(out / "same", seed=1, **sizes)
train(out / "other", seed=2, **sizes)
print(json.dumps({"best": asdict(report.best), "test_accuracy": report.test_accuracy, "told": told}))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("runs")
    done = subprocess.run(
        [sys.executable, "-c", TINY_RUNS, str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.fixture(scope="module")
def shipped() -> Any:
    return keras.saving.load_model(SHIPPED / "shapes.keras")


def weights(path: Path) -> list[np.ndarray]:
    return keras.saving.load_model(path).get_weights()


def history(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_network_is_that_of_the_literature() -> None:
    model = training.network()
    assert model.input_shape == (None, 28, 28, 3)
    assert [(layer.name, *layer.output.shape[1:]) for layer in model.layers] == [
        ("conv2d", 28, 28, 32),
        ("conv2d_1", 26, 26, 32),
        ("max_pooling2d", 13, 13, 32),
        ("dropout", 13, 13, 32),
        ("conv2d_2", 13, 13, 64),
        ("conv2d_3", 11, 11, 64),
        ("max_pooling2d_1", 5, 5, 64),
        ("dropout_1", 5, 5, 64),
        ("conv2d_4", 5, 5, 64),
        ("conv2d_5", 3, 3, 64),
        ("max_pooling2d_2", 1, 1, 64),
        ("dropout_2", 1, 1, 64),
        ("flatten", 64),
        ("dense", 512),
        ("dropout_3", 512),
        ("dense_1", 3),
    ]
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.25, 0.25, 0.25, 0.5]
    assert model.count_params() == 174_243


def test_shipped_model_knows_pictures_it_has_not_seen(shipped: Any) -> None:
    images, labels = shapes.dataset(600, UNSEEN_SEED)
    assert training.accuracy(shipped, images, labels) >= 0.98
    for label in range(3):
        assert training.accuracy(shipped, images[labels == label], labels[labels == label]) >= 0.95


def test_shipped_model_is_small_and_has_no_optimizer(shipped: Any) -> None:
    assert (SHIPPED / "shapes.keras").stat().st_size < 1_000_000
    assert {weight.dtype for weight in shipped.weights} == {"float32"}
    assert [layer.get_config() for layer in shipped.layers] == [
        layer.get_config() for layer in training.network().layers
    ]
    with zipfile.ZipFile(SHIPPED / "shapes.keras") as archive:
        assert not json.loads(archive.read("config.json"))["compile_config"]
        assert b"optimizer" not in archive.read("model.weights.h5")


def test_shipped_history_ends_well() -> None:
    rows = history(SHIPPED / "shapes.csv")
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert max(row["val_accuracy"] for row in rows) >= 0.98
    assert rows[-1]["loss"] < rows[0]["loss"] / 5


def test_a_run_writes_its_files_and_tells_each_epoch(runs: tuple[Path, dict[str, Any]]) -> None:
    folder, told = runs
    assert {path.name for path in (folder / "first").iterdir()} == {"shapes.keras", "shapes.csv", "curves.png"}
    assert told["told"] == [[1, 3], [2, 3], [3, 3]]
    rows = (folder / "first" / "shapes.csv").read_text().splitlines()
    assert rows[0] == "epoch,accuracy,loss,val_accuracy,val_loss"
    assert len(rows) == 4
    assert cv2.imread(str(folder / "first" / "curves.png")).shape == (320, 960, 3)


def test_the_best_epoch_is_kept(runs: tuple[Path, dict[str, Any]]) -> None:
    folder, told = runs
    best = max(history(folder / "first" / "shapes.csv"), key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert told["best"] == pytest.approx(best, abs=1e-6)

    kept = keras.saving.load_model(folder / "first" / "shapes.keras")
    images, labels = shapes.dataset(15, (1, training.VALIDATION))
    probabilities = np.asarray(kept(training.preprocess(images)))
    assert -np.log(probabilities[np.arange(15), labels]).mean() == pytest.approx(best["val_loss"], abs=1e-5)
    test_images, test_labels = shapes.dataset(15, (1, training.TEST))
    assert training.accuracy(kept, test_images, test_labels) == told["test_accuracy"]


def test_one_seed_gives_the_same_weights_and_another_gives_others(runs: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = runs
    first, same, other = (weights(folder / name / "shapes.keras") for name in ("first", "same", "other"))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert (folder / "first" / "shapes.csv").read_bytes() == (folder / "same" / "shapes.csv").read_bytes()


def test_curves_are_two_plots_side_by_side() -> None:
    epochs = [training.Epoch(number, 0.5 + number / 10, 1 / number, 0.5, 1.0) for number in (1, 2, 3)]
    picture = training.curves(epochs)
    assert picture.shape == (320, 960, 3)
    assert picture.dtype == np.uint8
    assert (picture[:, :480] != picture[:, 480:]).any()
