"""What Quantus, captum and pytorch-grad-cam give as metrics of maps.

It runs in the environment of `torch.txt` and writes `fixtures/metrics_torch.npz`, with what was asked and the formula
that the peer's code has of each value in `fixtures/metrics_torch.json`. Random draws are kept beside the values that
they led to, so that ours can be given the same ones. Images are (h, w, c) in the fixture and (c, h, w) in torch.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import of_torch  # Puts modules in the place of torchvision, before those below are imported.
import quantus
import torch
from captum.metrics import infidelity, sensitivity_max
from pytorch_grad_cam.metrics import road
from pytorch_grad_cam.metrics.perturbation_confidence import PerturbationConfidenceMetric, RemoveMostRelevantFirst
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from quantus.functions.perturb_func import batch_gaussian_noise, noisy_linear_imputation

HERE = Path(__file__).parent
VERSIONS = ("torch", "captum", "grad-cam", "quantus")
BOX = (slice(6, 18), slice(8, 20))
RUNS, DRAWS, SUBSET, DEVIATION, RADIUS = 50, 8, 120, 0.3, 0.1
PERCENT = (10, 30, 50, 70, 90)
PLAIN: dict[str, Any] = {"abs": False, "normalise": False, "disable_warnings": True}


class Kept:
    """The arrays of the fixture, and a line about each."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.notes: dict[str, str] = {}

    def keep(self, name: str, values: Any, note: str) -> None:
        self.arrays[name], self.notes[name] = np.asarray(values), note


class Explained:
    """The network, with logits, its image, and the maps that are judged."""

    def __init__(self, asked: of_torch.Asked) -> None:
        self.asked, self.net = asked, asked.net()
        self.x = asked.x.numpy()
        self.target = np.array([asked.target])
        gradient = self.gradient(self.net, self.x, self.target)
        self.maps = {
            "gradient": gradient,
            "largest": np.abs(gradient).max(axis=1),
            "product": (gradient * self.x).sum(axis=1),
        }

    @staticmethod
    def gradient(model: Any, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
        """(n, c, h, w): the gradients of the logits; the form in which Quantus calls an explanation."""
        x = torch.as_tensor(np.asarray(inputs), dtype=torch.float32).requires_grad_(True)
        with torch.enable_grad():  # captum asks for explanations where gradients are off.
            scores = model(x)[torch.arange(len(x)), torch.as_tensor(np.asarray(targets), dtype=torch.long)]
            (found,) = torch.autograd.grad(scores.sum(), x)
        return found.numpy()

    def judge(self, metric: Any, name: str, **more: Any) -> Any:
        """What a metric of Quantus says of a map; it gets copies, as some write into what they are given."""
        given = {"x_batch": self.x.copy(), "y_batch": self.target, "a_batch": self.maps[name].copy(), "softmax": False}
        return metric(model=self.asked.net(), **given | more)


def last(values: np.ndarray) -> np.ndarray:
    """(n, c, h, w) → (n, h, w, c)."""
    return np.moveaxis(values, 1, -1)


def inputs(kept: Kept, explained: Explained) -> None:
    box = np.zeros((of_torch_side(explained), of_torch_side(explained)), bool)
    box[BOX] = True
    kept.keep("box", box, "The region that localisation is measured against: rows 6 to 17, columns 8 to 19.")
    kept.keep("map_gradient", last(explained.maps["gradient"])[0], "(h, w, c): the gradient of the target's logit.")
    kept.keep("map_largest", explained.maps["largest"][0], "(h, w): the largest absolute gradient of its colours.")
    kept.keep("map_product", explained.maps["product"][0], "(h, w): gradient times input, summed over colours.")


def of_torch_side(explained: Explained) -> int:
    return int(explained.x.shape[-1])


def curves(kept: Kept, explained: Explained) -> None:
    """Deletion by pixels and by regions. A map without colours is repeated for each of them, so that with three
    features a step whole pixels go, as no two pixels of these maps have one value."""
    for name in ("largest", "product"):
        for baseline in ("black", 0.0):
            for softmax in (False, True):
                metric = quantus.PixelFlipping(features_in_step=3 * 16, perturb_baseline=baseline, **PLAIN)
                found = explained.judge(metric, name, softmax=softmax)
                form = "probability" if softmax else "logit"
                kept.keep(
                    f"pixel_flipping_{name}_{'minimum' if baseline == 'black' else 'zero'}_{form}",
                    found[0],
                    f"quantus.PixelFlipping(features_in_step=48, perturb_baseline={baseline!r}) with "
                    f"softmax={softmax}: the {form} of the target after 16, 32, … 576 pixels, the largest of the map "
                    "first, have the baseline's value in all colours; the whole image is not among the points. 'black' "
                    "is the smallest value of the image (of what is left of it, which is the same), not 0.",
                )
        metric = quantus.RegionPerturbation(patch_size=6, regions_evaluation=16, perturb_baseline=0.0, **PLAIN)
        kept.keep(
            f"region_perturbation_{name}",
            explained.judge(metric, name)[0],
            "quantus.RegionPerturbation(patch_size=6, regions_evaluation=16, order='morf', perturb_baseline=0.0) with "
            "softmax=False: y(x) - y(x_k) of the logit after the first k of the 16 squares of 6×6 are 0, k from 1, the "
            "square with the largest sum of the map (over pixels, and three times for three colours) first.",
        )


def correlation(kept: Kept, explained: Explained) -> None:
    drawn: list[np.ndarray] = []
    choose = np.random.choice

    def recording(*args: Any, **kwargs: Any) -> np.ndarray:
        drawn.append(choose(*args, **kwargs))
        return drawn[-1]

    np.random.choice = recording
    try:
        for name in ("gradient", "product"):
            drawn.clear()
            metric = quantus.FaithfulnessCorrelation(
                nr_runs=RUNS, subset_size=SUBSET, perturb_baseline=0.0, return_aggregate=False, **PLAIN
            )
            value = explained.judge(metric, name)
            # Places count (c, h, w); the fixture has masks of (h, w, c).
            masks = np.zeros((RUNS, explained.x.size), bool)
            np.put_along_axis(masks, np.stack(drawn), True, axis=1)
            kept.keep(
                f"faithfulness_masks_{name}",
                last(masks.reshape(RUNS, *explained.x.shape[1:])),
                "(n, h, w, c): which values were removed in each run, 120 of the 1728 without replacement.",
            )
            kept.keep(
                f"faithfulness_{name}",
                value,
                f"quantus.FaithfulnessCorrelation(nr_runs={RUNS}, subset_size={SUBSET}, perturb_baseline=0.0) with "
                "softmax=False: Pearson's correlation, over the runs, of y(x) - y(x with the subset at 0), of logits, "
                "and the sum of the map over the subset. Subsets are of single values, not of pixels.",
            )
    finally:
        np.random.choice = choose


def infidelities(kept: Kept, explained: Explained) -> None:
    noises: list[np.ndarray] = []

    def noisy(arr: np.ndarray, indices: np.ndarray, **_: Any) -> np.ndarray:
        moved = batch_gaussian_noise(arr, indices, perturb_mean=0.0, perturb_std=DEVIATION)
        noises.append((moved - arr).astype(np.float32))
        return arr + noises[-1]

    metric = quantus.Infidelity(
        perturb_patch_sizes=[of_torch_side(explained)], n_perturb_samples=DRAWS, perturb_func=noisy, **PLAIN
    )
    value = explained.judge(metric, "gradient")
    noise = np.concatenate(noises).reshape(DRAWS, *explained.x.shape[1:])
    kept.keep("infidelity_noise", last(noise), "(n, h, w, c): normal noise of 0.3 that was added to the image.")
    kept.keep(
        "infidelity",
        value,
        f"quantus.Infidelity(perturb_patch_sizes=[24], n_perturb_samples={DRAWS}, perturb_func=normal noise of 0.3) "
        "with softmax=False, of map_gradient: the mean over draws of (Σ φ·(x - x') - (y(x) - y(x')))², of logits, with "
        "x' = x + noise. One patch is the whole image; with smaller ones Quantus removes them one after another "
        "and all together, so that the changes add up within a sample.",
    )
    black = quantus.Infidelity(perturb_patch_sizes=[6], n_perturb_samples=1, perturb_baseline=0.0, **PLAIN)
    kept.keep(
        "infidelity_squares",
        explained.judge(black, "gradient"),
        "quantus.Infidelity(perturb_patch_sizes=[6], n_perturb_samples=1, perturb_baseline=0.0): the mean over k of 1 "
        "to 16 of the same square, where x' has the first k squares of 6×6 at 0, row by row; they add up.",
    )
    moved = torch.from_numpy(noise)
    for normalize in (False, True):
        place = iter(range(DRAWS))

        def perturb(inputs: torch.Tensor, place: Iterator[int] = place) -> tuple[torch.Tensor, torch.Tensor]:
            found = torch.stack([moved[next(place)] for _ in range(len(inputs))])
            return -found, inputs + found

        found = infidelity(
            explained.net,
            perturb,
            explained.asked.x,
            torch.from_numpy(explained.maps["gradient"]),
            target=explained.asked.target,
            n_perturb_samples=DRAWS,
            normalize=normalize,
        )
        kept.keep(
            f"captum_infidelity{'_scaled' * normalize}",
            found.numpy(),
            f"captum.metrics.infidelity(n_perturb_samples={DRAWS}, normalize={normalize}) with the noise of "
            "infidelity_noise: the mean of (β·Σ φ·(x - x') - (y(x) - y(x')))²"
            + (", β = Σ p·d / Σ p² with p = Σ φ·(x - x') and d = y(x) - y(x')." if normalize else ", β = 1."),
        )


def sensitivities(kept: Kept, explained: Explained) -> None:
    noise = np.random.uniform(-RADIUS, RADIUS, (DRAWS, *explained.x.shape[1:])).astype(np.float32)
    place = iter(range(DRAWS))

    def moved(arr: np.ndarray, indices: np.ndarray, **_: Any) -> np.ndarray:
        return arr + noise[next(place)].reshape(1, -1)

    metric = quantus.MaxSensitivity(nr_samples=DRAWS, perturb_func=moved, **PLAIN)
    kept.keep("sensitivity_noise", last(noise), "(n, h, w, c): uniform noise within ±0.1 that was added to the image.")
    kept.keep(
        "max_sensitivity",
        explained.judge(metric, "gradient", explain_func=explained.gradient),
        f"quantus.MaxSensitivity(nr_samples={DRAWS}) with that noise, of map_gradient: the largest over the draws of "
        "‖φ(x) - φ(x + noise)‖ / ‖φ(x)‖, Euclidean over all values. Without the noise as given it would be uniform "
        "within ±lower_bound (0.2).",
    )

    def gradient(inputs: Any) -> tuple[torch.Tensor]:
        values = inputs[0] if isinstance(inputs, tuple) else inputs
        return (torch.from_numpy(explained.gradient(explained.net, values, [explained.asked.target] * len(values))),)

    found = sensitivity_max(
        gradient, explained.asked.x, lambda values: values + torch.from_numpy(noise), n_perturb_samples=DRAWS
    )
    kept.keep(
        "captum_sensitivity_max",
        found.numpy(),
        f"captum.metrics.sensitivity_max(n_perturb_samples={DRAWS}, norm_ord='fro') with the same noise: the same "
        "quotient, in which a norm of 0 counts as 1.",
    )


def randomised(kept: Kept, explained: Explained) -> None:
    """Quantus's cascade from the top. Maps are those of the networks that it made, whose weights are kept."""
    seen: list[np.ndarray] = []
    nets: list[dict[str, np.ndarray]] = []

    def recording(model: Any, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
        seen.append(explained.gradient(model, inputs, targets))
        nets.append({name: values.numpy().copy() for name, values in model.state_dict().items()})
        return seen[-1]

    for absolute in (False, True):
        metric = quantus.MPRT(layer_order="top_down", seed=42, **PLAIN | {"abs": absolute})
        seen.clear()
        nets.clear()
        found = explained.judge(metric, "gradient", explain_func=recording)
        kept.keep(
            f"mprt{'_absolute' * absolute}",
            [found[name][0] for name in ("original", "scores", "hidden", "second", "first")],
            f"quantus.MPRT(similarity_func=correlation_spearman, layer_order='top_down', seed=42, abs={absolute}) of "
            "map_gradient, without normalising: Spearman's rank correlation (ties get their mean rank) of the map and "
            "that of the network with nothing, with scores, with hidden too, with second too, and with first too "
            f"random, over all values{', of their absolutes' if absolute else ''}. By default abs is True.",
        )
    kept.keep("mprt_maps", last(np.concatenate(seen)), "(5, h, w, c): the maps of these networks, in that order.")
    for layer in ("scores", "hidden", "second", "first"):
        kernel, bias = nets[-1][f"{layer}.weight"], nets[-1][f"{layer}.bias"]
        if layer == "hidden":
            kernel = kernel.reshape(10, 12, 9, 9).transpose(2, 3, 1, 0).reshape(972, 10)
        else:
            kernel = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T
        kept.keep(f"mprt_{layer}_kernel", kernel, "The random weights in Keras's form; torch's `reset_parameters`.")
        kept.keep(f"mprt_{layer}_bias", bias, "The random weights; torch.manual_seed(43) before each layer.")


def places(kept: Kept, explained: Explained) -> None:
    """Where the map lies, and how concentrated it is: numbers that need no network."""
    box = kept.arrays["box"][None, None]
    inside: dict[str, tuple[Any, str]] = {
        "pointing_game": (quantus.PointingGame, "1 where a largest value of the map lies in the box, otherwise 0"),
        "rank_accuracy": (
            quantus.RelevanceRankAccuracy,
            "the share of the K largest values that lie in the box of K pixels",
        ),
        "mass_accuracy": (quantus.RelevanceMassAccuracy, "the map's sum in the box over its sum"),
        "attribution_localisation": (
            quantus.AttributionLocalisation,
            "with positive_attributions=True, the sum of the positive values in the box over their sum plus 1e-9",
        ),
        "complexity": (quantus.Complexity, "-Σ p·ln(p + 1e-12) with p = a / Σ|a|; the map must not be negative"),
        "sparseness": (
            quantus.Sparseness,
            "Gini's index Σ (2i - n - 1)·a_i / (n·Σ a) of the values, sorted, 1e-7 added to each",
        ),
    }
    for name in ("largest", "product"):
        for key, (kind, says) in inside.items():
            # Entropy and Gini's index are those of values that are not negative.
            options = PLAIN | {"abs": name == "product" and key in ("complexity", "sparseness")}
            more = {"positive_attributions": True} if kind is quantus.AttributionLocalisation else {}
            kept.keep(
                f"{key}_{name}",
                explained.judge(kind(**options, **more), name, s_batch=box),
                f"quantus.{kind.__name__}(abs={options['abs']}, normalise=False): {says}.",
            )


def roads(kept: Kept, explained: Explained) -> None:
    plane = np.ascontiguousarray(explained.maps["largest"] / explained.maps["largest"].max())
    order = np.argsort(-plane.ravel(), kind="stable")
    filled = [
        noisy_linear_imputation(explained.x[0], order[: int(576 * share / 100)].copy(), noise=0.0) for share in PERCENT
    ]
    kept.keep(
        "road_filled",
        last(np.stack(filled)),
        "quantus noisy_linear_imputation(noise=0): the image without its 10, 30, 50, 70 and 90 % of pixels that are "
        "largest in map_largest (int(576·p/100) of them), each the weighted mean of its neighbours, 1/6 those beside "
        "and 1/12 those across, over what lies in the image, all solved at once for each colour.",
    )
    with torch.no_grad():
        scores = explained.net(torch.from_numpy(np.stack(filled)))
    kept.keep("road_logits", scores[:, explained.asked.target].numpy(), "The target's logit of these images.")
    kept.keep(
        "road_kept_class",
        scores.argmax(dim=1).numpy() == explained.asked.target,
        "quantus.ROAD's value: whether the class is still the same. Of an image of colour the class itself gives none: "
        "see quantus_road_fails.",
    )
    try:
        explained.judge(quantus.ROAD(percentages=list(PERCENT), noise=0.0, **PLAIN), "largest", softmax=True)
        failed = False
    except IndexError:
        failed = True
    kept.keep(
        "quantus_road_fails",
        failed,
        "Whether quantus.ROAD raises IndexError on an image of three colours: it ranks values of all colours, and the "
        "imputation takes the ranks as pixels of one.",
    )
    road.NoisyLinearImputer.__init__.__defaults__ = (0.0, road.neighbors_weights)
    targets = [ClassifierOutputTarget(explained.asked.target)]
    most = [
        PerturbationConfidenceMetric(RemoveMostRelevantFirst(100 - share, road.NoisyLinearImputer()))(
            explained.asked.x, plane, targets, explained.net
        )[0]
        for share in PERCENT
    ]
    kept.keep(
        "grad_cam_road_most",
        most,
        "pytorch_grad_cam ROADMostRelevantFirst(percentile=90, 70, 50, 30, 10) with noise 0 in place of 0.01, of "
        "map_largest over its largest value: y(x') - y(x) of logits, x' without the pixels at or above the percentile.",
    )
    combined = road.ROADCombined(percentiles=list(PERCENT))(explained.asked.x, plane, targets, explained.net)
    kept.keep(
        "grad_cam_road_combined",
        combined,
        "pytorch_grad_cam ROADCombined(percentiles=[10, 30, 50, 70, 90]) with noise 0: half of the mean over the "
        "percentiles of y(x'_least) - y(x'_most); x'_least lacks the pixels at or above the percentile of 1 - map.",
    )


STEPS: tuple[Callable[[Kept, Explained], None], ...] = (
    inputs,
    curves,
    correlation,
    infidelities,
    sensitivities,
    randomised,
    places,
    roads,
)


def main() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    warnings.simplefilter("ignore")
    with np.load(HERE / "fixtures" / "given.npz") as file:
        explained = Explained(of_torch.Asked(dict(file)))
    kept = Kept()
    for step in STEPS:
        step(kept, explained)
    arrays = {
        name: values.astype(np.float32) if values.dtype.kind == "f" else values for name, values in kept.arrays.items()
    }
    np.savez_compressed(HERE / "fixtures" / "metrics_torch.npz", **arrays)
    found = {"versions": {name: version(name) for name in VERSIONS}, "notes": kept.notes}
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (HERE / "fixtures" / "metrics_torch.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
