"""Learning the restoration: where in its cell each rounded grey value is likely to have been.

A few convolutions see the rounded picture and say for each pixel what to add, in steps. The error
of rounding is uniform only where nothing is known; along a slope, an edge or a texture much is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinpack.codec.causal.causal_image import PARTS_OF_STEP
from kinpack.learn.freezing.integer_networks import (
    ACTIVATION,
    integer_network,
    quantised_chain,
)
from kinpack.learn.training.loop import Budget, TrainingRun
from kinpack.networks.integer_layers import IntegerLayers

SIDE = 28
"""Sides of the pieces that are learned from; smaller pictures are set in black."""
BATCH = 32
CALIBRATION = 256
LEARNING_RATE = 2e-3

_OUTPUT = 1 << 12


class Restoration(nn.Sequential):
    """Four convolutions of 3×3.

    Input (n, 3, h, w): values, 1 where they are 0, 2Δ, all of 255; output (n, 1, h, w): what to
    add, in Δ.

    Args:
        channels: of the layers between.
    """

    def __init__(self, channels: int = 32) -> None:
        last = nn.Conv2d(channels, 1, 3, padding=1)
        nn.init.zeros_(last.weight)
        super().__init__(
            nn.Conv2d(3, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            last,
        )


def train_restoration(
    planes: Sequence[NDArray[np.uint8]], *, steps: NDArray[np.int64], budget: Budget
) -> IntegerLayers:
    """Learn a restoration, and freeze it to integers.

    Args:
        planes: uint8 (H, W) each, to learn from.
        steps: (s,) values of Δ that it is to serve.
        budget: how long, and where the run is kept.

    Returns:
        The network as `kinpack.codec.causal.causal_image` runs it.
    """
    torch.manual_seed(budget.seed)
    network = Restoration()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def batch(number: int, n: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((budget.seed, 4, number))
        wanted = np.stack([_piece(planes[int(rng.integers(len(planes)))], rng) for _ in range(n)])
        step = steps[rng.integers(len(steps), size=n)][:, None, None]
        rounded = np.minimum((2 * wanted.astype(np.int64) + step) // (2 * step) * step, 255)
        x = np.stack(
            [rounded, 255 * (rounded == 0), np.broadcast_to(2 * step, rounded.shape).clip(0, 255)],
            axis=1,
        )
        error = (wanted - rounded) / step
        return (
            (torch.from_numpy(x).float() / 255).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(error).float()[:, None],
        )

    def losses(number: int) -> dict[str, Tensor]:
        x, wanted = batch(number, BATCH)
        # A uniform error in a cell of width 1 has the mean square 1/12.
        return {"loss": 12 * (network(x) - wanted).square().mean()}

    TrainingRun(network, losses, replace(budget, learning_rate=LEARNING_RATE)).finish()
    seen, _ = batch(1 << 40, CALIBRATION)
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    first, last = np.full(3, 1 / ACTIVATION), np.array([1 / PARTS_OF_STEP])
    layers = quantised_chain(convolutions, seen, first, last, _OUTPUT)
    return integer_network(layers, input_shift=np.zeros(3, dtype=np.int64))


def _piece(plane: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A piece of a plane, perhaps mirrored, (SIDE, SIDE)."""
    height, width = plane.shape
    top = int(rng.integers(max(1, height - SIDE + 1)))
    left = int(rng.integers(max(1, width - SIDE + 1)))
    piece = np.zeros((SIDE, SIDE), dtype=np.uint8)
    part = plane[top : top + SIDE, left : left + SIDE]
    piece[: part.shape[0], : part.shape[1]] = part[:, ::-1] if rng.integers(2) else part
    return piece
