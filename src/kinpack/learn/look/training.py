"""Training of `look`: each picture must find its changed view among those of a batch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinpack.learn.look.networks import DRAWN, FLOOR, FormModel
from kinpack.learn.look.views import changed_view, clean_view
from kinpack.learn.training.loop import Budget, Log, TrainingRun

_TEMPERATURE = 0.07
_DRAWING = 0.5
"""Weight of the error of what is drawn."""


@dataclass(frozen=True, kw_only=True)
class LookTraining:
    """How `look` is trained.

    Attributes:
        minutes: budget, of processor time.
        seed: of weights, pictures and views.
        batch: pictures of a step.
        learning_rate: of Adam, after the warm-up; it falls as half a cosine.
    """

    minutes: float = 60.0
    seed: int = 0
    batch: int = 256
    learning_rate: float = 1.5e-3


def look_run(
    luma: NDArray[np.uint8], training: LookTraining, folder: Path, log: Log | None = None
) -> TrainingRun:
    """Begin training, or take it up where there is a checkpoint.

    Args:
        luma: uint8 (n, 64, 64), pictures whole, squeezed to a square.
        training: budget and seed.
        folder: of the checkpoint.
        log: called every 50 steps.
    """
    torch.manual_seed(training.seed)
    network = FormModel()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def losses(step: int) -> dict[str, Tensor]:
        torch.manual_seed(training.seed * 1_000_003 + step)
        rows = np.random.default_rng((training.seed, step)).integers(len(luma), size=training.batch)
        pictures = torch.from_numpy(luma[np.sort(rows)]).float()[:, None] / 255
        return found_again(network, pictures)

    budget = Budget(
        checkpoint=folder / "last.ckpt",
        minutes=training.minutes,
        learning_rate=training.learning_rate,
        average=0.998,
        clock=time.process_time,
        keep_every=200,
        log=log,
        log_every=50,
    )
    return TrainingRun(network, losses, budget)


def found_again(model: FormModel, pictures: Tensor) -> dict[str, Tensor]:
    """Loss of a batch: the cross-entropy of finding each picture's view, both ways (InfoNCE).

    To it comes the squared error of what is drawn of either form, beside the picture unchanged.

    Args:
        model: gives forms, and draws of them.
        pictures: (n, 1, 64, 64) luma, 0 to 1.

    Returns:
        ``loss``; ``found``, the share of views that come first; ``error``, squared, of what is
        drawn, where 1 is that of drawing nothing.
    """
    whole = clean_view(pictures)
    form = model.form(torch.cat([whole, changed_view(pictures)]))
    clean, changed = form.chunk(2)
    scores = clean @ changed.mT / _TEMPERATURE
    wanted = torch.arange(len(pictures))
    loss = torch.nn.functional.cross_entropy(scores, wanted)
    loss = loss + torch.nn.functional.cross_entropy(scores.mT, wanted)
    small = torch.nn.functional.adaptive_avg_pool2d(whole, DRAWN)
    centred = small - small.mean((2, 3), keepdim=True)
    even = centred / (centred.square().mean((2, 3), keepdim=True).sqrt() + FLOOR)
    error = (model.draw(form) - even.repeat(2, 1, 1, 1)).square().mean()
    found = (scores.argmax(1) == wanted).float().mean()
    return {"loss": loss / 2 + _DRAWING * error, "found": found, "error": error}
