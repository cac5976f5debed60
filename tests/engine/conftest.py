"""What tests of the engine share: services that are stopped whatever happens, and a TensorFlow that does not start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Service, start_service


@pytest.fixture
def starting() -> Iterator[Callable[..., Service]]:
    """`start_service`, with every service stopped at the end of the test."""
    started: list[Service] = []

    def start(*args: object, **settings: object) -> Service:
        started.append(start_service(*args, **settings))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for service in started:
        service.stop()


@pytest.fixture
def broken_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that cannot start, as after a botched installation."""
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("raise ImportError('no such library')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
