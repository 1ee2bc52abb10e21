"""Training of a codec with lattice context: its loss, and the model of a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinpack.errors import CodecError
from kinpack.learn.lattice.config import LatticeConfig
from kinpack.learn.lattice.model import LatticeModel
from kinpack.learn.lattice.seen_error import squared_error, structure_error
from kinpack.learn.models.config import TrainingConfig
from kinpack.learn.models.model import pictures_of
from kinpack.learn.models.networks import start_from_components
from kinpack.learn.models.precision import reduced_precision
from kinpack.learn.training.loop import Log, TrainingRun, read_checkpoint
from kinpack.learn.training.patches import tiles
from kinpack.learn.training.start_file import Start
from kinpack.learn.training.training import balanced, budget_of, drawn_qualities

Batches: TypeAlias = Callable[[int], NDArray[np.uint8]]
"""Gives the patches of the number of a step."""
_FIRST_PATCHES = 1 << 40  # a step that training never reaches


def lattice_run(
    batches: Batches,
    *,
    network: LatticeConfig,
    training: TrainingConfig,
    folder: Path,
    begin: Callable[[LatticeModel], None] | None = None,
    hold_transforms: int = 0,
    threads: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    log: Log | None = None,
    log_every: int = 100,
) -> TrainingRun:
    """Begin a training run, or take it up where there is a checkpoint.

    Args:
        batches: of the number of a step, patches uint8 (n, 3, s, s), s a multiple of 32.
        network: sizes of the networks.
        training: budget, seed and weights of the loss.
        folder: of the checkpoint.
        begin: fills a model that starts anew.
        hold_transforms: steps after which the transforms begin to learn.
        threads: of the arithmetic; None leaves the machine's default.
        clock: gives seconds, of the wall or of the processor.
        log: as `kinpack.learn.training.loop.Budget` has it.
        log_every: steps between its calls.

    Raises:
        CodecError: the checkpoint is damaged or of networks of other sizes.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(training.seed)
    model = LatticeModel(network)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    budget = replace(
        budget_of(training, folder, log=log, log_every=log_every),
        average=training.average,
        clock=clock,
    )
    if not budget.checkpoint.exists():
        first = np.concatenate([tiles(batches(_FIRST_PATCHES + i)) for i in range(8)])
        picture = pictures_of(first).contiguous()
        start_from_components(model.analysis, model.synthesis, picture, gain=network.gain)
        if begin is not None:
            begin(model)
    return TrainingRun(
        model,
        lambda step: lattice_losses(model, batches, step, training),
        budget,
        groups=[
            {"params": [*model.analysis.parameters(), *model.synthesis.parameters()]}
            | {"held": hold_transforms},
            {"params": [*model.lattice.parameters(), *model.context.parameters()]},
        ],
        sizes=network.to_dict(),
        notes={"training": training.to_dict()},
    )


def lattice_losses(
    model: LatticeModel, batches: Batches, step: int, training: TrainingConfig
) -> dict[str, Tensor]:
    """Losses of the batch that belongs to the number of a step.

    ``loss`` is bits a pixel, and errors by their weights; ``bpp``, ``mse`` of RGB, ``error`` as
    weighted and ``structure``, 1 − SSIM, are for the log.
    """
    # The noise depends on the step alone, so that a resumed run repeats an unbroken one.
    torch.manual_seed(training.seed * 1_000_003 + step)
    picture = pictures_of(batches(step))
    quality = drawn_qualities(len(picture), training.quality_low, training.quality_high)
    with reduced_precision():
        out = model(picture, quality)
    bpp = out.bits.sum(1) / picture[0, 0].numel()
    error = squared_error(out.picture, picture, training.chroma)
    structure = structure_error(out.picture, picture)
    return {
        "loss": balanced(bpp, error + training.structure * structure, quality),
        "bpp": bpp.mean(),
        "mse": (255 * (out.picture.detach() - picture)).square().mean(),
        "error": error.mean(),
        "structure": structure.mean(),
    }


def begin_with(model: LatticeModel, start: Start | None) -> None:
    """Take over the weights of a start, if there is one.

    Raises:
        CodecError: the start is of networks of other sizes.
    """
    if start is None:
        return
    try:
        model.load_state_dict(start.state)
    except RuntimeError as error:
        raise CodecError(
            "the codec to start from is of networks of other sizes; learn without a start"
        ) from error


def averaged_model(file: Path) -> LatticeModel:
    """The model of a checkpoint with its averaged weights, to be used.

    Raises:
        CodecError: the file is missing or damaged.
    """
    state = read_checkpoint(file)
    model = LatticeModel(LatticeConfig.from_dict(state["network"]))
    model.load_state_dict(state["average"])
    return model.eval().requires_grad_(False)
