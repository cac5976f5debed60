"""The metrics, in the order in which they are listed."""

from service.explainers.evaluation.alikeness import agreement, complexity
from service.explainers.evaluation.curves import deletion, insertion
from service.explainers.evaluation.fidelity import infidelity, mufidelity
from service.explainers.evaluation.localisation import energy, pointing
from service.explainers.evaluation.road import road
from service.explainers.evaluation.stability import max_sensitivity, randomization

METRICS = (
    deletion,
    insertion,
    road,
    mufidelity,
    infidelity,
    max_sensitivity,
    randomization,
    pointing,
    energy,
    complexity,
    agreement,
)
USUAL_METRICS = tuple(each.name for each in (deletion, insertion, mufidelity, complexity, agreement))
