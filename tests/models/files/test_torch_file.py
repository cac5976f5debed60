"""A legacy torch file, built here: what is read of it, and that nothing is unpickled that was not looked at before."""

from __future__ import annotations

import hashlib
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from service.errors import ModelNotLoadable
from service.models.files.torch_file import read_state_dict

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
WEIGHT = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str = "7", count: int = 6, kind: str = "torch\nFloatStorage") -> bytes:
    return b"(" + text("storage") + b"c" + kind.encode() + b"\n" + text(key) + text("cpu") + number(count) + b"NtQ"


def tensor(
    size: tuple[int, ...] = (2, 3), stride: tuple[int, ...] = (3, 1), offset: int = 0, held: bytes | None = None
) -> bytes:
    arguments = (held or storage()) + number(offset) + numbers(size) + numbers(stride) + b"\x89" + ordered()
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def ordered() -> bytes:
    return b"ccollections\nOrderedDict\n)R"


def state(**tensors: bytes) -> bytes:
    items = b"".join(text(name) + built for name, built in tensors.items())
    return b"\x80\x02" + ordered() + b"(" + items + b"u}" + text("_metadata") + ordered() + b"sb."


def torch_file(state_pickle: bytes, storages: dict[str, np.ndarray] | None = None) -> bytes:
    storages = {"7": WEIGHT} if storages is None else storages
    head = b"".join(pickle.dumps(value, 2) for value in (MAGIC, VERSION, SYSTEM))
    raw = b"".join(struct.pack("<q", values.size) + values.tobytes() for values in storages.values())
    return head + state_pickle + pickle.dumps(list(storages), 2) + raw


def read(data: bytes) -> dict[str, np.ndarray]:
    return read_state_dict(data, hashlib.sha256(data).hexdigest())


def test_tensors_are_read_in_the_order_of_the_file() -> None:
    counter = tensor((), (), 0, storage("9", 1, "torch\nLongStorage"))
    tensors = read(torch_file(state(weight=tensor(), steps=counter), {"9": np.array([41], np.int64), "7": WEIGHT}))
    assert list(tensors) == ["weight", "steps"]
    np.testing.assert_array_equal(tensors["weight"], WEIGHT)
    assert tensors["weight"].dtype == np.float32
    assert tensors["steps"].shape == ()
    assert tensors["steps"] == 41
    assert tensors["steps"].dtype == np.int64


def test_offsets_and_strides_are_kept() -> None:
    whole = state(transposed=tensor((3, 2), (1, 3)), last=tensor((2,), (1,), 4), repeated=tensor((4,), (0,), 5))
    tensors = read(torch_file(whole))
    np.testing.assert_array_equal(tensors["transposed"], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(tensors["last"], [5, 6])
    np.testing.assert_array_equal(tensors["repeated"], [6, 6, 6, 6])


@pytest.mark.parametrize(("size", "stride", "offset"), [((7,), (1,), 0), ((2, 2), (5, 1), 0), ((2,), (-1,), 0)])
def test_no_tensor_reads_outside_its_storage(size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> None:
    with pytest.raises(ValueError, match=r"strides|buffer"):
        read(torch_file(state(weight=tensor(size, stride, offset))))


class Attack:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


def test_other_bytes_are_refused_before_they_are_unpickled(tmp_path: Path) -> None:
    """The digest alone says which bytes: neither a name that is refused nor damage is come upon."""
    wanted = hashlib.sha256(torch_file(state(weight=tensor()))).hexdigest()
    for data in (b"", torch_file(state()), torch_file(state(weight=tensor())) + b"\0", pickle.dumps(Attack(tmp_path))):
        with pytest.raises(ModelNotLoadable, match=f"has sha256 [0-9a-f]{{64}}; {wanted} is expected"):
            read_state_dict(data, wanted)


@pytest.mark.parametrize("protocol", [2, 4])
def test_code_is_refused_even_in_the_pinned_file(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "owned"
    with pytest.raises(ModelNotLoadable, match=r"'posix\.system', which is not allowed"):
        read(torch_file(pickle.dumps({"weight": Attack(marker)}, protocol)))
    assert not marker.exists()


@pytest.mark.parametrize(
    "name",
    [
        *("os system", "posix system", "subprocess Popen", "builtins eval", "builtins exec", "builtins getattr"),
        *("builtins __import__", "collections deque", "collections OrderedDict.fromkeys", "copyreg _reconstructor"),
        *("numpy ndarray", "numpy._core.multiarray _reconstruct", "numpy dtype", "torch load", "torch BoolStorage"),
        *("torch._utils _rebuild_parameter", "torch._utils OrderedDict", "pickle loads", "service.process run"),
    ],
)
def test_every_other_name_is_refused(name: str) -> None:
    module, _, attribute = name.partition(" ")
    for asked in (f"c{module}\n{attribute}\n".encode(), text(module) + text(attribute) + b"\x93"):
        with pytest.raises(ModelNotLoadable, match="which is not allowed"):
            read(torch_file(b"\x80\x04" + asked + b"."))
