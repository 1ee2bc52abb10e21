"""Layers in integer arithmetic: the same numbers on every machine.

Weights and activations are integers carried in float32. Every partial sum stays below 2^24, so each
addition is exact and the order of summation is free. Rescaling is by powers of two and floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinpack.errors import CodecError
from kinpack.networks.integer_layers import EXACT, MOST_READ, IntegerLayer, IntegerLayers, Reading

ACTIVATION = MOST_READ
"""Largest integer that an activation takes (inputs: on both sides of 0)."""
WEIGHT = 127

MAX_SHIFT = 22
"""Largest shift of a layer."""

Floats = NDArray[np.float64]


def quantised(
    layer: nn.Conv2d,
    input_unit: Floats,
    output_unit: Floats,
    low: int,
    high: int,
    *,
    largest_weight: int = WEIGHT,
) -> IntegerLayer:
    """Integer stand-in of a convolution of torch.

    Each output channel takes the largest shift at which its weights fit and its sums 24 bits.

    Args:
        layer: the convolution.
        input_unit: (in,) real value of one unit of each input, which is within ±ACTIVATION units.
        output_unit: (out,) real value of one unit of each output.
        low: smallest result in units.
        high: largest result in units.
        largest_weight: bound on the size of the weights; above 127 they are int16.

    Raises:
        CodecError: the unit of an output is so fine that its weights do not fit even unshifted;
            ``least_unit`` says how coarse it has to be.
    """
    weight, bias = real_weights(layer)
    scaled: Floats = weight * input_unit[None, :, None, None] / output_unit[:, None, None, None]
    offset: Floats = bias / output_unit
    shift = np.array(
        [_shift(w, float(b), largest_weight) for w, b in zip(scaled, offset, strict=True)],
        dtype=np.int64,
    )
    factor: Floats = np.exp2(shift.astype(np.float64))
    half = np.where(shift > 0, factor / 2, 0)
    dtype = np.int8 if largest_weight <= WEIGHT else np.int16
    return IntegerLayer(
        weight=np.rint(scaled * factor[:, None, None, None]).astype(dtype),
        bias=np.rint(offset * factor + half).astype(np.int32),
        shift=shift.astype(np.uint8),
        low=low,
        high=high,
    )


@torch.no_grad()
def quantised_chain(
    layers: Sequence[nn.Conv2d],
    seen: Tensor,
    input_unit: Floats,
    last_unit: Floats,
    bound: int,
    *,
    room: float = 1.0,
    last_weight: int = WEIGHT,
) -> list[IntegerLayer]:
    """Integer stand-ins of convolutions with a ReLU between each two.

    Args:
        layers: of torch, in order.
        seen: (n, in, h, w), what the first reads on calibration patches.
        input_unit: (in,) real value of one unit of each of its inputs.
        last_unit: (out,) real value of one unit of each output of the last.
        bound: largest size of those outputs, in units.
        room: that activations are given beyond what calibration reached, as a factor.
        last_weight: bound on the size of the last layer's weights.
    """
    unit, made = input_unit, []
    for layer in layers[:-1]:
        seen = torch.relu(layer(seen))
        hidden = hidden_unit(room * seen, layer, unit)
        made.append(quantised(layer, unit, hidden, 0, ACTIVATION))
        unit = hidden
    last = quantised(layers[-1], unit, last_unit, -bound, bound, largest_weight=last_weight)
    return [*made, last]


def least_unit(layer: nn.Conv2d, *, input_unit: Floats, largest_weight: int = WEIGHT) -> Floats:
    """Finest unit of each output at which a convolution fits exact arithmetic.

    Args:
        layer: the convolution.
        input_unit: (in,) real value of one unit of each input.
        largest_weight: bound on the size of the weights.

    Returns:
        (out,) real value of one unit of each output.
    """
    weight, bias = real_weights(layer)
    size: Floats = np.abs(weight * input_unit[None, :, None, None]).reshape(len(weight), -1)
    room = EXACT - 2 - size.shape[1] * ACTIVATION / 2
    sums = size.sum(1) * ACTIVATION + np.abs(bias)
    finest: Floats = np.maximum(size.max(1) / largest_weight, sums / room)
    return finest * (1 + 1e-6)


def hidden_unit(hidden: Tensor, layer: nn.Conv2d, input_unit: Floats) -> Floats:
    """Real value of one unit of each hidden channel: its reach on the patches over 255.

    A channel that the patches hardly excite would get a unit so fine that its weights leave exact
    arithmetic; it gets the finest that does not.
    """
    reach: Floats = hidden.amax((0, 2, 3)).double().numpy()
    finest = least_unit(layer, input_unit=input_unit)
    # A channel without weights has no finest unit: any above 0 will do.
    return np.maximum(reach / ACTIVATION, finest).clip(1e-12)


def integer_network(
    layers: Sequence[IntegerLayer], *, input_shift: NDArray[np.int64]
) -> IntegerLayers:
    """Network of layers of which the first reads its inputs divided by 2^shift, ±255.

    Args:
        layers: in order.
        input_shift: (in,) of the inputs.
    """
    first, *others = layers
    reading = Reading(input_shift.astype(np.uint8), -ACTIVATION)
    return IntegerLayers((replace(first, reading=reading), *others))


def real_weights(layer: nn.Conv2d) -> tuple[Floats, Floats]:
    """Weights (out, in, k, k) and biases (out,) of a convolution, float64."""
    bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias
    return layer.weight.detach().double().numpy(), bias.detach().double().numpy()


def _shift(weight: Floats, bias: float, largest_weight: int) -> int:
    """Largest shift at which the weights of one output fit and its sums 24 bits."""
    for shift in range(MAX_SHIFT, -1, -1):
        factor = 2.0**shift
        # The last half unit of each weight is for rounding.
        total = (np.abs(weight * factor) + 0.5).sum() * ACTIVATION + abs(bias) * factor + factor
        if np.abs(weight).max() * factor <= largest_weight and total < EXACT:
            return shift
    raise CodecError("a context network would leave exact arithmetic; learn the codec again")
