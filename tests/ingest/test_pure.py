"""The tables of what is pure: every name that the installed Kerases export is judged, and no judged name does harm."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import keras
import pytest

from service.ingest import pure_functions as functions
from service.ingest import pure_layers as layers

# Nothing that a file may name belongs to one of these: files, Python, other programs, state, control flow, text.
FORBIDDEN_NAMES = (
    "audio.", "autograph.", "config.", "data.", "distribute.", "feature_column.", "graph_util.", "io.",
    "lookup.", "mlir.", "profiler.", "queue.", "random.", "raw_ops.", "saved_model.", "strings.", "summary.",
    "sysconfig.", "test.", "tpu.", "train.", "xla.", "keras.utils.", "keras.models.", "keras.saving.",
)  # fmt: skip
FORBIDDEN_FUNCTIONS = {
    "case", "cond", "custom_gradient", "foldl", "foldr", "function", "grad_pass_through", "load_library",
    "load_op_library", "map_fn", "numpy_function", "print", "py_function", "recompute_grad", "scan", "switch_case",
    "vectorized_map", "while_loop", "compat.v1.py_func", "compat.v1.Print", "compat.v1.assign",
    "compat.v1.get_variable", "keras.backend.print_tensor",
}  # fmt: skip
FORBIDDEN_MODULES = (
    "control_flow", "custom_gradient", "functional_ops", "gen_io_ops", "io_ops", "logging_ops",
    "lookup_ops", "map_fn", "parsing_ops", "random_ops", "script_ops", "state_ops", "string_ops", "variable",
    "while_loop",
)  # fmt: skip
FUNCTION_ARGUMENTS = {"body", "callback", "cond", "fn", "func", "function", "grad_fn", "op", "true_fn", "window_fn"}
TF_NAMES = sorted(frozenset().union(*functions.TF_FUNCTIONS.values()))


def exported(module: Any) -> set[str]:
    return {name for name, value in vars(module).items() if inspect.isclass(value)}


def unjudged(names: set[str]) -> set[str]:
    return names - layers.LAYERS - layers.CODE_LAYERS.keys()


def test_keras_3_layers() -> None:
    assert unjudged(exported(keras.layers)) == set()


def test_keras_2_layers() -> None:
    experimental = pytest.importorskip("tf_keras").layers.experimental
    layers_2 = importlib.import_module("tf_keras").layers
    assert unjudged(exported(layers_2) | exported(experimental) | exported(experimental.preprocessing)) == set()


def test_names_by_which_keras_2_reads_h5() -> None:
    """A bare class name is looked up in a table of Keras 2 that holds more than `keras.layers`."""
    pytest.importorskip("tf_keras")
    serialization = importlib.import_module("tf_keras.src.layers.serialization")
    serialization.populate_deserializable_objects()
    names = {name for name, value in serialization.LOCAL.ALL_OBJECTS.items() if inspect.isclass(value)}
    assert unjudged(names) == set(layers.CONTAINERS) | layers.OP_LAYER_NAMES


def test_layers_are_in_one_table() -> None:
    assert not layers.LAYERS & layers.CODE_LAYERS.keys()
    assert not (layers.LAYERS | layers.CODE_LAYERS.keys()) & (set(layers.CONTAINERS) | layers.OP_LAYER_NAMES)
    assert not layers.APPLICATION_NAMES & (layers.LAYERS | layers.CODE_LAYERS.keys())
    for keyed in (layers.FILE_KEYS, layers.FUNCTION_KEYS, layers.WRAPPERS):
        assert keyed.keys() <= layers.LAYERS
    assert layers.ACTIVATION_LAYERS <= layers.LAYERS
    for reason in (*layers.CODE_LAYERS.values(), *functions.CODE_OPERATIONS.values()):
        assert reason[0].islower()
        assert not reason.endswith(".")


@pytest.mark.parametrize("version", ["keras", "tf_keras"])
def test_layers_that_are_deserialised_inside_of_layers(version: str) -> None:
    """A class whose source makes objects of its config is in WRAPPERS, or makes only numbers of it."""
    numbers = {"Dense", "EinsumDense", "Embedding", "Masking", "Rescaling", "ReversibleEmbedding"}
    library = pytest.importorskip(version)
    for name in exported(library.layers) & layers.LAYERS:
        builder = getattr(library.layers, name).from_config
        if builder.__func__ is not keras.Operation.from_config.__func__ and "deserialize" in inspect.getsource(builder):
            assert name in layers.WRAPPERS.keys() | layers.FUNCTION_KEYS.keys() | numbers, name


def operations() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    names = [info.name for info in pkgutil.iter_modules(keras.src.ops.__path__, "keras.src.ops.")]
    for name in (*names, "keras.src.activations.activations", "keras.src.quantizers.quantizers"):
        if name.endswith("_test"):
            continue
        for key, value in vars(importlib.import_module(name)).items():
            if inspect.isclass(value) and issubclass(value, keras.Operation) and value.__module__ == name:
                found.setdefault(name, set()).add(key)
    return found


def test_operations() -> None:
    found = {module: names - functions.CODE_OPERATIONS.keys() for module, names in operations().items()}
    assert {module: names for module, names in found.items() if names} == functions.OPERATIONS
    assert functions.CODE_OPERATIONS.keys() == set().union(*operations().values()) & functions.CODE_OPERATIONS.keys()
    assert not frozenset().union(*functions.OPERATIONS.values()) & functions.CODE_OPERATIONS.keys()


def test_no_operation_takes_a_function() -> None:
    for module, names in functions.OPERATIONS.items():
        for name in names:
            operation = getattr(importlib.import_module(module), name)
            for method in (operation.__init__, operation.call):
                assert not arguments(method) & (FUNCTION_ARGUMENTS - {"op"}), name


def arguments(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


@pytest.fixture(scope="module")
def symbols() -> Any:
    """How Keras 2 makes a function of a name; `tf_keras` adds its own names to TensorFlow's."""
    pytest.importorskip("tf_keras")
    return importlib.import_module("tensorflow.python.util.tf_export")


def test_tf_functions_are_in_one_group() -> None:
    assert len(TF_NAMES) == sum(map(len, functions.TF_FUNCTIONS.values()))
    assert not FORBIDDEN_FUNCTIONS & set(TF_NAMES)


@pytest.mark.parametrize("name", TF_NAMES)
def test_tf_function_is_harmless(name: str, symbols: Any) -> None:
    function = symbols.get_symbol_from_name(name)
    assert callable(function), "TensorFlow has no such name"
    assert not name.removeprefix("compat.v1.").startswith("debugging.")
    assert not inspect.isclass(function)
    undecorated = importlib.import_module("tensorflow.python.util.tf_decorator").unwrap(function)[1]
    aliases = {name, *getattr(undecorated, "_tf_api_names", ()), *getattr(undecorated, "_tf_api_names_v1", ())}
    for alias in aliases:
        short = alias.removeprefix("compat.v1.")
        assert not short.startswith(FORBIDDEN_NAMES), alias
        assert short not in FORBIDDEN_FUNCTIONS, alias
    assert not any(part in undecorated.__module__.rsplit(".", 1)[-1] for part in FORBIDDEN_MODULES)
    assert not arguments(undecorated) & FUNCTION_ARGUMENTS


def test_written_under_its_canonical_name(symbols: Any) -> None:
    """A name under which Keras 2 never writes a function has no place in the table."""
    for name in TF_NAMES:
        function = symbols.get_symbol_from_name(name)
        canonical = symbols.get_canonical_name_for_symbol(function, add_prefix_to_v1_names=True)
        assert name in (canonical, symbols.get_canonical_name_for_symbol(function, api_name="keras"))


@pytest.mark.parametrize("name", sorted(functions.NODE_OPS))
def test_node_op_is_stateless(name: str) -> None:
    registry = importlib.import_module("tensorflow.python.framework.op_def_registry")
    dtypes = importlib.import_module("tensorflow").dtypes
    definition = registry.get(name)
    assert definition is not None, "TensorFlow has no such operation"
    assert not definition.is_stateful
    assert not {attribute.type for attribute in definition.attr} & {"func", "list(func)"}
    values = [*definition.input_arg, *definition.output_arg]
    unwanted = {dtype.as_datatype_enum for dtype in (dtypes.resource, dtypes.string, dtypes.variant)}
    assert not {value.type for value in values} & unwanted
    assert not any(value.is_ref for value in values)
    assert not name.startswith(("Abort", "Debug", "Immutable", "PyFunc", "Print", "Stateless", "TPU", "Xla"))


def test_names_that_keras_accepts() -> None:
    """Every activation, initializer, regularizer and constraint of Keras 3 passes, but for the base classes."""
    for module, names in (
        ("activations", layers.ACTIVATIONS),
        ("initializers", layers.INITIALIZER_NAMES),
        ("regularizers", layers.REGULARIZER_NAMES),
        ("constraints", layers.CONSTRAINT_NAMES),
    ):
        base = {module.removesuffix("s"), module.removesuffix("s").capitalize()}
        assert set(importlib.import_module(f"keras.src.{module}").ALL_OBJECTS_DICT) - base <= names


def test_classes_are_among_the_names() -> None:
    assert layers.INITIALIZERS < layers.INITIALIZER_NAMES
    assert layers.REGULARIZERS < layers.REGULARIZER_NAMES
    assert layers.CONSTRAINTS < layers.CONSTRAINT_NAMES


@pytest.mark.parametrize("module", sorted(module for module in layers.OTHER_OBJECTS if module is not None))
def test_other_objects_exist(module: str) -> None:
    library = pytest.importorskip("tf_keras") if module == "keras.mixed_precision" else keras
    here = library if module == "keras" else getattr(library, module.removeprefix("keras."))
    assert layers.OTHER_OBJECTS[module] - {"PolicyV1"} <= exported(here)
