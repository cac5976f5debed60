"""What Keras itself prints, in a process of its own, where nothing of this service is imported."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from functools import cache
from typing import Any


def printed(model: Any, width: int) -> str:
    """The text of `model.summary` on a terminal of so many columns."""
    os.environ["COLUMNS"] = str(width)
    page = io.StringIO()
    with contextlib.redirect_stdout(page):
        model.summary(line_length=width)
    return page.getvalue()


@cache
def opened(file: str, generation: int) -> Any:
    if generation == 2:
        import tf_keras as keras
    else:
        import keras
    return keras, keras.models.load_model(file, compile=False)


def main() -> None:
    """Reads `[{"file", "generation", "width", "until"}]` and writes the texts."""
    found = []
    for asked in json.load(sys.stdin):
        keras, model = opened(asked["file"], asked["generation"])
        *outer, last = asked["until"] or [None]
        for name in outer:
            model = model.get_layer(name)
        if last is not None:
            name = "model" if asked["generation"] == 2 else "functional"
            model = keras.Model(model.inputs, model.get_layer(last).output, name=name)
        found.append(printed(model, asked["width"]))
    sys.__stdout__.write(json.dumps(found))


main()
