"""The rows, and why those differ that do."""

from __future__ import annotations

from typing import Any

from tests.oracles.given import MASKED
from tests.oracles.network import CAM_LAYER
from tests.oracles.row import MOST_ERRORS_OF_EIGHT, Row, along_gradcam, by_cell, by_maximum, by_segment, clipped

Ours = tuple[str, dict[str, Any]]


def _cam(method: str, **params: Any) -> Ours:
    return "cam", {"method": method, "layer": CAM_LAYER, **params}


def _saliency(method: str, **params: Any) -> Ours:
    return "saliency", {"method": method, **params}


def _masked(method: str, **params: Any) -> Ours:
    usual = MASKED.get(method, {"cells": "2,4"})
    return "perturbation", {"method": method, "value": "zero", **usual, **params}


def _grad_cam(theirs: str, peer: str, ours: Ours, **more: Any) -> Row:
    usual: dict[str, Any] = {} if more.get("signless") else {"their_form": clipped}
    return Row(
        name=ours[1]["method"], peer=f"grad-cam: {peer}", of="torch", theirs=f"cam_{theirs}", ours=ours, **usual | more
    )


def _captum(theirs: str, peer: str, ours: Ours, **more: Any) -> Row:
    usual = {"part": "gradient"} if ours[0] == "saliency" else {}
    name = ours[1].get("method", ours[0])
    return Row(name=name, peer=f"captum: {peer}", of="torch", theirs=f"captum_{theirs}", ours=ours, **usual | more)


def _tensorflow(theirs: str, peer: str, ours: Ours, **more: Any) -> Row:
    usual = {"part": "gradient"} if ours[0] == "saliency" else {}
    return Row(name=ours[1]["method"], peer=peer, of="tensorflow", theirs=theirs, ours=ours, **usual | more)


LARGEST = (
    "The paper (arXiv 1704.02685) has no rule for the largest of several numbers. captum gives the whole change of a "
    "maximum to the place that is largest in the image (with that rule in ours the two maps agree to 4e-7); we give a "
    "rise to this place and a fall to the one that was largest in the baseline, as shap's DeepExplainer does. Both sum "
    "to the rise of the score here; where the image is as the baseline at its own largest place and the maximum fell, "
    "only ours does (summation-to-delta, eq. 1)."
)
FINER = (
    "The paper (arXiv 2501.11309) explains the difference y_c - γ·y_d from a class, and of one class the two agree. "
    "Several may be put together in more than one way: they weigh each by its probability, we take the mean. Neither "
    "is wrong; their weights leave little of all classes but the most probable one."
)
NEGATIVE = (
    "The paper's weight is (y - y_k) / y, which they take literally: there they are right by the letter. Of a negative "
    "score a channel that helps the class then gets a negative weight, and the map shows what speaks against it. We "
    "divide by |y|, and say so in the method's summary."
)
CORNERS = (
    "They enlarge the maps corner to corner (`align_corners`), we between half-pixel centres, as Keras and OpenCV do; "
    "enlarging by bilinear interpolation, as the method (arXiv 1910.01279) is described, leaves the corners open. "
    "Channels that are constant, here a dead one, "
    "they keep in the softmax, which takes the same share from all others; we leave them out, as s(A) of the paper, "
    "(A - min) / (max - min), is 0/0 for them. Enlarged our way and drawn up to 1, the maps agree."
)
POINTS = (
    "Eq. 1 of arXiv 1703.01365 is an integral. They take it by the trapezoidal rule, here with 1000 points, we by 50 "
    "points of Gauss and Legendre. In a network of ReLUs the gradient jumps along the path, so that every rule errs by "
    "about the distance between its points; theirs is nearer here for its many points. With 1000 each the two meet."
)
MEANS = (
    "Eq. 19 of arXiv 1710.11063 has the sum Σ_ab A_ab in the denominator, and w_k is the sum of α·ReLU(G) over the "
    "cells; xplique takes the mean for both, we and pytorch-grad-cam the sums of the paper. With its maps and its "
    "weights times the number of cells, the maps agree."
)
VARIANCE = (
    "Both are Jansen's estimator, eq. 6 of arXiv 2111.04138. The variance under it they estimate by the scores of a "
    "alone, with n - 1, we by those of a and b together, which are twice as many, with n. Both tend to the same; with "
    "one variance the indices agree."
)
WIDTH = (
    "Two things differ. They divide tr(KHLH) by n, so that the value grows with the number of masks; the estimator has "
    "n² (arXiv 2206.06219). The width of their kernel is the median of the outputs, which a constant added to the "
    "score changes, and which may be negative or 0; ours is the median distance between two outputs. Their estimator "
    "at our width, divided by n once more, agrees."
)
ROUNDED = "captum adds up 8!·8 numbers in float32; shap's exact values are the same as ours to the last digit."

EPSILON = (
    "They add 1e-6 to the denominator 2·G² + S·G³ of eq. 19 (arXiv 1710.11063), which counts where gradients are "
    "small: one of 1e-3 loses up to a third of its α. We add nothing, and α is 0 where G is. Scaled so that 1e-6 "
    "counts nothing, their code gives our map."
)
KINKS = "What is left is the error of both rules at the ReLUs' kinks."

MANY = {"samples": 1000}

ROWS: tuple[Row, ...] = (
    _grad_cam("gradcam", "GradCAM", _cam("gradcam")),
    _grad_cam("gradcam_plus_plus", "GradCAMPlusPlus", _cam("gradcam++"), note=EPSILON),
    _grad_cam("gradcam_plus_plus_no_epsilon", "GradCAMPlusPlus on 1000·G and A/1000", _cam("gradcam++")),
    _grad_cam("gradcam_eigen_smooth", "GradCAM, eigen_smooth", _cam("gradcam", smooth="eigen"),
              their_form=along_gradcam),
    _grad_cam("hirescam", "HiResCAM", _cam("hirescam")),
    _grad_cam("xgradcam", "XGradCAM", _cam("xgradcam")),
    _grad_cam("layercam", "LayerCAM", _cam("layercam")),
    _grad_cam("eigencam", "EigenCAM", _cam("eigencam"), signless=True),
    _grad_cam("eigengradcam", "EigenGradCAM", _cam("eigengradcam"), signless=True),
    _grad_cam("elementwise", "GradCAMElementWise", _cam("gradcam_elementwise")),
    _grad_cam("kpcacam", "KPCA_CAM", _cam("kpcacam"), signless=True),
    _grad_cam("shapleycam_curved", "ShapleyCAM, tanh behind the layer", _cam("shapleycam"), hidden="tanh"),
    _grad_cam("finercam_1", "FinerCAM, one class", _cam("finercam", references=1)),
    _grad_cam("finercam_3", "FinerCAM, three classes", _cam("finercam", references=3), why=FINER),
    _grad_cam("finercam_3_equal", "GradCAM of y minus the mean of three", _cam("finercam", references=3)),
    _grad_cam("ablationcam", "AblationCAM", _cam("ablationcam")),
    _grad_cam("ablationcam_negative", "AblationCAM, y < 0", _cam("ablationcam"), target="0-1", why=NEGATIVE),
    _grad_cam("ablationcam_negative", "AblationCAM, y < 0, by the absolute y", _cam("ablationcam"), target="0-1",
              their_form=lambda values: clipped(-values)),
    _grad_cam("scorecam", "ScoreCAM", _cam("scorecam"), target="spread", why=CORNERS),
    _grad_cam("scorecam_half_pixel", "ScoreCAM, half-pixel centres, up to 1", _cam("scorecam"), target="spread",
              form=by_maximum, their_form=by_maximum),
    _captum("saliency", "Saliency", _saliency("gradient")),
    _captum("input_x_gradient", "InputXGradient", _saliency("gradient_x_input")),
    _captum("integrated_gradients", "IntegratedGradients", _saliency("integrated_gradients")),
    _captum("guided_backprop", "GuidedBackprop", _saliency("guided_backprop")),
    _captum("deconvolution", "Deconvolution", _saliency("deconvnet")),
    _captum("guided_gradcam", "GuidedGradCam", _saliency("guided_gradcam", layer=CAM_LAYER)),
    _captum("deeplift", "DeepLift", _saliency("deeplift"), why=LARGEST),
    _captum("lrp_epsilon", "LRP, EpsilonRule 1e-9", _saliency("lrp", rule="epsilon", epsilon=0)),
    _captum("smoothgrad", "NoiseTunnel smoothgrad", _saliency("smoothgrad", **MANY), estimate=True),
    _captum("smoothgrad_sq", "NoiseTunnel smoothgrad_sq", _saliency("squaregrad", **MANY), estimate=True),
    _captum("vargrad", "NoiseTunnel vargrad", _saliency("vargrad", **MANY), estimate=True),
    _captum("gradient_shap", "GradientShap", _saliency("gradient_shap", **MANY), estimate=True),
    _captum("kernel_shap", "KernelShap", _masked("kernelshap"), form=by_segment, estimate=True, own=0,
            most_errors=MOST_ERRORS_OF_EIGHT),
    _captum("shapley_values", "ShapleyValues", _masked("kernelshap"), form=by_segment, tolerance=5e-4, note=ROUNDED),
    _captum("lime", "Lime on our masks", _masked("lime"), form=by_segment),
    _captum("occlusion", "Occlusion", ("occlusion", {"patch": "8,7", "stride": "4,3", "value": "zero",
            "measure": "score_drop"}), their_form=lambda values: values[..., 0]),
    _captum("feature_ablation", "FeatureAblation", ("occlusion", {"patch": "12,6", "stride": "12,6", "value": "zero",
            "measure": "score_drop"}), form=by_segment),
    _tensorflow("xplique_saliency", "xplique: Saliency", _saliency("gradient"), part="heatmap",
                their_form=lambda values: values[..., 0]),
    _tensorflow("xplique_gradient_input", "xplique: GradientInput", _saliency("gradient_x_input")),
    _tensorflow("xplique_guided_backprop", "xplique: GuidedBackprop", _saliency("guided_backprop")),
    _tensorflow("xplique_deconvnet", "xplique: DeconvNet", _saliency("deconvnet")),
    _tensorflow("xplique_integrated_gradients", "xplique: IntegratedGradients, 1000 steps",
                _saliency("integrated_gradients"), why=POINTS),
    _tensorflow("xplique_integrated_gradients", "xplique: IntegratedGradients, 1000 steps, as ours",
                _saliency("integrated_gradients", steps=1000), tolerance=5e-3, note=KINKS),
    _tensorflow("xplique_gradcam", "xplique: GradCAM", _cam("gradcam"), their_form=clipped),
    _tensorflow("xplique_gradcam_pp", "xplique: GradCAMPP", _cam("gradcam++"), their_form=clipped, why=MEANS),
    _tensorflow("xplique_gradcam_pp_sums", "xplique: GradCAMPP with sums", _cam("gradcam++"), their_form=clipped),
    _tensorflow("xplique_smoothgrad", "xplique: SmoothGrad", _saliency("smoothgrad", **MANY), estimate=True),
    _tensorflow("xplique_squaregrad", "xplique: SquareGrad", _saliency("squaregrad", **MANY), estimate=True),
    _tensorflow("xplique_vargrad", "xplique: VarGrad", _saliency("vargrad", **MANY), estimate=True),
    _tensorflow("xplique_rise", "xplique: Rise on our masks", _masked("rise")),
    _tensorflow("xplique_sobol", "xplique: Sobol on our draws", _masked("sobol"), form=by_cell, why=VARIANCE),
    _tensorflow("xplique_sobol_both", "xplique: Sobol, variance of a and b", _masked("sobol"), form=by_cell),
    _tensorflow("xplique_hsic", "xplique: Hsic on our masks", _masked("hsic"), form=by_cell, why=WIDTH),
    _tensorflow("xplique_hsic_our_width", "xplique: Hsic at our width, by n²", _masked("hsic"), form=by_cell),
    _tensorflow("shap_kernel", "shap: KernelExplainer", _masked("kernelshap"), form=by_segment),
    _tensorflow("shap_exact", "shap: ExactExplainer", _masked("kernelshap"), form=by_segment),
    _tensorflow("shap_partition", "shap: PartitionExplainer", _masked("partitionshap"), form=by_segment),
    _tensorflow("shap_gradient", "shap: GradientExplainer", _saliency("gradient_shap", **MANY), estimate=True),
    _tensorflow("lime", "lime: LimeBase on our masks", _masked("lime"), form=by_segment),
)  # fmt: skip
