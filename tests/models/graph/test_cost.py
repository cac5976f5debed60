"""Arithmetic and memory of a pass, at the model's own size and at any other."""

from __future__ import annotations

import nets
import pytest

from service.models.backends.tensorflow import TensorFlowBackend
from service.models.graph.canonical import canonical
from service.models.graph.cost import activation_bytes, flops, largest_bytes, shapes_at


def test_by_hand() -> None:
    """2×3 cells, two channels of one multiplication each, relu, their means, and a dense layer of 2·4 and softmax."""
    graph = canonical(nets.pencil())
    assert flops(graph, (2, 3)) == 12 * 2 + 12 + 2 + 4 * 4 + 4
    assert activation_bytes(graph, (2, 3)) == 4 * (12 + 12 + 2 + 4 + 4)
    assert largest_bytes(graph, (2, 3)) == 4 * 12


@pytest.mark.parametrize("side", [9, 20, 33])
@pytest.mark.parametrize("built", [None, 16])
def test_at_any_size_as_if_built_for_it(built: int | None, side: int) -> None:
    """Whether the file leaves the size open or says another."""
    graph, exact = canonical(nets.any_size_net(side=built)), canonical(nets.any_size_net(side=side))
    for measure in (flops, activation_bytes, largest_bytes):
        assert measure(graph, (side, side)) == measure(exact, (side, side))
    expected = [tensor.shape[1:] for node in exact.nodes for tensor in node.outputs]
    found = shapes_at(graph, (side, side))
    assert [found[tensor] for node in graph.nodes for tensor in node.outputs] == expected


def test_a_size_the_network_cannot_take_costs_what_its_own_does() -> None:
    graph = canonical(nets.any_size_net(side=16))
    assert flops(graph, (2, 2)) == flops(graph, (16, 16))


def test_a_part_costs_less_than_the_whole() -> None:
    graph = canonical(nets.any_size_net())
    first = graph.until(graph.value("first"))
    assert flops(first, (9, 9)) == 4 * 4 * 6 * (2 * 9 * 3 + 1)
    assert activation_bytes(first, (9, 9)) == 2 * 4 * 4 * 6 * 4


def test_chunks_follow_from_time_and_memory() -> None:
    graph, large = canonical(nets.any_size_net()), (2000, 2000)
    roomy, narrow = TensorFlowBackend(call_bytes=2**33), TensorFlowBackend(call_bytes=2**28)
    half, tenth = (roomy.chunk(graph, large, backward=True, seconds=seconds) for seconds in (0.5, 0.1))
    assert tenth > 1
    assert 4 <= half / tenth <= 6
    assert narrow.chunk(graph, large, backward=True) == 2**28 // (2 * activation_bytes(graph, large)) == 1
    assert narrow.chunk(graph, (64, 64), backward=True) == 64


def test_whether_one_image_fits() -> None:
    graph, backend = canonical(nets.any_size_net()), TensorFlowBackend(call_bytes=2**27)
    assert backend.fits(graph, (1000, 1000))
    assert not backend.fits(graph, (4000, 4000))
