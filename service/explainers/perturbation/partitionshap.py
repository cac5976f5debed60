"""Partition SHAP: Owen values of a tree of segments, split where there is most to share out."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Floats
from service.explainers.base import Explanation, Scale
from service.explainers.perturbation.explained import explained
from service.explainers.perturbation.masks import Doubles
from service.explainers.perturbation.sampling import perturbation_variant
from service.explainers.perturbation.scoring import MaskScores, Preview
from service.explainers.perturbation.segmented import SEGMENTED, Segmented, check_segmented
from service.explainers.variants import Maps

if TYPE_CHECKING:
    from service.explainers.perturbation.params import PerturbationParams
    from service.explainers.perturbation.segments import Labels
    from service.explainers.subject import Subject

SAMPLES = 500
# So many groups are split before their scores are looked at.
SPLITS_A_ROUND = 16


@dataclass(order=True)
class Share:
    """What a group of segments adds to a context: the rise from `without` to `with_it`, which counts `weight`.

    The context is the mask around the group; groups with most to share out come first.
    """

    order: float
    number: int
    group: Group = field(compare=False)
    context: Floats = field(compare=False)
    without: Doubles = field(compare=False)
    with_it: Doubles = field(compare=False)
    weight: float = field(compare=False)

    @property
    def value(self) -> Doubles:
        """(targets,): the group's part in this context."""
        return self.weight * (self.with_it - self.without)


@dataclass(frozen=True, eq=False)
class Group:
    """Some segments, by their numbers, and the two groups that they are split into; none of a single one."""

    segments: tuple[int, ...]
    halves: tuple[Group, Group] | None = None


def tree_of(labels: Labels) -> Group:
    """Halves the image again and again, across the longer side of what is left, by the centres of the segments."""
    count = int(labels.max()) + 1
    sizes = np.bincount(labels.ravel(), minlength=count)
    places = np.indices(labels.shape).reshape(2, -1)
    centres = np.stack([np.bincount(labels.ravel(), place, count) / sizes for place in places], axis=1)

    def halved(segments: tuple[int, ...]) -> Group:
        if len(segments) == 1:
            return Group(segments)
        own = centres[list(segments)]
        axis = int(np.ptp(own, axis=0).argmax())
        order = sorted(segments, key=lambda segment: (centres[segment, axis], segment))
        middle = len(order) // 2
        return Group(segments, (halved(tuple(order[:middle])), halved(tuple(order[middle:]))))

    return halved(tuple(range(count)))


class _Sharing:
    """The groups that wait to be split, and what has been shared out to single segments, (targets, d)."""

    def __init__(self, segmented: Segmented, scores: MaskScores, samples: int) -> None:
        self._segmented, self._scores, self._samples = segmented, scores, samples
        self._waiting: list[Share] = []
        self._settled = np.zeros((len(scores.targets.pairs), segmented.count))
        self._ends = np.zeros((2, len(scores.targets.pairs)))
        self._number = 0

    def begin(self, tree: Group, preview: Preview) -> None:
        """Scores the covered and the whole image."""
        count = self._segmented.count
        nothing = np.zeros(count, np.float32)
        masks = self._segmented.masks(np.stack([nothing, np.ones(count, np.float32)]))
        self._ends = self._scores.under(masks, preview=preview)
        self._add(tree, nothing, self._ends[0], self._ends[1], 1.0)

    def goes_on(self, tolerance: float) -> bool:
        """Whether there is something to split, samples for it, and more of it than is tolerated."""
        if not self._waiting or self._scores.rows + 2 > self._samples:
            return False
        values, unsplit = self._shared()
        span = np.maximum(np.ptp(values, axis=1), 1e-12)
        return not tolerance or float((np.abs(unsplit).max(axis=1) / span).max()) > tolerance

    def split(self, preview: Preview) -> None:
        """Splits some of the groups with most to share out."""
        room = (self._samples - self._scores.rows) // 2
        taken = [heapq.heappop(self._waiting) for _ in range(min(SPLITS_A_ROUND, room, len(self._waiting)))]
        masks = np.stack([_with(share, half) for share in taken for half in _halves(share.group)])
        found = self._scores.under(self._segmented.masks(masks), preview=preview).reshape(len(taken), 2, -1)
        for place, share in enumerate(taken):
            left, right = _halves(share.group)
            with_left, with_right = found[place]
            half = share.weight / 2
            self._add(left, share.context, share.without, with_left, half)
            self._add(left, masks[2 * place + 1], with_right, share.with_it, half)
            self._add(right, share.context, share.without, with_right, half)
            self._add(right, masks[2 * place], with_left, share.with_it, half)

    def _add(self, group: Group, context: Floats, without: Doubles, with_it: Doubles, weight: float) -> None:
        if group.halves is None:
            self._settled[:, group.segments[0]] += weight * (with_it - without)
            return
        self._number += 1
        amount = float(np.abs(weight * (with_it - without)).max())
        heapq.heappush(self._waiting, Share(-amount, self._number, group, context, without, with_it, weight))

    def _shared(self) -> tuple[Doubles, Doubles]:
        """(targets, d) values, and what of them was only shared out evenly."""
        unsplit = np.zeros_like(self._settled)
        for share in self._waiting:
            unsplit[:, list(share.group.segments)] += share.value[:, None] / len(share.group.segments)
        return self._settled + unsplit, unsplit

    def maps(self) -> Maps:
        """What has been found so far."""
        values, unsplit = self._shared()
        missed = (self._ends[1] - self._ends[0] - values.sum(axis=1)).tolist()
        bases = self._ends[0].tolist()
        said = {
            "segment_count": self._segmented.count,
            "samples_used": self._scores.rows,
            "exact": not self._waiting,
            "base_score": bases[0] if len(bases) == 1 else bases,
            "additivity_residual": missed[0] if len(missed) == 1 else missed,
        }
        extras = {"unsplit": self._segmented.painted(unsplit), **self._segmented.extras}
        return Maps(self._segmented.painted(values), self._scores.clean, said, extras=extras)


def _halves(group: Group) -> tuple[Group, Group]:
    if group.halves is None:
        raise ValueError("a group of one segment has no halves")
    return group.halves


def _with(share: Share, half: Group) -> Floats:
    """The context, with one half of the group kept."""
    kept = share.context.copy()
    kept[list(half.segments)] = 1
    return kept


def _partitionshap(subject: Subject, params: PerturbationParams) -> Maps:
    """Gives a number a segment that sum to the rise of the score from the covered image to the whole one.

    Owen values, as the PartitionExplainer of Lundberg's shap computes them: a group's part is shared between its halves
    by what each adds with and without the other, ½ of each. A group that the samples do not suffice to split is shared
    out evenly, and `unsplit` (h, w) says how much that is. Owen 1977; exact where all is split.
    """
    segmented = Segmented.of(subject, params)
    samples = params.samples or SAMPLES
    scores = MaskScores(subject, params, samples)
    sharing = _Sharing(segmented, scores, samples)

    def preview(_: Doubles) -> Explanation:
        return explained(subject, params, sharing.maps(), Scale.SYMMETRIC)

    sharing.begin(tree_of(segmented.labels), preview)
    while sharing.goes_on(params.tolerance):
        sharing.split(preview)
    return sharing.maps()


partitionshap = perturbation_variant(
    "partitionshap",
    "Owen values of the segments: Shapley values within a tree that halves the image again and again.",
    "https://arxiv.org/abs/1705.07874",
    "Neighbours share their part as one: a segment that matters only with a far one is told less well. See unsplit for "
    "what the samples did not suffice to share out.",
    samples=SAMPLES,
    scale=Scale.SYMMETRIC,
    takes=SEGMENTED,
    compute=_partitionshap,
    check=check_segmented,
)
