"""What no error may tell: paths, modules and classes of ours and of libraries, keys, values of the environment."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Collection, Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx

import service
from tests.conftest import ROOT

MEDIA_TYPE = "application/problem+json"
PLACES = re.compile(
    r"(?<![\w.:/])/(?:tmp|home|root|work|usr|var|opt|proc|etc|srv|mnt|dev|sys)\b|Traceback|\bFile \"|\.py\b|<class|"
    r"<function|0x[0-9a-f]{6}|site-packages|\bsqlite|postgresql|\bSELECT\b|\bline \d+\b|\b[A-Z][A-Z0-9]*_[A-Z_]+="
)
# Names that callers know: modules in the lists of layers and methods, layers, file endings.
KNOWN = {"keras.layers", "keras.applications", "numpy.save"}
SHORTEST_VALUE = 8


@cache
def names() -> re.Pattern[str]:
    """Every module that requirements.lock installs, and every class of ours and exception of a library."""
    wanted = set(re.findall(r"(?m)^([\w.-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8").lower()))
    found = packages_distributions().items()
    modules = {top for top, owners in found if {owner.lower() for owner in owners} & wanted and top.isidentifier()}
    modules = {top for top in modules if not top.startswith("_")} | {"service", "builtins", "asyncio", "concurrent"}
    classes = own_classes() | {kind.__name__ for kind in subclasses(BaseException)}
    humps = {name for name in classes if re.fullmatch(r"[A-Z]+[a-z]+[A-Z]\w+|[A-Z]\w+Error", name)}
    return re.compile(rf"(?<![\w.-])(?:{'|'.join(sorted(modules))})\.[a-z_]\w*|\b(?:{'|'.join(sorted(humps))})\b")


def own_classes() -> set[str]:
    """Gives the classes of all modules that the api process may import; those of the engine would bring TensorFlow."""
    for module in pkgutil.walk_packages(service.__path__, "service."):
        if module.name.startswith(
            ("service.api", "service.jobs", "service.usecases", "service.errors", "service.keys")
        ):
            importlib.import_module(module.name)
    return {kind.__name__ for kind in subclasses(object) if str(kind.__module__).startswith("service.")}


def subclasses(kind: type) -> Iterator[type]:
    seen: set[type] = set()
    waiting = [kind]
    while waiting:
        for each in type.__subclasses__(waiting.pop()):
            if each not in seen:
                seen.add(each)
                waiting.append(each)
                yield each


def environment_of(pid: int) -> set[str]:
    """Values of a process's environment that are long enough to be told from other words."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    values = {pair.partition("=")[2] for pair in pairs}
    return {value for value in values if len(value) >= SHORTEST_VALUE and not value.replace(".", "").isdigit()}


def leaks(answer: httpx.Response, secrets: Collection[str]) -> list[str]:
    """What the body and the headers of an error tell of the inside, beside what the request itself said."""
    told = "\n".join([answer.text, *(f"{name}: {value}" for name, value in answer.headers.items())])
    found = [match[0] for match in PLACES.finditer(told)]
    found += [match[0] for match in names().finditer(told) if match[0] not in KNOWN]
    found += [secret for secret in secrets if secret in told]
    asked = f"{answer.request.url} {answer.request.headers}"
    return [text for text in found if text not in asked]
