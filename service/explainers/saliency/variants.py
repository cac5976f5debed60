"""The definitions of the family, in the order of the catalogue; the first is the default."""

from __future__ import annotations

from service.explainers.saliency.blur_ig import blur_ig
from service.explainers.saliency.deeplift import deeplift
from service.explainers.saliency.fullgrad import fullgrad
from service.explainers.saliency.gradient_shap import gradient_shap
from service.explainers.saliency.guided import deconvnet, guided_backprop, guided_gradcam
from service.explainers.saliency.guided_ig import guided_ig
from service.explainers.saliency.lrp import lrp
from service.explainers.saliency.noise import smoothgrad, squaregrad, vargrad
from service.explainers.saliency.paths import integrated_gradients
from service.explainers.saliency.plain import gradient, gradient_x_input
from service.explainers.saliency.xrai import xrai
from service.explainers.variants import MapVariant

VARIANTS: tuple[MapVariant, ...] = (
    gradient,
    gradient_x_input,
    guided_backprop,
    deconvnet,
    smoothgrad,
    squaregrad,
    vargrad,
    integrated_gradients,
    guided_ig,
    blur_ig,
    gradient_shap,
    deeplift,
    lrp,
    xrai,
    fullgrad,
    guided_gradcam,
)
