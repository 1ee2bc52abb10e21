"""Training patches: what a codec sees of a collection, a batch a step, fixed by the seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import SourceError

SMALL = 32
"""Side of a small patch, in pixels."""
LARGE = 64
"""Side of a large patch, in pixels."""
LARGE_EVERY = 4
"""One step in this many takes large patches, where the collection has both sorts."""
MAX_REDUCTION = 4
"""Pictures are also seen reduced, by factors up to this one."""


class PatchSampler:
    """Draws patches from pictures held in memory.

    Pictures whose shorter side is below 64 px give patches of 32×32; others give 64×64 ones, cut
    from the picture or from a reduction of it by 2, 3 or 4. Patches are flipped left to right at
    random. A batch depends on the seed and the step alone, so that training resumes where it was.

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
        small = [i for i, image in enumerate(images) if min(image.shape[:2]) < LARGE]
        large = [i for i, image in enumerate(images) if min(image.shape[:2]) >= LARGE]
        self.seed = seed
        self._small = [_at_least(images[i], SMALL) for i in small]
        self._small_labels = np.array([classes[i] for i in small], dtype=np.int64)
        self._large: list[NDArray[np.uint8]] = []
        large_labels: list[int] = []
        for i in large:
            for factor in range(1, MAX_REDUCTION + 1):
                if min(images[i].shape[:2]) // factor >= LARGE:
                    self._large.append(_reduce(images[i], factor))
                    large_labels.append(classes[i])
        self._large_labels = np.array(large_labels, dtype=np.int64)

    def batch(self, step: int, *, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Patches of one step.

        Args:
            step: number of the step.
            size: patches of 32×32 in a batch; of 64×64 a fourth of it.

        Returns:
            Patches (n, 3, s, s) uint8 with s = 32 or 64, and their labels (n,) int64, −1 unknown.
        """
        rng = np.random.default_rng((self.seed, step))
        use_large = bool(self._large) and (not self._small or step % LARGE_EVERY == LARGE_EVERY - 1)
        images = self._large if use_large else self._small
        labels = self._large_labels if use_large else self._small_labels
        side, n = (LARGE, size // 4) if use_large else (SMALL, size)
        rows = rng.integers(len(images), size=n)
        patches = np.stack([_patch(images[row], side, rng) for row in rows])
        return np.ascontiguousarray(patches.transpose(0, 3, 1, 2)), labels[rows]


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


def _at_least(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Grow a picture to ``side`` by repeating its edge, as the codec pads it."""
    down, right = max(0, side - image.shape[0]), max(0, side - image.shape[1])
    if not (down or right):
        return image
    return np.pad(image, ((0, down), (0, right), (0, 0)), mode="edge")


def _reduce(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    if factor == 1:
        return image
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    means: NDArray[np.float32] = blocks.mean((1, 3), dtype=np.float32)
    return np.round(means).astype(np.uint8)
