"""Freezing the context of a codec with a lattice: to integers, then tables from its symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinpack.codec.learned.dense_layers import DenseLayer, DenseLayers
from kinpack.codec.learned.lattice import NEIGHBOURS
from kinpack.codec.learned.lattice_coder import (
    QUALITIES_PER_TABLE,
    SPACING_UNIT,
    THERE,
    LatticeCoder,
)
from kinpack.codec.learned.lattice_contexts import GroupContext, LatticeFormat, LevelContext
from kinpack.codec.learned.symbol_choice import SymbolChoice
from kinpack.entropy.tables import FrequencyTables
from kinpack.learn.freezing.integer_networks import ACTIVATION, Floats, quantised_chain
from kinpack.learn.freezing.scales import (
    BINS_PER_OCTAVE,
    CALIBRATION_QUALITIES,
    LIMIT,
    TABLE_ROUNDS,
    UNIT,
    by_quality,
    deviations,
    error_bits,
    watched,
)
from kinpack.learn.freezing.tables import gaussian_tables, refit_tables
from kinpack.learn.lattice.model import LatticeModel
from kinpack.learn.lattice.seen_error import luma_and_chroma
from kinpack.learn.models.config import CHROMA
from kinpack.learn.models.model import pictures_of

Patches: TypeAlias = Sequence[NDArray[np.uint8]]
"""Batches uint8 (n, 3, s, s), s a multiple of 8, of one side each."""

ROOM = 1.25
"""Activations are given so much more room than calibration reached."""
WIDE_WEIGHT = 2047
"""Largest weight of a network's last layer: at 127 its means are so coarse that they cost 1 %."""
USUAL = 0.999
"""Share of differences that are read without being clipped."""
_ROWS = 1 << 14
_LATENT = 1 / (8 * UNIT)  # the real value that networks see of one unit


def frozen_coder(
    model: LatticeModel, patches: Patches, *, chroma: tuple[float, float] = CHROMA
) -> LatticeCoder:
    """Coder of a model's latents: integer context networks, and tables of the symbols they lead to.

    Args:
        model: trained.
        patches: to calibrate with; of several sides, so that all levels of the lattice occur.
        chroma: weights of errors of Cb and Cr beside that of Y, for the encoder's choices.

    Raises:
        CodecError: a network leaves exact arithmetic.
    """
    config = model.eval().config
    latent = LatticeFormat(
        low=config.low, groups=config.groups, unit=UNIT, limit=LIMIT, gain=config.gain
    )
    seen = _seen(model, patches)
    levels = [
        _level(network, rows, config.low)
        for network, rows in zip(model.lattice.networks, seen, strict=False)
    ]
    contexts = [
        _group(network, rows)
        for network, rows in zip(model.context, seen[len(levels) :], strict=True)
    ]
    count = len(deviations())
    held = [np.ones(len(config.groups) + 2, dtype=np.int64)] * (100 // QUALITIES_PER_TABLE + 1)
    first = gaussian_tables(deviations())
    weights = torch.tensor([1.0, *chroma]).sqrt().view(1, 3, 1, 1)
    choice = SymbolChoice(
        tables=_joined(first, held),
        count=count,
        **by_quality(),
        error_bits=error_bits(
            model, [batch[:16] for batch in patches], lambda x: weights * luma_and_chroma(x)
        ),
        limit=LIMIT,
    )

    def coder() -> LatticeCoder:
        return LatticeCoder(latent, levels=levels, contexts=contexts, choice=choice)

    # What the encoder chooses depends on the tables, and they on what it chooses.
    for _ in range(TABLE_ROUNDS):
        symbols, tables = _symbols(coder(), model, patches)
        latents = tables < count
        fitted = refit_tables(first, deviations(), symbols[latents], tables[latents])
        held = [
            _held_counts(symbols[tables == count + k], len(config.groups)) for k in range(len(held))
        ]
        choice = replace(choice, tables=_joined(fitted, held))
    return coder()


@torch.no_grad()
def latents_in_units(
    model: LatticeModel, pictures: NDArray[np.uint8], quality: int
) -> NDArray[np.float64]:
    """Latents (n, channels, h, w), as a coder takes them, of pictures uint8 (n, 3, H, W)."""
    picture = pictures_of(pictures)
    y = model.latent(picture, torch.full((len(pictures),), float(quality)))
    units: NDArray[np.float64] = y.double().numpy() * UNIT
    return units.clip(-LIMIT, LIMIT)


def _symbols(
    coder: LatticeCoder, model: LatticeModel, patches: Patches
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    found = [
        coder.symbols(latents_in_units(model, batch, q), quality=np.full(len(batch), q))
        for batch in patches
        for q in CALIBRATION_QUALITIES
    ]
    symbols, tables = (np.concatenate(part) for part in zip(*found, strict=True))
    return symbols, tables


def _held_counts(held: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """Counts of how many groups messages hold, the escape's last, smoothed."""
    seen = np.bincount(held, minlength=groups + 1)[: groups + 1]
    return np.append(16 * seen + 1, 1).clip(1, 1 << 16).astype(np.int64)


def _joined(tables: FrequencyTables, held: Sequence[NDArray[np.int64]]) -> FrequencyTables:
    lists = [tables.table(t).tolist() for t in range(len(tables))]
    return FrequencyTables.from_lists(
        [*lists, *(counts.tolist() for counts in held)], [*tables.lows.tolist(), *[0] * len(held)]
    )


@torch.no_grad()
def _seen(model: LatticeModel, patches: Patches) -> list[Tensor]:
    """What each network, of the lattice's levels and then of the groups, reads: (n, in, …) each."""
    networks = [*model.lattice.networks, *model.context]
    with watched(networks) as seen:
        for batch in patches:
            picture = pictures_of(batch)
            for q in CALIBRATION_QUALITIES:
                model(picture, torch.full((len(batch),), float(q)))
    for index, store in enumerate(seen):
        # Small patches have no wide spacings: those networks read about what the next ones do.
        store += [] if store else seen[index - 2]
    return [torch.cat([_as_rows(x) for x in store]) for store in seen]


def _as_rows(x: Tensor) -> Tensor:
    """Windows (…, in · taps, 1, 1) that a network reads, tap by tap, a part of them if many."""
    if x.dim() == 3:  # of the lattice: one row a position
        rows = x.flatten(0, 1)
    else:
        taps = nn.functional.unfold(x, 3, padding=1)  # (n, in · 9, positions), channel by channel
        n, _, positions = taps.shape
        rows = taps.view(n, x.shape[1], 9, positions).permute(0, 3, 2, 1).reshape(n * positions, -1)
    rows = rows[:: max(1, len(rows) // _ROWS)]
    return rows[:, :, None, None]


def _level(network: nn.Module, rows: Tensor, low: int) -> LevelContext:
    last = NEIGHBOURS * low
    size = rows[:, :, 0, 0].abs().double().numpy()
    differences = size[:, :last].reshape(-1, low)
    usual = np.quantile(differences, USUAL, axis=0)
    difference_shift = _shift(usual)
    mean_shift = _shift(size[:, last : last + low].max(0))
    unit = np.concatenate(
        [
            np.tile(_LATENT * np.exp2(difference_shift), NEIGHBOURS),
            _LATENT * np.exp2(mean_shift),
            np.full(NEIGHBOURS, 1 / THERE),
            # Quality − 50 over 20; half of a doubling of the spacing.
            [1 / 20, 1 / (2 * SPACING_UNIT)],
        ]
    )
    return LevelContext(_dense(network, rows, unit), difference_shift, mean_shift)


def _group(network: nn.Module, rows: Tensor) -> GroupContext:
    taps = rows[:, :, 0, 0].abs().double().numpy().max(0).reshape(9, -1)
    shift = _shift(taps[:, :-1].max(0))
    unit = np.append(_LATENT * np.exp2(shift), 1 / 20)
    return GroupContext(_dense(network, rows, np.tile(unit, 9)), shift)


def _shift(reach: Floats) -> NDArray[np.int64]:
    """Shifts at which values of some reach, as networks see latents, are read within 8 bits."""
    whole = np.maximum(1, reach / _LATENT / ACTIVATION)
    return np.ceil(np.log2(whole)).astype(np.int64)


@torch.no_grad()
def _dense(network: nn.Module, rows: Tensor, input_unit: Floats) -> DenseLayers:
    """Integer layers of a network of linear layers, or of a 3×3 layer and 1×1 ones."""
    found = [
        _as_rows_layer(layer)
        for layer in network.children()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    half = found[-1].out_channels // 2
    last = np.repeat([_LATENT, 1 / BINS_PER_OCTAVE], half)
    made = quantised_chain(found, rows, input_unit, last, LIMIT, room=ROOM, last_weight=WIDE_WEIGHT)
    layers = [
        DenseLayer(
            np.ascontiguousarray(layer.weight[:, :, 0, 0].T),
            layer.bias.astype(np.int32),
            layer.shift.astype(np.uint8),
            layer.low,
            layer.high,
        )
        for layer in made
    ]
    return DenseLayers(tuple(layers))


def _as_rows_layer(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d:
    """A layer as a 1×1 convolution of rows, tap by tap, as the coder runs it."""
    weight = layer.weight.detach()
    if weight.dim() == 4:
        weight = weight.permute(0, 2, 3, 1)
    weight = weight.reshape(len(weight), -1)
    made = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
    made.weight.copy_(weight[:, :, None, None])
    if made.bias is not None and layer.bias is not None:
        made.bias.copy_(layer.bias)
    return made
