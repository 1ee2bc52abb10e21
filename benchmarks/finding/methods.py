"""Ways to find a picture again: each tells how far a query lies from every picture it was given.

A method that is to be measured beside these, such as a describer's code, is a line in `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from kinpack.archive.searching.finer import ORDERED_ANEW
from kinpack.describers.describer import Describer
from kinpack.pictures.images import Image, composite_on_white, to_pil
from kinpack.search.distances.poses import TURNED

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
        fine: whether its longer codes order the nearest anew.

    Attributes:
        codes: uint8 (n, M), of the collection.
    """

    def __init__(
        self, images: Sequence[Image], describer: Describer, *, fine: bool = False
    ) -> None:
        self._describer = describer
        latents = describer.latents(images)
        self.codes = describer.quantiser.encode(describer.projected(latents))
        self._known = describer.searched.decode(self.codes)
        self._finer = describer.finer() if fine else None
        if self._finer:
            longer = self._finer.quantiser.encode(self._finer.projected(latents))
            self._finely = self._finer.quantiser.decode(longer)

    def distances(self, query: Image) -> Vectors:
        """How far a query lies from each picture, in the nearest of its turns."""
        describer = self._describer
        latents = describer.latents(describer.poses(query))
        asked = describer.weighted(describer.projected(latents))
        far = _nearest_turn(asked, self._known)
        if not self._finer:
            return far
        first = np.argsort(far, kind="stable")[:ORDERED_ANEW]
        ordered = np.full(len(far), np.inf, np.float32)
        ordered[first] = _nearest_turn(self._finer.projected(latents), self._finely[first])
        return ordered

    def told(self) -> dict[str, float]:
        """Share of distinct codes, in percent, and the bits that the codes use."""
        distinct = 100 * len(np.unique(self.codes, axis=0)) / len(self.codes)
        bits = self._describer.bits_used(self.codes)
        return {"distinct_codes": round(distinct, 2), "bits_used": round(bits, 1)}


def _nearest_turn(asked: Vectors, known: Vectors) -> Vectors:
    """Squared distances of the nearest of some vectors (t, D) to each of others: float32 (n,)."""
    distances = np.square(known[None] - asked[:, None]).sum(axis=2)
    distances[1:] *= TURNED
    far: Vectors = distances.min(axis=0)
    return far


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


def _shipped(images: Sequence[Image], *, name: str, fine: bool) -> Finder:
    return CodeFinder(images, Describer.load(name), fine=fine)


METHODS: dict[str, Callable[[Sequence[Image]], Finder]] = {
    "look, 8 bytes": partial(_shipped, name="look", fine=False),
    "look, 8 + 32 bytes": partial(_shipped, name="look", fine=True),
    "photo, 8 bytes": partial(_shipped, name="photo", fine=False),
    "photo, 8 + 32 bytes": partial(_shipped, name="photo", fine=True),
    "classic code": lambda images: CodeFinder(images, Describer.load("classic")),
    "pHash": lambda images: VectorFinder(images, perceptual_hash, 1),
    "dHash": lambda images: VectorFinder(images, difference_hash, 1),
    "colour histogram": lambda images: VectorFinder(images, colour_histogram, 1),
    "PCA-64, float": principal_components,
}
"""Methods by their names in tables."""

COMPARED = ("look, 8 bytes",)
"""Methods whose first finds are also compared as pictures."""
