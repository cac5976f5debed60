"""The same scan for files that the operator put into the model folder, without the sandbox: mistakes show early."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

from service.errors import ModelNotLoadable
from service.ingest.limits import IngestLimits
from service.ingest.upload import checked
from service.ingest.verdict import Refused
from service.models.spec import ModelSpec

# What is not readable or no model at all, the loader tells better.
LEFT_TO_THE_LOADER = {"model.unreadable", "model.unsupported", "model.bad_json"}
ENOUGH = 2**40


def scan(spec: ModelSpec, extra_classes: Collection[str]) -> None:
    """Raises ModelNotLoadable for a model that an upload would be refused for. Reads no values of weights."""
    files = [path for path in spec.files() if path.is_file()]
    if not files or len(files) != len(spec.files()):
        return
    limits = IngestLimits(
        max_file_bytes=ENOUGH,
        max_parameters=ENOUGH,
        memory_bytes=ENOUGH,
        timeout_s=ENOUGH,
        extra_classes=tuple(extra_classes),
    )
    with tempfile.TemporaryDirectory(prefix="kerascope-scan-") as scratch:
        try:
            checked(files, Path(scratch), limits)
        except Refused as refused:
            if refused.code not in LEFT_TO_THE_LOADER:
                raise ModelNotLoadable(
                    f"{refused.detail} (setting KERASCOPE_ALLOWED_LAYERS lets a layer in, KERASCOPE_TRUST_MODELS_DIR "
                    "every model of the folder)"
                ) from None
