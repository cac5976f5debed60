"""Makes the picture of each variant in `docs/pictures`, which the page of the methods shows.

`make serve` in one terminal, `make pictures` in another: the service is asked as anybody would ask it, for one variant
after another, of EfficientNet-Lite0 and the photograph `cat.png` (Chelsea of scikit-image, CC0). Names given after the
command, such as `cam-gradcam`, make these pictures alone. They are not made in tests: the weights are not in the
repository, and all together take minutes.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import httpx
from generators.example import FOLDER
from PIL import Image

from service.explainers import EXPLAINERS, Explainer

PICTURES = FOLDER.parent / "docs" / "pictures"
MODEL = "/v1/models/efficientnet-lite0"
SIDE_PX, MOST_BYTES = 160, 12_000
FIRST, MIDDLE = "stem_conv", "block3b_expand_conv"
# What each family, or one of its variants, is asked besides, so that its picture is clear at this size.
ASKED: dict[str, dict[str, Any]] = {
    "activations": {"layers": MIDDLE, "channels": "0-17", "per_row": 6},
    "kernels": {"filters": "0-31", "per_row": 8, "input_channel": "rgb"},
    "perturbation-kernelshap": {"segments": "slic"},
    "perturbation-lime": {"segments": "slic"},
    "saliency-xrai": {"sign": "positive"},
    "occlusion": {"patch": 56, "stride": 14},
    "maximization": {"layer": MIDDLE, "channels": "0-3", "size": 64, "columns": 2, "titles": "none", "outputs": "grid"},
}
# Families whose answer is no picture, or that are asked about more than one photograph.
WITHOUT = ("predict", "concepts", "evaluate")


def file_of(family: str, variant: str) -> Path:
    """Names the file of a variant's picture."""
    return PICTURES / f"{family}-{variant}.webp"


def shown() -> list[tuple[Explainer, str]]:
    """Every family with each of its variants that has a picture."""
    return [(each, variant.name) for each in EXPLAINERS if each.name not in WITHOUT for variant in each.variants]


def made(client: httpx.Client, family: str, variant: str, quality: int) -> bytes:
    """The picture as the service answers it."""
    params: dict[str, Any] = {"format": "webp", "quality": quality, "max_side": SIDE_PX}
    params |= ASKED.get(family, {}) | ASKED.get(f"{family}-{variant}", {})
    image = {"content": (FOLDER / "cat.png").read_bytes(), "headers": {"Content-Type": "image/png"}}
    if family == "kernels":
        answer = client.get(f"{MODEL}/layers/{FIRST}/kernels", params=params)
    elif family == "maximization":
        # WebP of this family is its animation.
        del params["quality"]
        still = params | {"preset": variant, "format": "png"}
        answer = client.post(f"{MODEL}/maximization", params=still, headers={"Prefer": "wait=600"})
    else:
        several = {"method": variant} if variant != family else {}
        maps = {} if family == "activations" else {"outputs": "overlay"}
        answer = client.post(f"{MODEL}/{family}", params=params | maps | several, **image)
    if answer.status_code != httpx.codes.OK:
        raise SystemExit(f"{family} {variant}: {answer.status_code} {answer.text[:300]}")
    return as_webp(answer.content, quality) if family == "maximization" else answer.content


def as_webp(picture: bytes, quality: int) -> bytes:
    """The same picture as WebP."""
    found = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as opened:
        opened.save(found, "WEBP", quality=quality)
    return found.getvalue()


def main(url: str, names: list[str]) -> None:
    PICTURES.mkdir(exist_ok=True)
    with httpx.Client(base_url=url, timeout=900) as client:
        for explainer, variant in shown():
            path = file_of(explainer.name, variant)
            if names and path.stem not in names:
                continue
            for quality in (80, 65, 50, 35):
                picture = made(client, explainer.name, variant, quality)
                if len(picture) <= MOST_BYTES:
                    break
            path.write_bytes(picture)
            print(f"{path.name}: {len(picture)} bytes")


if __name__ == "__main__":
    main("http://127.0.0.1:8000", sys.argv[1:])
