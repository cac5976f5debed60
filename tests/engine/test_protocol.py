"""Messages survive the way unchanged, malformed ones are refused with ValueError, and no message is unpickled."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import service
from service import errors
from service.configuration import jobs_config
from service.contract.questions import Compute, DescribeLayer, Fitted
from service.contract.results import Prediction
from service.engine.protocol import (
    ArrayHeader,
    Call,
    DType,
    EngineConfig,
    Reply,
    error_of,
    fault_of,
    id_of,
    pack,
    unpack,
)
from service.errors import FieldError, KerascopeError
from service.settings import Settings

DTYPES = get_args(DType)
CALL = Call(id="a", question=DescribeLayer(model="shapes", layer="ü"), deadline_s=1.5)
SOURCES = sorted(Path(service.__file__).parent.rglob("*.py"))


def there_and_back(arrays: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    message, out = unpack(Call, pack(CALL, arrays))
    assert message.model_copy(update={"arrays": ()}) == CALL
    return out


class TestRoundTrip:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("shape", [(), (1,), (3, 4), (2, 0, 5), (0,), (1, 2, 3, 4, 5, 6, 7, 8)])
    def test_every_dtype_and_shape(self, dtype: str, shape: tuple[int, ...]) -> None:
        array = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
        out = there_and_back({"x": array})["x"]
        assert (out.dtype, out.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(out, array)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_extreme_values(self, dtype: str) -> None:
        kind = np.dtype(dtype)
        values: list[Any] = [0, 1]
        if kind.kind == "f":
            values = [np.nan, np.inf, -np.inf, -0.0, np.finfo(kind).max, np.finfo(kind).smallest_subnormal]
        elif kind.kind in "iu":
            values = [np.iinfo(kind).min, np.iinfo(kind).max]
        array = np.array(values, kind)
        assert there_and_back({"x": array})["x"].tobytes() == array.tobytes()

    @pytest.mark.parametrize(
        "view",
        [
            lambda array: array[::2],
            lambda array: array[:, ::-1],
            lambda array: array.T,
            lambda array: np.asfortranarray(array),
            lambda array: np.broadcast_to(array[:1], (5, 6)),
            lambda array: array.astype(">f4"),
            lambda array: array[2, 3],
        ],
    )
    def test_arrays_that_are_not_c_ordered(self, view: Any) -> None:
        array = view(np.arange(30, dtype=np.float32).reshape(5, 6))
        out = there_and_back({"x": array})["x"]
        np.testing.assert_array_equal(out, array)
        assert out.dtype == np.float32

    def test_several_keep_their_order_and_names(self) -> None:
        arrays = {"b": np.zeros(2), "a/b:linear": np.ones((2, 2), np.uint8), "": np.zeros(0, bool)}
        assert list(there_and_back(arrays)) == list(arrays)

    def test_the_bytes_of_c_ordered_arrays_are_not_copied(self) -> None:
        array = np.zeros((100, 100), np.float32)
        frame = pack(CALL, {"x": array})[1]
        assert np.shares_memory(np.frombuffer(frame, np.float32), array)

    def test_what_arrives_cannot_be_written_to(self) -> None:
        assert not there_and_back({"x": np.zeros(3)})["x"].flags.writeable

    def test_what_is_not_finite_comes_back(self) -> None:
        row = Prediction(class_index=1, label=None, probability=float("nan"), logit=float("inf"), score=float("-inf"))
        message, _ = unpack(Reply, pack(Reply(id="a", answer=row), {}))
        back = Prediction.model_validate(message.answer)
        assert np.isnan(back.probability)
        assert (back.logit, back.score) == (np.inf, -np.inf)

    def test_what_is_asked_has_one_name_whatever_image_is_sent(self) -> None:
        """By it the deaths of an engine are counted, for an image of any size."""
        asked = Compute(model="shapes", methods=[{"name": "cam", "params": {"method": "layercam"}}], top=3, form="npz")
        fitted = asked.on_fitted(Fitted(fingerprint="0", region=(0, 0, 1, 2)))
        assert asked.kind == fitted.kind == "explain cam"
        assert asked.checked_alone().kind == "check cam"
        shared = {"model", "methods", "top", "form", "preprocess", "pictures", "instances", "background"}
        for other in (fitted, asked.checked_alone()):
            assert other.model_dump(include=shared) == asked.model_dump(include=shared)

    def test_numpy_numbers_in_an_answer(self) -> None:
        reply = Reply(id="a", answer={"score": np.float32(0.5), "shape": (np.int64(3), 4)})
        message, _ = unpack(Reply, pack(reply, {}))
        assert message.answer == {"score": 0.5, "shape": [3, 4]}

    @given(
        arrays=st.dictionaries(
            st.text(max_size=20),
            npst.arrays(
                st.sampled_from([np.dtype(name) for name in DTYPES]), npst.array_shapes(min_dims=0, min_side=0)
            ),
            max_size=4,
        )
    )
    @settings(max_examples=50, deadline=None)
    def test_any(self, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        out = there_and_back(arrays)
        assert list(out) == list(arrays)
        for name, array in arrays.items():
            assert out[name].dtype == array.dtype
            np.testing.assert_array_equal(out[name], array)


def header(*arrays: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({"id": "a", "op": "status", "deadline_s": 1.0, "arrays": arrays} | changes).encode()


def announced(shape: Any, dtype: Any = "uint8", name: Any = "x") -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": shape}


class TestMalformed:
    @pytest.mark.parametrize(
        "frames",
        [
            [],
            [b""],
            [b"{"],
            [b"null"],
            [b"[]"],
            [b"\xff\xfe"],
            [b"[" * 10_000],
            [header(op=None)],
            [header(extra=1)],
            [header(deadline_s="soon")],
            [header(arrays={})],
            [header(announced((3,)))],
            [header(), b"abc"],
            [header(announced((3,))), b"ab"],
            [header(announced((3,))), b"abcd"],
            [header(announced((3,))), b"abc", b"d"],
            [header(announced((3,), "float32")), b"abc"],
            [header(announced((3,), "object")), b"abc"],
            [header(announced((3,), "O")), b"abc"],
            [header(announced((3,), ">f4")), b"abc"],
            [header(announced((-3,))), b"abc"],
            [header(announced((-1, -3))), b"abc"],
            [header(announced((10**30,))), b"abc"],
            [header(announced((0, 10**30))), b""],
            [header(announced((0, 2**62, 2**62))), b""],
            [header(announced((1.5,))), b"a"],
            [header(announced((1,) * 9)), b"a"],
            [header(announced((1,), name="x" * 513)), b"a"],
            [header(announced((1,), name=None)), b"a"],
        ],
    )
    def test_refused(self, frames: list[bytes]) -> None:
        with pytest.raises(ValueError):  # noqa: PT011 - any ValueError will do
            unpack(Call, frames)

    @given(frames=st.lists(st.binary(max_size=200), max_size=4))
    @settings(max_examples=100, deadline=None)
    def test_random_bytes(self, frames: list[bytes]) -> None:
        with pytest.raises(ValueError):  # noqa: PT011
            unpack(Reply, frames)

    @given(
        shape=st.lists(st.integers(-3, 2**70) | st.integers(0, 4), max_size=9),
        dtype=st.sampled_from([*DTYPES, "object", "str", "V8", "datetime64"]),
        data=st.binary(max_size=64),
    )
    @settings(max_examples=200, deadline=None)
    def test_headers_that_lie(self, shape: list[int], dtype: str, data: bytes) -> None:
        sizes = [{"name": "x", "dtype": dtype, "shape": shape}]
        text = ("{" + f'"id":"a","arrays":{sizes!r}'.replace("'", '"') + "}").encode()
        try:
            _, arrays = unpack(Reply, [text, data])
        except ValueError:
            return
        assert arrays["x"].tobytes() == data

    @given(data=st.data())
    @settings(max_examples=100, deadline=None)
    def test_a_flipped_byte(self, data: st.DataObject) -> None:
        frames = [bytearray(frame) for frame in pack(CALL, {"x": np.arange(4, dtype=np.uint8)})]
        place = data.draw(st.integers(0, len(frames[0]) - 1))
        frames[0][place] = data.draw(st.integers(0, 255))
        try:
            message, arrays = unpack(Call, [bytes(frame) for frame in frames])
        except ValueError:
            return
        assert isinstance(message, Call)
        assert all(array.nbytes == 4 for array in arrays.values())

    def test_an_array_no_header_can_announce(self) -> None:
        for array in (np.array(["a"]), np.array([{}], object), np.zeros(2, complex)):
            with pytest.raises(ValueError, match="dtype"):
                pack(CALL, {"x": array})


class TestFaults:
    @pytest.mark.parametrize(
        "kind", [value for value in vars(errors).values() if isinstance(value, type) and value is not FieldError]
    )
    def test_every_domain_error_arrives_as_itself(self, kind: type[KerascopeError]) -> None:
        if not issubclass(kind, KerascopeError):
            return
        sent = kind("what is wrong", errors=[FieldError(("body", "alpha"), "too big")], retry_after_s=3)
        reply, _ = unpack(Reply, pack(Reply(id="a", fault=fault_of(sent)), {}))
        assert reply.fault is not None
        got = error_of(reply.fault)
        assert type(got) is kind
        assert (got.detail, got.errors, got.retry_after_s) == (sent.detail, sent.errors, 3)

    @pytest.mark.parametrize("kind", ["NoSuchError", "FieldError", "nearest", "__name__", "annotations", "Sequence"])
    def test_an_unknown_kind_is_a_plain_error(self, kind: str) -> None:
        fault = fault_of(KerascopeError("x")).model_copy(update={"kind": kind})
        assert type(error_of(fault)) is KerascopeError


def test_the_configuration_survives_its_line_of_json() -> None:
    config = EngineConfig(
        socket="s", data_dir=Path("a b"), models_dir=Path("ü"), registry_bytes=2**40, preload=("x",), device="cpu",
        threads=0, max_passes=7, max_job_passes=8, max_pixels=9, max_side_px=10, call_bytes=2**41, engines=1,
        max_step_s=1.5, max_load_s=2.5,
        trust_models_dir=True, allowed_layers=("a:B",),
        log_level="info", log_format="json", worker="w", jobs=jobs_config(Settings(data_dir=Path("ö"))),
    )  # fmt: skip
    line = config.model_dump_json()
    assert "\n" not in line
    assert EngineConfig.model_validate_json(line) == config


def test_messages_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ArrayHeader(name="x", dtype="uint8", shape=(1,)).name = "y"  # type: ignore[misc]


# It unpickles one file, whose sha256 the source names, and lets that file ask for four names.
UNPICKLES = Path(service.__file__).parent / "models" / "files" / "torch_file.py"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_pickle(path: Path) -> None:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
    found = modules & {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "multiprocessing"}
    assert found == ({"pickle"} if path == UNPICKLES else set())


def test_the_id_of_a_message_that_cannot_be_read() -> None:
    assert id_of([b'{"id": "a1", "question": {"op": "no such"}}']) == "a1"
    for frames in ([], [b"no json"], [b"[1]"], [b"{}"], [b'{"id": 3}'], [b"\xff"]):
        assert id_of(frames) is None
