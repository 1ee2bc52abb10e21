"""The synthesis network in bytes: from integer latents to 8-bit levels, exactly.

```
 ŷ, quality ─┬─ block layer on whole latents, 16-bit weights ────────────────┐
             └─ 8 bits ─▶ trunk: 8-bit layers that add to an integer stream ─┴─▶ levels
```
The block layer carries the picture; the trunk adds what a linear transform cannot draw, and 8 bits
of what each layer takes and gives are enough for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from kinpack.errors import CodecError
from kinpack.learn.freezing.integer_networks import Floats, least_unit, quantised, real_weights
from kinpack.learn.freezing.integer_synthesis import (
    LEVEL_BITS,
    READ_SHIFT,
    TrunkPart,
    reach_of,
    trunk_parts,
)
from kinpack.learn.models.networks import Synthesis
from kinpack.networks.byte_layers import MOST_WEIGHT, SIGNED, BlockLayer, ByteLayer, ByteLayers

USUAL = 0.9999
"""Share of what the last layer gives that is not clipped."""
_BYTE = 255
_SIGNED_BYTE = 127
_READ = float(1 << READ_SHIFT)
_LEVEL = 1 / (255 * 2.0**LEVEL_BITS)


def byte_synthesis(
    synthesis: Synthesis, seen: Sequence[Tensor], *, input_unit: Floats
) -> ByteLayers:
    """A synthesis network in bytes.

    Args:
        synthesis: the trained network.
        seen: what it is given on calibration pictures, (n, latent + 1, h, w) each.
        input_unit: (latent + 1,) real value of one unit of each input plane.

    Returns:
        A network from (n, latent + 1, h, w) integers, each within ±2^15, to (n, 3, 8h, 8w) levels
        of 0 to 255.

    Raises:
        CodecError: the trunk is of another form.
    """
    trunk = _Trunk(input_unit, list(seen))
    for part in trunk_parts(synthesis.trunk):
        trunk.append(part)
    trunk.append_last(synthesis.last, upscale=synthesis.up.upscale_factor)
    return ByteLayers(tuple(trunk.layers), _block(synthesis.linear, input_unit), LEVEL_BITS)


def _block(layer: nn.Conv2d, input_unit: Floats) -> BlockLayer:
    weight, bias = real_weights(layer)
    scaled: Floats = weight[:, :, 0, 0] * input_unit / _LEVEL
    shift = min(31, int(np.floor(np.log2((2**15 - 1) / np.abs(scaled).max()))))
    if shift < 0:
        raise CodecError("the block transform leaves exact arithmetic; learn the codec again")
    offset = np.rint((bias + 0.5) / _LEVEL).astype(np.int32)
    return BlockLayer(np.rint(scaled * 2.0**shift).astype(np.int16), offset, shift, shuffle=8)


class _Trunk:
    """Layers so far, and the real values that the next one reads.

    Args:
        unit: real value of one unit of each channel of the input.
        values: on calibration pictures.
    """

    def __init__(self, unit: Floats, values: list[Tensor]) -> None:
        self.layers: list[ByteLayer] = []
        shift = np.ceil(np.log2(np.maximum(reach_of(values) / unit / _SIGNED_BYTE, 1)))
        self._values, self._shift, self._low = values, shift.astype(np.uint8), SIGNED
        self._unit = unit * np.exp2(shift)

    @torch.no_grad()
    def append(self, part: TrunkPart) -> None:
        """Append a part, with a stream of its own as fine as what is read of it lets it be."""
        values = [nn.functional.pixel_shuffle(part.layer(x), part.upscale) for x in self._values]
        base, largest, changes = reach_of(values), np.zeros(values[0].shape[1]), []
        for block in part.blocks:
            largest = np.maximum(largest, reach_of([torch.relu(x) for x in values]))
            hidden = [torch.relu(block.down(torch.relu(x))) for x in values]
            change = [block.up(x) for x in hidden]
            changes.append((reach_of(hidden), reach_of(change)))
            values = [x + more for x, more in zip(values, change, strict=True)]
        if part.relu:
            values = [torch.relu(x) for x in values]
        low, most = (0, _BYTE) if part.relu else (SIGNED, _SIGNED_BYTE)
        read = np.maximum(largest / _BYTE, reach_of(values) / most).clip(1e-12)
        unit = read / _READ
        self._add(part.layer, unit, reach=base, shuffle=part.upscale)
        self._shift = np.full(len(unit), READ_SHIFT, np.uint8)
        for block, (hidden_reach, reach) in zip(part.blocks, changes, strict=True):
            self._low, self._unit = 0, read
            self._hide(block.down, hidden_reach)
            self._add(block.up, unit, reach=reach, adds=True)
        self._values, self._low, self._unit = values, low, read

    @torch.no_grad()
    def append_last(self, layer: nn.Conv2d, *, upscale: int) -> None:
        """Append the layer that gives levels."""
        made = torch.cat([layer(x).abs().flatten() for x in self._values]).double().numpy()
        reach = np.full(layer.out_channels, np.quantile(made, USUAL))
        self._add(layer, np.full(len(reach), _LEVEL), reach=reach, shuffle=upscale)

    def _hide(self, layer: nn.Conv2d, reach: Floats) -> None:
        """Append a layer whose bytes the next one alone takes."""
        unit = np.maximum(reach / _BYTE, self._finest(layer)).clip(1e-12)
        self.layers.append(self._quantised(layer, unit, low=0, reads=True))
        self._unit = unit

    def _add(
        self,
        layer: nn.Conv2d,
        unit: Floats,
        *,
        reach: Floats,
        shuffle: int = 1,
        adds: bool = False,
    ) -> None:
        """Append a layer whose bytes go into a stream of some unit.

        Args:
            layer: of the trained network.
            unit: of the stream, for each channel as it is shuffled, or each output of the layer.
            reach: largest size of what the layer gives, for the same.
            shuffle: block of the shuffle that follows.
            adds: whether it adds to the stream that there is.
        """
        outputs = layer.out_channels // len(unit)
        unit, reach = np.repeat(unit, outputs), np.repeat(reach, outputs)
        coarsest = np.maximum(reach / _SIGNED_BYTE, self._finest(layer)) / unit
        grow = np.ceil(np.log2(np.maximum(coarsest, 1))).clip(0, 12).astype(np.uint8)
        made = self._quantised(layer, unit * np.exp2(grow), low=SIGNED, reads=not adds)
        self.layers.append(replace(made, shuffle=shuffle, grow=grow, adds=adds))

    def _finest(self, layer: nn.Conv2d) -> Floats:
        return least_unit(layer, input_unit=self._unit, largest_weight=MOST_WEIGHT)

    def _quantised(self, layer: nn.Conv2d, unit: Floats, *, low: int, reads: bool) -> ByteLayer:
        high = low + _BYTE
        made = quantised(layer, self._unit, unit, low, high, largest_weight=MOST_WEIGHT)
        # Bytes are rounded, whole numbers of other layers are cut off.
        half = (1 << made.shift.astype(np.int32)) >> 1
        layers = ByteLayer(made.weight, made.bias - half, made.shift, low)
        return replace(layers, reads=self._shift, reads_low=self._low) if reads else layers
