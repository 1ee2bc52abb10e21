"""Contact sheet: the first images of an archive as a piece of HTML that stands by itself."""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape

from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.errors import KinpackError, shown
from kinpack.pictures.images import Image, load_image, to_pil
from kinpack.pictures.picture_writing import encode_image

IMAGES = 24
"""Most images on a sheet."""
SIDE = 96
"""Longest side of a thumbnail, in pixels."""
PIXELS = 1 << 23
"""Most pixels that are decoded for a sheet: of large images fewer are shown."""


def contact_sheet(title: str, snapshot: Snapshot, read: Callable[[int], Image]) -> str:
    """Draw thumbnails of the first images; nothing else is read, and what is damaged says so.

    Args:
        title: what stands above them.
        snapshot: the archive's revision.
        read: gives the image at a position.

    Returns:
        HTML with its pictures inside, ids and labels escaped.
    """
    figures: list[str] = []
    pixels = 0
    for position in range(min(IMAGES, len(snapshot))):
        try:
            entry = snapshot.entry(position)
            pixels += entry.width * entry.height
            if pixels > PIXELS and figures:
                break
            small = load_image(to_pil(read(position)), size=SIDE)
            data = base64.b64encode(encode_image(small, format="jpeg", where=entry.id)).decode()
            name = escape(shown(entry.id if entry.label is None else f"{entry.id} ({entry.label})"))
            picture = f'<img src="data:image/jpeg;base64,{data}" alt="{name}" title="{name}">'
        except KinpackError as error:
            picture = f"<small>{escape(shown(str(error)))}</small>"
        figures.append(
            f'<div style="width:{SIDE}px;height:{SIDE}px;overflow:hidden">{picture}</div>'
        )
    left = len(snapshot) - len(figures)
    more = f"<p>and {left:,} more</p>" if left else ""
    return (
        f"<div><p><code>{escape(title)}</code></p>"
        f'<div style="display:flex;flex-wrap:wrap;gap:4px">{"".join(figures)}</div>{more}</div>'
    )
