"""A tiny describer with random weights: made here where torch is installed, else read as it was."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.describer import Describer

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "tiny.kine"
"""What ``python -m tests.write_tiny_describer`` wrote; of format version 1, kept for ever."""


@functools.cache
def tiny_describer() -> Describer:
    return Describer.load(GOLDEN)


def soft_picture(
    seed: int, height: int = 20, width: int = 24, channels: int = 3
) -> NDArray[np.uint8]:
    """A picture of slow waves, from integer-like steps: pictures of other seeds look different."""
    rng = np.random.default_rng([seed, channels])
    rows, columns = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    phases, rates = rng.uniform(0, 6, channels), rng.uniform(0.05, 0.5, (2, channels))
    waves = np.cos(rows * rates[0] + columns * rates[1] + phases)
    whole = 128 + rng.uniform(30, 110, channels) * waves
    if channels == 4:
        whole[:, :, 3] = np.linspace(0, 255, width)[None, :]
    return np.asarray(whole.clip(0, 255), np.uint8)
