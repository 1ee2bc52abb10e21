"""Learning the causal network: a pixel's mixture from its neighbourhood.

It is trained in floating point on the bits of pixels drawn at random, and frozen to integers so
fine that next to nothing is lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinpack.codec.causal.causal_context import PLACES, PLANES
from kinpack.codec.causal.causal_model import HIDDEN, CausalModel, Layer
from kinpack.codec.causal.logistic_mixture import (
    LARGEST_SCALE,
    LEAST_SCALE,
    MEAN_UNITS,
    PARTS,
    SCALES_PER_OCTAVE,
    WEIGHTS_PER_OCTAVE,
)
from kinpack.learn.causal.causal_samples import PixelSamples
from kinpack.learn.training.loop import Budget, TrainingRun

BATCH = 4096
"""Pixels of a training step."""
CALIBRATION = 1 << 16
"""Pixels that the reach of hidden layers is taken from."""

_FLOOR = 1e-5  # probability below which a level is not trained further
_WEIGHT = (1 << 15) - 1
_MEAN, _MEAN_SPAN = 100.0, 64.0
_MARGIN = 1.1
_MAX_SHIFT = 40


@dataclass(frozen=True)
class CausalConfig:
    """How a causal network is learned.

    Attributes:
        hidden: numbers of each hidden layer; more predict better, and take more time to decode.
        learning_rate: of Adam at the start; it falls to nearly 0.
        places: whether a pixel's place in the picture is told.
    """

    hidden: int = 64
    learning_rate: float = 3e-3
    places: bool = True


class CausalNetwork(nn.Module):
    """A perceptron of three layers from PLANES numbers to 3 · PARTS."""

    def __init__(self, config: CausalConfig) -> None:
        super().__init__()
        self.places, wide = config.places, config.hidden
        self.layers = nn.ModuleList(
            [nn.Linear(PLANES, wide), nn.Linear(wide, wide), nn.Linear(wide, 9)]
        )

    def inputs(self, x: Tensor) -> Tensor:
        """What the first layer reads of neighbourhoods (n, PLANES), 0 to 255."""
        seen = x.float() / 255
        if not self.places:
            seen[:, PLACES] = 0
        return seen

    def forward(self, x: Tensor) -> Tensor:
        """Map to (n, 3 · PARTS): logarithms of weights, means, log2 of scales, each its own way."""
        first, second, last = self.layers
        hidden = torch.relu(second(torch.relu(first(self.inputs(x)))))
        said: Tensor = last(hidden)
        return said


def mixture_bits(said: Tensor, values: Tensor, step: Tensor) -> Tensor:
    """Bits of rounded values under what the network says.

    Args:
        said: (n, 3 · PARTS).
        values: (n,) multiples of Δ; the last one may lie above 255.
        step: (n,) Δ.

    Returns:
        (n,) bits.
    """
    logs, means, scales = said.chunk(3, 1)
    low, high = LEAST_SCALE / SCALES_PER_OCTAVE, LARGEST_SCALE / SCALES_PER_OCTAVE
    inverse = torch.exp2(-scales.clamp(low, high))
    centre = values[:, None] - (_MEAN_SPAN * means + _MEAN)
    half = step[:, None] / 2
    upper, lower = (
        torch.sigmoid((centre + half) * inverse),
        torch.sigmoid((centre - half) * inverse),
    )
    # The outermost cells reach on without end.
    upper = torch.where(values[:, None] + half > 255, 1.0, upper)
    lower = torch.where(values[:, None] <= 0, 0.0, lower)
    p = (logs.softmax(1) * (upper - lower)).sum(1)
    return -torch.log2(p * (1 - _FLOOR) + _FLOOR)


def train_causal(
    planes: Sequence[NDArray[np.uint8]],
    *,
    steps: NDArray[np.int64],
    config: CausalConfig,
    budget: Budget,
) -> CausalModel:
    """Learn a causal network, and freeze it.

    Args:
        planes: uint8 (H, W) each, to learn from.
        steps: (s,) values of Δ that it is to serve.
        config: sizes and options.
        budget: how long, and where the run is kept.
    """
    torch.manual_seed(budget.seed)
    samples = PixelSamples(planes)
    network = CausalNetwork(config)

    def batch(number: int, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rng = np.random.default_rng((budget.seed, 3, number))
        x, values, step, weights = samples.draw(rng, n, steps)
        value, delta = torch.from_numpy(values), torch.from_numpy(step)
        return torch.from_numpy(x), value, delta, torch.from_numpy(weights)

    def losses(number: int) -> dict[str, Tensor]:
        x, values, step, weights = batch(number, BATCH)
        bits = mixture_bits(network(x), values.float(), step.float())
        return {"loss": (bits * weights).mean()}

    TrainingRun(network, losses, replace(budget, learning_rate=config.learning_rate)).finish()
    return frozen(network, batch(1 << 40, CALIBRATION)[0])


@torch.no_grad()
def frozen(network: CausalNetwork, x: Tensor) -> CausalModel:
    """The network in integers.

    Args:
        network: trained.
        x: (n, PLANES) neighbourhoods that tell the reach of its hidden layers.
    """
    seen = network.inputs(x)
    units = np.full(seen.shape[1], 1 / 255)
    layers: list[Layer] = []
    linear = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
    for layer in linear[:-1]:
        seen = torch.relu(layer(seen))
        hidden = np.maximum(_MARGIN * seen.amax(0).double().numpy(), 1e-6) / HIDDEN
        weight, bias = layer.weight.T.double().numpy().copy(), layer.bias.double().numpy()
        if not layers and not network.places:
            weight[PLACES] = 0
        layers.append(_quantised(weight, bias, units, hidden))
        units = hidden
    last, means = linear[-1], slice(PARTS, 2 * PARTS)
    weight, bias = last.weight.T.double().numpy().copy(), last.bias.double().numpy().copy()
    weight[:, means] *= _MEAN_SPAN
    bias[means] = _MEAN_SPAN * bias[means] + _MEAN
    per = (1 / (WEIGHTS_PER_OCTAVE * math.log2(math.e)), 1 / MEAN_UNITS, 1 / SCALES_PER_OCTAVE)
    layers.append(_quantised(weight, bias, units, np.repeat(per, PARTS)))
    return CausalModel(tuple(layers))


def _quantised(
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    unit_in: NDArray[np.float64],
    unit_out: NDArray[np.float64],
) -> Layer:
    """A layer in integers, with weights of 16 bits, each output's as fine as they fit."""
    scaled = weight * unit_in[:, None] / unit_out
    largest = np.maximum(np.abs(scaled).max(0), 1e-12)
    shift = np.floor(np.log2(_WEIGHT / largest)).clip(0, _MAX_SHIFT).astype(np.int64)
    factor = np.exp2(shift)
    return Layer(
        np.rint(scaled * factor).clip(-_WEIGHT, _WEIGHT),
        np.rint(bias / unit_out * factor + factor / 2),
        shift,
    )
