"""The definitions of the family, in the order of the catalogue; the first is the default."""

from __future__ import annotations

from service.explainers.cam.ablation import ablationcam
from service.explainers.cam.eigen import eigencam
from service.explainers.cam.gradients import gradcam, gradcam_plus_plus, hirescam, layercam, xgradcam
from service.explainers.cam.original import pooled_cam
from service.explainers.cam.score import scorecam
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
    pooled_cam,
)
