"""The synthesis network in integer arithmetic: from integer latents to 8-bit levels, exactly.

```
 ŷ, quality ─┬─ high and low bytes ─▶ four exact 1×1 layers ─▶ block transform ──────┐
             └─ 8 bits ─▶ trunk: 8-bit layers on a stream of 16-bit integers ─▶ ─────┴─▶ levels
```
The block transform carries the picture and keeps 14-bit weights on whole latents; the trunk adds
what a linear transform cannot draw, and 8 bits at the entrance of each layer are enough for it.
Every partial sum is an integer below 2^24, so that float32 holds it whatever the order of summing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from kinpack.errors import CodecError
from kinpack.learn.freezing.integer_networks import (
    ACTIVATION,
    Floats,
    least_unit,
    quantised,
    real_weights,
)
from kinpack.learn.models.networks import Residual, Synthesis
from kinpack.networks.integer_layers import (
    SPLIT,
    IntegerLayer,
    IntegerLayers,
    Reading,
    WholeLayer,
)

READ_SHIFT = 4
"""Bits by which the stream between layers is finer than what a layer reads of it."""
STREAM = (1 << 15) - 1
"""Largest size of an integer of the stream."""
LEVEL_BITS = 4
"""Fractional bits of a level in the sum of block transform and trunk."""

_MOST_WEIGHT = 127 * SPLIT
_BLOCK = 8


def integer_synthesis(
    synthesis: Synthesis, seen: Sequence[Tensor], *, input_unit: Floats
) -> IntegerLayers:
    """A synthesis network on integers.

    Args:
        synthesis: the trained network.
        seen: what it is given on calibration pictures, (n, latent + 1, h, w) each.
        input_unit: (latent + 1,) real value of one unit of each input plane.

    Returns:
        A network from (n, latent + 1, h, w) integers, each within ±2^15, to (n, 3, 8h, 8w) levels
        of 0 to 255.

    Raises:
        CodecError: a bound of exact arithmetic does not hold.
    """
    layers: list[IntegerLayer] = []
    # Latents are read in 8 bits and a sign.
    values = list(seen)
    reach = reach_of(values) / input_unit
    shift = np.maximum(0, np.ceil(np.log2(np.maximum(reach, 1) / ACTIVATION)))
    reading, unit = Reading(shift.astype(np.uint8), -ACTIVATION), input_unit * np.exp2(shift)
    for part in trunk_parts(synthesis.trunk):
        reading, unit, values = _append_part(layers, reading, unit, part, values)
    layers.append(_last(reading, unit, synthesis))
    return IntegerLayers(tuple(layers), _block_transform(synthesis.linear, input_unit))


def _block_transform(layer: nn.Conv2d, input_unit: Floats) -> WholeLayer:
    """The 1×1 layer from whole latents to the samples of blocks, in 2^-LEVEL_BITS levels."""
    weight, bias = real_weights(layer)
    levels = 255 * 2.0**LEVEL_BITS
    scaled: Floats = weight[:, :, 0, 0] * input_unit * levels
    # The sum of high parts is scaled by 2^(15 − shift): a whole number up to 15.
    shift = min(15, int(np.floor(np.log2(_MOST_WEIGHT / np.abs(scaled).max()))))
    if shift < 7:
        raise CodecError("the block transform leaves exact arithmetic; learn the codec again")
    return WholeLayer(
        np.rint(scaled * 2.0**shift).astype(np.int16),
        np.rint((bias + 0.5) * levels).astype(np.int32),
        shift=shift,
        shuffle=_BLOCK,
        drop=LEVEL_BITS,
        low=0,
        high=255,
    )


@dataclass
class TrunkPart:
    """A stretch of the trunk with one stream: a layer, a shuffle, blocks that add to it, a ReLU."""

    layer: nn.Conv2d
    upscale: int = 1
    blocks: list[Residual] = field(default_factory=list)
    relu: bool = False


def trunk_parts(trunk: nn.Sequential) -> list[TrunkPart]:
    """The parts of a trunk, in order.

    Raises:
        CodecError: the trunk is of another form.
    """
    parts: list[TrunkPart] = []
    for layer in trunk:
        if isinstance(layer, nn.Conv2d):
            parts.append(TrunkPart(layer))
        elif not parts or parts[-1].relu:
            raise CodecError(f"a {type(layer).__name__} layer cannot stand here in the trunk")
        elif isinstance(layer, nn.PixelShuffle) and not parts[-1].blocks:
            parts[-1].upscale *= layer.upscale_factor
        elif isinstance(layer, Residual):
            parts[-1].blocks.append(layer)
        elif isinstance(layer, nn.ReLU):
            parts[-1].relu = True
        else:
            raise CodecError(f"a {type(layer).__name__} layer has no place in the trunk")
    return parts


@torch.no_grad()
def _append_part(
    layers: list[IntegerLayer],
    reading: Reading,
    unit_in: Floats,
    part: TrunkPart,
    seen: list[Tensor],
) -> tuple[Reading, Floats, list[Tensor]]:
    """Append a part; returns how the next layer reads it, its unit, and the real values there."""
    values = [part.layer(x) for x in seen]
    if part.upscale > 1:
        values = [nn.functional.pixel_shuffle(x, part.upscale) for x in values]
    reach, hidden_reach = reach_of(values), []
    for block in part.blocks:
        hidden_reach.append(reach_of([torch.relu(block.down(torch.relu(x))) for x in values]))
        values = [block(x) for x in values]
        reach = np.maximum(reach, reach_of(values))
    unit, hidden_units = _stream_units(part, unit_in, reach, hidden_reach)
    layer = quantised(part.layer, unit_in, np.repeat(unit, part.upscale**2), -STREAM, STREAM)
    layers.append(replace(layer, reading=reading, shuffle=part.upscale))
    shift = np.full(len(unit), READ_SHIFT, np.uint8)
    for block, hidden_unit in zip(part.blocks, hidden_units, strict=True):
        down = quantised(block.down, unit * _READ, hidden_unit, 0, ACTIVATION)
        layers.append(replace(down, reading=Reading(shift, 0)))
        layers.append(replace(quantised(block.up, hidden_unit, unit, -STREAM, STREAM), adds=2))
    if part.relu:
        values = [torch.relu(x) for x in values]
    return Reading(shift, 0 if part.relu else -ACTIVATION), unit * _READ, values


_READ = float(1 << READ_SHIFT)
_ROUNDS = 8


def _stream_units(
    part: TrunkPart, unit_in: Floats, reach: Floats, hidden_reach: list[Floats]
) -> tuple[Floats, list[Floats]]:
    """Units of a part's stream and of the insides of its blocks.

    As fine as the calibration's reach lets them be, and coarser where the weights that lead there
    would leave exact arithmetic.
    """
    finest = least_unit(part.layer, input_unit=unit_in).reshape(-1, part.upscale**2).max(1)
    unit = np.maximum(np.maximum(reach / (ACTIVATION * _READ), finest), 1e-12)
    for _ in range(_ROUNDS):
        hidden_units, coarser = [], unit
        for block, hidden in zip(part.blocks, hidden_reach, strict=True):
            finest = least_unit(block.down, input_unit=unit * _READ)
            hidden_units.append(np.maximum(np.maximum(hidden / ACTIVATION, finest), 1e-12))
            finest = least_unit(block.up, input_unit=hidden_units[-1])
            coarser = np.maximum(coarser, finest)
        if (coarser <= unit).all():
            return unit, hidden_units
        unit = coarser
    raise CodecError("the synthesis network leaves exact arithmetic; learn the codec again")


def _last(reading: Reading, unit: Floats, synthesis: Synthesis) -> IntegerLayer:
    """The layer that gives levels, and the shuffle to full resolution."""
    layer, shuffle = synthesis.last, synthesis.up.upscale_factor
    level = np.full(layer.out_channels, 1 / (255 * 2.0**LEVEL_BITS))
    return replace(quantised(layer, unit, level, -STREAM, STREAM), reading=reading, shuffle=shuffle)


def reach_of(values: Sequence[Tensor]) -> Floats:
    """Largest size of each channel of values (n, channels, h, w), (channels,)."""
    sizes = [x.detach().abs().amax((0, 2, 3)).double().numpy() for x in values]
    largest: Floats = np.max(sizes, axis=0)
    return largest
