"""The demonstration: pictures are drawn, packed, searched, and put on a page."""

from __future__ import annotations

import importlib.util
import os
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kinpack.archive.archive import Archive
from kinpack.archive.stores.staged_file import staged_folder
from kinpack.codec.codec import Codec
from kinpack.demo.pictures import Drawings, draw
from kinpack.errors import ArchiveError, shown
from kinpack.pictures.picture_writing import save_image
from kinpack.search.hit import Hit
from kinpack.web.site import view
from kinpack.web.views import VIEWS, View

ARCHIVE, PICTURES, SITE, QUERY = "drawings.kin", "pictures", "site", "query.png"
"""What a demonstration writes into its folder."""
SOUGHT = "balloons"
"""The kind of the picture that is looked for."""


@dataclass(frozen=True, kw_only=True)
class Demonstrated:
    """What a demonstration made.

    Attributes:
        folder: that it is in.
        images: of the archive.
        png_bytes: of the pictures as PNG files.
        payload_bytes: of the archive's payloads.
        archive_bytes: of the archive but for codec and describer, which all archives share.
        hits: what was found like a picture that is none of them.
    """

    folder: Path
    images: int
    png_bytes: int
    payload_bytes: int
    archive_bytes: int
    hits: list[Hit]


def demonstrate(
    folder: Path,
    drawings: Drawings | None = None,
    *,
    told: Callable[[float, str], None] = lambda share, text: None,
) -> Demonstrated:
    """Draw pictures, pack them, search them, and write a page that shows them.

    Args:
        folder: where to; it must not exist, and appears whole or not at all.
        drawings: the pictures.
        told: called with the share that is done, 0 to 1, and with what is being done.

    Raises:
        ArchiveError: the folder exists, or cannot be written.
    """
    drawings = drawings or Drawings()
    with staged_folder(folder) as (part, _):
        png_bytes = 0
        for number, item in enumerate(drawings):
            told(0.3 * number / len(drawings), "drawing")
            path = part / PICTURES / item.id
            path.parent.mkdir(parents=True, exist_ok=True)
            save_image(item.load(), path)
            png_bytes += path.stat().st_size
        query = draw(SOUGHT, (drawings.seed + 1, 0))
        save_image(query, part / QUERY)
        told(0.3, "packing")
        with Archive.create(part / ARCHIVE, Codec.load("classic")) as archive:
            archive.add(drawings)
            told(0.6, "searching")
            hits = archive.search(query, 6)
            manifest = archive.manifest
            payloads = sum(segment.payload_bytes for segment in manifest.segments)
            told(0.65, "making the page")
            view(archive, part / SITE, title="Drawings", views=_views())
            made = Demonstrated(
                folder=folder,
                images=len(archive),
                png_bytes=png_bytes,
                payload_bytes=payloads,
                archive_bytes=manifest.bytes_on_disk,
                hits=hits,
            )
    return made


def _views() -> tuple[View, ...]:
    """All that are quick to compute with what is installed."""
    left = {"duplicates"} if importlib.util.find_spec("faiss") else {"duplicates", "clusters"}
    return tuple(one for one in VIEWS if one not in left)


def has_screen() -> bool:
    """Tell whether a browser can be opened that somebody sees."""
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def free_folder(wanted: Path | None) -> Path:
    """The folder that was asked for, or ``kinpack-demo``, or that with the next free number.

    Raises:
        ArchiveError: the folder that was asked for exists.
    """
    if wanted is not None:
        if wanted.exists():
            raise ArchiveError(f"{shown(wanted)}: it exists; name another folder")
        return wanted
    plain = Path("kinpack-demo")
    folder, number = plain, 1
    while folder.exists():
        number += 1
        folder = plain.with_name(f"{plain.name}-{number}")
    return folder
