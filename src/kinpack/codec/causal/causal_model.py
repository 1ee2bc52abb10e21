"""The network that predicts a pixel from its causal neighbourhood, in integers.

Three layers of whole numbers, carried in float64: every sum stays below 2^53, so that it is exact
in any order, and rescaling is by powers of two and floor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.causal.causal_context import PLACES, PLANES
from kinpack.codec.causal.logistic_mixture import PARTS
from kinpack.errors import CodecError
from kinpack.networks.container import integers_of

LAYERS = 3
HIDDEN = 4095
"""Largest integer of a hidden layer; the smallest is 0."""
OUTPUT = (1 << 15) - 1
"""Largest size of what the network says."""
INPUT = 255
"""Largest size of what the first layer reads."""
MOST_HIDDEN = 1024
"""Most numbers of a hidden layer that a codec file may state."""
_MAX_SHIFT = 40
_EXACT = 1 << 53

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Layer:
    """One layer: floor((x · weight + bias) / 2^shift).

    Attributes:
        weight: (in, out) whole numbers.
        bias: (out,) whole numbers, the half that makes floor round included.
        shift: (out,) 0 to 40.
    """

    weight: Floats
    bias: Floats
    shift: Ints

    def __call__(self, x: Floats) -> Floats:
        """Map (n, in) to (n, out)."""
        scaled: Floats = np.floor((x @ self.weight + self.bias) * np.exp2(-self.shift))
        return scaled


@dataclass(frozen=True)
class CausalModel:
    """Predicts the mixture of each pixel.

    Attributes:
        layers: three; the first reads PLANES inputs, the last gives 3 · PARTS numbers.
    """

    layers: tuple[Layer, ...]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Self:
        """Build from a codec file's arrays.

        Args:
            arrays: ``weight0``, ``bias0``, ``shift0`` to ``shift2``, below the prefix.
            prefix: of their names.

        Raises:
            CodecError: they do not fit together, or would leave exact arithmetic.
        """
        found = {}
        names = [f"{part}{i}" for i in range(LAYERS) for part in ("weight", "bias", "shift")]
        for name in names:
            found[name] = integers_of(arrays, f"{prefix}_{name}")
        made = cls(
            tuple(
                Layer(
                    found[f"weight{i}"].astype(np.float64),
                    found[f"bias{i}"].astype(np.float64),
                    found[f"shift{i}"],
                )
                for i in range(LAYERS)
            )
        )
        made._check(prefix)
        return made

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Arrays of a codec file that ``from_arrays`` reads."""
        arrays: dict[str, NDArray[Any]] = {}
        for i, layer in enumerate(self.layers):
            arrays[f"{prefix}_weight{i}"] = layer.weight.astype(np.int16)
            arrays[f"{prefix}_bias{i}"] = layer.bias.astype(np.int64)
            arrays[f"{prefix}_shift{i}"] = layer.shift.astype(np.uint8)
        return arrays

    @property
    def sees_places(self) -> bool:
        """Whether it minds where a pixel lies."""
        return bool(self.layers[0].weight[PLACES].any())

    def __call__(self, x: Ints) -> Ints:
        """Predict.

        Args:
            x: (n, PLANES) integers.

        Returns:
            (n, 3 · PARTS) integers as `kinpack.codec.causal.logistic_mixture` takes them.
        """
        first, second, last = self.layers
        hidden = second(first(x.astype(np.float64)).clip(0, HIDDEN)).clip(0, HIDDEN)
        return last(hidden).clip(-OUTPUT, OUTPUT).astype(np.int64)

    def _check(self, prefix: str) -> None:
        ok, wide, most = True, PLANES, INPUT
        for layer in self.layers:
            shape = layer.weight.shape
            ok = ok and len(shape) == 2 and shape[0] == wide and 0 < shape[1] <= MOST_HIDDEN
            ok = ok and layer.bias.shape == layer.shift.shape == shape[1:]
            if not ok:
                break
            sums = np.abs(layer.weight).sum(0) * most + np.abs(layer.bias)
            ok = int(layer.shift.min()) >= 0 and int(layer.shift.max()) <= _MAX_SHIFT
            ok = ok and float(sums.max()) < _EXACT
            wide, most = shape[1], HIDDEN
        if not ok or wide != 3 * PARTS:
            raise CodecError(f"the codec's {prefix} network is out of range; make it anew")
