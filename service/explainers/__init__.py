"""The catalogue of methods. Adding one is a class in this package and its name in this tuple."""

from service.explainers.activations import Activations
from service.explainers.base import Explainer
from service.explainers.cam import Cam
from service.explainers.kernels import Kernels
from service.explainers.predict import Predict

EXPLAINERS: tuple[Explainer, ...] = (Predict(), Activations(), Cam(), Kernels())
BY_NAME = {explainer.name: explainer for explainer in EXPLAINERS}
