"""Read the state dict of a torch `.pth` file in the format before torch 1.6 (no zip) with numpy alone.

The file is five pickles (magic number, version, system, the object, the storage keys) and the storages' raw numbers:
`torch/serialization.py`, `_legacy_save`. The pickles are not unpickled: their opcodes are interpreted here, and these
opcodes can build strings, numbers, tuples, lists, dicts and tensors. Nothing is imported and nothing is called.
"""

from __future__ import annotations

import io
import math
import pickletools
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

import numpy as np

from service.errors import ModelNotLoadable

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
DTYPES = {
    "torch DoubleStorage": np.dtype("<f8"),
    "torch FloatStorage": np.dtype("<f4"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"}
PUSHES_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}


class _Callable(Enum):
    ORDERED_DICT = "collections OrderedDict"
    REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"


class _Mark:
    """Where a tuple or a run of items begins on the stack."""


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_state_dict(data: bytes) -> dict[str, np.ndarray]:
    """The tensors of the state dict in a whole file's bytes, by name and in the file's order.

    Each is a read-only view on `data`: float64, float32, float16, int64 or int32 of any shape. Bytes after the last
    storage are ignored. Raises ModelNotLoadable if the file is cut short, is not such a file, holds anything but a flat
    dict of tensors, asks for any function but torch's own tensor builder, or lays a tensor outside its storage.
    """
    stream = io.BytesIO(data)
    if _interpret(stream) != MAGIC or _interpret(stream) != VERSION:
        raise ModelNotLoadable(f"the file is not a torch file in the legacy format, version {VERSION}")
    system = _interpret(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ModelNotLoadable("the torch file was not written by a little-endian machine")
    state = _interpret(stream)
    if not isinstance(state, dict) or not all(isinstance(value, _Tensor) for value in state.values()):
        raise ModelNotLoadable("the torch file does not hold a flat state dict of tensors")
    tensors = cast(dict[str, _Tensor], state)
    storages = _read_storages(data, stream, {tensor.storage for tensor in tensors.values()})
    return {name: _view(name, tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _interpret(stream: io.BytesIO) -> object:
    """The value of the one pickle that begins at the stream's position, which ends up behind it."""
    stack: list[Any] = []
    memo: dict[int, object] = {}
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                break
            _step(opcode.name, argument, stack, memo)
        (value,) = stack
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ModelNotLoadable(f"the torch file's pickle is damaged: {type(error).__name__}") from error
    return value


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, object]) -> None:
    match name:
        case "PROTO":
            if argument != 2:
                raise ModelNotLoadable(f"the torch file's pickle has protocol {argument}; protocol 2 is expected")
        case _ if name in LITERALS:
            stack.append(argument)
        case _ if name in CONSTANTS:
            stack.append(CONSTANTS[name])
        case _ if name in PUSHES_EMPTY:
            stack.append(PUSHES_EMPTY[name]())
        case "MARK":
            stack.append(_Mark)
        case "BINPUT" | "LONG_BINPUT":
            memo[argument] = stack[-1]
        case "BINGET" | "LONG_BINGET":
            stack.append(memo[argument])
        case "TUPLE":
            stack.append(tuple(_pop_to_mark(stack)))
        case "TUPLE1" | "TUPLE2" | "TUPLE3":
            stack.append(tuple(_pop(stack, int(name[-1]))))
        case "APPEND":
            _extend(stack[-2], _pop(stack, 1))
        case "APPENDS":
            items = _pop_to_mark(stack)
            _extend(stack[-1], items)
        case "SETITEM":
            _set_items(stack[-3], _pop(stack, 2))
        case "SETITEMS":
            items = _pop_to_mark(stack)
            _set_items(stack[-1], items)
        case "GLOBAL":
            stack.append(_resolve(argument))
        case "BINPERSID":
            stack.append(_storage(stack.pop()))
        case "REDUCE":
            stack.append(_reduce(*_pop(stack, 2)))
        case "BUILD":
            _ignore_metadata(stack[-2], stack.pop())
        case _:
            raise ModelNotLoadable(f"the torch file's pickle uses {name}, which a state dict does not need")


def _pop(stack: list[Any], count: int) -> list[Any]:
    items = stack[-count:]
    if len(items) < count or any(item is _Mark for item in items):
        raise IndexError("stack underflow")
    del stack[-count:]
    return items


def _pop_to_mark(stack: list[Any]) -> list[Any]:
    items: list[Any] = []
    while (item := stack.pop()) is not _Mark:
        items.append(item)
    return items[::-1]


def _extend(target: object, items: list[Any]) -> None:
    if not isinstance(target, list):
        raise TypeError("items appended to something that is not a list")
    target.extend(items)


def _set_items(target: object, items: list[Any]) -> None:
    # Keys other than strings are refused before they are hashed: the hash of a tuple nested deeply overflows the stack.
    if not isinstance(target, dict) or not all(isinstance(key, str) for key in items[::2]):
        raise TypeError("only dicts with strings as keys are expected")
    target.update(zip(items[::2], items[1::2], strict=True))


def _resolve(qualified: str) -> object:
    if qualified in DTYPES:
        return DTYPES[qualified]
    try:
        return _Callable(qualified)
    except ValueError:
        raise ModelNotLoadable(f"the torch file's pickle asks for {qualified[:80]!r}, which is not allowed") from None


def _reduce(function: object, arguments: object) -> object:
    if function is _Callable.ORDERED_DICT and arguments == ():
        return {}
    if function is not _Callable.REBUILD_TENSOR or not isinstance(arguments, tuple):
        raise ModelNotLoadable("the torch file's pickle calls something that is not allowed")
    storage, offset, size, stride, _requires_grad, _hooks = arguments
    if not isinstance(storage, _Storage) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise TypeError("a tensor is described by a storage, an offset, a size and a stride")
    if len(size) != len(stride) or not all(map(_is_count, (offset, *size, *stride))):
        raise ModelNotLoadable("the torch file's pickle describes a tensor with an offset, size or stride out of range")
    return _Tensor(storage, offset, size, stride)


def _storage(identity: object) -> _Storage:
    if not isinstance(identity, tuple):
        raise TypeError("a storage is described by a tuple")
    kind, dtype, key, _device, count, view = identity
    known = kind == "storage" and isinstance(dtype, np.dtype) and isinstance(key, str)
    if not known or not _is_count(count) or view is not None:
        raise ModelNotLoadable("the torch file's pickle describes a storage that is not a plain array of numbers")
    return _Storage(key, dtype, count)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _ignore_metadata(target: object, state: object) -> None:
    if not isinstance(target, dict) or not isinstance(state, dict) or set(state) != {"_metadata"}:
        raise TypeError("only the version numbers of a state dict are expected")


def _read_storages(data: bytes, stream: io.BytesIO, used: set[_Storage]) -> dict[str, memoryview]:
    keys = _interpret(stream)
    by_key = {storage.key: storage for storage in used}
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ModelNotLoadable("the torch file does not list its storages")
    if not len(keys) == len(used) == len(by_key) or set(keys) != set(by_key):
        raise ModelNotLoadable("the torch file's list of storages does not match the storages its tensors use")
    storages = {}
    position = stream.tell()
    for key in keys:
        start, storage = position + 8, by_key[key]
        position = start + storage.count * storage.dtype.itemsize
        if int.from_bytes(data[start - 8 : start], "little") != storage.count or position > len(data):
            raise ModelNotLoadable("a storage of the torch file is cut short or has another length than declared")
        storages[key] = memoryview(data)[start:position]
    return storages


def _view(name: str, tensor: _Tensor, storage: memoryview) -> np.ndarray:
    dtype = tensor.storage.dtype
    strides = [stride * dtype.itemsize for stride in tensor.stride]
    try:
        if math.prod(tensor.size) > tensor.storage.count:
            raise ValueError("more elements than the storage holds")
        return np.ndarray(tensor.size, dtype, storage, tensor.offset * dtype.itemsize, strides)
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelNotLoadable(f"tensor {name[:80]!r} of the torch file lies outside its storage") from error
