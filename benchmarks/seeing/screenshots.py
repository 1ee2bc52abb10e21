"""Takes the screenshots of the README: the page of the pictures that `kinpack demo` draws.

python -m benchmarks.seeing.screenshots [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import PIL.Image

from benchmarks.seeing.browser import Opened, opened
from benchmarks.seeing.page import DRAWN
from kinpack.demo.demonstration import QUERY, SITE, demonstrate
from kinpack.web.static_server import serving_folder

FOLDER = Path("benchmarks/results")
SIZE = {"width": 1120, "height": 700}


def kept(one: Opened, path: Path) -> None:
    """Keep what is seen."""
    one.page.wait_for_timeout(600)  # pictures fade in
    PIL.Image.open(io.BytesIO(one.page.screenshot())).save(path, quality=82, method=6)


def main() -> None:
    """Draw, open, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    with TemporaryDirectory() as place:
        made = demonstrate(Path(place) / "demo")
        with serving_folder(made.folder / SITE) as address:
            with opened(viewport=SIZE) as one:
                one.page.goto(address)
                one.until(DRAWN)
                one.page.set_input_files("#picture", made.folder / QUERY)
                one.page.wait_for_selector("#grid .score")
                one.until(DRAWN)
                kept(one, options.folder / "page_search.webp")
            with opened(viewport=SIZE, color_scheme="dark") as one:
                one.page.goto(address)
                one.until(DRAWN)
                one.page.get_by_role("button", name="Map", exact=True).click()
                one.page.wait_for_selector(".plane .cell img")
                one.page.get_by_role("button", name="Zoom in").click()
                one.page.wait_for_timeout(400)
                pictures = "document.querySelectorAll('.plane .cell')"
                one.until(f"[...{pictures}].every(one => one.querySelector('img'))")
                kept(one, options.folder / "page_map.webp")


if __name__ == "__main__":
    main()
