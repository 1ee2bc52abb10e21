"""Tiny describers: one with a network of random weights, and one that knows the mean colour."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.describer import Describer
from kinpack.networks.container import DESCRIBER_FILE, Container

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "tiny.kine"
"""What ``python -m tests.write_tiny_describer`` wrote; of format version 1, kept for ever."""


@functools.cache
def tiny_describer() -> Describer:
    return Describer.load(GOLDEN)


@functools.cache
def colour_describer() -> Describer:
    """A describer without a network, of few bytes: the mean colour, in sixteen steps each."""
    words = np.linspace(0, 255, 16, dtype=np.float32)
    linear = {"side": 1, "contrast_floor": None, "unit_length": False}
    header = {"name": "colour", "version": 1, "side": 32, "descriptor": linear}
    arrays: dict[str, NDArray[Any]] = {
        "codebooks": np.broadcast_to(words[:, None], (3, 16, 1)).copy(),
        "descriptor_matrix": np.eye(3, dtype=np.int8),
        "descriptor_scale": np.ones(3, np.float32),
        "descriptor_offset": np.zeros(3, np.float32),
    }
    return Describer.from_container(Container(header, {}, arrays, kind=DESCRIBER_FILE))


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
