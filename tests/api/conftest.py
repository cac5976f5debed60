"""Services that several files of this folder use."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from tests.conftest import Service, start_service

KEY = "correct horse battery staple"
MAX_BODY_BYTES = 64 * 1024
MAX_RESPONSE_BYTES = 2048


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with an API key and small limits."""
    running = start_service(
        tmp_path_factory.mktemp("guarded"),
        api_keys=f"sha256:{sha256(KEY.encode()).hexdigest()}",
        max_body_bytes=str(MAX_BODY_BYTES),
        max_response_bytes=str(MAX_RESPONSE_BYTES),
        max_pixels="10000",
        preload="shapes",
    )
    yield running
    running.stop()


@pytest.fixture(scope="session")
def pencils(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with the networks of `tests.nets`, whose answers are worked out on paper."""
    from tests import nets

    folder = tmp_path_factory.mktemp("nets")
    models: dict[str, Any] = {
        "pencil": nets.pencil(),
        "relu": nets.pencil("relu"),
        "flat": nets.pencil_flat(),
        "swish": nets.with_activation("swish"),
        "no-maps": nets.without_maps(),
        "segmentation": nets.segmentation(),
        "additive": nets.additive(),
        "binary": nets.sigmoid_unit(),
        "two-outputs": nets.two_outputs(),
        "large": nets.with_numbers("scores", 3e38),
        "nan": nets.with_numbers("conv", float("nan")),
    }
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
    # Without room to compile what nobody asked for, so that traces are those of calls alone.
    settings = {"preload": "", "registry_bytes": "90000000"}
    running = start_service(tmp_path_factory.mktemp("pencils"), models_dir=folder, **settings)
    yield running
    running.stop()
