"""Training of a codec with lattice context: within a budget of processor time, resumable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kinpack.codec.packets.quality import lam
from kinpack.errors import CodecError, shown
from kinpack.learn.lattice.config import LatticeConfig, LatticeTraining
from kinpack.learn.lattice.model import LatticeModel
from kinpack.learn.lattice.patch_files import PatchFiles
from kinpack.learn.lattice.seen_error import squared_error, structure_error
from kinpack.learn.models.networks import start_from_components
from kinpack.learn.models.precision import reduced_precision

WARM_UP_STEPS = 200
CHECKPOINT = "last.ckpt"
_BALANCE = 0.36
"""Rate and error both grow with quality; this power of the Lagrange weight evens out what each
quality contributes to the gradient."""
_FIRST_PATCHES = 1 << 40  # a step that training never reaches

Line = Mapping[str, float]


class LatticeRun:
    """A training run, whose state is one file.

    Args:
        patches: what is learned from.
        network: sizes of the networks.
        training: budget, seed and weights of the loss.
        folder: of the checkpoint, which is taken up where there is one.
        begin: fills a model that starts anew.

    Raises:
        CodecError: the checkpoint is damaged or of networks of other sizes.
    """

    def __init__(
        self,
        patches: PatchFiles,
        *,
        network: LatticeConfig,
        training: LatticeTraining,
        folder: Path,
        begin: Callable[[LatticeModel], None] | None = None,
    ) -> None:
        torch.manual_seed(training.seed)
        self.patches, self.training, self.file = patches, training, folder / CHECKPOINT
        self.model = LatticeModel(network)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=training.learning_rate)
        self.step, self.seconds = 0, 0.0
        self._lam = torch.tensor([lam(q) for q in range(101)])
        if self.file.exists():
            self._take_up()
            return
        pictures = [_picture(patches.batch(_FIRST_PATCHES + i)) for i in range(8)]
        _start(self.model, torch.cat([_cut(picture) for picture in pictures]))
        if begin is not None:
            begin(self.model)
        self.average = _copy(self.model)

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, 0 to 1."""
        return min(1.0, self.seconds / (3600 * self.training.hours))

    def advance(self) -> Line:
        """Take one step.

        Returns:
            Means over the batch: loss, bits a pixel, squared errors of RGB and as weighted, 1 −
            SSIM.
        """
        began, training = time.process_time(), self.training
        self.model.train()
        # The noise depends on the step alone, so that a resumed run repeats an unbroken one.
        torch.manual_seed(training.seed * 1_000_003 + self.step)
        picture = _picture(self.patches.batch(self.step))
        quality = torch.randint(
            training.quality_low, training.quality_high + 1, (len(picture),)
        ).float()
        with reduced_precision():
            out = self.model(picture, quality)
        weight = self._lam[quality.long()]
        bpp = out.bits.sum(1) / picture[0, 0].numel()
        error = squared_error(out.picture, picture, training.chroma)
        structure = structure_error(out.picture, picture)
        balance = (self._lam[50] / weight) ** _BALANCE
        loss = ((bpp + weight * (error + training.structure * structure)) * balance).mean()
        for group in self.optimiser.param_groups:
            group["lr"] = training.learning_rate * self._rate()
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._follow()
        self.seconds += time.process_time() - began
        plain = (255 * (out.picture.detach() - picture)).square().mean()
        return {
            "loss": float(loss.detach()),
            "bpp": float(bpp.mean().detach()),
            "mse": float(plain),
            "error": float(error.mean().detach()),
            "structure": float(structure.mean().detach()),
        }

    def keep(self) -> None:
        """Write the checkpoint under another name, then rename it."""
        state = {
            "network": self.model.config.to_dict(),
            "training": self.training.to_dict(),
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.file)

    def _rate(self) -> float:
        rate = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        late = (self.progress - self.training.decay_from) / (1 - self.training.decay_from)
        return rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * max(0.0, late))))

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the weights; slowly once the run is long."""
        share = 1 - min(self.training.average, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, share)

    def _take_up(self) -> None:
        state = read_checkpoint(self.file)
        if LatticeConfig.from_dict(state["network"]) != self.model.config:
            raise CodecError(
                f"{shown(self.file)}: the checkpoint is of networks of other sizes; "
                "name another folder"
            )
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average = state["average"]
        self.step, self.seconds = int(state["step"]), float(state["seconds"])


def read_checkpoint(file: Path) -> dict[str, Any]:
    """What ``LatticeRun.keep`` wrote.

    Raises:
        CodecError: the file is missing or damaged.
    """
    try:
        # Only plain values and tensors: a checkpoint can run no code.
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        LatticeConfig.from_dict(state["network"])
        return state
    except Exception as error:  # a damaged file fails in many ways
        raise CodecError(
            f"{shown(file)}: the checkpoint cannot be read ({type(error).__name__}); "
            "delete it to start anew"
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


def _picture(patches: Any) -> Tensor:
    picture = torch.from_numpy(patches).float() / 255 - 0.5
    return picture.contiguous(memory_format=torch.channels_last)


def _cut(picture: Tensor) -> Tensor:
    """Square pictures cut into (m, 3, 32, 32)."""
    n, _, side, _ = picture.shape
    tiles = picture.reshape(n, 3, side // 32, 32, side // 32, 32).permute(0, 2, 4, 1, 3, 5)
    return tiles.reshape(-1, 3, 32, 32)


def _start(model: LatticeModel, pictures: Tensor) -> None:
    """Set the block transforms to principal components of pictures."""
    start_from_components(model.analysis, model.synthesis, pictures, gain=model.config.gain)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
