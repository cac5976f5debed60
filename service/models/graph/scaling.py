"""What a network wants of pixels, read from what it does with them itself, or from the family it belongs to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.models.files.spec import Preprocessing, PreprocessingMode
from service.models.graph.graph import Graph, LayerEntry, Node, Tensor

# Preprocessing of the families of keras.applications, by the name Keras gives the network or its backbone.
KNOWN_FAMILIES: Sequence[tuple[str, PreprocessingMode]] = (
    (r"^(efficientnet|convnext|mobilenet_?v3|regnet|resnetrs)", "none"),
    (r"^(vgg|resnet(50|101|152)(?!_?v2))", "caffe"),
    (r"^densenet", "torch"),
    (r"^(mobilenet|inception|xception|nasnet|resnet\d+_?v2)", "tf"),
)
# The same, by the names of layers that no other family has, for backbones whose layers were taken out of them.
KNOWN_LAYERS: Sequence[tuple[frozenset[str], PreprocessingMode]] = (
    (frozenset({"block1_conv1", "block1_conv2", "block1_pool"}), "caffe"),
    (frozenset({"conv2_block1_preact_bn"}), "tf"),
    (frozenset({"conv2_block1_concat"}), "torch"),
    (frozenset({"conv2_block1_1_conv", "conv2_block1_add"}), "caffe"),
    (frozenset({"expanded_conv_depthwise", "bn_Conv1"}), "tf"),
    (frozenset({"conv_dw_1", "conv_pw_1"}), "tf"),
    (frozenset({"block1_conv1", "block2_sepconv1"}), "tf"),
    (frozenset({"mixed0"}), "tf"),
    (frozenset({"mixed_5b"}), "tf"),
    (frozenset({"stem_conv1", "stem_bn1"}), "tf"),
)
LEVELS = 255.0
_TOLERANCE = 0.25
_FEEDS: dict[PreprocessingMode, tuple[float, float]] = {
    "none": (0.0, LEVELS),
    "rescale01": (0.0, 1.0),
    "tf": (-1.0, 1.0),
}
# What networks are trained on: 0..1, -1..1, about three deviations, levels about their mean, halves about it, levels.
_USUAL = ((0.0, 1.0), (-1.0, 1.0), (-2.1, 2.6), (-117.0, 138.0), (-0.5, 0.5), (0.0, LEVELS))


@dataclass(frozen=True)
class Scaling:
    """A preprocessing; `assumed` says that neither the spec nor the network says it."""

    preprocessing: Preprocessing
    assumed: bool


def find_scaling(name: str, graph: Graph, image: Tensor, stated: Preprocessing | None) -> Scaling:
    """What the spec says; else what the network's own arithmetic needs; else its family's; else x/255, assumed."""
    if stated is not None:
        return Scaling(stated, assumed=False)
    own = own_scaling(graph, image)
    if own is not None:
        return Scaling(Preprocessing(mode=own), assumed=False)
    mode = _family(name, graph)
    return Scaling(Preprocessing(mode=mode or "rescale01"), assumed=True)


def own_scaling(graph: Graph, image: Tensor) -> PreprocessingMode | None:
    """Gives the values that a network which scales pixels itself wants of them. None for one that does not.

    Every way from the image to the first layer that has learned something is followed. On it a pixel may be moved,
    copied, cut out, or put through arithmetic with constants, and where that is known its range tells what was fed.
    """
    maps: dict[Tensor, _Line] = {image: _Line.same()}
    best: _Line | None = None
    for node in graph.nodes:
        before = [maps[tensor] for tensor in node.inputs if tensor in maps]
        if not before:
            continue
        after = _through(node, before)
        if after is None:
            continue
        for output in node.outputs:
            maps[output] = after
        if after.is_scaled and (best is None or after.steps >= best.steps):
            best = after
    return None if best is None else best.wanted()


@dataclass(frozen=True, eq=False)
class _Line:
    """A value as `scale`·pixel + `offset`; `steps` counts the arithmetic."""

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    steps: int = 0

    @classmethod
    def same(cls) -> _Line:
        return cls(np.ones(1), np.zeros(1))

    @property
    def is_scaled(self) -> bool:
        return self.steps > 0 and not (np.allclose(self.scale, 1) and np.allclose(self.offset, 0))

    def wanted(self) -> PreprocessingMode:
        """What must be fed so that the range behind the arithmetic is one that networks are trained on."""
        scale, offset = float(np.mean(self.scale)), float(np.mean(self.offset))
        found: list[tuple[float, PreprocessingMode]] = []
        for mode, (low, high) in _FEEDS.items():
            ends = sorted((low * scale + offset, high * scale + offset))
            for usual in _USUAL:
                if mode == "none" and usual == (0.0, LEVELS):
                    continue
                width = usual[1] - usual[0]
                found.append(((abs(ends[0] - usual[0]) + abs(ends[1] - usual[1])) / width, mode))
        distance, mode = min(found, key=lambda item: item[0])
        return mode if distance <= _TOLERANCE else "none"


def _through(node: Node, before: Sequence[_Line]) -> _Line | None:
    """None behind what is neither arithmetic with constants nor a move of pixels."""
    traits = node.traits
    line = max(before, key=lambda item: item.steps)
    if traits.affine is not None and len(before) == 1:
        scale, offset = traits.affine.scale, traits.affine.offset
        try:
            return _Line(line.scale * scale, line.offset * scale + offset, line.steps + 1)
        except ValueError:
            # Constants a cell, or more than there are channels: their means say enough.
            scaled = line.scale.mean() * scale.mean()
            return _Line(
                np.array([scaled]), np.array([line.offset.mean() * scale.mean() + offset.mean()]), line.steps + 1
            )
    if not traits.has_weights and (traits.moves_pixels or traits.keeps_values or traits.kind == "InputLayer"):
        if len(before) == 1:
            return line
        # Channels that were taken apart, scaled one by one, and put together again.
        scale, offset = (
            np.array([np.mean([getattr(item, name).mean() for item in before])]) for name in ("scale", "offset")
        )
        return _Line(scale, offset, line.steps)
    return None


def _family(name: str, graph: Graph) -> PreprocessingMode | None:
    """Gives the preprocessing of a family of keras.applications: the network's own, a nested backbone's, or one that is
    known by its layers."""
    names = [name, *(entry.path.rsplit("/", 1)[-1] for entry in graph.layers if entry.is_model)]
    for each in names:
        for pattern, mode in KNOWN_FAMILIES:
            if re.match(pattern, each.lower()):
                return mode
    layers = {entry.path.rsplit("/", 1)[-1] for entry in graph.layers}
    known = next((mode for names, mode in KNOWN_LAYERS if names <= layers), None)
    return known or ("tf" if is_teachable_machine(graph) else None)


def is_teachable_machine(graph: Graph) -> bool:
    """Whether a network is built as Google's Teachable Machine does: a Sequential of a backbone that is pooled, and one
    of two dense layers, the last without bias under a softmax."""
    outer = [entry for entry in graph.layers if "/" not in entry.path and entry.kind != "InputLayer"]
    if [(entry.is_model, entry.kind) for entry in outer] != [(True, "Sequential")] * 2:
        return False
    features, head = (_inside(graph, entry.path) for entry in outer)
    kinds = [entry.kind for entry in head]
    if kinds != ["Dense", "Dense"] or [entry.is_model for entry in features] != [True, False]:
        return False
    return features[1].kind == "GlobalAveragePooling2D" and not getattr(head[1].layer, "use_bias", True)


def _inside(graph: Graph, path: str) -> list[LayerEntry]:
    """The layers right inside a nested model, without its input."""
    prefix = path + "/"
    inner = [entry for entry in graph.layers if entry.path.startswith(prefix) and "/" not in entry.path[len(prefix) :]]
    return [entry for entry in inner if entry.kind != "InputLayer"]
