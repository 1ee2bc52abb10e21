"""Training of `photo`: the student says of a changed view what its teacher says of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinpack.learn.photo.networks import PhotoNetwork
from kinpack.learn.training.describer_training import DescriberTraining
from kinpack.learn.training.loop import Log, TrainingRun
from kinpack.learn.training.views import blurred, framed, sometimes, toned

_TEMPERATURE = 0.1
_TOLD_APART = 0.5
"""Weight of telling a picture's latents from the others' of a batch."""


@dataclass(frozen=True, kw_only=True)
class PhotoTraining(DescriberTraining):
    """How `photo` is trained."""

    minutes: float = 30.0
    batch: int = 128
    learning_rate: float = 2e-3


def photo_run(
    pictures: NDArray[np.uint8],
    latents: NDArray[np.float32],
    training: PhotoTraining,
    folder: Path,
    log: Log | None = None,
) -> TrainingRun:
    """Begin training, or take it up where there is a checkpoint.

    Args:
        pictures: uint8 (n, 64, 64, 3).
        latents: float32 (n, 128), of the teacher.
        training: budget and seed.
        folder: of the checkpoint.
        log: called every 50 steps.
    """
    torch.manual_seed(training.seed)
    network = PhotoNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = torch.from_numpy(latents.mean(0))
    with torch.no_grad():
        network.last.bias.copy_(mean)

    def losses(step: int) -> dict[str, Tensor]:
        rng = training.draws(step)
        rows = np.sort(rng.integers(len(pictures), size=training.batch))
        seen = torch.from_numpy(pictures[rows]).permute(0, 3, 1, 2).float() / 255
        return taught(network, changed_view(seen), torch.from_numpy(latents[rows]), mean)

    return TrainingRun(network, losses, training.budget(folder / "last.ckpt", log))


def changed_view(pictures: Tensor) -> Tensor:
    """Views (n, 3, s, s) of pictures of that shape, 0 to 1: half as they are, half changed.

    Half of all are mirrored. Of the changed ones some are grey.
    """
    n = len(pictures)
    x = torch.where(sometimes(n, 0.5) > 0, pictures.flip(3), pictures)
    changed = blurred(toned(framed(x)))
    changed = torch.where(sometimes(n, 0.3) > 0, changed.mean(1, keepdim=True), changed)
    return torch.where(sometimes(n, 0.5) > 0, changed, x)


def taught(network: nn.Module, views: Tensor, said: Tensor, mean: Tensor) -> dict[str, Tensor]:
    """Loss of a batch: how far latents are from the teacher's, and whose they are nearest to.

    Args:
        network: the student.
        views: (n, 3, 64, 64), 0 to 1.
        said: (n, 128), the teacher's latents of the pictures.
        mean: (128,), of the teacher's latents of many.

    Returns:
        ``loss``; ``error``, the squared one, where 1 is that of saying the mean; ``found``, the
        share of views whose latents are nearest to those of their picture.
    """
    latents = network(views.contiguous(memory_format=torch.channels_last)) - mean
    wanted = said - mean
    error = (latents - wanted).square().sum(1).mean() / wanted.square().sum(1).mean()
    cosines = nn.functional.normalize(latents, dim=1) @ nn.functional.normalize(wanted, dim=1).mT
    own = torch.arange(len(said))
    apart = nn.functional.cross_entropy(cosines / _TEMPERATURE, own)
    found = (cosines.argmax(1) == own).float().mean()
    return {"loss": error + _TOLD_APART * apart, "error": error, "found": found}
