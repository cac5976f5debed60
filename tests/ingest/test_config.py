"""M1, M2, M3, M8: what a config may hold. Every name that Keras exports is tried, in four places of three formats."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
import tf_keras
from hypothesis import given
from hypothesis import strategies as st

from service.ingest import pure_layers
from service.ingest.config import Config
from service.ingest.upload import checked
from service.ingest.values import is_name
from service.ingest.verdict import Refused
from tests.ingest.corpus import LIMITS, archive, dense, functional, legacy, put, sequential, tensor

MARKER = "must-not-appear"
LAMBDA = {
    "module": "keras.layers", "class_name": "Lambda", "registered_name": None,
    "config": {"name": "evil", "function": {"class_name": "__lambda__", "config": {"code": "4wAAAA=="}}},
}  # fmt: skip


def judged(config: Any, extra: tuple[str, ...] = ()) -> str:
    """The code of the refusal, `ok` where there is none."""
    try:
        Config(extra, LIMITS.max_layers).check_model(config)
    except Refused as refused:
        return refused.code if len(refused.detail.split()) > 3 else "no sentence"
    return "ok"


def exported() -> Iterator[tuple[str, str]]:
    """(module, name) of everything public in Keras 3 and in Keras 2, whose files call it `keras` too."""
    modules = ["keras", "tf_keras"] + [
        info.name
        for package in (keras, tf_keras)
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if ".src" not in info.name and ".protobuf" not in info.name
    ]
    for module in modules:
        try:
            loaded = importlib.import_module(module)
        except ImportError:
            continue
        for name, value in vars(loaded).items():
            if not name.startswith("_") and (inspect.isclass(value) or callable(value)):
                yield module, name
                yield module.replace("tf_keras", "keras", 1), name


EXPORTED = sorted(set(exported()))


def state() -> tuple[object, ...]:
    config = keras.config
    return (
        config.epsilon(), config.floatx(), config.image_data_format(), config.dtype_policy().name,
        config.is_traceback_filtering_enabled(), tuple(keras.saving.get_custom_objects()), sorted(Path.cwd().iterdir()),
    )  # fmt: skip


class TestHonest:
    @pytest.mark.parametrize(
        "config",
        [
            functional(dense()),
            functional(dense("a"), dense("b", activation="softmax")),
            sequential(dense()),
            sequential(dense(kernel_initializer={"class_name": "HeNormal", "config": {"seed": None}, "module": None})),
            functional(dense(dtype={"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float16"}})),
            functional(
                dense(kernel_regularizer={"class_name": "L2", "config": {"l2": 0.01}, "module": "keras.regularizers"})
            ),
            functional(
                dense(activation={"class_name": "LeakyReLU", "module": "keras.layers", "config": {"name": "x"}})
            ),
        ],
    )
    def test_it_is_taken(self, config: Any) -> None:
        assert judged(config) == "ok"

    def test_a_layer_of_the_operators(self) -> None:
        own = dense() | {"class_name": "OwnLayer"}
        assert judged(sequential(own)) == "model.forbidden_class"
        assert judged(sequential(own), ("keras.layers:OwnLayer",)) == "ok"


class TestM1CodeAnywhere:
    """CVE-2024-3660: code in a Lambda, at any depth and in any place."""

    places = [
        sequential(LAMBDA),
        functional(LAMBDA),
        functional(dense(), LAMBDA),
        sequential(sequential(LAMBDA)),
        functional(dense(activation=LAMBDA)),
        functional(dense(kernel_initializer=LAMBDA)),
        functional(dense(output_shape=LAMBDA)),
        functional(dense(mask=LAMBDA)),
        functional(dense(anything=[[LAMBDA]])),
        functional(dense() | {"class_name": "TimeDistributed", "config": {"name": "t", "layer": LAMBDA}}),
        functional(dense() | {"inbound_nodes": [{"args": [tensor("image"), LAMBDA], "kwargs": {}}]}),
        functional(dense() | {"inbound_nodes": [{"args": [tensor("image")], "kwargs": {"mask": LAMBDA}}]}),
        LAMBDA,
    ]

    @pytest.mark.parametrize("config", places)
    def test_cve_2024_3660(self, config: Any, tmp_path: Path) -> None:
        assert judged(config) in ("model.forbidden_class", "model.forbidden_value", "model.unsupported")
        for data in (archive(config), legacy(config)):
            file = put(tmp_path, data)
            with pytest.raises(Refused):
                checked([file], tmp_path, LIMITS)
            for left in tmp_path.iterdir():
                left.unlink()

    def test_what_is_compiled_in_is_never_looked_at(self, tmp_path: Path) -> None:
        """Loss, optimizer and metrics are dropped, with all that is in them."""
        config = functional(dense()) | {"compile_config": {"loss": LAMBDA, "optimizer": LAMBDA, "metrics": [LAMBDA]}}
        config["config"]["layers"][1]["build_config"] = {"input_shape": [None, 4], "evil": LAMBDA}
        found = checked([put(tmp_path, archive(config))], tmp_path, LIMITS)
        assert "Lambda" not in json.dumps(found.config)
        assert "compile_config" not in json.dumps(found.config)


class TestM2Gadgets:
    def test_cve_2025_1550_any_module(self) -> None:
        """CVE-2025-1550 and CVE-2025-8747: a function by its module, or one of Keras's own."""
        for module, name in (
            ("os", "system"),
            ("subprocess", "Popen"),
            ("keras.utils", "get_file"),
            ("builtins", "eval"),
        ):
            for form in ("function", name):
                item = {"module": module, "class_name": form, "config": name, "registered_name": name}
                assert judged(functional(dense(activation=item))) == "model.forbidden_class"
                assert judged(sequential(item)) == "model.forbidden_class"

    def test_cve_2025_9906_turning_safety_off(self) -> None:
        item = {
            "module": "keras.config", "class_name": "function", "config": "enable_unsafe_deserialization",
            "registered_name": "function",
        }  # fmt: skip
        assert judged(functional(dense() | item | {"config": {"name": "dense"}})) == "model.forbidden_class"
        assert judged(functional(dense(kernel_initializer=item))) == "model.forbidden_class"

    def test_the_open_hole_of_a_dead_switch(self) -> None:
        """A node that leads nowhere, and calls a function of Keras while the model is built."""
        config = functional(dense())
        switch = {
            "module": "keras.src.ops.core", "class_name": "Switch", "registered_name": "Switch",
            "config": {"name": "dead"}, "name": "dead",
            "inbound_nodes": [{"args": [0, [{"module": "keras.config", "class_name": "function",
                                             "config": "set_epsilon"}], 0.5], "kwargs": {}}],
        }  # fmt: skip
        config["config"]["layers"].append(switch)
        assert judged(config) == "model.forbidden_class"

    def test_no_node_is_left_over(self) -> None:
        config = functional(dense("used"))
        dead = copy.deepcopy(config["config"]["layers"][1])
        dead["name"] = dead["config"]["name"] = "dead"
        config["config"]["layers"].append(dead)
        assert judged(config) == "model.bad_graph"

    @pytest.mark.parametrize("position", ["layer", "function", "value", "argument"])
    def test_every_exported_name(self, position: str) -> None:
        """Each is tried in the place of a layer, as a function, initializer, activation, and argument of a call."""
        before, refused, taken = state(), 0, []
        for module, name in EXPORTED:
            if position == "layer":
                items = [dense() | {"module": module, "class_name": name}]
                configs = [functional(items[0]), sequential(items[0])]
            elif position == "function":
                item = {"module": module, "class_name": "function", "config": name, "registered_name": name}
                configs = [
                    functional(dense() | {**item, "config": {"name": "dense"}}),
                    functional(dense(activation=item)),
                ]
            elif position == "value":
                item = {"module": module, "class_name": name, "config": {}, "registered_name": None}
                configs = [functional(dense(kernel_initializer=item)), functional(dense(activation=item))]
            else:
                item = {"module": module, "class_name": name, "config": {}}
                configs = [functional(dense() | {"inbound_nodes": [{"args": [tensor("image"), item], "kwargs": {}}]})]
            for config in configs:
                for form in (config, _without_modules(config)):
                    code = judged(form)
                    refused += code != "ok"
                    if code == "ok":
                        taken.append((module, name))
        assert set(taken) <= _known(position)
        assert refused > len(EXPORTED), "and nearly all of them in more than one form"
        assert len(EXPORTED) > 1500
        assert state() == before

    def test_a_class_of_the_same_name_elsewhere(self) -> None:
        for module in (
            "keras.src.ops.core",
            "evil",
            "keras.src.layers",
            "",
            "keras.layers.",
            "KERAS.LAYERS",
            7,
            ["keras"],
        ):
            assert judged(functional(dense() | {"module": module})) == "model.forbidden_class"
        assert judged(functional(dense() | {"registered_name": "evil>Dense"})) == "model.forbidden_class"

    def test_cve_2025_49655_and_cve_2026_1462(self) -> None:
        """CVE-2025-49655 (TorchModuleWrapper) and CVE-2026-1462 (TFSMLayer), as class and as function."""
        for name in ("TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"):
            assert judged(sequential(dense() | {"class_name": name})) == "model.forbidden_class"
            item = {"module": "keras.layers", "class_name": "function", "config": name}
            assert judged(functional(dense(activation=item))) == "model.forbidden_class"

    @pytest.mark.parametrize(
        "special",
        [
            "function",
            "__lambda__",
            "__typespec__",
            "__tensor__",
            "__numpy__",
            "__bytes__",
            "__slice__",
            "TypeSpec",
            "x",
        ],
    )
    def test_special_forms(self, special: str) -> None:
        item = {"class_name": special, "config": {"value": [1], "code": "x"}}
        for key in ("activation", "kernel_initializer", "dtype", "anything", "kernel_constraint", "bias_regularizer"):
            assert judged(functional(dense(**{key: item}))) in ("model.forbidden_class", "model.forbidden_value")


class TestM3Strings:
    @pytest.mark.parametrize(
        "text",
        ["/etc/passwd", "../x", "file:///etc/passwd", "http://127.0.0.1/x", "s3://bucket/x", "~/x", "C:\\x", "a/b",
         "x" * 300, "a\nb", "ü", "\x00"],
    )  # fmt: skip
    def test_cve_2025_12058_paths_and_urls(self, text: str) -> None:
        """CVE-2025-12058: a vocabulary that is a path or a URL."""
        assert judged(functional(dense(vocabulary=text))) == "model.forbidden_value"
        assert judged(functional(dense(anything=[[text]]))) == "model.forbidden_value"
        assert judged(sequential(dense() | {"class_name": "StringLookup"})) == "model.forbidden_class"

    @pytest.mark.parametrize("value", [float("inf"), float("nan"), 2**40, -(2**40), {"a": 1}, [{"b": 2}]])
    def test_values(self, value: Any) -> None:
        assert judged(functional(dense(anything=value))) == "model.forbidden_value"

    def test_many_values(self) -> None:
        assert judged(functional(dense(anything=[0] * 200_000))) == "model.too_large"


class TestM8Names:
    @pytest.mark.parametrize(
        "name", ["../x", "/x", "a/../b", "..", " a", "", "x\n", "x" * 129, "a\x00", "%2e%2e", "‮x", 7, None]
    )
    def test_cve_2026_12479_names(self, name: Any) -> None:
        """CVE-2026-12479: a layer's name that is a way out of a folder."""
        layer = dense()
        layer["config"]["name"] = name
        assert judged(sequential(layer)) == "model.forbidden_value"
        assert judged(functional(dense(), layer)) in ("model.forbidden_value", "model.bad_graph")

    @given(st.text(max_size=200))
    def test_a_name_that_is_taken_is_harmless(self, name: str) -> None:
        if judged(sequential(dense(name=name))) == "ok":
            assert is_name(name)
            assert name.isprintable()
            assert "\\" not in name
            assert ".." not in name
            assert not name.startswith("/")
            assert "\x00" not in name


class TestGraph:
    def test_a_circle(self) -> None:
        config = functional(dense("a"), dense("b"))
        config["config"]["layers"][1]["inbound_nodes"][0]["args"] = [tensor("b")]
        assert judged(config) == "model.bad_graph"

    def test_a_layer_that_is_not_there(self) -> None:
        config = functional(dense("a"))
        config["config"]["layers"][1]["inbound_nodes"][0]["args"] = [tensor("nowhere")]
        assert judged(config) == "model.bad_graph"
        config = functional(dense("a"), output="nowhere")
        assert judged(config) == "model.bad_graph"

    def test_two_of_a_name(self) -> None:
        assert judged(functional(dense("a"), dense("a"))) == "model.bad_graph"

    def test_many_layers(self) -> None:
        assert judged(sequential(*(dense(f"d{number}") for number in range(5001)))) == "model.too_large"

    @pytest.mark.parametrize(
        "config", [None, [], "x", 7, {}, {"class_name": "Sequential"}, {"class_name": ["Sequential"]}]
    )
    def test_what_is_no_model(self, config: Any) -> None:
        assert judged(config) in ("model.unsupported", "model.forbidden_class", "model.bad_graph")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


@given(json_values, st.sampled_from(["class_name", "module", "config", "registered_name", "inbound_nodes", "name"]))
def test_anything_in_place_of_a_part_is_refused_or_harmless(value: Any, key: str) -> None:
    config = functional(dense("a"), dense("b"))
    config["config"]["layers"][1][key] = value
    judged(config)


def _without_modules(value: Any) -> Any:
    """Gives the config as Keras 2 would have written it."""
    if isinstance(value, list):
        return [_without_modules(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_modules(item) for key, item in value.items() if key != "module"}
    return value


def _known(position: str) -> set[tuple[str, str]]:
    """What may stand there, by whatever module Keras exports it."""
    allowed = {
        "layer": pure_layers.WITHOUT_MODULE,
        "function": pure_layers.LAYERS,
        "value": pure_layers.INITIALIZERS | pure_layers.ACTIVATION_LAYERS,
        "argument": frozenset[str](),
    }[position]
    return {(module, name) for module, name in EXPORTED if name in allowed}
