"""Python and the libraries, against what this service was made for."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from packaging.requirements import Requirement

from service import __version__
from service.doctor.check import Check, failed, ok

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
