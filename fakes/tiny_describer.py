"""Tiny describers: of random weights, of the mean colour, and of the words for colours."""

from __future__ import annotations

import functools
import json
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


COLOURS: list[tuple[list[str], list[int]]] = [
    (["red", "scarlet"], [0]),
    (["green"], [1]),
    (["blue"], [2]),
    (["yellow", "Light Yellow"], [3]),
    (["dark", "black"], [4]),
    (["warm colour"], [0, 3]),
    (["colour"], [0, 1, 2, 3]),
]
"""Words of the wordy describer, and their classes."""


def colour_parts() -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and arrays of the colour describer."""
    words = np.linspace(0, 255, 16, dtype=np.float32)
    linear = {"side": 1, "contrast_floor": None, "unit_length": False}
    header = {"name": "colour", "version": 1, "side": 32, "descriptor": linear}
    arrays: dict[str, NDArray[Any]] = {
        "codebooks": np.broadcast_to(words[:, None], (3, 16, 1)).copy(),
        "descriptor_matrix": np.eye(3, dtype=np.int8),
        "descriptor_scale": np.ones(3, np.float32),
        "descriptor_offset": np.zeros(3, np.float32),
    }
    return header, arrays


@functools.cache
def colour_describer() -> Describer:
    """A describer without a network, of few bytes: the mean colour, in sixteen steps each."""
    header, arrays = colour_parts()
    return Describer.from_container(Container(header, {}, arrays, kind=DESCRIBER_FILE))


def wordy_parts() -> tuple[dict[str, bytes], dict[str, NDArray[Any]]]:
    """The list of words, and the classes' arrays, that make a colour describer know words."""
    reach = np.array([[2, -1, -1], [-1, 2, -1], [-1, -1, 2], [1, 1, -2], [-1, -1, -1]])
    arrays: dict[str, NDArray[Any]] = {
        "class_vectors": (reach / 64).astype(np.float16),
        "class_biases": np.array([0, 0, 0, -1, 2], np.float32),
    }
    return {"words": json.dumps(COLOURS).encode()}, arrays


@functools.cache
def wordy_describer() -> Describer:
    """The colour describer, which knows words."""
    header, arrays = colour_parts()
    blobs, classes = wordy_parts()
    content = Container({**header, "name": "wordy"}, blobs, arrays | classes, kind=DESCRIBER_FILE)
    return Describer.from_container(content)


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
