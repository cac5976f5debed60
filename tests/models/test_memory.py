"""Too little memory while a model is loaded is nobody's fault, and is not said of its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from service.errors import ModelNotLoadable, OutOfMemory
from service.models.files import sources
from service.models.files.entries import spec_of_file
from service.models.files.library import CATALOGUE
from service.models.loaded import load_model


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (MemoryError(), OutOfMemory),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"), OutOfMemory),
        (ValueError("damaged"), ModelNotLoadable),
    ],
)
def test_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception]) -> None:
    def fails(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(sources, "open_contents", fails)
    with pytest.raises(expected) as caught:
        load_model(spec_of_file(CATALOGUE / "shapes" / "shapes.keras"), tmp_path)
    assert getattr(caught.value, "retry_after_s", None) == (5 if expected is OutOfMemory else None)
