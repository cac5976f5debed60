"""The definitions of class activation maps, with paper, cost and caution."""

from __future__ import annotations

from service.explainers.base import Variant

_GRADIENT = "1 forward, 1 backward a target"
_COARSE = "As coarse as the layer: one cell of a 7×7 map is a 32×32 px patch of a 224 px input."
VARIANTS = (
    Variant(
        "gradcam",
        "ReLU(Σ_k a_k A_k) with a_k the mean gradient of channel k.",
        "https://arxiv.org/abs/1610.02391",
        _GRADIENT,
        f"{_COARSE} Averaging the gradients can point where the network does not look when a layer is far from the "
        "head.",
    ),
    Variant(
        "gradcam++",
        "ReLU(Σ_k w_k A_k) with w_k = Σ α·ReLU(G), α = G²/(2G² + G³·ΣA).",
        "https://arxiv.org/abs/1710.11063",
        _GRADIENT,
        "Only positive gradients count, so evidence against the class is not subtracted; α blows up where 2 + G·ΣA is "
        "near 0.",
    ),
    Variant(
        "hirescam",
        "ReLU(Σ_k G_k·A_k), cell by cell.",
        "https://arxiv.org/abs/2011.08891",
        _GRADIENT,
        "Faithful at the last convolution of a linear head; noisy at early layers, where gradients change from cell "
        "to cell.",
    ),
    Variant(
        "layercam",
        "ReLU(Σ_k ReLU(G_k)·A_k), cell by cell.",
        "https://doi.org/10.1109/TIP.2021.3089943",
        _GRADIENT,
        "Ignores negative gradients; at early layers it shows edges of whatever the class is near.",
    ),
    Variant(
        "xgradcam",
        "ReLU(Σ_k w_k A_k) with w_k = Σ G·A / ΣA.",
        "https://arxiv.org/abs/2008.02312",
        _GRADIENT,
        "Unstable for channels whose activations nearly sum to 0, which only layers without a ReLU have.",
    ),
    Variant(
        "scorecam",
        "ReLU(Σ_k w_k A_k) with w the softmax of each channel's rise in score when it masks the image. The score is "
        "the one that is explained, a logit where there is one.",
        "https://arxiv.org/abs/1910.01279",
        "1 forward a channel",
        "Where no single channel raises the score, all weights are nearly equal and the map is the mean activation. "
        "Channels that are constant on the image are left out, as they mask nothing.",
    ),
    Variant(
        "ablationcam",
        "ReLU(Σ_k w_k A_k) with w_k = (y - y_k) / |y|, y_k the score when channel k is 0.",
        "https://openaccess.thecvf.com/content_WACV_2020/html/"
        "Desai_Ablation-CAM_Visual_Explanations_for_Deep_Convolutional_Network_via_Gradient-free_Localization_WACV_2020_paper.html",
        "1 forward, and the head once a channel",
        "Channels that stand in for each other drop little when one alone is removed. The paper divides by y; by |y| a "
        "negative score does not turn the map over.",
    ),
    Variant(
        "eigencam",
        "Projection of the centred activations on their first principal component.",
        "https://arxiv.org/abs/2008.00299",
        "1 forward",
        "Knows no class: it shows what dominates the layer, whatever is asked for.",
    ),
    Variant(
        "cam",
        "Σ_k w_k A_k with w the weights of the class in a head of global average pooling and one dense layer.",
        "https://arxiv.org/abs/1512.04150",
        "1 forward",
        "Exists only for such heads; the bias of the class is not in the map.",
    ),
)
