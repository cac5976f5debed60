"""The catalogue of methods. Adding one is a class in this package and its name in this tuple."""

from service.explainers.activations import Activations
from service.explainers.base import Explainer
from service.explainers.cam import Cam
from service.explainers.concepts import Concepts
from service.explainers.evaluation import Evaluation
from service.explainers.kernels import Kernels
from service.explainers.maximization import Maximization
from service.explainers.occlusion import Occlusion
from service.explainers.perturbation import Perturbation
from service.explainers.predict import Predict
from service.explainers.saliency import Saliency

EXPLAINERS: tuple[Explainer, ...] = (
    Predict(),
    Activations(),
    Cam(),
    Saliency(),
    Occlusion(),
    Perturbation(),
    Evaluation(),
    Kernels(),
    Maximization(),
    Concepts(),
)
BY_NAME = {explainer.name: explainer for explainer in EXPLAINERS}
# A family's variants, by their own names: `gradcam` is `cam` with method=gradcam.
FAMILY_OF = {
    variant.name: explainer for explainer in EXPLAINERS for variant in explainer.variants if len(explainer.variants) > 1
}
