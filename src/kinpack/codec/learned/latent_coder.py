"""Latents to symbols and back: each step predicted, in integers, from all steps before.

```
 y ─▶ symbols ─▶ range coder ─▶ message
        ▲   │
 mean, table ◀── context network ◀── latents decoded so far, product code, quality
```
Means, table numbers and ŷ = mean + symbol · Δ, moved inward by what the table says, are integers
from integer arithmetic, so that any machine decodes the same symbols from the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.learned.context_columns import ContextColumns
from kinpack.codec.learned.latent_format import MAX_LIMIT, LatentFormat
from kinpack.entropy.range_coder import RangeReader, RangeWriter, pull_all, push_all
from kinpack.entropy.tables import FrequencyTables
from kinpack.errors import CodecError
from kinpack.networks.integer_network import IntegerNetwork
from kinpack.networks.networks import run_tiled
from kinpack.networks.tiling import Tiling

_CONTEXT = Tiling(tile=64, halo=1)

_CELL = 256
"""Parts of a step in which the inward shift counts."""

Ints = NDArray[np.int64]
Emit = Callable[[Ints, Ints], None]


class LatentCoder:
    """Codes latents on their integer grid.

    Args:
        latent: numbers of the latent format.
        context: one network for each step; input (n, stop + E + 1, h, w) of integers, output
            (n, 2·(stop − start), h, w): means in units, then numbers of the widest table that fits.
        code_context: (M, K, E) integers; a code contributes the sum of its words' rows.
        tables: frequency tables, narrowest first.
        step_units: (101,) quantiser step of each quality, in units.
        table_shift: (101,) what each quality adds to the context network's table number.
        inward_shifts: (tables,) how far ŷ lies inward of its cell's middle, in 1/256 of a step.
        error_bits: (channels,) what one squared step of error is worth in bits, for the encoder.

    Raises:
        CodecError: the parts do not fit together, or hold numbers out of range.
    """

    def __init__(
        self,
        latent: LatentFormat,
        *,
        context: Sequence[IntegerNetwork],
        code_context: Ints,
        tables: FrequencyTables,
        step_units: Ints,
        table_shift: Ints,
        inward_shifts: Ints,
        error_bits: NDArray[np.float64],
    ) -> None:
        if len(context) != len(latent.steps) or code_context.ndim != 3:
            raise CodecError("the codec's context networks do not fit its steps; make it anew")
        if step_units.shape != (101,) or table_shift.shape != (101,) or step_units[1:].min() < 1:
            raise CodecError("the codec's quality tables are out of range; make it anew")
        for name, values in (
            ("code context", code_context),
            ("quantiser steps", step_units),
            ("table numbers", table_shift),
        ):
            if values.size and _size(values) >= MAX_LIMIT:
                raise CodecError(f"the codec's {name} are out of range; make it anew")
        inner = inward_shifts.shape == (len(tables),)
        if not inner or inward_shifts.min() < 0 or inward_shifts.max() > _CELL // 2:
            raise CodecError("the codec's inward shifts are out of range; make it anew")
        if error_bits.shape != (latent.channels,) or not (error_bits >= 0).all():
            raise CodecError("the codec's weights of errors are out of range; make it anew")
        for (start, stop, _), network in zip(latent.steps, context, strict=True):
            takes = stop + code_context.shape[2] + 1
            network.check_fits(_CONTEXT, takes=takes, gives=2 * (stop - start))
        self.latent, self.tables = latent, tables
        self._last_table = len(tables) - 1
        self._context, self._code_context = list(context), code_context
        self._step_units, self._table_shift = step_units, table_shift
        self._inward_shifts, self._error_bits = inward_shifts, error_bits

    def encode(
        self, y: NDArray[np.float64], codes: NDArray[np.uint8], *, quality: Ints
    ) -> tuple[Ints, list[bytes]]:
        """Quantise and code latents.

        Args:
            y: (n, channels, h, w) in units, within ±limit.
            codes: (n, M) sub-indices of each.
            quality: (n,) 1 to 99.

        Returns:
            ŷ (n, channels, h, w) in units, and the messages.
        """
        writers = [RangeWriter(self.tables) for _ in y]
        y_hat = self._quantise(y, codes, quality, lambda s, t: push_all(writers, s, t))
        return y_hat, [writer.finish() for writer in writers]

    def decode(
        self,
        messages: Sequence[bytes],
        codes: NDArray[np.uint8],
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
        readers = [RangeReader(message, self.tables) for message in messages]
        y_hat = np.zeros((len(messages), self.latent.channels, *size), dtype=np.int64)
        for index in range(len(self.latent.steps)):
            where, mean, table = self._predict(index, y_hat, codes, quality)
            symbols = pull_all(readers, table.reshape(len(readers), -1)).reshape(table.shape)
            self._place(index, y_hat, where, mean, table, symbols, quality)
        return y_hat

    def symbols(
        self, y: NDArray[np.float64], codes: NDArray[np.uint8], *, quality: Ints
    ) -> tuple[Ints, Ints]:
        """Symbols and their tables, as the tables are learned from them.

        Args:
            y: (n, channels, h, w) in units.
            codes: (n, M) sub-indices of each.
            quality: (n,) 1 to 99.

        Returns:
            Two (s,) arrays: the symbols of all latents and the number of each one's table.
        """
        found: list[tuple[Ints, Ints]] = []
        self._quantise(y, codes, quality, lambda s, t: found.append((s.ravel(), t.ravel())))
        return np.concatenate([s for s, _ in found]), np.concatenate([t for _, t in found])

    def _quantise(
        self, y: NDArray[np.float64], codes: NDArray[np.uint8], quality: Ints, emit: Emit
    ) -> Ints:
        n = len(y)
        y_hat = np.zeros(y.shape, dtype=np.int64)
        step = self._step_units[quality][:, None, None]
        for index, (start, stop, _) in enumerate(self.latent.steps):
            where, mean, table = self._predict(index, y_hat, codes, quality)
            distance = (y[:, start:stop][:, :, where] - mean) / step
            symbols = self.tables.cheapest(distance, table, self._error_bits[start:stop, None])
            emit(symbols.reshape(n, -1), table.reshape(n, -1))
            self._place(index, y_hat, where, mean, table, symbols, quality)
        return y_hat

    def _predict(
        self, index: int, y_hat: Ints, codes: NDArray[np.uint8], quality: Ints
    ) -> tuple[NDArray[np.bool_], Ints, Ints]:
        """Positions that a step codes, and the (n, c, positions) means and tables there.

        Everything here is exact: what goes in and out of the network are integers below 2^24.
        """
        start, stop, parity = self.latent.steps[index]
        n, _, h, w = y_hat.shape
        M, _, E = self._code_context.shape
        planes = np.empty((n, E + 1), dtype=np.float32)
        planes[:, :E] = self._code_context[np.arange(M), codes].sum(1).clip(-255, 255)
        planes[:, E] = quality - 50
        where: NDArray[np.bool_] = np.ones((h, w), dtype=np.bool_)
        if parity >= 0:
            where = (np.arange(h)[:, None] + np.arange(w)) % 2 == parity
        columns = self._columns[index]
        if columns is not None:
            out = columns(y_hat, planes, where)
        else:
            out = self._convolved(index, y_hat, planes, where)
        channels = stop - start
        table: Ints = out[:, channels:] + self._table_shift[quality][:, None, None]
        return where, out[:, :channels], table.clip(0, self._last_table)

    def _convolved(
        self, index: int, y_hat: Ints, planes: NDArray[np.float32], where: NDArray[np.bool_]
    ) -> Ints:
        """What a step's network gives at some positions, from a run of all."""
        start, stop, _ = self.latent.steps[index]
        n, _, h, w = y_hat.shape
        x = np.empty((n, stop + planes.shape[1], h, w), dtype=np.float32)
        x[:, :stop] = y_hat[:, :stop]
        x[:, stop:] = planes[:, :, None, None]
        found = run_tiled(self._context[index], x, _CONTEXT, channels=2 * (stop - start))
        return found[:, :, where].astype(np.int64)

    @cached_property
    def _columns(self) -> list[ContextColumns | None]:
        """Each step's network as matrix products, where it has the form for them."""
        known, made = 0, []
        for (_, stop, _), network in zip(self.latent.steps, self._context, strict=True):
            made.append(ContextColumns.of(network, known=min(known, stop), stop=stop))
            known = max(known, stop)
        return made

    def _place(
        self,
        index: int,
        y_hat: Ints,
        where: NDArray[np.bool_],
        mean: Ints,
        table: Ints,
        symbols: Ints,
        quality: Ints,
    ) -> None:
        start, stop, _ = self.latent.steps[index]
        step = self._step_units[quality][:, None, None]
        shift = (self._inward_shifts[table] * step + _CELL // 2) // _CELL
        value = mean + symbols * step - np.sign(symbols) * shift
        y_hat[:, start:stop][:, :, where] = value.clip(-self.latent.limit, self.latent.limit)


def _size(values: NDArray[Any]) -> int:
    """Largest size of integers, whatever their type."""
    return max(int(values.max()), -int(values.min()))
