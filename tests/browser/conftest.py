"""Debian's Chromium, driven by Playwright, on the real service."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import Service

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SLOW_MS = 60_000


@dataclass
class Opened:
    """A page, what its console said, and every address it asked."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    received: dict[str, int] = field(default_factory=dict)


# Not of the session: while Playwright runs, its event loop is this thread's, and other tests need one of their own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        why = "there is no Chromium on this machine: `make browser` installs Debian's"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses to run as root, which containers and CI are.
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield found
        found.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Opens a path of a service; options are those of a browser context."""
    contexts = []

    def opened(service: Service, path: str = "/", **options: object) -> Opened:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})  # type: ignore[arg-type]
        context.set_default_timeout(SLOW_MS)
        contexts.append(context)
        found = Opened(context.new_page())
        found.page.on(
            "console", lambda told: found.said.append(told.text) if told.type in ("error", "warning") else None
        )
        found.page.on("pageerror", lambda error: found.said.append(str(error)))
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.on("response", lambda answer: found.received.update({answer.url: weight(answer)}))
        found.page.goto(service.url + path)
        return found

    yield opened
    for context in contexts:
        context.close()


def weight(answer: object) -> int:
    """Bytes of an answer by its own header; 0 where it has none."""
    return int(answer.headers.get("content-length", 0))  # type: ignore[attr-defined]
