"""A browser that is installed here, driven by Playwright; what a page does is noted."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def why_not() -> str | None:
    """Why no page can be opened here; ``None`` if one can."""
    if CHROMIUM is None:
        return "Chromium is not installed, so no page is opened: apt-get install chromium"
    if importlib.util.find_spec("playwright") is None:
        return "Playwright is not installed, so no page is opened: pip install playwright"
    return None


needs_browser = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


class Visit:
    """A page that is open.

    Attributes:
        page: Playwright's.
        said: what was written to its console, and errors that nothing caught.
        asked: addresses that it asked for, those of blobs left out.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.context.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith(("blob:", "data:")):
            self.asked.append(url)

    def hosts(self) -> set[str]:
        """Hosts that were asked."""
        return {urlsplit(url).netloc for url in self.asked}

    def open(self, url: str) -> None:
        """Open the page, and wait until its images are there, or it says what is wrong."""
        self.page.goto(url)
        self.page.wait_for_selector(".cell img, .cell .fault, #told.bad", timeout=60_000)

    def until(self, holds: str) -> None:
        """Wait until an expression is true, from outside: the page's policy forbids eval."""
        end = time.monotonic() + 60
        while not self.page.evaluate(holds):
            assert time.monotonic() < end, f"{holds}; the page says: {self.status()}; {self.said}"
            self.page.wait_for_timeout(20)

    def status(self) -> str:
        """What it says above the images."""
        return str(self.page.inner_text("#status"))

    def shown(self) -> list[str]:
        """What the cells that are there are called, in their order, once they know."""
        self.until("[...document.querySelectorAll('#grid .cell')].every(one => one.title)")
        names: list[str] = self.page.eval_on_selector_all(
            "#grid .cell", "cells => cells.map(one => one.title)"
        )
        return names


@contextmanager
def browsing(**options: Any) -> Iterator[Visit]:
    """A page of a browser, without a proxy: tests' servers are on this machine."""
    from playwright.sync_api import sync_playwright

    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], env=dict(environment)
        )
        try:
            context = browser.new_context(**{"viewport": {"width": 1000, "height": 700}, **options})
            yield Visit(context.new_page())
        finally:
            browser.close()
