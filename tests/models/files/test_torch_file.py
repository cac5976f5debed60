"""Legacy torch files, built here byte by byte: what is read, and what a hostile one gets."""

from __future__ import annotations

import os
import pickle
import struct
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from service.errors import ModelNotLoadable
from service.models.files.torch_file import MAGIC, VERSION, read_state_dict

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


def torch_file(
    state_pickle: bytes, storages: dict[str, np.ndarray] | None = None, system: Any = SYSTEM, magic: int = MAGIC
) -> bytes:
    storages = {"7": WEIGHT} if storages is None else storages
    head = b"".join(pickle.dumps(value, 2) for value in (magic, VERSION, system))
    raw = b"".join(struct.pack("<q", values.size) + values.tobytes() for values in storages.values())
    return head + state_pickle + pickle.dumps(list(storages), 2) + raw


def test_tensors_are_read_in_the_order_of_the_file() -> None:
    counter = tensor((), (), 0, storage("9", 1, "torch\nLongStorage"))
    tensors = read_state_dict(
        torch_file(state(weight=tensor(), steps=counter), {"7": WEIGHT, "9": np.array([41], np.int64)})
    )
    assert list(tensors) == ["weight", "steps"]
    np.testing.assert_array_equal(tensors["weight"], WEIGHT)
    assert tensors["weight"].dtype == np.float32
    assert tensors["steps"].shape == ()
    assert tensors["steps"] == 41
    assert tensors["steps"].dtype == np.int64


def test_offsets_and_strides_are_kept() -> None:
    whole = state(transposed=tensor((3, 2), (1, 3)), last=tensor((2,), (1,), 4), repeated=tensor((4,), (0,), 5))
    tensors = read_state_dict(torch_file(whole))
    np.testing.assert_array_equal(tensors["transposed"], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(tensors["last"], [5, 6])
    np.testing.assert_array_equal(tensors["repeated"], [6, 6, 6, 6])


def test_tensors_are_read_only_and_trailing_bytes_ignored() -> None:
    tensors = read_state_dict(torch_file(state(weight=tensor())) + b"more")
    assert not tensors["weight"].flags.writeable


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((7,), (1,), 0),
        ((2, 3), (3, 1), 1),
        ((2, 2), (5, 1), 0),
        ((1,), (1,), 6),
        ((2,), (-1,), 3),
        ((-1,), (1,), 0),
        ((1,), (1,), -1),
        ((2, 3), (3,), 0),
        ((2**31 - 1, 2**31 - 1, 2**31 - 1), (0, 0, 0), 0),
        ((7,), (0,), 0),
        ((1,) * 100, (1,) * 100, 0),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> None:
    with pytest.raises(ModelNotLoadable, match="storage|out of range"):
        read_state_dict(torch_file(state(weight=tensor(size, stride, offset))))


class Attack:
    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("place", ["state", "value", "system", "magic"])
def test_code_in_the_pickle_is_refused_and_not_run(tmp_path: Any, place: str) -> None:
    marker = tmp_path / "owned"
    attack = Attack(str(marker))
    data = {
        "state": torch_file(pickle.dumps(attack, 2)),
        "value": torch_file(pickle.dumps(OrderedDict(weight=attack), 2)),
        "system": torch_file(state(weight=tensor()), system=attack),
        "magic": pickle.dumps(attack, 2),
    }[place]
    with pytest.raises(ModelNotLoadable, match="'posix system', which is not allowed"):
        read_state_dict(data)
    assert not marker.exists()


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02cbuiltins\neval\n.",
        b"\x80\x02ctorch\nBoolStorage\n.",
        b"\x80\x02ctorch._utils\n_rebuild_parameter\n.",
        b"\x80\x02" + ordered()[:-2] + b"(K\x01tR.",
        b"\x80\x02K\x01)R.",
        b"\x80\x02ccollections\nOrderedDict\n}b.",
        b"\x80\x02}(K\x01K\x02u.",
        b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x02s.",
        b"\x80\x02(K\x01.",
        b"\x80\x02K\x01\x86.",
        b"\x80\x02(\x85.",
        b"\x80\x020.",
        b"\x80\x02h\x05.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02)Q.",
        b"\x80\x02X\xff\xff\xff\x7fabc.",
        b"\x80\x04}.",
        b"\x80\x02" + text("weight") + b".",
        b"\x80\x02}" + text("weight") + b"K\x01s.",
        b"\x80\x02}" + text("weight") + b"(K\x01tu.",
        b"",
    ],
)
def test_any_other_pickle_is_refused(pickled: bytes) -> None:
    with pytest.raises(ModelNotLoadable):
        read_state_dict(torch_file(pickled))


def test_every_truncation_is_refused() -> None:
    data = torch_file(state(weight=tensor()))
    for length in range(len(data)):
        with pytest.raises(ModelNotLoadable):
            read_state_dict(data[:length])


@pytest.mark.parametrize(
    "data",
    [
        torch_file(state(weight=tensor()), magic=MAGIC + 1),
        torch_file(state(weight=tensor()), system=SYSTEM | {"little_endian": False}),
        torch_file(state(weight=tensor()), system="linux"),
        torch_file(state(weight=tensor()), {"8": WEIGHT}),
        torch_file(state(weight=tensor()), {"7": WEIGHT, "8": WEIGHT}),
        torch_file(state(weight=tensor()), {"7": WEIGHT[0]}),
        torch_file(state(weight=tensor(), other=tensor((1,), (1,), 0, storage(count=5)))),
        torch_file(state(weight=tensor((1,), (1,), 0, storage(count=-1)))),
        torch_file(state(weight=tensor(held=text("7")))),
        b"PK\x03\x04" + bytes(100),
    ],
    ids=["magic", "endian", "system", "unknown", "unused", "short", "two lengths", "negative", "no storage", "zip"],
)
def test_a_file_that_contradicts_itself_is_refused(data: bytes) -> None:
    with pytest.raises(ModelNotLoadable):
        read_state_dict(data)
