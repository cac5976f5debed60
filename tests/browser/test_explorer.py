"""The explorer page, as somebody uses it."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from service.keys.key import digest_of
from tests.browser.conftest import SLOW_MS, Opened
from tests.conftest import ROOT, Service, start_service

Visit = Callable[..., Opened]
CAT = ROOT / "service" / "web" / "samples" / "cat.jpg"
TABS = (
    "activations", "cam", "saliency", "occlusion", "perturbation", "evaluate",
    "filters", "concepts", "kernels", "model",
)  # fmt: skip
SHOWN = {
    "activations": "img.grid", "cam": ".map", "saliency": ".map", "occlusion": ".map", "perturbation": ".map",
    "evaluate": "button.main", "filters": "button.main", "concepts": "button.main",
    "kernels": "img.grid", "model": ".graph .node",
}  # fmt: skip
MOST_BYTES = 150_000
LITE = "/v1/models/efficientnet-lite0"


def tab(opened: Opened, name: str) -> None:
    opened.page.click(f"#tab-{name}")
    opened.page.wait_for_selector(f"#view {SHOWN[name]}")


def test_the_whole_walk(service: Service, visit: Visit) -> None:
    opened = visit(service)
    page = opened.page
    page.wait_for_selector(".map")
    body = {"content": CAT.read_bytes(), "headers": {"Content-Type": "image/jpeg"}}
    best = service.client.post(f"{LITE}/predict", **body).json()["predictions"]
    rows = page.locator("#predictions li")
    assert rows.count() == 5
    assert best[0]["label"].replace("_", " ") in rows.nth(0).inner_text()
    assert f"{best[0]['probability'] * 100:.1f} %" in rows.nth(0).inner_text()

    slider = page.get_by_label("Opacity of the map")
    slider.fill("20")
    assert page.locator(".map").evaluate("map => getComputedStyle(map).opacity") == "0.2"
    rows.nth(1).get_by_role("button").click()
    expect(page.locator(".target strong")).to_have_text(best[1]["label"].replace("_", " "))
    page.locator("select[name=method]").select_option("layercam")
    expect(page.locator(".about summary")).to_contain_text("layercam")
    answer = service.client.post(
        f"{LITE}/cam?method=layercam&target={best[1]['class_index']}&arrays=base64", **body
    ).json()
    assert float(page.locator(".colorbar figcaption span").last.inner_text()) == pytest.approx(
        answer["arrays"][0]["max"], rel=5e-3
    )

    tab(opened, "saliency")
    page.locator("select[name=sign]").select_option("signed")
    expect(page.locator(".about summary")).to_contain_text("gradient")
    ends = page.locator(".colorbar figcaption span")
    expect(ends).to_have_count(3)
    assert float(ends.nth(0).inner_text()) == -float(ends.nth(2).inner_text())
    assert ends.nth(1).inner_text() == "0"

    tab(opened, "occlusion")
    page.locator("input[name=patch]").fill("112")
    page.locator("input[name=patch]").press("Enter")
    page.locator("input[name=stride]").fill("50")
    page.locator("input[name=stride]").press("Enter")
    expect(page.locator("#cost")).to_have_text("16 windows.")
    page.wait_for_selector(".map")
    page.locator(".about summary").click()
    windows = page.locator(".about dt:text-is('windows') + dd").inner_text()
    assert windows == "16"
    expect(page.locator(".small img")).to_have_count(2)

    tab(opened, "kernels")
    layers = service.client.get(f"{LITE}/layers").json()["layers"]
    tab(opened, "model")
    assert page.locator("tbody tr").count() >= len(layers)
    assert page.locator(".graph .node").count() == len(layers)
    assert page.locator(".graph .edge").count() == sum(len(layer["inputs"]) for layer in layers)
    page.get_by_role("button", name="stem_conv", exact=True).click()
    expect(page.locator(".detail h3")).to_have_text("stem_conv · Conv2D")
    assert opened.said == []
    assert {urlsplit(url).netloc for url in opened.asked if url.startswith("http")} == {urlsplit(service.url).netloc}


def test_a_channel_by_click_and_by_number(service: Service, visit: Visit) -> None:
    opened = visit(service, "/#view=activations&model=shapes&sample=triangle.png")
    page = opened.page
    page.wait_for_selector("img.grid")
    size = page.locator("img.grid").bounding_box()
    assert size
    # 32 maps, 16 in a row: the third of the second row is channel 18.
    page.locator("img.grid").click(position={"x": size["width"] * 2.5 / 16, "y": size["height"] * 0.85})
    expect(page.locator(".channel figcaption strong")).to_have_text("conv2d, channel 18")
    assert "channels=18" in page.url
    page.locator("input[name=channel]").fill("3")
    page.locator("input[name=channel]").press("Enter")
    expect(page.locator(".channel figcaption strong")).to_have_text("conv2d, channel 3")
    shared = visit(service, page.url.removeprefix(service.url))
    expect(shared.page.locator(".channel figcaption strong")).to_have_text("conv2d, channel 3")
    page.locator(".thumbnails button").nth(2).click()
    expect(page.locator(".thumbnails button").nth(2)).to_have_attribute("aria-pressed", "true")
    assert opened.said == []


def test_a_job_to_its_end_and_one_that_is_cancelled(service: Service, visit: Visit) -> None:
    opened = visit(service, "/#view=filters&model=shapes&layer=conv2d_3&channels=0-3&steps=60")
    page = opened.page
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".stage > p").first).to_have_text("Finished.", timeout=SLOW_MS)
    assert page.locator(".stage img.grid").count() == 2
    expect(page.locator(".gallery button").first.locator("img")).to_be_visible()
    page.locator("input[name=steps]").fill("10000")
    page.locator("input[name=steps]").press("Enter")
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector("progress")
    expect(page.locator(".stage p[role=status]")).to_contain_text("step", timeout=SLOW_MS)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".stage > p").first).to_have_text("Cancelled.", timeout=SLOW_MS)
    job = re.search("job=([0-9a-f]+)", page.url)
    assert job
    assert service.client.get(f"/v1/jobs/{job[1]}").json()["state"] == "cancelled"
    assert opened.said == []


def test_concepts_of_pictures_that_are_chosen(service: Service, visit: Visit) -> None:
    opened = visit(service, "/#view=concepts&model=shapes&concepts=2&draws=4")
    page = opened.page
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".stage .problem p")).to_contain_text("Choose files for images")
    triangle = (ROOT / "service" / "web" / "samples" / "triangle.png").read_bytes()
    files = [{"name": name, "mimeType": "image/png", "buffer": triangle} for name in ("1.png", "2.png")]
    page.set_input_files("input[name=images]", [*files, {"name": "3.png", "mimeType": "image/png", "buffer": b"bad"}])
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".stage > p").first).to_have_text("Finished.", timeout=SLOW_MS)
    expect(page.locator(".stage .warning").last).to_contain_text("'3.png'")
    assert page.locator(".stage img.grid").count() == 1
    expect(page.locator("input[name=random]")).to_be_hidden()
    page.locator("select[name=method]").select_option("tcav")
    expect(page.locator("input[name=random]")).to_be_visible()
    again = visit(service, page.url.removeprefix(service.url))
    again.page.wait_for_selector("button.main")
    assert opened.said == []


def test_pictures_of_ones_own(service: Service, visit: Visit) -> None:
    page = visit(service, "/#model=shapes").page
    page.wait_for_selector(".map")
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    expect(page.locator(".problem p")).to_contain_text("“notes.txt” is text/plain; choose a PNG")
    page.set_input_files("#file", {"name": "broken.png", "mimeType": "image/png", "buffer": CAT.read_bytes()[:2000]})
    told = service.client.post(
        "/v1/models/shapes/predict", content=CAT.read_bytes()[:2000], headers={"Content-Type": "image/png"}
    ).json()["detail"]
    expect(page.locator("#predictions .problem p")).to_have_text(told)
    page.set_input_files("#file", str(CAT))
    page.wait_for_selector("#predictions li")
    expect(page.locator(".take code").first).to_contain_text("--data-binary @cat.jpg -H 'Content-Type: image/jpeg'")
    pasted = f"""
        const data = new DataTransfer();
        const bytes = Uint8Array.from(atob("{base64.b64encode(CAT.read_bytes()).decode()}"), c => c.charCodeAt(0));
        data.items.add(new File([bytes], "dropped.jpg", {{type: "image/jpeg"}}));
        document.dispatchEvent(new DragEvent("drop", {{dataTransfer: data, bubbles: true, cancelable: true}}));
    """
    page.evaluate(pasted)
    expect(page.locator(".take code").first).to_contain_text("@dropped.jpg")


@pytest.mark.soak
def test_the_download_is_what_the_command_fetches(service: Service, visit: Visit, tmp_path: Path) -> None:
    page = visit(service, "/#model=shapes&sample=square.png&view=cam&method=hirescam").page
    page.wait_for_selector(".map")
    with page.expect_download() as download:
        page.get_by_role("button", name="NPY").click()
    download.value.save_as(tmp_path / "map.npy")
    sample = (ROOT / "service" / "web" / "samples" / "square.png").read_bytes()
    answer = service.client.post(
        "/v1/models/shapes/cam?method=hirescam&format=npy", content=sample, headers={"Content-Type": "image/png"}
    )
    assert (tmp_path / "map.npy").read_bytes() == answer.content


@pytest.mark.soak
def test_by_keyboard_alone(service: Service, visit: Visit) -> None:
    page = visit(service, "/#model=shapes").page
    page.wait_for_selector(".map")
    page.locator("#tab-cam").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-saliency")).to_be_focused()
    expect(page.locator("#tab-saliency")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("End")
    expect(page.locator("#tab-model")).to_be_focused()
    page.wait_for_selector(".graph .node")
    page.locator(".graph .node").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".detail h3")).to_have_text("conv2d · Conv2D")


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.soak)])
def test_nothing_serious_for_axe(scheme: str, service: Service, visit: Visit) -> None:
    opened = visit(service, "/#model=shapes", color_scheme=scheme)
    opened.page.wait_for_selector(".map")
    found = {}
    for name in TABS:
        tab(opened, name)
        violations = Axe().run(opened.page).response["violations"]
        found |= {
            f"{name}/{each['id']}": [node["html"][:100] for node in each["nodes"]]
            for each in violations
            if each["impact"] in ("serious", "critical")
        }
    assert found == {}


@pytest.mark.soak
def test_a_narrow_screen(service: Service, visit: Visit) -> None:
    opened = visit(service, "/#model=shapes", viewport={"width": 360, "height": 740})
    opened.page.wait_for_selector(".map")
    wide = {}
    for name in TABS:
        tab(opened, name)
        wide[name] = opened.page.evaluate("document.documentElement.scrollWidth")
    assert wide == dict.fromkeys(TABS, 360)


def test_while_the_engine_starts_and_with_a_key(visit: Visit, tmp_path: Path) -> None:
    key = "k" * 43
    running = start_service(tmp_path, ready=False, preload="shapes", api_keys=f"sha256:{digest_of(key)}")
    try:
        began = time.monotonic()
        opened = visit(running)
        page = opened.page
        expect(page.get_by_role("dialog")).to_be_visible()
        assert running.client.get("/readyz").status_code == 503
        assert page.locator("#tabs button").count() == len(TABS)
        interactive = time.monotonic() - began
        page.get_by_label("Key", exact=True).fill(key)
        page.get_by_role("button", name="Use it").click()
        page.locator("#samples button").last.click()
        page.locator("#model").select_option("shapes")
        page.wait_for_selector(".map")
        assert page.locator("#predictions li").count() == 3
        expect(page.locator(".take code").first).to_contain_text('-H "Authorization: Bearer $KERASCOPE_KEY"')
        assert key not in page.content()
        own = {url: size for url, size in opened.received.items() if "/v1/" not in url and not url.startswith("blob:")}
        assert len(own) > 10
        assert sum(own.values()) < MOST_BYTES
        assert interactive < 10
    finally:
        running.stop()
