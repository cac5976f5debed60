"""How the layers of a functional model are wired: every name is there, nothing goes in circles or is left over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from service.ingest.verdict import Refused
from service.json_types import Json, JsonObject

Node = tuple[str, int]
_CONSTANT = "_CONSTANT_VALUE"


@dataclass(frozen=True)
class Wiring:
    """How names and the arguments beside tensors are checked."""

    check_name: Callable[[Json], str]
    check_argument: Callable[[Json], None]


def check_functional(config: JsonObject, wiring: Wiring, *, leftovers: bool = False) -> None:
    """Raises Refused with `model.bad_graph`, or what `wiring` raises.

    A node that leads to no output would still be run when the model is built: that is how a file could have a function
    called by it. `leftovers` lets such nodes be.
    """
    sources: dict[Node, list[Node]] = {}
    names: set[str] = set()
    calls: dict[str, int] = {}
    for layer in config["layers"]:
        inner = layer.get("config")
        name = layer.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
        name = wiring.check_name(name)
        if name in names:
            raise Refused("model.bad_graph", f"two layers are named {name!r}")
        names.add(name)
        inbound = layer.get("inbound_nodes", [])
        if not isinstance(inbound, list):
            raise Refused("model.bad_graph", f"the inbound nodes of {name!r} are no list")
        if _is_model(layer):
            calls[name] = len(inbound)
        for place, node in enumerate(inbound or [[]]):
            sources[name, place] = list(_references(node, wiring))
    outputs = list(_ends(config.get("output_layers"), "output_layers", wiring))
    inputs = {name for name, _ in _ends(config.get("input_layers"), "input_layers", wiring)}
    if not outputs or not inputs:
        raise Refused("model.bad_graph", "the model has no input or no output")
    places = _Places(calls, [*outputs, *(node for nodes in sources.values() for node in nodes)])
    wired = {node: [places.of(source) for source in nodes] for node, nodes in sources.items()}
    reached = _reached([places.of(node) for node in outputs], wired)
    left = sorted(name for name, _ in set(wired) - reached)
    if left and not leftovers:
        raise Refused("model.bad_graph", f"the layer {left[0]!r} leads to no output")
    if not inputs <= names:
        raise Refused("model.bad_graph", f"the input {min(inputs - names)!r} is no layer")


class _Places:
    """The call that a reference means. A nested model counts the call that made it, so that its first one here is its
    second; Keras 3 counts so for outputs alone."""

    def __init__(self, calls: dict[str, int], references: list[Node]) -> None:
        self._late = {name for name, number in references if name in calls and number >= max(1, calls[name])}

    def of(self, node: Node) -> Node:
        name, number = node
        return (name, max(0, number - 1)) if name in self._late else node


def _is_model(layer: JsonObject) -> bool:
    inner = layer.get("config")
    return isinstance(inner, list) or (isinstance(inner, dict) and isinstance(inner.get("layers"), list))


def _reached(outputs: list[Node], sources: dict[Node, list[Node]]) -> set[Node]:
    """Every node that the outputs follow from, without going in circles."""
    done: set[Node] = set()
    open_: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(node, False) for node in outputs]
    while stack:
        node, leaving = stack.pop()
        if leaving:
            open_.discard(node)
            done.add(node)
            continue
        if node in done:
            continue
        if node not in sources:
            raise Refused(
                "model.bad_graph", f"the layer {node[0][:80]!r} is called from node {node[1]}, which is not there"
            )
        if node in open_:
            raise Refused("model.bad_graph", f"the layer {node[0]!r} follows from itself")
        open_.add(node)
        stack.append((node, True))
        for source in sources[node]:
            if source in open_:
                raise Refused("model.bad_graph", f"the layer {source[0]!r} follows from itself")
            stack.append((source, False))
    return done


def _references(node: Json, wiring: Wiring) -> Iterator[Node]:
    """The nodes that one call of a layer takes tensors from, as Keras 3 or Keras 2 writes them."""
    if isinstance(node, dict) and ("args" in node or "kwargs" in node):
        if set(node) - {"args", "kwargs"}:
            raise Refused("model.bad_graph", "a call of a layer has more than arguments")
        kwargs = node.get("kwargs", {})
        if not isinstance(kwargs, dict):
            raise Refused("model.bad_graph", "the named arguments of a layer are no object")
        for name in kwargs:
            wiring.check_name(name)
        yield from _in_arguments([node.get("args", []), *kwargs.values()], wiring)
    elif isinstance(node, (list, dict)):
        yield from _in_structure(node, wiring)
    else:
        raise Refused("model.bad_graph", "a call of a layer is neither a list nor an object")


def _in_arguments(values: list[Json], wiring: Wiring) -> Iterator[Node]:
    stack = list(values)
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict) and item.get("class_name") == "__keras_tensor__":
            config = item.get("config")
            if set(item) != {"class_name", "config"} or not isinstance(config, dict):
                raise Refused("model.bad_graph", "a tensor among the arguments of a layer is not one")
            if set(config) - {"shape", "dtype", "keras_history"}:
                raise Refused("model.bad_graph", "a tensor among the arguments of a layer says too much")
            wiring.check_argument([config.get("shape"), config.get("dtype")])
            yield _node(config.get("keras_history"), wiring)
        elif isinstance(item, dict) and "class_name" not in item:
            for name in item:
                wiring.check_name(name)
            stack.extend(item.values())
        else:
            wiring.check_argument(item)


def _in_structure(node: Json, wiring: Wiring) -> Iterator[Node]:
    """Keras 2 writes `["layer", 0, 0, {…}]`, lists and dictionaries of such, constants in the places of tensors."""
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            for name in item:
                wiring.check_name(name)
            stack.extend(item.values())
        elif not isinstance(item, list):
            raise Refused("model.bad_graph", "a call of a layer does not name the layer, node and tensor it takes")
        elif item and isinstance(item[0], str):
            yield from _call(item, wiring)
        else:
            stack.extend(item)


def _call(entry: list[Json], wiring: Wiring) -> Iterator[Node]:
    if len(entry) not in (3, 4):
        raise Refused("model.bad_graph", "a call of a layer does not name the layer, node and tensor it takes")
    if entry[0] == _CONSTANT and entry[1] == -1:
        wiring.check_argument(entry[2])
    else:
        yield _node(entry[:3], wiring)
    if len(entry) == 4:
        if not isinstance(entry[3], dict):
            raise Refused("model.bad_graph", "the named arguments of a layer are no object")
        for name, value in entry[3].items():
            wiring.check_name(name)
            yield from _in_keywords(value, wiring)


def _in_keywords(value: Json, wiring: Wiring) -> Iterator[Node]:
    """Among the named arguments of Keras 2 a list of a name and two numbers is a tensor."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list) and _is_reference(item):
            yield _node(item, wiring)
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict) and "class_name" not in item and set(item) != {"type", "value"}:
            for name in item:
                wiring.check_name(name)
            stack.extend(item.values())
        else:
            wiring.check_argument(item)


def _is_reference(item: list[Json]) -> bool:
    return len(item) == 3 and isinstance(item[0], str) and all(type(number) is int for number in item[1:])


def _ends(ends: Json, what: str, wiring: Wiring) -> Iterator[Node]:
    """`["name", 0, 0]`, or a list or a dictionary of such."""
    stack = [ends]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            for name in item:
                wiring.check_name(name)
            stack.extend(item.values())
        elif not isinstance(item, list):
            raise Refused("model.bad_graph", f"{what!r} is no list of layers")
        elif item and isinstance(item[0], str):
            yield _node(item, wiring)
        else:
            stack.extend(item)


def _node(reference: Json, wiring: Wiring) -> Node:
    whole = isinstance(reference, list) and len(reference) == 3
    if not whole or not all(type(number) is int and 0 <= number < 10**6 for number in reference[1:]):
        raise Refused("model.bad_graph", "a tensor does not name its layer, node and place")
    return wiring.check_name(reference[0]), reference[1]
