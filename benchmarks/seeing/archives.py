"""Archives that pages are tried with: many small images, drawings, learned payloads."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from kinpack.archive.archive import Archive
from kinpack.demo.pictures import Drawings
from kinpack.pictures.images import Image, load_image, to_pil
from kinpack.sources.items import Item

SIDE = 16


def small_picture(number: int) -> Image:
    """A picture of 16 × 16 pixels, of four colours that its number chooses."""
    rng = np.random.default_rng(number)
    corners = rng.integers(0, 256, (2, 2, 3))
    return np.repeat(np.repeat(corners, SIDE // 2, 0), SIDE // 2, 1).astype(np.uint8)


def many(path: Path, count: int) -> None:
    """Pack so many small pictures, lossless, named as cameras do, with a label each."""
    items = (
        Item(
            f"{2000 + n // 5000}/{n // 400 % 12 + 1:02}/IMG_{n:06}.jpg",
            f"place {n // 1000 % 40}",
            partial(small_picture, n),
        )
        for n in range(count)
    )
    with Archive.create(path, "classic", describer="classic") as archive:
        archive.add(items, quality=100)


def learned(path: Path, *, width: int, height: int, count: int) -> None:
    """Pack drawings of a size into learned payloads."""
    drawings = list(Drawings(each=count))[:count]
    items = [
        Item(one.id, one.label, partial(_sized, one, width, height), columns=one.columns)
        for one in drawings
    ]
    with Archive.create(path, "default", describer="classic") as archive:
        archive.add(items, classic="never")


def _sized(item: Item, width: int, height: int) -> Image:
    return load_image(to_pil(item.load()).resize((width, height)))
