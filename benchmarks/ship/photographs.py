"""Photographs that describers learn from: those that are not held out, and parts of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from benchmarks.lattice.training_patches import held_out
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image
from kinpack.sources.items import Item


def usable(items: Iterable[Item], smallest: int) -> Iterator[Image]:
    """The photographs that can be read, are not held out, and have no side below a least one."""
    for item in items:
        try:
            image = item.load()
        except KinpackError:
            continue
        if not held_out(item.id) and min(image.shape[:2]) >= smallest:
            yield image


def cut(image: Image, rng: np.random.Generator, least: float, most: float) -> Image:
    """Cut an oblong out of a photograph, between two shares of each side."""
    sides = [int(side * rng.uniform(least, most)) for side in image.shape[:2]]
    top, left = (
        int(rng.integers(whole - part + 1))
        for whole, part in zip(image.shape[:2], sides, strict=True)
    )
    return np.ascontiguousarray(image[top : top + sides[0], left : left + sides[1]])
