"""What the address says is what is shown: links, Back and Forward, pictures that are not in a link, nonsense."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Opened
from tests.conftest import ROOT, Service

Visit = Callable[..., Opened]
SAMPLES = ROOT / "service" / "web" / "samples"


def shows(page: Page, sample: str, command: str) -> None:
    """The picture is that sample, in the address, as the pressed button and in the command."""
    expect(page.locator("#picture")).to_have_attribute("alt", f"The picture that is looked at: {sample}")
    expect(page.locator(f"#samples button[data-name='{sample}']")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".take code").first).to_contain_text(command)


def entries(page: Page) -> int:
    return int(page.evaluate("history.length"))


def test_back_and_forward_go_through_every_step(service: Service, visit: Visit) -> None:
    opened = visit(service, "/#model=shapes&sample=triangle.png&view=cam")
    page = opened.page
    strong = page.locator(".target strong")
    page.wait_for_selector(".map")
    first = strong.inner_text()
    at_first = entries(page)

    page.locator("select[name=method]").select_option("hirescam")
    expect(page.locator(".about summary")).to_contain_text("hirescam")
    page.locator("select[name=layer]").select_option(index=2)
    expect(page.locator(".take code").first).to_contain_text("layer=")
    page.locator("#predictions button").nth(1).click()
    expect(strong).not_to_have_text(first)
    second = strong.inner_text()
    page.locator("#samples button[data-name='circle.png']").click()
    shows(page, "circle.png", "@circle.png")
    page.click("#tab-model")
    page.wait_for_selector(".graph .node")
    page.locator("#model").select_option("efficientnet-lite0")
    expect(page.locator("#model-note")).to_contain_text("1000 classes")
    assert entries(page) - at_first == 6

    page.go_back()
    expect(page.locator("#model-note")).to_contain_text("28×28×3 px, 3 classes")
    expect(page.locator("#model")).to_have_value("shapes")
    expect(page.locator("#tab-model")).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(page.locator("#tab-cam")).to_have_attribute("aria-selected", "true")
    shows(page, "circle.png", "@circle.png")
    page.go_back()
    shows(page, "triangle.png", "@triangle.png")
    expect(strong).to_have_text(second)
    page.go_back()
    expect(strong).to_have_text(first)
    expect(page.locator("select[name=layer]")).not_to_have_value("")
    page.go_back()
    expect(page.locator("select[name=layer]")).to_have_value("")
    expect(page.locator(".about summary")).to_contain_text("hirescam")
    page.go_back()
    expect(page.locator(".about summary")).not_to_contain_text("hirescam")
    page.go_forward()
    expect(page.locator(".about summary")).to_contain_text("hirescam")
    expect(page.locator("select[name=method]")).to_have_value("hirescam")
    assert entries(page) - at_first == 6
    assert opened.said == []


def test_a_slider_makes_no_step(service: Service, visit: Visit) -> None:
    page = visit(service, "/#model=shapes&sample=triangle.png&view=cam").page
    page.wait_for_selector(".map")
    before = entries(page)
    for opacity in range(0, 100, 5):
        page.get_by_label("Opacity of the map").fill(str(opacity))
    assert "alpha=0.95" in page.url
    assert entries(page) == before


def test_a_hash_that_is_edited_is_followed(service: Service, visit: Visit) -> None:
    opened = visit(service, "/#model=shapes&sample=triangle.png&view=cam")
    page = opened.page
    page.wait_for_selector(".map")
    page.evaluate("location.hash = 'model=shapes&view=cam&sample=square.png'")
    shows(page, "square.png", "@square.png")
    page.evaluate("location.hash = 'model=efficientnet-lite0&view=saliency&sample=coffee.jpg&target=504'")
    shows(page, "coffee.jpg", "efficientnet-lite0/saliency?target=504")
    expect(page.locator(".target strong")).to_have_text("coffee mug")
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#view")).to_be_focused()
    assert "target=504" in page.url
    assert opened.said == []


def test_nothing_is_asked_of_the_model_that_was_left(service: Service, visit: Visit) -> None:
    opened = visit(service, "/#model=shapes&sample=triangle.png")
    page = opened.page
    page.wait_for_selector(".map")
    # The list of models comes late: the picture of the next model is open by then.
    waiting: list[Route] = []
    page.route("**/v1/models", lambda route: waiting.append(route))
    before = len(opened.asked)
    page.evaluate("location.hash = 'model=efficientnet-lite0&view=saliency&sample=cat.jpg&target=504'")
    expect(page.locator("#picture")).to_have_attribute("alt", "The picture that is looked at: cat.jpg")
    waiting.pop().continue_()
    shows(page, "cat.jpg", "efficientnet-lite0/saliency?target=504")
    assert [url for url in opened.asked[before:] if "models/shapes" in url] == []
    assert opened.said == []


def test_a_link_to_an_own_picture_says_so_and_shows_no_other(service: Service, visit: Visit) -> None:
    made = visit(service, "/#model=shapes&sample=triangle.png")
    made.page.wait_for_selector(".map")
    own = {"name": "elephant.png", "mimeType": "image/png", "buffer": (SAMPLES / "circle.png").read_bytes()}
    made.page.set_input_files("#file", own)
    expect(made.page.locator(".take code").first).to_contain_text("@elephant.png")
    link = made.page.url.removeprefix(service.url)
    made.page.go_back()
    shows(made.page, "triangle.png", "@triangle.png")
    made.page.go_forward()
    expect(made.page.locator(".take code").first).to_contain_text("@elephant.png")

    # In a page that has shown another picture, and in a new one.
    old = visit(service, "/#model=shapes&sample=square.png").page
    old.wait_for_selector(".map")
    old.evaluate("hash => { location.hash = hash; }", link.removeprefix("/#"))
    expect(old.locator("#missing")).to_be_visible()
    for gone in ("#picture", ".map", "#predictions li"):
        expect(old.locator(gone)).to_be_hidden()
    opened = visit(service, link)
    page = opened.page
    said = "This link was made with elephant.png, which is not in it: drop it here"
    expect(page.locator("#missing")).to_contain_text(said)
    expect(page.locator("#view")).to_contain_text(said)
    expect(page.locator("#picture")).to_be_hidden()
    expect(page.locator("#predictions")).to_be_empty()
    expect(page.locator(".map")).to_have_count(0)
    assert not [url for url in opened.asked if url.split("?")[0].endswith(("/predict", "/cam"))]
    page.click("#tab-kernels")
    page.wait_for_selector("img.grid")
    page.click("#tab-cam")
    page.set_input_files("#file", own)
    expect(page.locator(".take code").first).to_contain_text("@elephant.png")
    expect(page.locator("#missing")).to_be_hidden()
    expect(page.locator("#predictions li")).to_have_count(3)
    assert opened.said == []


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ("view=cam&target=nonsense", "there is no class 'nonsense'"),
        ("view=constructor", "There is no view “constructor”"),
        ("sample=dog.jpg", "There is no sample “dog.jpg”"),
        *(
            pytest.param(link, sentence, marks=pytest.mark.soak)
            for link, sentence in [
                ("view=activations&channels=nonsense", "'nonsense' is no index"),
                ("view=filters&job=nonsense", "nonsense"),
                ("view=cam&target=top99", "at most top3 for this model"),
                ("view=saliency&target=9999", "the model has the classes 0 to 2"),
                ("view=occlusion&target=0,,1", "there is no class ''"),
                ("view=occlusion&patch=999", "patch 999,999 is larger than the model's input"),
                ("view=cam&nonsense=1", "nonsense"),
                ("view=activations&layers=nonsense", "nonsense"),
                ("view=kernels&layer=nonsense", "nonsense"),
            ]
        ),
    ],
)
def test_nonsense_in_a_link_is_one_sentence_and_the_page_stays_usable(
    link: str, sentence: str, service: Service, visit: Visit
) -> None:
    sample = "" if "sample" in link else "sample=circle.png&"
    opened = visit(service, f"/#model=shapes&{sample}{link}")
    page = opened.page
    # A picture that is not there is no fault of a call.
    wrong = page.locator("#view > .warning" if "sample" in link else "#view .problem")
    expect(wrong).to_have_count(1)
    expect(wrong).to_contain_text(sentence)
    page.locator("#samples button[data-name='square.png']").click()
    page.click("#tab-saliency")
    page.wait_for_selector(".map")
    expect(wrong).to_have_count(0)
    # Chromium itself tells of answers that are no 200.
    assert [said for said in opened.said if "Failed to load resource" not in said] == []


def test_a_model_that_is_not_there_is_said_and_not_replaced(service: Service, visit: Visit) -> None:
    page = visit(service, "/#model=shape&sample=circle.png").page
    expect(page.locator("#view .problem")).to_contain_text("shape")
    assert "model=shape&" in page.url
    page.locator("#model").select_option("shapes")
    page.wait_for_selector(".map")
