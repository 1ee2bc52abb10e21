"""Forms of learned codecs: how each is trained and frozen, and the weights that it starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kinpack.codec.codec import Codec
from kinpack.errors import CodecError
from kinpack.learn.freezing.freeze import freeze
from kinpack.learn.freezing.lattice_codec import freeze_lattice
from kinpack.learn.lattice.config import LatticeConfig
from kinpack.learn.lattice.run import averaged_model, begin_with, lattice_run
from kinpack.learn.models.config import NetworkConfig, TrainingConfig
from kinpack.learn.training.loop import Log
from kinpack.learn.training.patches import SMALL, PatchSampler, tiles
from kinpack.learn.training.start_file import Start
from kinpack.learn.training.training import CHECKPOINT, train

Network: TypeAlias = NetworkConfig | LatticeConfig
"""Sizes of the networks of a codec, whose class says of which form it is."""

BATCHES = 8
"""Batches, at least, that the patches to freeze with are drawn in."""

_CALIBRATION_STEP = 1 << 40  # beyond all steps of training, so that its patches are others


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run of training is given.

    Attributes:
        sampler: source of the patches.
        training: budget, seed and weights.
        folder: of the checkpoint.
        start: weights to begin with; None begins with the block components of the pictures.
        threads: of the arithmetic; None leaves the machine's default.
        log: as `kinpack.learn.training.loop.Budget` has it.
        log_every: steps between its calls.
    """

    sampler: PatchSampler
    training: TrainingConfig
    folder: Path
    start: Start | None = None
    threads: int | None = None
    log: Log | None = None
    log_every: int = 100


@dataclass(frozen=True)
class Form:
    """How codecs of one form are made.

    Attributes:
        network: sizes of plain values.
        train: trains a model of some sizes, or takes up its checkpoint.
        freeze: makes a codec without a rule of a model, with about so many patches of 32×32, or as
            many pixels of larger ones, and with a header.
    """

    network: Callable[[Mapping[str, Any]], Any]
    train: Callable[[Any, Run], nn.Module]
    freeze: Callable[[Any, PatchSampler, int, Mapping[str, Any]], Codec]


def _train_checkerboard(network: NetworkConfig, run: Run) -> nn.Module:
    return train(
        run.sampler,
        network=network,
        training=run.training,
        folder=run.folder,
        start=run.start.state if run.start else None,
        threads=run.threads,
        log_line=run.log,
        log_every=run.log_every,
    )


def _train_lattice(network: LatticeConfig, run: Run) -> nn.Module:
    lattice_run(
        lambda step: run.sampler.batch(step, size=run.training.batch)[0],
        network=network,
        training=run.training,
        folder=run.folder,
        begin=lambda model: begin_with(model, run.start),
        threads=run.threads,
        log=run.log,
        log_every=run.log_every,
    ).finish()
    return averaged_model(run.folder / CHECKPOINT)


def _freeze_checkerboard(
    model: Any, sampler: PatchSampler, n: int, header: Mapping[str, Any]
) -> Codec:
    patches = np.concatenate([tiles(batch) for batch in calibration_patches(sampler, n=n)])[:n]
    return freeze(model, patches, description=header, calibrate_rule=False)


def _freeze_lattice(model: Any, sampler: PatchSampler, n: int, header: Mapping[str, Any]) -> Codec:
    return freeze_lattice(model, calibration_patches(sampler, n=n), description=header)


CHECKERBOARD = Form(NetworkConfig.from_dict, _train_checkerboard, _freeze_checkerboard)
LATTICE = Form(LatticeConfig.from_dict, _train_lattice, _freeze_lattice)


def form_of(network: Network) -> Form:
    """The form of a codec whose networks have these sizes."""
    return LATTICE if isinstance(network, LatticeConfig) else CHECKERBOARD


def network_of(start: Start) -> Network:
    """Sizes of the networks that weights to start from belong to.

    Raises:
        CodecError: they are of no known form.
    """
    for form in (LATTICE, CHECKERBOARD):
        try:
            network: Network = form.network(start.network)
        except CodecError:
            continue
        return network
    raise CodecError("the codec to start from is of a form that is not known; update kinpack")


def calibration_patches(sampler: PatchSampler, *, n: int) -> list[NDArray[np.uint8]]:
    """Draw the patches that a codec is frozen with; training never sees the same draws.

    Args:
        sampler: draws them.
        n: how many at least, counted as patches of 32×32.

    Returns:
        A batch (m, 3, s, s) uint8 of each side that was drawn.
    """
    batches: dict[int, list[NDArray[np.uint8]]] = {}
    drawn = 0
    for step in count(_CALIBRATION_STEP):
        patches = sampler.batch(step, size=max(1, n // BATCHES))[0]
        batches.setdefault(patches.shape[2], []).append(patches)
        drawn += len(patches) * (patches.shape[2] // SMALL) ** 2
        if drawn >= n and step >= _CALIBRATION_STEP + BATCHES - 1:
            break
    return [np.ascontiguousarray(np.concatenate(parts)) for _, parts in sorted(batches.items())]
