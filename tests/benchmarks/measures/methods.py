"""Every method and variant as one small call, for what is measured over all of them."""

from __future__ import annotations

from typing import Any

from service.explainers import BY_NAME

# What makes a call of a variant small; what it compiles is the same.
SMALL: dict[str, dict[str, Any]] = {
    "scorecam": {"max_channels": 8},
    "smoothgrad": {"samples": 2},
    "squaregrad": {"samples": 2},
    "vargrad": {"samples": 2},
    **dict.fromkeys(("integrated_gradients", "guided_ig", "blur_ig", "xrai"), {"steps": 2}),
    "gradient_shap": {"samples": 2},
}
Wish = tuple[str, dict[str, Any]]


def every(size: int) -> list[Wish]:
    """Method and query of each, for a network that takes images of `size` px."""
    wishes: list[Wish] = [("predict", {}), ("activations", {})]
    for method in ("cam", "saliency"):
        wishes += [(method, {"method": each.name, **SMALL.get(each.name, {})}) for each in BY_NAME[method].variants]
    for strategy in ("full", "incremental"):
        wishes.append(("occlusion", {"patch": size // 4, "stride": size // 4, "strategy": strategy}))
    return wishes
