"""Latents to messages and back, the low frequencies on a lattice: exact integers throughout.

```
 channels 0 … low     lattice, level by level: each position from its twelve known neighbours
 groups of others     each from a 3×3 window of all before, in halves of a checkerboard or at once
```
A message begins with how many groups it holds. Those beyond hold nothing but zeros, and neither
their symbols nor their networks cost anything. A message depends on its picture's latents and
quality alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.learned.dense_layers import Array, DenseLayers, Run, read
from kinpack.codec.learned.lattice import NEAREST, NEIGHBOURS, Level, order_of
from kinpack.codec.learned.lattice_contexts import (
    SPACINGS,
    Group,
    GroupContext,
    LatticeFormat,
    LevelContext,
    arrays_of,
    network_of,
    networks_from,
)
from kinpack.codec.learned.symbol_choice import SymbolChoice
from kinpack.entropy.range_coder import RangeReader, RangeWriter, pull_all, push_all
from kinpack.errors import CodecError, PayloadError

THERE = 128
"""What a network reads where a neighbour is there."""
SPACING_UNIT = 32
"""What it reads for each doubling of the spacing."""
QUALITIES_PER_TABLE = 16
"""So many qualities share a table of how many groups a message holds."""
_TAPS = 9

Ints = NDArray[np.int64]
Codes = NDArray[np.uint8] | None


class _Step(NamedTuple):
    """What is coded at once: symbols and tables (n, p, c)."""

    symbols: Ints
    table: Ints


class LatticeCoder:
    """Codes latents on their integer grid.

    Args:
        latent: numbers of the latent format.
        levels: the networks of `network_of`.
        contexts: the networks of the groups, of each half.
        choice: symbols, tables and steps; after the tables of latents there is one for each 16
            qualities of how many groups a message holds.
        engine: makes what runs a network of a name; by default it is numpy.

    Raises:
        CodecError: the parts do not fit together.
    """

    def __init__(
        self,
        latent: LatticeFormat,
        *,
        levels: Sequence[LevelContext],
        contexts: Sequence[GroupContext],
        choice: SymbolChoice,
        engine: Callable[[DenseLayers, str], Run] | None = None,
    ) -> None:
        self.latent, self.choice = latent, choice
        self.low, self.groups = latent.low, latent.groups
        self.levels, self.contexts = list(levels), list(contexts)
        if not self._fits():
            raise CodecError("the codec's context networks do not fit its steps; make it anew")
        started = engine or (lambda network, name: network)
        self._level_runs = [started(c.network, f"level{i}") for i, c in enumerate(levels)]
        self._group_runs = [started(c.network, f"context{i}") for i, c in enumerate(contexts)]

    @classmethod
    def from_file(
        cls,
        header: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        engine: Callable[[DenseLayers, str], Run] | None = None,
    ) -> Self:
        """Read a codec file.

        Args:
            header: whose ``lattice`` holds the numbers of the latent format.
            arrays: as `to_arrays` gives them, and others.
            engine: makes what runs a network.

        Raises:
            CodecError: a part is missing, or the parts do not fit together.
        """
        latent = LatticeFormat.from_dict(header.get("lattice", {}))
        levels, contexts = networks_from(arrays, latent.groups)
        choice = SymbolChoice.from_arrays(arrays, limit=latent.limit)
        return cls(latent, levels=levels, contexts=contexts, choice=choice, engine=engine)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the networks, tables and steps, as they are stored."""
        return arrays_of(self.levels, self.contexts) | self.choice.to_arrays()

    def encode(
        self, y: NDArray[np.float64], codes: Codes = None, *, quality: Ints
    ) -> tuple[Ints, list[bytes]]:
        """Quantise and code latents.

        Args:
            y: (n, channels, h, w) in units, within ±limit.
            codes: (n, M), which `LatentCoder` is told; left out here.
            quality: (n,) 1 to 99.

        Returns:
            ŷ (n, channels, h, w) in units, and the messages.
        """
        y_hat, steps, held = self._quantise(y, quality)
        writers = [RangeWriter(self.choice.tables) for _ in y]
        push_all(writers, held[:, None], self._held_table(quality)[:, None])
        for group, step in steps:
            rows = np.flatnonzero(held > group)
            push_all([writers[i] for i in rows], *(_flat(part[rows]) for part in step))
        return y_hat, [writer.finish() for writer in writers]

    def decode(
        self,
        messages: Sequence[bytes],
        codes: Codes = None,
        *,
        size: tuple[int, int],
        quality: Ints,
    ) -> Ints:
        """Decode messages of latents of one size.

        Args:
            messages: as ``encode`` gave them.
            codes: left out.
            size: (h, w) of the latents.
            quality: (n,) at which each was encoded.

        Returns:
            ŷ (n, channels, h, w) in units.

        Raises:
            PayloadError: a message is damaged.
        """
        readers = [RangeReader(message, self.choice.tables) for message in messages]
        n, (h, w) = len(readers), size
        y_hat = np.zeros((n, h, w, self.latent.channels), dtype=np.int64)
        held = pull_all(readers, self._held_table(quality)[:, None])[:, 0]
        if n and not (held.min() >= 0 and held.max() <= len(self.groups)):
            raise PayloadError.of("a payload", "it states groups that its codec does not have")
        known = np.zeros((n, 1 + h * w, self.low), dtype=np.int64)
        for level, places, neighbours in self._lattice(h, w):
            mean, table = self.predict_level(level, known, neighbours, quality)
            symbols = pull_all(readers, _flat(table)).reshape(table.shape)
            known[:, places] = self.choice.value(mean, table, symbols, quality)
        y_hat[..., : self.low] = self._placed(known, h, w)
        for index, group in enumerate(self.groups):
            rows = np.flatnonzero(held > index)
            if not len(rows):
                break
            part, q, chosen = y_hat[rows], quality[rows], [readers[i] for i in rows]
            for network, where in self._halves(index, h, w):
                mean, table = self._predict_group(network, group, part, where, q)
                symbols = pull_all(chosen, _flat(table)).reshape(table.shape)
                value = self.choice.value(mean, table, symbols, q)
                part[:, where, group.start : group.stop] = value
            y_hat[rows] = part
        return np.ascontiguousarray(y_hat.transpose(0, 3, 1, 2))

    def symbols(
        self, y: NDArray[np.float64], codes: Codes = None, *, quality: Ints
    ) -> tuple[Ints, Ints]:
        """Symbols and their tables, as the tables are learned from them.

        Args:
            y: (n, channels, h, w) in units.
            codes: left out.
            quality: (n,) 1 to 99.

        Returns:
            Two (s,) arrays: the symbols of messages and the number of each one's table.
        """
        _, steps, held = self._quantise(y, quality)
        found = [_Step(held, self._held_table(quality))]
        found += [_Step(*(part[held > group] for part in step)) for group, step in steps]
        return (
            np.concatenate([step.symbols.ravel() for step in found]),
            np.concatenate([step.table.ravel() for step in found]),
        )

    def _quantise(
        self, y: NDArray[np.float64], quality: Ints
    ) -> tuple[Ints, list[tuple[int, _Step]], Ints]:
        """ŷ, the steps with the group of each (−1 on the lattice), and how many groups are held."""
        n, _, h, w = y.shape
        wanted = y.transpose(0, 2, 3, 1)
        y_hat = np.zeros(wanted.shape, dtype=np.int64)
        steps: list[tuple[int, _Step]] = []
        order, error_bits = order_of(h, w), self.choice.error_bits
        low = wanted.reshape(n, h * w, self.latent.channels)[:, order.places, : self.low]
        known = np.zeros((n, 1 + h * w, self.low), dtype=np.int64)
        for level, places, neighbours in self._lattice(h, w):
            mean, table = self.predict_level(level, known, neighbours, quality)
            part = low[:, places.start - 1 : places.stop - 1]
            symbols = self.choice.cheapest(part, mean, table, quality, error_bits[: self.low])
            known[:, places] = self.choice.value(mean, table, symbols, quality)
            steps.append((-1, _Step(symbols, table)))
        y_hat[..., : self.low] = self._placed(known, h, w)
        held = np.zeros(n, dtype=np.int64)
        for index, group in enumerate(self.groups):
            channels = slice(group.start, group.stop)
            for network, where in self._halves(index, h, w):
                mean, table = self._predict_group(network, group, y_hat, where, quality)
                part = wanted[:, where, channels]
                symbols = self.choice.cheapest(part, mean, table, quality, error_bits[channels])
                y_hat[:, where, channels] = self.choice.value(mean, table, symbols, quality)
                steps.append((index, _Step(symbols, table)))
                held[symbols.any((1, 2))] = index + 1
        for index, group in enumerate(self.groups):
            y_hat[held <= index, :, :, group.start : group.stop] = 0
        return np.ascontiguousarray(y_hat.transpose(0, 3, 1, 2)), steps, held

    def predict_level(
        self, level: Level, known: Ints, neighbours: Ints, quality: Ints
    ) -> tuple[Ints, Ints]:
        """Means and tables (n, p, low) of a level's positions."""
        index = network_of(level)
        context = self.levels[index]
        n, p, low = len(known), len(neighbours), self.low
        there = neighbours > 0
        around = known[:, neighbours]
        count = np.maximum(there[:, :NEAREST].sum(1), 1)[:, None]
        mean = (2 * around[:, :, :NEAREST].sum(2) + count) // (2 * count)
        differences = (around - mean[:, :, None]) * there[:, :, None]
        x: Array = np.empty((n, p, context.network.inputs), dtype=np.float32)
        last = NEIGHBOURS * low
        x[:, :, :last] = read(differences, context.difference_shift).reshape(n, p, last)
        x[:, :, last : last + low] = read(mean, context.mean_shift)
        x[:, :, last + low : -2] = THERE * there
        x[:, :, -2] = (quality - 50)[:, None]
        x[:, :, -1] = SPACING_UNIT * (level.spacing.bit_length() - 4)
        out = self._level_runs[index](x)
        return mean + out[:, :, :low], self.choice.table(out[:, :, low:], quality)

    def _predict_group(
        self,
        network: int,
        group: Group,
        y_hat: Ints,
        where: NDArray[np.bool_],
        quality: Ints,
    ) -> tuple[Ints, Ints]:
        """Means and tables (n, p, channels) of a group at some positions, from ŷ (n, h, w, …)."""
        context = self.contexts[network]
        n, h, w, _ = y_hat.shape
        framed: Array = np.zeros((n, h + 2, w + 2, group.known + 1), dtype=np.float32)
        framed[:, 1:-1, 1:-1, :-1] = read(y_hat[..., : group.known], context.shift)
        framed[:, 1:-1, 1:-1, -1] = (quality - 50)[:, None, None]
        rows, columns = np.nonzero(where)
        taps = np.arange(3)
        places = (rows[:, None] + taps)[:, :, None] * (w + 2) + (columns[:, None] + taps)[:, None]
        flat = framed.reshape(n, (h + 2) * (w + 2), group.known + 1).take(places.ravel(), axis=1)
        out = self._group_runs[network](flat.reshape(n, len(rows), _TAPS * (group.known + 1)))
        channels = group.stop - group.start
        return out[:, :, :channels], self.choice.table(out[:, :, channels:], quality)

    def _lattice(self, h: int, w: int) -> Iterator[tuple[Level, slice, Ints]]:
        """Each level, the rows of what is known that it fills, and its neighbours' rows."""
        order, start = order_of(h, w), 1
        for level, count, neighbours in zip(
            order.levels, order.counts, order.neighbours, strict=True
        ):
            yield level, slice(start, start + count), neighbours
            start += count

    def _placed(self, known: Ints, h: int, w: int) -> Ints:
        """Low channels (n, h, w, low) of what is known in the order of coding."""
        placed: Ints = known[:, 1 + order_of(h, w).rank].reshape(len(known), h, w, self.low)
        return placed

    def _halves(self, index: int, h: int, w: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Which networks a group has, and the positions that each codes."""
        first = sum(group.networks for group in self.groups[:index])
        if not self.groups[index].halves:
            yield first, np.ones((h, w), dtype=np.bool_)
            return
        odd = (np.arange(h)[:, None] + np.arange(w)) % 2
        for half in (0, 1):
            yield first + half, odd == half

    def _held_table(self, quality: Ints) -> Ints:
        """Table of how many groups a message holds, (n,)."""
        table: Ints = self.choice.count + quality // QUALITIES_PER_TABLE
        return table

    def _fits(self) -> bool:
        networks = [group for group in self.groups for _ in range(group.networks)]
        inputs = (NEIGHBOURS + 1) * self.low + NEIGHBOURS + 2
        return (
            self.choice.limit == self.latent.limit
            and len(self.levels) == 1 + 2 * SPACINGS
            and len(self.contexts) == len(networks)
            and len(self.choice.tables) == self.choice.count + 100 // QUALITIES_PER_TABLE + 1
            and self.choice.error_bits.shape == (self.latent.channels,)
            and all(
                level.network.inputs == inputs
                and level.network.outputs == 2 * self.low
                and _shifts(level.difference_shift, self.low)
                and _shifts(level.mean_shift, self.low)
                for level in self.levels
            )
            and all(
                context.network.inputs == _TAPS * (group.known + 1)
                and context.network.outputs == 2 * (group.stop - group.start)
                and _shifts(context.shift, group.known)
                for context, group in zip(self.contexts, networks, strict=True)
            )
        )


def _flat(values: Ints) -> Ints:
    """What belongs to each message, (n, p, c), as one row."""
    return values.reshape(len(values), values.shape[1] * values.shape[2])


def _shifts(values: Ints, count: int) -> bool:
    return values.shape == (count,) and bool(((values >= 0) & (values < 24)).all())
