"""Patches in .npy files, mapped into memory, a batch a step, fixed by the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import SourceError, shown


@dataclass(frozen=True)
class Share:
    """A file of patches and how many of the steps draw from it.

    Attributes:
        file: .npy, uint8 (n, s, s, 3).
        weight: above 0; steps are shared out in proportion.
    """

    file: Path
    weight: float


class PatchFiles:
    """Draws batches from files of patches.

    Each step draws from one file, so many patches that a batch has about as many pixels whatever
    their side. Patches are turned over left to right and, transposed, about their diagonal at
    random. A batch depends on the seed and the step alone, so that training resumes where it was.

    Args:
        shares: the files.
        pixels: of a batch.
        seed: of all draws.

    Raises:
        SourceError: there is no file, or one cannot be read or holds no patches.
    """

    def __init__(self, shares: Sequence[Share], *, pixels: int, seed: int = 0) -> None:
        if not shares:
            raise SourceError("there are no patches to learn from; name a file that holds some")
        self._patches = [_mapped(share.file) for share in shares]
        weights = np.array([share.weight for share in shares], dtype=np.float64)
        self._chances = weights / weights.sum()
        self._pixels, self._seed = pixels, seed

    def batch(self, step: int) -> NDArray[np.uint8]:
        """Patches of a step, uint8 (n, 3, s, s)."""
        rng = np.random.default_rng((self._seed, step))
        patches = self._patches[int(rng.choice(len(self._patches), p=self._chances))]
        n = max(1, self._pixels // (patches.shape[1] * patches.shape[2]))
        drawn = patches[np.sort(rng.integers(len(patches), size=n))]
        drawn = drawn[rng.permutation(n)].transpose(0, 3, 1, 2)
        turned = rng.integers(4, size=n)
        mirrored = np.where((turned & 1).astype(bool)[:, None, None, None], drawn[..., ::-1], drawn)
        transposed = (turned & 2).astype(bool)[:, None, None, None] & (rng.random() < 0.25)
        return np.ascontiguousarray(np.where(transposed, mirrored.swapaxes(2, 3), mirrored))


def _mapped(file: Path) -> NDArray[np.uint8]:
    try:
        patches = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise SourceError(f"{shown(file)}: cannot be read ({error}); make it anew") from error
    fits = patches.ndim == 4 and patches.shape[1] == patches.shape[2] and patches.shape[3] == 3
    if patches.dtype != np.uint8 or not fits or not len(patches):
        raise SourceError(f"{shown(file)}: holds no square patches of three colours; make it anew")
    mapped: NDArray[np.uint8] = patches
    return mapped
