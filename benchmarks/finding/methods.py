"""Ways to find a picture again: each tells how far a query lies from every picture it was given.

A method that is to be measured beside these, such as a describer's code, is a line in `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from kinpack.describers.describer import Describer
from kinpack.describers.describing import Describes, product_codes
from kinpack.pictures.images import Image, composite_on_white, to_pil

Vectors = NDArray[np.float32]


class Finder(Protocol):
    """A method over one collection."""

    def distances(self, query: Image) -> Vectors:
        """How far a query, uint8 (H, W, C), lies from each picture, float32 (n,)."""
        ...


class VectorFinder:
    """Finds by the distances between vectors.

    Args:
        images: the collection.
        vector: what a picture is told by, float32 (D,).
        power: of the differences: 1 counts them (of bits: Hamming), 2 squares them.
    """

    def __init__(
        self, images: Sequence[Image], vector: Callable[[Image], Vectors], power: int
    ) -> None:
        self._vector, self._power = vector, power
        self._known = np.stack([vector(image) for image in images])

    def distances(self, query: Image) -> Vectors:
        """How far a query lies from each picture."""
        differences = np.abs(self._known - self._vector(query))
        total: Vectors = (differences**self._power).sum(axis=1)
        return total


class CodeFinder:
    """Finds by product codes, as an archive does: the query's own vector against the codes.

    Args:
        images: the collection.
        describer: what makes the codes.
    """

    def __init__(self, images: Sequence[Image], describer: Describes) -> None:
        self._describer = describer
        self._known = describer.quantiser.decode(product_codes(describer, images))

    def distances(self, query: Image) -> Vectors:
        """How far a query lies from each picture."""
        total: Vectors = np.square(self._known - self._describer.describe([query])).sum(axis=1)
        return total


def _grey(image: Image, width: int, height: int) -> Vectors:
    picture = to_pil(image if image.shape[2] == 1 else composite_on_white(image)).convert("L")
    return np.asarray(picture.resize((width, height), Pillow.Resampling.LANCZOS), np.float32)


def _frequencies(count: int, side: int) -> NDArray[np.float64]:
    """The first rows of the cosine transform of a side's pixels."""
    place = (2 * np.arange(side) + 1) * np.pi / (2 * side)
    rows: NDArray[np.float64] = np.cos(np.arange(count)[:, None] * place)
    return rows


def perceptual_hash(image: Image) -> Vectors:
    """pHash: which of the 8 × 8 lowest frequencies of 32 × 32 pixels lie above their median."""
    rows = _frequencies(8, 32)
    low = (rows @ _grey(image, 32, 32) @ rows.T).ravel()
    return (low > np.median(low)).astype(np.float32)


def difference_hash(image: Image) -> Vectors:
    """The dHash: which of 9 × 8 pixels are lighter than their left neighbours."""
    grey = _grey(image, 9, 8)
    return (grey[:, 1:] > grey[:, :-1]).ravel().astype(np.float32)


def colour_histogram(image: Image) -> Vectors:
    """Shares of pixels of 8 × 8 × 8 colours."""
    levels = composite_on_white(image).reshape(-1, 3).astype(np.int64) // 32
    counts = np.bincount(levels @ np.array([64, 8, 1]), minlength=512)
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares.astype(np.float32)


def principal_components(images: Sequence[Image]) -> Finder:
    """64 principal components of 16 × 16 pixels in colour, of the collection itself."""

    def pixels(image: Image) -> Vectors:
        picture = to_pil(composite_on_white(image)).resize((16, 16), Pillow.Resampling.LANCZOS)
        return np.asarray(picture, np.float32).ravel()

    known = np.stack([pixels(image) for image in images])
    axes = np.linalg.svd(known - known.mean(axis=0), full_matrices=False)[2][:64]
    return VectorFinder(images, lambda image: axes @ pixels(image), 2)


METHODS: dict[str, Callable[[Sequence[Image]], Finder]] = {
    "classic code": lambda images: CodeFinder(images, Describer.load("classic")),
    "pHash": lambda images: VectorFinder(images, perceptual_hash, 1),
    "dHash": lambda images: VectorFinder(images, difference_hash, 1),
    "colour histogram": lambda images: VectorFinder(images, colour_histogram, 1),
    "PCA-64, float": principal_components,
}
"""Methods by their names in tables."""

COMPARED = ("classic code",)
"""Methods whose first finds are also compared as pictures."""
