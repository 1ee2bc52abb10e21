"""Handmade coders with a lattice: random integer networks over Gaussian-like tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.learned.dense_layers import DenseLayer, DenseLayers
from kinpack.codec.learned.lattice import NEIGHBOURS
from kinpack.codec.learned.lattice_coder import LatticeCoder
from kinpack.codec.learned.lattice_contexts import (
    SPACINGS,
    Group,
    GroupContext,
    LatticeFormat,
    LevelContext,
)
from kinpack.codec.learned.symbol_choice import SymbolChoice
from kinpack.entropy.tables import FrequencyTables

LOW = 2
GROUPS = (Group(2, 5, True), Group(5, 9, False))
CHANNELS = 9
BINS = 6
LIMIT = 4000
LATENT = LatticeFormat(low=LOW, groups=GROUPS, unit=64, limit=LIMIT, gain=8.0)


def layers(rng: np.random.Generator, inputs: int, outputs: int) -> DenseLayers:
    """A network of random weights."""
    found = []
    for index, (a, b) in enumerate(((inputs, 7), (7, outputs))):
        last = index == 1
        found.append(
            DenseLayer(
                weight=rng.integers(-20, 21, size=(a, b)).astype(np.int8),
                bias=rng.integers(-500, 500, size=b).astype(np.int32),
                shift=rng.integers(5, 9, size=b).astype(np.uint8),
                low=-LIMIT if last else 0,
                high=LIMIT if last else 255,
            )
        )
    return DenseLayers(tuple(found))


def tables() -> FrequencyTables:
    """Tables of latents, each wider than the last, then those of how many groups are held."""
    lists, lows = [], []
    for width in range(1, BINS + 1):
        reach = 3 * width
        symbols = np.arange(-reach, reach + 1)
        counts = np.rint(4000 * np.exp(-((symbols / width) ** 2) / 2)).astype(int) + 1
        lists.append([*counts.tolist(), 1])
        lows.append(-reach)
    held = [[3, 5, 9, 1]] * 7
    return FrequencyTables.from_lists([*lists, *held], [*lows, *[0] * 7])


class Parts(NamedTuple):
    """What a coder is made of."""

    levels: list[LevelContext]
    contexts: list[GroupContext]
    choice: SymbolChoice


def coder(seed: int = 0) -> LatticeCoder:
    """A coder of nine channels, two of them on the lattice."""
    return LatticeCoder(LATENT, **parts(seed)._asdict())


def parts(seed: int = 0) -> Parts:
    """Its parts."""
    rng = np.random.default_rng(seed)
    inputs = (NEIGHBOURS + 1) * LOW + NEIGHBOURS + 2
    levels = [
        LevelContext(
            layers(rng, inputs, 2 * LOW),
            rng.integers(0, 4, size=LOW),
            rng.integers(0, 4, size=LOW),
        )
        for _ in range(1 + 2 * SPACINGS)
    ]
    contexts = [
        GroupContext(
            layers(rng, 9 * (group.known + 1), 2 * (group.stop - group.start)),
            rng.integers(0, 4, size=group.known),
        )
        for group in GROUPS
        for _ in range(2 if group.halves else 1)
    ]
    qualities = np.arange(101)
    choice = SymbolChoice(
        tables=tables(),
        count=BINS,
        step_units=np.maximum(1, np.rint(64 * 2.0 ** ((50 - qualities) / 16))).astype(np.int64),
        table_shift=((qualities - 50) // 8).astype(np.int64),
        inward_shifts=np.arange(BINS, dtype=np.int64)[::-1] * 10,
        error_bits=np.linspace(3, 0.2, CHANNELS),
        limit=LIMIT,
    )
    return Parts(levels, contexts, choice)


def latents(seed: int, n: int, h: int, w: int) -> NDArray[np.float64]:
    """Latents in units, smooth in the first channels."""
    rng = np.random.default_rng(seed)
    y = rng.normal(0, 150, size=(n, CHANNELS, h, w))
    y[:, :LOW] += 900 * np.sin(np.arange(w) / 5)
    return y.clip(-LIMIT, LIMIT)
