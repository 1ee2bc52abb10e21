"""Training of a codec with lattice context: its loss, and the model of a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kinpack.learn.lattice.config import LatticeConfig, LatticeTraining
from kinpack.learn.lattice.model import LatticeModel
from kinpack.learn.lattice.patch_files import PatchFiles
from kinpack.learn.lattice.seen_error import squared_error, structure_error
from kinpack.learn.models.model import pictures_of
from kinpack.learn.models.networks import start_from_components
from kinpack.learn.models.precision import reduced_precision
from kinpack.learn.training.loop import Budget, TrainingRun, read_checkpoint
from kinpack.learn.training.patches import tiles
from kinpack.learn.training.training import CHECKPOINT, balanced, drawn_qualities

_FIRST_PATCHES = 1 << 40  # a step that training never reaches


def lattice_run(
    patches: PatchFiles,
    *,
    network: LatticeConfig,
    training: LatticeTraining,
    folder: Path,
    begin: Callable[[LatticeModel], None] | None = None,
) -> TrainingRun:
    """Begin a training run, or take it up where there is a checkpoint.

    Args:
        patches: what is learned from.
        network: sizes of the networks.
        training: budget, seed and weights of the loss.
        folder: of the checkpoint.
        begin: fills a model that starts anew.

    Raises:
        CodecError: the checkpoint is damaged or of networks of other sizes.
    """
    torch.manual_seed(training.seed)
    model = LatticeModel(network)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    budget = Budget(
        checkpoint=folder / CHECKPOINT,
        minutes=60 * training.hours,
        learning_rate=training.learning_rate,
        decay_from=training.decay_from,
        average=training.average,
        clock=time.process_time,
    )
    if not budget.checkpoint.exists():
        first = np.concatenate([tiles(patches.batch(_FIRST_PATCHES + i)) for i in range(8)])
        picture = pictures_of(first).contiguous()
        start_from_components(model.analysis, model.synthesis, picture, gain=network.gain)
        if begin is not None:
            begin(model)
    return TrainingRun(
        model,
        lambda step: lattice_losses(model, patches, step, training),
        budget,
        sizes=network.to_dict(),
        notes={"training": training.to_dict()},
    )


def lattice_losses(
    model: LatticeModel, patches: PatchFiles, step: int, training: LatticeTraining
) -> dict[str, Tensor]:
    """Losses of the batch that belongs to the number of a step.

    ``loss`` is bits a pixel, and errors by their weights; ``bpp``, ``mse`` of RGB, ``error`` as
    weighted and ``structure``, 1 − SSIM, are for the log.
    """
    # The noise depends on the step alone, so that a resumed run repeats an unbroken one.
    torch.manual_seed(training.seed * 1_000_003 + step)
    picture = pictures_of(patches.batch(step))
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


def averaged_model(file: Path) -> LatticeModel:
    """The model of a checkpoint with its averaged weights, to be used.

    Raises:
        CodecError: the file is missing or damaged.
    """
    state = read_checkpoint(file)
    model = LatticeModel(LatticeConfig.from_dict(state["network"]))
    model.load_state_dict(state["average"])
    return model.eval().requires_grad_(False)
