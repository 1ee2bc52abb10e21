"""What the page costs in a browser: requests, bytes, processor time, the page's long tasks.

    python -m benchmarks.seeing.page [--results FILE] [--images N] [--part many|learned]

A static site of N small images (100,000), one of 10,000, and learned payloads of 256 × 384 pixels,
in a Chromium of this machine. Processor time is that of the browser's processes, as it tells it.
"""

from __future__ import annotations

import argparse
import gzip
import re
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import load_results, save_results
from benchmarks.seeing.archives import learned, many
from benchmarks.seeing.browser import Opened, browser_version, opened
from kinpack.web.page_files import page_files
from kinpack.web.site import view
from kinpack.web.static_server import serving_folder

RESULTS = Path("benchmarks/results/page.json")
ROUNDS = 5
DRAWN = """
(() => {
  const { top, bottom } = document.querySelector("#scroller").getBoundingClientRect();
  const cells = [...document.querySelectorAll("#grid .cell")];
  const seen = cells.map((one) => [one, one.getBoundingClientRect()])
    .filter(([, at]) => at.bottom > top + 1 && at.top < bottom - 1);
  return seen.length && seen.every(([one]) => one.querySelector("img, .fault"));
})()
"""
"""Every cell that is seen has its picture."""
LISTED = "/ images?$/.test(document.querySelector('#status').innerText)"


def page_weight() -> dict[str, int]:
    """Bytes of the page's files, packed by gzip: those it begins with, and all."""
    files = page_files("archive.kin.zip", "Images")
    begun, found = [], ["index.html", "page.css", "page.js", "worker.js"]
    while found:
        name = found.pop()
        if name not in begun:
            begun.append(name)
            # What a module imports at once, not what it loads at the first need.
            found += re.findall(r'(?:from|import)"\./([^"]+)"', files[name].decode())
    sizes = {name: len(gzip.compress(data, 9)) for name, data in files.items()}
    return {"begin": sum(sizes[name] for name in begun), "all": sum(sizes.values())}


def opening(one: Opened, address: str) -> dict[str, Any]:
    """Open a site: what it takes until all images are listed, and until the first are drawn."""
    before = one.processor_seconds()
    one.answers.clear()
    one.page.goto(address)
    one.until(LISTED)
    listed = one.of("archive.kin.zip")
    one.until(DRAWN)
    drawn = one.of("archive.kin.zip")
    after = one.processor_seconds()
    return {
        "requests_listed": listed[0],
        "bytes_listed": listed[1],
        "requests_drawn": drawn[0],
        "bytes_drawn": drawn[1],
        "renderer_seconds": after.get("renderer", 0.0) - before.get("renderer", 0.0),
        "all_seconds": sum(after.values()) - sum(before.values()),
        "cells": one.page.locator("#grid .cell").count(),
        "long_tasks": one.page.evaluate("window.longTasks.map(Math.round)"),
    }


def scrolling(one: Opened, screens: int) -> dict[str, Any]:
    """Scroll through all images in so many steps of equal length; a stay at each quarter."""
    one.answers.clear()
    one.page.evaluate("window.longTasks.length = 0")
    before = one.processor_seconds()
    height = one.page.evaluate("document.querySelector('#scroller').scrollHeight")
    most_cells = 0
    for step in range(1, screens + 1):
        one.page.evaluate(
            f"document.querySelector('#scroller').scrollTop = {height * step / screens}"
        )
        one.page.wait_for_timeout(16)
        most_cells = max(most_cells, one.page.locator("#grid .cell").count())
        if step % (screens // 4) == 0:
            one.until(DRAWN)
    after = one.processor_seconds()
    requests, n_bytes = one.of("archive.kin.zip")
    tasks = one.page.evaluate("window.longTasks.map(Math.round)")
    return {
        "steps": screens,
        "requests": requests,
        "bytes": n_bytes,
        "most_cells": most_cells,
        "renderer_seconds": after.get("renderer", 0.0) - before.get("renderer", 0.0),
        "long_tasks": len(tasks),
        "longest_task_ms": max(tasks, default=0),
        "last": one.page.evaluate(
            "[...document.querySelectorAll('#grid .cell')].at(-1).dataset.place"
        ),
    }


def median_of(rows: list[dict[str, Any]], name: str) -> float:
    """The middle of a number over several runs, and so of little noise."""
    return float(round(statistics.median(row[name] for row in rows), 3))


def measure_many(folder: Path, images: int) -> dict[str, Any]:
    """Opening many images, and a tenth of them; scrolling through the many."""
    told: dict[str, Any] = {}
    for count in (images, images // 10):
        path, site = folder / f"{count}.kin", folder / f"site-{count}"
        many(path, count)
        view(path, site)
        rows = []
        with serving_folder(site) as address:
            for _ in range(ROUNDS):
                with opened() as one:
                    rows.append(opening(one, address))
                    scrolled = scrolling(one, 200) if count == images else {}
                    assert_quiet(one)
        told[f"{count} images"] = {
            "archive_bytes": (site / "archive.kin.zip").stat().st_size,
            **{name: rows[0][name] for name in rows[0] if name.startswith(("requests", "bytes"))},
            "renderer_seconds": median_of(rows, "renderer_seconds"),
            "all_seconds": median_of(rows, "all_seconds"),
            "long_tasks": rows[0]["long_tasks"],
            "cells": rows[0]["cells"],
            "runs": ROUNDS,
            **({"scrolled": scrolled} if scrolled else {}),
        }
        print(told[f"{count} images"], flush=True)
    return told


def measure_learned(folder: Path) -> dict[str, Any]:
    """Processor time of a learned payload of 256 × 384 pixels: of 9 pictures, less that of one."""
    times = {}
    for count in (1, 9):
        path, site = folder / f"learned-{count}.kin", folder / f"learned-site-{count}"
        learned(path, width=384, height=256, count=count)
        view(path, site)
        with serving_folder(site) as address, opened() as one:
            times[count] = opening(one, address)["renderer_seconds"]
            assert_quiet(one)
    each = (times[9] - times[1]) / 8
    return {"seconds_each": round(each, 3), "first_with_codec_seconds": round(times[1], 3)}


def assert_quiet(one: Opened) -> None:
    """See that the page wrote nothing to its console, and asked one host.

    Raises:
        RuntimeError: it did.
    """
    if one.said or len(one.hosts()) != 1:
        raise RuntimeError(f"the page says {one.said}, and asked {one.hosts()}")


def main() -> None:
    """Measure, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--part", choices=("many", "learned"), help="the other keeps its figures")
    options = parser.parse_args()
    told: dict[str, Any] = {"browser": browser_version(), "page_bytes_gzip": page_weight()}
    with TemporaryDirectory() as folder:
        if options.part != "learned":
            told |= measure_many(Path(folder), options.images)
        if options.part != "many":
            told["learned 256x384"] = measure_learned(Path(folder))
    save_results(options.results, {**load_results(options.results), **run_head(seed=0), **told})


if __name__ == "__main__":
    main()
