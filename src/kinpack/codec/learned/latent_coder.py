"""Latents to symbols and back: each step predicted, in integers, from all steps before.

```
 y ─▶ symbols ─▶ range coder ─▶ message
        ▲   │
 mean, table ◀── context network ◀── latents decoded so far, side code, quality
```
Means, table numbers and ŷ = mean + symbol · Δ, moved inward by what the table says, are integers
from integer arithmetic, so that any machine decodes the same symbols from the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.learned.latent_format import MAX_LIMIT, LatentFormat
from kinpack.codec.learned.symbol_choice import SymbolChoice
from kinpack.entropy.range_coder import RangeReader, RangeWriter, pull_all, push_all
from kinpack.errors import CodecError
from kinpack.networks.integer_arithmetic import powers
from kinpack.networks.integer_layers import MOST_READ, IntegerLayer, Reading
from kinpack.networks.integer_network import IntegerNetwork
from kinpack.networks.networks import Array, run_tiled
from kinpack.networks.onnx_writer import PlainGraph
from kinpack.networks.tiling import Tiling

CONTEXT = Tiling(tile=64, halo=1)

_SIDE = 3
_TAPS = _SIDE * _SIDE
COLUMNS = 1 << 22
"""Most numbers of the rows laid out at a time, 16 MiB; those of one image at least."""

Ints = NDArray[np.int64]
Codes = NDArray[np.uint8] | None


class LatentCoder:
    """Codes latents on their integer grid.

    Args:
        latent: numbers of the latent format.
        context: one network for each step; input (n, stop + E + 1, h, w) of integers, output
            (n, 2·(stop − start), h, w): means in units, then numbers of the widest table that fits.
        code_context: (M, K, E) integers; a code contributes the sum of its words' rows.
        choice: symbols, tables and steps; all its tables are of latents.

    Raises:
        CodecError: the parts do not fit together, or hold numbers out of range.
    """

    def __init__(
        self,
        latent: LatentFormat,
        *,
        context: Sequence[IntegerNetwork],
        code_context: Ints,
        choice: SymbolChoice,
    ) -> None:
        if len(context) != len(latent.steps) or code_context.ndim != 3:
            raise CodecError("the codec's context networks do not fit its steps; make it anew")
        if code_context.size and _size(code_context) >= MAX_LIMIT:
            raise CodecError("the codec's code context is out of range; make it anew")
        if choice.count != len(choice.tables) or choice.error_bits.shape != (latent.channels,):
            raise CodecError("the codec's tables and weights do not fit its latents; make it anew")
        for (start, stop, _), network in zip(latent.steps, context, strict=True):
            takes = stop + code_context.shape[2] + 1
            network.check_fits(CONTEXT, takes=takes, gives=2 * (stop - start))
        self.latent, self.choice = latent, choice
        self.context, self._code_context = list(context), code_context

    def encode(
        self, y: NDArray[np.float64], codes: Codes, *, quality: Ints
    ) -> tuple[Ints, list[bytes]]:
        """Quantise and code latents.

        Args:
            y: (n, channels, h, w) in units, within ±limit.
            codes: (n, M) sub-indices of each.
            quality: (n,) 1 to 99.

        Returns:
            ŷ (n, channels, h, w) in units, and the messages.
        """
        writers = [RangeWriter(self.choice.tables) for _ in y]
        y_hat, steps = self._quantise(y, codes, quality)
        for symbols, table in steps:
            push_all(writers, symbols, table)
        return y_hat, [writer.finish() for writer in writers]

    def decode(
        self,
        messages: Sequence[bytes],
        codes: Codes,
        *,
        size: tuple[int, int],
        quality: Ints,
    ) -> Ints:
        """Decode messages of latents of one size.

        Args:
            messages: as ``encode`` gave them.
            codes: (n, M) sub-indices of each.
            size: (h, w) of the latents.
            quality: (n,) at which each was encoded.

        Returns:
            ŷ (n, channels, h, w) in units.

        Raises:
            PayloadError: a message is damaged.
        """
        readers = [RangeReader(message, self.choice.tables) for message in messages]
        y_hat = np.zeros((len(messages), self.latent.channels, *size), dtype=np.int64)
        planes = self._planes(codes, quality)
        for index, (start, stop, _) in enumerate(self.latent.steps):
            where, mean, table = self._predict(index, y_hat, planes, quality)
            symbols = pull_all(readers, table.reshape(len(readers), -1)).reshape(table.shape)
            value = self.choice.value(mean, table, symbols, quality)
            y_hat[:, start:stop][:, :, where] = value
        return y_hat

    def symbols(self, y: NDArray[np.float64], codes: Codes, *, quality: Ints) -> tuple[Ints, Ints]:
        """Symbols and their tables, as the tables are learned from them.

        Args:
            y: (n, channels, h, w) in units.
            codes: (n, M) sub-indices of each.
            quality: (n,) 1 to 99.

        Returns:
            Two (s,) arrays: the symbols of all latents and the number of each one's table.
        """
        _, steps = self._quantise(y, codes, quality)
        parts = zip(*steps, strict=True)
        symbols, tables = (np.concatenate([one.ravel() for one in part]) for part in parts)
        return symbols, tables

    def _quantise(
        self, y: NDArray[np.float64], codes: Codes, quality: Ints
    ) -> tuple[Ints, list[tuple[Ints, Ints]]]:
        """ŷ, and of each step the symbols and tables, a row for each message."""
        n, steps = len(y), []
        y_hat = np.zeros(y.shape, dtype=np.int64)
        planes = self._planes(codes, quality)
        for index, (start, stop, _) in enumerate(self.latent.steps):
            where, mean, table = self._predict(index, y_hat, planes, quality)
            part, worth = y[:, start:stop][:, :, where], self.choice.error_bits[start:stop, None]
            symbols = self.choice.cheapest(part, mean, table, quality, worth)
            steps.append((symbols.reshape(n, -1), table.reshape(n, -1)))
            value = self.choice.value(mean, table, symbols, quality)
            y_hat[:, start:stop][:, :, where] = value
        return y_hat, steps

    def _planes(self, codes: Codes, quality: Ints) -> Array:
        """What the networks are told of each picture, (n, E + 1): its product code, its quality."""
        if codes is None:
            raise CodecError("the codec codes latents by side codes, and none were given")
        M, _, E = self._code_context.shape
        planes: Array = np.empty((len(codes), E + 1), dtype=np.float32)
        planes[:, :E] = self._code_context[np.arange(M), codes].sum(1).clip(-255, 255)
        planes[:, E] = quality - 50
        return planes

    def _predict(
        self, index: int, y_hat: Ints, planes: Array, quality: Ints
    ) -> tuple[NDArray[np.bool_], Ints, Ints]:
        """Positions that a step codes, and the (n, c, positions) means and tables there.

        Everything here is exact: what goes in and out of the network are integers below 2^24.
        """
        start, stop, parity = self.latent.steps[index]
        h, w = y_hat.shape[2:]
        where: NDArray[np.bool_] = np.ones((h, w), dtype=np.bool_)
        if parity >= 0:
            where = (np.arange(h)[:, None] + np.arange(w)) % 2 == parity
        columns = self._columns[index]
        if columns is not None:
            out = columns(y_hat, planes, where)
        else:
            out = self._convolved(index, y_hat, planes, where)
        channels = stop - start
        return where, out[:, :channels], self.choice.table(out[:, channels:], quality)

    def _convolved(
        self, index: int, y_hat: Ints, planes: NDArray[np.float32], where: NDArray[np.bool_]
    ) -> Ints:
        """What a step's network gives at some positions, from a run of all."""
        start, stop, _ = self.latent.steps[index]
        n, _, h, w = y_hat.shape
        x = np.empty((n, stop + planes.shape[1], h, w), dtype=np.float32)
        x[:, :stop] = y_hat[:, :stop]
        x[:, stop:] = planes[:, :, None, None]
        found = run_tiled(self.context[index], x, CONTEXT, channels=2 * (stop - start))
        return found[:, :, where].astype(np.int64)

    @cached_property
    def _columns(self) -> list[ContextColumns | None]:
        """Each step's network as matrix products, where it has the form for them."""
        known, made = 0, []
        for (_, stop, _), network in zip(self.latent.steps, self.context, strict=True):
            made.append(ContextColumns.of(network, known=min(known, stop), stop=stop))
            known = max(known, stop)
        return made


class ContextColumns:
    """Runs one context network, as matrix products, where its step asks for latents.

    A convolution of a 4×4 latent spends most of its time on its border, on positions that a step of
    a checkerboard does not ask for, on latents that are still 0, and on planes that are the same
    everywhere. Here each position asked for is a row of a matrix, and what the product code and the
    quality add is worked out once for an image. The arithmetic is exact, so the numbers are the
    same.

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
        most = max(1, COLUMNS // max(1, len(places) * self._known))
        parts = []
        for i in range(0, n, most):
            feed = {"code": code[i : i + most], "within": within}
            if self._known:
                part = y_hat[i : i + most, : self._known].transpose(0, 2, 3, 1)
                framed = np.zeros((len(part), h + 2, w + 2, self._known), dtype=np.float32)
                framed[:, 1:-1, 1:-1] = self._read(part.astype(np.float32), slice(self._known))
                taken = framed.reshape(len(part), -1, self._known).take(places, axis=1)
                feed["rows"] = taken.reshape(len(part), len(within), _TAPS * self._known)
            parts.append(self._network.run(self._session, feed))
        found = np.concatenate(parts) if len(parts) != 1 else parts[0]
        return found.transpose(0, 2, 1).astype(np.int64)

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


def _size(values: NDArray[Any]) -> int:
    """Largest size of integers, whatever their type."""
    return max(int(values.max()), -int(values.min()))
