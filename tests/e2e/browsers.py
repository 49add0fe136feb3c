"""Chromium under Playwright: phones and laptops that show the page."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.waiting import until

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
SMALL = {**PHONE, "viewport": {"width": 320, "height": 568}}
LAPTOP = {"viewport": {"width": 1280, "height": 800}}
PATIENCE_MS = 60_000


def chromium() -> str | None:
    """Return the path of a Chromium of this machine."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextlib.contextmanager
def opened() -> Iterator[Any]:
    """Give a browser. Skips the test without one."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install '.[browser]')")
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Page:
    """A page that is open, and what it has loaded and complained of."""

    def __init__(self, browser: Any, address: str, kind: dict[str, Any], **more: Any) -> None:
        """Open `address` on a device of a `kind`."""
        self.context = browser.new_context(**kind, **more)
        self.context.set_default_timeout(PATIENCE_MS)
        self.page = self.context.new_page()
        self.hosts: set[str] = set()
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)

    def live(self) -> Page:
        """Wait until it shows the session."""
        self.page.wait_for_selector("#link[data-state=live]")
        return self

    def tab(self, name: str) -> None:
        """Choose a part of the page."""
        self.page.locator("nav").get_by_role("button", name=name).click()

    def shows(self, selector: str, text: str) -> None:
        """Wait until an element has this text."""
        found = self.page.locator(selector)
        until(lambda: found.text_content() == text, f"{selector} should show '{text}'")

    def slider(self, name: str) -> Any:
        """Return a slider by its label."""
        return self.page.get_by_role("slider", name=name, exact=True)

    def button(self, name: str) -> Any:
        """Return a button by its text."""
        return self.page.get_by_role("button", name=name)
