"""Evaluation: which of several maps to trust, by numbers, for this model and this image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Floats
from service.errors import InvalidParameter, KerascopeError, MethodNotValid, all_pass
from service.explainers.base import Cost, Explainer, Explanation, Picture, Progress
from service.explainers.evaluation.alikeness import CELLS, OWN, PIXELS
from service.explainers.evaluation.compared import FAMILY_OF, Compared, Maker, takes_layer
from service.explainers.evaluation.comparison import Comparison, Row, laid
from service.explainers.evaluation.localisation import clipped
from service.explainers.evaluation.metric import Found, Metric, Work
from service.explainers.evaluation.metrics import METRICS
from service.explainers.evaluation.params import USUAL_METHODS, EvaluationParams
from service.explainers.evaluation.road import SHARES
from service.explainers.heatmaps import saturation_warnings
from service.explainers.perturbation.scoring import NO_PROBABILITY
from service.explainers.planes import unpacked
from service.explainers.variants import Variant, Warned

if TYPE_CHECKING:
    from service.explainers.subject import Subject

# Of the map of random cells: as coarse as a class activation map of most networks.
RANDOM_CELLS = 7
CHANCE = (PIXELS, CELLS)
# More than any number: where there is none.
LAST = 1e300
BY_NAME = {each.name: each for each in METRICS}


class Evaluation(Explainer[EvaluationParams]):
    """Makes the maps of several methods and measures each by several metrics."""

    name = "evaluate"
    title = "Evaluation"
    summary = (
        "Which of several maps to trust: each is measured by several metrics beside maps of random numbers, and the "
        "methods are ranked."
    )
    cost = Cost.SAMPLES
    picture = Picture.SHEET
    outputs = ("chart", "curves")
    variants = (
        Variant(
            name,
            "The maps of several methods for one score, measured by the metrics below.",
            "",
            "what the maps take, and what the metrics take",
            caution="Every metric measures something of its own and can be fooled; none knows what the network really "
            "does. Trust a ranking that several metrics and several images agree on, and no method that does not beat "
            "the rows of random numbers.",
        ),
    )
    metrics = METRICS
    targeted = True
    Params = EvaluationParams

    def explain(self, subject: Subject, params: EvaluationParams) -> Explanation:
        """Gives `heatmaps` (rows, h, w) float32 of the input's size, one a row: the methods in their order, `own_map`
        where one was sent, two of random numbers; for each metric `<metric>_numbers` (rows,) float32 where every row
        has one, and what lies behind them, rows first.

        The statistics hold a table: a row a map with its numbers, `mean_place` and `rank`; and what each metric means.
        """
        makers, left_out = _makers(subject, params)
        metrics = [BY_NAME[name] for name in dict.fromkeys(params.metrics)]
        rows = len(makers) + (params.own_map is not None) + 2
        comparison = Comparison(subject, params, len(makers) + rows * len(metrics))
        warnings = _add_rows(comparison, makers)
        found: dict[str, Found] = {}
        arrays: dict[str, Array] = {}
        for each in metrics:
            measured = each.compute(comparison)
            found[each.name] = measured
            arrays |= measured.arrays
            if all(value is not None for value in measured.values):
                arrays[f"{each.name}_numbers"] = np.array(measured.values, np.float32)
        names = [row.name for row in comparison.rows]
        if comparison.measure == "probability":
            warnings += saturation_warnings(comparison.targets, comparison.scores)
        if params.box and params.box != (within := clipped(subject.image, params.box)):
            said = ",".join(f"{edge:g}" for edge in within)
            warnings.append(
                Warned("box_clipped", f"the box reaches beyond what the network sees; {said} is what was taken")
            )
        places = _mean_places(metrics, found)
        if places:
            warnings += _no_better_than_random(names, places)
        heatmaps = np.stack([row.values for row in comparison.rows]).astype(np.float32)
        return Explanation(
            {"heatmaps": heatmaps, **arrays},
            "heatmaps",
            comparison.scores,
            comparison.targets,
            parameters={
                "measure": comparison.measure,
                "methods": [maker.called for maker in makers],
                "road_shares": list(SHARES),
            },
            statistics={
                "measured": comparison.clean,
                "rows": _table(names, found, places),
                "ranked_by": [each.name for each in metrics if each.ranked],
                "metrics": [_said(each, found[each.name]) for each in metrics],
                **({"left_out": left_out} if left_out else {}),
            },
            warnings=tuple(warnings),
        )

    @classmethod
    def check(cls, subject: Subject, params: EvaluationParams) -> None:
        """Raises InvalidParameter for several targets or for a metric that lacks what it needs, and what the methods'
        own checks do; all causes in one error."""
        if len(subject.targets.pairs) != 1:
            raise InvalidParameter(
                f"maps are compared for one score, and 'target' names {len(subject.targets.pairs)}; name one"
            )
        if params.measure == "probability" and not subject.targets.has_probability:
            raise MethodNotValid(NO_PROBABILITY)
        makers, _ = _makers(subject, params)
        of_metrics = [partial(BY_NAME[name].check, subject, params) for name in params.metrics]
        all_pass([*(partial(maker.check, subject) for maker in makers), *of_metrics])

    @classmethod
    def passes(cls, subject: Subject, params: EvaluationParams) -> int:
        makers, _ = _makers(subject, params)
        metrics = [BY_NAME[name] for name in dict.fromkeys(params.metrics)]
        maps = sum(maker.passes(subject) for maker in makers)
        work = Work(len(makers) + (params.own_map is not None) + 2, maps)
        shared = params.samples if any(each.shared for each in metrics) else 0
        return 1 + maps + shared + sum(each.estimate(params, work) for each in metrics)

    @classmethod
    def takes_cam_layer(cls, params: EvaluationParams) -> bool:
        return any(takes_layer(each) for each in params.methods or _usual())

    @classmethod
    def unused(cls, params: EvaluationParams) -> dict[str, str]:
        """Names the parameters of metrics that are not asked for, and a layer that no method takes."""
        taken = {name: [each.name for each in METRICS if name in each.takes] for each in METRICS for name in each.takes}
        found = {
            name: f"none of the metrics asked for takes it; it is for {', '.join(takers)}"
            for name, takers in taken.items()
            if not set(takers) & set(params.metrics)
        }
        if not cls.takes_cam_layer(params):
            found["layer"] = "none of the methods takes it: they name layers of their own, or take none"
        return found


def _usual() -> list[Compared]:
    """The methods of a call that names none."""
    found = []
    for name in USUAL_METHODS:
        family = FAMILY_OF[name]
        own = {} if family.name == name else {"method": name}
        found.append(Compared(called=name, name=family.name, params=family.Params(**own)))
    return found


def _makers(subject: Subject, params: EvaluationParams) -> tuple[list[Maker], dict[str, str]]:
    """What makes the maps, and of the usual methods those that the model cannot have, with why.

    Raises MethodNotValid where it can have none of them.
    """
    asked = params.methods or _usual()
    makers = [Maker.of(each, params.layer, params.target, params.output) for each in asked]
    if params.methods is not None:
        return makers, {}
    found, left_out = [], {}
    for maker in makers:
        try:
            maker.check(subject)
            found.append(maker)
        except KerascopeError as error:
            left_out[maker.called] = error.detail
    if not found and params.own_map is None:
        raise MethodNotValid("; ".join(f"{name}: {why}" for name, why in left_out.items()))
    return found, left_out


def _add_rows(comparison: Comparison, makers: Sequence[Maker]) -> list[Warned]:
    """Makes every map; gives what the methods warn of."""
    subject, params = comparison.subject, comparison.params
    warnings: list[Warned] = []
    for maker in makers:
        progress: Progress = comparison.next_part()
        said = maker.explained(replace(subject, progress=progress))
        warnings += [Warned(each.code, _of(maker.called, each.detail)) for each in said.warnings]
        raw = np.asarray(said.arrays[said.maps[0]], np.float32)
        comparison.rows.append(_row(subject, maker.called, raw, maker))
    if params.own_map is not None:
        comparison.rows.append(_row(subject, OWN, np.asarray(unpacked(params.own_map), np.float32), None))
    draw = np.random.default_rng(params.seed)
    cells = (min(RANDOM_CELLS, subject.image.size[0]), min(RANDOM_CELLS, subject.image.size[1]))
    comparison.rows.append(_row(subject, PIXELS, draw.random(subject.image.size, np.float32), None))
    comparison.rows.append(_row(subject, CELLS, draw.random(cells, np.float32), None))
    return warnings


def _of(called: str, detail: str) -> str:
    return detail if detail.startswith(called) else f"{called}: {detail}"


def _row(subject: Subject, name: str, raw: Floats, maker: Maker | None) -> Row:
    return Row(name, laid(raw.astype(np.float64), subject.image.size), raw, maker)


def _table(names: Sequence[str], found: Mapping[str, Found], places: Sequence[float] | None) -> list[dict[str, object]]:
    """A row a map, in their order: its name, a number a metric, its mean place and its rank, equal ones alike."""
    rows = []
    for place, name in enumerate(names):
        row: dict[str, object] = {"name": name, **{metric: each.values[place] for metric, each in found.items()}}
        if places:
            row |= {"mean_place": places[place], "rank": 1 + sum(other < places[place] for other in places)}
        rows.append(row)
    return rows


def _said(metric: Metric, found: Found) -> dict[str, object]:
    return {
        "name": metric.name,
        "better": metric.better,
        "unit": metric.unit,
        "within": found.within,
        "meaning": metric.summary,
        "caution": metric.caution,
        "paper": metric.paper,
    }


def _mean_places(metrics: Sequence[Metric], found: Mapping[str, Found]) -> list[float] | None:
    """The mean place of each row among all, 1 for the best, over the metrics that are ranked. Numbers that are no
    further apart than `within` share their places, and a row without a number is last. None where no metric is ranked.
    """
    ranked = [each for each in metrics if each.ranked]
    if not ranked:
        return None
    places = [_places(each, found[each.name]) for each in ranked]
    return [float(place) for place in np.mean(places, axis=0)]


def _places(metric: Metric, found: Found) -> NDArray[np.float64]:
    """(rows,): one more than the rows that are clearly better, and half a place for each that is not told apart."""
    sign = -1.0 if metric.better == "higher" else 1.0
    values = np.array([LAST if value is None else sign * value for value in found.values])
    apart = values[:, None] - values
    better, like = apart > found.within, np.abs(apart) <= found.within
    return np.asarray(1 + better.sum(axis=1) + (like.sum(axis=1) - 1) / 2, np.float64)


def _no_better_than_random(names: Sequence[str], places: Sequence[float]) -> list[Warned]:
    """Warns of each row that does not beat both maps of random numbers."""
    chance, best = min((places[names.index(name)], name) for name in CHANCE)
    return [
        Warned(
            "no_better_than_random",
            f"{name} has the mean place {place:.3g}, and {best}, a map of random numbers, has {chance:.3g}: over these "
            "metrics together it does no better than chance",
        )
        for name, place in zip(names, places, strict=True)
        if name not in CHANCE and place >= chance
    ]
