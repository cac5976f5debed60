"""Where models are, and which may be uploaded."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel

from service.settings.field import setting


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/kerascope`, else `~/.local/share/kerascope`."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "kerascope"


class ModelSettings(BaseModel):
    """Model folders, warm models, and the bounds of uploads."""

    data_dir: Path = setting(default_data_dir, "folder", "Where the service keeps converted models and its own files.")
    models_dir: Path | None = setting(None, "folder", "Your models; `models` inside `data_dir` when absent.")
    trust_models_dir: bool = setting(
        False, "on/off", "Whether code in the models of `models_dir` is run: Lambda layers, classes of their own."
    )
    allowed_layers: str = setting(
        "",
        "list",
        "Comma-separated `module:Class` of layers that uploads may hold beside the known ones, such as "
        "`keras.layers:StringLookup`.",
    )
    preload: str = setting(
        "shapes,efficientnet-lite0",
        "list",
        "Comma-separated IDs of models warmed at start and never evicted; of an upload, its default version.",
    )
    registry_bytes: int = setting(
        4 * 1024**3,
        "bytes",
        "What the warm models of each engine take, compiled plans included; what was used the longest ago goes first.",
        ge=1024**2,
    )
    uploads: bool = setting(False, "on/off", "Whether keys with the scope `models:write` may upload models.")
    max_upload_bytes: int = setting(1024**3, "bytes", "Largest model file.", ge=1024)
    upload_timeout_s: float = setting(
        1800.0, "s", "Longest a model may take to arrive, however large it is.", gt=0, le=86400
    )
    upload_quota_bytes: int = setting(4 * 1024**3, "bytes", "What the models of one key may take on disk.", ge=1024)
    max_uploads_per_key: int = setting(32, "models", "Versions of models one key may keep.", ge=1)
    max_parameters: int = setting(500_000_000, "parameters", "Most parameters of an uploaded model.", ge=1)
    ingest_timeout_s: float = setting(
        120.0, "s", "Longest that reading an uploaded model may take in its sandbox.", gt=0, le=3600
    )
    ingest_memory_bytes: int = setting(
        4 * 1024**3, "bytes", "Address space of the sandbox; TensorFlow alone needs 2 GB of it.", ge=2560 * 1024**2
    )
    allow_unsandboxed_ingest: bool = setting(
        False, "on/off", "Whether uploads are taken where the kernel offers no sandbox."
    )
