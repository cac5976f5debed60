"""What cannot be had is said at once, and only what passes by itself is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Route, expect

from service.api.problems import STATUS, problem_type
from service.errors import EngineUnavailable, JobsUnavailable, QueueFull, TooManyCalls, WeightsUnavailable
from service.keys.key import new_key
from service.keys.scope import Scope
from service.keys.store import KeyStore
from tests.browser.conftest import Opened
from tests.conftest import ROOT, Service, start_service

Visit = Callable[..., Opened]
SAMPLES = ROOT / "service" / "web" / "samples"


def test_weights_that_cannot_be_had_are_said_at_once_and_once(service: Service, visit: Visit) -> None:
    opened = visit(service, "/#model=shapes&sample=circle.png&view=cam")
    page = opened.page
    page.wait_for_selector(".map")
    began = time.monotonic()
    with page.expect_response(lambda answer: answer.url.endswith("/v1/models/vgg16/layers")) as heard:
        page.locator("#model").select_option("vgg16")
    problem = page.locator(".problem")
    expect(problem).to_have_count(1)
    took = time.monotonic() - began
    assert heard.value.json()["type"] == "urn:kerascope:problem:weights-unavailable"
    expect(problem.locator("p").first).to_have_text(heard.value.json()["detail"])
    expect(page.locator(".map")).to_have_count(0)
    expect(page.locator("#predictions")).to_be_empty()
    assert took < 20
    page.wait_for_timeout(1500)
    assert not [url for url in opened.asked if url.endswith("/load")]
    assert len([url for url in opened.asked if url.endswith("/v1/models/vgg16/layers")]) == 1
    page.locator("#model").select_option("shapes")
    page.wait_for_selector(".map")
    expect(problem).to_have_count(0)


def test_a_key_that_may_only_look_opens_a_cold_model(visit: Visit, tmp_path: Path) -> None:
    text, key = new_key("looks", frozenset({Scope.EXPLAIN}))
    KeyStore(tmp_path / "data").add(key)
    service = start_service(tmp_path, preload="")
    try:
        opened = visit(service, "/#model=shapes&sample=circle.png&view=cam")
        opened.page.wait_for_selector("#key-dialog[open]")
        opened.page.evaluate("key => sessionStorage.setItem('kerascope-key', key)", text)
        opened.page.reload()
        opened.page.wait_for_selector(".map")
        assert not [url for url in opened.asked if url.endswith("/load")]
    finally:
        service.stop()


def test_a_slow_failure_does_not_take_the_place_of_the_model_that_was_chosen_after_it(
    service: Service, visit: Visit
) -> None:
    page = visit(service, "/#model=shapes&sample=circle.png&view=cam").page
    page.wait_for_selector(".map")

    def late(route: Route) -> None:
        time.sleep(0.5)
        route.continue_()

    page.route("**/v1/models/vgg19/layers", late)
    page.locator("#model").select_option("vgg19")
    page.locator("#model").select_option("shapes")
    page.wait_for_selector(".map")
    page.wait_for_timeout(1500)
    expect(page.locator(".map")).to_have_count(1)
    expect(page.locator(".problem")).to_have_count(0)


def test_only_problems_that_pass_by_themselves_are_waited_for(service: Service, visit: Visit) -> None:
    """They are told by their kind: a `Retry-After` alone makes none of the service's own problems one that passes."""
    kinds = [error for error, status in STATUS.items() if status in (429, 503, 507)]
    passing = visit(service, "/#model=shapes&view=model").page.evaluate(
        """async (problems) => {
            const { Problem } = await import("/explorer/api.js");
            const passes = ([status, type]) => new Problem(status, "", "", type, 30).passes;
            return problems.filter(passes).map(([, type]) => type);
        }""",
        [[STATUS[kind], problem_type(kind)] for kind in kinds],
    )
    assert WeightsUnavailable in kinds
    waited_for = {EngineUnavailable, JobsUnavailable, QueueFull, TooManyCalls}
    assert sorted(passing) == sorted(problem_type(kind) for kind in waited_for)


def test_the_page_takes_pictures_as_large_as_the_service_does(visit: Visit, service: Service, tmp_path: Path) -> None:
    page = visit(service, "/#model=shapes&sample=circle.png").page
    page.wait_for_selector(".map")
    large = tmp_path / "large.png"
    # What stands behind the picture is no part of it.
    large.write_bytes((SAMPLES / "square.png").read_bytes().ljust(17 * 1024**2, b"\0"))
    page.set_input_files("#file", str(large))
    expect(page.locator(".take code").first).to_contain_text("@large.png")
    expect(page.locator("#predictions li")).to_have_count(3)
    link = page.url
    with large.open("ab") as file:
        file.truncate(33 * 1024**2)
    page.set_input_files("#file", str(large))
    expect(page.locator(".problem p")).to_have_text("“large.png” has 33 MB; the service takes 32 MB.")
    assert page.url == link
