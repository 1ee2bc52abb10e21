"""What every frozen codec shares: units, steps and tables of each quality, and what errors cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinpack.codec.packets.target import lam
from kinpack.learn.freezing.integer_networks import Floats
from kinpack.learn.models.bottlenecks import SCALE_HIGH, SCALE_LOW, inward_shift
from kinpack.learn.models.model import (
    QUALITIES_PER_OCTAVE,
    QUALITY_CENTRE,
    TransformModel,
    pictures_of,
)

UNIT = 64
"""Integer units in one unit of ``y``."""
LIMIT = (1 << 15) - 1
BINS_PER_OCTAVE = 4
"""Frequency tables for each doubling of the deviation."""
CALIBRATION_QUALITIES = (28, 37, 46, 55, 64, 74)
"""A bin is four qualities wide: these lie differently in theirs."""
CAUTION = 5.0
"""What an error costs beyond its own squared size, since later latents are predicted from it: of 1,
1.5, 2, 2.5, 3, 5 and 8 the best on CIFAR-10."""
TABLE_ROUNDS = 2
"""Times that the tables are learned from what the encoder chooses under the ones before."""


def deviations() -> Floats:
    """Standard deviation of each frequency table, in quantiser steps: (T,)."""
    count = int((SCALE_HIGH - SCALE_LOW) * BINS_PER_OCTAVE)
    return 2.0 ** (SCALE_LOW + (np.arange(count) + 0.5) / BINS_PER_OCTAVE)


def by_quality() -> dict[str, NDArray[np.int64]]:
    """What a coder of latents looks up.

    Returns:
        ``step_units`` and ``table_shift`` (101,) of each quality 0 to 100: quantiser steps in
        units, and how far its tables are shifted; ``inward_shifts`` (T,) of each table, in 256ths.
    """
    octaves = (QUALITY_CENTRE - np.arange(101)) / QUALITIES_PER_OCTAVE
    inward = inward_shift(torch.from_numpy(np.log2(deviations()))).numpy()
    found = {
        "step_units": np.maximum(1, np.rint(UNIT * 2.0**octaves)),
        "table_shift": np.floor(0.5 - octaves * BINS_PER_OCTAVE - SCALE_LOW * BINS_PER_OCTAVE),
        "inward_shifts": np.rint(256 * inward),
    }
    return {name: values.astype(np.int64) for name, values in found.items()}


def error_bits(
    model: TransformModel,
    patches: Sequence[NDArray[np.uint8]],
    seen: Callable[[Tensor], Tensor],
    *,
    rounds: int = 4,
) -> Floats:
    """What one squared step of error in each latent channel is worth in bits.

    It is the Lagrange weight times the squared error in the picture: the mean over random ±1
    pictures v of (Jᵀv)², J the synthesis's derivative, is the squared length of J's columns.

    Args:
        model: trained model.
        patches: batches uint8 (n, 3, s, s).
        seen: what of a picture, on the 8-bit scale, its error is measured on.
        rounds: random pictures for each patch.

    Returns:
        (channels,) float64, the same for each quality: weight and squared step are inverse.
    """
    generator = torch.Generator().manual_seed(0)
    total: Any = 0
    for batch in patches:
        picture = pictures_of(batch)
        quality = torch.full((len(picture),), float(QUALITY_CENTRE))
        y = model.latent(picture, quality).detach().requires_grad_(True)
        for _ in range(rounds):
            drawn = seen(255 * model.draw(y, quality))
            signs = torch.randint(0, 2, drawn.shape, generator=generator).to(drawn) * 2 - 1
            (gradient,) = torch.autograd.grad((drawn * signs).sum(), y)
            total = total + gradient.double().square().mean((0, 2, 3))
    bits: Floats = (lam(QUALITY_CENTRE) * total / (rounds * len(patches))).numpy()
    return CAUTION * bits


@contextmanager
def watched(networks: Sequence[nn.Module]) -> Iterator[list[list[Tensor]]]:
    """Note what each network reads while a block runs: for each, a list of its inputs."""
    seen: list[list[Tensor]] = [[] for _ in networks]
    hooks = [
        network.register_forward_pre_hook(lambda _, args, store=store: store.append(args[0]))
        for network, store in zip(networks, seen, strict=True)
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
