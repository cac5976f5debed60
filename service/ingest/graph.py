"""How the layers of a functional model are wired: every name is there, nothing goes in circles or is left over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from service.ingest.verdict import Refused

Node = tuple[str, int]


@dataclass(frozen=True)
class Wiring:
    """How names and the arguments beside tensors are checked."""

    check_name: Callable[[Any], str]
    check_argument: Callable[[Any], None]


def check_functional(config: dict[str, Any], wiring: Wiring) -> None:
    """Raises Refused with `model.bad_graph`, or what `wiring` raises.

    A node that leads to no output would still be run when the model is built: that is how a file could have a function
    called by it.
    """
    sources: dict[Node, list[Node]] = {}
    names: set[str] = set()
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
        for place, node in enumerate(inbound or [[]]):
            sources[name, place] = list(_references(node, wiring))
    outputs = list(_ends(config.get("output_layers"), "output_layers", wiring))
    inputs = {name for name, _ in _ends(config.get("input_layers"), "input_layers", wiring)}
    if not outputs or not inputs:
        raise Refused("model.bad_graph", "the model has no input or no output")
    reached = _reached(outputs, sources)
    left = sorted(name for name, place in set(sources) - reached)
    if left:
        raise Refused("model.bad_graph", f"the layer {left[0]!r} leads to no output")
    if not inputs <= names:
        raise Refused("model.bad_graph", f"the input {min(inputs - names)!r} is no layer")


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


def _references(node: Any, wiring: Wiring) -> Iterator[Node]:
    """The nodes that one call of a layer takes tensors from, as Keras 3 or Keras 2 writes them."""
    if isinstance(node, dict):
        if set(node) - {"args", "kwargs"}:
            raise Refused("model.bad_graph", "a call of a layer has more than arguments")
        kwargs = node.get("kwargs", {})
        if not isinstance(kwargs, dict):
            raise Refused("model.bad_graph", "the named arguments of a layer are no object")
        for name in kwargs:
            wiring.check_name(name)
        yield from _in_arguments([node.get("args", []), *kwargs.values()], wiring)
    elif isinstance(node, list):
        for entry in node:
            yield _legacy(entry, wiring)
    else:
        raise Refused("model.bad_graph", "a call of a layer is neither a list nor an object")


def _in_arguments(values: list[Any], wiring: Wiring) -> Iterator[Node]:
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
        else:
            wiring.check_argument(item)


def _legacy(entry: Any, wiring: Wiring) -> Node:
    if not isinstance(entry, list) or len(entry) not in (3, 4):
        raise Refused("model.bad_graph", "a call of a layer does not name the layer, node and tensor it takes")
    if len(entry) == 4:
        if not isinstance(entry[3], dict):
            raise Refused("model.bad_graph", "the named arguments of a layer are no object")
        for name, value in entry[3].items():
            wiring.check_name(name)
            wiring.check_argument(value)
    return _node(entry[:3], wiring)


def _ends(ends: Any, what: str, wiring: Wiring) -> Iterator[Node]:
    """`["name", 0, 0]`, or a list of such."""
    stack = [ends]
    while stack:
        item = stack.pop()
        if not isinstance(item, list):
            raise Refused("model.bad_graph", f"{what!r} is no list of layers")
        if item and isinstance(item[0], str):
            yield _node(item, wiring)
        else:
            stack.extend(item)


def _node(reference: Any, wiring: Wiring) -> Node:
    whole = isinstance(reference, list) and len(reference) == 3
    if not whole or not all(type(number) is int and 0 <= number < 10**6 for number in reference[1:]):
        raise Refused("model.bad_graph", "a tensor does not name its layer, node and place")
    return wiring.check_name(reference[0]), reference[1]
