"""A job stays in sight until it has ended, and a click in the gallery restores what it was made of."""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Callable
from urllib.parse import parse_qsl

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import SLOW_MS, Opened
from tests.conftest import Service

Visit = Callable[..., Opened]
FILTERS = "/#view=filters&model=shapes&sample=circle.png&layer=conv2d_3"


def finished(service: Service, query: str) -> str:
    """The ID of a job of `shapes` that has ended."""
    answer = service.client.post(f"/v1/models/shapes/maximization?{query}", headers={"Prefer": "respond-async"}).json()
    service.client.get(f"/v1/jobs/{answer['id']}/events")
    assert service.client.get(f"/v1/jobs/{answer['id']}").json()["state"] == "succeeded"
    return str(answer["id"])


def started(page: Page) -> str:
    """The ID of a job that was started by the button and will not end by itself within a test."""
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".stage p[role=status]")).to_contain_text("step", timeout=SLOW_MS)
    job = re.search("job=([0-9a-f]+)", page.url)
    assert job
    return job[1]


def test_a_click_in_the_gallery_restores_form_command_and_link(service: Service, visit: Visit) -> None:
    queries = {
        "layer=conv2d_1&channels=2-5&steps=7&jitter=3": "channels=2-5",
        "layer=conv2d_2:linear&channels=0,4&steps=5&preset=lucid": "channels=0,4",
        "target=1&steps=4": "target=1",
    }
    ids = [finished(service, query) for query in queries]
    opened = visit(service, FILTERS + "&channels=0-1&steps=9")
    page = opened.page
    cards = page.locator(".gallery button")
    # The newest first.
    for place, (job, query) in enumerate(zip(ids[::-1], list(queries)[::-1], strict=True)):
        cards.nth(place).click()
        expect(page.locator(".stage > p").first).to_have_text("Finished.")
        expect(page.locator(".stage > .note").first).to_contain_text(queries[query].replace("=", " "))
        given = dict(parse_qsl(query))
        for name in ("layer", "channels", "target", "steps", "preset", "jitter"):
            expect(page.locator(f".parameters [name={name}]")).to_have_value(given.get(name, ""))
        own = {"model": "shapes", "view": "filters", "sample": "circle.png", "job": job}
        assert dict(parse_qsl(page.url.split("#")[1])) == own | given
        command = page.locator("#view > .command code").inner_text()
        shown = re.search(r"maximization\?([^' ]+)", command)
        assert shown
        assert dict(parse_qsl(shown[1])) == given
    page.locator("input[name=steps]").fill("8")
    page.locator("input[name=steps]").press("Enter")
    expect(page.get_by_text("The form has been changed since")).to_be_visible()
    assert "job=" not in page.url
    expect(page.locator(".stage > .note").first).to_have_text("layer conv2d_1, channels 2-5, steps 7, jitter 3")
    page.go_back()
    expect(page.locator("input[name=steps]")).to_have_value("7")
    assert f"job={ids[0]}" in page.url
    page.go_back()
    expect(page.locator("select[name=layer]")).to_have_value("conv2d_2:linear")
    assert opened.said == []


def test_the_job_of_a_link_is_shown_with_its_own_setting(service: Service, visit: Visit) -> None:
    job = finished(service, "layer=conv2d_1&channels=7&steps=3")
    page = visit(service, f"{FILTERS}&channels=0-8&steps=99&job={job}").page
    expect(page.locator(".stage > p").first).to_have_text("Finished.")
    expect(page.locator("select[name=layer]")).to_have_value("conv2d_1")
    expect(page.locator("input[name=steps]")).to_have_value("3")
    other = visit(service, f"/#model=efficientnet-lite0&view=filters&job={job}").page
    expect(other.locator(".problem p")).to_have_text("This job is of the model shapes; choose that model to see it.")


def test_a_running_job_stays_in_sight_in_every_view_and_model(service: Service, visit: Visit) -> None:
    opened = visit(service, FILTERS + "&channels=0&steps=10000")
    page = opened.page
    job = started(page)
    aside = page.locator("#jobs li")
    page.click("#tab-cam")
    page.wait_for_selector(".map")
    page.locator("#model").select_option("efficientnet-lite0")
    expect(page.locator("#model-note")).to_contain_text("1000 classes")
    expect(aside).to_have_count(1)
    expect(aside.locator(".state")).to_contain_text("running")
    before = float(aside.locator("progress").get_attribute("value") or 0)
    expect(aside.locator("progress")).not_to_have_attribute("value", str(before))
    page.reload()
    expect(aside.get_by_role("button").first).to_have_text("shapes: layer conv2d_3, channels 0, steps 10000")
    aside.get_by_role("button").first.click()
    expect(page.locator(".stage p[role=status]")).to_contain_text("step")
    expect(page.locator("#model")).to_have_value("shapes")
    expect(page.locator("input[name=steps]")).to_have_value("10000")
    assert f"job={job}" in page.url
    page.click("#tab-kernels")
    aside.get_by_role("button", name="Stop").click()
    expect(aside.locator(".state")).to_have_text("cancelled")
    assert service.client.get(f"/v1/jobs/{job}").json()["state"] == "cancelled"
    aside.get_by_role("button", name="Take away").click()
    expect(page.locator("#jobs")).to_be_hidden()
    assert opened.said == []


def test_a_job_is_followed_on_after_a_lost_connection_and_a_frozen_tab(service: Service, visit: Visit) -> None:
    page = visit(service, FILTERS + "&channels=0&steps=10000").page
    job = started(page)
    line = page.locator(".stage p[role=status]")

    def step() -> int:
        found = re.search(r"step (\d+)", line.inner_text())
        return int(found[1]) if found else -1

    page.context.set_offline(True)
    page.wait_for_timeout(500)
    page.context.set_offline(False)
    at = step()
    # It is looked at again within seconds.
    deadline = time.monotonic() + 8
    while step() <= at and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    assert step() > at
    tab = page.context.new_cdp_session(page)
    tab.send("Page.setWebLifecycleState", {"state": "frozen"})
    service.client.delete(f"/v1/jobs/{job}")
    service.client.get(f"/v1/jobs/{job}/events")
    tab.send("Page.setWebLifecycleState", {"state": "active"})
    expect(page.locator(".stage > p").first).to_have_text("Cancelled.")


def test_a_chart_s_title_is_whole(service: Service, visit: Visit) -> None:
    job = finished(service, "target=0-1,1-0,0-2,2-0,1-2&steps=2")
    page = visit(service, f"/#view=filters&model=shapes&sample=circle.png&job={job}").page
    source = page.get_by_alt_text("Activation over the steps").get_attribute("src")
    assert source
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("L"))
    # Nothing is drawn up to the edge on any side.
    assert (pixels[:, -8:] > 250).all()
    assert (pixels[:2] > 250).all()
    assert (pixels[:30, 40:] < 128).any()
