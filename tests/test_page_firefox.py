"""The page in a Firefox: it shows, finds and draws as in a Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.tiny_describer import wordy_describer
from kinpack.archive.archive import Archive
from kinpack.web.site import view
from kinpack.web.static_server import serving_folder
from tests.firefox import firefox, needs_firefox
from tests.test_page import GOLDEN, HOSTILE, archive

pytestmark = [needs_firefox, pytest.mark.slow]


def test_it_shows_and_finds(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.kin", 40, (HOSTILE, HOSTILE))
    with Archive.open(path) as opened:
        opened.embed(wordy_describer())
    view(path, tmp_path / "site", views=["map", "cost"])
    with Archive.open(path) as opened:
        alike = [hit.id for hit in opened.search("set/00000.png", 13, compare=0)][1:]
    with serving_folder(tmp_path / "site") as address, firefox() as browser:
        browser.open(address)
        browser.until("document.querySelectorAll('#grid .cell img').length > 5")
        assert browser.tell("document.querySelector('#status').innerText") == "41 images"
        browser.tell("document.querySelectorAll('#grid .cell')[1].click()")
        browser.until("document.querySelectorAll('#alike .cell').length === 12")
        browser.until("[...document.querySelectorAll('#alike .cell')].every(one => one.title)")
        found = browser.tell("[...document.querySelectorAll('#alike .cell')].map(one => one.title)")
        assert found == alike
        browser.tell("document.querySelector('#close').click()")
        browser.until("!document.querySelector('#by-words').hidden")
        browser.tell(
            "(() => { const one = document.querySelector('#words'); one.value = 'red';"
            "one.dispatchEvent(new Event('change')); })()"
        )
        browser.until("document.querySelector('#status').innerText.includes('show: red')")
        browser.tell("document.querySelector('[data-view=map]').click()")
        browser.until("document.querySelectorAll('.plane .cell img').length > 2")
        assert browser.tell("window.ran === undefined")
        assert not browser.tell("document.querySelector('#told.bad') !== null")


def test_payloads_of_every_kind_are_drawn(tmp_path: Path) -> None:
    """Golden archives: pictures where there are images, and no fault."""
    for path in sorted(GOLDEN.glob("*.kin")):
        view(path, tmp_path / path.stem)
    folders = sorted(folder for folder in tmp_path.iterdir() if folder.is_dir())
    assert len(folders) > 3
    with firefox() as browser:
        for folder in folders:
            with serving_folder(folder) as address:
                browser.open(address)
                with Archive.open(folder / "archive.kin.zip") as opened:
                    count = min(len(opened), 6)
                shown = "document.querySelectorAll('#grid .cell img').length"
                fault = "document.querySelector('.fault, #told.bad')"
                browser.until(f"{shown} >= {count} || {fault} !== null")
                assert browser.tell(f"{fault} === null || {fault}.innerText") is True, folder.name
