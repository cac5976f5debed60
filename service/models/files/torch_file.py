"""The state dict of one torch `.pth` file that is known by its sha256, in the format before torch 1.6 (no zip).

The file is five pickles (magic number, version, system, the object, the storages' keys) and the storages' raw numbers:
`torch.serialization`, `_legacy_save`. The service unpickles nothing else, and this only when the bytes are those
that were looked at; even so the pickles get no more than the names below.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np

from service.errors import ModelNotLoadable


def _tensor(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> np.ndarray:
    step = storage.itemsize
    return np.ndarray(size, storage.dtype, storage, offset * step, [step * each for each in stride])


# Torch is not installed, so its names get stand-ins. A class of storage is the code of its dtype.
ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
}


class _Unpickler(pickle.Unpickler):
    """Imports nothing. Storages are arrays, by key; they are filled afterwards, as their numbers follow the pickles."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            asked = f"{module}.{name}"[:80]
            raise ModelNotLoadable(f"the torch file's pickle asks for {asked!r}, which is not allowed")
        return ALLOWED[module, name]

    def persistent_load(self, identity: tuple[Any, ...]) -> np.ndarray:
        _kind, dtype, key, _device, count, _view = identity
        return self.storages.setdefault(key, np.empty(count, dtype))


def read_state_dict(data: bytes, sha256: str) -> dict[str, np.ndarray]:
    """Reads the tensors of the file with the bytes `data`, by name and in the file's order: float32 or int64.

    Raises ModelNotLoadable, before anything is unpickled, for bytes whose digest is not `sha256` in hex digits.
    """
    if (digest := hashlib.sha256(data).hexdigest()) != sha256:
        raise ModelNotLoadable(f"the torch file has sha256 {digest}; {sha256} is expected")
    stream = io.BytesIO(data)
    unpickler = _Unpickler(stream)
    _magic, _version, _system, state, keys = (unpickler.load() for _ in range(5))
    for key in keys:
        storage = unpickler.storages[key]
        # Before the numbers stands how many they are.
        stream.seek(8, io.SEEK_CUR)
        storage[:] = np.frombuffer(stream.read(storage.nbytes), storage.dtype)
    return dict(state)
