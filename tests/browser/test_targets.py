"""Several targets: a map each, and what is downloaded is what is seen."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import Opened
from tests.conftest import ROOT, Service

Visit = Callable[..., Opened]
SAMPLES = ROOT / "service" / "web" / "samples"
CAT = SAMPLES / "cat.jpg"


def title_of(target: dict[str, object]) -> str:
    """What the page calls a target of an answer."""
    minus = target["minus"]
    names = [str(target["label"]), *([str(minus["label"])] if isinstance(minus, dict) else [])]
    return " against ".join(name.replace("_", " ") for name in names)


@pytest.mark.parametrize(
    ("target", "view", "model"),
    [
        ("top3", "cam", "efficientnet-lite0"),
        ("0,1", "saliency", "shapes"),
        ("281-285,282", "occlusion", "efficientnet-lite0"),
        pytest.param("281-285", "cam", "efficientnet-lite0", marks=pytest.mark.soak),
        pytest.param("top2", "occlusion", "shapes", marks=pytest.mark.soak),
        pytest.param("281-285,282", "saliency", "efficientnet-lite0", marks=pytest.mark.soak),
    ],
)
def test_every_target_has_its_own_map_with_its_own_ends(
    target: str, view: str, model: str, service: Service, visit: Visit
) -> None:
    cheap = "&patch=14&stride=7" if model == "shapes" else "&patch=112&stride=56"
    cheap = cheap if view == "occlusion" else ""
    asked = f"target={target}{cheap}"
    answer = service.client.post(
        f"/v1/models/{model}/{view}?{asked}&arrays=list&outputs=heatmap",
        content=CAT.read_bytes(),
        headers={"Content-Type": "image/jpeg"},
    ).json()
    opened = visit(service, f"/#model={model}&view={view}&sample=cat.jpg&{asked}")
    tiles = opened.page.locator(".tile")
    expect(tiles).to_have_count(len(answer["targets"]))
    maps = [array for array in answer["arrays"] if array["name"].startswith("heatmap")]
    for place, (told, array) in enumerate(zip(answer["targets"], maps, strict=True)):
        tile = tiles.nth(place)
        expect(tile.locator(".target strong")).to_have_text(title_of(told))
        expect(tile.locator("img.map")).to_be_visible()
        assert tile.locator("img.map").evaluate("map => map.naturalWidth") > 0
        high = float(tile.locator(".colorbar figcaption span").last.inner_text())
        reach = max(abs(array["min"]), abs(array["max"]))
        signed = answer["method"]["parameters"]["normalize"] == "symmetric"
        assert high == pytest.approx(reach if signed else array["max"], rel=1e-2)
        expect(tile.locator(".small img")).to_have_count(2 if view == "occlusion" else 0)
        tile.get_by_role("slider").fill(str(10 + place))
    shown = [float(each.evaluate("map => map.style.opacity")) for each in tiles.locator("img.map").all()]
    assert shown == [(10 + place) / 100 for place in range(len(maps))]
    assert opened.said == []


@pytest.mark.parametrize(
    ("target", "tile", "percent"), [("top1", 0, 20), ("0-1,2", 0, 90)], ids=["one target", "one of several"]
)
def test_the_download_has_the_opacity_that_is_seen(
    target: str, tile: int, percent: int, service: Service, visit: Visit, tmp_path: Path
) -> None:
    opened = visit(service, f"/#model=shapes&view=cam&sample=cat.jpg&target={target}")
    place = opened.page.locator(".tile").nth(tile)
    place.get_by_role("slider").fill(str(percent))
    source = place.locator("img.map").get_attribute("src")
    assert source
    heatmap = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("RGB"), float)
    photograph = np.asarray(Image.open(CAT).convert("RGB"), float)
    seen = photograph * (1 - percent / 100) + heatmap * percent / 100
    with opened.page.expect_download() as download:
        place.get_by_role("button", name="PNG").click()
    download.value.save_as(tmp_path / "map.png")
    np.testing.assert_allclose(np.asarray(Image.open(tmp_path / "map.png").convert("RGB"), float), seen, atol=1.01)
    command = place.locator(".take code").inner_text()
    assert f"alpha={percent / 100:g}" in command


def test_an_opacity_in_the_link_is_the_one_that_is_shown(service: Service, visit: Visit) -> None:
    page = visit(service, "/#model=shapes&view=cam&sample=triangle.png&alpha=0.3").page
    expect(page.get_by_label("Opacity of the map")).to_have_value("30")
    assert page.locator("img.map").evaluate("map => map.style.opacity") == "0.3"


def test_every_layer_and_channel_of_a_link_is_drawn(service: Service, visit: Visit) -> None:
    opened = visit(service, "/#model=shapes&view=activations&sample=square.png&layers=conv2d,conv2d_1&channels=0,4-5")
    page = opened.page
    expect(page.locator(".channel figcaption strong")).to_have_text([f"conv2d, channel {each}" for each in (0, 4, 5)])
    expect(page.locator("img.grid")).to_have_count(2)
    assert opened.said == []


def test_an_estimate_is_of_measured_calls_and_right_within_a_factor_of_two(service: Service, visit: Visit) -> None:
    page = visit(service, "/#model=efficientnet-lite0&view=occlusion&sample=cat.jpg").page
    page.wait_for_selector(".map")
    expect(page.locator("#cost")).to_have_text("169 windows.")
    # The first call compiles for this setting, or has been answered before; the second is the first that tells a pace.
    for sample in ("Rocket", "Cup of coffee"):
        with page.expect_response(lambda answer: "/occlusion" in answer.url) as heard:
            page.locator(f"#samples button[title='{sample}']").click()
        page.wait_for_selector(".map")
        taken = heard.value.json()["timing_ms"]["total"] / 1000
        page.wait_for_load_state("networkidle")
    told = re.fullmatch(
        r"169 windows, about ([\d.]+) s by what was measured here\.", page.locator("#cost").inner_text()
    )
    assert told
    assert taken / 2 <= float(told[1]) <= taken * 2
