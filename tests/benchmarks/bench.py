"""Measures the running service against the bare arithmetic of the same answers: `make bench`.

Each row is one method on one photograph over HTTP, one caller, JSON with its pictures, warm, against a compiled
TensorFlow function of the same forward and backward passes in this process. Both are measured in turns in one run;
the ratio of medians is what counts, since times depend on the machine and on what else it does.
"""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
sys.path.insert(0, str(Path(__file__).parent.parent))

import keras
import numpy as np
import tensorflow as tf
from conftest import ROOT, start_service

MODEL = "efficientnet-lite0"
LAYER = "top_activation"
PICTURE = ROOT / "openapi_examples" / "cat.png"
RESULTS = Path(__file__).parent / "RESULTS.md"


def median_ms(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Medians of calls made in turns, after two rounds that do not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(rounds + 2):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if round_ >= 2:
                times[name].append((time.perf_counter() - started) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def bare_functions(model: keras.Model) -> dict[str, Callable[[], object]]:
    """Compiled once: a forward pass, Grad-CAM's passes, the gradient of the input."""
    logits = keras.Model(model.inputs, [model.get_layer(LAYER).output, model.get_layer("top_dropout").output])
    kernel, bias = model.get_layer("predictions").weights
    image = tf.random.uniform((1, 224, 224, 3), -1, 1)

    @tf.function(autograph=False)
    def forward(x: tf.Tensor) -> tf.Tensor:
        return model(x, training=False)

    @tf.function(autograph=False)
    def gradcam(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            maps, _ = logits(x, training=False)
            tape.watch(maps)
            scores = tf.reduce_mean(maps, axis=(1, 2)) @ kernel + bias
            best = tf.reduce_max(scores, axis=1)
        weights = tf.reduce_mean(tape.gradient(best, maps), axis=(1, 2))
        return tf.nn.relu(tf.einsum("bhwk,bk->bhw", maps, weights))

    @tf.function(autograph=False)
    def saliency(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            _, pooled = logits(x, training=False)
            best = tf.reduce_max(pooled @ kernel + bias, axis=1)
        return tape.gradient(best, x)

    return {
        "predict": lambda: forward(image).numpy(),
        "cam": lambda: gradcam(image).numpy(),
        "saliency": lambda: saliency(image).numpy(),
    }


def main(rounds: int) -> None:
    """Prints the table and writes it to RESULTS.md."""
    with tempfile.TemporaryDirectory() as folder:
        service = start_service(Path(folder), preload=MODEL)
        try:
            model = keras.models.load_model(next(Path(folder).glob("data/cache/*.keras")), compile=False)
            image = PICTURE.read_bytes()

            def ask(method: str) -> Callable[[], object]:
                return lambda: service.client.post(
                    f"/v1/models/{MODEL}/{method}", content=image, headers={"Content-Type": "image/png"}
                ).raise_for_status()

            bare = bare_functions(model)
            calls = {f"{name} over HTTP": ask(name) for name in bare} | {
                f"{name} bare": call for name, call in bare.items()
            }
            found = median_ms(calls, rounds)
        finally:
            service.stop()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    versions = f"TensorFlow {version('tensorflow')}, Keras {version('keras')}, Python {platform.python_version()}"
    lines = [
        "# Measured",
        "",
        f"`make bench` on {datetime.date.today():%d %B %Y}: {machine}; {versions}; {rounds} rounds; {MODEL}, "
        f"{np.asarray(tf.io.decode_png(image)).shape[1]}×{np.asarray(tf.io.decode_png(image)).shape[0]} px photograph.",
        "",
        "| answer | over HTTP, p50 | bare arithmetic, p50 | ratio |",
        "|---|---|---|---|",
    ]
    for name in bare:
        http, plain = found[f"{name} over HTTP"], found[f"{name} bare"]
        lines.append(f"| {name} | {http:.0f} ms | {plain:.0f} ms | {http / plain:.2f} |")
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
