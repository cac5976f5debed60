"""Trains the shapes model: the small CNN of the Keras literature on pictures drawn by `service.demo.shapes`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from service.demo.shapes import KINDS, SIZE_PX, dataset
from service.imaging.encoding import encode_png
from service.imaging.plot import line_plot

TRAINING, VALIDATION, TEST = range(3)
LEARNING_RATE = 5e-4


@dataclass(frozen=True)
class Epoch:
    """One row of the history. Accuracies are fractions in [0, 1], losses mean cross-entropies in nats."""

    epoch: int
    accuracy: float
    loss: float
    val_accuracy: float
    val_loss: float


@dataclass(frozen=True)
class TrainingReport:
    """What `train` did: the epoch whose weights were kept, their accuracy on unseen pictures, and the files written."""

    best: Epoch
    test_accuracy: float
    history: tuple[Epoch, ...]
    model_path: Path
    history_path: Path
    curves_path: Path


def network() -> keras.Model:
    """The network with random weights.

    Input `image`: (n, 28, 28, 3) float32, RGB in [0, 1]. Output `dense_1`: (n, 3) float32, softmax over KINDS.
    """
    return keras.Sequential(
        [
            layers.Input((SIZE_PX, SIZE_PX, 3), name="image"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2d"),
            layers.Conv2D(32, 3, activation="relu", name="conv2d_1"),
            layers.MaxPooling2D(2, name="max_pooling2d"),
            layers.Dropout(0.25, name="dropout"),
            layers.Conv2D(64, 3, padding="same", activation="relu", name="conv2d_2"),
            layers.Conv2D(64, 3, activation="relu", name="conv2d_3"),
            layers.MaxPooling2D(2, name="max_pooling2d_1"),
            layers.Dropout(0.25, name="dropout_1"),
            layers.Conv2D(64, 3, padding="same", activation="relu", name="conv2d_4"),
            layers.Conv2D(64, 3, activation="relu", name="conv2d_5"),
            layers.MaxPooling2D(2, name="max_pooling2d_2"),
            layers.Dropout(0.25, name="dropout_2"),
            layers.Flatten(name="flatten"),
            layers.Dense(512, activation="relu", name="dense"),
            layers.Dropout(0.5, name="dropout_3"),
            layers.Dense(len(KINDS), activation="softmax", name="dense_1"),
        ],
        name="shapes",
    )


def train(
    out_dir: Path,
    *,
    seed: int = 0,
    epochs: int = 20,
    train_count: int = 9000,
    validation_count: int = 1500,
    test_count: int = 1500,
    batch_size: int = 64,
    progress: Callable[[Epoch, int], None] | None = None,
) -> TrainingReport:
    """Train with RMSprop, keep the best epoch, and write `shapes.keras`, `shapes.csv` and `curves.png` to `out_dir`.

    The best epoch has the highest validation accuracy and, among equals, the lowest validation loss. Training,
    validation and test pictures are three draws from `seed`. The saved model is not compiled and has no optimizer.
    `progress` gets each epoch's figures and the number of epochs. One seed gives one result, bit for bit, on one
    machine with one number of threads; for that TensorFlow's deterministic mode is set, for the whole process.
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    history: list[Epoch] = []
    best_weights: list[np.ndarray] = []
    model = network()

    def on_epoch_end(index: int, logs: dict[str, float]) -> None:
        epoch = Epoch(index + 1, **{field.name: float(logs[field.name]) for field in fields(Epoch)[1:]})
        history.append(epoch)
        if epoch is max(history, key=_merit):
            best_weights[:] = model.get_weights()
        if progress:
            progress(epoch, epochs)

    model.compile(keras.optimizers.RMSprop(LEARNING_RATE), loss="categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        *_examples(train_count, (seed, TRAINING)),
        batch_size=batch_size,
        epochs=epochs,
        validation_data=_examples(validation_count, (seed, VALIDATION)),
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)],
        verbose=0,
    )
    kept = network()
    kept.set_weights(best_weights)

    out_dir.mkdir(parents=True, exist_ok=True)
    report = TrainingReport(
        best=max(history, key=_merit),
        test_accuracy=accuracy(kept, *dataset(test_count, (seed, TEST))),
        history=tuple(history),
        model_path=out_dir / "shapes.keras",
        history_path=out_dir / "shapes.csv",
        curves_path=out_dir / "curves.png",
    )
    kept.save(report.model_path)
    _write_history(report.history_path, history)
    report.curves_path.write_bytes(encode_png(curves(history)))
    return report


def accuracy(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    """The fraction of `images` (n, 28, 28, 3) uint8 whose most probable class is that of `labels` (n,) int."""
    predicted = model.predict(preprocess(images), batch_size=256, verbose=0).argmax(axis=1)
    return float(np.mean(predicted == labels))


def preprocess(images: np.ndarray) -> np.ndarray:
    """The network's input for `images` (n, 28, 28, 3) uint8: the same shape, float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


def curves(history: Sequence[Epoch]) -> np.ndarray:
    """Accuracy (left) and loss (right) over the epochs as one picture: (320, 960, 3) uint8, RGB."""
    plots = []
    for title, name in (("Accuracy", "accuracy"), ("Loss", "loss")):
        series = {
            "training": [asdict(epoch)[name] for epoch in history],
            "validation": [asdict(epoch)[f"val_{name}"] for epoch in history],
        }
        plots.append(line_plot(series, title, "epoch", name))
    return np.hstack(plots)


def _merit(epoch: Epoch) -> tuple[float, float]:
    return epoch.val_accuracy, -epoch.val_loss


def _examples(count: int, seed: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = dataset(count, seed)
    return preprocess(images), np.eye(len(KINDS), dtype=np.float32)[labels]


def _write_history(path: Path, history: Sequence[Epoch]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Epoch))
        for epoch in history:
            writer.writerow([epoch.epoch, *(f"{figure:.6f}" for figure in astuple(epoch)[1:])])
