"""Context networks as matrix products: only where latents are asked for, and of what is known.

A convolution of a 4×4 latent spends most of its time on its border, on positions that a step of a
checkerboard does not ask for, on latents that are still 0, and on planes that are the same
everywhere. Here each position asked for is a row of a matrix, and what the product code and the
quality add is worked out once for an image. The arithmetic is exact, so the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.networks.integer_arithmetic import powers
from kinpack.networks.integer_layers import MOST_READ, IntegerLayer, Reading
from kinpack.networks.integer_network import IntegerNetwork
from kinpack.networks.networks import Array
from kinpack.networks.onnx_writer import PlainGraph

_SIDE = 3
_TAPS = _SIDE * _SIDE
_COLUMNS = 1 << 22
"""Most numbers of the rows laid out at a time, 16 MiB; those of one image at least."""


class ContextColumns:
    """Runs one context network at the positions that its step codes.

    Args:
        network: of a 3×3 layer and 1×1 layers after it; whose runtime is used.
        reading: what the first layer reads; the others read what they are given.
        known: latent channels that may be other than 0 before the step, counted from the first.
        stop: latent channels that the network takes.
    """

    def __init__(self, network: IntegerNetwork, reading: Reading, *, known: int, stop: int) -> None:
        self._reading, self._known, self._stop = reading, known, stop
        self._network = network
        self._session = network.session_of(_graph(network.layers.layers, known=known, stop=stop))

    @classmethod
    def of(cls, network: IntegerNetwork, *, known: int, stop: int) -> Self | None:
        """Take a network apart.

        Args:
            network: it, in its engine.
            known: latent channels that may be other than 0 before the step, from the first on.
            stop: latent channels that it takes.

        Returns:
            None where it has another form, or another engine than onnxruntime is wanted.
        """
        first, *others = network.layers.layers
        plain = all(layer.shuffle == 1 and not layer.adds for layer in (first, *others))
        points = all(layer.reading is None and layer.weight.shape[2] == 1 for layer in others)
        fits = plain and points and first.weight.shape[2] == _SIDE and network.layers.whole is None
        if first.reading is None or not fits or network.engine != "onnxruntime":
            return None
        return cls(network, first.reading, known=known, stop=stop)

    def __call__(
        self, y_hat: NDArray[np.int64], planes: Array, where: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Run the network.

        Args:
            y_hat: (n, channels, h, w) latents known so far, in units.
            planes: (n, planes) what else it takes, the same at all positions.
            where: (h, w) positions asked for.

        Returns:
            (n, channels out, positions) what the network gives there.
        """
        n, _, h, w = y_hat.shape
        rows, columns = np.nonzero(where)
        taps = np.arange(_SIDE)
        # Places in planes that have a border of one position.
        down = (rows[:, None] + taps)[:, :, None]
        across = (columns[:, None] + taps)[:, None, :]
        inside = (down > 0) & (down <= h) & (across > 0) & (across <= w)
        within = inside.reshape(len(rows), _TAPS).astype(np.float32)
        places = (down * (w + 2) + across).reshape(-1)
        code = self._read(planes, slice(self._stop, None))
        most = max(1, _COLUMNS // max(1, len(places) * self._known))
        parts = [
            self._part(y_hat[i : i + most, : self._known], code[i : i + most], places, within)
            for i in range(0, n, most)
        ]
        found = np.concatenate(parts) if len(parts) != 1 else parts[0]
        return found.transpose(0, 2, 1).astype(np.int64)

    def _part(
        self,
        y_hat: NDArray[np.int64],
        code: Array,
        places: NDArray[Any],
        within: Array,
    ) -> Array:
        feed = {"code": code, "within": within}
        if self._known:
            n, known, h, w = y_hat.shape
            read = np.zeros((n, h + 2, w + 2, known), dtype=np.float32)
            values = y_hat.transpose(0, 2, 3, 1).astype(np.float32)
            read[:, 1:-1, 1:-1] = self._read(values, slice(known))
            rows = read.reshape(n, -1, known).take(places, axis=1)
            feed["rows"] = rows.reshape(n, len(within), _TAPS * known)
        return self._network.run(self._session, feed)

    def _read(self, values: NDArray[Any], channels: slice) -> Array:
        """What the first layer reads of some input channels, in the last side of ``values``."""
        x: Array = values * np.exp2(-self._reading.shift[channels].astype(np.float32))
        x += np.float32(0.5)
        np.floor(x, out=x)
        read: Array = x.clip(self._reading.low, MOST_READ, out=x)
        return read


def _graph(layers: Sequence[IntegerLayer], *, known: int, stop: int) -> bytes:
    """From rows (n, positions, 9 · known) and code (n, planes) to (n, positions, channels out)."""
    out = len(layers[0].weight)
    weight = layers[0].weight.transpose(2, 3, 1, 0)  # (3, 3, in, out)
    rows = [("rows", ["n", "p", "r"])] if known else []
    graph = PlainGraph([*rows, ("code", ["n", "e"]), ("within", ["p", "t"])])
    # What the planes add at each tap, then summed over the taps that lie inside the latent.
    planes = weight[:, :, stop:].transpose(2, 0, 1, 3).reshape(-1, _TAPS * out)
    taps = graph.node("MatMul", "code", graph.constant(planes))
    taps = graph.node("Reshape", taps, graph.constant(np.array([-1, _TAPS, out], dtype=np.int64)))
    at = graph.node("MatMul", "within", taps)
    if known:
        latents = weight[:, :, :known].reshape(_TAPS * known, out)
        at = graph.node("Add", graph.node("MatMul", "rows", graph.constant(latents)), at)
    for i, layer in enumerate(layers):
        if i:
            at = graph.node("MatMul", at, graph.constant(layer.weight[:, :, 0, 0].T))
        at = graph.node("Add", at, graph.constant(layer.bias))
        at = graph.node(
            "Floor", graph.node("Mul", at, graph.constant(powers(layer.shift)[:, 0, 0]))
        )
        bounds = (np.array(bound, dtype=np.float32) for bound in (layer.low, layer.high))
        at = graph.node("Clip", at, *(graph.constant(bound) for bound in bounds))
    return graph.to_bytes(at, ["n", "p", "d"])
