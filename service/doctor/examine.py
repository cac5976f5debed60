"""All checks in the order of their lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from service.doctor import machine, models, stores, versions
from service.doctor.check import Check, failed, ok
from service.errors import ConfigurationError
from service.settings import load_settings


def examine(**flags: Any) -> Iterator[Check]:
    """Settings that are not valid end it after their own line: nothing else could be looked at."""
    yield versions.of_python()
    yield versions.of_libraries()
    try:
        settings = load_settings(**flags)
    except ConfigurationError as error:
        yield failed("settings", error.detail, "`kerascope settings` prints them once they are valid")
        return
    yield ok("settings", "valid")
    yield stores.of_data_dir(settings)
    yield machine.of_disk(settings)
    yield machine.of_memory(settings)
    yield machine.of_port(settings)
    yield stores.of_keys(settings)
    yield stores.of_database(settings)
    yield stores.of_results(settings)
    yield machine.of_sandbox(settings)
    yield models.of_shipped()
    found = models.look(settings)
    yield models.of_device(settings, found)
    yield models.of_folder(settings, found)
    yield models.of_preload(settings)
