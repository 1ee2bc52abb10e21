"""Training patches: what a codec sees of a collection, a batch a step, fixed by the seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import SourceError

SMALL = 32
"""Side of the smallest patches, in pixels; smaller pictures are grown to it."""
SHARES = {SMALL: 3, 64: 1, 128: 2}
"""Sides of patches and, where a collection has several, the share of the steps that takes each."""
MAX_REDUCTION = 4
"""Pictures are also seen reduced, by factors up to this one,"""
LEAST_REDUCED = 64
"""to no shorter side below this one, in pixels."""


class PatchSampler:
    """Draws patches from pictures held in memory.

    Pictures whose shorter side is below 64 px give patches of 32×32. Others give larger ones, of
    the largest side of ``SHARES`` that fits, cut from the picture and from those of its reductions
    by 2, 3 and 4 that are not below 64 px. Patches are flipped left to right at random. A batch
    depends on the seed and the step alone, so that training resumes where it was.

    Args:
        images: uint8 (H, W, 3) each.
        labels: class of each image, −1 where unknown.
        seed: of all draws.

    Raises:
        SourceError: there is no image, or not one label for each.
    """

    def __init__(
        self,
        images: Sequence[NDArray[np.uint8]],
        *,
        labels: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        if not images:
            raise SourceError("there is no image to learn from; name a source that has some")
        classes = list(labels) if labels is not None else [-1] * len(images)
        if len(classes) != len(images):
            raise SourceError(
                f"{len(classes)} labels do not fit {len(images)} images; give one for each"
            )
        self.seed = seed
        self._pools: dict[int, _Pool] = {}
        for image, label in zip(images, classes, strict=True):
            for reduction in _reductions(image):
                side = max(s for s in SHARES if s <= min(reduction.shape[:2]))
                self._pools.setdefault(side, _Pool([], [])).add(reduction, label)

    def batch(self, step: int, *, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Patches of one step.

        Args:
            step: number of the step.
            size: patches of 32×32 in a batch; of larger ones as many as have no more pixels.

        Returns:
            Patches (n, 3, s, s) uint8, s a side of ``SHARES``, and their labels (n,) int64, −1
            unknown.
        """
        rng = np.random.default_rng((self.seed, step))
        sides = sorted(self._pools)
        shares = np.array([SHARES[side] for side in sides], dtype=np.float64)
        side = sides[int(rng.choice(len(sides), p=shares / shares.sum()))]
        pool, n = self._pools[side], max(1, size * SMALL**2 // side**2)
        rows = rng.integers(len(pool.images), size=n)
        patches = np.stack([_patch(pool.images[row], side, rng) for row in rows])
        labels = np.array([pool.labels[row] for row in rows], dtype=np.int64)
        return np.ascontiguousarray(patches.transpose(0, 3, 1, 2)), labels


@dataclass(frozen=True)
class _Pool:
    """Pictures that patches of one side are cut from, and their labels."""

    images: list[NDArray[np.uint8]]
    labels: list[int]

    def add(self, image: NDArray[np.uint8], label: int) -> None:
        self.images.append(image)
        self.labels.append(label)


def tiles(patches: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut square patches (n, 3, s, s), s a multiple of 32, into (m, 3, 32, 32)."""
    n, _, side, _ = patches.shape
    cut = patches.reshape(n, 3, side // SMALL, SMALL, side // SMALL, SMALL)
    return cut.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 3, SMALL, SMALL)


def _patch(image: NDArray[np.uint8], side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    top = int(rng.integers(image.shape[0] - side + 1))
    left = int(rng.integers(image.shape[1] - side + 1))
    patch = image[top : top + side, left : left + side]
    return patch[:, ::-1] if rng.integers(2) else patch


def _reductions(image: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """A picture, of 32 px at least, and those of its reductions that are not below 64 px."""
    yield _at_least(image, SMALL)
    for factor in range(2, MAX_REDUCTION + 1):
        if min(image.shape[:2]) // factor >= LEAST_REDUCED:
            yield _reduce(image, factor)


def _at_least(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Grow a picture to ``side`` by repeating its edge, as the codec pads it."""
    down, right = max(0, side - image.shape[0]), max(0, side - image.shape[1])
    if not (down or right):
        return image
    return np.pad(image, ((0, down), (0, right), (0, 0)), mode="edge")


def _reduce(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    means: NDArray[np.float32] = blocks.mean((1, 3), dtype=np.float32)
    return np.round(means).astype(np.uint8)
