"""A Chromium of this machine, driven by Playwright; what a page does is noted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

LONG_TASKS = """
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) window.longTasks.push(duration);
}).observe({ type: "longtask", buffered: true });
"""
"""Notes tasks of the page's thread that take 50 ms or more."""


@dataclass
class Opened:
    """A page of a browser.

    Attributes:
        page: Playwright's.
        browser: likewise.
        said: what was written to its console, and errors that nothing caught.
        answers: address, status and range of each answer, those of blobs left out.
    """

    page: Any
    browser: Any
    said: list[str] = field(default_factory=list)
    answers: list[tuple[str, int, str]] = field(default_factory=list)

    def listen(self) -> None:
        """Note what the page does from now on."""
        self.page.on("console", lambda one: self.said.append(f"{one.type}: {one.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))
        self.page.context.on("response", self._answered)

    def _answered(self, answer: Any) -> None:
        if not answer.url.startswith(("blob:", "data:")):
            length = answer.headers.get("content-length", "")
            self.answers.append((answer.url, answer.status, length))

    def of(self, part: str) -> tuple[int, int]:
        """How many answers came from addresses with this part, and their bytes."""
        some = [length for url, _, length in self.answers if part in url]
        return len(some), sum(int(length or 0) for length in some)

    def hosts(self) -> set[str]:
        """Hosts that answered."""
        return {urlsplit(url).netloc for url, _, _ in self.answers}

    def processor_seconds(self) -> dict[str, float]:
        """Processor time of the browser's processes so far, by their sort."""
        session = self.browser.new_browser_cdp_session()
        try:
            told = session.send("SystemInfo.getProcessInfo")["processInfo"]
        finally:
            session.detach()
        times: dict[str, float] = {}
        for one in told:
            times[one["type"]] = times.get(one["type"], 0.0) + one["cpuTime"]
        return times

    def until(self, holds: str, seconds: float = 120) -> None:
        """Wait until an expression is true, asked from outside: the page's policy forbids eval."""
        waited = 0.0
        while not self.page.evaluate(holds):
            if waited > seconds:
                raise TimeoutError(f"not within {seconds} s: {holds}; {self.said}")
            self.page.wait_for_timeout(20)
            waited += 0.02


@contextmanager
def opened(**options: Any) -> Iterator[Opened]:
    """A page of a browser without a proxy: servers are on this machine."""
    from playwright.sync_api import sync_playwright

    environment: dict[str, Any] = {
        key: value for key, value in os.environ.items() if "proxy" not in key.lower()
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], env=environment
        )
        try:
            context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
            made = Opened(context.new_page(), browser)
            made.page.add_init_script(LONG_TASKS)
            made.listen()
            yield made
        finally:
            browser.close()


def browser_version() -> str:
    """The browser's name and version."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            return f"Chromium {browser.version}"
        finally:
            browser.close()
