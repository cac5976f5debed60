"""What pytorch-grad-cam and captum give: runs in the environment of `torch.txt` and writes `fixtures/torch.npz`."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent
VERSIONS = ("torch", "captum", "grad-cam", "scikit-learn")
SAMPLES = 1000


def without_torchvision() -> None:
    """Puts empty modules in the place of torchvision, which pytorch-grad-cam imports for boxes and photographs alone.

    A build of torchvision for this torch is as large as the rest of the environment.
    """
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    modules = {name: types.ModuleType(name) for name in names}
    for wanted in ("Compose", "Normalize", "ToTensor"):
        setattr(modules["torchvision.transforms"], wanted, None)
    modules["torchvision.transforms.functional"].resize = None  # type: ignore[attr-defined]
    sys.modules.update(modules)


without_torchvision()

import captum.attr as captum  # noqa: E402
import pytorch_grad_cam as cams  # noqa: E402
from captum._utils.models.linear_model import SkLearnLinearModel  # noqa: E402
from captum.attr._utils.lrp_rules import EpsilonRule  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402


class Net(nn.Module):
    """The network of `network.py`; each activation is a module of its own, as captum asks for."""

    def __init__(self, weights: dict[str, np.ndarray], hidden: nn.Module) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 12, 3)
        self.hidden, self.scores = nn.Linear(972, 10), nn.Linear(10, 5)
        self.first_relu, self.second_relu, self.hidden_act = nn.ReLU(), nn.ReLU(), hidden
        self.pool = nn.MaxPool2d(2)
        # Keras flattens (9, 9, 12), torch (12, 9, 9).
        flat = weights["hidden_kernel"].reshape(9, 9, 12, 10).transpose(3, 2, 0, 1).reshape(10, 972)
        kernels = {
            "first": weights["first_kernel"].transpose(3, 2, 0, 1),
            "second": weights["second_kernel"].transpose(3, 2, 0, 1),
            "hidden": flat,
            "scores": weights["scores_kernel"].T,
        }
        with torch.no_grad():
            for name, kernel in kernels.items():
                layer = getattr(self, name)
                layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
                layer.bias.copy_(torch.from_numpy(weights[f"{name}_bias"]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.second_relu(self.second(self.pool(self.first_relu(self.first(x)))))
        return self.scores(self.hidden_act(self.hidden(torch.flatten(maps, 1))))


class Asked:
    """The network and the image of `given.npz`, made anew for each peer, as some leave hooks behind."""

    def __init__(self, given: dict[str, np.ndarray]) -> None:
        self.given = given
        self.target, self.spread = int(given["target"]), int(given["spread"])
        self.x = torch.from_numpy(np.ascontiguousarray(given["image"].transpose(0, 3, 1, 2)))
        self.zero = torch.zeros_like(self.x)
        self.segments = torch.from_numpy(given["labels"].astype(np.int64))[None, None].expand(1, 3, -1, -1)
        self.deviation = 0.15 * float(self.x.max() - self.x.min())

    def net(self, hidden: nn.Module | None = None) -> Net:
        return Net(self.given, hidden or nn.ReLU()).eval()

    def above_others(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The score of the target above the mean of the three classes that are nearest to it."""
        logits = self.given["logits"]
        nearest = np.argsort(np.abs(logits - logits[self.target]))[1:4].tolist()
        return lambda output: output[self.target] - output[nearest].mean()

    def image_like(self, values: torch.Tensor) -> np.ndarray:
        """(1, c, h, w) → (h, w, c)."""
        return values.detach().numpy()[0].transpose(1, 2, 0)

    def number_a_segment(self, values: torch.Tensor) -> np.ndarray:
        """(1, c, h, w), constant over each segment → (segments,)."""
        plane, labels = values.detach().numpy()[0, 0], self.given["labels"]
        return np.array([plane[labels == each][0] for each in range(labels.max() + 1)])


def raw_cam(
    asked: Asked, kind: Any, target: int | None = None, net: Net | None = None, of: Any = None, **call: Any
) -> np.ndarray:
    """(h, w): a peer's map before it is clipped, scaled and enlarged, which is what its `get_cam_image` gives.

    It is that of the class `target`, or of the number that `of` makes of the scores.
    """
    net = net or asked.net()
    cam = kind(net, [net.second_relu])
    base = getattr(cam, "base_cam", cam)
    found, compute = [], base.get_cam_image

    def recording(*args: Any) -> Any:
        found.append(compute(*args))
        return found[-1]

    base.get_cam_image = recording
    targets = [of or ClassifierOutputTarget(target)] if of or target is not None else None
    cam(asked.x, targets, **call)
    values = found[0]
    return np.asarray(values.detach() if isinstance(values, torch.Tensor) else values)[0]


def half_pixel_score_cam(asked: Asked) -> np.ndarray:
    """Their Score-CAM, whose maps are enlarged between half-pixel centres in place of corner to corner."""
    corners = torch.nn.UpsamplingBilinear2d
    torch.nn.UpsamplingBilinear2d = lambda size: nn.Upsample(size=size, mode="bilinear", align_corners=False)
    try:
        return raw_cam(asked, cams.ScoreCAM, asked.spread)
    finally:
        torch.nn.UpsamplingBilinear2d = corners


def plus_plus_without_epsilon(asked: Asked) -> np.ndarray:
    """Their Grad-CAM++ on s·G and A/s, divided by s: eq. 19 is the same for every s, their 1e-6 counts 1/s² of it."""
    net, scale = asked.net(), 1000.0
    cam = cams.GradCAMPlusPlus(net, [net.second_relu])
    cam(asked.x, [ClassifierOutputTarget(asked.target)])
    (activations,), (gradients,) = (
        [each.numpy().astype(np.float64) for each in found]
        for found in (cam.activations_and_grads.activations, cam.activations_and_grads.gradients)
    )
    weights = cam.get_cam_weights(None, None, None, activations / scale, gradients * scale) / scale
    return (weights[:, :, None, None] * activations).sum(axis=1)[0]


def of_grad_cam(asked: Asked) -> dict[str, np.ndarray]:
    """The maps of pytorch-grad-cam at the second convolution behind its ReLU."""
    plain = {
        "gradcam": cams.GradCAM,
        "gradcam_plus_plus": cams.GradCAMPlusPlus,
        "hirescam": cams.HiResCAM,
        "xgradcam": cams.XGradCAM,
        "layercam": cams.LayerCAM,
        "eigencam": cams.EigenCAM,
        "eigengradcam": cams.EigenGradCAM,
        "elementwise": cams.GradCAMElementWise,
        "kpcacam": cams.KPCA_CAM,
        "ablationcam": cams.AblationCAM,
    }
    found = {name: raw_cam(asked, kind, asked.target) for name, kind in plain.items()}
    found["gradcam_eigen_smooth"] = raw_cam(asked, cams.GradCAM, asked.target, eigen_smooth=True)
    found["shapleycam_curved"] = raw_cam(asked, cams.ShapleyCAM, asked.target, asked.net(nn.Tanh()))
    for name, places in (("finercam_1", [1]), ("finercam_3", [1, 2, 3])):
        found[name] = raw_cam(asked, cams.FinerCAM, comparison_categories=places, target_idx=asked.target)
    found["ablationcam_negative"] = raw_cam(asked, cams.AblationCAM, of=lambda output: output[0] - output[1])
    found["finercam_3_equal"] = raw_cam(asked, cams.GradCAM, of=asked.above_others())
    found["scorecam"] = raw_cam(asked, cams.ScoreCAM, asked.spread)
    found["scorecam_half_pixel"] = half_pixel_score_cam(asked)
    found["gradcam_plus_plus_no_epsilon"] = plus_plus_without_epsilon(asked)
    return {f"cam_{name}": values for name, values in found.items()}


def of_captum(asked: Asked) -> dict[str, np.ndarray]:
    """The maps of captum that are no estimates."""
    x, target = asked.x, asked.target
    ruled = asked.net()
    for layer in (ruled.first, ruled.pool, ruled.second, ruled.hidden, ruled.scores):
        layer.rule = EpsilonRule(epsilon=1e-9)
    path = captum.IntegratedGradients(asked.net())
    deep = captum.DeepLift(asked.net())
    windows = {"sliding_window_shapes": (3, 8, 7), "strides": (3, 4, 3)}
    found = {
        "saliency": captum.Saliency(asked.net()).attribute(x, target=target, abs=False),
        "input_x_gradient": captum.InputXGradient(asked.net()).attribute(x, target=target),
        "integrated_gradients": path.attribute(x, asked.zero, target, n_steps=50, method="gausslegendre"),
        "guided_backprop": captum.GuidedBackprop(asked.net()).attribute(x, target=target),
        "deconvolution": captum.Deconvolution(asked.net()).attribute(x, target=target),
        "deeplift": deep.attribute(x, asked.zero, target=target),
        "lrp_epsilon": captum.LRP(ruled).attribute(x, target=target),
        "occlusion": captum.Occlusion(asked.net()).attribute(x, target=target, baselines=0, **windows)[:, :1],
    }
    maps = {name: asked.image_like(values) for name, values in found.items()}
    net = asked.net()
    guided = captum.GuidedGradCam(net, net.second_relu)
    maps["guided_gradcam"] = asked.image_like(guided.attribute(x, target=target, interpolate_mode="bilinear"))
    with torch.no_grad():
        removed = captum.FeatureAblation(asked.net()).attribute(x, 0, target, feature_mask=asked.segments)
    maps["feature_ablation"] = asked.number_a_segment(removed)
    maps["shapley_values"] = shapley_values(asked)
    maps["lime"] = lime(asked)
    return {f"captum_{name}": values for name, values in maps.items()}


def shapley_values(asked: Asked) -> np.ndarray:
    """(8,): all 8! orders, on the scores of the 256 coalitions, as a pass for each step of each order takes minutes."""
    numbers = np.arange(256)
    coalitions = torch.from_numpy((numbers[:, None] >> np.arange(8) & 1).astype(np.float32))
    labels = torch.from_numpy(asked.given["labels"].astype(np.int64))
    with torch.no_grad():
        scores = asked.net()(asked.x * coalitions[:, labels][:, None])[:, asked.target]
    places = 2.0 ** torch.arange(8)

    def score(kept: torch.Tensor) -> torch.Tensor:
        return scores[(kept @ places).long()]

    return captum.ShapleyValues(score).attribute(torch.ones(1, 8), 0, perturbations_per_eval=8).numpy()[0]


def lime(asked: Asked) -> np.ndarray:
    """(8,): captum's Lime with our masks, the image package's kernel, and the ridge that it takes."""
    masks = torch.from_numpy(asked.given["lime_masks"])

    def perturb(original: torch.Tensor, **_: Any) -> Any:
        for mask in masks:
            yield mask[None]

    def near(original: torch.Tensor, perturbed: torch.Tensor, mask: torch.Tensor, **_: Any) -> float:
        distance = 1 - float(mask.mean()) ** 0.5
        return float(np.sqrt(np.exp(-(distance**2) / 0.25**2)))

    model = SkLearnLinearModel("linear_model.Ridge", alpha=1.0, fit_intercept=True)
    made = captum.Lime(asked.net(), model, near, perturb)
    with torch.no_grad():
        found = made.attribute(
            asked.x, 0, asked.target, feature_mask=asked.segments, n_samples=len(masks), return_input_shape=False
        )
    return found.numpy()[0]


def estimates(asked: Asked) -> dict[str, np.ndarray]:
    """The mean and the standard deviation of captum's estimates over repetitions."""
    x, zero, target = asked.x, asked.zero, asked.target
    noisy = captum.NoiseTunnel(captum.Saliency(asked.net()))
    expected = captum.GradientShap(asked.net())
    kernel = captum.KernelShap(asked.net())
    noise = {"nt_samples": SAMPLES, "stdevs": asked.deviation, "nt_samples_batch_size": 250}

    def tunnel(kind: str) -> Callable[[], torch.Tensor]:
        return lambda: noisy.attribute(x, nt_type=kind, target=target, abs=False, **noise)

    def shap() -> torch.Tensor:
        # As noisy copies of one image they are averaged by captum itself.
        return expected.attribute(x, zero, n_samples=SAMPLES, stdevs=asked.deviation, target=target)

    def kernel_shap() -> torch.Tensor:
        with torch.no_grad():
            return kernel.attribute(
                x, 0, target, feature_mask=asked.segments, n_samples=SAMPLES, perturbations_per_eval=50
            )

    found = {}
    for name, compute, form, repeats in (
        ("smoothgrad", tunnel("smoothgrad"), asked.image_like, 20),
        ("smoothgrad_sq", tunnel("smoothgrad_sq"), asked.image_like, 20),
        ("vargrad", tunnel("vargrad"), asked.image_like, 20),
        ("gradient_shap", shap, asked.image_like, 20),
        ("kernel_shap", kernel_shap, asked.number_a_segment, 100),
    ):
        values = np.stack([form(compute()) for _ in range(repeats)])
        found[f"captum_{name}_mean"], found[f"captum_{name}_std"] = values.mean(axis=0), values.std(axis=0, ddof=1)
        found[f"captum_{name}_repeats"] = np.array(repeats)
    return found


def main() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # captum's GradientShap draws by NumPy.
    with np.load(HERE / "fixtures" / "given.npz") as file:
        asked = Asked(dict(file))
    with torch.no_grad():
        found = {"logits": asked.net()(asked.x).numpy()[0]}
    found |= of_grad_cam(asked) | of_captum(asked) | estimates(asked)
    arrays = {name: values.astype(np.float32) for name, values in found.items()}
    np.savez_compressed(HERE / "fixtures" / "torch.npz", **arrays)
    versions = {name: version(name) for name in VERSIONS}
    (HERE / "fixtures" / "torch.json").write_text(json.dumps(versions, indent=1) + "\n")


if __name__ == "__main__":
    main()
