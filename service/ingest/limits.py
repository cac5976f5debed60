"""How much an uploaded model may be, and take while it is read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

MAX_LAYERS = 5000


class IngestLimits(BaseModel):
    """Sizes in bytes, times in s. `extra_classes` are `module:Class` beside the known ones; `unsandboxed` lets a file
    be read where the kernel offers no sandbox. `memory_bytes` is address space, of which TensorFlow takes 2 GB.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_file_bytes: int
    max_parameters: int
    memory_bytes: int
    timeout_s: float
    extra_classes: tuple[str, ...] = ()
    unsandboxed: bool = False
    max_layers: int = MAX_LAYERS
    max_tensor_bytes: int = 1024**3
    max_json_bytes: int = 8 * 1024**2
    max_json_depth: int = 64
