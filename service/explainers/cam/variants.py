"""The definitions of the family, in the order of the catalogue; the first is the default."""

from __future__ import annotations

from service.explainers.cam.ablation import ablationcam
from service.explainers.cam.eigen import eigencam
from service.explainers.cam.eigengrad import eigengradcam
from service.explainers.cam.elementwise import gradcam_elementwise
from service.explainers.cam.finer import finercam
from service.explainers.cam.gradients import gradcam, gradcam_plus_plus, hirescam, layercam, xgradcam
from service.explainers.cam.kpca import kpcacam
from service.explainers.cam.original import pooled_cam
from service.explainers.cam.score import scorecam
from service.explainers.cam.shapley import shapleycam
from service.explainers.variants import MapVariant

VARIANTS: tuple[MapVariant, ...] = (
    gradcam,
    gradcam_plus_plus,
    hirescam,
    layercam,
    xgradcam,
    scorecam,
    ablationcam,
    eigencam,
    gradcam_elementwise,
    eigengradcam,
    kpcacam,
    shapleycam,
    finercam,
    pooled_cam,
)
