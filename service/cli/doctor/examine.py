"""All checks in the order of their lines."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement

from service import __version__
from service.cli.doctor import machine, models, stores
from service.cli.doctor.check import Check, failed, ok
from service.errors import ConfigurationError
from service.settings import load_settings

DISTRIBUTION = "kerascope"
OLDEST = (3, 11)
NAMED = ("tensorflow", "keras", "numpy", "pillow", "fastapi", "dbos")


def of_python() -> Check:
    """The interpreter and the machine it runs on."""
    found = f"Kerascope {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if sys.version_info < OLDEST:
        return failed("python", found, "use Python 3.11 or later")
    return ok("python", found)


def of_libraries() -> Check:
    """Every dependency is there, in a version that fits."""
    wanted = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    problems = [
        problem
        for requirement in wanted
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if (problem := _problem(requirement))
    ]
    if problems:
        return failed("libraries", "; ".join(problems), "install what requirements.lock pins (`make serve` does)")
    return ok("libraries", ", ".join(f"{name} {metadata.version(name)}" for name in NAMED))


def _problem(requirement: Requirement) -> str | None:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name} is {version}, not {requirement.specifier}"
    return None


def examine(**flags: Any) -> Iterator[Check]:
    """Settings that are not valid end it after their own line: nothing else could be looked at."""
    yield of_python()
    yield of_libraries()
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
