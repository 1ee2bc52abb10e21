"""Training of `look`: each picture must find its changed view among those of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinpack.learn.look.code import SOFTNESS, LookCode, small
from kinpack.learn.look.networks import DRAWN, FLOOR, FormModel
from kinpack.learn.look.views import changed_view, clean_view
from kinpack.learn.training.describer_training import DescriberTraining
from kinpack.learn.training.loop import Log, TrainingRun

_TEMPERATURE = 0.07
_DRAWING, _DRAWING_COLOURS = 0.5, 40.0
"""Weights of the error of what is drawn: of luma of deviation 1, and of colours, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class LookTraining(DescriberTraining):
    """How `look` is trained."""

    minutes: float = 60.0
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
        rows = training.draws(step).integers(len(luma), size=training.batch)
        pictures = torch.from_numpy(luma[np.sort(rows)]).float()[:, None] / 255
        return found_again(network, pictures)

    return TrainingRun(network, losses, training.budget(folder / "last.ckpt", log))


def code_run(
    model: LookCode,
    luma: NDArray[np.uint8],
    colours: NDArray[np.uint8],
    training: LookTraining,
    folder: Path,
    log: Log | None = None,
) -> TrainingRun:
    """Begin training of the code, or take it up where there is a checkpoint.

    Args:
        model: to begin with.
        luma: uint8 (n, 64, 64), pictures whole, squeezed to a square, that are to be found again.
        colours: uint8 (n, 32, 32, 3), pictures that are drawn of their codes.
        training: budget and seed.
        folder: of the checkpoint.
        log: called every 50 steps.
    """

    def losses(step: int) -> dict[str, Tensor]:
        rng = training.draws(step)
        rows = np.sort(rng.integers(len(luma), size=training.batch))
        pictures = torch.from_numpy(luma[rows]).float()[:, None] / 255
        rows = np.sort(rng.integers(len(colours), size=training.batch))
        drawn = torch.from_numpy(colours[rows]).permute(0, 3, 1, 2).float() / 255
        return found_by_code(model, pictures, drawn)

    return TrainingRun(model, losses, training.budget(folder / "code.ckpt", log))


def found_by_code(model: LookCode, pictures: Tensor, colours: Tensor) -> dict[str, Tensor]:
    """Loss of a batch: that of finding views by form, by code, and of what is drawn of codes.

    Args:
        model: gives forms, words and drawings.
        pictures: (n, 1, 64, 64) luma, 0 to 1.
        colours: (m, 3, 32, 32), 0 to 1.

    Returns:
        ``loss``; ``found`` and ``coded``, the shares of views that come first by form, and by the
        code of the picture unchanged; ``error``, squared, of what is drawn.
    """
    form = model.form(torch.cat([clean_view(pictures), changed_view(pictures)]))
    clean, changed = form.chunk(2)
    by_form, found = _first_again(clean @ changed.mT)
    books = model.form_books
    words = books(books.kept(clean), SOFTNESS)
    # Of vectors of length 1, 1 − d²/2 is the cosine.
    by_code, coded = _first_again(1 - torch.cdist(words, books.kept(changed)).square() / 2)
    error = (model.placeholder(model.words(colours)) - small(colours)).square().mean()
    return {
        "loss": by_form + by_code + _DRAWING_COLOURS * error,
        "found": found,
        "coded": coded,
        "error": error,
    }


def _first_again(cosines: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of finding view i by picture i and the other way; the share of pictures found.

    Args:
        cosines: (n, n), of each picture to each view.
    """
    scores, wanted = cosines / _TEMPERATURE, torch.arange(len(cosines))
    loss = torch.nn.functional.cross_entropy(scores, wanted)
    loss = loss + torch.nn.functional.cross_entropy(scores.mT, wanted)
    return loss / 2, (scores.argmax(0) == wanted).float().mean()


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
    loss, found = _first_again(clean @ changed.mT)
    drawn = torch.nn.functional.adaptive_avg_pool2d(whole, DRAWN)
    centred = drawn - drawn.mean((2, 3), keepdim=True)
    even = centred / (centred.square().mean((2, 3), keepdim=True).sqrt() + FLOOR)
    error = (model.draw(form) - even.repeat(2, 1, 1, 1)).square().mean()
    return {"loss": loss + _DRAWING * error, "found": found, "error": error}
