"""What all makers share: the images that are fed, the weights that are shaken, and the rows of the table.

This module knows no Keras and runs on every Python from 3.6 on. A maker stands beside it and imports it, writes its
models with its own Keras into the folder above, and says for each what it is. Running a maker again replaces its files
and its rows; the rows of other makers stay.
"""

import json
import os
import random
import sys
import traceback

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.dirname(HERE)
TABLE = os.path.join(FOLDER, "TABLE.json")
LEVELS = "levels 0..255"
UNIT = "0..1"
SIGNED = "-1..1"


def path(name):
    """Gives the path of a file of the corpus."""
    return os.path.join(FOLDER, name)


def seeded(seed=0):
    """A generator of NumPy, with Python's and NumPy's own random state fixed as well."""
    random.seed(seed)
    np.random.seed(seed)
    return np.random.RandomState(seed)


def images(shape, feeds=UNIT, seed=0, count=2):
    """Pictures of coarse blocks and single pixels, each in colours of its own, as float32 in the network's range.

    `shape` is the shape of one picture and may hold None for an open size, for which 32 is taken. The values are
    multiples of 17 among 0..255 before they are scaled, so that the file compresses.
    """
    rng = np.random.RandomState(seed + 1000)
    shape = tuple(32 if size is None else size for size in shape)
    whole = (count, *shape)
    blocks = rng.randint(-4, 5, size=tuple(-(-size // 4) if size > 8 else size for size in whole))
    for axis, size in enumerate(whole):
        if blocks.shape[axis] != size:
            blocks = np.take(np.repeat(blocks, 4, axis=axis), range(size), axis=axis)
    colours = rng.randint(3, 13, size=(count,) + (1,) * (len(shape) - 1) + (shape[-1],))
    single = np.where(rng.rand(*whole) < 0.05, rng.randint(-12, 13, size=whole), 0)
    levels = (np.clip(colours + blocks + single, 0, 15) * 17).astype("float32")
    if feeds == SIGNED:
        return (levels / np.float32(127.5) - np.float32(1)).astype("float32")
    if feeds == UNIT:
        return (levels / np.float32(255)).astype("float32")
    return levels


def shaken(name, value, rng):
    """New values for one weight, chosen by its name: no statistic and no bias stays as it was initialised."""
    if value.dtype.kind != "f":
        return value
    last = name.split("/")[-1].split(":")[0]
    if "variance" in last and "moving" in last:
        return rng.uniform(0.5, 1.5, value.shape).astype(value.dtype)
    if last.endswith(("bias", "beta")):
        return (value + rng.uniform(-0.1, 0.3, value.shape)).astype(value.dtype)
    if "moving" in last:
        return (value + rng.normal(0, 0.2, value.shape)).astype(value.dtype)
    if last.startswith(("gamma", "scale")):
        return (value + rng.normal(0, 0.2, value.shape)).astype(value.dtype)
    if last.startswith("alpha"):
        return rng.uniform(0.1, 0.5, value.shape).astype(value.dtype)
    return value


def shake(model, rng):
    """Randomises statistics, scales and biases of every layer, at any depth."""
    for layer in leaves(model):
        values = layer.get_weights()
        if not values:
            continue
        names = [getattr(weight, "path", None) or weight.name for weight in layer.weights]
        if len(names) == len(values):
            layer.set_weights([shaken(names[place], value, rng) for place, value in enumerate(values)])


def leaves(model):
    """Every layer that is no model itself, in the order of the network."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from leaves(layer)
        else:
            yield layer


def apart(outputs):
    """How far the outputs of the two pictures lie from each other, at most."""
    return max(float(np.abs(value[0] - value[1]).max()) for value in outputs)


def saturated(outputs):
    """Whether some output has only numbers near 0 or 1 for one of the pictures."""
    for value in outputs:
        flat = value.reshape(len(value), -1)
        if (flat >= 0).all() and (flat <= 1).all() and ((flat < 0.02) | (flat > 0.98)).all(axis=1).any():
            return True
    return False


def centred(values, output):
    """The weights of a last dense layer with the bias that brings its scores near 0 on average over the pictures."""
    if len(values) != 2 or output.ndim != 2 or values[1].shape != output.shape[1:]:
        return values
    score = output.astype("float64")
    if (score >= 0).all() and (score <= 1).all():
        score = np.clip(score, 1e-9, 1 - 1e-9)
        one = score.shape[1] > 1 and abs(score.sum(axis=1) - 1).max() < 1e-2
        score = np.log(score) if one else np.log(score / (1 - score))
    if len(score[0]) > 1:
        score = score - score.mean()
    wanted = np.linspace(-0.2, 0.3, len(values[1]))
    return [values[0], (values[1] - score.mean(axis=0) + wanted).astype(values[1].dtype)]


def spread(model, compute, least=0.03):
    """Scales the last kernel with two axes until the two pictures are told apart and no output is saturated."""
    ends = [layer for layer in leaves(model) if any(value.ndim == 2 for value in layer.get_weights())]
    for _ in range(40):
        outputs = compute()
        far = apart(outputs) >= least
        if not ends or (far and not saturated(outputs)):
            return
        values = centred(ends[-1].get_weights(), np.asarray(outputs[0]))
        factor = 0.8 if saturated(outputs) and far else 1.3 if not saturated(outputs) else 1
        ends[-1].set_weights([value * factor if value.ndim == 2 else value for value in values])


def numbers(stem, inputs, outputs, least=1e-3):
    """Writes STEM.npz and checks that it can show a mistake: finite, and different for the two pictures."""
    for value in outputs:
        assert np.isfinite(value).all(), f"{stem}: an output is not finite"
    assert not saturated(outputs), f"{stem}: an output is saturated"
    assert apart(outputs) > least, f"{stem}: the outputs of the two pictures differ by {apart(outputs)} only"
    named = {"x": inputs[0]} if len(inputs) == 1 else {f"x{place}": value for place, value in enumerate(inputs)}
    named.update({f"y{place}": np.asarray(value, "float32") for place, value in enumerate(outputs)})
    np.savez_compressed(path(stem + ".npz"), **named)
    return stem + ".npz"


def row(file, npz, writer, what, feeds=None, expect="right", **more):
    """Sets the row of one model in the table."""
    rows = {}
    if os.path.exists(TABLE):
        with open(TABLE, encoding="utf-8") as source:
            rows = {entry["file"]: entry for entry in json.load(source)["models"]}
    entry = {"file": file, "npz": npz, "writer": writer, "what": what, "expect": expect}
    if feeds is not None:
        entry["feeds"] = feeds
    entry.update(more)
    rows[file] = entry
    ordered = [rows[name] for name in sorted(rows)]
    with open(TABLE, "w", encoding="utf-8") as sink:
        json.dump({"models": ordered}, sink, indent=1, ensure_ascii=False)
        sink.write("\n")


def run(makes, clear):
    """Makes what the command line names, or all, and goes on where one fails; exits with 1 if any did."""
    failed = False
    for make in makes:
        if sys.argv[1:] and make.__name__ not in sys.argv[1:]:
            continue
        clear()
        try:
            make()
        except Exception:
            failed = True
            sys.stderr.write(f"FAILED {make.__name__}\n")
            traceback.print_exc()
    sys.exit(int(failed))
