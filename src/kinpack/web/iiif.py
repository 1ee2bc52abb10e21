"""The IIIF Image API 3, level 0: what viewers of libraries and museums ask of an image server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from kinpack.archive.segments.image_entry import ImageEntry
from kinpack.errors import NotFoundError
from kinpack.pictures.reading import reduced

CONTEXT = "http://iiif.io/api/image/3/context.json"
MEDIA_TYPE = f'application/ld+json;profile="{CONTEXT}"'
SIDES = (64, 128, 256, 512, 1024, 2048)
"""Longest sides that smaller copies have."""


def info(entry: ImageEntry, address: str) -> dict[str, Any]:
    """Describe an image as ``info.json`` does.

    Args:
        entry: the image.
        address: of the service, to which the id is added as one segment.
    """
    sizes = [*(size for _, size in _smaller(entry)), (entry.width, entry.height)]
    return {
        "@context": CONTEXT,
        "id": f"{address}/{quote(entry.id, safe='')}",
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level0",
        "width": entry.width,
        "height": entry.height,
        "sizes": [{"width": width, "height": height} for width, height in sizes],
        "preferredFormats": ["webp"],
        "extraFormats": ["webp", "png"],
    }


def side_of(entry: ImageEntry, size: str) -> int:
    """Give the longest side of the copy that is asked for, 0 for the whole image.

    Args:
        entry: the image.
        size: ``max``, or width and height as ``info`` lists them: ``256,171``.

    Raises:
        NotFoundError: it is none of those.
    """
    if size in ("max", f"{entry.width},{entry.height}"):
        return 0
    for side, (width, height) in _smaller(entry):
        if size == f"{width},{height}":
            return side
    raise NotFoundError(f"there is no size {size[:40]!r} of this image; info.json lists those")


def _smaller(entry: ImageEntry) -> Iterator[tuple[int, tuple[int, int]]]:
    for side in SIDES:
        if (size := reduced(entry.width, entry.height, side)) is not None:
            yield side, size
